"""Images as they are named."""

from pathlib import Path

import pytest

from stvit_video.datasets.coco.named_images import find_named_images
from stvit_video.errors import DatasetError, MissingFileError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.JPG", "a/c.png", "a/deep/d.webp", "a/no.txt", ".h/e.png", "a/.f.png", "z.bmp"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("none").mkdir()
    return tmp_path


def test_files_folders_and_patterns_each_image_once(folder):
    found = find_named_images(["z.bmp", ".", "a/*.png", "a/no.txt"])
    assert list(map(str, found)) == ["z.bmp", "a/c.png", "a/deep/d.webp", "b.JPG", "a/no.txt"]


@pytest.mark.parametrize(
    ("word", "kind", "told"),
    [
        ("x.png", MissingFileError, "image x.png does not exist"),
        (
            "*.gif",
            DatasetError,
            "pattern *.gif fits no file; put it in quotes, as in 'photos/*.jpg'",
        ),
        ("none", DatasetError, "folder none holds no image (.jpg, .jpeg, .png, .webp, .bmp)"),
    ],
)
def test_a_word_that_names_nothing(folder, word, kind, told):
    with pytest.raises(kind) as error:
        find_named_images([word])
    assert str(error.value) == told
