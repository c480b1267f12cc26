import pytest

from stvit_video.cli import main
from stvit_video.datasets.layouts.multi_label_list import (
    find_multi_label_list,
    read_multi_label_list,
)
from stvit_video.datasets.manifest import read_manifest
from stvit_video.errors import DatasetError


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "list.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


@pytest.mark.parametrize(
    ("line", "path", "labels"),
    [
        ("a.mp4 3 17 42", "a.mp4", ["3", "17", "42"]),
        ("a b.mp4,3,17", "a b.mp4", ["3", "17"]),
        ("a.mp4\t3;17", "a.mp4", ["3", "17"]),
        ("a.mp4 3|17", "a.mp4", ["3", "17"]),
        ("a.mp4 7", "a.mp4", ["7"]),
        (
            "x/a.mp4 holding a book;sitting, slowly",
            "x/a.mp4",
            ["holding a book", "sitting, slowly"],
        ),
        ('a.mp4,"run;sit"', "a.mp4", ["run", "sit"]),
        ('"a, b.mp4",run|sit', "a, b.mp4", ["run", "sit"]),
    ],
)
def test_labels_are_indices_or_names(write, line, path, labels):
    (row,) = read_multi_label_list(write(line))
    assert (row.path, row.labels) == (path, labels)


def test_a_header_is_no_video(write):
    assert [row.path for row in read_multi_label_list(write("path,labels", "a.mp4,1 2"))] == [
        "a.mp4"
    ]
    with pytest.raises(DatasetError, match=r"names no videos, only its columns"):
        read_multi_label_list(write("path,labels"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("b.mp4", "b.mp4 has no label; write path and labels, or take it out"),
        ("a.mp4 1", "a.mp4 is on line 1 already; write all labels of a video on one line"),
        ("b.mp4 1 9", "label 9 outside 0..3"),
        ("b.mp4 run;swim", "label 'swim' is none of the 4 classes"),
        ("b.mp4 1 2 1", "label (1;2;1) names '1' twice"),
        ("b.mp4 run;sit;run", "label (run;sit;run) names 'run' twice"),
        (
            "b.mp4 run;;sit",
            "label (run;;sit) has a place without a class; name one there, or take it out",
        ),
    ],
)
def test_a_bad_line_is_told_with_its_number(write, tmp_path, line, told):
    path = write("a.mp4 0 1", "", line)
    (tmp_path / "names.txt").write_text("run\nsit\nwalk\njump\n")
    with pytest.raises(DatasetError) as caught:
        find_multi_label_list(tmp_path, path, labels_path=tmp_path / "names.txt")
    assert str(caught.value) == f"{path} line 3: {told}"


def test_the_manifest_of_a_list_holds_all_labels(write, tmp_path, class_folder_root):
    path = write("waving/video_14.mp4 Waving;jump", "missing.mp4 jump", "waving/video_19.mp4 jump")
    output = tmp_path / "out.csv"
    arguments = ["data", "manifest", "multi-label-list", class_folder_root, "--annotations", path]
    assert main([*map(str, arguments), "--output", str(output), "--num_workers", "1"]) == 0
    manifest = read_manifest(output)
    assert [manifest.classes_of(record) for record in manifest.records] == [
        ["Waving", "jump"],
        ["jump"],
    ]
    assert manifest.records[0].num_frames == 14
    assert (tmp_path / "out.missing.txt").read_text() == "missing.mp4\n"
