"""One probing, from settings to a run folder."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from math import isfinite
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from stvit_video.datasets.coverage import check_failed
from stvit_video.datasets.from_settings import read_training_videos, read_validation_videos
from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.records import labels_of
from stvit_video.errors import ConfigError
from stvit_video.evaluation.metrics import measure_accuracy
from stvit_video.evaluation.team import joined_team
from stvit_video.files import check_output_folder, holding
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import build_model
from stvit_video.probing.features import FeatureCache, FeatureExtractor, Features
from stvit_video.probing.heads import ProbeGrid
from stvit_video.probing.report import ProbeReport, ProbeResult
from stvit_video.report.json_file import as_plain, write_json
from stvit_video.report.progress import count_videos
from stvit_video.report.terminal import say
from stvit_video.settings.probe import ProbeRun
from stvit_video.settings.views import ViewConfig
from stvit_video.training.folder import METRICS_FILE, check_free, write_settings


def run_probing(run: ProbeRun, run_dir: Path, cache: FeatureCache) -> ProbeReport | None:
    """Train probes as `run` says; the run folder holds the model with the best of them.

    Features that `cache` has of the same network, videos and views are not computed again. Of
    several processes that torchrun started, the first trains the probes; the others return None.

    Raises:
        StvitVideoError: a setting, the data or a folder cannot be used as it stands.
    """
    check_output_folder("output_dir", run_dir)
    check_output_folder("features", cache.path)
    check_free(run_dir)
    assert run.data.train is not None
    train = read_training_videos(run.data.train)
    lists = {"train": train, "val": read_validation_videos(run.data, train)}
    torch.manual_seed(run.probe.seed)
    model, num_blocks = _build_frozen(run)
    model.multi_label = train.is_multi_label
    extractor = FeatureExtractor(model, tokens=num_blocks > 0)
    start = time.perf_counter()
    with joined_team() as team, holding(run_dir) if team.is_first else nullcontext():
        if team.is_first:
            say(cache.console, f"output_dir {run_dir}")
            write_settings(run_dir, as_plain(run))
        features = {
            name: cache.features_of(videos, extractor, name=name, team=team)
            for name, videos in lists.items()
        }
        if not team.is_first:
            return None
        check_failed(
            features["train"].failed,
            num_videos=len(train.records),
            most=run.data.max_failed_share,
        )
        feature_seconds = time.perf_counter() - start
        torch.manual_seed(run.probe.seed)  # the same first weights, whatever was there before
        model.reset_classifier(train.num_classes, attentive_blocks=num_blocks)
        grid = ProbeGrid.of(model, run.probe, device=cache.devices[0])
        losses = _fit(grid, train, features["train"], cache.console)
        results = _measure(grid, losses, lists["val"], features["val"], run.views)
        report = ProbeReport(
            attentive_blocks=num_blocks,
            feature_shape=features["train"].shape,
            num_videos=len(features["train"]),
            num_views=run.views.num_views,
            probes=results,
            best=max(range(len(results)), key=lambda number: results[number].figure),
            failed=features["train"].failed,
            val_failed=features["val"].failed,
            feature_seconds=feature_seconds,
            training_seconds=time.perf_counter() - start - feature_seconds,
        )
        grid.probes[report.best].put_into(model)
        _write(run, run_dir, model, train.class_names, report)
    return report


def _build_frozen(run: ProbeRun) -> tuple[VideoModel, int]:
    """Build the network without head and pooler; return how many blocks the probes' poolers have.

    Raises:
        ConfigError: clips are to be joined, and the probes are linear.
    """
    model = build_model(run.model, num_classes=0)
    num_blocks = model.attentive_blocks
    if run.views.join_clips and not num_blocks:
        raise ConfigError(
            "views.join_clips (True) needs an attentive pooler, but these probes are linear; give"
            " model.attentive_blocks"
        )
    model.reset_classifier(0, attentive_blocks=0)
    return model, num_blocks


def _fit(
    grid: ProbeGrid, videos: Manifest, features: Features, console: Console
) -> Sequence[float]:
    """Train the probes, while a bar counts epochs; return their losses."""
    label = f"epochs of {len(grid.probes)} probes"
    with count_videos(console, label, total=grid.settings.epochs) as count:
        return grid.fit(features, _targets(videos, features), count)


def _targets(videos: Manifest, features: Features) -> Tensor:
    """Return the labels (M,) of the videos that have features, or of several labels (M, K)."""
    labels = labels_of(videos.records)[features.video_index]
    targets = videos.targets()
    return labels if targets is None else targets[labels].float()


def _measure(
    grid: ProbeGrid,
    losses: Sequence[float],
    videos: Manifest,
    features: Features,
    views: ViewConfig,
) -> tuple[ProbeResult, ...]:
    """Compare what each probe says of the validation videos with their labels."""
    targets = _targets(videos, features)
    targets = targets.bool() if grid.multi_label else targets
    results = []
    for rates, loss, scores in zip(
        grid.rates, losses, grid.score(features, views.combine), strict=True
    ):
        is_sound = isfinite(loss) and bool(scores.isfinite().all())
        results.append(
            ProbeResult(
                lr=rates[0],
                weight_decay=rates[1],
                train_loss=loss if is_sound else None,
                val=measure_accuracy(scores, targets) if is_sound else None,
            )
        )
    return tuple(results)


def _write(
    run: ProbeRun, run_dir: Path, model: VideoModel, labels: tuple[str, ...], report: ProbeReport
) -> None:
    write_json(report, run_dir / METRICS_FILE)
    write_checkpoint(model, run_dir, labels=labels, extra={"config": as_plain(run)})
