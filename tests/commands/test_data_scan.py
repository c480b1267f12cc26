import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stvit_video.cli import main
from stvit_video.commands.data_scan import data_scan
from stvit_video.datasets.manifest import read_manifest
from stvit_video.datasets.upkeep import file_run, scan_run
from stvit_video.datasets.upkeep.file_run import WorkerError
from stvit_video.datasets.upkeep.scan import ScanResult
from stvit_video.datasets.upkeep.workers import Outcome
from stvit_video.errors import ConfigError, DatasetError, MissingFileError
from stvit_video.video.decoding.formats import what_it_is


@pytest.fixture
def root(tmp_path, class_folder_root):
    root = tmp_path / "videos"
    shutil.copytree(class_folder_root, root)
    (root / "waving" / "words.mp4").write_text("no pictures " * 50)
    return root


def test_a_folder_is_scanned_into_a_manifest(root, capsys):
    data_scan(root, num_workers=2)
    records = {r.path.name: r for r in read_manifest(root / "manifest.csv").records}
    assert {name: record.num_frames for name, record in records.items()} == {
        "video_11.mp4": 11,
        "video_13.mp4": 13,
        "video_17.mp4": 17,
        "video_14.mp4": 14,
        "video_19.mp4": 19,
        "words.mp4": -1,
    }
    good = records["video_17.mp4"]
    assert (good.fps, good.width, good.height, good.codec) == (25.0, 96, 64, "h264")
    assert (good.gop, good.verdict, good.backend) == ("closed", "ok", "decord")
    assert records["words.mp4"].verdict == "not a video"
    bad = root / "waving" / "words.mp4"
    assert (
        root / "manifest.bad.txt"
    ).read_text() == f"{bad}\tnot a video\t{what_it_is(b'words')}\n"
    printed = capsys.readouterr().out
    assert f"{bad}: not a video: {what_it_is(b'words')}\n" in printed
    assert "5 of 6 videos ok: 74 frames, 0.00 hours; written to" in printed


def test_a_stopped_scan_goes_on_where_it_was(root, monkeypatch):
    data_scan(root, num_workers=1)
    asked = []

    def run_killable(function, items, **how):
        items = list(items)
        asked.extend(path.name for path in items)
        bad = ScanResult(verdict="corrupt")
        return (Outcome(item=path, result=bad, failure="", seconds=0.0) for path in items)

    monkeypatch.setattr(file_run, "run_killable", run_killable)
    data_scan(root / "manifest.csv")
    assert asked == []
    (root / "waving" / "words.mp4").write_text("other words " * 50)
    data_scan(root / "manifest.csv")
    assert asked == ["words.mp4"]
    with pytest.raises(DatasetError, match=r"^none of 6 videos is ok; .*video_11.mp4: corrupt$"):
        data_scan(root / "manifest.csv", fresh=True)
    assert len(asked) == 1 + 6


def test_a_video_that_hangs_is_noted_and_tried_again_next_time(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "pipe.mp4")
    monkeypatch.setattr(scan_run, "scan_video", Path.read_bytes)  # waits for ever on a pipe
    for _ in range(2):
        with pytest.raises(DatasetError) as caught:
            data_scan(tmp_path, num_workers=1, timeout_seconds=0.2)
        pipe = tmp_path / "a" / "pipe.mp4"
        assert str(caught.value) == f"none of 1 videos is ok; {pipe}: time limit"
        record = read_manifest(tmp_path / "manifest.csv").records[0]
        assert (record.verdict, record.num_frames) == ("time limit", -1)
    assert len((tmp_path / "manifest.scan.jsonl").read_text().splitlines()) == 2


def test_the_summary_is_written_as_json(root, tmp_path):
    data_scan(root, num_workers=2, json=tmp_path / "scan.json")
    summary = json.loads((tmp_path / "scan.json").read_text())
    assert (summary["num_videos"], summary["num_ok"], summary["num_frames"]) == (6, 5, 74)
    assert summary["verdicts"] == {"ok": 5, "not a video": 1}
    assert summary["backends"] == {"decord": 5}
    assert summary["bad_videos"][0]["verdict"] == "not a video"


def test_settings_and_paths_that_cannot_work_are_named(tmp_path):
    with pytest.raises(MissingFileError) as caught:
        data_scan(tmp_path / "no.csv")
    assert str(caught.value) == (
        f"manifest {tmp_path / 'no.csv'} does not exist; write one with `stvit-video data manifest`"
    )
    with pytest.raises(ConfigError, match=r"num_workers \(-1\) must be at least 0; 0 takes"):
        data_scan(tmp_path, num_workers=-1)
    with pytest.raises(ConfigError, match=r"timeout_seconds \(0.0\) must be more than 0"):
        data_scan(tmp_path, timeout_seconds=0.0)


