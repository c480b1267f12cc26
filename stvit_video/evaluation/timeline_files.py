"""A timeline as files beside each other: JSON, subtitles, and a picture."""

from pathlib import Path

import torch

from stvit_video.errors import VideoDecodeError
from stvit_video.evaluation.timeline import Timeline
from stvit_video.files import write_file
from stvit_video.report.json_file import write_json
from stvit_video.report.subtitles import srt_text, vtt_text
from stvit_video.report.timeline_strip import draw_timeline, num_pictures
from stvit_video.video.decoding.open import open_video


class TimelineFolder:
    """Writes `NAME.json`, `.vtt`, `.srt` and `.png` of each video, by the name of its file.

    A name that was there before in this run gets a number.
    """

    def __init__(
        self, folder: Path, *, labels: tuple[str, ...], unit: str, backend: str, max_pixels: int
    ) -> None:
        self.folder = folder
        self.labels = labels
        self.unit = unit
        self.backend = backend
        self.max_pixels = max_pixels
        self._names: set[str] = set()

    def write(self, timeline: Timeline) -> None:
        """Write the files of a video.

        Raises:
            WriteError: the disk refuses one.
        """
        path = self.folder / self._name(Path(timeline.video))
        write_json(timeline.as_json(), path.with_name(f"{path.name}.json"))
        cues = timeline.cues()
        write_file(path.with_name(f"{path.name}.vtt"), vtt_text(cues))
        write_file(path.with_name(f"{path.name}.srt"), srt_text(cues))
        write_file(path.with_name(f"{path.name}.png"), self._draw(timeline))

    def _name(self, video: Path) -> str:
        name, number = video.stem, 1
        while name in self._names:
            number += 1
            name = f"{video.stem}_{number}"
        self._names.add(name)
        return name

    def _draw(self, timeline: Timeline) -> bytes:
        num_classes = timeline.scores.shape[1]
        with open_video(
            timeline.video, backend=self.backend, max_pixels=self.max_pixels
        ) as decoder:
            info = decoder.info
            number = num_pictures(info.width, info.height)
            middles = [(2 * i + 1) * decoder.num_frames // (2 * number) for i in range(number)]
            try:
                frames = torch.stack([_small(decoder.frames([i])[0]) for i in middles])
            except VideoDecodeError:  # the windows may have left out what is damaged
                frames = torch.zeros(number, 72, 128, 3, dtype=torch.uint8)
        return draw_timeline(
            timeline.video,
            frames=frames.numpy(),
            times=list(timeline.own_times()),
            scores=timeline.scores.numpy(),
            class_names=self.labels or tuple(map(str, range(num_classes))),
            unit=self.unit,
        )


def _small(frame: torch.Tensor) -> torch.Tensor:
    """Leave out pixels of a frame (H, W, C) until it is a thumbnail."""
    step = max(frame.shape[0] // 144, 1)
    return frame[::step, ::step]
