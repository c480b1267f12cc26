"""Tiny videos laid out as a data set is, for trying a recipe where the data set is not there."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stvit_video.datasets.layouts.table import run_manifest
from stvit_video.files import write_file
from stvit_video.settings.data import Layout
from stvit_video.video.numbered import numbered_picture, write_pictures

WIDTH, HEIGHT, NUM_FRAMES = 96, 72, 40


class _Kind(NamedTuple):
    layout: Layout
    num_classes: int


_WRITTEN = {
    ".webm": ("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    ".mp4": ("libx264", {"preset": "ultrafast", "x264-params": "log=-1"}),
}
"""Suffix -> codec and its options."""


KINDS = {
    "kinetics400": _Kind("kinetics400", 400),
    "kinetics600": _Kind("kinetics600", 600),
    "kinetics700": _Kind("kinetics700", 700),
    "something_something_v2": _Kind("ssv2", 174),
}
"""Name of a data set, as of its folder in `data/` -> how it is read, and its classes."""


def write_tiny_dataset(root: Path, name: str, *, num_videos: dict[str, int]) -> dict[str, Path]:
    """Write so many videos of each part into the new folder `root`; return what a training reads.

    A data set of `KINDS` has its official layout and as many classes, and a manifest of each part;
    any other is a folder of two class folders for each part.
    """
    root.mkdir(parents=True)
    kind = KINDS.get(name)
    video = root / ("video.webm" if kind is not None and kind.layout == "ssv2" else "video.mp4")
    codec, options = _WRITTEN[video.suffix]
    pictures = (numbered_picture(i, width=WIDTH, height=HEIGHT) for i in range(NUM_FRAMES))
    write_pictures(video, pictures, codec=codec, options=options)
    if kind is None:
        return {part: _class_folders(root / part, video, n) for part, n in num_videos.items()}
    classes = [f"class {number}" for number in range(kind.num_classes)]
    labels = root / "classes.txt"
    write_file(labels, "".join(f"{name}\n" for name in classes))
    found = {}
    for part, count in num_videos.items():
        annotate = _something_something if kind.layout == "ssv2" else _kinetics
        annotations = annotate(root / "annotations", part, classes, count)
        for stem in _stems(kind.layout, count):
            _copy(video, root / part / f"{stem}{video.suffix}")
        found[part] = root / f"{part}.csv"
        run_manifest(
            kind.layout,
            root / part,
            output=found[part],
            annotations=annotations,
            labels=labels,
            split="",
            num_workers=0,
        )
    return found


def _stems(layout: Layout, count: int) -> list[str]:
    if layout == "ssv2":
        return [str(number) for number in range(count)]
    return [f"{number:011d}_000010_000020" for number in range(count)]


def _kinetics(folder: Path, part: str, classes: Sequence[str], count: int) -> Path:
    rows = [f"{classes[n % len(classes)]},{n:011d},10,20,{part}\n" for n in range(count)]
    path = folder / f"{part}.csv"
    write_file(path, "label,youtube_id,time_start,time_end,split\n" + "".join(rows))
    return path


def _something_something(folder: Path, part: str, classes: Sequence[str], count: int) -> Path:
    records = [
        {"id": str(n), "label": "", "template": classes[n % len(classes)], "placeholders": []}
        for n in range(count)
    ]
    path = folder / f"{part}.json"
    write_file(path, json.dumps(records))
    return path


def _class_folders(folder: Path, video: Path, count: int) -> Path:
    for number in range(max(count, 2)):
        _copy(video, folder / f"class {number % 2}" / f"{number}{video.suffix}")
    return folder


def _copy(video: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(video, path)
