"""Lists as they are found in the wild."""

import pytest

from stvit_video.datasets.layouts.list_rows import ListRow
from stvit_video.datasets.layouts.video_list import find_video_list, read_video_list
from stvit_video.errors import DatasetError, MissingFileError


def _read(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8", newline="")
    return [row._replace(where="") for row in read_video_list(path).rows]


def _error(tmp_path, text, **settings):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(DatasetError) as error:
        find_video_list(tmp_path, path, **settings)
    return str(error.value).replace(str(path), "LIST")


@pytest.mark.parametrize("separator", [" ", "  ", "\t", ",", ", ", ";"])
def test_every_separator_reads_path_frames_and_label(tmp_path, separator):
    text = f"a b/c, d.mp4{separator}250{separator}7\nx.webm{separator}31{separator}0\n"
    assert _read(tmp_path, text) == [ListRow("a b/c, d.mp4", "7", 250), ListRow("x.webm", "0", 31)]
    text = f"a b/c, d.mp4{separator}7\nmy 2 cats 3.avi{separator}12\n"
    assert _read(tmp_path, text) == [
        ListRow("a b/c, d.mp4", "7", -1),
        ListRow("my 2 cats 3.avi", "12", -1),
    ]


def test_a_bare_path_has_no_label(tmp_path):
    assert _read(tmp_path, "my clip 7.mp4\r\n\r\nother.MOV\r\n") == [
        ListRow("my clip 7.mp4", "", -1),
        ListRow("other.MOV", "", -1),
    ]


def test_a_path_ends_at_the_last_suffix_of_its_line(tmp_path):
    assert _read(tmp_path, "old.mp4 copies/a.avi.mp4 3\n") == [
        ListRow("old.mp4 copies/a.avi.mp4", "3", -1)
    ]


def test_labels_may_be_names_with_spaces(tmp_path):
    assert _read(tmp_path, 'a.mp4 riding a bike\nb c.mp4,"hello, world"\n') == [
        ListRow("a.mp4", "riding a bike", -1),
        ListRow("b c.mp4", "hello, world", -1),
    ]
    assert _read(tmp_path, "#1 d.mp4\t100\triding a bike\n") == [
        ListRow("#1 d.mp4", "riding a bike", 100)
    ]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("frames/my clip 250 3", ListRow("frames/my clip", "3", 250)),
        ("frames/x 4", ListRow("frames/x", "4", -1)),
        ("frames/y", ListRow("frames/y", "", -1)),
    ],
)
def test_without_a_video_suffix_the_line_is_read_from_the_right(tmp_path, line, row):
    assert _read(tmp_path, f"{line}\n") == [row]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('"a, ""b"".mp4",3', ListRow('a, "b".mp4', "3", -1)),
        ('"c d.mp4" 5', ListRow("c d.mp4", "5", -1)),
        ('"e.mp4",20,"x, y"', ListRow("e.mp4", "x, y", 20)),
        ('"f.mp4","20","3"', ListRow("f.mp4", "3", 20)),
        ('g.mp4,"2 cats"', ListRow("g.mp4", "2 cats", -1)),
    ],
)
def test_quoted_fields_are_unquoted(tmp_path, line, row):
    assert _read(tmp_path, f"{line}\n") == [row]


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("v.mp4 25 1 2", "1 2"),
        ("v.mp4 1,2", "1,2"),
        ("v.mp4\t25\t1,2", "1,2"),
        ("v.mp4,25,1|2", "1|2"),
        ('v.mp4,"1,2"', "1,2"),
        ("v.mp4;1, 2; 3", "1, 2; 3"),
        ("frames/v 1,2", "1,2"),
    ],
)
def test_several_labels_of_a_video_are_refused(tmp_path, line, label):
    rule = "must be one number or one name; keep one label a video, and one separator between all"
    assert _error(tmp_path, f"{line}\n") == (
        f"LIST line 1: label ({label}) {rule} fields, read it as multi-label-list, or name the"
        " columns in a header such as path,start_frame,end_frame,label"
    )
    if line.startswith("v"):
        assert _error(tmp_path, f"\npath,label\n{line}\n").startswith("LIST line 3: label (")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a.mp4 3\n\nb.mp4 25 1\n",
            "LIST line 3 (b.mp4 25 1) reads as path, num_frames, label, but the lines above as"
            " path, label; write all lines alike, or name the columns in a header such as"
            " path,label",
        ),
        (
            "a.mp4 riding a bike\nb.mp4 2 cats\n",
            "LIST line 2 (b.mp4 2 cats) reads as path, num_frames, label, but the lines above as"
            " path, label; write all lines alike, or name the columns in a header such as"
            " path,label",
        ),
        (
            "a.mp4,30,3\nb.mp4\n",
            "LIST line 2 (b.mp4) reads as path, but the lines above as path, num_frames, label;"
            " write all lines alike, or name the columns in a header such as path,label",
        ),
        (
            "path,num_frames,label\na.mp4,30\n",
            "LIST line 2 (a.mp4,30) reads as path, label, but the lines above as path, num_frames,"
            " label; write all lines alike, or name the columns in a header such as path,label",
        ),
        (
            "id,path,class\n1,a.mp4,2\n2,b, c.mp4,3\n",
            "LIST line 3 (2,b, c.mp4,3) has 4 fields, but its header 3: id, path, label; put quotes"
            " around a field that holds the separator",
        ),
        (
            "label,path\n3\n",
            "LIST line 2 (3) has 1 fields, but its header 2: label, path; put quotes around a field"
            " that holds the separator",
        ),
    ],
)
def test_lines_that_differ_in_their_fields_are_refused(tmp_path, text, message):
    assert _error(tmp_path, text) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,label\na b.mp4,7\n", ListRow("a b.mp4", "7", -1)),
        ("path label\na b.mp4 7\n", ListRow("a b.mp4", "7", -1)),
        ("video_path\tnum_frames\tlabel\na b.mp4\t9\t7\n", ListRow("a b.mp4", "7", 9)),
        ("label,filename\n7,a b.mp4\n", ListRow("a b.mp4", "7", -1)),
        ("id,Path,split,class\n1,a b.mp4,val,2 cats\n", ListRow("a b.mp4", "2 cats", -1)),
        ("path,label\na b.mp4,2 cats\n", ListRow("a b.mp4", "2 cats", -1)),
        ("path\na b.mp4\n", ListRow("a b.mp4", "", -1)),
        ("\ufeffpath,label\na b.mp4,7\n", ListRow("a b.mp4", "7", -1)),
    ],
)
def test_a_header_names_the_columns(tmp_path, text, expected):
    assert _read(tmp_path, text) == [expected]


