"""Batches of images of unequal size, from the loader that also serves clips.

Legend: B images in a batch, H W pixels.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stvit_video.datasets.coco.images import CocoImages, FailedImage, ImageItem, Target
from stvit_video.datasets.item_loader import ItemLoader, build_item_loader, make_item_loader
from stvit_video.datasets.sampler import KeySampler


class ImageBatch(NamedTuple):
    """Images and what is in them; one that failed has no place but a line in `failures`."""

    images: list[Tensor]
    """B tensors uint8 (3, H, W), as torchvision's detectors take them but for the numbers 0..1."""
    targets: list[Target]
    """B dictionaries, see `ImageSample`."""
    index: Tensor  # type: ignore[assignment]  # a tuple has a method of that name
    """int64 (B,), on the CPU: position in the set."""
    failures: tuple[FailedImage, ...] = ()

    def to(self, device: torch.device) -> "ImageBatch":
        """Bring images and targets to a device."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        targets = [{name: move(t) for name, t in target.items()} for target in self.targets]
        return self._replace(images=[move(image) for image in self.images], targets=targets)


def collate_images(items: Sequence[ImageItem]) -> ImageBatch:
    """Put the images side by side; keep those that failed apart."""
    samples = [item for item in items if not isinstance(item, FailedImage)]
    return ImageBatch(
        [sample.image for sample in samples],
        [sample.target for sample in samples],
        torch.tensor([sample.image_index for sample in samples], dtype=torch.int64),
        tuple(item for item in items if isinstance(item, FailedImage)),
    )


def build_image_loader(
    dataset: CocoImages,
    *,
    batch_size: int,
    num_workers: int,
    shuffle: bool,
    seed: int,
    drop_last: bool = False,
    prefetch_batches: int = 2,
) -> ItemLoader:
    """Return a loader of `ImageBatch`es; all else is as in `build_loader`."""
    return build_item_loader(
        dataset,
        collate_images,
        batch_size=batch_size,
        num_workers=num_workers,
        shuffle=shuffle,
        seed=seed,
        drop_last=drop_last,
        prefetch_batches=prefetch_batches,
    )


def build_named_image_loader(
    dataset: Dataset[ImageItem], keys: Iterable[Any], *, batch_size: int, num_workers: int
) -> ItemLoader:
    """Return a loader that serves the images of `keys` once, in order."""
    return make_item_loader(
        dataset,
        KeySampler(keys),
        collate=collate_images,
        batch_size=batch_size,
        num_workers=num_workers,
        prefetch_batches=2,
    )
