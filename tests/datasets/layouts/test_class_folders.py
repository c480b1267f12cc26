"""Folders of classes, on disk as users have them."""

import pytest

from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.datasets.records import VideoRecord
from stvit_video.errors import DatasetError, MissingFileError


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
