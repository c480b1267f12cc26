"""What an accuracy says about the videos behind it."""

import dataclasses
import io

import pytest
from rich.console import Console

from stvit_video.evaluation.metrics import ClassAccuracy
from stvit_video.evaluation.report import EvaluationReport, class_table, print_report

REPORT = EvaluationReport(
    top1=0.5,
    top5=0.75,
    mean_class=0.4,
    num_annotated=11,
    num_found=9,
    num_decoded=8,
    failed=("a.mp4: empty",),
    num_clips=5,
    num_crops=3,
    combine="mean_probability",
    device="cpu",
    elapsed_seconds=1.0,
)


def test_videos_that_are_missing_or_broken_stand_beside_the_accuracy():
    assert REPORT.coverage == "8 of 11 videos (9 found)"
    assert dataclasses.replace(REPORT, num_annotated=9).coverage == "8 of 9 videos"


@pytest.mark.parametrize(
    ("num_classes", "title", "says_top5"),
    [
        (5, "accuracy by class, the lowest first", False),
        (6, "accuracy by class, the lowest first", True),
        (12, "the 10 of 12 classes with the lowest accuracy", True),
    ],
)
def test_top5_is_told_where_it_can_be_wrong_and_the_title_says_which_classes(
    num_classes, title, says_top5
):
    one = ClassAccuracy(
        label="x",
        num_found=2,
        num_decoded=2,
        top1=0.5,
        top5=1.0,
        average_precision=None,
        taken_for=None,
        num_taken_for=0,
    )
    report = dataclasses.replace(REPORT, classes=(one,) * num_classes)
    table = class_table(report)
    assert table.title == title
    assert ("top-5 (%)" in [column.title for column in table.columns]) == says_top5
    assert table.rows[0] == ("x", "2 of 2", 50.0, *([100.0] if says_top5 else []), None)
    console = Console(file=io.StringIO(), width=80)
    print_report(report, console)
    top5 = " top-5 75.00 %," if says_top5 else ""
    assert console.file.getvalue().startswith(
        f"top-1 50.00 %,{top5} mean over classes 40.00 % on 8 of 11 videos (9 found),"
        " 5 clips x 3 crops, mean_probability\n"
    )
