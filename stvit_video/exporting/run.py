"""Export a checkpoint: write the file, read it again, compare, and only then give it its name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from stvit_video.errors import ConfigError, ExportError
from stvit_video.evaluation.predictor import Predictor
from stvit_video.exporting.card import ExportCard, describe_export
from stvit_video.exporting.check import Agreement, compare, read_check_clips
from stvit_video.exporting.formats import check_format
from stvit_video.exporting.program import make_program
from stvit_video.files import replacing, writing
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.tables import Cell, Column, Table, make_table
from stvit_video.settings.export import ExportFormat, ExportInput


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportReport:
    """A file that was written, and how near it is to the network."""

    output: Path
    format: ExportFormat
    num_bytes: int
    """Of all files."""
    device: str
    card: ExportCard
    tolerance: float
    agreements: tuple[Agreement, ...]


def export_checkpoint(
    checkpoint: str | Path,
    output: Path,
    *,
    format: ExportFormat,
    input_dtype: ExportInput = "uint8",
    dynamic_frames: bool = False,
    video: Path | None = None,
    tolerance: float = 1e-3,
    device: str = "cpu",
) -> ExportReport:
    """Write the network of a checkpoint to a file that runs without this package.

    It takes any number of clips, and with `dynamic_frames` of frames. The file is compared with
    the network on clips of `video`, see `check.read_check_clips`.

    Raises:
        ConfigError: the format does not go with `output`, lacks something, or the device does.
        MissingFileError, CheckpointError: there is no such checkpoint, or it holds no model.
        ExportError: the format cannot hold the network, or the file computes something else.
        VideoDecodeError, DatasetError: the video cannot be read, or there is none.
        WriteError: the disk refuses the file.
    """
    chosen = check_format(format, output, device=device)
    predictor = Predictor.load(checkpoint, device=device)
    model = predictor.model
    _check_model(model, checkpoint, joins_clips=predictor.views.join_clips)
    card = describe_export(
        model,
        predictor.data,
        predictor.views,
        input_dtype=input_dtype,
        frames_multiple=_tubelet_frames(model) if dynamic_frames else None,
        opset=chosen.opset,
    )
    clips = read_check_clips(video, model.preprocessing, predictor.data)
    with _staged(output) as path:
        program = make_program(model, card)
        with writing(output, RuntimeError):  # so a compiler says it
            chosen.write(program, card, path)
        run, written = chosen.load(path)
        if written != card.as_json():
            raise ExportError(f"the card of {output} is not the one that was written")
        agreements = compare(run, model, clips, card, tolerance=tolerance)
        num_bytes = sum(each.stat().st_size for each in path.parent.iterdir())
    return ExportReport(
        output=output,
        format=format,
        num_bytes=num_bytes,
        device=str(predictor.device),
        card=card,
        tolerance=tolerance,
        agreements=tuple(agreements),
    )


def _check_model(model: VideoModel, checkpoint: str | Path, *, joins_clips: bool) -> None:
    if not model.num_classes:
        raise ConfigError(f"checkpoint {checkpoint} has no head; export one that classifies")
    if joins_clips:
        raise ConfigError(
            f"checkpoint {checkpoint} reads all clips of a crop at once (views.join_clips), but an"
            " exported file takes one at a time; set join_clips to false in its model.json"
        )


def _tubelet_frames(model: VideoModel) -> int:
    return model.embed.patch.tubelet_size[0]


@contextmanager
def _staged(output: Path) -> Iterator[Path]:
    """Give a path of the same name in a folder beside it; in the end all files there move out.

    ONNX keeps weights above 2 GiB in a second file, which must stand where the first one looks.
    """
    with (
        writing(output),
        TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder,
    ):
        yield Path(folder) / output.name
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.name == output.name):
            with replacing(output.with_name(path.name)) as partial_path:
                os.replace(path, partial_path)


def export_table(report: ExportReport) -> Table:
    """Make the table of how near the file is to the network."""
    columns: list[Column | str] = [
        "clips",
        "frames",
        Column(title="largest difference", format=".2g"),
        Column(title="of the largest logit", format=".2g"),
        "same class",
    ]
    rows: list[list[Cell]] = [
        [
            agreement.num_clips,
            agreement.num_frames,
            agreement.max_difference,
            agreement.relative_difference,
            f"{agreement.same_class} of {agreement.num_clips}",
        ]
        for agreement in report.agreements
    ]
    return make_table("the file beside the network, eager", columns, rows)


def describe_file(report: ExportReport) -> list[str]:
    """Say in lines what the file is, takes and gives."""
    card = report.card
    opset = "" if card.opset is None else f", opset {card.opset}"
    shape = ", ".join(map(str, card.input_shape))
    setting = card.semantic or card.reduction or "dense"
    dynamic = "" if card.frames_multiple is None else f"; frames: {card.frames_multiple} x N"
    return [
        f"{report.output}: {card.model}, {setting}, {report.format}{opset},"
        f" {report.num_bytes / 2**20:.1f} MiB",
        f"{card.input_name}: {card.input_dtype} ({shape}), {card.input_axes}{dynamic}",
        f"{card.output_name}: float32 (clips, {card.num_classes}); {card.scores} makes"
        " probabilities of them",
    ]
