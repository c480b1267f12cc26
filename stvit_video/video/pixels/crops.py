"""What happens to the pixels of one clip between the decoder and the batch.

Frames stay uint8 until they are normalised, and are resized once, in torch, from the size in the
file, so that a clip does not depend on the decoder. Random choices are made once per clip, from
torch's global generator: the data set seeds it for every item.

Legend: T frames, H W height and width, C colours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from stvit_video.errors import ConfigError
from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.model import Preprocessing

ClipTransform = Callable[[Tensor, int], Tensor]
"""Frames uint8 (T, H, W, C) and a crop index -> clip (C, T, size, size)."""


def build_transform(
    preprocessing: Preprocessing,
    *,
    augmentation: AugmentationConfig | None = None,
    num_crops: int = 1,
    normalize: bool = True,
) -> ClipTransform:
    """Return the transform for training (with an `augmentation`) or for evaluation (without).

    Evaluation brings the short side to the image size and takes crop `i` of `num_crops` along the
    long side: 1 is the centre, 3 are left, centre, right or top, centre, bottom. Training crops at
    random. With `normalize=False` clips stay uint8 and RGB; the rest of the augmentation and the
    normalisation then run on whole batches, on the device (see `BatchTransform`).
    """
    if num_crops not in (1, 3):
        raise ConfigError(f"num_crops ({num_crops}) must be 1 or 3")
    size = preprocessing.image_size
    return _Transform(
        pixels=EvaluationCrop(size=size, num_crops=num_crops)
        if augmentation is None
        else TrainingCrop(augmentation, size=size),
        preprocessing=preprocessing if normalize else None,
    )


def preprocess(frames: NDArray[np.uint8] | Tensor, preprocessing: Preprocessing) -> Tensor:
    """Make a model's input of the frames of one clip: uint8 (T, H, W, C) -> (1, C, T, S, S).

    The centre of the frames, S = `image_size` pixels high and wide, float32 and normalised. The
    frames are those that the model shall see: `Predictor` chooses them from a longer video.

    Raises:
        ConfigError: the frames are of another kind.
    """
    return build_transform(preprocessing)(check_frames(frames), 0)[None]


def check_frames(frames: NDArray[np.uint8] | Tensor) -> Tensor:
    """Take frames in memory, uint8 (T, H, W, C), as a tensor.

    Raises:
        ConfigError: they have other axes, another type, or there is none.
    """
    pixels = torch.as_tensor(frames)
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != torch.uint8 or not len(pixels):
        kind = f"{str(pixels.dtype).removeprefix('torch.')} {tuple(pixels.shape)}"
        raise ConfigError(f"frames ({kind}) must be uint8 (T, H, W, C) with C = 3 and T >= 1")
    return pixels


def normalize_clip(clip: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Bring uint8 RGB clips (..., C, T, H, W) to float32 in the order and range of the weights.

    Works on one clip and on a batch, on any device.
    """
    if preprocessing.channel_order == "bgr":
        clip = clip.flip(-4)
    mean = torch.tensor(preprocessing.mean, device=clip.device).reshape(3, 1, 1, 1)
    std = torch.tensor(preprocessing.std, device=clip.device).reshape(3, 1, 1, 1)
    # (x / 255 - mean) / std as one multiplication and one addition
    return torch.addcmul(-mean / std, clip.float(), 1 / (255 * std))


def resize_short_side(frames: Tensor, size: int) -> Tensor:
    """Bring the short side of uint8 (T, C, H, W) to `size` pixels, the long side along with it."""
    return F.resize(frames, [size], antialias=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationCrop:
    """Short side to `size`, then one of `num_crops` squares along the long side."""

    size: int
    num_crops: int

    def __call__(self, frames: Tensor, crop_index: int) -> Tensor:
        """Crop: uint8 (T, C, H, W) -> uint8 (T, C, size, size)."""
        frames = resize_short_side(frames, self.size)  # (T, C, h, w)
        steps, of = (crop_index, 2) if self.num_crops == 3 else (1, 2)
        top, left = ((side - self.size) * steps // of for side in frames.shape[-2:])
        return frames[..., top : top + self.size, left : left + self.size]


class TrainingCrop:
    """A random part of the frames, as a square."""

    def __init__(self, augmentation: AugmentationConfig, *, size: int) -> None:
        self.crop = v2.Compose(_crops(augmentation, size))

    def __call__(self, frames: Tensor, crop_index: int) -> Tensor:
        """Crop: uint8 (T, C, H, W) -> uint8 (T, C, size, size); the index plays no part."""
        return self.crop(frames)


def _crops(augmentation: AugmentationConfig, size: int) -> list[Callable[[Tensor], Tensor]]:
    if augmentation.crop == "random_resized":
        return [
            v2.RandomResizedCrop(
                size, scale=augmentation.crop_area, ratio=augmentation.crop_ratio, antialias=True
            )
        ]
    if augmentation.crop == "scale_jitter":
        least, most = (round(size * factor) for factor in augmentation.scale_jitter)
        return [
            v2.RandomShortestSize(list(range(least, most + 1)), antialias=True),
            v2.RandomCrop(size),
        ]
    return [v2.Resize(size, antialias=True), v2.CenterCrop(size)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Transform:
    pixels: EvaluationCrop | TrainingCrop
    preprocessing: Preprocessing | None

    def __call__(self, frames: Tensor, crop_index: int) -> Tensor:
        pixels = self.pixels(frames.permute(0, 3, 1, 2), crop_index)  # (T, C, size, size)
        clip = pixels.transpose(0, 1).contiguous()  # (C, T, size, size)
        return clip if self.preprocessing is None else normalize_clip(clip, self.preprocessing)
