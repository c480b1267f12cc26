"""Kinetics in miniature: every edition of the csv and every layout, with the odd rows."""

import pytest

from stvit_video.datasets.layouts.kinetics import (
    KineticsRow,
    find_kinetics,
    find_kinetics_folders,
    kinetics400_class_names,
    names_of_rows,
    read_kinetics_csv,
)
from stvit_video.errors import DatasetError

# as in the official files: quotes, ids that begin with `-` or hold `_`, an id in two classes' names
K400_VAL = """\
label,youtube_id,time_start,time_end,split
"massaging person's head",-5kbO14z9zU,15,25,val
petting animal (not cat),__zZ_0Ag-hE,0,10,val
passing American football (not in game),a_b-c_d-e_f,120,130,val
abseiling,3caPS4FHFF8,36,46,val
"""
NAMES = kinetics400_class_names()


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def _write(path, text):
    path.write_text(text)
    return path


def _found(root, rows, names=NAMES):
    found = find_kinetics(root, rows, class_names=names)
    return [
        (v.label, None if v.path is None else v.path.relative_to(root).as_posix())
        for v in found.videos
    ]


def test_the_official_names_are_sorted_with_capitals_first():
    assert len(NAMES) == 400
    assert list(NAMES) == sorted(NAMES)
    assert NAMES.index("passing American football (in game)") == 208
    assert NAMES.index("abseiling") == 0
    assert NAMES.index("zumba") == 399
    assert sum(not name.replace(" ", "").isalpha() for name in NAMES) == 10


def test_the_validation_csv_is_read_with_its_quotes(tmp_path):
    rows = read_kinetics_csv(_write(tmp_path / "val.csv", K400_VAL))
    assert rows[0] == KineticsRow("massaging person's head", "-5kbO14z9zU", 15, 25, "val", 2)
    assert rows[2].stem == "a_b-c_d-e_f_000120_000130"
    assert len(rows) == 4


@pytest.mark.parametrize(
    "text",
    [
        "label,youtube_id,time_start,time_end,split,is_cc\nabseiling,3caPS4FHFF8,36,46,test,0\n",
        "abseiling,3caPS4FHFF8,36,46,test\n",
        "abseiling,3caPS4FHFF8,36.0,46.0,test,1\n",
        "\ufefflabel,youtube_id,time_start,time_end,split\r\nabseiling,3caPS4FHFF8,36,46,test\r\n",
    ],
)
def test_other_editions_of_the_csv_say_the_same(tmp_path, text):
    path = tmp_path / "test.csv"
    path.write_text(text, encoding="utf-8", newline="")
    (row,) = read_kinetics_csv(path)
    assert row._replace(line=0) == KineticsRow("abseiling", "3caPS4FHFF8", 36, 46, "test")
    assert row.line == (2 if "youtube_id" in text else 1)


@pytest.mark.parametrize(
    "text",
    ["youtube_id,time_start,time_end,split\n-5kbO14z9zU,15,25,test\n", "-5kbO14z9zU,15,25,test\n"],
)
def test_the_test_csv_may_have_no_label_column(tmp_path, text):
    rows = read_kinetics_csv(_write(tmp_path / "test.csv", text))
    assert [row._replace(line=0) for row in rows] == [
        KineticsRow("", "-5kbO14z9zU", 15, 25, "test")
    ]
    _touch(tmp_path, "test/-5kbO14z9zU_000015_000025.mp4")
    assert _found(tmp_path, rows) == [(-1, "test/-5kbO14z9zU_000015_000025.mp4")]


def test_the_cvdf_layout_prefers_the_replacement_of_a_corrupted_file(tmp_path):
    rows = read_kinetics_csv(_write(tmp_path / "val.csv", K400_VAL))
    _touch(
        tmp_path,
        "val/-5kbO14z9zU_000015_000025.mp4",
        "replacement/replacement_for_corrupted_k400/-5kbO14z9zU_000015_000025.mp4",
        "val/a_b-c_d-e_f_000120_000130.mp4",
        "train/3caPS4FHFF8_000036_000046.mp4",
        "val/3caPS4FHFF8_000036_000046.mp4",
    )
    assert _found(tmp_path, rows) == [
        (
            NAMES.index("massaging person's head"),
            "replacement/replacement_for_corrupted_k400/-5kbO14z9zU_000015_000025.mp4",
        ),
        (NAMES.index("petting animal (not cat)"), None),
        (
            NAMES.index("passing American football (not in game)"),
            "val/a_b-c_d-e_f_000120_000130.mp4",
        ),
        (0, "val/3caPS4FHFF8_000036_000046.mp4"),
    ]


@pytest.mark.parametrize("space", [" ", "_"])
def test_class_folders_are_found_with_spaces_and_with_underscores(tmp_path, space):
    rows = read_kinetics_csv(_write(tmp_path / "val.csv", K400_VAL))
    files = [
        "val/massaging person's head/-5kbO14z9zU_000015_000025.mp4",
        "val/petting animal (not cat)/__zZ_0Ag-hE.mkv",
        "val/abseiling/3caPS4FHFF8_000036_000046.mp4",
    ]
    files = [file.replace(" ", space) for file in files]
    _touch(tmp_path, *files)
    paths = [path for _, path in _found(tmp_path, rows)]
    assert paths == [files[0], files[1], None, files[2]]


