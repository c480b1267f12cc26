"""How fast videos are decoded and loaded, and how fast a model takes them: each alone."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter

import torch

from stvit_video.datasets.batches import Batch
from stvit_video.datasets.from_settings import (
    build_training_loader,
    read_videos,
    sampling_scheme,
)
from stvit_video.datasets.loader import VideoLoader
from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.records import Records
from stvit_video.datasets.upkeep.faster_files import faster_files, spread
from stvit_video.errors import ConfigError, DatasetError, VideoDecodeError
from stvit_video.measure.bottleneck import Rates, name_bottleneck
from stvit_video.measure.compare.words import build_word, example_clips, find_model
from stvit_video.measure.steps import build_step
from stvit_video.measure.sweep import sweep_batches
from stvit_video.models.device import choose_device
from stvit_video.report.counts import counted
from stvit_video.report.tables import Cell, Column, Table, make_table
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import ModelConfig, Preprocessing
from stvit_video.settings.training import RunConfig, TrainConfig
from stvit_video.video.read_clip import read_sampled

USUAL_CLIP = Preprocessing(num_frames=16, frame_stride=4, image_size=224)
"""What is read where no model says it."""
_BATCH = 8
_EPOCH = 4096
"""Videos of an epoch, those of the data set again and again, so that its end is not measured."""
_WARMUP_STEPS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedingReport:
    """What was measured, and what follows; rates in clips per second."""

    videos: Path
    num_videos: int
    """Videos that were read, over and over: from memory, where the system keeps files there."""
    clip: str
    """Frames x stride x size."""
    data: DataConfig
    clips_per_video: int
    device: str
    decoder: float
    """Of the bare decoder on one core, without resizing: one clip for each opened file."""
    loader: dict[int, float]
    """Of the training loader, by its number of workers."""
    model: float | None
    """Of training steps of the model with the clips already there; None without a model."""
    model_word: str | None
    batch_size: int
    """Clips of a training step."""
    next_step: str
    """The bottleneck and what to do about it."""


def measure_feeding(
    videos: Path,
    *,
    word: str | None,
    data: DataConfig,
    clips_per_video: int,
    batch_size: int,
    device: str,
    seconds: float,
) -> FeedingReport:
    """Measure each part for a few seconds: with one more to start each, and for slow parts more.

    Raises:
        ConfigError: there is no such model or device, or its batch is too large.
        DatasetError: there are no videos, or none of those that were read decodes.
    """
    place = choose_device(device)
    wanted, model = USUAL_CLIP, None
    if word is not None:
        model = _build(word)
        assert isinstance(model.preprocessing, Preprocessing)
        wanted = model.preprocessing
    manifest = read_videos(videos)
    some = _some(manifest)
    decoder = _decoder_rate(some, wanted, data, seconds)
    loader = {
        count: _loader_rate(some, wanted, _run(data, count, clips_per_video), place, seconds)
        for count in _worker_counts()
    }
    model_rate = None if model is None else _model_rate(model, batch_size, place, seconds)
    advice = name_bottleneck(
        Rates(decoder=decoder, loader=loader, model=model_rate),
        num_workers=data.num_workers,
        clips_per_video=clips_per_video,
        files=faster_files(videos, manifest.records, data, stride=wanted.frame_stride),
    )
    return FeedingReport(
        videos=videos,
        num_videos=len(set(some.records)),
        clip=f"{wanted.num_frames}x{wanted.frame_stride}x{wanted.image_size}",
        data=data,
        clips_per_video=clips_per_video,
        device=str(place),
        decoder=decoder,
        loader=loader,
        model=model_rate,
        model_word=word,
        batch_size=batch_size,
        next_step=advice,
    )


def feeding_table(report: FeedingReport) -> Table:
    """One row for each part."""
    rows: list[list[Cell]] = [["bare decoder, one core", report.decoder]]
    for count, rate in report.loader.items():
        rows.append([f"loader, {counted(count, 'worker')}", rate])
    if report.model is not None:
        what = f"training step of {report.model_word}, batch {report.batch_size}, {report.device}"
        rows.append([what, report.model])
    note = (
        f"{counted(report.num_videos, 'video')}, read again and again; clips of {report.clip}"
        f" (frames x stride x size), {report.data.sampling}, {report.clips_per_video} of a video;"
        " each part alone."
    )
    columns = ("part", Column(title="clips/s", format=".1f"))
    return make_table(f"Feeding from {report.videos}", columns, rows, note=note)


def _build(word: str) -> torch.nn.Module:
    found = find_model(word)
    if found.fused:
        raise ConfigError(f"model {word} is fused for inference; train it without :fused")
    return build_word(found)


def _worker_counts() -> list[int]:
    """Return 1, 2, 4, ... and the number of cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    return sorted({cores, *(2**power for power in range(cores.bit_length()))})


