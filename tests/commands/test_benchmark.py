"""The command on networks so small that their speed means nothing; figures must fit together."""

import csv
import io
import json

import pytest
import torch

from stvit_video.cli import main
from stvit_video.measure.compare import speed
from stvit_video.measure.compare.cost import model_cost

TINY = "demo_tiny:frames=2:size=16"


@pytest.fixture(autouse=True)
def _small_products(monkeypatch):
    measure = speed.measure_matmul_ceiling
    monkeypatch.setattr(
        speed, "measure_matmul_ceiling", lambda *where: measure(*where, sizes=(16,), num_rounds=2)
    )


def test_models_modes_and_batch_sizes_make_one_row_each(tmp_path, capsys):
    path = tmp_path / "speed.json"
    models = [TINY, f"{TINY}:rlt"]
    options = ["--mode", "both", "--batch_sizes", "[1, 3]", "--rounds", "2", "--format", "csv"]
    assert main(["benchmark", *models, *options, "--json", str(path)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["model"], row["mode"], row["batch"]) for row in rows] == [
        (model, mode, batch)
        for mode in ("inference", "training")
        for batch in ("1", "3")
        for model in models
    ]
    result = json.loads(path.read_text())
    record = result["speed"][2]
    report = record["report"]
    assert report["clips_per_second"] == pytest.approx(3 / report["median_step_seconds"])
    macs = model_cost(TINY).flops.macs
    assert record["utilisation"] == pytest.approx(
        2 * macs * report["clips_per_second"] / result["matmul_ceiling"]["flops_per_second"]
    )
    training = result["speed"][6]
    assert training["utilisation"] / training["report"]["clips_per_second"] == pytest.approx(
        3 * record["utilisation"] / report["clips_per_second"]
    )
    assert (report["device"], report["dtype"], report["num_rounds"]) == ("cpu", "float32", 2)
    assert result["speed"][1]["mean_tokens"] > 0
    assert record["mean_tokens"] is None


def test_a_batch_that_does_not_fit_is_a_row_and_the_half_way_size_is_tried(monkeypatch, capsys):
    compare = speed.compare_throughput

    def with_room_for_three(models, clips, **how):
        if len(clips[TINY]) > 3:
            raise torch.OutOfMemoryError("full")
        return compare(models, clips, **how)

    monkeypatch.setattr(speed, "compare_throughput", with_room_for_three)
    main(["benchmark", TINY, "--batch_sizes", "[2, 4]", "--rounds", "1", "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["mode"], row["batch"]) for row in rows] == [
        ("inference", "2"),
        ("out of memory", "4"),
        ("inference", "3"),
    ]


def test_from_files_counts_clips_failures_and_waiting(tmp_path, counting_video, capsys):
    folder = tmp_path / "videos" / "walk"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.mkv").write_bytes(counting_video.read_bytes())
    (folder / "broken.mkv").write_bytes(b"no video")
    path = tmp_path / "speed.json"
    options = ["--videos", str(tmp_path / "videos"), "--num_workers", "0", "--rounds", "1"]
    assert main(["benchmark", TINY, *options, "--batch_sizes", "[2]", "--json", str(path)]) == 0
    [record] = json.loads(path.read_text())["from_files"]
    assert (record["num_clips"], record["num_failed_videos"]) == (3, 1)
    assert 0 < record["data_wait_share"] < 1
    assert "From video files to logits" in capsys.readouterr().out


def test_no_round_and_no_device_end_in_one_line(capsys):
    assert main(["benchmark", TINY, "--rounds", "0"]) == 2
    assert main(["benchmark", TINY, "--device", "abacus"]) == 2
    assert capsys.readouterr().err == (
        "stvit-video benchmark: rounds (0) must be at least 1\n"
        "stvit-video benchmark: device (abacus) is not here; use auto, cpu or cuda\n"
    )


def test_inference_only_ways_of_timing_are_refused_for_what_they_cannot_time(capsys):
    assert main(["benchmark", TINY, "--compile", "cuda-graph", "--device", "cpu"]) == 2
    assert main(["benchmark", TINY, f"{TINY}:fused", "--mode", "training"]) == 2
    assert capsys.readouterr().err == (
        "stvit-video benchmark: compile mode cuda-graph replays inference on a CUDA device, not"
        " inference on cpu; use default\n"
        f"stvit-video benchmark: model {TINY}:fused is fused for inference; train it without"
        " :fused\n"
    )


def test_a_fused_model_is_timed_beside_the_plain_one(capsys):
    models = [TINY, f"{TINY}:1x2x2@2:fused"]
    main(["benchmark", *models, "--rounds", "1", "--batch_sizes", "[2]", "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model"] for row in rows] == models
    assert all(float(row["clips/s"]) > 0 for row in rows)
