"""`stvit-video visualize` from the command line."""

import pytest
import torch

from stvit_video import create_model, write_checkpoint
from stvit_video.cli import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A model with semantic tokens, and a dense one."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs")
    for name, semantic in {"semantic": "4x2x2@1", "dense": None}.items():
        model = create_model("demo_tiny", num_classes=3, semantic=semantic)
        write_checkpoint(model, folder / name)
    return folder


def test_it_says_what_it_drew_left_out_and_wrote(runs, numbered_video, tmp_path, capsys):
    words = ["visualize", str(numbered_video), "--checkpoint", str(runs / "semantic")]
    words += ["--output_dir", str(tmp_path / "out"), "--device", "cpu", "--max_duration", "1s"]
    words += ["--window", "0.5", "--stride", "0.25", "--format", "page"]
    assert main(words) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("demo_tiny: 16 tokens a window, 3 windows. Where one ends, ")
    assert told[0].endswith(" The first 1.0 of 2.4 s; max_duration draws more.")
    assert told[1:] == [f"wrote {tmp_path / 'out' / 'clusters.html'}"]
    assert main([*words[:-1], "sheet"]) == 0, "a folder of its own is written over"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("clusters.html", "contact_sheet.png", "visualize.json")
    }


@pytest.mark.parametrize(
    ("checkpoint", "folder", "line"),
    [
        (
            "dense",
            "new",
            "demo_tiny is dense: no token gathers patches; train with model.semantic or"
            " model.reduction, or `stvit-video convert` the weights with --semantic",
        ),
        (
            "semantic",
            "theirs",
            "output_dir (theirs) holds notes.txt, which this command did not write there; choose a"
            " new folder",
        ),
    ],
)
def test_what_it_refuses_in_one_line(
    checkpoint, folder, line, runs, numbered_video, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").touch()
    words = ["visualize", str(numbered_video), "--checkpoint", str(runs / checkpoint)]
    assert main([*words, "--output_dir", folder, "--device", "cpu"]) == 2
    assert capsys.readouterr().err == f"stvit-video visualize: {line}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_a_file_that_is_no_video_is_named_and_nothing_is_written(runs, tmp_path, capsys):
    video = tmp_path / "notes.mp4"
    video.write_text("no video at all")
    words = ["visualize", str(video), "--checkpoint", str(runs / "semantic")]
    assert main([*words, "--output_dir", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert capsys.readouterr().err.startswith(f"stvit-video visualize: {video}: not a video")
    assert not (tmp_path / "out").exists()
