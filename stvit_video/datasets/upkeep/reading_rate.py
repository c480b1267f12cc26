"""How fast one core reads clips from files, before and after they were prepared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from torch import Generator

from stvit_video.datasets.upkeep.groups import PictureGroups
from stvit_video.datasets.upkeep.workers import run_killable
from stvit_video.settings.data import SamplingKind
from stvit_video.video.read_clip import read_sampled
from stvit_video.video.sampling.scheme import SamplingScheme

_NUM_FRAMES = 16
_USUAL_STRIDE = 4
_MOST_VIDEOS = 8
_ROUNDS = 3
_SECONDS = 4.0


class _Reading(NamedTuple):
    paths: tuple[Path, ...]
    scheme: SamplingScheme
    start_step: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingRate:
    """Random clips that one core reads per second, of a few videos: a hint, no benchmark."""

    sampling: SamplingScheme
    num_videos: int
    source_clips_per_second: float
    prepared_clips_per_second: float


def measure_reading(
    pairs: Sequence[tuple[Path, Path]], groups: PictureGroups
) -> ReadingRate | None:
    """Read some of the pairs of source and target for a few seconds; None where that fails."""
    if not pairs:
        return None
    chosen = pairs[:: -(-len(pairs) // _MOST_VIDEOS)]
    stride = groups.step if groups.step > 1 else _USUAL_STRIDE
    kind: SamplingKind = "segments" if groups.made_for == "segments" else "dense"
    scheme = SamplingScheme(kind=kind, num_frames=_NUM_FRAMES, frame_stride=stride, random=True)
    readings = [
        _Reading(paths, scheme, start_step)
        for paths, start_step in zip(zip(*chosen, strict=True), (1, groups.step), strict=False)
    ]
    outcomes = run_killable(_read_clips, readings, num_workers=1, timeout_seconds=10 * _SECONDS)
    rates = [outcome.result for outcome in outcomes if outcome.result]
    if len(rates) < 2:
        return None
    return ReadingRate(
        sampling=scheme,
        num_videos=len(chosen),
        source_clips_per_second=round(rates[0], 3),
        prepared_clips_per_second=round(rates[1], 3),
    )


def _read_clips(reading: _Reading) -> float:
    """Clips per second, each from a file that is opened for it."""
    generator = Generator().manual_seed(0)
    num_clips, start = -1, perf_counter()
    for path in (reading.paths[0], *_ROUNDS * reading.paths):
        read_sampled(path, reading.scheme, generator=generator, start_step=reading.start_step)
        num_clips += 1
        if not num_clips:
            start = perf_counter()  # the first one loads what reading needs
        elif perf_counter() - start > _SECONDS:
            break
    return num_clips / (perf_counter() - start)
