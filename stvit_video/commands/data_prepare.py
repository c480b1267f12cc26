"""`stvit-video data prepare`: re-encode videos so that training reads them fast."""

from stvit_video.files import OutputFile, OutputFolder, ResultFile
from stvit_video.settings.bounds import Count, Positive, Whole
from stvit_video.settings.encode import EncodeSettings, Purpose
from stvit_video.settings.paths import VideosPath

_ENCODE = EncodeSettings()


def data_prepare(  # noqa: PLR0913 its options are the command line
    manifest: VideosPath,
    output_dir: OutputFolder,
    *,
    for_: Purpose | None = None,
    stride: Count | None = None,
    recipe: str | None = None,
    output: OutputFile | None = None,
    encode: EncodeSettings = _ENCODE,
    num_workers: Whole = 0,
    timeout_seconds: Positive = 1800.0,
    fresh: bool = False,
    json: ResultFile | None = None,
) -> None:
    """Re-encode every video for fast training reads, and list the new ones in a manifest.

    Sources are only read. A new video gets its name once all its frames were decoded and counted.
    A run that was stopped goes on where it was.

    Args:
        manifest: Manifest of the videos, or a folder of class folders.
        output_dir: Folder for the new videos.
        for_: How training will read them: `dense` clips, one frame of each of many `segments`, or
            `any` way, the default. Whatever else is read from them is as right, only slower.
        stride: Step between the frames of dense clips.
        recipe: Settings of the training, a file or a name that `stvit-video recipes` lists; say
            `for` and `stride` where those are left out.
        output: Manifest of the new videos; by default in `output_dir`, by the name of `manifest`,
            or manifest.csv for a folder.
        encode: How they are encoded.
        num_workers: Processes that encode; 0 takes one for every core.
        timeout_seconds: Longest time for one video; then its process is killed.
        fresh: Encode again what is there already.
        json: Write the summary as JSON; `-` is standard output.
    """
    from stvit_video.datasets.upkeep.groups import plan_groups
    from stvit_video.datasets.upkeep.prepare_run import (
        check_preparation,
        print_preparation,
        run_preparation,
    )
    from stvit_video.report.json_file import result_console, write_json

    if recipe is not None:
        for_, stride = _wanted_by(recipe, for_, stride)
    groups = plan_groups(for_ or "any", stride=stride, gop=encode.gop)
    summary = run_preparation(
        manifest,
        output_dir,
        output=output,
        encode=encode,
        groups=groups,
        num_workers=num_workers,
        timeout_seconds=timeout_seconds,
        fresh=fresh,
    )
    write_json(summary, json)
    print_preparation(summary, result_console(json))
    check_preparation(summary)


def _wanted_by(
    word: str, purpose: Purpose | None, stride: int | None
) -> tuple[Purpose, int | None]:
    """Complete purpose and stride by what the training of a recipe reads."""
    from stvit_video.datasets.upkeep.groups import purpose_of
    from stvit_video.datasets.upkeep.recipe import read_recipe
    from stvit_video.models.registry import find_variant

    data, model = read_recipe(word)
    if purpose is None:
        purpose = purpose_of(data)
    if purpose == "dense" and stride is None:
        stride = model.frame_stride or find_variant(model.name).preprocessing.frame_stride
    return purpose, stride
