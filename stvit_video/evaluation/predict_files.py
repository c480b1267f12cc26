"""Classify files, one record each: as a whole, or window by window."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from rich.console import Console

from stvit_video.datasets.named_videos import NamedVideos
from stvit_video.errors import DatasetError
from stvit_video.evaluation.answers import ReadingPlan, UnreadVideo, answer_each
from stvit_video.evaluation.prediction import VideoPrediction, prediction_table
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.timeline import Timeline, timeline_table
from stvit_video.report.counts import clips_and_crops, counted
from stvit_video.report.progress import count_videos
from stvit_video.report.records import Record
from stvit_video.report.tables import Column, Table, make_table

Found = VideoPrediction | Timeline
Keep = Callable[[Record], object]

MOST_SHOWN = 100
"""Rows of a table of videos."""


@dataclass(kw_only=True, slots=True)
class FilesPredicted:
    """What became of the files: counts, and the first of them."""

    title: str
    is_one: bool
    """One file was named, and no folder."""
    num_found: int = 0
    num_failed: int = 0
    first: list[Found] = field(default_factory=list)
    """As many as a table shows."""
    errors: list[str] = field(default_factory=list)
    """As many."""

    def add(self, found: Found) -> None:
        """Count a video that was classified."""
        self.num_found += 1
        if len(self.first) < MOST_SHOWN:
            self.first.append(found)

    def fail(self, error: str) -> None:
        """Count a video that cannot be read."""
        self.num_found += 1
        self.num_failed += 1
        if len(self.errors) < MOST_SHOWN:
            self.errors.append(error)

    @property
    def table(self) -> Table:
        """The classes of the one file, or the best of each."""
        if not self.is_one:
            return _videos_table(self)
        (found,) = self.first
        return timeline_table(found) if isinstance(found, Timeline) else prediction_table(found)


def predict_files(
    predictor: Predictor,
    videos: NamedVideos,
    plan: ReadingPlan,
    *,
    keep: Keep,
    on_timeline: Callable[[Timeline], object] = lambda timeline: None,
    console: Console,
) -> FilesPredicted:
    """Classify the videos; `keep` gets a record of each, in order, as it comes.

    A file that cannot be read is a record with an `error`; one that was named alone is raised. A
    bar is on the console, if that is a terminal.

    Raises:
        VideoDecodeError, WorkerDiedError: the one video cannot be read.
        DatasetError: none of several can.
    """
    done = FilesPredicted(title=videos.title, is_one=videos.is_one)
    counts_windows = videos.is_one and plan.length is not None
    if videos.is_one and plan.length is None:
        plan = replace(plan, num_workers=0)  # which takes less time than to start a process
    with count_videos(
        console,
        "classifying",
        total=None if counts_windows else videos.total,
        transient=True,
        unit="windows" if counts_windows else "videos",
    ) as advance:
        count_windows = _stepwise(advance) if counts_windows else None
        for answer in answer_each(predictor, videos.paths, plan, count_windows):
            if isinstance(answer, UnreadVideo):
                if videos.is_one:
                    raise answer.error
                done.fail(str(answer.error))
            else:
                done.add(answer)
            keep(answer.as_json())
            if isinstance(answer, Timeline):
                on_timeline(answer)
            if not counts_windows:
                advance(1)
    if not done.first:
        if not done.errors:
            raise DatasetError(f"{videos.title} names no videos")
        raise DatasetError(f"none of the {done.num_failed} videos decodes: {done.errors[0]}")
    return done


def _stepwise(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """Turn how much is done into how much more."""
    before = 0

    def tell(num_done: int, total: int) -> None:
        nonlocal before
        advance(num_done - before)
        before = num_done

    return tell


def _videos_table(done: FilesPredicted) -> Table:
    """Make the table of the best class of each video; of a timeline, that of the longest time."""
    one = done.first[0]
    num_decoded = done.num_found - done.num_failed
    more = num_decoded - len(done.first)
    return make_table(
        done.title,
        ["video", "label", Column(title="score", format=".3f")],
        [[found.video, *_best(found)] for found in done.first],
        note=f"{one.model}, {clips_and_crops(one.views.num_clips, one.views.num_crops)};"
        f" {num_decoded} of {counted(done.num_found, 'video')} can be read"
        + (f"; {more} more are not shown" if more else ""),
    )


def _best(found: Found) -> tuple[str, float]:
    if isinstance(found, VideoPrediction):
        return found.topk[0]["label"], found.topk[0]["score"]
    seconds: dict[str, float] = {}
    for part in found.segments():
        length = part.end_seconds - part.start_seconds
        seconds[part.label] = seconds.get(part.label, 0.0) + length
    label = max(seconds, key=lambda name: seconds[name])
    scores = [part.score for part in found.segments() if part.label == label]
    return label, sum(scores) / len(scores)
