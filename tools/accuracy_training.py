"""Train one network of tools/accuracy.py, one seed after the other, and test it.

A step draws its clips, runs the network both ways and updates the weights without a word to the
host; on a GPU it is captured once as a CUDA graph and replayed, also for the next seed.

Legend: B clips.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from accuracy_rows import PREPROCESSING, Row, build
from moving_garments import NUM_DRAWS, NUM_MOTIONS, Pictures, draw_clips
from torch import Tensor, nn

from stvit_video.measure.flops import count_flops
from stvit_video.measure.steps import compiled
from stvit_video.settings.training import OptimizerConfig
from stvit_video.training.optimizer import Schedule as Rates
from stvit_video.training.optimizer import parameter_groups

Mode = Literal["eager", "blocks", "graph"]
"""Kernels one by one, compiled blocks, or those replayed by one launch."""

TEST_SEED, VALIDATION_SEED = 9, 8
NUM_VALIDATION_CLIPS = 2000
_STEPS_A_CHUNK = 64
_TEST_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a network is trained."""

    steps: int
    batch_size: int = 128
    lr: float = 1e-3
    """The highest; it falls to 0 by half a cosine."""
    tuning_lr: float = 3e-4
    """The highest of rows that begin with dense weights, which are trained for a tenth."""
    weight_decay: float = 0.05
    num_tests: int = 16
    """Points of a learning curve."""

    def of(self, row: Row) -> tuple[int, float]:
        """Return the steps and the highest learning rate of a row."""
        return (self.steps // 10, self.tuning_lr) if row.tuned else (self.steps, self.lr)


class Accuracy(NamedTuple):
    """Shares of clips that are named right, in %."""

    garment: float
    motion: float
    """Direction and speed."""
    both: float


class Trainer:
    """One network with its optimiser; `fit` begins anew with each seed."""

    def __init__(
        self, row: Row, parts: dict[str, Pictures], schedule: Schedule, *, mode: Mode
    ) -> None:
        self.row, self.parts, self.schedule = row, parts, schedule
        self.device = parts["train"].pixels.device
        self.model = build(row).to(self.device).train()
        self.tested = build(row).to(self.device).eval()
        self.mean, self.std = pixel_statistics(self.device)
        self.lr = torch.zeros((), device=self.device)
        groups = parameter_groups(self.model, lr=1.0, weight_decay=schedule.weight_decay)
        for group in groups:
            group["lr"] = self.lr
        is_cuda = self.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(groups, fused=is_cuda or None, capturable=is_cuda)
        self.numbers = torch.rand(schedule.batch_size, NUM_DRAWS, device=self.device)
        self.draw = draw_clips if mode == "eager" else torch.compile(draw_clips, dynamic=False)
        if mode != "eager" and row.has_static_shapes:
            compiled(self.model, "blocks")
        self._warm_up()
        is_captured = mode == "graph" and row.has_static_shapes
        self.step = self._capture() if is_captured else self._step

    def fit(
        self, seed: int, weights: dict[str, Tensor] | None = None
    ) -> Iterator[tuple[int, Accuracy]]:
        """Train from scratch, or from dense weights; yield steps and accuracy as it goes.

        Yields step 0 where it begins with weights. Accuracy is that on the validation clips.
        """
        self._begin(seed, weights)
        generator = torch.Generator(self.device).manual_seed(seed)
        num_steps, lr = self.schedule.of(self.row)
        warmup = min(num_steps // 10, 500)
        rates = Rates(
            self.optimizer, OptimizerConfig(lr=lr, warmup_epochs=warmup / num_steps)
        )  # of one epoch
        rates.lay_out(steps_per_epoch=num_steps, num_epochs=1, videos_per_step=1)
        lrs = torch.tensor(
            [lr * rates.factor(step) for step in range(num_steps)], device=self.device
        )
        num_tests = self.schedule.num_tests
        tests = {num_steps * (i + 1) // num_tests for i in range(num_tests)}
        if weights is not None:
            yield 0, self.test("validation")
        for step in range(num_steps):
            if step % _STEPS_A_CHUNK == 0:
                chunk = (_STEPS_A_CHUNK, *self.numbers.shape)
                numbers = torch.rand(chunk, generator=generator, device=self.device)
            self.numbers.copy_(numbers[step % _STEPS_A_CHUNK])
            self.lr.copy_(lrs[step])
            self.step()
            if step + 1 in tests:
                yield step + 1, self.test("validation")

    @torch.inference_mode()
    def test(self, part: str) -> Accuracy:
        """Test on clips that are the same for all: one of each test garment, or of validation."""
        num_clips = len(self.parts["test"].garment) if part == "test" else NUM_VALIDATION_CLIPS
        generator = torch.Generator(self.device).manual_seed(
            TEST_SEED if part == "test" else VALIDATION_SEED
        )
        self.tested.load_state_dict(self.model.state_dict())
        right = torch.zeros(3, device=self.device)
        numbers = torch.rand(num_clips, NUM_DRAWS, generator=generator, device=self.device)
        if part == "test":  # the first number chooses the garment: each once
            numbers[:, 0] = (torch.arange(num_clips, device=self.device) + 0.5) / num_clips
        for batch in numbers.split(_TEST_BATCH):
            clips, labels = draw_clips(self.parts[part], batch)
            with self._autocast():
                named = self.tested(self._normalize(clips)).argmax(dim=1)
            garment = named // NUM_MOTIONS == labels // NUM_MOTIONS
            motion = named % NUM_MOTIONS == labels % NUM_MOTIONS
            right += torch.stack([garment, motion, named == labels]).sum(dim=1)
        return Accuracy(*(100 * right / num_clips).tolist())

    def is_finite(self) -> bool:
        """Whether all weights are numbers."""
        weights = [p.detach().isfinite().all() for p in self.model.parameters()]
        return bool(torch.stack(weights).all())

    def seconds_per_step(self, num_steps: int = 20) -> float:
        """Time steps, as fast as other processes let them be."""
        self._synchronize()
        start = time.perf_counter()
        for _ in range(num_steps):
            self.step()
        self._synchronize()
        return (time.perf_counter() - start) / num_steps

    def _begin(self, seed: int, weights: dict[str, Tensor] | None) -> None:
        torch.manual_seed(seed)
        self.model.load_state_dict(build(self.row).state_dict())
        if weights is not None:
            self.model.load_state_dict(weights, strict=False)  # global centres are new
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()

    def _step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        clips, labels = self.draw(self.parts["train"], self.numbers)
        with self._autocast():
            logits = self.model(self._normalize(clips))
        F.cross_entropy(logits.float(), labels, label_smoothing=0.1).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def _warm_up(self) -> None:
        """Compile, and let libraries set themselves up, at a learning rate of 0."""
        if self.device.type != "cuda":
            self._step()
            return
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self) -> Callable[[], None]:
        """Record a step once, for one launch to replay it."""
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph.replay

    def _normalize(self, clips: Tensor) -> Tensor:
        return (clips - self.mean) / self.std

    def _autocast(self) -> torch.autocast:
        device = self.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def pixel_statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation by which clips are normalised, (3, 1, 1, 1) each."""
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1, 1)
        for values in (PREPROCESSING.mean, PREPROCESSING.std)
    )
    return mean, std


def example_clips(pictures: Pictures, num_clips: int) -> Tensor:
    """Draw clips (B, 3, T, H, W) as a network reads them, always the same."""
    device = pictures.pixels.device
    generator = torch.Generator(device).manual_seed(VALIDATION_SEED)
    numbers = torch.rand(num_clips, NUM_DRAWS, generator=generator, device=device)
    mean, std = pixel_statistics(device)
    return (draw_clips(pictures, numbers)[0] - mean) / std


def count_macs(row: Row, pictures: Pictures) -> float:
    """Count the multiply-adds of a clip; where they depend on its pixels, their mean over 16."""
    model = build(row).eval()
    clips = example_clips(pictures, 1 if row.has_static_shapes else 16).cpu()
    return sum(count_flops(model, clip[None]).macs for clip in clips) / len(clips)
