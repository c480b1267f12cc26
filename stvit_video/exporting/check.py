"""Run an exported file and the network that it is of on the same clips, and compare.

Legend: B clips, C colours, T frames, S height and width, K classes.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from stvit_video.datasets.demo import DemoSizes, write_demo_dataset
from stvit_video.datasets.from_settings import build_prediction_loader
from stvit_video.datasets.layouts.class_folders import find_videos_below
from stvit_video.errors import ConfigError, ExportError
from stvit_video.exporting.card import ExportCard
from stvit_video.exporting.formats import Run
from stvit_video.exporting.program import to_input
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig
from stvit_video.video.pixels.crops import normalize_clip

MOST_VIDEOS = 4
"""One clip of each is compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How near the logits of a file are to those of the network, over the clips of one batch."""

    num_clips: int
    num_frames: int
    max_difference: float
    """Largest absolute difference of a logit."""
    relative_difference: float
    """That over the largest absolute logit."""
    same_class: int
    """Clips whose best class is the same."""


def read_check_clips(video: Path | None, preprocessing: Preprocessing, data: DataConfig) -> Tensor:
    """Read a clip of a video, or of the first videos of a folder: uint8 (B, C, T, S, S), B >= 2.

    Without a `video`, those of some that are made on the spot, of moving digits. One clip is
    followed by its mirror image.

    Raises:
        VideoDecodeError: a file cannot be read.
        DatasetError: there is no video in the folder.
    """
    if video is None:
        with tempfile.TemporaryDirectory() as folder:
            write_demo_dataset(Path(folder), sizes=DemoSizes(train=0, val=0, test=1))
            return read_check_clips(Path(folder), preprocessing, data)
    paths = find_videos_below(video)[:MOST_VIDEOS] if video.is_dir() else [video]
    loader = build_prediction_loader(
        paths,
        preprocessing,
        data=replace(data, num_workers=0),
        views=ViewConfig(),
        batch_size=len(paths),
        num_videos=len(paths),
    )
    (batch,) = loader
    for failed in batch.failures:
        raise failed.error
    return batch.clip if len(batch.clip) > 1 else torch.cat([batch.clip, batch.clip.flip(-1)])


def compare(
    run: Run, model: VideoModel, clips: Tensor, card: ExportCard, *, tolerance: float
) -> list[Agreement]:
    """Compare on one clip, on all of `clips` (B, C, T, S, S), and where the card allows on half the
    frames and on a time step more, if the network takes them.

    Raises:
        ExportError: the file does not run, or a relative difference is above `tolerance`.
    """
    batches = [clips[:1], clips]
    if card.frames_multiple is not None:
        step = card.frames_multiple
        half = max(card.num_frames // step // 2, 2) * step
        others = [clips[:, :, :half], torch.cat([clips, clips[:, :, :step]], dim=2)]
        batches += [batch for batch in others if _takes(model, batch)]
    return [_compare_batch(run, model, batch, card, tolerance) for batch in batches]


@torch.no_grad()
def _logits(model: VideoModel, clips: Tensor) -> Tensor:
    """Run the network, eager: uint8 (B, C, T, S, S) -> (B, K), on the CPU."""
    clips = clips.to(next(model.parameters()).device)
    return model(normalize_clip(clips, model.preprocessing)).cpu()


def _takes(model: VideoModel, clips: Tensor) -> bool:
    """Whether a network has a place for so many frames: a semantic grid may need more."""
    try:
        _logits(model, clips[:1])
    except ConfigError:
        return False
    return True


@torch.no_grad()
def _compare_batch(
    run: Run, model: VideoModel, clips: Tensor, card: ExportCard, tolerance: float
) -> Agreement:
    expected = _logits(model, clips)  # (B, K)
    clips = clips.to(next(model.parameters()).device)
    words = f"the file of {model.name} at {len(clips)} clips of {clips.shape[2]} frames"
    try:
        logits = run(to_input(clips, card, model.preprocessing)).cpu()  # (B, K)
    except (RuntimeError, AssertionError) as error:
        mend = f": {' '.join(str(error).split())[:200]}"
        if clips.shape[2] != card.num_frames:
            mend = ", as the network is laid out for others; leave --dynamic_frames out"
        raise ExportError(f"{words} does not run{mend}; nothing was written") from error
    difference = float((logits - expected).abs().max())
    agreement = Agreement(
        num_clips=len(clips),
        num_frames=clips.shape[2],
        max_difference=difference,
        relative_difference=difference / max(float(expected.abs().max()), 1e-12),
        same_class=int((logits.argmax(dim=1) == expected.argmax(dim=1)).sum()),
    )
    if not agreement.relative_difference <= tolerance:
        raise ExportError(
            f"{words} differs from the network by {agreement.relative_difference:.2g} of the"
            f" largest logit, above tolerance ({tolerance:g}); nothing was written"
        )
    return agreement
