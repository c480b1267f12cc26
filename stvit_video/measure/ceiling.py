"""What the device can do at best: the rate of plain matrix products, measured on the spot."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from stvit_video.measure.throughput import device_name, time_in_turns


@dataclass(frozen=True, kw_only=True, slots=True)
class MatmulCeiling:
    """Fastest square matrix product found."""

    flops_per_second: float
    """Multiplications plus additions."""
    size: int
    """Rows and columns of the fastest product."""
    dtype: str
    device: str

    def utilisation(self, macs_per_second: float) -> float:
        """Share of the ceiling that a model reaches; its macs count twice, as flops."""
        return 2 * macs_per_second / self.flops_per_second


def measure_matmul_ceiling(
    device: torch.device,
    dtype: torch.dtype,
    *,
    sizes: Sequence[int] | None = None,
    num_rounds: int = 5,
) -> MatmulCeiling:
    """Time square products of several sizes in turns and keep the fastest of all rounds.

    The fastest, not the median: a ceiling is what the device can do when nothing disturbs it.
    """
    sizes = sizes or ((4096, 8192, 16384) if device.type == "cuda" else (512, 1024, 2048))
    operands = {
        str(size): (
            torch.randn(size, size, device=device).to(dtype),
            torch.randn(size, size, device=device).to(dtype),
        )
        for size in sizes
    }
    steps = {name: lambda a=a, b=b: a @ b for name, (a, b) in operands.items()}
    time_in_turns(steps, device=device, num_rounds=2)
    repeats = 10 if device.type == "cuda" else 1
    seconds = time_in_turns(steps, device=device, num_rounds=num_rounds, steps_per_round=repeats)
    rates = {int(name): 2 * int(name) ** 3 / min(seconds[name]) for name in seconds}
    best = max(rates, key=lambda size: rates[size])
    return MatmulCeiling(
        flops_per_second=rates[best],
        size=best,
        dtype=str(dtype).removeprefix("torch."),
        device=device_name(device),
    )
