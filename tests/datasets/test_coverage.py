"""Coverage of a data set, counted and read back."""

import pytest

from stvit_video.datasets.coverage import Coverage, missing_path, open_videos, read_coverage
from stvit_video.datasets.records import VideoRecord


def test_counts_are_printed_with_their_share_of_the_annotation():
    assert Coverage(annotated=19906, found=19881, decodable=19796).lines() == [
        "annotated    19906  100.00 %",
        "found        19881   99.87 %",
        "decodable    19796   99.45 %",
    ]
    assert Coverage(annotated=4, found=3, decodable=None).lines()[2] == (
        "decodable  not checked; open the files with --num_workers"
    )


def test_missing_videos_are_read_from_the_list_beside_the_manifest(tmp_path):
    manifest = tmp_path / "val.csv"
    assert read_coverage(manifest, found=5, failed=2) == Coverage(annotated=5, found=5, decodable=3)
    missing_path(manifest).write_text("a\nb\nc\n")
    assert (tmp_path / "val.missing.txt").is_file()
    assert read_coverage(manifest, found=5, failed=2) == Coverage(annotated=8, found=5, decodable=3)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_files_are_opened_in_order_and_faults_become_verdicts(tmp_path, num_workers):
    (tmp_path / "b.mp4").touch()
    records = [VideoRecord(tmp_path / name, label) for label, name in enumerate(("a.mp4", "b.mp4"))]
    opened = list(open_videos(records, num_workers=num_workers))
    assert [(record.label, record.verdict) for record in opened] == [(0, "missing"), (1, "empty")]
