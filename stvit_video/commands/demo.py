"""`stvit-video demo`: the whole way on an embedded data set, dense against semantic tokens."""

from pathlib import Path

from stvit_video.files import OutputFolder, ResultFile
from stvit_video.settings.bounds import Count, Seed


def demo(
    *,
    output_dir: OutputFolder | None = None,
    epochs: Count = 12,
    seed: Seed = 0,
    num_videos: Count = 90,
    json: ResultFile | None = None,
) -> None:
    """Write videos, train a dense and a semantic model on the CPU, compare them, show clusters.

    Args:
        output_dir: New run folder; by default runs/demo, runs/demo-2 and so on.
        epochs: Passes over the training videos, for each of the two models.
        seed: Of the videos, the weights and the training.
        num_videos: Training videos of each of the 8 classes.
        json: Write the comparison here as well; `-` is standard output.
    """
    from stvit_video.demo import run_demo
    from stvit_video.report.json_file import result_console, write_json

    comparison = run_demo(
        free_folder() if output_dir is None else output_dir,
        epochs=epochs,
        seed=seed,
        num_videos=num_videos,
        console=result_console(json),
    )
    write_json(comparison, json)


def free_folder(parent: Path = Path("runs")) -> Path:
    """Return `demo`, or the first of `demo-2`, `demo-3`, ... that does not exist."""
    number = 1
    while (folder := parent / ("demo" if number == 1 else f"demo-{number}")).exists():
        number += 1
    return folder
