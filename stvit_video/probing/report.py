"""What probes came to: accuracy by learning rate and weight decay."""

from dataclasses import dataclass

from rich.console import Console

from stvit_video.evaluation.metrics import Accuracy
from stvit_video.report.counts import counted
from stvit_video.report.drawn_table import print_table
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.report.terminal import say


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """What one probe came to in the last epoch."""

    lr: float
    weight_decay: float
    train_loss: float | None
    """None where it is no number: the probe has diverged."""
    val: Accuracy | None
    """None of a probe that has diverged."""

    @property
    def figure(self) -> float:
        """What probes are compared by: mean average precision, or top-1; -1 of a diverged one."""
        if self.val is None:
            return -1.0
        precision = self.val.mean_average_precision
        return self.val.top1 if precision is None else precision


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeReport:
    """What became of all probes of one network."""

    attentive_blocks: int
    """0 for linear probes."""
    feature_shape: tuple[int, ...]
    """Of a view: (D,), or (N, D) with the tokens of an attentive probe."""
    num_videos: int
    """Training videos that decode."""
    num_views: int
    """Of each video."""
    probes: tuple[ProbeResult, ...]
    best: int
    """The probe that is written: the best of the validation videos. That figure is flattered by the
    choice; other videos tell the truth."""
    failed: tuple[str, ...]
    """Errors of the training videos that do not decode."""
    val_failed: tuple[str, ...]
    """Errors of the validation videos that do not decode."""
    feature_seconds: float
    """For what was not there before."""
    training_seconds: float
    """For all probes together."""


def print_report(report: ProbeReport, console: Console) -> None:
    """Print the table of the probes, the best one, and what does not decode."""
    print_table(console, probe_table(report))
    best = report.probes[report.best]
    if best.val is not None:
        precision = best.val.mean_average_precision
        mean = f"mAP {100 * precision:.2f} %" if precision is not None else ""
        if best.val.mean_class is not None:
            mean = f"mean over classes {100 * best.val.mean_class:.2f} %"
        say(
            console,
            f"best: lr {best.lr:g}, weight decay {best.weight_decay:g}: top-1"
            f" {100 * best.val.top1:.2f} %, top-5 {100 * best.val.top5:.2f} %, {mean} on"
            f" {best.val.num_videos} validation videos, which chose it",
        )
    for error in (*report.failed, *report.val_failed):
        say(console, f"does not decode: {error}")


def probe_table(report: ProbeReport) -> Table:
    """Make the table of validation accuracy: a row a learning rate, a column a weight decay."""
    kind = "linear probes"
    if report.attentive_blocks:
        kind = f"attentive probes of {counted(report.attentive_blocks, 'block')}"
    decays = list(dict.fromkeys(probe.weight_decay for probe in report.probes))
    rows: dict[float, list[float | None]] = {}
    for probe in report.probes:
        figure = None if probe.val is None else 100 * probe.figure
        rows.setdefault(probe.lr, []).append(figure)
    is_multi_label = any(p.val and p.val.mean_average_precision is not None for p in report.probes)
    return make_table(
        f"{kind}: validation {'mAP' if is_multi_label else 'top-1'} (%)",
        ["lr", *(Column(title=f"weight decay {decay:g}", format=".2f") for decay in decays)],
        [[f"{lr:g}", *figures] for lr, figures in rows.items()],
        note="-: the probe has diverged" if any(p.val is None for p in report.probes) else "",
    )
