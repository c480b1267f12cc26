"""One small run through the command line: train, evaluate, predict."""

import json
import shutil

import pyarrow.parquet
import pytest
import torch
import yaml

from stvit_video import load_model
from stvit_video.cli import main

TINY = ["--model.name", "demo_tiny", "--model.num_frames", "2", "--model.image_size", "32"]
FAST = ["--data.num_workers", "0", "--augmentation.flip", "0", "--train.devices", "cpu"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, class_folder_root):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    data = ["--data.train", str(class_folder_root), "--data.val", str(class_folder_root)]
    shape = ["--model.semantic", "1x2x2@2", "--train.epochs", "2", "--train.batch_size", "3"]
    views = ["--views.num_clips", "2", "--views.num_crops", "3"]
    arguments = ["train", *TINY, *FAST, *data, *shape, *views, "--output_dir", str(folder)]
    assert main([*arguments, "--json", str(folder.parent / "metrics.json")]) == 0
    return folder


def run_json(capsys, arguments, *, status=0):
    """Run a command with `--json -` and return what it wrote to standard output."""
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "-"]) == status
    return json.loads(capsys.readouterr().out)


def test_the_run_folder_holds_model_settings_metrics_and_a_file_to_resume_from(run_dir):
    assert {path.name for path in run_dir.iterdir()} == {
        *("model.safetensors", "model.json", "config.yaml", "metrics.json", "checkpoints"),
        *("steps.csv", "tensorboard"),
    }
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert metrics == json.loads((run_dir.parent / "metrics.json").read_text())
    assert [epoch["step"] for epoch in metrics["epochs"]] == [1, 2]  # 5 videos, batches of 3


def test_the_checkpoint_holds_settings_labels_and_preprocessing(run_dir):
    model = load_model(run_dir)
    assert model.labels == ("pushing left", "waving")
    assert (model.preprocessing.num_frames, model.preprocessing.image_size) == (2, 32)
    card = json.loads((run_dir / "model.json").read_text())
    assert card["semantic"] == "1x2x2@2"
    assert card["extra"]["config"] == yaml.safe_load((run_dir / "config.yaml").read_text())
    assert card["extra"]["config"]["train"]["batch_size"] == 3


