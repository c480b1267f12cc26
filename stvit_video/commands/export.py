"""`stvit-video export`: write a network to a file that runs without this package."""

from stvit_video.files import ResultFile
from stvit_video.settings.bounds import Positive
from stvit_video.settings.export import ExportFormat, ExportInput
from stvit_video.settings.paths import CheckpointSource, VideoPath


def export(  # noqa: PLR0913 this is a command line
    checkpoint: CheckpointSource,
    *,
    format: ExportFormat = "onnx",
    output: ResultFile,
    input: ExportInput = "uint8",
    dynamic_frames: bool = False,
    video: VideoPath | None = None,
    tolerance: Positive = 1e-3,
    device: str = "cpu",
    json: ResultFile | None = None,
) -> None:
    """Write a network to a file that runs without this package, and compare the file with it.

    Args:
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id.
        format: onnx for ONNX Runtime and TensorRT, aoti for compiled code that torch runs without
            Python, torch for a program of torch.export.
        output: File to write, FILE.onnx or FILE.pt2.
        input: uint8 takes RGB clips as decoders give them and normalises inside; float32 takes
            clips that are normalised.
        dynamic_frames: Take clips of any number of frames, where the network can.
        video: Video to compare on, or a folder of them; by default some are made.
        tolerance: Largest difference from the network that is let pass, as a share of the largest
            logit.
        device: Where a file of aoti or torch will run, cpu or cuda; one of onnx runs anywhere.
        json: Write what was measured here; `-` is standard output.
    """
    from stvit_video.exporting.formats import check_format

    check_format(format, output, device=device)
    from stvit_video.exporting.run import describe_file, export_checkpoint, export_table
    from stvit_video.report.drawn_table import print_table
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.terminal import say

    report = export_checkpoint(
        checkpoint,
        output,
        format=format,
        input_dtype=input,
        dynamic_frames=dynamic_frames,
        video=video,
        tolerance=tolerance,
        device=device,
    )
    write_json(report, json)
    say(result_console(json), *describe_file(report))
    print_table(result_console(json), export_table(report))
