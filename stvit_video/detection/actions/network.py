"""What persons in boxes do: features of each box from the space-time grid, and a score an action.

The checkpoint is that of a classifier of several labels, whose head reads a box in place of a clip.

Legend: B clips, C colours, T H W frames and pixels, D width, (t, h, w) grid of tokens, n boxes of
a clip, N of all, K classes.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from stvit_video.datasets.ava.label_map import ActionLabels
from stvit_video.detection.networks.pyramid import check_keeps_map
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.card import ACTION_IDS, CARD_FILE
from stvit_video.models.checkpoint import find_card, load_model
from stvit_video.models.families.swin.network import SwinTransformer
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import build_model
from stvit_video.settings.bounds import Count, fit_value
from stvit_video.settings.model import ModelConfig
from stvit_video.video.pixels.crops import normalize_clip

ROI_SIZE = 7
"""Places of a box along height and width, as in SlowFast and VideoMAE."""


class ActionDetector(nn.Module):
    """Says what persons in boxes of a clip do."""

    def __init__(self, network: VideoModel, *, action_ids: Sequence[int] | None = None) -> None:
        """`action_ids` are the numbers of its classes in annotations, by default 1 to K.

        Raises:
            ConfigError: the head of the network reads something else than a place of its grid.
        """
        super().__init__()
        check_reads_places(network)
        self.network = network
        self.action_ids = tuple(action_ids or range(1, network.num_classes + 1))

    @property
    def labels(self) -> ActionLabels:
        """The actions; numbers stand for names that are unknown."""
        names = self.network.labels or tuple(map(str, self.action_ids))
        return ActionLabels(names, self.action_ids)

    @classmethod
    def load(cls, source: str | Path) -> "ActionDetector":
        """Load the detector of a run folder or a hub id, in eval mode.

        Raises:
            MissingFileError: there is no such folder.
            CheckpointError: it holds another model.
        """
        card = find_card(source)
        if card is None or ACTION_IDS not in card.extra:
            raise CheckpointError(
                f"{source} holds no detector of actions; train one with --detector.name actions"
            )
        try:
            ids = fit_value(ACTION_IDS, card.extra[ACTION_IDS], list[Count])
        except ConfigError as error:
            raise CheckpointError(f"{source} {CARD_FILE}: {error}") from error
        network = load_model(source)
        if len(ids) != network.num_classes or ids != sorted(set(ids)):
            raise CheckpointError(
                f"{source} {CARD_FILE}: {ACTION_IDS} ({len(ids)}) must be ascending, as many as its"
                f" classes ({network.num_classes})"
            )
        return cls(network, action_ids=ids).eval()

    def forward(self, clips: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Score actions: uint8 clips (C, T, H, W), boxes (n, 4) in their pixels -> logits (N, K).

        Clips may differ in size. A box is x1, y1, x2, y2.
        """
        return box_logits(self.network, clips, boxes)


def build_network(config: ModelConfig, *, num_classes: int) -> VideoModel:
    """Build the network of a detector from its settings; weights of a classifier may come along.

    Raises:
        ConfigError: its head reads something else than a place of its grid.
        CheckpointError: weights that cannot be read, or are of another model.
    """
    network = build_model(dataclasses.replace(config, attentive_blocks=0), num_classes=num_classes)
    network.multi_label = True
    check_reads_places(network)
    return network


def check_reads_places(network: VideoModel) -> None:
    """Refuse a network whose head reads no single place of its grid.

    Raises:
        ConfigError: naming the model.
    """
    if network.pooler is not None or network.reader is not None:
        raise ConfigError(
            f"{network.name} reads all tokens of a clip at once, but detector.name actions reads"
            " boxes; choose a model that averages its tokens, or model.attentive_blocks 0"
        )
    check_keeps_map(network)
    if network.num_features != network.dim:
        raise ConfigError(
            f"the head of {network.name} reads {network.num_features} numbers, but a place of its"
            f" grid has {network.dim}; choose a model without several class tokens"
        )


def clip_multiple(network: VideoModel) -> int:
    """Return of what height and width of a clip must be multiples: 32 of Swin, else the patch."""
    if isinstance(network, SwinTransformer):
        return 32
    return int(network.embed.patch.tubelet_size[-1])


def box_logits(network: VideoModel, clips: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
    """Score actions, see `ActionDetector.forward`; the boxes of a clip see no other clip.

    Clips of one size run as one batch: what is found does not depend on those beside them.
    """
    groups: dict[torch.Size, list[int]] = {}
    for number, clip in enumerate(clips):
        groups.setdefault(clip.shape, []).append(number)
    features: dict[int, Tensor] = {}
    for numbers in groups.values():
        clip = normalize_clip(torch.stack([clips[n] for n in numbers]), network.preprocessing)
        own = [boxes[n].to(clip.dtype) for n in numbers]
        grid = network.forward_features(clip)  # (B, D, t, h, w)
        read = box_features(grid, own, size=(clip.shape[-2], clip.shape[-1]))
        features |= zip(numbers, read.split([len(box) for box in own]), strict=True)
    whole = torch.cat([features[number] for number in range(len(clips))])  # (N, D)
    return network.head(network.head_dropout(whole))


def box_features(grid: Tensor, boxes: Sequence[Tensor], *, size: tuple[int, int]) -> Tensor:
    """Describe boxes: grid (B, D, t, h, w), boxes (n, 4) in pixels of clips of `size` -> (N, D).

    The mean over time, 7x7 places of each box by RoIAlign, and the largest value of each channel.
    """
    maps = grid.mean(dim=2)  # (B, D, h, w)
    scale = torch.tensor([maps.shape[3] / size[1], maps.shape[2] / size[0]] * 2, device=maps.device)
    placed = [(box * scale).to(maps.dtype) for box in boxes]
    places = roi_align(maps, placed, output_size=ROI_SIZE, aligned=True)  # (N, D, 7, 7)
    return places.amax(dim=(2, 3))
