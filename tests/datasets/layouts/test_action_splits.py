"""UCF101 and HMDB51 in miniature, with their official split files."""

import pytest

from stvit_video.datasets.layouts.action_splits import find_hmdb51, find_ucf101
from stvit_video.errors import ConfigError, DatasetError, MissingFileError


def _write(root, **files):
    for name, text in files.items():
        (root / f"{name}.txt").write_text(text)


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def _labels(found):
    return [(v.name, v.label, None if v.path is None else v.path.name) for v in found.videos]


UCF = {
    "classInd": "1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n3 YoYo\r\n",
    "trainlist01": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n"
    "HandstandPushups/v_HandStandPushups_g08_c02.avi 2\r\n",
    "testlist01": "YoYo/v_YoYo_g01_c01.avi\r\nHandstandPushups/v_HandStandPushups_g01_c01.avi\r\n",
}


def test_ucf101_takes_the_class_of_the_folder_and_counts_from_zero(tmp_path):
    _write(tmp_path, **UCF)
    videos = tmp_path / "UCF-101"
    _touch(
        videos,
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
        "YoYo/v_YoYo_g01_c01.avi",
        "HandstandPushups/v_HandStandPushups_g01_c01.avi",
    )
    train = find_ucf101(videos, tmp_path / "trainlist01.txt")
    assert train.class_names == ("ApplyEyeMakeup", "HandstandPushups", "YoYo")
    assert _labels(train) == [
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", 0, "v_ApplyEyeMakeup_g08_c01.avi"),
        ("HandstandPushups/v_HandStandPushups_g08_c02.avi", 1, None),
    ]
    test = find_ucf101(videos, tmp_path / "testlist01.txt")
    assert [video.label for video in test.videos] == [2, 1]
    assert test.missing == []


def test_ucf101_finds_prepared_copies_in_a_flat_folder(tmp_path):
    _write(tmp_path, **UCF)
    _touch(tmp_path / "flat", "v_YoYo_g01_c01.mp4")
    test = find_ucf101(tmp_path / "flat", tmp_path / "testlist01.txt")
    assert test.videos[0].path == tmp_path / "flat" / "v_YoYo_g01_c01.mp4"


def test_ucf101_knows_a_class_by_other_capitals(tmp_path):
    _write(tmp_path, **UCF, other="HandStandPushups/v_HandStandPushups_g08_c02.avi 2\n")
    for folder in ("HandstandPushups", "HandStandPushups"):
        videos = tmp_path / folder
        _touch(videos, f"{folder}/v_HandStandPushups_g08_c02.avi")
        for name in ("trainlist01", "other"):
            video = find_ucf101(videos, tmp_path / f"{name}.txt").videos[-1]
            assert (video.label, video.path is None) == (1, False)


def test_ucf101_refuses_rows_that_contradict_the_class_list(tmp_path):
    _write(tmp_path, **UCF, odd="YoYo/v_YoYo_g01_c01.avi 2\n", list="a.mp4 3\n")
    with pytest.raises(DatasetError) as error:
        find_ucf101(tmp_path, tmp_path / "odd.txt")
    assert str(error.value) == f"{tmp_path}/odd.txt line 1: label 2 is not that of YoYo (3)"
    with pytest.raises(DatasetError) as error:
        find_ucf101(tmp_path, tmp_path / "list.txt")
    assert str(error.value) == (
        f"{tmp_path}/list.txt line 1: not a row of UCF101; expected Class/v_name.avi"
    )
    (tmp_path / "classInd.txt").unlink()
    with pytest.raises(MissingFileError) as error:
        find_ucf101(tmp_path, tmp_path / "odd.txt")
    assert str(error.value) == f"file of class names {tmp_path}/classInd.txt does not exist"


HMDB = {
    "brush_hair_test_split1": "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \n"
    "#122_a;b&c!_brush_hair_[x]_0.avi 2 \nunused_0.avi 0 \n",
    "wave_test_split1": "same_name.avi 2 \n20060723sfjffbartsinger_wave_f_cm_np1_ba_med_0.avi 1 \n",
    "wave_test_split2": "same_name.avi 1 \n",
}


def test_hmdb51_splits_by_the_mark_behind_each_name(tmp_path):
    splits = tmp_path / "splits"
    splits.mkdir()
    _write(splits, **HMDB)
    _touch(
        tmp_path / "videos",
        "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
        "brush_hair/#122_a;b&c!_brush_hair_[x]_0.avi",
        "brush_hair/unused_0.avi",
        "brush_hair/same_name.avi",
    )
    train = find_hmdb51(tmp_path / "videos", splits, split="train1")
    assert train.class_names == ("brush_hair", "wave")
    assert _labels(train) == [
        (
            "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
            0,
            "April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
        ),
        ("wave/20060723sfjffbartsinger_wave_f_cm_np1_ba_med_0.avi", 1, None),
    ]
    test = find_hmdb51(tmp_path / "videos", splits, split="test1")
    assert _labels(test) == [
        ("brush_hair/#122_a;b&c!_brush_hair_[x]_0.avi", 0, "#122_a;b&c!_brush_hair_[x]_0.avi"),
        ("wave/same_name.avi", 1, None),  # a file of that name lies with another class
    ]


def test_hmdb51_keeps_the_index_of_a_class_whose_split_file_is_missing(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("brush_hair\nturn\nwave\n")
    splits = tmp_path / "splits"
    splits.mkdir()
    _write(splits, **HMDB)
    (tmp_path / "videos").mkdir()
    test = find_hmdb51(tmp_path / "videos", splits, split="test1", labels_path=names)
    assert test.class_names == ("brush_hair", "turn", "wave")
    assert [video.label for video in test.videos] == [0, 2]
    names.write_text("brush_hair\nturn\n")
    with pytest.raises(DatasetError) as error:
        find_hmdb51(tmp_path / "videos", splits, split="test1", labels_path=names)
    assert str(error.value) == (
        f"{splits}/wave_test_split1.txt: label 'wave' is none of the 2 classes"
    )


def test_hmdb51_refuses_what_is_no_split(tmp_path):
    with pytest.raises(ConfigError) as error:
        find_hmdb51(tmp_path, tmp_path, split="val")
    assert str(error.value) == "split (val) of hmdb51 must be train1, test1, ... test3"
    with pytest.raises(MissingFileError) as error:
        find_hmdb51(tmp_path, tmp_path, split="train3")
    assert str(error.value) == f"no CLASS_test_split3.txt in {tmp_path}"
    _write(tmp_path, wave_test_split3="x.avi 7\n")
    with pytest.raises(DatasetError) as error:
        find_hmdb51(tmp_path, tmp_path, split="train3")
    assert str(error.value) == (
        f"{tmp_path}/wave_test_split3.txt line 1: expected a file name and 0, 1 or 2"
    )
