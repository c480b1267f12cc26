"""A folder that an evaluation writes its scores into as they come, and goes on from.

Legend: M videos that decode, V views of a video, K classes.
"""

from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.datasets.label_sets import SEPARATOR
from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.records import Records
from stvit_video.evaluation.claimed_folder import ClaimedFolder
from stvit_video.evaluation.evaluate import VideoScores
from stvit_video.evaluation.score_log import ScoreLog, read_logs, record_layout
from stvit_video.evaluation.views import combine_views
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.json_file import as_plain
from stvit_video.settings.views import ViewConfig
from stvit_video.video.sampling.scheme import SamplingScheme


class AnswerFolder(ClaimedFolder):
    """What one network says of all views of one list of videos."""

    def __init__(self, path: Path, layout: np.dtype[Any]) -> None:
        super().__init__(path)
        self.layout = layout

    def new_log(self) -> ScoreLog:
        """Return what one process writes its scores with."""
        return ScoreLog(self._logs, self.layout)

    def read(self, *, multi_label: bool) -> VideoScores:
        """Return which videos have been answered, in memory nothing of what was said."""
        videos = (int(video) for log in self.logs() for video in log["video"])
        return VideoScores.of({video: torch.empty(0) for video in videos})

    def logs(self) -> list[NDArray[Any]]:
        """Map all records on the disk, file by file."""
        return read_logs(self._logs, self.layout)

    @property
    def _logs(self) -> Path:
        return self.path / "parts"


class ScoreFolder(AnswerFolder):
    """The scores of one model for all views of one list of videos."""

    def __init__(self, path: Path, *, views: ViewConfig, num_classes: int) -> None:
        super().__init__(path, record_layout(views.num_views, num_classes))
        self.views = views
        self.num_classes = num_classes

    def read(self, *, multi_label: bool) -> VideoScores:
        """Return what has been scored, in memory the averages of the views alone."""
        scores = {
            video: combine_views(_tensor(logits), self.views.combine, multi_label=multi_label)
            for video, logits in self.view_logits().items()
        }
        return VideoScores.of(scores)

    def view_logits(self) -> dict[int, NDArray[np.float32]]:
        """Map the logits (V, K) on the disk of what has been scored, by position in the list."""
        return {
            int(video): logits
            for log in self.logs()
            for video, logits in zip(log["video"], log["logits"], strict=True)
        }


def identify(
    model: VideoModel, manifest: Manifest, *, views: ViewConfig, sampling: SamplingScheme
) -> dict[str, Any]:
    """Say what scores depend on: weights, list, views; not on how they are computed or combined."""
    return {
        **identify_model(model),
        "number of videos": len(manifest.records),
        "list of videos": _list_digest(manifest),
        **{name: value for name, value in asdict(views).items() if name != "combine"},
        "sampling": as_plain(asdict(sampling)),
        "preprocessing": as_plain(asdict(model.preprocessing)),
    }


def identify_model(model: VideoModel) -> dict[str, Any]:
    """Say which network it is, and with which weights."""
    options = model.recipe.options if model.recipe else None
    return {
        "model": model.name,
        "semantic": "+".join(map(str, options.semantic)) if options else "",
        "reduction": str(options.reducer or "") if options else "",
        "weights": _weights_digest(model),
    }


def _weights_digest(model: VideoModel) -> str:
    digest = blake2b(digest_size=8)
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _list_digest(manifest: Manifest) -> str:
    """Digest paths, those below the folder of the list relative to it, labels and classes."""
    assert isinstance(manifest.records, Records)
    digest, folder = blake2b(digest_size=8), manifest.records.folder
    for record in manifest.records:
        path = record.path
        name = path.relative_to(folder) if path.is_relative_to(folder) else path
        classes = SEPARATOR.join(manifest.classes_of(record))
        stretch = (record.start_frame, record.end_frame)
        words = f"{name}\n{classes}\n" + (f"{stretch}\n" if stretch != (0, -1) else "")
        digest.update(words.encode(errors="surrogateescape"))
    digest.update("\n".join(manifest.class_names).encode())
    return digest.hexdigest()


def _tensor(logits: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(logits))
