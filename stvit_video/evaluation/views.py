"""Combine the views of a video into one prediction.

Legend: R rows (one per view), M videos, V views per video, K classes.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.views import Combine, FeatureKind, ViewConfig


def classify_views(model: nn.Module, clips: Tensor, views: ViewConfig) -> Tensor:
    """Classify all views of some videos: clips (R, C, T, H, W) -> logits (R, K).

    Where the clips of a crop are joined, they have one answer, each of them the same.
    """
    if not views.join_clips:
        return model(clips)
    by_clip = clips.unflatten(0, (-1, views.num_clips, views.num_crops))
    logits = cast(VideoModel, model).forward_joined(
        by_clip.transpose(1, 2).flatten(0, 1)
    )  # (M * crops, K)
    return logits.unflatten(0, (-1, views.num_crops)).repeat(1, views.num_clips, 1).flatten(0, 1)


def describe_views(model: VideoModel, clips: Tensor, kind: FeatureKind) -> tuple[Tensor, Tensor]:
    """Classify views and describe them: clips (R, C, T, H, W) -> logits (R, K), features.

    `pooled` is what the head reads (R, F), `tokens` are the normed ones (R, N, D), without class
    tokens, `grid` the same (R, D, t, h, w).

    Raises:
        ConfigError: the tokens have left the grid.
    """
    state = model.read_tokens(clips)
    logits = model.classify_tokens(state)
    if kind == "pooled":
        return logits, model.head_input(state)
    _, tokens = state._replace(tokens=model.norm(state.tokens)).split()
    if kind == "tokens":
        return logits, tokens
    if state.grid.h == 1 < state.grid.w:
        raise ConfigError(
            f"features (grid) cannot be had of {model.name}: its tokens have no places on a grid"
            " any more; take tokens, or a setting with a recovery such as 64@4-12"
        )
    return logits, tokens.transpose(1, 2).unflatten(2, tuple(state.grid))


def combine_views(logits: Tensor, combine: Combine, *, multi_label: bool = False) -> Tensor:
    """Average the logits (..., V, K) of views, or their probabilities, into scores (..., K).

    The probabilities of the classes add up to 1, but with `multi_label` each stands for itself.
    """
    if combine == "mean_probability":
        logits = logits.sigmoid() if multi_label else logits.softmax(dim=-1)
    return logits.mean(dim=-2)


class ViewCollector:
    """Puts together the views of each video, whichever batches they come in.

    Every video must have exactly `num_views` rows: a sampler that pads or drops must not shift a
    result unnoticed. Memory holds the views of videos that are not complete yet.
    """

    def __init__(self, num_views: int) -> None:
        self.num_views = num_views
        self._begun: dict[int, list[Tensor]] = {}
        self._complete: set[int] = set()

    def add(self, logits: Tensor, video_index: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Take rows (R, K) of the videos (R,); yield each video that is complete: (V, K).

        Raises:
            ValueError: one has more views than it should.
        """
        for row, video in zip(logits, video_index.tolist(), strict=True):
            if video in self._complete:
                raise ValueError(f"video {video} has more than {self.num_views} views")
            rows = self._begun.setdefault(video, [])
            rows.append(row)
            if len(rows) == self.num_views:
                self._complete.add(video)
                yield video, torch.stack(self._begun.pop(video))

    def check_complete(self) -> None:
        """Refuse an end at which a video has fewer views than it should.

        Raises:
            ValueError: naming the first.
        """
        if self._begun:
            first = min(self._begun)
            raise ValueError(
                f"{len(self._begun)} videos do not have {self.num_views} views; video {first} has"
                f" {len(self._begun[first])}"
            )
