"""What an evaluation found: accuracy, with the videos that it is over."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from stvit_video.datasets.coverage import read_coverage
from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.records import labels_of
from stvit_video.evaluation.evaluate import VideoScores
from stvit_video.evaluation.metrics import (
    ClassAccuracy,
    as_targets,
    measure_accuracy,
    measure_classes,
)
from stvit_video.report.counts import clips_and_crops, counted
from stvit_video.report.drawn_table import print_table
from stvit_video.report.results_html import results_html
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.report.terminal import say
from stvit_video.settings.views import ViewConfig
from stvit_video.video.sampling.scheme import SamplingScheme

_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationReport:
    """Accuracy, with what it was measured on."""

    top1: float
    """Share of the decoded videos, in 0..1; see `Accuracy`."""
    top5: float
    mean_class: float | None
    mean_average_precision: float | None = None
    num_annotated: int
    """Videos that the annotation names; those without a file included, where they are known."""
    num_found: int
    """Videos that have a file."""
    num_decoded: int
    """Videos that the accuracy is over."""
    failed: tuple[str, ...]
    """Errors of the videos that do not decode."""
    num_clips: int
    num_crops: int
    combine: str
    device: str
    elapsed_seconds: float
    """Decoding included; where scores of before were taken up, without theirs."""
    sampling: SamplingScheme | None = None
    """How the clips were chosen; None where the loader was not built here."""
    classes: tuple[ClassAccuracy, ...] = ()
    """In the order of their index."""

    @property
    def coverage(self) -> str:
        """Say what the accuracy is over: `240 of 240 videos`, with those found if not all were."""
        found = "" if self.num_found == self.num_annotated else f" ({self.num_found} found)"
        return f"{self.num_decoded} of {counted(self.num_annotated, 'video')}{found}"

    def _repr_html_(self) -> str:
        failed = make_table("does not decode", ["error"], [[error] for error in self.failed])
        tables = [class_table(self), *([failed] if self.failed else [])]
        return results_html(tables, text=_summary(self))


def report_accuracy(
    manifest: Manifest,
    result: VideoScores,
    *,
    videos: str | Path,
    views: ViewConfig,
    sampling: SamplingScheme,
    device: str,
    seconds: float,
) -> EvaluationReport:
    """Compare the scores with the labels of the list `videos`, and say how they were computed."""
    num_classes = result.scores.shape[-1]
    all_labels = labels_of(manifest.records)
    targets = manifest.targets(num_classes)
    if targets is not None:
        all_labels = targets[all_labels]
    labels = all_labels[result.video_index]
    accuracy = measure_accuracy(result.scores, labels)
    num_found = len(manifest.records)
    coverage = read_coverage(videos, found=num_found, failed=len(result.failures))
    return EvaluationReport(
        top1=accuracy.top1,
        top5=accuracy.top5,
        mean_class=accuracy.mean_class,
        mean_average_precision=accuracy.mean_average_precision,
        num_annotated=coverage.annotated,
        num_found=num_found,
        num_decoded=accuracy.num_videos,
        failed=tuple(error for _, error in result.failures),
        num_clips=views.num_clips,
        num_crops=views.num_crops,
        combine=views.combine,
        device=device,
        elapsed_seconds=seconds,
        sampling=sampling,
        classes=measure_classes(
            result.scores,
            labels,
            class_names=[manifest.class_name(index) for index in range(num_classes)],
            num_found=as_targets(all_labels, num_classes).sum(dim=0).tolist(),
        ),
    )


def print_report(report: EvaluationReport, console: Console) -> None:
    """Print the accuracy, the classes that are worst, and the videos that do not decode."""
    say(console, _summary(report))
    print_table(console, class_table(report))
    for error in report.failed:
        say(console, f"does not decode: {error}")


def class_table(report: EvaluationReport) -> Table:
    """Make the table of the classes with the lowest accuracy, the lowest first."""
    measured = [entry for entry in report.classes if entry.num_decoded]
    is_multi_label = report.mean_class is None
    worst = sorted(measured, key=_precision if is_multi_label else _top1)[:_SHOWN]
    last = "average precision (%)" if is_multi_label else "most taken for"
    top = ("top-1 (%)", "top-5 (%)") if _says_top5(report) else ("top-1 (%)",)
    title = f"the {len(worst)} of {len(measured)} classes with the lowest accuracy"
    if len(worst) == len(measured):
        title = "accuracy by class, the lowest first"
    return make_table(
        title,
        ["class", "videos", *(Column(title=name, format=".1f") for name in (*top, last))],
        [
            [
                entry.label,
                f"{entry.num_decoded} of {entry.num_found}",
                *(100 * (value or 0.0) for value in (entry.top1, entry.top5)[: len(top)]),
                100 * _precision(entry) if is_multi_label else _taken_for(entry),
            ]
            for entry in worst
        ],
        note="videos: of those of the class, the ones that decode",
    )


def _summary(report: EvaluationReport) -> str:
    """Say how accurate it is in a line."""
    mean = (
        f"mean over classes {100 * report.mean_class:.2f} %"
        if report.mean_class is not None
        else f"mAP {100 * (report.mean_average_precision or 0):.2f} %"
    )
    top5 = f" top-5 {100 * report.top5:.2f} %," if _says_top5(report) else ""
    return (
        f"top-1 {100 * report.top1:.2f} %,{top5} {mean} on"
        f" {report.coverage}, {clips_and_crops(report.num_clips, report.num_crops)},"
        f" {report.combine}"
    )


def _says_top5(report: EvaluationReport) -> bool:
    """Say whether top-5 can be wrong."""
    return len(report.classes) > 5


def _top1(entry: ClassAccuracy) -> float:
    return entry.top1 or 0.0


def _precision(entry: ClassAccuracy) -> float:
    return entry.average_precision or 0.0


def _taken_for(entry: ClassAccuracy) -> str | None:
    return f"{entry.taken_for} ({entry.num_taken_for})" if entry.taken_for else None
