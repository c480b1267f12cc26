"""Folders of classes, on disk as users have them."""

import pytest

from stvit_video.datasets.from_settings import read_videos
from stvit_video.datasets.layouts.class_folders import (
    count_left_out,
    describe_left_out,
    find_class_folders,
    find_videos_below,
)
from stvit_video.datasets.records import VideoRecord
from stvit_video.errors import DatasetError, MissingFileError
from stvit_video.video.decoding.open import read_frames
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def _error(root, **settings):
    with pytest.raises((DatasetError, MissingFileError)) as error:
        find_class_folders(root, **settings)
    return str(error.value)


def test_classes_are_the_sorted_folders_and_other_files_are_left_alone(tmp_path):
    _touch(tmp_path, "b c/2.webm", "b c/1.MP4", "b c/notes.txt", "Z/x.mkv", ".cache/y.mp4", "a.mp4")
    manifest = find_class_folders(tmp_path)
    assert manifest.class_names == ("Z", "b c")
    assert manifest.records == (
        VideoRecord(tmp_path / "Z/x.mkv", 0),
        VideoRecord(tmp_path / "b c/1.MP4", 1),
        VideoRecord(tmp_path / "b c/2.webm", 1),
    )


def test_videos_are_found_at_any_depth_but_in_hidden_folders(tmp_path):
    root = tmp_path / ".home"  # what leads to the folder may be hidden
    _touch(root, "b/c/2.webm", "b/1.MP4", "a.mp4", "b/notes.txt", ".cache/y.mp4", "b/.z.mp4")
    (root / "folder.mp4").mkdir()
    assert find_videos_below(root) == [root / "a.mp4", root / "b/1.MP4", root / "b/c/2.webm"]


def test_a_folder_without_videos_is_an_error(tmp_path):
    _touch(tmp_path, "b/notes.txt")
    with pytest.raises(DatasetError) as error:
        find_videos_below(tmp_path)
    assert str(error.value) == f"folder {tmp_path} holds no videos, at any depth"


def test_hidden_files_are_no_videos(tmp_path):
    _touch(tmp_path, "run/.19.partial.mp4", "run/._clip.mp4", "run/clip.mp4")
    assert [r.path.name for r in find_class_folders(tmp_path).records] == ["clip.mp4"]
    _touch(tmp_path, "sit/.19.partial.mp4")
    assert _error(tmp_path) == (
        f"class folder {tmp_path}/sit holds no videos; add some or remove it"
    )


def test_given_class_names_keep_their_index_when_a_folder_is_missing(tmp_path):
    _touch(tmp_path, "run/1.mp4", "jump/2.mp4")
    manifest = find_class_folders(tmp_path, class_names=("run", "sit", "jump"))
    assert [(r.path.name, r.label) for r in manifest.records] == [("2.mp4", 2), ("1.mp4", 0)]
    assert manifest.num_classes == 3


def test_a_folder_that_is_no_class_is_named(tmp_path):
    _touch(tmp_path, "run/1.mp4", "jumpp/2.mp4")
    assert _error(tmp_path, class_names=("run", "jump")) == (
        f"class folder {tmp_path}/jumpp is none of the 2 classes; did you mean 'jump'?"
    )


def test_an_empty_class_folder_is_named(tmp_path):
    _touch(tmp_path, "run/1.mp4")
    (tmp_path / "sit").mkdir()
    assert _error(tmp_path) == (
        f"class folder {tmp_path}/sit holds no videos; add some or remove it"
    )


def test_a_folder_of_splits_points_to_the_split(tmp_path):
    _touch(tmp_path, "train/run/1.mp4", "val/run/2.mp4")
    assert _error(tmp_path) == (
        f"class folder {tmp_path}/train holds no videos but folders, 'run' the first;"
        f" if those are the classes, give {tmp_path}/train"
    )


def test_a_missing_or_empty_root_is_named(tmp_path):
    assert _error(tmp_path / "no") == (
        f"data folder {tmp_path}/no does not exist; it must hold class folders"
    )
    assert _error(tmp_path) == (
        f"data folder {tmp_path} holds no class folders: one folder per class"
    )


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.gif", "gif", "rgb8"),
        ("a.asf", "msmpeg4v2", "yuv420p"),
        ("a.h264", "libx264", "yuv420p"),
        ("a.mjpeg", "mjpeg", "yuvj420p"),
        ("a.VOB", "mpeg2video", "yuv420p"),
        ("a.f4v", "libx264", "yuv420p"),
        ("a.mxf", "mpeg2video", "yuv420p"),
    ],
)
def test_videos_of_rarer_suffixes_are_found_and_read(tmp_path, name, codec, pix_fmt):
    (tmp_path / "waving").mkdir()
    path = tmp_path / "waving" / name
    pictures = (numbered_picture(i, width=96, height=64) for i in range(12))
    write_pictures(path, pictures, codec=codec, pix_fmt=pix_fmt)
    (record,) = find_class_folders(tmp_path).records
    assert record.path == path
    pictures = read_frames(path, [0, 7, 11])
    assert [read_number(picture.numpy()) for picture in pictures] == [0, 7, 11]


def test_what_is_left_out_is_counted_by_its_suffix(tmp_path):
    for folder in ("waving", "pushing", ".hidden"):
        (tmp_path / folder).mkdir()
        for name in ("a.mp4", "b.TXT", "README", ".c.txt"):
            (tmp_path / folder / name).touch()
    (tmp_path / "pushing" / "d.txt").touch()
    (tmp_path / "pushing" / "more.d").mkdir()
    counts = count_left_out(tmp_path)
    assert counts == {".txt": 3, "no suffix": 2, "hidden": 2, "folder": 1}
    assert describe_left_out(counts) == "7 files and 1 folder"
    assert describe_left_out({"folder": 2}) == "2 folders"
    assert describe_left_out({}) == ""


def test_what_a_mac_and_a_camera_leave_is_skipped_and_counted_in_one_line(tmp_path, caplog):
    for folder in ("waving", "pushing"):
        (tmp_path / "plain" / folder).mkdir(parents=True)
        for name in ("a.mp4", "._a.mp4", ".DS_Store", "a.jpg"):
            (tmp_path / "plain" / folder / name).touch()
    (tmp_path / "plain" / "waving" / "takes").mkdir()
    (tmp_path / "plain" / ".DS_Store").touch()
    videos = read_videos(tmp_path / "plain")
    assert [record.path.name for record in videos.records] == ["a.mp4", "a.mp4"]
    assert [record.getMessage() for record in caplog.records] == [
        "plain: 6 files and 1 folder left out"
    ]
