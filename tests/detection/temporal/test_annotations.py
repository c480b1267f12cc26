"""ActivityNet's JSON."""

import json

import pytest

from stvit_video.detection.temporal.annotations import find_videos, read_segments
from stvit_video.errors import DatasetError


@pytest.fixture
def written(tmp_path):
    def write(database):
        path = tmp_path / "net.json"
        path.write_text(json.dumps({"database": database}))
        return path

    return write


def video(*segments, subset="validation"):
    annotations = [{"segment": list(span), "label": label} for label, *span in segments]
    return {"subset": subset, "duration": 9.5, "annotations": annotations}


def test_the_segments_of_a_subset_are_read_by_video_and_class(written):
    path = written(
        {
            "a": video(("swim", 1, 2.5), ("jump", 0, 4)),
            "b": video(("run", 1, 2), subset="training"),
            "c": video(subset="validation"),
            "d": video(("jump", 3, 9.75)),
        }
    )
    found = read_segments(path, subset="Validation")
    assert found.videos == ("a", "c", "d")
    assert found.labels == ("jump", "swim")
    assert found.truth.video.tolist() == [0, 0, 2]
    assert found.truth.span.tolist() == [[1, 2.5], [0, 4], [3, 9.75]]
    assert found.truth.label.tolist() == [1, 0, 0]


@pytest.mark.parametrize("span", [[2, 1], [1, 1], [-1, 2], [0], ["0", 1], [0, float("nan")]])
def test_a_segment_that_is_none_is_refused(written, span):
    path = written({"a": video(("swim", 0, 1)), "b": {**video(), "annotations": [
        {"segment": span, "label": "swim"}]}})  # fmt: skip
    with pytest.raises(DatasetError, match=r"annotation 1 of 'b' has the segment \["):
        read_segments(path, subset="validation")


def test_other_files_are_refused(written, tmp_path):
    path = written({"a": video(("swim", 0, 1))})
    with pytest.raises(DatasetError, match="no videos of the subset 'test', but of validation"):
        read_segments(path, subset="test")
    with pytest.raises(DatasetError, match="has no segments in the subset 'validation'"):
        read_segments(written({"a": video()}), subset="validation")
    for text in ("[]", '{"database": []}', '{"database": {"a": 1}}'):
        path.write_text(text)
        with pytest.raises(DatasetError, match="has no database of videos"):
            read_segments(path, subset="validation")
    path.write_text(json.dumps({"database": {"a": {"subset": "x", "annotations": [{"label": 1}]}}}))
    with pytest.raises(DatasetError, match="annotation 1 of 'a' must have a label and a segment"):
        read_segments(path, subset="x")


def test_videos_are_found_by_id_or_with_a_v_ahead(written, tmp_path):
    found = read_segments(written({"a": video(("x", 0, 1)), "b": video()}), subset="validation")
    (tmp_path / "v_a.mp4").touch()
    with pytest.raises(DatasetError, match=r"names 'b', of which .*\(1 of 2 are missing\)"):
        find_videos(found, tmp_path / "net.json", tmp_path)
    (tmp_path / "b.mkv").touch()
    paths = find_videos(found, tmp_path / "net.json", tmp_path)
    assert [path.name for path in paths] == ["v_a.mp4", "b.mkv"]
