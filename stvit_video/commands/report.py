"""`stvit-video report`: write a page of tables and plots that compares models."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stvit_video.commands.benchmark import CompileMode

if TYPE_CHECKING:
    from stvit_video.measure.compare.cost import ModelCost

_BATCH_SIZES = [1, 4]


def report(  # noqa: PLR0913 its parameters are its command line
    models: list[str],
    *,
    output: Path,
    title: str = "Video models side by side",
    views: int = 1,
    mode: Literal["inference", "training", "both"] = "inference",
    batch_sizes: list[int] = _BATCH_SIZES,
    device: str = "auto",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    compile: CompileMode = "off",
    rounds: int = 5,
    accuracy: dict[str, float] | None = None,
    pretrained: Path | None = None,
    agreement_clips: int = 16,
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
    from stvit_video.measure.compare import speed
    from stvit_video.measure.compare.quality import agreement_with_first, check_accuracy
    from stvit_video.measure.compare.sections import Findings, report_sections
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.page import write_page

    settings = speed.plan_timing(
        mode,
        batch_sizes=batch_sizes,
        device=device,
        dtype=dtype,
        compile=compile,
        num_rounds=rounds,
    )
    check_accuracy(accuracy or {}, models)
    costs, absent = _count(models, views)
    ceiling = speed.measure_ceiling(settings[0])
    findings = Findings(
        costs=tuple(costs),
        speed=tuple(r for each in settings for r in speed.measure_speed(costs, each, ceiling)),
        ceiling=ceiling,
        stage_seconds=speed.measure_stages(costs, settings[0]),
        accuracy=accuracy or {},
        agreement=agreement_with_first(
            [cost.model for cost in costs], pretrained=pretrained, num_clips=agreement_clips
        ),
        pretrained=None if pretrained is None else str(pretrained),
        absent=absent,
    )
    write_json(findings.record(), output / "report.json")
    page = write_page(output, title, report_sections(findings))
    result_console().print(f"wrote {page}", soft_wrap=True)


def _count(models: list[str], views: int) -> "tuple[list[ModelCost], dict[str, str]]":
    """Count every model that can be built here; say of the others what they need.

    Raises:
        ConfigError: a model is unknown, or the first one cannot be built.
    """
    from stvit_video.errors import ConfigError
    from stvit_video.measure.compare.cost import model_cost
    from stvit_video.measure.compare.spec import parse_spec

    costs, absent = [], {}
    for model in models:
        spec = parse_spec(model)
        try:
            costs.append(model_cost(model, num_views=views, allow_uncounted=True))
        except ConfigError as error:
            if model == models[0] or not isinstance(error.__cause__, ImportError):
                raise
            absent[spec.text] = str(error)
    return costs, absent
