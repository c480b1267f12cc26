"""Find the objects in images as they are named: a record each, and pictures with them drawn."""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from stvit_video.datasets.coco.batches import build_named_image_loader
from stvit_video.datasets.coco.images import NamedImages
from stvit_video.datasets.sampler import FileKey
from stvit_video.detection.networks.build import Detector
from stvit_video.detection.pictures.answers import Detections, detect
from stvit_video.detection.pictures.clusters import find_clusters
from stvit_video.detection.pictures.draw import Picture, beside, draw_objects
from stvit_video.errors import ConfigError, DatasetError
from stvit_video.files import write_file
from stvit_video.report.counts import counted
from stvit_video.report.records import Record
from stvit_video.report.tables import Table, make_table
from stvit_video.settings.data import MOST_PIXELS

_JPEG = (".jpg", ".jpeg")
_QUALITY = 92
_SHOWN = 100


@dataclass(kw_only=True, slots=True)
class ImagesPredicted:
    """What became of the images: counts, and the first of them."""

    num_found: int = 0
    """Images, those that cannot be read among them."""
    num_failed: int = 0
    num_objects: int = 0
    errors: list[str] = field(default_factory=list)
    """Of as many as a table shows."""
    rows: list[tuple[str, int, str]] = field(default_factory=list)
    """The same of image, number of objects, and what they are."""

    @property
    def table(self) -> Table:
        """Images, and what was found in each."""
        num_read = self.num_found - self.num_failed
        more = num_read - len(self.rows)
        return make_table(
            counted(self.num_objects, "object"),
            ["image", "objects", "classes"],
            self.rows,
            note=f"{num_read} of {counted(self.num_found, 'image')} can be read"
            + (f"; {more} more are not shown" if more else ""),
        )


@torch.inference_mode()
def predict_images(  # noqa: PLR0913 one front door
    detector: nn.Module,
    labels: Sequence[str],
    paths: Sequence[Path],
    *,
    folder: Path | None,
    score_threshold: float,
    device: torch.device,
    batch_size: int,
    keep: Callable[[Record], object],
    num_workers: int = 0,
    max_pixels: int = MOST_PIXELS,
    progress: Callable[[int], object] = lambda num_images: None,
) -> ImagesPredicted:
    """Find the objects of each image; `keep` gets its record, in order, as it comes.

    `labels` name the classes, label 1 first. Objects of a lower score than the threshold are left
    out. With a `folder` each image is written there with its objects drawn, below as many folders
    as set the images apart. An image that cannot be read is a record with an `error`.

    Raises:
        ConfigError: an image would be written over itself.
        DatasetError: there is no image, or none can be read.
        WriteError: the disk refuses a picture.
    """
    if not paths:
        raise DatasetError("no image is named; name files, folders or patterns")
    targets = _name_drawn(paths, folder) if folder is not None else None
    detector.eval().to(device)
    done = ImagesPredicted()
    keys = [FileKey(number, path) for number, path in enumerate(paths)]
    loader = build_named_image_loader(
        NamedImages(max_pixels=max_pixels), keys, batch_size=batch_size, num_workers=num_workers
    ).on(device)
    for batch in loader:
        failed = {f.image_index: str(f.error) for f in batch.failures}
        answers = detect(detector, batch.images, least=score_threshold)
        found = dict(
            zip(batch.index.tolist(), zip(batch.images, answers, strict=True), strict=True)
        )
        for number in sorted({*failed, *found}):
            if number in failed:
                record = _fail(done, paths[number], failed[number])
            else:
                image, answer = found[number]
                record = _record(paths[number], image, answer, labels)
                _count(done, record)
                if targets is not None:
                    drawn = _draw(detector, image, answer, labels)
                    _write_picture(targets[number], drawn)
            keep(record)
        progress(len(failed) + len(found))
    if done.num_failed == done.num_found:
        raise DatasetError(f"none of the {done.num_failed} images can be read: {done.errors[0]}")
    return done


def _record(path: Path, image: Tensor, answer: Detections, labels: Sequence[str]) -> dict[str, Any]:
    objects = []
    for place, label in enumerate(answer.labels):
        one: dict[str, Any] = {
            "label": labels[label - 1] if label <= len(labels) else str(label),
            "score": answer.scores[place],
            "box": answer.boxes[place].tolist(),
        }
        if answer.masks is not None:
            one["mask"] = dict(answer.masks[place])
        objects.append(one)
    height, width = image.shape[1:]
    return {"image": str(path), "width": width, "height": height, "objects": objects}


def _count(done: ImagesPredicted, record: Record) -> None:
    done.num_found += 1
    done.num_objects += len(record["objects"])
    if len(done.rows) < _SHOWN:
        names = [one["label"] for one in record["objects"]]
        counts = {name: names.count(name) for name in names}
        words = ", ".join(f"{count} {name}" for name, count in counts.items())
        done.rows.append((record["image"], len(names), words))


def _fail(done: ImagesPredicted, path: Path, error: str) -> dict[str, Any]:
    done.num_found += 1
    done.num_failed += 1
    if len(done.errors) < _SHOWN:
        done.errors.append(error)
    return {"image": str(path), "error": error}


def _name_drawn(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Choose where each image is drawn: JPEG stays JPEG, anything else becomes PNG."""
    absolute = [Path(os.path.abspath(path)) for path in paths]
    above = os.path.commonpath([path.parent for path in absolute])
    targets = []
    for path in absolute:
        below = path.relative_to(above)
        is_kept = path.suffix.lower() in (*_JPEG, ".png")
        target = folder / (below if is_kept else below.with_name(f"{below.name}.png"))
        if os.path.abspath(target) == str(path):
            raise ConfigError(
                f"{path} would be written over itself; choose another folder for the pictures"
            )
        targets.append(target)
    return targets


def _draw(detector: nn.Module, image: Tensor, answer: Detections, labels: Sequence[str]) -> Picture:
    """Draw what was found in an image; beside it what the semantic tokens gather, if there are."""
    plain = image.permute(1, 2, 0).cpu().numpy()
    drawn = draw_objects(plain, answer, labels)
    clusters = find_clusters(detector, image) if isinstance(detector, Detector) else None
    if clusters is None:
        return drawn
    return beside(drawn, clusters.weights, plain=plain, covered=clusters.covered)


def _write_picture(path: Path, picture: Picture) -> None:
    stream = io.BytesIO()
    drawn = Image.fromarray(np.ascontiguousarray(picture))
    if path.suffix.lower() in _JPEG:
        drawn.save(stream, "jpeg", quality=_QUALITY)
    else:
        drawn.save(stream, "png")
    write_file(path, stream.getvalue())
