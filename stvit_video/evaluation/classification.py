"""Classify the views of videos, and describe them where that is asked for.

Legend: R views of a batch, V views of a video, C colours, T frames, H W pixels, K classes.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stvit_video.datasets.batches import Batch
from stvit_video.datasets.clips import VideoFacts
from stvit_video.errors import VideoDecodeError
from stvit_video.evaluation.forward import Answer, run_batches
from stvit_video.evaluation.prediction import VideoPrediction, rank_labels
from stvit_video.evaluation.views import ViewCollector, combine_views
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.views import ViewConfig

Describe = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Clips uint8 (R, C, T, H, W) -> logits (R, K), and features (R, ...) where they are wanted."""


class _Found(NamedTuple):
    """What the network says of all views of a video."""

    facts: VideoFacts
    rows: Tensor
    """(V, K and the features)."""
    seconds: float


class VideoClassifier:
    """Makes predictions of the videos of batches."""

    def __init__(
        self,
        model: VideoModel,
        describe: Describe,
        views: ViewConfig,
        *,
        device: torch.device,
        top_k: int,
        batch_size: int,
    ) -> None:
        self.model = model
        self.describe = describe
        self.views = views
        self.device = device
        self.top_k = top_k
        self.batch_size = views.views_at_once(batch_size)
        self._shape: tuple[int, ...] | None = None

    def read(
        self,
        batches: Iterable[Batch],
        names: Iterable[str],
        on_error: Callable[[VideoDecodeError], object] | None = None,
    ) -> Iterator[VideoPrediction]:
        """Describe the videos of `batches`, whose names come in the same order.

        Raises:
            VideoDecodeError: one cannot be read, and there is no `on_error` to tell.
        """
        waiting = iter(names)
        answers = run_batches(self._rows, batches, device=self.device, batch_size=self.batch_size)
        for answer in answers:
            errors = {failed.video_index: failed.error for failed in answer.batch.failures}
            found = self._by_video(answer)
            for index in sorted({*errors, *found}):
                name = next(waiting)
                if index in found:
                    yield self._prediction(name, found[index])
                elif on_error is None:
                    raise errors[index]
                else:
                    on_error(errors[index])

    def _rows(self, clips: Tensor) -> Tensor:
        """Put what is said of each view into one row."""
        logits, features = self.describe(clips)
        if features is None:
            return logits.float()
        self._shape = tuple(features.shape[1:])
        return torch.cat([logits.float(), features.float().flatten(1)], dim=1)

    def _by_video(self, answer: Answer[Batch]) -> dict[int, _Found]:
        """Part a batch into its videos, by their place; time is shared equally."""
        batch, views = answer.batch, ViewCollector(self.views.num_views)
        facts = dict(zip(batch.video_index.tolist(), batch.facts, strict=True))
        seconds = answer.seconds / max(len(facts), 1)
        found = {
            video: _Found(facts[video], rows, seconds)
            for video, rows in views.add(answer.logits, batch.video_index)
        }
        views.check_complete()
        return found

    def _prediction(self, name: str, found: _Found) -> VideoPrediction:
        facts, rows, seconds = found
        features: dict[str, Any] = {}
        logits = rows
        if self._shape is not None:
            num_classes = rows.shape[1] - torch.Size(self._shape).numel()
            logits = rows[:, :num_classes]
            features["features"] = rows[:, num_classes:].unflatten(1, self._shape)
        scores = combine_views(logits, self.views.combine, multi_label=self.model.multi_label)
        best = scores.topk(min(self.top_k, len(scores)))
        counts = self.model.token_counts()
        return VideoPrediction(
            video=name,
            model=self.model.name,
            duration_seconds=facts.duration_seconds,
            fps=facts.fps,
            num_frames=facts.num_frames,
            views=self.views,
            topk=tuple(rank_labels(best.values, best.indices, self.model.labels)),
            num_patch_tokens=counts["input"] or 0,
            num_semantic_tokens=counts["semantic"],
            decode_milliseconds=1000 * facts.read_seconds,
            model_milliseconds=1000 * seconds,
            **features,
        )
