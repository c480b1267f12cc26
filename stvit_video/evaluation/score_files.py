"""What an evaluation leaves for others to read: every score, and tables of them.

Legend: F videos that have a file, M of them that decode, V views of a video, K classes.
"""

import csv
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stvit_video.datasets.label_sets import SEPARATOR
from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.records import labels_of
from stvit_video.evaluation.evaluate import VideoScores
from stvit_video.evaluation.metrics import confusion_matrix
from stvit_video.evaluation.report import EvaluationReport
from stvit_video.evaluation.score_folder import ScoreFolder
from stvit_video.files import replacing
from stvit_video.report.json_file import as_plain, write_json

_SHOWN = 5


def write_score_files(
    folder: ScoreFolder, manifest: Manifest, result: VideoScores, report: EvaluationReport
) -> None:
    """Write the result into its folder.

    Raises:
        WriteError: the disk refuses a file; the scores so far stay.
    """
    names = [entry.label for entry in report.classes]
    paths = [str(record.path) for record in manifest.records]
    labels = labels_of(manifest.records)[result.video_index]
    targets = manifest.targets(len(names))
    index = result.video_index.tolist()
    about = {
        "video_index": result.video_index.numpy(),
        "video": np.array([paths[video] for video in index]),
        "label": (labels if targets is None else targets[labels]).numpy(),
        "class_names": np.array(names),
        "failed_index": np.array([video for video, _ in result.failures], np.int64),
        "failed": np.array([error for _, error in result.failures], np.str_),
    }
    views = folder.view_logits()
    shape = (len(index), folder.views.num_views, folder.num_classes)
    _write_npz(folder.path / "views.npz", about, "logits", shape, (views[v] for v in index))
    scores = result.scores.numpy()
    _write_npz(folder.path / "videos.npz", about, "scores", scores.shape, iter(scores))
    _write_csv(folder.path / "videos.csv", _video_rows(manifest, names, result))
    num_crops = folder.views.num_crops
    places = ((paths[video], divmod(view, num_crops), logits)
              for video in index for view, logits in enumerate(views[video]))  # fmt: skip
    _write_csv(folder.path / "views.csv", _view_rows(places, names))
    rows = [as_plain(entry) for entry in report.classes]
    _write_csv(folder.path / "classes.csv", [list(rows[0]), *(list(row.values()) for row in rows)])
    if targets is None:
        counts = confusion_matrix(result.scores, labels).tolist()
        table = [[name, *row] for name, row in zip(names, counts, strict=True)]
        _write_csv(folder.path / "confusion.csv", [["label", *names], *table])
    write_json(report, folder.path / "report.json")


def _video_rows(
    manifest: Manifest, names: Sequence[str], result: VideoScores
) -> Iterator[Sequence[Any]]:
    """Yield a row for each video that has a file: its best classes, or why it does not decode."""
    best = result.scores.topk(min(_SHOWN, len(names)))
    found = {video: m for m, video in enumerate(result.video_index.tolist())}
    errors = dict(result.failures)
    numbers = range(1, best.indices.shape[-1] + 1)
    yield ["video", "label", *(f"{what}_{n}" for n in numbers for what in ("class", "score")),
           "error"]  # fmt: skip
    for video, record in enumerate(manifest.records):
        about = [str(record.path), SEPARATOR.join(manifest.classes_of(record))]
        if video in found:
            m = found[video]
            pairs = zip(best.indices[m].tolist(), best.values[m].tolist(), strict=True)
            yield [*about, *(cell for k, score in pairs for cell in (names[k], score)), ""]
        else:
            yield [*about, *[""] * 2 * len(numbers), errors[video]]


def _view_rows(
    views: Iterable[tuple[str, tuple[int, int], NDArray[np.float32]]], names: Sequence[str]
) -> Iterator[Sequence[Any]]:
    """Yield a row for each view: its place, its best class and the logit of that."""
    yield ["video", "clip", "crop", "class", "logit"]
    for path, place, logits in views:
        best = int(logits.argmax())
        yield [path, *place, names[best], float(logits[best])]


def _write_npz(
    path: Path,
    about: dict[str, NDArray[Any]],
    name: str,
    shape: tuple[int, ...],
    rows: Iterable[NDArray[np.float32]],
) -> None:
    """Write arrays, and one of that shape row by row, so that memory does not hold it."""
    with replacing(path) as partial_path, zipfile.ZipFile(partial_path, "w") as archive:
        for key, array in about.items():
            with archive.open(f"{key}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            head = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, head)
            for row in rows:
                file.write(np.ascontiguousarray(row, "<f4").tobytes())


def _write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with (
        replacing(path) as partial_path,
        partial_path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)
