"""What keeps a training waiting, and the next step; from rates in clips per second."""

from collections.abc import Mapping
from dataclasses import dataclass

_ENOUGH = 0.95
"""Share of the model's rate at which its loader is called as fast."""
_GROWS = 1.1
"""Times as fast that more workers must be to be worth them."""
_MOSTLY_DECODING = 0.5
"""Share of the bare decoder's rate from which on a worker is called busy with decoding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """How fast the parts of a training are, each alone."""

    decoder: float
    """Of the bare decoder on one core."""
    loader: Mapping[int, float]
    """Of the loader by its number of workers, in rising order."""
    model: float | None
    """Of the model; None where none was named."""


def name_bottleneck(
    rates: Rates, *, num_workers: int, clips_per_video: int, files: str | None
) -> str:
    """Say in one line what the bottleneck is and what to do next.

    `num_workers` and `clips_per_video` are the settings as they are; `files` is what to do with the
    files (`faster_files`), None where nothing is.
    """
    best = max(rates.loader, key=lambda count: rates.loader[count])
    fastest = rates.loader[best]
    if rates.model is None:
        return _without_model(rates, num_workers=num_workers, files=files)
    wanted = _ENOUGH * rates.model
    if fastest >= wanted:
        fewest = min(count for count, rate in rates.loader.items() if rate >= wanted)
        if fewest > num_workers:
            return (
                f"the bottleneck is the number of workers: {fewest} feed the model, {num_workers}"
                f" are set; --data.num_workers {fewest}"
            )
        return "the bottleneck is the model: nothing to do for the data"
    share = f"{100 * fastest / rates.model:.0f} % of the model's rate with {best} workers"
    decodes = rates.loader[min(rates.loader)] >= _MOSTLY_DECODING * rates.decoder
    text = f"the bottleneck is {'decoding' if decodes else 'loading'} ({share})"
    if files is not None:
        return f"{text}; {files}"
    if best > num_workers and fastest > _GROWS * _at(rates, num_workers):
        return f"{text}; --data.num_workers {best}, {num_workers} are set"
    if decodes:
        times = -(-int(clips_per_video * rates.model) // max(int(fastest), 1))
        return f"{text}; --train.clips_per_video {max(min(times, 4), clips_per_video + 1)}"
    return f"{text}; more or faster cores"


def _without_model(rates: Rates, *, num_workers: int, files: str | None) -> str:
    if files is not None:
        return f"{files}; --model WORD says whether training waits for it"
    best = max(rates.loader, key=lambda count: rates.loader[count])
    times = rates.loader[best] / max(_at(rates, num_workers), 1e-9)
    if best > num_workers and times > _GROWS:
        return (
            f"{best} workers load {times:.1f} times as fast as {num_workers}: --data.num_workers"
            f" {best}; --model WORD says whether training waits for it"
        )
    return "nothing to do for the files and workers; --model WORD says whether training waits"


def _at(rates: Rates, num_workers: int) -> float:
    """Return the rate of the measured number of workers that is next to a number, from below."""
    return rates.loader[
        max((n for n in rates.loader if n <= num_workers), default=min(rates.loader))
    ]
