"""What happens to the pixels of one clip between the decoder and the batch.

Frames stay uint8 until they are normalised, and are resized once, in torch, from the size in the
file, so that a clip does not depend on the decoder. Random choices are made once per clip, from
torch's global generator: the data set seeds it for every item.

Legend: T frames, H W height and width, C colours.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from stvit_video.errors import ConfigError
from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.video.pixels.planes import PlaneTransform
from stvit_video.video.pixels.rand_augment import build_rand_augment
from stvit_video.video.pixels.transform import ClipTransform, WindowTransform
from stvit_video.video.pixels.windows import (
    ChooseWindow,
    EvaluationWindow,
    training_window,
)


def build_transform(
    preprocessing: Preprocessing,
    *,
    augmentation: AugmentationConfig | None = None,
    num_crops: int = 1,
    short_side: float = 1.0,
    normalize: bool = True,
    ship_planes: bool = False,
) -> ClipTransform:
    """Return the transform for training (with an `augmentation`) or for evaluation (without).

    Evaluation brings the short side to `short_side` times the image size and takes crop `i` of
    `num_crops` along the long side: 1 is the centre, 3 are left, centre, right or top, centre,
    bottom. Training crops at random; RandAugment comes before that where it is set to. With
    `normalize=False` clips stay uint8 and RGB; the rest of the augmentation and the normalisation
    then run on whole batches, on the device (see `BatchTransform`); with `ship_planes` so does what
    comes before, where that pays (see `PlaneTransform`).
    """
    if num_crops not in (1, 3):
        raise ConfigError(f"num_crops ({num_crops}) must be 1 or 3")
    size = preprocessing.image_size
    if augmentation is None:
        choose: ChooseWindow = EvaluationWindow(
            size=size, short_side=round(short_side * size), num_crops=num_crops
        )
    else:
        choose = training_window(augmentation, size=size)
    on_frames = None
    if augmentation is not None and augmentation.rand_augment_on == "frame":
        on_frames = build_rand_augment(augmentation, preprocessing)
    kind = PlaneTransform if ship_planes and not normalize else WindowTransform
    transform = kind(choose=choose, size=size, augment=on_frames)
    return _Normalized(transform, preprocessing) if normalize else transform


@dataclass(frozen=True, slots=True)
class _Normalized:
    """A function object, for transforms travel to the workers."""

    transform: ClipTransform
    preprocessing: Preprocessing

    def __call__(self, frames: Tensor, crop_index: int) -> Tensor:
        return normalize_clip(self.transform(frames, crop_index), self.preprocessing)


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