def test_bare_ids_and_times_without_zeros_are_file_names_too(tmp_path):
    rows = read_kinetics_csv(_write(tmp_path / "val.csv", K400_VAL))
    _touch(tmp_path, "__zZ_0Ag-hE.mp4", "a_b-c_d-e_f_120_130.webm", "3caPS4FHFF8_000037_000047.mp4")
    paths = [path for _, path in _found(tmp_path, rows)]
    assert paths == [None, "__zZ_0Ag-hE.mp4", "a_b-c_d-e_f_120_130.webm", None]


def test_a_row_that_stands_twice_is_one_video(tmp_path):
    row = KineticsRow("abseiling", "3caPS4FHFF8", 36, 46, "val")
    other = row._replace(start_seconds=40)
    found = find_kinetics(tmp_path, [row, other, row], class_names=NAMES)
    assert len(found.videos) == 2
    assert find_kinetics(tmp_path, [row, other], class_names=NAMES).notes == ()


def test_rows_that_repeat_a_video_are_counted_and_the_first_is_named(tmp_path):
    text = K400_VAL + (
        "zumba,3caPS4FHFF8,36,46,val\n"
        "\n"
        "abseiling,3caPS4FHFF8,36,46,val\n"
        "yoga,__zZ_0Ag-hE,0,10,val\n"
        "yoga,__zZ_0Ag-hE,10,20,val\n"
    )
    rows = read_kinetics_csv(_write(tmp_path / "val.csv", text))
    found = find_kinetics(tmp_path, rows, class_names=NAMES)
    assert [(v.name, NAMES[v.label]) for v in found.videos[1:]] == [
        ("__zZ_0Ag-hE_000000_000010", "petting animal (not cat)"),
        ("a_b-c_d-e_f_000120_000130", "passing American football (not in game)"),
        ("3caPS4FHFF8_000036_000046", "abseiling"),
        ("__zZ_0Ag-hE_000010_000020", "yoga"),
    ]
    assert found.notes == (
        "2 rows repeat a video with another label; the first: 3caPS4FHFF8_000036_000046 line 6",
        "1 row repeats a video with the same label; the first: 3caPS4FHFF8_000036_000046 line 8",
    )


def test_labels_with_underscores_are_the_official_classes(tmp_path):
    row = KineticsRow("massaging_person's_head", "3caPS4FHFF8", 36, 46, "val")
    assert _found(tmp_path, [row]) == [(NAMES.index("massaging person's head"), None)]


def test_class_folders_without_a_csv_keep_the_official_index(tmp_path):
    _touch(
        tmp_path, "zumba/x.mp4", "massaging_person's_head/y.mp4", "petting animal (not cat)/z.mp4"
    )
    found = find_kinetics_folders(tmp_path, class_names=NAMES)
    assert [(v.name, NAMES[v.label]) for v in found.videos] == [
        ("y", "massaging person's head"),
        ("z", "petting animal (not cat)"),
        ("x", "zumba"),
    ]
    assert found.class_names == NAMES
    _touch(tmp_path, "zumbaa/x.mp4")
    with pytest.raises(DatasetError) as error:
        find_kinetics_folders(tmp_path, class_names=NAMES)
    assert str(error.value) == (
        f"class folder {tmp_path}/zumbaa: label 'zumbaa' is none of the 400 classes;"
        " did you mean 'zumba'?"
    )


def test_names_of_other_editions_must_be_complete(tmp_path):
    rows = [KineticsRow(label, "3caPS4FHFF8", 0, 10, "val") for label in ("b c", '"a"', "b c", "")]
    assert names_of_rows(rows, expected=2, where=tmp_path) == ("a", "b c")
    with pytest.raises(DatasetError) as error:
        names_of_rows(rows, expected=600, where=tmp_path / "val.csv")
    assert str(error.value) == (
        f"{tmp_path}/val.csv holds 2 of 600 classes, so that indices would shift;"
        " give all names with --labels"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "annotation file {path} is empty"),
        (
            "label,youtube_id,time_start,time_end,split\n",
            "annotation file {path} names no videos, only its columns",
        ),
        (
            "path,label\na.mp4,3\n",
            "{path} line 1: not a row of Kinetics; expected"
            " label,youtube_id,time_start,time_end,split",
        ),
        (
            "abseiling,3caPS4FHFF8,36,46,val\nabseiling,tooshort,36,46,val\n",
            "{path} line 2: youtube_id (tooshort) must have 11 characters",
        ),
        (
            "abseiling,3caPS4FHFF8,soon,46,val\n",
            "{path} line 1: not a row of Kinetics; expected"
            " label,youtube_id,time_start,time_end,split",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, message):
    path = _write(tmp_path / "val.csv", text)
    with pytest.raises(DatasetError) as error:
        read_kinetics_csv(path)
    assert str(error.value) == message.format(path=path)


def test_an_unknown_label_names_its_row(tmp_path):
    with pytest.raises(DatasetError) as error:
        _found(tmp_path, [KineticsRow("abseilin", "3caPS4FHFF8", 36, 46, "val")])
    assert str(error.value) == (
        "3caPS4FHFF8_000036_000046: label 'abseilin' is none of the 400 classes;"
        " did you mean 'abseiling'?"
    )
