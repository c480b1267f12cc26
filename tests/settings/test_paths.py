import pytest

from stvit_video.errors import MissingFileError, VideoDecodeError
from stvit_video.settings.paths import (
    check_checkpoint,
    check_labels,
    check_there,
    check_video,
    check_videos,
    check_weights,
    is_hub_id,
)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("MCG-NJU/videomae-base", True),
        ("owner/name@main", True),
        ("nowhere", False),
        ("runs/demo/dense", False),
        ("owner/model.safetensors", False),
        ("owner/model.pth", False),
        ("/owner/name", False),
    ],
)
def test_a_hub_id_is_told_from_a_path(text, answer):
    assert is_hub_id(text) is answer


def test_a_path_below_a_folder_that_is_there_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("runs/demo")
    (tmp_path / "runs").mkdir()
    assert not is_hub_id("runs/demo")


@pytest.mark.parametrize(
    ("check", "path", "text"),
    [
        (check_checkpoint, "no", "it no does not exist; give the folder of a run"),
        (check_weights, "no", "no does not exist; give a file, a folder or a hub id such as"
                              " MCG-NJU/videomae-base-finetuned-kinetics"),
        (check_videos, "no", "data folder no does not exist; it must hold class folders"),
        (check_videos, "no.csv",
         "manifest no.csv does not exist; write one with `stvit-video data manifest`"),
        (check_labels, "no", "file of class names no does not exist"),
        (check_there, "no", "it no does not exist"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named(tmp_path, monkeypatch, check, path, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError) as caught:
        check("it", path)
    assert str(caught.value) == text
    (tmp_path / path).touch()
    check("it", path)


def test_a_video_that_is_not_there_is_told_as_the_decoder_tells_it(tmp_path):
    with pytest.raises(VideoDecodeError) as caught:
        check_video("video", tmp_path / "no.mp4")
    assert str(caught.value) == f"{tmp_path / 'no.mp4'}: missing (auto, open)"
