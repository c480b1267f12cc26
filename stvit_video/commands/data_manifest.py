"""`stvit-video data manifest`: turn the annotations of a data set into a manifest."""

from pathlib import Path
from typing import Literal

from stvit_video.datasets.action_splits import find_hmdb51, find_ucf101
from stvit_video.datasets.annotations import AnnotatedVideo, AnnotatedVideos, read_class_names
from stvit_video.datasets.class_folders import find_class_folders
from stvit_video.datasets.coverage import Coverage, open_videos
from stvit_video.datasets.kinetics import (
    find_kinetics,
    find_kinetics_folders,
    kinetics400_class_names,
    names_of_rows,
    read_kinetics_csv,
)
from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.datasets.something_something import find_something_something
from stvit_video.datasets.video_list import find_video_list
from stvit_video.errors import ConfigError, DatasetError
from stvit_video.report.json_file import as_plain, result_console, write_json
from stvit_video.report.progress import track_files

Layout = Literal[
    "kinetics400",
    "kinetics600",
    "kinetics700",
    "ssv2",
    "ucf101",
    "hmdb51",
    "class-folders",
    "list",
]


def data_manifest(
    layout: Layout,
    root: Path,
    *,
    output: Path,
    annotations: Path | None = None,
    labels: Path | None = None,
    split: str = "",
    num_workers: int = 2,
    json: Path | None = None,
) -> int:
    """Write a manifest and print how many videos are annotated, found and decodable.

    Args:
        layout: Data set or kind of annotation.
        root: Folder that holds the videos, at any depth (class-folders: the folder of classes).
        output: Manifest to write; videos without a file are listed beside it.
        annotations: Official csv, json or split file, or the list; hmdb51: the folder of splits.
        labels: Names of the classes in the order of their index, where the data set's own file
            is not beside the annotations.
        split: Rows to take of a Kinetics csv (default: all), or train1 .. test3 of hmdb51.
        num_workers: Processes that open every file once; 0 opens none.
        json: Also write the counts to this file, or to standard output as `-`.
    """
    found = _find(layout, root, annotations, labels, split)
    manifest = found.manifest()
    if num_workers > 0:
        manifest = _opened(manifest, num_workers)
    coverage = Coverage(
        annotated=len(found.videos),
        found=len(manifest.records),
        decodable=sum(not r.verdict for r in manifest.records) if num_workers > 0 else None,
    )
    write_manifest(manifest, output)
    missing_path = output.with_name(f"{output.stem}.missing.txt")
    missing_path.unlink(missing_ok=True)
    if found.missing:
        missing_path.write_text("".join(f"{name}\n" for name in found.missing), encoding="utf-8")
    result = {
        "layout": layout,
        "manifest": str(output),
        "classes": manifest.num_classes,
        **as_plain(coverage),
        "missing": found.missing,
        "broken": {str(r.path): r.verdict for r in manifest.records if r.verdict},
    }
    summary = "\n".join(_summary(layout, manifest, coverage, output))
    result_console(json).print(summary, markup=False, soft_wrap=True)
    write_json(result, json)
    return 0


def _find(
    layout: Layout, root: Path, annotations: Path | None, labels: Path | None, split: str
) -> AnnotatedVideos:
    if layout == "class-folders":
        names = None if labels is None else read_class_names(labels)
        return _as_annotated(find_class_folders(root, class_names=names))
    if layout.startswith("kinetics"):
        return _find_kinetics(layout, root, annotations, labels, split)
    if annotations is None:
        raise ConfigError(f"layout {layout} needs --annotations")
    if layout == "ssv2":
        return find_something_something(root, annotations, labels_path=labels)
    if layout == "ucf101":
        return find_ucf101(root, annotations, labels_path=labels)
    if layout == "hmdb51":
        return find_hmdb51(root, annotations, split=split)
    return find_video_list(root, annotations, labels_path=labels)


def _find_kinetics(
    layout: str, root: Path, annotations: Path | None, labels: Path | None, split: str
) -> AnnotatedVideos:
    names: tuple[str, ...] | None = None
    if labels is not None:
        names = read_class_names(labels)
    elif layout == "kinetics400":
        names = kinetics400_class_names()
    if annotations is None:
        if names is None:
            raise ConfigError(f"layout {layout} needs --annotations or --labels")
        return find_kinetics_folders(root, class_names=names)
    rows = read_kinetics_csv(annotations)
    if names is None:
        expected = int(layout.removeprefix("kinetics"))
        names = names_of_rows(rows, expected=expected, where=annotations)
    chosen = [row for row in rows if split in ("", row.split)]
    if not chosen:
        known = ", ".join(sorted({row.split for row in rows}))
        raise DatasetError(f"{annotations} has no rows of split {split!r}; its splits are {known}")
    return find_kinetics(root, chosen, class_names=names)


def _as_annotated(manifest: Manifest) -> AnnotatedVideos:
    videos = tuple(AnnotatedVideo(str(r.path), r.label, r.path) for r in manifest.records)
    return AnnotatedVideos(videos, manifest.class_names)


def _opened(manifest: Manifest, num_workers: int) -> Manifest:
    records = track_files(
        open_videos(manifest.records, num_workers=num_workers),
        title="opening",
        total=len(manifest.records),
        is_bad=lambda record: bool(record.verdict),
    )
    return Manifest(tuple(records), manifest.class_names)


def _summary(layout: str, manifest: Manifest, coverage: Coverage, output: Path) -> list[str]:
    lines = [f"{layout}: {manifest.num_classes} classes", *coverage.lines()]
    broken = [record for record in manifest.records if record.verdict]
    lines += [f"  {record.path}: {record.verdict}" for record in broken[:5]]
    if len(broken) > 5:
        lines.append(f"  and {len(broken) - 5} more; the manifest says why in `verdict`")
    if coverage.found < coverage.annotated:
        missing = coverage.annotated - coverage.found
        lines.append(f"{missing} without a file: {output.with_name(f'{output.stem}.missing.txt')}")
    return [*lines, f"manifest: {output}"]
