"""`stvit-video data manifest`: turn the annotations of a data set into a manifest."""

from stvit_video.files import OutputFile, ResultFile
from stvit_video.settings.bounds import Whole
from stvit_video.settings.data import Layout
from stvit_video.settings.paths import InputPath, LabelsPath, VideosPath


def data_manifest(
    layout: Layout,
    root: VideosPath,
    *,
    output: OutputFile,
    annotations: InputPath | None = None,
    labels: LabelsPath | None = None,
    split: str = "",
    num_workers: Whole = 2,
    json: ResultFile | None = None,
) -> None:
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
        json: Write the counts and the missing videos as JSON; `-` is standard output.
    """
    from stvit_video.datasets.layouts.table import print_manifest, run_manifest
    from stvit_video.report.json_file import result_console, write_json

    summary = run_manifest(
        layout,
        root,
        output=output,
        annotations=annotations,
        labels=labels,
        split=split,
        num_workers=num_workers,
    )
    write_json(summary, json)
    print_manifest(summary, result_console(json))
