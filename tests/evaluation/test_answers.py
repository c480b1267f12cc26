"""One answer a file, whatever a file does to the process that reads it."""

import os
import signal

import pytest
import torch

from stvit_video.datasets import clips
from stvit_video.datasets.windows import WindowLength
from stvit_video.evaluation import windows
from stvit_video.evaluation.answers import ReadingPlan, UnreadVideo, answer_each
from stvit_video.evaluation.predictor import Predictor
from stvit_video.models.registry import create_model

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in")
"""Where a worker dies while it sends, torch opens files to find out why, and leaves them open."""


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=3, num_frames=2, image_size=32)
    return Predictor(model, device="cpu")


@pytest.fixture
def videos(tmp_path, numbered_video):
    """Copies of a video; of the names that are given, `empty` holds nothing."""

    def make(*names):
        paths = [tmp_path / f"{name}.mp4" for name in names]
        for path in paths:
            path.write_bytes(b"" if "empty" in path.name else numbered_video.read_bytes())
        return paths

    return make


def kill_readers_of(monkeypatch, *names, once=None):
    """Let a process that opens one of these files die; with a file `once`, only the first time."""
    opened = clips.open_video

    def deadly(path, **how):
        if path.stem in names and not (once is not None and once.exists()):
            if once is not None:
                once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return opened(path, **how)

    monkeypatch.setattr(clips, "open_video", deadly)


def names_and_errors(answers):
    return [
        (os.path.basename(a.video), str(a.error) if isinstance(a, UnreadVideo) else "")
        for a in answers
    ]


def test_answers_come_in_order_bad_ones_too(predictor, videos):
    paths = videos("a", "empty", "b", "empty2")
    found = names_and_errors(answer_each(predictor, paths, ReadingPlan(num_workers=0)))
    assert [name for name, _ in found] == ["a.mp4", "empty.mp4", "b.mp4", "empty2.mp4"]
    assert [error.endswith("empty (auto, open)") for _, error in found] == [False, True] * 2


@pytest.mark.parametrize(
    ("num_videos", "num_workers", "batches"), [(4, 2, [2, 2]), (4, 0, [4]), (1, 2, [1])]
)
def test_few_videos_are_shared_between_readers(
    predictor, videos, monkeypatch, num_videos, num_workers, batches
):
    seen, classify = [], predictor._logits

    def watch(clips):
        seen.append(len(clips))
        return classify(clips)

    monkeypatch.setattr(predictor, "_logits", watch)
    paths = videos(*map(str, range(num_videos)))
    assert (
        len(list(answer_each(predictor, paths, ReadingPlan(num_workers=num_workers)))) == num_videos
    )
    assert seen == batches


def test_windows_of_a_short_video_are_read_here(predictor, videos, monkeypatch):
    plan = ReadingPlan(num_workers=2, length=WindowLength(1.2))
    loaders, make = [], windows.build_window_loader

    def watch(chunks, *args, data, **how):
        loaders.append(data.num_workers)
        return make(chunks, *args, data=data, **how)

    monkeypatch.setattr(windows, "build_window_loader", watch)
    (timeline,) = answer_each(predictor, videos("short"), plan)
    assert len(timeline.windows) == 2
    assert loaders == [0]


def test_a_file_that_kills_its_readers_is_one_record(predictor, videos, monkeypatch):
    kill_readers_of(monkeypatch, "deadly")
    paths = videos("a", "b", "deadly", "c", "d")
    plan = ReadingPlan(num_workers=2, batch_size=1)
    found = names_and_errors(answer_each(predictor, iter(paths), plan))
    assert [name for name, _ in found] == ["a.mp4", "b.mp4", "deadly.mp4", "c.mp4", "d.mp4"]
    assert [bool(error) for _, error in found] == [False, False, True, False, False]
    assert "died (Killed)" in found[2][1]


def test_a_reader_that_dies_once_costs_no_video(predictor, videos, monkeypatch, tmp_path):
    kill_readers_of(monkeypatch, "b", once=tmp_path / "killed")
    paths = videos("a", "b", "c")
    found = names_and_errors(answer_each(predictor, paths, ReadingPlan(num_workers=1)))
    assert found == [("a.mp4", ""), ("b.mp4", ""), ("c.mp4", "")]
    assert (tmp_path / "killed").exists()
