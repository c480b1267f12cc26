"""Batches of clips around key frames: as exactly shared and resumable as those of videos.

Legend: B clips, C colours, T H W frames and pixels, n boxes of a clip, K classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stvit_video.datasets.ava.clips import ActionClip, ActionClips
from stvit_video.datasets.clips import FailedVideo
from stvit_video.datasets.item_loader import ItemLoader, build_item_loader


class ActionBatch(NamedTuple):
    """Clips around key frames, of any sizes; those that cannot be read are `failures`."""

    clips: tuple[Tensor, ...]
    """uint8 (C, T, H, W) each."""
    boxes: tuple[Tensor, ...]
    """float32 (n, 4) each."""
    labels: Tensor
    """float32 (boxes of the batch, K)."""
    frames: tuple[int, ...]
    """Which key frame each clip is around."""
    failures: tuple[FailedVideo, ...] = ()

    def to(self, device: torch.device) -> "ActionBatch":
        """Bring what a network reads to a device."""
        clips, boxes = (
            tuple(tensor.to(device, non_blocking=True) for tensor in part)
            for part in (self.clips, self.boxes)
        )
        labels = self.labels.to(device, non_blocking=True)
        return self._replace(clips=clips, boxes=boxes, labels=labels)


def collate_clips(items: Sequence[ActionClip | FailedVideo]) -> ActionBatch:
    """Put the clips of a batch side by side; keep those that failed apart."""
    clips = [item for item in items if isinstance(item, ActionClip)]
    return ActionBatch(
        tuple(item.clip for item in clips),
        tuple(item.boxes for item in clips),
        torch.cat([item.labels for item in clips]) if clips else torch.zeros(0, 0),
        tuple(item.frame for item in clips),
        tuple(item for item in items if isinstance(item, FailedVideo)),
    )


def build_action_loader(
    clips: ActionClips, *, batch_size: int, shuffle: bool, seed: int
) -> ItemLoader:
    """Return a loader of `ActionBatch`es; all else is as in `build_loader`.

    Of a shuffled epoch the clips that fill no batch are left out, where there is a whole one.
    """
    data = clips.reading.data
    return build_item_loader(
        clips,
        collate_clips,
        batch_size=batch_size,
        num_workers=data.num_workers,
        shuffle=shuffle,
        seed=seed,
        drop_last=shuffle and len(clips) > batch_size,
        prefetch_batches=data.prefetch_batches,
    )
