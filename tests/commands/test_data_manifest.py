"""`stvit-video data manifest` on a miniature Kinetics copy, run as a user runs it."""

import json
import shutil

import pytest

from stvit_video.cli import main
from stvit_video.datasets.coverage import Coverage, read_coverage
from stvit_video.datasets.layouts.kinetics import kinetics400_class_names
from stvit_video.datasets.manifest import read_manifest
from stvit_video.video.numbered import numbered_picture, write_pictures

CSV = """\
label,youtube_id,time_start,time_end,split
"massaging person's head",-5kbO14z9zU,15,25,val
petting animal (not cat),__zZ_0Ag-hE,0,10,val
abseiling,3caPS4FHFF8,36,46,val
zumba,gone0000000,1,11,val
"""


@pytest.fixture
def copy(tmp_path):
    """A CVDF copy with one video in order, one empty, one no video, and one not there."""
    (tmp_path / "videos" / "val").mkdir(parents=True)
    good = tmp_path / "videos" / "val" / "-5kbO14z9zU_000015_000025.mp4"
    write_pictures(good, [numbered_picture(i, width=64, height=48) for i in range(7)])
    (good.parent / "__zZ_0Ag-hE_000000_000010.mp4").touch()
    (good.parent / "3caPS4FHFF8_000036_000046.mp4").write_text("<html>not found</html>")
    (tmp_path / "val.csv").write_text(CSV)
    return tmp_path


def _run(*arguments):
    return main(["data", "manifest", *map(str, arguments)])


def test_a_kinetics_copy_becomes_a_manifest_with_its_coverage(copy, capsys):
    output = copy / "out" / "val.csv"
    arguments = ("kinetics400", copy / "videos", "--annotations", copy / "val.csv")
    status = _run(*arguments, "--output", output, "--num_workers", 1, "--json", copy / "out.json")
    assert status == 0
    assert capsys.readouterr().out.splitlines() == [
        "kinetics400: 400 classes",
        "annotated        4  100.00 %",
        "found            3   75.00 %",
        "decodable        1   25.00 %",
        f"  {copy}/videos/val/__zZ_0Ag-hE_000000_000010.mp4: empty",
        f"  {copy}/videos/val/3caPS4FHFF8_000036_000046.mp4: not a video",
        f"1 without a file: {copy}/out/val.missing.txt",
        f"manifest: {output}",
    ]
    assert (copy / "out" / "val.missing.txt").read_text() == "gone0000000_000001_000011\n"
    counts = read_coverage(output, found=3, failed=2)
    assert counts == Coverage(annotated=4, found=3, decodable=1)
    manifest = read_manifest(output)
    assert manifest.class_names == kinetics400_class_names()
    good = manifest.records[0]
    assert manifest.class_names[good.label] == "massaging person's head"
    assert (good.num_frames, good.width, good.height, good.codec) == (7, 64, 48, "h264")
    assert good.backend in ("decord", "pyav")
    assert [record.verdict for record in manifest.records] == ["", "empty", "not a video"]
    result = json.loads((copy / "out.json").read_text())
    assert result["coverage"] == {"annotated": 4, "found": 3, "decodable": 1}
    assert result["missing"] == ["gone0000000_000001_000011"]
    assert list(result["broken"].values()) == ["empty", "not a video"]


def test_rows_that_contradict_each_other_are_told_beside_the_counts(copy, capsys):
    (copy / "val.csv").write_text(CSV + "yoga,3caPS4FHFF8,36,46,val\n")
    arguments = ("kinetics400", copy / "videos", "--annotations", copy / "val.csv")
    arguments = (*arguments, "--output", copy / "m.csv", "--num_workers", 0)
    note = "1 row repeats a video with another label; the first: 3caPS4FHFF8_000036_000046 line 6"
    assert _run(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "annotated        4  100.00 %"
    assert lines[4] == note
    assert _run(*arguments, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [note]


def test_the_counts_alone_can_be_printed_as_json(copy, capsys):
    arguments = ("kinetics400", copy / "videos", "--annotations", copy / "val.csv")
    assert _run(*arguments, "--output", copy / "m.csv", "--num_workers", 0, "--json", "-") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["coverage"] == {"annotated": 4, "found": 3, "decodable": None}
    assert (result["layout"], result["num_classes"]) == ("kinetics400", 400)


def test_files_are_not_opened_when_nobody_is_to_open_them(copy, capsys):
    arguments = ("kinetics400", copy / "videos", "--annotations", copy / "val.csv")
    assert _run(*arguments, "--output", copy / "m.csv", "--num_workers", 0) == 0
    assert "decodable  not checked; open the files with --num_workers" in capsys.readouterr().out
    assert read_manifest(copy / "m.csv").records[0].num_frames == -1


def test_a_whole_copy_leaves_no_list_of_missing_files_behind(copy):
    video = copy / "videos" / "val" / "-5kbO14z9zU_000015_000025.mp4"
    arguments = ("kinetics400", copy / "videos", "--annotations", copy / "val.csv")
    _run(*arguments, "--output", copy / "m.csv", "--num_workers", 0)
    assert (copy / "m.missing.txt").is_file()
    shutil.copy(video, copy / "videos" / "gone0000000.mp4")
    _run(*arguments, "--output", copy / "m.csv", "--num_workers", 0)
    assert not (copy / "m.missing.txt").exists()


def test_folders_and_lists_need_no_annotations_of_a_data_set(copy):
    assert (
        _run("class-folders", copy / "videos", "--output", copy / "a.csv", "--num_workers", 0) == 0
    )
    assert read_manifest(copy / "a.csv").class_names == ("val",)
    (copy / "list.txt").write_text("videos/val/-5kbO14z9zU_000015_000025.mp4 3\n")
    arguments = ("list", copy, "--annotations", copy / "list.txt", "--num_workers", 0)
    assert _run(*arguments, "--output", copy / "b.csv") == 0
    assert [record.label for record in read_manifest(copy / "b.csv").records] == [3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ssv2", "videos"], "layout ssv2 needs --annotations"),
        (["kinetics600", "videos"], "layout kinetics600 needs --annotations or --labels"),
        (["kinetics400", "none"], "data folder none does not exist; it must hold class folders"),
        (
            ["kinetics400", "videos", "--annotations", "val.csv", "--split", "test"],
            "val.csv has no rows of split 'test'; its splits are val",
        ),
        (
            ["kinetics700", "videos", "--annotations", "val.csv"],
            "val.csv holds 4 of 700 classes, so that indices would shift;"
            " give all names with --labels",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_two(
    copy, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(copy)
    assert _run(*arguments, "--output", "m.csv") == 2
    assert capsys.readouterr().err == f"stvit-video data manifest: {message}\n"
    assert not (copy / "m.csv").exists()