def _run(data: DataConfig, num_workers: int, clips_per_video: int) -> RunConfig:
    return RunConfig(
        model=ModelConfig(name="any"),
        data=replace(data, num_workers=num_workers),
        train=TrainConfig(batch_size=max(_BATCH, clips_per_video), clips_per_video=clips_per_video),
    )


def _some(manifest: Manifest) -> Manifest:
    """Take some of the videos, so often that an epoch outlasts a measurement."""
    some = list(spread(manifest.records))
    assert isinstance(manifest.records, Records)
    records = Records.of(some * -(-_EPOCH // len(some)), indexes=manifest.records.indexes)
    return replace(manifest, records=records)


def _decoder_rate(
    videos: Manifest, wanted: Preprocessing, data: DataConfig, seconds: float
) -> float:
    """Open, decode one clip and close, again and again; videos that do not decode are left out."""
    scheme = sampling_scheme(wanted, data, num_clips=1, random=True)
    generator = torch.Generator().manual_seed(0)
    indexes = videos.records.indexes if isinstance(videos.records, Records) else None
    num_clips, start = 0, perf_counter()
    for number, record in enumerate(videos.records):
        if number == 1:
            num_clips, start = 0, perf_counter()  # the first one loads what reading needs
        index = indexes.find(record.path) if indexes else None
        try:
            read_sampled(
                record.path,
                scheme,
                generator=generator,
                start_step=record.start_step,
                backend=data.backend,
                max_pixels=data.max_pixels,
                index=index,
            )
            num_clips += 1
        except VideoDecodeError as error:
            last = error
        if number and perf_counter() - start > seconds:
            break
    if not num_clips:
        raise DatasetError(f"none of the videos that were read decodes; the last one: {last}")
    return num_clips / (perf_counter() - start)


def _loader_rate(
    videos: Manifest, wanted: Preprocessing, run: RunConfig, device: torch.device, seconds: float
) -> float:
    """Count clips in whole rounds of all workers: they deliver in turn, and so in bursts."""
    loader = build_training_loader(videos, wanted, run, device=device)
    batches = _endless(loader)
    for _ in islice(batches, run.data.num_workers):
        pass
    num_clips, start = 0, perf_counter()
    while perf_counter() - start < seconds:
        num_clips += sum(len(batch.label) for batch in islice(batches, run.data.num_workers))
    _finish(device)
    return num_clips / (perf_counter() - start)


def _endless(loader: VideoLoader) -> Iterator[Batch]:
    while True:
        yield from loader


def _model_rate(
    model: torch.nn.Module, batch_size: int, device: torch.device, seconds: float
) -> float:
    """Time training steps (forward, backward, AdamW), under bfloat16 autocast on a GPU."""
    model.to(device)

    def measure(size: int) -> float:
        clips = example_clips(model, size).to(device)
        autocast = torch.bfloat16 if device.type == "cuda" else None
        step, _ = build_step(model, clips, mode="training", autocast_dtype=autocast)
        for _ in range(_WARMUP_STEPS):
            step()
        _finish(device)
        num_steps, start = 0, perf_counter()
        while perf_counter() - start < seconds:
            step()
            _finish(device)
            num_steps += 1
        return size * num_steps / (perf_counter() - start)

    rate = sweep_batches(measure, [batch_size])[0].result
    if rate is None:
        raise ConfigError(f"batch_size ({batch_size}) needs more memory than {device} has")
    return rate


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
