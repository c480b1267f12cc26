"""From files to answers in files and on the terminal: the work of `stvit-video predict`."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from stvit_video.datasets.named_videos import NamedVideos, find_named_videos
from stvit_video.datasets.windows import WindowLength
from stvit_video.errors import ConfigError
from stvit_video.evaluation.answers import ReadingPlan
from stvit_video.evaluation.bulk import (
    MakePredictor,
    check_bulk,
    identify_predictions,
    local_engine,
    predict_in_bulk,
)
from stvit_video.evaluation.predict_files import FilesPredicted, predict_files
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.ray_engine import ray_engine
from stvit_video.evaluation.timeline_files import TimelineFolder
from stvit_video.report.drawn_table import print_table
from stvit_video.report.json_file import result_console, write_json
from stvit_video.report.records import STANDARD_OUTPUT, Record, writing_records
from stvit_video.report.terminal import say
from stvit_video.settings.durations import parse_duration
from stvit_video.settings.output import EngineName


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """Where answers go, besides the terminal."""

    json: Path | None = None
    """One document."""
    jsonl: Path | None = None
    csv: Path | None = None
    parquet: Path | None = None
    timelines: Path | None = None
    """Folder of what each timeline is written as."""

    @property
    def on_standard_output(self) -> list[str]:
        """Names of those that go there."""
        return [n for n in ("json", "jsonl", "csv") if str(getattr(self, n)) == STANDARD_OUTPUT]

    def check_streams(self) -> None:
        """Refuse to write two things into one stream.

        Raises:
            ConfigError: two go to standard output, or a table, which cannot go there.
        """
        if len(self.on_standard_output) > 1:
            raise ConfigError(
                f"{' and '.join(self.on_standard_output)} both go to standard output; name a file"
                " for one of them"
            )
        if str(self.parquet) == STANDARD_OUTPUT:
            raise ConfigError("parquet (-) must be a file: it is no text")

    def check(self, plan: ReadingPlan) -> None:
        """Refuse what contradicts itself. Raises as `check_streams`, and:

        Raises:
            ConfigError: there are no timelines.
        """
        self.check_streams()
        if self.timelines is not None and plan.length is None:
            raise ConfigError(
                f"timeline_dir ({self.timelines}) needs a --window, such as 2s, or a --stride"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharding:
    """Where predictions of very many videos go, and what makes them."""

    folder: Path | None = None
    """None where that is not wanted."""
    size: int = 1000
    engine: EngineName = "local"
    replicas: int | None = None
    """Models at once, with Ray; None for as many as fit."""

    def check(self, outputs: Outputs, plan: ReadingPlan) -> None:
        """Refuse what contradicts itself.

        Raises:
            ConfigError: answers are to go elsewhere, too, or a setting has no use.
        """
        if self.folder is None:
            unused = {"engine (ray)": self.engine == "ray", "replicas": self.replicas is not None}
            for name, is_given in unused.items():
                if is_given:
                    raise ConfigError(f"{name} needs an --output_dir to write shards into")
            return
        for name in ("json", "jsonl", "csv", "parquet", "timelines"):
            if getattr(outputs, name) is not None:
                option = "timeline_dir" if name == "timelines" else name
                raise ConfigError(f"{option} cannot be written beside output_dir; leave out one")
        if self.replicas is not None and self.engine != "ray":
            raise ConfigError(f"replicas ({self.replicas}) are for --engine ray alone")
        check_bulk(plan)


def reading_plan(
    *, top_k: int, batch_size: int, num_workers: int, window: str | None, stride: str | None
) -> ReadingPlan:
    """Turn what the user typed into a plan; with a window or a stride, of timelines.

    Raises:
        ConfigError: a duration is none.
    """
    given = {"window": window, "stride": stride}
    seconds = {
        name: None if text is None else parse_duration(name, text) for name, text in given.items()
    }
    length = None if window is None and stride is None else WindowLength(**seconds)
    return ReadingPlan(top_k=top_k, batch_size=batch_size, num_workers=num_workers, length=length)


def run_predict(
    words: Sequence[str],
    load: MakePredictor,
    device: str,
    plan: ReadingPlan,
    outputs: Outputs,
    shards: Sharding,
) -> int:
    """Classify the videos that words name; return the exit status.

    Raises as `find_named_videos`, `Predictor.load`, `predict_into` and `predict_into_shards`.
    """
    outputs.check(plan)
    shards.check(outputs, plan)
    videos = find_named_videos(words)
    errors = Console(stderr=True, highlight=False)
    if shards.folder is not None:
        return predict_into_shards(shards, load, device, videos, plan, errors=errors)
    return predict_into(outputs, load(device=device), videos, plan, errors=errors)


def predict_into(
    outputs: Outputs,
    predictor: Predictor,
    videos: NamedVideos,
    plan: ReadingPlan,
    *,
    errors: Console,
) -> int:
    """Classify the videos, write what was asked for, print a table.

    Returns the exit status: 1 where a video could not be read.

    Raises as `predict_files`, and:
        WriteError: the disk refuses a file.
    """
    kept: list[Record] = []
    files = {"jsonl": outputs.jsonl, "csv": outputs.csv, "parquet": outputs.parquet}
    with ExitStack() as stack:
        write = stack.enter_context(writing_records(files))

        def keep(record: Record) -> None:
            write(record)
            if outputs.json is not None:
                kept.append(record)

        done = predict_files(
            predictor,
            videos,
            plan,
            keep=keep,
            on_timeline=_timeline_writer(outputs, predictor),
            console=errors,
        )
    say(errors, *(f"does not decode: {error}" for error in done.errors))
    if done.num_failed > len(done.errors):
        say(errors, f"and {done.num_failed - len(done.errors)} more")
    write_json(_document(done, kept), outputs.json)
    is_taken = bool(outputs.on_standard_output)
    print_table(result_console(STANDARD_OUTPUT if is_taken else None), done.table)
    return 1 if done.num_failed else 0


def predict_into_shards(
    shards: Sharding,
    load: MakePredictor,
    device: str,
    videos: NamedVideos,
    plan: ReadingPlan,
    *,
    errors: Console,
) -> int:
    """Fill a folder with shards, and say what was done; returns the exit status as `predict_into`.

    Raises as `predict_in_bulk`.
    """
    assert shards.folder is not None
    if shards.engine == "ray":
        predictor = load(device="cpu")
        make = partial(load, device=device)
        engine = ray_engine(make, plan, shard_size=shards.size, replicas=shards.replicas)
    else:
        predictor = load(device=device)
        engine = local_engine(predictor, plan, shard_size=shards.size)
    run = predict_in_bulk(
        shards.folder,
        videos,
        engine,
        identity=identify_predictions(predictor, plan),
        console=errors,
    )
    say(result_console(), run.describe())
    return 1 if run.num_failed else 0


def _timeline_writer(outputs: Outputs, predictor: Predictor) -> Callable[..., object]:
    if outputs.timelines is None:
        return lambda timeline: None
    averages_logits = predictor.views.combine == "mean_logit"
    folder = TimelineFolder(
        outputs.timelines,
        labels=predictor.model.labels,
        unit="logit" if averages_logits else "probability",
        backend=predictor.data.backend,
        max_pixels=predictor.data.max_pixels,
    )
    return folder.write


def _document(done: FilesPredicted, records: list[Record]) -> Any:
    """Return the object of the one video, or those of all and what they are of."""
    if done.is_one and records:
        return records[0]
    failed = [record["error"] for record in records if "error" in record]
    return {
        "num_found": done.num_found,
        "num_decoded": done.num_found - done.num_failed,
        "failed": failed,
        "predictions": [record for record in records if "error" not in record],
    }