def test_the_written_settings_can_be_trained_again(run_dir, tmp_path):
    again = ["train", "--config", run_dir / "config.yaml", "--output_dir", tmp_path / "again"]
    assert main([*map(str, again)]) == 0
    one, two = (load_model(folder).state_dict() for folder in (run_dir, tmp_path / "again"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_model_with_a_reducer_and_a_class_token_is_trained_as_one_with_semantic_tokens(
    class_folder_root, tmp_path, capsys
):
    arguments = ["--data.train", class_folder_root, "--output_dir", tmp_path / "run"]
    reducer = ["--model.reduction", "tome:r=1", "--model.class_token", "true"]
    assert (
        main([*map(str, ["train", *TINY, *FAST, *reducer, *arguments, "--train.epochs", 1])]) == 0
    )
    model = load_model(tmp_path / "run")
    assert str(model.recipe.options.reducer) == "tome:r=1,schedule=constant"
    assert model.embed.cls_token is not None
    report = run_json(capsys, ["evaluate", class_folder_root, "--checkpoint", tmp_path / "run"])
    assert report["num_decoded"] == 5
    assert (
        main(["train", *map(str, [*TINY, *reducer, "--model.semantic", "1x2x2@2", *arguments])])
        == 2
    )
    assert capsys.readouterr().err == (
        "stvit-video train: semantic (1x2x2@2) and reduction (tome:r=1) exclude each other\n"
    )


def test_a_run_folder_is_not_overwritten(run_dir, capsys):
    arguments = ["train", "--config", str(run_dir / "config.yaml"), "--output_dir", str(run_dir)]
    assert main([*arguments, "--train.resume", "false"]) == 2
    assert capsys.readouterr().err == (
        f"stvit-video train: output_dir ({run_dir}) already holds a model; choose another\n"
    )


def test_evaluation_takes_the_views_of_the_training_and_states_its_coverage(
    run_dir, class_folder_root, capsys, tmp_path
):
    predictions = tmp_path / "predictions.json"
    arguments = [
        "evaluate",
        class_folder_root,
        "--checkpoint",
        run_dir,
        "--predictions",
        predictions,
    ]
    report = run_json(capsys, [*arguments, "--num_workers", "0"])
    assert (report["num_clips"], report["num_crops"]) == (2, 3)
    assert (report["num_annotated"], report["num_decoded"], report["failed"]) == (5, 5, [])
    listed = json.loads(predictions.read_text())
    right = [entry["label"] == entry["topk"][0]["label"] for entry in listed]
    assert report["top1"] == pytest.approx(sum(right) / 5)


def test_evaluation_reports_a_video_that_does_not_decode(
    run_dir, class_folder_root, capsys, tmp_path
):
    broken = tmp_path / "videos" / "waving"
    broken.mkdir(parents=True)
    (broken / "broken.mp4").write_bytes(b"")
    good = next((class_folder_root / "waving").iterdir())
    (broken / "good.mp4").write_bytes(good.read_bytes())
    report = run_json(
        capsys, ["evaluate", broken.parent, "--checkpoint", run_dir, "--num_workers", "0"]
    )
    assert (report["num_annotated"], report["num_decoded"]) == (2, 1)
    assert len(report["failed"]) == 1
    assert report["failed"][0].startswith(f"{broken / 'broken.mp4'}: empty")


def test_prediction_is_the_json_of_the_field(run_dir, numbered_video, capsys):
    record = run_json(capsys, ["predict", numbered_video, "--checkpoint", run_dir])
    assert (record["frames"], record["fps"]) == (60, 25.0)
    assert record["views"] == {"num_clips": 2, "num_crops": 3, "combine": "mean_probability"}
    assert record["tokens"] == {"input": 16, "semantic": 4}
    assert sum(entry["score"] for entry in record["topk"]) == pytest.approx(1, abs=1e-5)
    assert {entry["label"] for entry in record["topk"]} == {"pushing left", "waving"}


def test_one_video_starts_no_process(run_dir, numbered_video, capsys, monkeypatch):
    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", None)
    assert run_json(capsys, ["predict", numbered_video, "--checkpoint", run_dir])["frames"] == 60


@pytest.fixture
def some_videos(tmp_path, class_folder_root, numbered_video):
    """Folder of two videos at different depths, and one that is empty."""
    folder = tmp_path / "some [bold]videos"
    (folder / "a").mkdir(parents=True)
    good = next((class_folder_root / "waving").iterdir())
    (folder / "a" / "good.mp4").write_bytes(good.read_bytes())
    (folder / "a" / "broken.mp4").write_bytes(b"")
    (folder / "z.mp4").write_bytes(numbered_video.read_bytes())
    return folder


@pytest.mark.parametrize("num_workers", ["0", "2"])
def test_a_folder_gives_what_its_videos_give(run_dir, some_videos, capsys, num_workers):
    arguments = ["--checkpoint", run_dir, "--top_k", "1"]
    how = ["--num_workers", num_workers, "--batch_size", "12"]
    found = run_json(capsys, ["predict", some_videos, *arguments, *how], status=1)
    broken = some_videos / "a" / "broken.mp4"
    assert (found["num_found"], found["num_decoded"]) == (3, 2)
    assert found["failed"] == [f"{broken}: empty (auto, open)"]
    good = [some_videos / "a" / "good.mp4", some_videos / "z.mp4"]
    for record, video in zip(found["predictions"], good, strict=True):
        alone = run_json(capsys, ["predict", video, *arguments])
        score = record["topk"][0].pop("score")
        assert score == pytest.approx(alone["topk"][0].pop("score"), abs=2e-6)
        assert record.pop("timing_ms").keys() == alone.pop("timing_ms").keys()
        assert record == alone


def test_a_folder_is_a_table_and_bad_videos_are_told(run_dir, some_videos, capsys):
    arguments = ["predict", some_videos, "--checkpoint", run_dir, "--num_workers", "0"]
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 1
    captured = capsys.readouterr()
    broken = some_videos / "a" / "broken.mp4"
    assert captured.err == f"does not decode: {broken}: empty (auto, open)\n"
    title, *drawn, note = captured.out.splitlines()
    assert title == str(some_videos)
    assert note == "demo_tiny, 2 clips x 3 crops; 2 of 3 videos can be read"
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in drawn if "mp4" in line]
    best = run_json(capsys, arguments, status=1)["predictions"]
    assert rows == [
        [video["video"], video["topk"][0]["label"], f"{video['topk'][0]['score']:.3f}"]
        for video in best
    ]


def test_decoders_agree_on_the_prediction(run_dir, numbered_video, capsys):
    scores = [
        run_json(
            capsys, ["predict", numbered_video, "--checkpoint", run_dir, "--backend", backend]
        )["topk"]
        for backend in ("pyav", "decord")
    ]
    assert scores[0] == scores[1]


def test_training_goes_on_from_its_last_epoch(run_dir, tmp_path):
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    folder = tmp_path / "longer"
    shutil.copytree(run_dir, folder)
    config["train"] |= {"epochs": 3}
    settings = tmp_path / "longer.yaml"
    settings.write_text(yaml.safe_dump(config))
    assert main(["train", "--config", str(settings), "--output_dir", str(folder)]) == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert [epoch["epoch"] for epoch in metrics["epochs"]] == [1, 2, 3]


def test_models_are_listed_with_their_sizes(capsys):
    rows = run_json(capsys, ["models", "videomae_[bs]*", "--semantic", "8x4x4@4"])
    assert [row["name"] for row in rows] == [
        "videomae_base_patch16_224",
        "videomae_small_patch16_224",
    ]
    assert [(row["tokens"], row["semantic_tokens"]) for row in rows] == [(1568, 128)] * 2
    assert rows[0]["parameters"] == pytest.approx(86.5e6, rel=0.01)


def test_a_timeline_is_json_subtitles_and_a_picture(run_dir, numbered_video, capsys, tmp_path):
    folder = tmp_path / "timelines"
    arguments = ["predict", numbered_video, "--checkpoint", run_dir, "--window", "800ms"]
    record = run_json(capsys, [*arguments, "--stride", "0.4", "--timeline_dir", folder])
    assert {path.name for path in folder.iterdir()} == {
        *("numbered.json", "numbered.vtt", "numbered.srt", "numbered.png")
    }
    times = [(window["start_s"], window["end_s"]) for window in record["windows"]]
    assert times == [(0, 0.8), (0.4, 1.2), (0.8, 1.6), (1.2, 2.0), (1.6, 2.4)]
    assert (record["window_s"], record["stride_s"], record["frames"]) == (0.8, 0.4, 60)
    stored = json.loads((folder / "numbered.json").read_text())
    assert stored["windows"] == record["windows"]
    cues = (folder / "numbered.vtt").read_text()
    assert cues.startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert "00:00:02.400\n" in cues
    assert record["segments"][-1]["end_s"] == 2.4


def test_videos_of_one_name_do_not_overwrite_each_other(
    run_dir, some_videos, numbered_video, capsys, tmp_path
):
    (some_videos / "z.mp4").rename(some_videos / "good.mp4")
    arguments = ["predict", some_videos, "--checkpoint", run_dir, "--num_workers", "0"]
    how = ["--window", "0.3s", "--timeline_dir", tmp_path / "out", "--top_k", "1"]
    found = run_json(capsys, [*arguments, *how], status=1)
    assert (found["num_found"], found["num_decoded"]) == (3, 2)
    names = {path.name for path in (tmp_path / "out").glob("*.json")}
    assert names == {"good.json", "good_2.json"}


def test_records_of_all_videos_bad_ones_too(run_dir, some_videos, capsys, tmp_path):
    files = {kind: tmp_path / f"out.{kind}" for kind in ("jsonl", "csv", "parquet")}
    given = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    how = ["--num_workers", "0", "--top_k", "1", *given]
    assert main(["predict", str(some_videos), "--checkpoint", str(run_dir), *how]) == 1
    capsys.readouterr()
    lines = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    broken = some_videos / "a" / "broken.mp4"
    assert lines[0] == {"video": str(broken), "error": f"{broken}: empty (auto, open)"}
    assert [line["video"] for line in lines[1:]] == [
        str(some_videos / "a" / "good.mp4"),
        str(some_videos / "z.mp4"),
    ]
    assert len(files["csv"].read_text().splitlines()) == 4
    assert pyarrow.parquet.read_table(files["parquet"])["error"].null_count == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--json", "-", "--csv", "-"], "json and csv both go to standard output; name a file"),
        (["--parquet", "-"], "parquet (-) must be a file: it is no text"),
        (["--timeline_dir", "out"], "timeline_dir (out) needs a --window, such as 2s"),
        (["--window", "soon"], "window (soon) must be a duration of 10ms to 24h"),
        (["--json", "no/where.json"], "json (no/where.json) cannot be written: there is no folder"),
    ],
)
def test_outputs_are_refused_before_the_work(
    run_dir, numbered_video, capsys, tmp_path, monkeypatch, words, line
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stvit_video.evaluation.predictor.load_model", None)
    assert main(["predict", str(numbered_video), "--checkpoint", str(run_dir), *words]) == 2
    assert capsys.readouterr().err.startswith(f"stvit-video predict: {line}")
    assert list(tmp_path.iterdir()) == []