def test_a_header_without_a_path_is_refused(tmp_path):
    assert _error(tmp_path, "url label\nx 3\n") == (
        "LIST has the header 'url label'; one column must be one of path, video, video_path, file,"
        " filename, file_name, filepath, name, vid_name, video_name"
    )
    assert _error(tmp_path, "path,label\n") == "LIST names no videos, only its columns"


def test_files_are_looked_up_below_the_root_and_labels_by_their_names(tmp_path):
    (tmp_path / "my videos").mkdir()
    (tmp_path / "my videos" / "a b.mp4").touch()
    names = tmp_path / "names.txt"
    names.write_text("sit\nrun\njump\n")
    path = tmp_path / "list.csv"
    path.write_text("my videos/a b.mp4,jump\nno.mp4,1\nx.mp4,-1\n")
    found = find_video_list(tmp_path, path, labels_path=names)
    assert found.class_names == ("sit", "run", "jump")
    assert [(v.name, v.label, v.path) for v in found.videos] == [
        ("my videos/a b.mp4", 2, tmp_path / "my videos" / "a b.mp4"),
        ("no.mp4", 1, None),
        ("x.mp4", -1, None),
    ]
    assert found.manifest().records[0].label == 2


def test_without_names_indices_stay_and_names_are_sorted(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a.mp4 11\nb.mp4 2\n")
    found = find_video_list(tmp_path, path)
    assert found.class_names == tuple(map(str, range(12)))
    assert [video.label for video in found.videos] == [11, 2]
    path.write_text("a.mp4 run\nb.mp4 jump\n")
    found = find_video_list(tmp_path, path)
    assert found.class_names == ("jump", "run")
    assert [video.label for video in found.videos] == [1, 0]


def test_labels_outside_the_classes_name_the_video(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("sit\nrun\n")
    assert (
        _error(tmp_path, "a.mp4 2\n", labels_path=names)
        == "LIST line 1, a.mp4: label 2 outside 0..1"
    )
    assert _error(tmp_path, "a.mp4 runn\n", labels_path=names) == (
        "LIST line 1, a.mp4: label 'runn' is none of the 2 classes; did you mean 'run'?"
    )


def test_a_list_without_files_is_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a.mp4 1\nb.mp4 1\n")
    with pytest.raises(DatasetError) as error:
        find_video_list(tmp_path, path).manifest()
    assert str(error.value) == "none of the 2 annotated videos was found; the first is a.mp4"
    with pytest.raises(MissingFileError, match=r"none does not exist$"):
        find_video_list(tmp_path / "none", path)
