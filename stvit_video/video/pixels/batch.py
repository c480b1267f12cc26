"""What training does to a batch of uint8 clips on the device that trains.

Every draw is made once per clip, so that its frames stay consistent; mixing draws once per batch.

Legend: B clips, C colours, T H W frames and pixels, K classes.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2
from torchvision.tv_tensors import Video

from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.video.pixels.crops import normalize_clip
from stvit_video.video.pixels.mirror import mirrored_classes
from stvit_video.video.pixels.rand_augment import build_rand_augment
from stvit_video.video.seeded import seeded

Recolor = Callable[[Tensor], Tensor]
"""Changes the colours of the frames of a clip: uint8 (T, C, H, W) -> the same."""


class BatchTransform:
    """Flips, recolours, normalises, erases and mixes clips; crops were made before.

    A flip takes left for right in the label too, where two classes differ in that (see
    `mirrored_classes`).

    Raises:
        ConfigError: a flip would make a clip of no class.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        augmentation: AugmentationConfig,
        *,
        class_names: Sequence[str],
        multi_label: bool = False,
    ) -> None:
        self.multi_label = multi_label
        self.preprocessing = preprocessing
        self.augmentation = augmentation
        self.num_classes = len(class_names)
        self.mirrored = torch.tensor(mirrored_classes(class_names) if augmentation.flip else [])
        self.recolor = _recolor(augmentation, preprocessing)
        self.mixers = _mixers(augmentation, self.num_classes)

    def __call__(
        self, clips: Tensor, labels: Tensor, *, seed: int, videos: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Make what a training step reads, the same for the same `seed`.

        uint8 clips (B, C, T, H, W), labels (B,) -> float clips (B, C, T, H, W), and labels (B,) or,
        with mixup or cutmix, targets (B, K) that add up to 1. With several labels a video, they are
        float (B, K), 1 for each class, and mixed as they are. `videos` (B,), on the host, says
        which clips are of one video: they are not mixed with each other, and come in another order.
        """
        with seeded(seed):
            clips, labels = self._flip(clips, labels)
            if self.recolor:
                clips = torch.stack([self._recolored(clip) for clip in clips])
            clips = normalize_clip(clips, self.preprocessing)
            clips = self._erase(clips)
            return self._mix(clips, labels, videos) if self.mixers else (clips, labels)

    def _mix(self, clips: Tensor, labels: Tensor, videos: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mix each clip with the one before it in the batch, the first with the last."""
        if videos is not None and len(clips) > 1:
            order = keep_apart(videos)
            if order is None:
                one_hot = labels if self.multi_label else F.one_hot(labels, self.num_classes)
                return clips, one_hot.to(clips.dtype)
            order = order.to(clips.device, non_blocking=True)
            clips, labels = clips[order], labels[order]
        mixer = self.mixers[int(torch.randint(len(self.mixers), ()))]
        mixed, targets = mixer(Video(clips.transpose(1, 2)), labels)
        return mixed.as_subclass(Tensor).transpose(1, 2), targets

    def _flip(self, clips: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if not self.augmentation.flip:
            return clips, labels
        flipped = (torch.rand(len(clips)) < self.augmentation.flip).to(clips.device)  # (B,)
        clips = torch.where(flipped.reshape(-1, 1, 1, 1, 1), clips.flip(-1), clips)
        mirrored = self.mirrored.to(labels.device)
        if self.multi_label:
            return clips, torch.where(flipped[:, None], labels[:, mirrored], labels)
        return clips, torch.where(flipped, mirrored[labels], labels)

    def _recolored(self, clip: Tensor) -> Tensor:
        frames = clip.transpose(0, 1)  # (T, C, H, W)
        for transform in self.recolor:
            frames = transform(frames)
        return frames.transpose(0, 1)  # (C, T, H, W)

    def _erase(self, clips: Tensor) -> Tensor:
        """Fill a box of all frames of a clip with noise, in the probability that is set."""
        height, width = clips.shape[-2:]
        for clip in clips:
            if torch.rand(()) >= self.augmentation.erase:
                continue
            top, left, box_height, box_width = _erased_box(height, width)
            box = clip[..., top : top + box_height, left : left + box_width]
            generator = torch.Generator(clip.device)  # the noise is drawn where it is needed
            generator.manual_seed(int(torch.randint(1 << 31, ())))
            box.copy_(torch.randn(box.shape, device=clip.device, generator=generator))
        return clips


def keep_apart(videos: Tensor) -> Tensor | None:
    """Order clips so that no neighbours, nor the first and the last, are of one video.

    `videos` (B,) says which video a clip is of; all have as many clips, one behind the other.
    Returns places (B,), or None where all clips are of one video.
    """
    num_videos = len(videos.unique_consecutive())
    if num_videos == 1:
        return None
    return torch.arange(len(videos)).reshape(num_videos, -1).T.flatten()  # the first of each, ...


def _recolor(augmentation: AugmentationConfig, preprocessing: Preprocessing) -> list[Recolor]:
    transforms: list[Recolor] = []
    if augmentation.color_jitter:
        strength = augmentation.color_jitter
        jitter = v2.ColorJitter(strength, strength, strength, hue=strength / 4)
        transforms.append(v2.RandomApply([jitter], p=augmentation.color_probability))
    if augmentation.gray:
        transforms.append(v2.RandomGrayscale(augmentation.gray))
    if augmentation.rand_augment and augmentation.rand_augment_on == "crop":
        transforms.append(build_rand_augment(augmentation, preprocessing))
    return transforms


def _mixers(augmentation: AugmentationConfig, num_classes: int) -> list[v2.MixUp | v2.CutMix]:
    mixers: list[v2.MixUp | v2.CutMix] = []
    if augmentation.mixup:
        mixers.append(v2.MixUp(alpha=augmentation.mixup, num_classes=num_classes))
    if augmentation.cutmix:
        mixers.append(v2.CutMix(alpha=augmentation.cutmix, num_classes=num_classes))
    return mixers


def _erased_box(height: int, width: int) -> tuple[int, int, int, int]:
    """Draw top, left, height and width: 2 % to 33 % of the frame, up to 3.3 times as long."""
    for _ in range(10):
        area = float(torch.empty(()).uniform_(0.02, 1 / 3)) * height * width
        ratio = math.exp(float(torch.empty(()).uniform_(-math.log(10 / 3), math.log(10 / 3))))
        box_height, box_width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_height < height and 0 < box_width < width:
            break
    else:
        box_height, box_width = (height + 1) // 3, (width + 1) // 3
    top = int(torch.randint(height - box_height + 1, ()))
    left = int(torch.randint(width - box_width + 1, ()))
    return top, left, box_height, box_width
