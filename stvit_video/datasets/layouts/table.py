"""The layouts by name, and the work of `stvit-video data manifest`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from stvit_video.datasets.coverage import Coverage, missing_path, open_videos
from stvit_video.datasets.layouts.action_splits import find_hmdb51, find_ucf101
from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos
from stvit_video.datasets.layouts.charades import find_charades
from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.datasets.layouts.class_names import read_class_names
from stvit_video.datasets.layouts.diving48 import find_diving48
from stvit_video.datasets.layouts.epic import find_epic
from stvit_video.datasets.layouts.kinetics import (
    find_kinetics,
    find_kinetics_folders,
    kinetics400_class_names,
    names_of_rows,
    read_kinetics_csv,
)
from stvit_video.datasets.layouts.moments import find_moments
from stvit_video.datasets.layouts.multi_label_list import find_multi_label_list
from stvit_video.datasets.layouts.numbered_csv import find_numbered_csv
from stvit_video.datasets.layouts.official import count_note
from stvit_video.datasets.layouts.something_something import find_something_something
from stvit_video.datasets.layouts.video_list import find_video_list
from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.errors import ConfigError, DatasetError
from stvit_video.files import write_file
from stvit_video.report.progress import track_files
from stvit_video.report.terminal import say
from stvit_video.settings.data import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the videos and the annotations of a data set are, as `data manifest` is told."""

    layout: Layout
    root: Path
    annotations: Path | None
    labels: Path | None
    split: str

    @property
    def listing(self) -> Path:
        """The annotations, of a layout that cannot do without.

        Raises:
            ConfigError: they are not given.
        """
        if self.annotations is None:
            raise ConfigError(f"layout {self.layout} needs --annotations")
        return self.annotations


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
    layout: Layout,
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
    found = LAYOUTS[layout](
        Source(layout=layout, root=root, annotations=annotations, labels=labels, split=split)
    )
    notes = [*found.notes, *count_note(layout, found.class_names)]
    if found.has_seconds and num_workers == 0:
        raise ConfigError(
            "num_workers (0) opens no file, but the stretches of this list are in seconds and need"
            " the frame rates; leave it out"
        )
    manifest = found.manifest()
    if num_workers > 0:
        manifest = _opened(manifest, num_workers)
    manifest = found.with_stretches(manifest)
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
        notes=notes,
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
    say(console, *lines)


def _find_kinetics(source: Source) -> AnnotatedVideos:
    names: tuple[str, ...] | None = None
    if source.labels is not None:
        names = read_class_names(source.labels)
    elif source.layout == "kinetics400":
        names = kinetics400_class_names()
    if source.annotations is None:
        if names is None:
            raise ConfigError(f"layout {source.layout} needs --annotations or --labels")
        return find_kinetics_folders(source.root, class_names=names)
    rows = read_kinetics_csv(source.annotations)
    if names is None:
        expected = int(source.layout.removeprefix("kinetics"))
        names = names_of_rows(rows, expected=expected, where=source.annotations)
    chosen = [row for row in rows if source.split in ("", row.split)]
    if not chosen:
        known = ", ".join(sorted({row.split for row in rows}))
        raise DatasetError(
            f"{source.annotations} has no rows of split {source.split!r}; its splits are {known}"
        )
    return find_kinetics(source.root, chosen, class_names=names)


def _find_class_folders(source: Source) -> AnnotatedVideos:
    names = None if source.labels is None else read_class_names(source.labels)
    manifest = find_class_folders(source.root, class_names=names)
    videos = tuple(AnnotatedVideo(str(r.path), r.label, r.path) for r in manifest.records)
    return AnnotatedVideos(videos, manifest.class_names)


LAYOUTS: dict[Layout, Callable[[Source], AnnotatedVideos]] = {
    "kinetics400": _find_kinetics,
    "kinetics600": _find_kinetics,
    "kinetics700": _find_kinetics,
    "ssv1": lambda it: find_numbered_csv(it.root, it.listing, labels_path=it.labels),
    "ssv2": lambda it: find_something_something(it.root, it.listing, labels_path=it.labels),
    "jester": lambda it: find_numbered_csv(it.root, it.listing, labels_path=it.labels),
    "ucf101": lambda it: find_ucf101(it.root, it.listing, labels_path=it.labels),
    "hmdb51": lambda it: find_hmdb51(it.root, it.listing, split=it.split, labels_path=it.labels),
    "diving48": lambda it: find_diving48(it.root, it.listing, labels_path=it.labels),
    "moments": lambda it: find_moments(it.root, it.listing, labels_path=it.labels),
    "charades": lambda it: find_charades(it.root, it.listing, labels_path=it.labels),
    "epic-verbs": lambda it: find_epic(it.root, it.listing, part="verb", labels_path=it.labels),
    "epic-nouns": lambda it: find_epic(it.root, it.listing, part="noun", labels_path=it.labels),
    "class-folders": _find_class_folders,
    "list": lambda it: find_video_list(it.root, it.listing, labels_path=it.labels),
    "multi-label-list": lambda it: find_multi_label_list(
        it.root, it.listing, labels_path=it.labels
    ),
}
"""Data set or kind of annotation -> what finds its annotated videos. One row each."""


def _opened(manifest: Manifest, num_workers: int) -> Manifest:
    records = track_files(
        open_videos(manifest.records, num_workers=num_workers),
        title="opening",
        total=len(manifest.records),
        is_bad=lambda record: bool(record.verdict),
    )
    return replace(manifest, records=tuple(records))
