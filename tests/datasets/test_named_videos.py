"""Videos as people name them on a command line."""

import io

import pytest

from stvit_video.datasets.named_videos import find_named_videos
from stvit_video.errors import DatasetError, VideoDecodeError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to stand in: clips/a.mp4, clips/more/b.mkv, clips/notes.txt, c d.mp4."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips" / "more").mkdir(parents=True)
    for name in ("clips/a.mp4", "clips/more/b.mkv", "c d.mp4", "odd [1].mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "clips" / "notes.txt").write_text("a.mp4\nmore/b.mkv\nclips/a.mp4\ngone.mp4\n")
    return tmp_path


def names(words):
    found = find_named_videos(words)
    return [str(path) for path in found.paths], found.total, found.is_one, found.title


def test_one_file_is_one(here):
    assert names(["c d.mp4"]) == (["c d.mp4"], 1, True, "c d.mp4")
    assert names(["odd [1].mp4"]) == (["odd [1].mp4"], 1, True, "odd [1].mp4")


def test_a_folder_holds_videos_at_any_depth(here):
    assert names(["clips"]) == (["clips/a.mp4", "clips/more/b.mkv"], 2, False, "clips")


def test_a_pattern_fits_files(here):
    assert names(["clips/**/*.m*"])[0] == ["clips/a.mp4", "clips/more/b.mkv"]
    with pytest.raises(DatasetError, match=r"pattern nothing/\*\.mp4 fits no file"):
        names(["nothing/*.mp4"])


def test_several_words_name_each_file_once(here):
    found = names(["clips/a.mp4", "c d.mp4", "clips"])
    assert found == (["clips/a.mp4", "c d.mp4", "clips/more/b.mkv"], 3, False, "3 videos")


def test_a_list_names_files_from_here_or_from_itself(here):
    paths = ["clips/a.mp4", "clips/more/b.mkv", "gone.mp4"]  # clips/a.mp4 stands there twice
    assert names(["clips/notes.txt"]) == (paths, 3, False, "clips/notes.txt")


def test_a_list_of_parts_of_files_is_refused(here):
    (here / "parts.csv").write_text("path,label,start_seconds,end_seconds\nc d.mp4,0,1,2\n")
    with pytest.raises(DatasetError) as caught:
        names(["parts.csv"])
    assert str(caught.value) == (
        "parts.csv line 2: c d.mp4 names a part of a file, and whole files are read here;"
        " use `stvit-video evaluate`, or `--window` for parts of equal length"
    )


def test_standard_input_is_read_as_it_comes(here, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a.mp4\n\nb c.mp4\r\na.mp4\n"))
    assert names(["-"]) == (["a.mp4", "b c.mp4"], None, False, "standard input")
    with pytest.raises(DatasetError, match=r"- \(paths on standard input\) must stand alone"):
        names(["-", "c d.mp4"])


def test_what_is_not_there_is_missing(here):
    with pytest.raises(VideoDecodeError, match=r"gone\.mp4: missing"):
        names(["c d.mp4", "gone.mp4"])
