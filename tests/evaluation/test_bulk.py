"""Predictions of many videos in shards: each video once, whatever stops the run."""

import json
import os
import signal
from functools import partial

import pyarrow.parquet
import pytest
import torch
from rich.console import Console

from stvit_video.cli import main
from stvit_video.datasets.named_videos import find_named_videos
from stvit_video.errors import ConfigError
from stvit_video.evaluation.answers import ReadingPlan
from stvit_video.evaluation.bulk import identify_predictions, local_engine, predict_in_bulk
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.ray_engine import ray_engine
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import create_model

PLAN = ReadingPlan(num_workers=1, top_k=2)
CONSOLE = Console(stderr=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    model = create_model("demo_tiny", num_classes=3, num_frames=2, image_size=32)
    write_checkpoint(model, folder, labels=("a", "b", "c"))
    return folder


@pytest.fixture(scope="module")
def folder_of_videos(tmp_path_factory, numbered_video):
    """Seven videos, of which number 3 is empty."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(7):
        content = b"" if number == 3 else numbered_video.read_bytes()
        (folder / f"{number}.mp4").write_bytes(content)
    return folder


def shards(folder):
    return sorted(folder.glob("part-*.parquet"))


def rows(folder):
    table = pyarrow.parquet.read_table(folder)  # leaves out names with an underscore
    return sorted(table.to_pylist(), key=lambda row: row["video"])


def test_shards_hold_each_video_once(checkpoint, folder_of_videos, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["predict", str(folder_of_videos), "--checkpoint", str(checkpoint)]
    command += ["--output_dir", str(out), "--shard_size", "3", "--num_workers", "1"]
    assert main([*command, "--top_k", "2"]) == 1
    assert capsys.readouterr().out == (f"{out}: 7 videos done, 1 of them unreadable\n")
    assert [pyarrow.parquet.read_metadata(path).num_rows for path in shards(out)].count(3) == 2
    found = rows(out)
    assert [row["video"] for row in found] == [str(folder_of_videos / f"{i}.mp4") for i in range(7)]
    assert found[3]["error"] == f"{folder_of_videos / '3.mp4'}: empty (auto, open)"
    alone = Predictor.load(checkpoint, device="cpu").predict(folder_of_videos / "0.mp4", top_k=2)
    assert found[0]["label"] == [entry["label"] for entry in alone.topk]
    assert found[0]["score"] == pytest.approx([entry["score"] for entry in alone.topk], abs=2e-6)
    before = [path.stat().st_mtime_ns for path in shards(out)]
    assert main([*command, "--top_k", "2"]) == 0
    said = f"{out}: 0 videos done, 0 of them unreadable; 7 had been done before\n"
    assert capsys.readouterr().out == said
    assert [path.stat().st_mtime_ns for path in shards(out)] == before
    assert main([*command, "--top_k", "1"]) == 2
    assert capsys.readouterr().err == (
        f"stvit-video predict: output_dir ({out}) holds other predictions: its top_k was 2, not 1;"
        " choose another folder\n"
    )


def test_what_was_done_before_a_stop_is_kept(checkpoint, folder_of_videos, tmp_path):
    predictor = Predictor.load(checkpoint, device="cpu")
    identity = identify_predictions(predictor, PLAN)
    run = partial(predict_in_bulk, tmp_path / "out", identity=identity, console=CONSOLE)
    engine = local_engine(predictor, PLAN, shard_size=2)

    def stopping(folder, paths):
        for number, counted in enumerate(engine(folder, paths)):
            if number == 4:
                raise KeyboardInterrupt
            yield counted

    videos = find_named_videos([str(folder_of_videos)])
    with pytest.raises(KeyboardInterrupt):
        run(videos, stopping)
    assert [row["video"][-5:] for row in rows(tmp_path / "out")] == [f"{i}.mp4" for i in range(5)]
    done = run(videos, engine)
    assert (done.num_done, done.num_failed, done.num_before) == (2, 0, 5)
    assert [row["video"][-5:] for row in rows(tmp_path / "out")] == [f"{i}.mp4" for i in range(7)]


def test_a_shard_that_is_damaged_is_named(checkpoint, folder_of_videos, tmp_path):
    predictor = Predictor.load(checkpoint, device="cpu")
    run = partial(
        predict_in_bulk,
        tmp_path,
        find_named_videos([str(folder_of_videos / "0.mp4")]),
        local_engine(predictor, PLAN, shard_size=2),
        identity=identify_predictions(predictor, PLAN),
        console=CONSOLE,
    )
    run()
    (shard,) = shards(tmp_path)
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(ConfigError) as caught:
        run()
    assert str(caught.value) == f"{shard} cannot be read; remove it, and its videos are done again"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--engine", "ray"], "engine (ray) needs an --output_dir to write shards into"),
        (["--replicas", "2"], "replicas needs an --output_dir to write shards into"),
        (["--output_dir", "o", "--replicas", "2"], "replicas (2) are for --engine ray alone"),
        (["--output_dir", "o", "--csv", "x"], "csv cannot be written beside output_dir; leave"),
        (["--output_dir", "o", "--num_workers", "0"], "num_workers (0) must be at least 1 with"),
    ],
)
def test_settings_that_contradict_each_other(
    checkpoint, folder_of_videos, tmp_path, monkeypatch, capsys, words, line
):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(folder_of_videos), "--checkpoint", str(checkpoint), *words]) == 2
    assert capsys.readouterr().err.startswith(f"stvit-video predict: {line}")
    assert list(tmp_path.iterdir()) == []


def test_ray_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError) as caught:
        ray_engine(None, PLAN, shard_size=1, replicas=None)
    assert str(caught.value) == (
        "engine (ray) is not installed; pip install 'stvit-video[ray]', or leave out --engine"
    )


def load_and_die_once(checkpoint, mark):
    """Load a predictor whose process is killed while it works on its second shard, once."""
    predictor = Predictor.load(checkpoint, device="cpu")
    answer, shards_begun = predictor.predict_many, []

    def predict_many(paths, **how):
        shards_begun.append(1)
        for number, found in enumerate(answer(paths, **how)):
            if len(shards_begun) == 2 and number == 0 and not mark.exists():
                mark.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            yield found

    predictor.predict_many = predict_many
    return predictor


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_survives_a_killed_worker(checkpoint, folder_of_videos, tmp_path):
    import ray

    mark, out = tmp_path / "killed", tmp_path / "out"
    predictor = Predictor.load(checkpoint, device="cpu")
    videos = find_named_videos([str(folder_of_videos)])
    how = {"identity": identify_predictions(predictor, PLAN), "console": CONSOLE}
    make = partial(load_and_die_once, checkpoint, mark)
    try:
        engine = ray_engine(make, PLAN, shard_size=2, replicas=1)
        done = predict_in_bulk(out, videos, engine, **how)
        assert (done.num_done, done.num_failed) == (7, 1)
        assert int(mark.read_text()) != os.getpid()
    finally:
        ray.shutdown()
    found = rows(out)
    assert [row["video"][-5:] for row in found] == [f"{i}.mp4" for i in range(7)]
    here = tmp_path / "here"
    predict_in_bulk(here, videos, local_engine(predictor, PLAN, shard_size=2), **how)
    for one, other in zip(found, rows(here), strict=True):
        assert (one["video"], one["label"], one["error"]) == (
            *(other["video"], other["label"], other["error"]),
        )
    assert json.loads((out / "_predictions.json").read_text())["top_k"] == 2
