"""Batches of images of unequal size, from the loader that also serves clips.

Legend: B images in a batch, H W pixels.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stvit_video.datasets.coco.images import CocoImages, FailedImage, ImageItem, Target
from stvit_video.datasets.loader import VideoLoader, make_loader
from stvit_video.datasets.sampler import EpochSampler, KeySampler
from stvit_video.errors import DatasetError


class ImageBatch(NamedTuple):
    """Images and what is in them; one that failed has no place but a line in `failures`."""

    images: list[Tensor]
    """B tensors uint8 (3, H, W), as torchvision's detectors take them but for the numbers 0..1."""
    targets: list[Target]
    """B dictionaries, see `ImageSample`."""
    index: Tensor  # type: ignore[assignment]  # a tuple has a method of that name
    """int64 (B,), on the CPU: position in the set."""
    failures: tuple[FailedImage, ...] = ()


def collate_images(items: Sequence[ImageItem]) -> ImageBatch:
    """Put the images side by side; keep those that failed apart."""
    samples = [item for item in items if not isinstance(item, FailedImage)]
    return ImageBatch(
        [sample.image for sample in samples],
        [sample.target for sample in samples],
        torch.tensor([sample.image_index for sample in samples], dtype=torch.int64),
        tuple(item for item in items if isinstance(item, FailedImage)),
    )


class ImageDelivery:
    """Brings batches to a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self, batch: ImageBatch) -> ImageBatch:
        """Return the batch, on the device."""
        if self.device.type == "cpu":
            return batch

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(self.device, non_blocking=True)

        targets = [{name: move(t) for name, t in target.items()} for target in batch.targets]
        return batch._replace(images=[move(image) for image in batch.images], targets=targets)

    def release_memory(self, *, but: int = 0) -> None:
        """Do nothing: no worker fills memory again."""


class ImageLoader(VideoLoader):
    """A `VideoLoader` of `ImageBatch`es."""

    def __iter__(self) -> Iterator[ImageBatch]:  # type: ignore[override]  # of another kind
        """Serve one pass, as a `VideoLoader` does."""
        return cast(Iterator[ImageBatch], super().__iter__())

    def on(self, device: torch.device | None, *, targets: Tensor | None = None) -> Self:
        """Serve batches on a device."""
        self.delivery = ImageDelivery(device or torch.device("cpu"))
        return self


def build_image_loader(
    dataset: CocoImages,
    *,
    batch_size: int,
    num_workers: int,
    shuffle: bool,
    seed: int,
    drop_last: bool = False,
    prefetch_batches: int = 2,
) -> ImageLoader:
    """Return a loader of `ImageBatch`es; all else is as in `build_loader`."""
    if batch_size < 1:
        raise DatasetError(f"batch_size ({batch_size}) must be at least 1")
    if drop_last and batch_size > len(dataset):
        raise DatasetError(
            f"batch_size ({batch_size}) is larger than the data set ({len(dataset)} images)"
        )
    return _make(
        dataset,
        EpochSampler(len(dataset), shuffle=shuffle, seed=seed),
        batch_size=batch_size,
        num_workers=num_workers,
        drop_last=drop_last,
        prefetch_batches=prefetch_batches,
    )


def build_named_image_loader(
    dataset: Dataset[ImageItem], keys: Iterable[Any], *, batch_size: int, num_workers: int
) -> ImageLoader:
    """Return a loader that serves the images of `keys` once, in order."""
    return _make(
        dataset,
        KeySampler(keys),
        batch_size=batch_size,
        num_workers=num_workers,
        drop_last=False,
        prefetch_batches=2,
    )


def _make(dataset: Dataset[ImageItem], sampler: Any, **how: Any) -> ImageLoader:
    loader = make_loader(dataset, sampler, kind=ImageLoader, collate=collate_images, **how)
    assert isinstance(loader, ImageLoader)
    return loader
