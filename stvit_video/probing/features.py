"""What a network makes of the views of a data set, computed once and kept on the disk.

Legend: B views in a batch, V views of a video, N tokens, D width, F the numbers of a view: D, or
N x D.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from stvit_video.datasets.from_settings import sampling_scheme
from stvit_video.datasets.manifest import Manifest
from stvit_video.errors import ConfigError
from stvit_video.evaluation.processes import Scoring
from stvit_video.evaluation.run import scored
from stvit_video.evaluation.score_folder import AnswerFolder, identify
from stvit_video.evaluation.score_log import record_layout
from stvit_video.evaluation.team import Team
from stvit_video.models.network.reduction import RunLengthTransformer
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.terminal import say
from stvit_video.settings.data import DataConfig
from stvit_video.settings.views import ViewConfig


class FeatureExtractor(nn.Module):
    """What a head reads: the pooled vector, or for an attentive pooler the tokens themselves."""

    def __init__(self, model: VideoModel, *, tokens: bool) -> None:
        """Take a model without head.

        Raises:
            ConfigError: its clips do not have equally many tokens.
        """
        super().__init__()
        if tokens and isinstance(model, RunLengthTransformer):
            raise ConfigError(
                "model.reduction (rlt) leaves other numbers of tokens from clip to clip, which"
                " cannot be kept for an attentive probe; leave out model.attentive_blocks"
            )
        self.model = model
        self.tokens = tokens

    def forward(self, clip: Tensor) -> Tensor:
        """Describe: clip (B, C, T, H, W) -> (B, D), or tokens (B, N, D).

        Where tokens stand for unequally many patches, their sizes follow as one more channel.
        """
        state = self.model.read_tokens(clip)
        if not self.tokens:
            return self.model.pool_tokens(state)
        tokens = self.model.norm(state.tokens)
        if state.size is None:
            return tokens
        return torch.cat([tokens, state.size.to(tokens.dtype)], dim=-1)

    @torch.inference_mode()
    def shape(self, device: torch.device) -> tuple[int, ...]:
        """Return the shape of what it says of one clip; the network is on the CPU again then."""
        clips = self.model.preprocessing
        size = clips.image_size
        blank = torch.zeros(1, 3, clips.num_frames, size, size, device=device)
        shape = tuple(self.eval().to(device)(blank).shape[1:])
        self.cpu()  # from where processes of several devices take it
        return shape


class FeatureFolder(AnswerFolder):
    """The features of all views of one list of videos."""

    setting = "features"
    identity_file = "features.json"
    content = "features of something else"

    def __init__(self, path: Path, *, num_views: int, shape: tuple[int, ...]) -> None:
        """Keep vectors in single precision, tokens in half."""
        number = "<f4" if len(shape) == 1 else "<f2"
        super().__init__(path, record_layout(num_views, *shape, number=number))

    def check_space(self, num_videos: int) -> str:
        """Say how large the features of all videos are.

        Raises:
            ConfigError: what is not there yet does not fit on the disk.
        """
        needed = num_videos * self.layout.itemsize
        there = sum(file.stat().st_size for file in self.path.glob("parts/*"))
        nearest = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        free = shutil.disk_usage(nearest).free
        if needed - there > free:
            raise ConfigError(
                f"features ({self.path}) take {_size(needed - there)}, but its disk has"
                f" {_size(free)}; choose another folder, fewer views or fewer tokens"
            )
        return _size(needed)


@dataclass(frozen=True, kw_only=True)
class Features:
    """The features of the videos that decode."""

    logs: list[NDArray[Any]]
    """Records on the disk."""
    log: NDArray[np.int64]
    """(M,): which of them holds a video."""
    row: NDArray[np.int64]
    """(M,): and where in it."""
    video_index: Tensor
    """int64 (M,): position of the video in its list."""
    failed: tuple[str, ...]
    """Errors of the videos that do not decode."""
    num_joined: int = 1
    """Clips of a crop whose tokens are one view, behind each other."""

    def __len__(self) -> int:
        return len(self.video_index)

    @property
    def num_views(self) -> int:
        """Of each video."""
        return int(self.logs[0].dtype["logits"].shape[0]) // self.num_joined

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a view: (D,), or (N, D) of tokens."""
        first, *rest = self.logs[0].dtype["logits"].shape[1:]
        return (first * self.num_joined, *rest)

    def in_order(self, num_views: int) -> Iterator[Tensor]:
        """Read all views (B, V, ...) of videos in order, about `num_views` at a time."""
        views = torch.arange(self.num_views)
        for videos in torch.arange(len(self)).split(max(num_views // self.num_views, 1)):
            rows = videos.repeat_interleave(self.num_views)
            yield self.of(rows, views.repeat(len(videos))).unflatten(0, (len(videos), -1))

    def of(self, videos: Tensor, views: Tensor) -> Tensor:
        """Read views (B,) of videos (B,), numbers of rows here -> (B, ...)."""
        if self.num_joined > 1:
            clips = views[:, None] + self.num_views * torch.arange(self.num_joined)
            apart = replace(self, num_joined=1)
            tokens = apart.of(videos.repeat_interleave(self.num_joined), clips.flatten())
            return tokens.unflatten(0, clips.shape).flatten(1, 2)  # (B, clips * N, D)
        logs, rows, views_ = self.log[videos], self.row[videos], views.numpy()
        layout = self.logs[0].dtype["logits"]
        found = np.empty((len(videos), *layout.shape[1:]), layout.base)
        for number in np.unique(logs):
            chosen = logs == number
            found[chosen] = self.logs[number]["logits"][rows[chosen], views_[chosen]]
        return torch.from_numpy(found)


@dataclass(frozen=True, kw_only=True)
class FeatureCache:
    """Where features are kept, and how they are computed."""

    path: Path
    data: DataConfig
    views: ViewConfig
    devices: Sequence[torch.device]
    batch_size: int
    """Views of a forward pass."""
    console: Console

    def features_of(
        self, manifest: Manifest, extractor: FeatureExtractor, *, name: str, team: Team
    ) -> Features:
        """Compute what the folder `name` lacks, and open it.

        Raises:
            StvitVideoError: it is for something else, no video decodes, or a process has died.
        """
        model, shape = extractor.model, extractor.shape(self.devices[0])
        views = replace(self.views, join_clips=False)  # clips are joined when they are read
        folder = FeatureFolder(self.path / name, num_views=views.num_views, shape=shape)
        if team.is_first:
            size = folder.check_space(len(manifest.records))
            shape_text = " x ".join(map(str, shape))
            line = f"{folder.path}: {shape_text} numbers a view, {size} in all"
            say(self.console, line)
        scoring = Scoring(
            model=extractor,
            preprocessing=model.preprocessing,
            records=manifest.records,
            data=self.data,
            views=views,
            batch_size=self.batch_size,
            multi_label=False,
            folder=folder,
            in_memory=False,
        )

        def identity() -> dict[str, Any]:
            sampling = sampling_scheme(model.preprocessing, self.data, num_clips=views.num_clips)
            said = identify(model, manifest, views=views, sampling=sampling)
            return said | {"features": "tokens" if extractor.tokens else "pooled"}

        progress = (self.console, f"{name} features")
        with scored(scoring, identity, team, devices=self.devices, progress=progress) as result:
            failed = tuple(error for _, error in result.failures)
            num_joined = self.views.num_clips if self.views.join_clips else 1
            return open_features(folder, failed, num_joined=num_joined)


def open_features(
    folder: FeatureFolder, failed: tuple[str, ...], *, num_joined: int = 1
) -> Features:
    """Open what a folder has, in the order of its list."""
    logs = folder.logs()
    video = np.concatenate([log["video"] for log in logs])
    order = np.argsort(video)
    return Features(
        logs=logs,
        log=np.repeat(np.arange(len(logs)), [len(log) for log in logs])[order],
        row=np.concatenate([np.arange(len(log)) for log in logs])[order],
        video_index=torch.from_numpy(video[order].astype(np.int64)),
        failed=failed,
        num_joined=num_joined,
    )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.1f} MiB"
