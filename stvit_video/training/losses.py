"""The loss of a batch, and those of an epoch: their mean, and the step at which one is no number.

The host never waits for the device at a step: a loss is looked at once it has arrived.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stvit_video.errors import TrainingError
from stvit_video.training.processes import summed

_SHOWN = 4


def classification_loss(
    logits: Tensor, target: Tensor, *, smoothing: float, multi_label: bool
) -> Tensor:
    """Mean cross-entropy over the clips; logits (B, K), target (B,) or (B, K) -> a scalar.

    With `multi_label` each class is a question of its own, and the mean is over those, too.
    """
    if not multi_label:
        return F.cross_entropy(logits, target, label_smoothing=smoothing)
    spread = target * (1 - smoothing) + smoothing / target.shape[-1]
    return F.binary_cross_entropy_with_logits(logits, spread)


class EpochMean:
    """Mean of the losses of all clips of an epoch, over all processes."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None  # float64 (2,): of losses, of clips

    def add(self, loss: Tensor, num_clips: int) -> None:
        """Count a batch: its mean loss, a scalar."""
        loss = loss.detach().double()
        sums = torch.stack([loss * num_clips, torch.full_like(loss, num_clips)])
        self.sums = sums if self.sums is None else self.sums.to(sums.device) + sums

    def over_all(self, device: torch.device) -> Tensor:
        """Return the sums of all processes, which all must ask for: float64 (2,)."""
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        if self.sums is not None:
            sums += self.sums.to(device)
        return summed(sums)

    def take(self, device: torch.device) -> float:
        """Return the mean, nan of nothing, and begin anew."""
        loss, count = self.over_all(device).tolist()
        self.sums = None
        return loss / count if count else float("nan")


class Pending(NamedTuple):
    """A loss on its way to the host, and where it is from."""

    loss: Tensor  # on the host, once `arrived`
    arrived: torch.cuda.Event | None
    step: int
    epoch: int
    videos: Sequence[int]


class LossWatch:
    """Ends a training whose loss is no number, with the step and the videos that it met."""

    def __init__(self, name_video: Callable[[int], str]) -> None:
        self.name_video = name_video
        self.pending: deque[Pending] = deque()

    def add(self, loss: Tensor, *, step: int, epoch: int, videos: Sequence[int]) -> None:
        """Look at the losses that have arrived, and let this one come.

        Raises:
            TrainingError: one of them is not finite.
        """
        arrived = None
        host = loss.detach().to("cpu", non_blocking=True)
        if loss.is_cuda:
            arrived = torch.cuda.Event()
            arrived.record()
        self.pending.append(Pending(host, arrived, step, epoch, videos))
        while self.pending and (self.pending[0].arrived is None or self.pending[0].arrived.query()):
            self._look(self.pending.popleft())

    def check(self) -> None:
        """Wait for all losses and look at them. Raises as `add`."""
        while self.pending:
            pending = self.pending.popleft()
            if pending.arrived is not None:
                pending.arrived.synchronize()
            self._look(pending)

    def _look(self, pending: Pending) -> None:
        if torch.isfinite(pending.loss):
            return
        names = [self.name_video(video) for video in dict.fromkeys(pending.videos)]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise TrainingError(
            f"the loss is {float(pending.loss)} at step {pending.step} (epoch {pending.epoch}), of"
            f" {', '.join(names[:_SHOWN])}{more}; lower optimizer.lr, or set"
            " optimizer.clip_grad_norm: the same command goes on from the last checkpoint"
        )
