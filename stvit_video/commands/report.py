"""`stvit-video report`: write a page of tables and plots that compares models."""

from pathlib import Path

from stvit_video.files import OutputFolder, check_own
from stvit_video.settings.bounds import Count, Percent, Whole
from stvit_video.settings.paths import WeightsPath
from stvit_video.settings.timing import CompileMode, DtypeName, Modes, plan_timing

_BATCH_SIZES = [1, 4]
_RECORD = "report.json"
_BEGIN = b'{\n  "conditions"'
"""Of every record that this command writes."""


def report(  # noqa: PLR0913 its parameters are its command line
    models: list[str],
    *,
    output: OutputFolder,
    title: str = "Video models side by side",
    views: Count = 1,
    mode: Modes = "inference",
    batch_sizes: list[Count] = _BATCH_SIZES,
    device: str = "auto",
    dtype: DtypeName = "float32",
    compile: CompileMode = "off",
    rounds: Count = 5,
    accuracy: dict[str, Percent] | None = None,
    pretrained: WeightsPath | None = None,
    agreement_clips: Whole = 16,
) -> None:
    """Write a page of tables and plots that compares models.

    Args:
        models: Models with their settings, as for `stvit-video flops`, peers among them; the first
            is the measure of the others. Usually a list in a --config file.
        output: Folder for report.html (one file, no network), report.md, its pictures, report.json.
        title: Heading of the page.
        views: Views of a video, for the costs per video.
        mode: Time forward passes, training steps, or both.
        batch_sizes: Clips of a batch, as in `[1, 8, 32]`.
        device: auto, cpu, cuda or cuda:1.
        dtype: Of weights and clips; in training of the autocast.
        compile: As for `stvit-video benchmark`.
        rounds: Times that every model has its turn.
        accuracy: Top-1 in percent of models, measured elsewhere, for the plot against cost.
        pretrained: Weights that all models of the first one's network share.
        agreement_clips: Clips on which top-1 is compared with the first model; 0 leaves it out.
    """
    settings = plan_timing(
        mode,
        batch_sizes=batch_sizes,
        device=device,
        dtype=dtype,
        compile=compile,
        num_rounds=rounds,
    )
    from stvit_video.measure.compare.findings import measure_findings
    from stvit_video.measure.compare.quality import check_accuracy
    from stvit_video.measure.compare.sections import report_sections
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.page import write_page
    from stvit_video.report.terminal import say

    check_own("output", output, is_own=_is_own(output / _RECORD))
    check_accuracy(accuracy or {}, models)
    findings = measure_findings(
        models,
        settings,
        num_views=views,
        accuracy=accuracy or {},
        pretrained=pretrained,
        agreement_clips=agreement_clips,
    )
    write_json(findings.record(), output / _RECORD)
    page = write_page(output, title, report_sections(findings))
    say(result_console(), f"wrote {page}")


def _is_own(record: Path) -> bool:
    if not record.is_file():
        return False
    with record.open("rb") as file:
        return file.read(len(_BEGIN)) == _BEGIN
