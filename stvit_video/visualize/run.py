"""From a video and a model to the pictures of its clusters: a movie, an animation, a contact sheet
and a page.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from stvit_video.datasets.windows import WindowLength
from stvit_video.evaluation.predictor import Predictor
from stvit_video.files import check_own, replacing, write_file
from stvit_video.report.counts import counted
from stvit_video.report.json_file import write_json
from stvit_video.video.decoding.decoder import Decoder
from stvit_video.video.decoding.open import open_video
from stvit_video.video.numbered import write_pictures
from stvit_video.visualize.drawing import Kept, Picture, draw_frames, gif_bytes, movie_frames
from stvit_video.visualize.page import page_text
from stvit_video.visualize.reading import ReadVideo, check_gathers, read_video
from stvit_video.visualize.sheet import draw_sheet

Format = Literal["all", "page", "video", "gif", "sheet"]
FILES: dict[str, str] = {
    "page": "clusters.html",
    "video": "clusters.mp4",
    "gif": "clusters.gif",
    "sheet": "contact_sheet.png",
}
"""What is written, by format."""
_RECORD = "visualize.json"
_BEGIN = b'{\n  "clusters_of"'
"""Of every record that is written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """What was drawn."""

    files: tuple[Path, ...]
    about: str
    """What they show, and what they leave out."""


def visualize_video(
    video: Path,
    predictor: Predictor,
    folder: Path,
    *,
    length: WindowLength,
    max_duration: float,
    top_k: int,
    format: Format = "all",
) -> Drawn:
    """Draw which patches each token gathers, and write it into `folder`, with a record of it.

    Raises:
        ConfigError: the model is dense, or the windows are too many.
        VideoDecodeError: the video cannot be read.
        WriteError: the disk refuses it.
    """
    check_gathers(predictor.model)
    kept = Kept()
    wanted = list(FILES) if format == "all" else [format]
    opened = open_video(video, backend=predictor.data.backend, max_pixels=predictor.data.max_pixels)
    with opened as decoder:
        read = read_video(decoder, predictor, length=length, max_duration=max_duration, top_k=top_k)
        duration = decoder.info.duration_seconds
        pictures = draw_frames(decoder, read, kept)
        if "video" in wanted:
            times = read.times[movie_frames(len(read.times))]
            _write_movie(folder / FILES["video"], pictures, times)
        deque(pictures, maxlen=0)
    files = tuple(folder / FILES[kind] for kind in wanted)
    about = describe(read, kept, predictor.model.name, duration=duration)
    title = video.name
    record = {"clusters_of": title, "about": about, "files": [file.name for file in files]}
    write_json(record | {"windows": read.windows}, folder / _RECORD)
    makers: dict[str, Callable[[], str | bytes]] = {
        "page": lambda: page_text(read, kept, title=title, about=about),
        "gif": lambda: gif_bytes(kept.gif, float(read.times[-1] - read.times[0])),
        "sheet": lambda: draw_sheet(kept.sheet, read, title=title),
    }
    for kind in wanted:
        if kind in makers:
            write_file(folder / FILES[kind], makers[kind]())
    return Drawn(files=files, about=about)


def draw_page(
    decoder: Decoder,
    predictor: Predictor,
    *,
    title: str,
    length: WindowLength,
    max_duration: float,
    top_k: int,
) -> str:
    """Draw the page alone of a video that is open, and return it.

    Raises as `visualize_video`.
    """
    read = read_video(decoder, predictor, length=length, max_duration=max_duration, top_k=top_k)
    kept = Kept()
    deque(draw_frames(decoder, read, kept), maxlen=0)
    duration = decoder.info.duration_seconds
    about = describe(read, kept, predictor.model.name, duration=duration)
    return page_text(read, kept, title=title, about=about)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds what was not drawn here.

    Raises:
        ConfigError: naming a file in it.
    """
    record = folder / _RECORD
    is_own = False
    if record.is_file():
        with record.open("rb") as file:
            is_own = file.read(len(_BEGIN)) == _BEGIN
    check_own("output_dir", folder, is_own=is_own)


def describe(read: ReadVideo, kept: Kept, model: str, *, duration: float) -> str:
    """Say what is shown, and what is left out."""
    words = [
        f"{model}: {counted(read.num_tokens, 'token')} a window,"
        f" {counted(len(read.windows), 'window')}. Where one ends, a token goes on as that of the"
        f" next which it overlaps most: {len(read.colours)} in all."
    ]
    end = float(read.times[-1])
    if len(read.times) > 1:
        end += float(np.median(np.diff(read.times)))
    if duration - end > 0.01:
        words.append(f"The first {end:.1f} of {duration:.1f} s; max_duration draws more.")
    num_frames, num_movie = len(read.times), len(movie_frames(len(read.times)))
    if num_movie < num_frames:
        words.append(f"The movie shows {num_movie} of {num_frames} frames.")
    if len(kept.page) < num_frames:
        words.append(f"The page shows {len(kept.page)} of {num_frames} frames.")
    return " ".join(words)


def _write_movie(path: Path, pictures: Iterator[Picture], times: NDArray[np.float64]) -> None:
    """Encode as any browser plays it, each picture at its time."""
    ticks = np.maximum.accumulate(np.round(1000 * (times - times[0])) - np.arange(len(times)))
    ticks = (ticks + np.arange(len(times))).astype(np.int64)  # no two are the same
    with (
        replacing(path, FFmpegError) as partial_path,
        TemporaryDirectory(dir=partial_path.parent) as place,
    ):
        movie = Path(place, path.name)
        options = {"preset": "veryfast", "crf": "23", "x264-params": "log=-1"}
        write_pictures(
            movie,
            pictures,
            options=options,
            container_options={"movflags": "faststart"},
            times=ticks.tolist(),
        )
        os.replace(movie, partial_path)
