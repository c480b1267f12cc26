"""Names with markup, escapes and bidi overrides, from training to a prediction."""

import json
import os
import shutil

import pytest

from stvit_video.cli import main

ESC, BIDI = "\x1b[2J", "\u202e"


@pytest.fixture(scope="module")
def videos(tmp_path_factory, class_folder_root):
    root = tmp_path_factory.mktemp("names") / "videos"
    shutil.copytree(class_folder_root, root)
    one = root / "waving"
    one.rename(root / f"wa{ESC}v{BIDI}[b]")
    for name in ("../[/a].mp4", "[bold]x.mp4", "line\nbreak.mp4", os.fsdecode(b"\xff.mp4")):
        path = root / "pushing left" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no video at all")
    return root


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, videos):
    folder = tmp_path_factory.mktemp("runs") / "run[" / "x]"
    arguments = ["--model.name", "demo_tiny", "--model.num_frames", "2", "--model.image_size", "32"]
    arguments += ["--data.num_workers", "0", "--train.devices", "cpu", "--train.epochs", "1"]
    arguments += [
        "--data.max_failed_share",
        "0.9",
        "--augmentation.flip",
        "0",
        "--train.batch_size",
        "2",
    ]
    assert (
        main(["train", *arguments, "--data.train", str(videos), "--output_dir", str(folder)]) == 0
    )
    return folder


def safe(text):
    return not any(character in text for character in ("\x1b", BIDI, "\r"))


def test_evaluate_writes_first_and_prints_names_as_they_are(run_dir, videos, tmp_path, capsys):
    result = tmp_path / "result.json"
    assert main(["evaluate", str(videos), "--checkpoint", str(run_dir), "--json", str(result)]) == 0
    out, err = capsys.readouterr()
    assert safe(out)
    assert safe(err)
    failed = json.loads(result.read_text())["failed"]
    assert len(failed) == 4
    for name in ("[bold]x.mp4", r"line\nbreak.mp4", r"\udcff.mp4"):
        assert f"pushing left/{name}: not a video" in out
    assert "videos/[/a].mp4: not a video" in out
    assert r"wa\x1b[2Jv\u202e[b]" in out
    assert any("line\nbreak.mp4" in error for error in failed)


def test_results_are_there_although_the_terminal_is_not(run_dir, videos, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("stvit_video.evaluation.report.say", refuse)
    monkeypatch.setattr("stvit_video.report.drawn_table.say", refuse)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    result = tmp_path / "result.json"
    assert main(["evaluate", str(videos), "--checkpoint", str(run_dir), "--json", str(result)]) == 1
    assert json.loads(result.read_text())["num_decoded"] == 5
    one = tmp_path / "one.json"
    video = next((videos / "pushing left").glob("video_*"))
    arguments = ["predict", str(video), "--checkpoint", str(run_dir), "--json", str(one)]
    assert main(arguments) == 1
    assert json.loads(one.read_text())["video"] == str(video)


def test_predict_of_a_folder_tells_what_does_not_decode(run_dir, videos, capsys):
    assert main(["predict", str(videos), "--checkpoint", str(run_dir)]) == 1
    out, err = capsys.readouterr()
    assert safe(out)
    assert safe(err)
    assert "videos/[/a].mp4: not a video" in err
    assert r"wa\x1b[2Jv\u202e[b]" in out


def test_an_error_is_one_short_line_of_text(tmp_path, capsys):
    assert main(["predict", f"no{ESC}{BIDI}\n[/a].mp4", "--checkpoint", "a/b"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(r"stvit-video predict: no\x1b[2J\u202e\n[/a].mp4: missing")
    assert err.count("\n") == 1
    assert main([f"x{2000 * 'y'}"]) == 2
    assert len(capsys.readouterr().err) == 1001


def test_a_warning_is_one_line_of_text(capsys):
    import logging

    main(["--version"])
    capsys.readouterr()
    logging.lastResort.handle(
        logging.LogRecord("stvit_video.x", 30, "", 0, "%s read", (f"a{ESC}\nb",), None)
    )
    assert capsys.readouterr().err == "a\\x1b[2J\\nb read\n"
