"""Names of classes in every form, and files below a root."""

import pytest

from stvit_video.datasets.layouts.annotations import VideoFiles
from stvit_video.datasets.layouts.class_names import ClassIndex, read_class_names
from stvit_video.errors import DatasetError, MissingFileError


def _read(tmp_path, text, suffix=".txt"):
    path = tmp_path / f"names{suffix}"
    path.write_text(text)
    return read_class_names(path)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".txt", "jump high\nrun\n\nsit\n"),
        (".txt", "1 jump high\n2 run\n3 sit\n"),
        (".txt", "0 jump high\r\n1 run\r\n2 sit\r\n"),
        (".csv", "id,name\n0,jump high\n1,run\n2,sit\n"),
        (".csv", "0,jump high\n1,run\n2,sit\n"),
        (".json", '["jump high", "run", "sit"]'),
        (".json", '{"run": "1", "jump high": "0", "sit": "2"}'),
        (".json", '{"0": "jump high", "2": "sit", "1": "run"}'),
    ],
)
def test_class_names_are_read_in_every_form(tmp_path, suffix, text):
    assert _read(tmp_path, text, suffix) == ("jump high", "run", "sit")


def test_names_that_begin_with_other_numbers_are_names(tmp_path):
    assert _read(tmp_path, "2 people\n3 people\n") == ("2 people", "3 people")


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        (".txt", "run\nsit\nrun\n", "class names {} hold 'run' twice"),
        (".txt", "", "file of class names {} is empty"),
        (".json", '{"run": 1, "sit": 3}', "class names {} must give each of 0..1 once"),
        (".json", "7", "class names {} must be a list or an object of name and index"),
        (".json", "[]", "class names {} hold no name"),
    ],
)
def test_names_that_give_no_index_are_refused(tmp_path, suffix, text, message):
    with pytest.raises(DatasetError) as error:
        _read(tmp_path, text, suffix)
    assert str(error.value) == message.format(tmp_path / f"names{suffix}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError) as error:
        read_class_names(tmp_path / "no.txt")
    assert str(error.value) == f"file of class names {tmp_path}/no.txt does not exist"


def test_classes_are_found_in_either_spelling():
    classes = ClassIndex(("a b (c)", "massaging person's head"))
    for name in (
        "massaging person's head",
        "massaging_person's_head",
        '"massaging person\'s head"',
    ):
        assert classes.find(name, where="x") == 1
    assert classes.find("a_b_(c)", where="x") == 0


def test_of_several_files_the_one_in_the_right_folders_is_taken(tmp_path):
    for name in ("test/run/a.mp4", "train/run/a.webm", "train/sit/a.mp4", "train/run/a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = VideoFiles(tmp_path)
    assert files.find("a", folders=["train", "run"]) == tmp_path / "train/run/a.webm"
    assert files.find("a", folders=["train", "sit"]) == tmp_path / "train/sit/a.mp4"
    assert files.find("b") is None


def test_hidden_files_are_no_videos_of_an_annotation(tmp_path):
    for name in (".19.partial.mp4", "._clip.mp4", "clip.mp4"):
        (tmp_path / name).touch()
    assert VideoFiles(tmp_path).by_stem == {"clip": [tmp_path / "clip.mp4"]}