NUM_VIDEOS = 80


def _start(*words, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "stvit_video", "data", *words, "--num_workers", "2"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def many(tmp_path, class_folder_root):
    (tmp_path / "many" / "x").mkdir(parents=True)
    for number in range(NUM_VIDEOS):
        source = class_folder_root / "waving" / "video_14.mp4"
        shutil.copy(source, tmp_path / "many" / "x" / f"{number}.mp4")
    return tmp_path


SCAN = (["scan", "many"], "many/manifest.scan.jsonl")
PREPARE = (["prepare", "many", "new", "--encode.preset", "fast"], "new/manifest.prepare.jsonl")


@pytest.mark.parametrize(
    ("words", "journal", "number", "status", "end"),
    [
        pytest.param(*SCAN, signal.SIGTERM, 143, os.kill, marks=pytest.mark.slow),
        (*SCAN, signal.SIGKILL, -9, os.kill),
        pytest.param(*PREPARE, signal.SIGTERM, 143, os.killpg, marks=pytest.mark.slow),
        (*PREPARE, signal.SIGINT, 130, os.killpg),
    ],
)
def test_a_signal_ends_it_in_one_line_and_it_goes_on_later(
    many, words, journal, number, status, end, monkeypatch, capsys
):
    process = _start(*words, folder=many)
    while not (many / journal).exists() or (many / journal).stat().st_size < 2000:
        time.sleep(0.02)
        assert process.poll() is None, process.stderr.read()
    end(process.pid, number)
    _, err = process.communicate(timeout=60)  # the workers too let go of it
    lines = [line for line in err.splitlines() if " bad " not in line and line.strip()]
    line = f"stvit-video data {words[0]}: stopped; the same command goes on where it was"
    assert process.returncode == status
    assert lines == ([] if number == signal.SIGKILL else [line])
    assert number == signal.SIGKILL or not list(many.rglob("*.partial.mp4"))
    num_noted = (many / journal).read_bytes().count(b"\n")
    assert 0 < num_noted < NUM_VIDEOS
    monkeypatch.chdir(many)
    assert main(["data", *words, "--num_workers", "2"]) == 0
    assert f"{NUM_VIDEOS} of {NUM_VIDEOS} videos " in capsys.readouterr().out
    num_lines = (many / journal).read_bytes().count(b"\n")
    assert num_lines in (NUM_VIDEOS, NUM_VIDEOS + 1)  # half a line, of SIGKILL
    assert not list(many.rglob("*.partial.mp4"))


def test_a_scan_whose_output_is_on_a_full_disk_is_one_line(root, small_disk, capsys):
    (small_disk / "fill").write_bytes(bytes(2**20 - 4096))
    output = small_disk / "m.csv"
    for number in range(400):
        shutil.copy(root / "waving" / "words.mp4", root / "waving" / f"{number}.mp4")
    words = ["data", "scan", str(root), "--output", str(output), "--num_workers", "2"]
    assert main(words) == 2
    journal = small_disk / "m.scan.jsonl"
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"stvit-video data scan: {journal} cannot be written: No space left on device"
    num_noted = journal.read_bytes().count(b"\n")
    assert 5 < num_noted < 40
    (small_disk / "fill").unlink()
    assert main(words) == 0
    assert journal.read_bytes().count(b"\n") in (406, 407)  # half a line of before
    assert len(read_manifest(output).records) == 406


def test_a_scan_of_no_good_video_is_an_error_once_all_is_written(root, capsys):
    for path in root.rglob("*.mp4"):
        path.write_text("words " * 99)
    assert main(["data", "scan", str(root), "--num_workers", "2"]) == 2
    first = root / "pushing left" / "video_11.mp4"
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"stvit-video data scan: none of 6 videos is ok; {first}: not a video"
    assert {r.verdict for r in read_manifest(root / "manifest.csv").records} == {"not a video"}


def test_an_error_of_ours_is_no_verdict_on_the_videos(root, monkeypatch, capfd):
    monkeypatch.setattr(scan_run, "scan_video", os.getpid)  # takes no path: TypeError
    with pytest.raises(WorkerError, match=r"^no fault of the videos:\nTraceback(.|\n)*TypeError: "):
        data_scan(root, num_workers=2)
    assert not (root / "manifest.csv").exists()
    assert "Traceback" not in capfd.readouterr().err


def test_files_that_are_no_videos_by_their_name_are_counted(root, capsys):
    (root / "waving" / "notes.txt").write_text("words")
    data_scan(root, num_workers=2)
    assert "files left out by their suffix: .txt 1\n" in capsys.readouterr().out
