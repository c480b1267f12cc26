"""What an accuracy says about the videos behind it."""

import dataclasses

from stvit_video.evaluation.report import EvaluationReport

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
