"""The demo, which walks through every room: data, two trainings, evaluation, speed, a picture."""

import dataclasses
import time
from pathlib import Path

import torch
from rich.console import Console

from stvit_video.datasets.demo import DemoSizes, write_demo_dataset
from stvit_video.datasets.from_settings import build_prediction_loader, read_videos
from stvit_video.errors import ConfigError
from stvit_video.evaluation.prediction import VideoPrediction
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.run import Results, run_evaluation
from stvit_video.files import write_file
from stvit_video.measure.flops import count_flops
from stvit_video.measure.throughput import compare_throughput
from stvit_video.models.checkpoint import load_model
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.clusters import draw_clusters
from stvit_video.report.counts import clips_and_crops, counted
from stvit_video.report.drawn_table import print_table
from stvit_video.report.json_file import write_json
from stvit_video.report.page import Picture, Section, write_page
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.report.terminal import say
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig, RunConfig, TrainConfig
from stvit_video.settings.views import ViewConfig
from stvit_video.training.run import run_training
from stvit_video.video.pixels.crops import normalize_clip

SEMANTIC = "4x2x2@2"
_SPEED_BATCH = 8
_CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DemoRow:
    """What the demo found out about one model."""

    model: str
    semantic: str | None
    num_parameters: int
    macs_per_view: int
    macs_per_video: int
    """All views of one video."""
    clips_per_second: float
    """Views per second, both models in turns, in batches of 8 on the CPU."""
    speedup: float
    """Over the dense model: median of the ratio over rounds."""
    top1: float
    """Share of the test videos, in 0..1, over all views of each."""


def run_demo(
    run_dir: Path, *, epochs: int, seed: int, num_videos: int, console: Console
) -> list[DemoRow]:
    """Go the whole way and leave everything in `run_dir`, which must be new or empty.

    Raises:
        ConfigError: the folder holds something already.
    """
    if run_dir.exists() and any(run_dir.iterdir()):
        raise ConfigError(f"output_dir ({run_dir}) is not empty; choose a new folder")
    start = time.perf_counter()
    data_dir = run_dir / "data"
    sizes = DemoSizes(train=num_videos)
    with console.status("writing videos"):
        write_demo_dataset(data_dir, sizes=sizes, seed=seed)
    test_videos = read_videos(data_dir / "test")
    say(
        console,
        f"{test_videos.num_classes} classes in {data_dir}, each with {sizes.train} training,"
        f" {sizes.val} validation and {sizes.test} test videos",
    )
    runs = {
        "dense": demo_settings(data_dir, semantic=None, epochs=epochs, seed=seed),
        "semantic": demo_settings(data_dir, semantic=SEMANTIC, epochs=epochs, seed=seed),
    }
    for name, run in runs.items():
        run_training(run, run_dir / name, console=console, label=f"training {name}")
    models = {name: load_model(run_dir / name) for name in runs}
    top1 = _test(models, run_dir, runs["dense"], console)
    with console.status("timing both models side by side"):
        rows = _compare(models, runs["dense"].views, top1)
    example = test_videos.records[0].path
    run = runs["semantic"]
    predictor = Predictor(models["semantic"], data=run.data, views=run.views, device="cpu")
    prediction = predictor.predict(example)
    picture = _draw(models["semantic"], example, runs["semantic"], prediction)
    table = comparison_table(rows, runs["dense"].views, num_videos=len(test_videos.records))
    _write_results(run_dir, rows, prediction, picture, table)
    print_table(console, table)
    best = prediction.topk[0]
    say(console, f"{example.name} shows: {best['label']} (score {best['score']:.2f})")
    say(console, f"clusters: {run_dir / picture.name}, report: {run_dir / 'report.html'}")
    say(console, f"{(time.perf_counter() - start) / 60:.1f} minutes in all")
    return rows


def demo_settings(data_dir: Path, *, semantic: str | None, epochs: int, seed: int) -> RunConfig:
    """Return the training of one of the models; the recipes in `configs/demo` are the same."""
    return RunConfig(
        model=ModelConfig(name="demo_tiny", semantic=semantic, frame_stride=2),
        data=DataConfig(train=data_dir / "train", val=data_dir / "val", num_workers=1),
        augmentation=AugmentationConfig(
            crop="scale_jitter", scale_jitter=(1.0, 1.1), flip=0.0, label_smoothing=0.1
        ),
        views=ViewConfig(num_clips=2, num_crops=3),
        optimizer=OptimizerConfig(lr=1e-3, warmup_epochs=min(1.5, epochs), clip_grad_norm=1.0),
        train=TrainConfig(epochs=epochs, batch_size=32, devices="cpu", seed=seed),
    )


