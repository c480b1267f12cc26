"""The work of `stvit-video data manifest`."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from stvit_video.datasets.coverage import Coverage, missing_path, open_videos
from stvit_video.datasets.layouts.action_splits import find_hmdb51, find_ucf101
from stvit_video.datasets.layouts.annotations import (
    AnnotatedVideo,
    AnnotatedVideos,
    read_class_names,
)
from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.datasets.layouts.kinetics import (
    find_kinetics,
    find_kinetics_folders,
    kinetics400_class_names,
    names_of_rows,
    read_kinetics_csv,
)
from stvit_video.datasets.layouts.something_something import find_something_something
from stvit_video.datasets.layouts.video_list import find_video_list
from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.errors import ConfigError, DatasetError
from stvit_video.files import write_file
from stvit_video.report.progress import track_files


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestSummary:
    """What became of an annotation."""

    layout: str
    manifest: Path
    num_classes: int
    coverage: Coverage
    notes: list[str]
    """What was odd about the rows of the annotation."""
    missing: list[str]
    """Annotated videos without a file."""
    broken: dict[str, str]
    """Files that do not open, and why."""


def run_manifest(
    layout: str,
    root: Path,
    *,
    output: Path,
    annotations: Path | None,
    labels: Path | None,
    split: str,
    num_workers: int,
) -> ManifestSummary:
    """Find the annotated videos below `root`, open them, and write `output`.

    Raises:
        StvitVideoError: a file is missing or of another kind, or none of its videos is there.
    """
    found = _find(layout, root, annotations, labels, split)
    manifest = found.manifest()
    if num_workers > 0:
        manifest = _opened(manifest, num_workers)
    write_manifest(manifest, output)
    missing_path(output).unlink(missing_ok=True)
    if found.missing:
        write_file(missing_path(output), "".join(f"{name}\n" for name in found.missing))
    broken = {str(record.path): record.verdict for record in manifest.records if record.verdict}
    return ManifestSummary(
        layout=layout,
        manifest=output,
        num_classes=manifest.num_classes,
        coverage=Coverage(
            annotated=len(found.videos),
            found=len(manifest.records),
            decodable=len(manifest.records) - len(broken) if num_workers > 0 else None,
        ),
        notes=list(found.notes),
        missing=found.missing,
        broken=broken,
    )


def print_manifest(summary: ManifestSummary, console: Console) -> None:
    """Tell the coverage, the first broken files, and where the rest is."""
    lines = [f"{summary.layout}: {summary.num_classes} classes", *summary.coverage.lines()]
    lines += summary.notes
    lines += [f"  {path}: {fault}" for path, fault in list(summary.broken.items())[:5]]
    if len(summary.broken) > 5:
        lines.append(f"  and {len(summary.broken) - 5} more; the manifest says why in `verdict`")
    if summary.missing:
        lines.append(f"{len(summary.missing)} without a file: {missing_path(summary.manifest)}")
    lines.append(f"manifest: {summary.manifest}")
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def _find(
    layout: str, root: Path, annotations: Path | None, labels: Path | None, split: str
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
        return find_hmdb51(root, annotations, split=split, labels_path=labels)
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
