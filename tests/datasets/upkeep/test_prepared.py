import pytest

from stvit_video.datasets.manifest import Manifest, VideoRecord, write_manifest
from stvit_video.datasets.upkeep.prepared import check_output, prepared_manifest, prepared_paths
from stvit_video.datasets.upkeep.scan import ScanResult
from stvit_video.errors import ConfigError


def _places(tmp_path, *names):
    targets = prepared_paths([tmp_path / name for name in names], tmp_path, tmp_path / "new")
    return [str(target.relative_to(tmp_path / "new")) for target in targets.values()]


def test_sources_that_differ_in_their_suffix_keep_it(tmp_path):
    places = _places(tmp_path, "x/a.avi", "x/a.mp4", "x/b.mkv")
    assert places == ["x/a.avi.mp4", "x/a.mp4.mp4", "x/b.mp4"]


def test_no_two_sources_share_a_target(tmp_path):
    assert _places(tmp_path, "a/v.mp4", "a/v.avi", "a/v.mp4.mp4") == [
        "a/v.mp4.mp4",
        "a/v.avi.mp4",
        "a/v.mp4.mp4.2.mp4",
    ]


def test_capitals_alone_do_not_tell_targets_apart(tmp_path):
    assert _places(tmp_path, "a/V.mp4", "a/v.MP4", "A/v.mkv", "a/w.avi") == [
        "a/V.mp4.mp4",
        "a/v.MP4.2.mp4",
        "A/v.mkv.mp4",
        "a/w.mp4",
    ]


def test_sources_outside_the_folder_of_the_manifest_share_another_one(tmp_path):
    sources = [tmp_path / "disk" / "x" / "a.mp4", tmp_path / "disk" / "y" / "a.mp4"]
    targets = prepared_paths(sources, tmp_path / "lists", tmp_path / "new")
    assert list(targets.values()) == [tmp_path / "new/x/a.mp4", tmp_path / "new/y/a.mp4"]


def test_a_list_of_other_videos_is_not_overwritten(tmp_path):
    output = tmp_path / "train.csv"
    write_manifest(Manifest((VideoRecord(tmp_path / "a.mp4", 0),), ("x",)), output)
    check_output(output, [tmp_path / "a.mp4", tmp_path / "b.mp4"])
    check_output(tmp_path / "val.csv", [tmp_path / "b.mp4"])
    with pytest.raises(ConfigError) as caught:
        check_output(output, [tmp_path / "b.mp4"])
    assert str(caught.value) == f"output ({output}) lists other videos; choose another file"


def test_only_what_has_a_result_is_listed(tmp_path):
    records = tuple(VideoRecord(tmp_path / name, 0) for name in ("a.avi", "b.avi", "c.avi"))
    targets = {record.path: record.path.with_suffix(".mp4") for record in records}
    good, bad = ScanResult(verdict="ok", num_frames=7), ScanResult(verdict="corrupt")
    results = {records[0].path: good, records[2].path: bad}
    listed = prepared_manifest(Manifest(records, ("x",)), targets, results, made_for="dense4")
    assert [(r.path.name, r.num_frames, r.verdict, r.made_for) for r in listed.records] == [
        ("a.mp4", 7, "ok", "dense4"),
        ("c.avi", -1, "corrupt", ""),
    ]