def comparison_table(rows: list[DemoRow], views: ViewConfig, *, num_videos: int) -> Table:
    """Show the models below each other, costs against the first."""
    dense = rows[0]
    return make_table(
        "dense against semantic tokens",
        [
            "model",
            Column(title="params (M)", format=".2f"),
            Column(title="GMACs per view", format=".3f"),
            Column(title="GMACs per video", format=".2f"),
            Column(title="MACs saved (%)", format=".0f"),
            Column(title="clips/s", format=".0f"),
            Column(title="times faster", format=".2f"),
            Column(title="top-1 (%)", format=".1f"),
        ],
        [
            [
                row.semantic or row.model,
                row.num_parameters / 1e6,
                row.macs_per_view / 1e9,
                row.macs_per_video / 1e9,
                100 * (1 - row.macs_per_view / dense.macs_per_view),
                row.clips_per_second,
                row.speedup,
                100 * row.top1,
            ]
            for row in rows
        ],
        note=f"{counted(num_videos, 'test video')},"
        f" {clips_and_crops(views.num_clips, views.num_crops)};"
        f" clips/s on {counted(torch.get_num_threads(), 'CPU thread')}, batches of {_SPEED_BATCH},"
        " both models in turns; TxHxW@N: clustered to that grid of semantic tokens after block N",
    )


def _test(
    models: dict[str, VideoModel], run_dir: Path, run: RunConfig, console: Console
) -> dict[str, float]:
    """Measure top-1 on the test videos, by model; write what each video was taken for."""
    files = {"semantic": "predictions.json", "dense": "dense/predictions.json"}
    reports = {
        name: run_evaluation(
            model,
            run_dir / "data" / "test",
            data=run.data,
            views=run.views,
            devices=[_CPU],
            batch_size=24,
            results=Results(predictions=run_dir / files[name]),
            progress=(console, f"testing {name}"),
        )
        for name, model in models.items()
    }
    return {name: report.top1 for name, report in reports.items()}


def _compare(
    models: dict[str, VideoModel], views: ViewConfig, top1: dict[str, float]
) -> list[DemoRow]:
    """Count and time the models, the dense one first."""
    like = next(iter(models.values())).preprocessing
    shape = (3, like.num_frames, like.image_size, like.image_size)
    clips = torch.randn(_SPEED_BATCH, *shape, generator=torch.Generator().manual_seed(0))
    speed = compare_throughput(models, clips, num_rounds=15)
    rows = []
    for name, model in models.items():
        cost = count_flops(model, clips[:1], num_views=views.num_views)
        rows.append(
            DemoRow(
                model=name,
                semantic=SEMANTIC if name == "semantic" else None,
                num_parameters=cost.num_parameters,
                macs_per_view=cost.macs,
                macs_per_video=cost.macs_per_video,
                clips_per_second=speed[name].clips_per_second,
                speedup=speed[name].ratio,
                top1=top1[name],
            )
        )
    return rows


def _draw(model: VideoModel, video: Path, run: RunConfig, prediction: VideoPrediction) -> Picture:
    loader = build_prediction_loader(
        [video],
        model.preprocessing,
        data=dataclasses.replace(run.data, num_workers=0),
        views=ViewConfig(),
        batch_size=1,
    )
    clips = next(iter(loader)).clip  # (1, C, T, H, W)
    with torch.inference_mode():
        weights = model.forward_assignments(normalize_clip(clips, model.preprocessing))[0]
    frames = clips[0].permute(1, 2, 3, 0).numpy()  # (T, H, W, 3)
    best = prediction.topk[0]
    title = f"{video.parent.name}: read as {best['label']} ({best['score']:.2f})"
    caption = (
        f"Above: frames of a test video. Below: each patch in the colour of the one of"
        f" {len(weights)} semantic tokens that attends to it most, stronger where more of its"
        " attention lies."
    )
    content = draw_clusters(frames, weights.numpy(), title=title)
    return Picture(name="clusters.png", content=content, caption=caption)


def _write_results(
    run_dir: Path,
    rows: list[DemoRow],
    prediction: VideoPrediction,
    picture: Picture,
    table: Table,
) -> None:
    write_json(rows, run_dir / "metrics.json")
    write_json(prediction.as_json(), run_dir / "prediction.json")
    write_file(run_dir / picture.name, picture.content)
    answer = make_table(
        f"{Path(prediction.video).name}",
        ["rank", "label", Column(title="score", format=".3f")],
        [[entry["rank"], entry["label"], entry["score"]] for entry in prediction.topk],
    )
    text = (
        "Real handwritten digits move over clutter; a class is a digit group and a motion. The"
        " test videos show handwriting that training never saw."
    )
    sections = (
        Section(title="Result", text=text, tables=(table,)),
        Section(title="One video", tables=(answer,), pictures=(picture,)),
    )
    write_page(run_dir, "stvit-video demo", sections)
