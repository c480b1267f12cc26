"""One evaluation by several processes, stopped and taken up: the same scores, bit by bit."""

import copy
import csv
import dataclasses
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch
from rich.console import Console

from stvit_video.datasets.manifest import Manifest, read_manifest, write_manifest
from stvit_video.datasets.records import VideoRecord
from stvit_video.errors import CheckpointError, ConfigError, WorkerDiedError
from stvit_video.evaluation.processes import Scoring, score_on_devices
from stvit_video.evaluation.run import Results, run_evaluation
from stvit_video.evaluation.score_folder import ScoreFolder
from stvit_video.models.registry import create_model
from stvit_video.settings.data import DataConfig
from stvit_video.settings.views import ViewConfig

CPU = torch.device("cpu")
VIEWS = ViewConfig(num_clips=2, num_crops=3)
NAMES = ("pushing left", "waving")
QUIET = (Console(quiet=True), "")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return create_model("demo_tiny", num_classes=2, num_frames=2, image_size=32).eval()


@pytest.fixture(scope="module")
def videos(class_folder_root, tmp_path_factory):
    """A manifest of 17 rows, of which two, in different batches, do not decode."""
    folder = tmp_path_factory.mktemp("list")
    (folder / "broken.mp4").write_bytes(b"")
    good = [
        VideoRecord(path, int(path.parent.name == "waving"))
        for path in sorted(class_folder_root.rglob("*.mp4"))
    ]
    records = good * 3
    records[4:4] = records[9:9] = [VideoRecord(folder / "broken.mp4", 1)]
    write_manifest(Manifest(records, NAMES), folder / "list.csv")
    return folder / "list.csv"


def evaluate(model, videos, *, devices=(CPU,), folder=None, batch_size=18, **how):
    return run_evaluation(
        model,
        videos,
        data=how.pop("data", DataConfig(num_workers=0)),
        views=how.pop("views", VIEWS),
        devices=devices,
        batch_size=batch_size,
        results=Results(folder=folder),
        progress=QUIET,
    )


@pytest.fixture(scope="module")
def whole(model, videos, tmp_path_factory):
    """Report and folder of an evaluation by one process, in batches of 3 videos."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    return evaluate(model, videos, folder=folder), folder


def same(report):
    """What of a report must not depend on who computed it."""
    return dataclasses.replace(report, device="", elapsed_seconds=0.0)


def assert_same_files(folder, other):
    for name in ("views.npz", "videos.npz", "videos.csv", "views.csv", "classes.csv",
                 "confusion.csv"):  # fmt: skip
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


def test_a_network_that_gives_no_numbers_is_refused(model, videos, tmp_path):
    broken = copy.deepcopy(model)
    torch.nn.init.constant_(broken.head.bias, float("nan"))
    with pytest.raises(CheckpointError) as caught:
        evaluate(broken, videos, folder=tmp_path / "out")
    assert str(caught.value) == (
        "the network gives no numbers for video 0 of the list (from 0); its weights are broken"
    )
    assert not (tmp_path / "out" / "parts").exists()


def test_several_processes_score_each_video_once_and_bitwise_alike(model, videos, whole, tmp_path):
    report = evaluate(model, videos, devices=[CPU] * 3, folder=tmp_path / "out")
    assert report.device == "3 x cpu"
    assert same(report) == same(whole[0])
    assert_same_files(tmp_path / "out", whole[1])
    assert len(list((tmp_path / "out" / "parts").iterdir())) == 3


def test_another_batch_size_differs_by_rounding_alone(model, videos, whole, tmp_path):
    for batch_size in (1, 7, 64):
        folder = tmp_path / str(batch_size)
        report = evaluate(model, videos, folder=folder, batch_size=batch_size)
        ours, expected = (np.load(f / "videos.npz")["scores"] for f in (folder, whole[1]))
        np.testing.assert_allclose(ours, expected, atol=1e-6)
        assert same(report).classes == whole[0].classes


@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_was_scored(model, videos, whole, tmp_path):
    folder = ScoreFolder(tmp_path / "parts of it", views=VIEWS, num_classes=2)
    scoring = Scoring(
        model=model,
        preprocessing=model.preprocessing,
        records=read_manifest(videos).records,
        data=DataConfig(num_workers=0),
        views=VIEWS,
        batch_size=6,
        multi_label=False,
        folder=folder,
    )

    others = set(multiprocessing.active_children())  # of loaders that nobody has collected yet

    def kill(num_videos):
        children = [c for c in multiprocessing.active_children() if c not in others]
        for child in children[: min(num_videos, 1)]:
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(WorkerDiedError) as caught:
        score_on_devices(scoring, torch.arange(17), [CPU, CPU], kill)
    assert "the process that evaluates on cpu (pid " in str(caught.value)
    assert str(caught.value).endswith("died (Killed)")
    assert set(multiprocessing.active_children()) <= others
    assert 1 <= len(folder.read(multi_label=False).video_index) < 15


class StopError(Exception):
    """As any that ends a process."""


@pytest.fixture
def calls(model, monkeypatch):
    """How many views each forward pass was given; the pass after `stop_after` passes stops."""
    forward, seen = type(model).forward, []

    class Calls:
        stop_after = -1
        sizes = seen

    def watched(self, clip):
        if len(seen) == Calls.stop_after:
            raise StopError
        seen.append(len(clip))
        return forward(self, clip)

    monkeypatch.setattr(type(model), "forward", watched)
    return Calls


def test_the_same_call_goes_on_behind_a_stop_with_the_same_result(
    model, videos, whole, tmp_path, calls
):
    folder = tmp_path / "out"
    calls.stop_after = 4
    with pytest.raises(StopError):
        evaluate(model, videos, folder=folder)
    assert {path.name for path in folder.iterdir()} == {"evaluation.json", "parts"}
    log = folder / "parts" / "0.scores"
    log.write_bytes(log.read_bytes()[:-5])  # the third batch was not written whole
    calls.stop_after, calls.sizes[:] = -1, []
    report = evaluate(model, videos, folder=folder)
    assert calls.sizes == [18, 12, 18, 12]  # six batches, of 17 videos, of which two are broken
    assert same(report) == same(whole[0])
    assert_same_files(folder, whole[1])


def test_an_evaluation_that_is_done_scores_what_did_not_decode_alone(
    model, videos, whole, tmp_path, calls
):
    report = evaluate(model, videos, folder=whole[1])
    assert (same(report), calls.sizes) == (same(whole[0]), [])
    folder, mended = tmp_path / "out", tmp_path / "mended.csv"
    records = list(read_manifest(videos).records)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    write_manifest(Manifest([*records[:3], VideoRecord(broken, 0)], NAMES), mended)
    assert evaluate(model, mended, folder=folder).num_decoded == 3
    broken.write_bytes(records[0].path.read_bytes())
    calls.sizes.clear()
    assert evaluate(model, mended, folder=folder).num_decoded == 4
    assert calls.sizes == [6]


def test_scores_of_another_evaluation_are_refused(model, videos, whole, tmp_path):
    _, folder = whole
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    other = create_model("demo_tiny", num_classes=2, num_frames=2, image_size=32)
    semantic = create_model(
        "demo_tiny", num_classes=2, num_frames=2, image_size=32, reduction="tome:r=1"
    )
    semantic.load_state_dict(model.state_dict())
    fewer = videos.with_name("fewer.csv")
    records = read_manifest(videos).records
    write_manifest(Manifest(list(records[:-1]), NAMES), fewer)
    swapped = videos.with_name("swapped.csv")
    write_manifest(Manifest([records[1], records[0], *records[2:]], NAMES), swapped)
    for case, message in (
        ({"model": other}, "its weights was "),
        ({"model": semantic}, "its reduction was , not tome:r=1"),
        ({"videos": fewer}, "its number of videos was 17, not 16"),
        ({"videos": swapped}, "its list of videos was "),
        ({"views": ViewConfig(num_clips=2)}, "its num_crops was 3, not 1"),
        ({"data": DataConfig(num_workers=0, sampling="segments")}, "its sampling was "),
    ):
        given = {"model": model, "videos": videos, "folder": folder} | case
        with pytest.raises(ConfigError) as caught:
            evaluate(given.pop("model"), given.pop("videos"), **given)
        assert str(caught.value).startswith(f"output_dir ({folder}) holds scores of another")
        assert message in str(caught.value)
        assert str(caught.value).endswith("; choose another folder")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_views_may_be_combined_otherwise_without_being_scored_again(model, videos, whole, calls):
    views = dataclasses.replace(VIEWS, combine="mean_logit")
    evaluate(model, videos, folder=whole[1], views=views)
    assert calls.sizes == []
    logits = np.load(whole[1] / "views.npz")["logits"]
    scores = np.load(whole[1] / "videos.npz")["scores"]
    np.testing.assert_allclose(scores, logits.mean(axis=1), atol=1e-6)
    evaluate(model, videos, folder=whole[1])


def test_a_folder_with_other_files_is_refused(model, videos, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError) as caught:
        evaluate(model, videos, folder=tmp_path)
    assert str(caught.value) == (f"output_dir ({tmp_path}) holds other files; choose a new folder")


def test_the_files_hold_every_score_and_every_video(model, videos, whole):
    report, folder = whole
    of_views, of_videos = (np.load(folder / f"{what}.npz") for what in ("views", "videos"))
    assert of_views["logits"].shape == (15, 6, 2)
    assert of_views["logits"].dtype == np.float32
    assert of_videos["video_index"].tolist() == [v for v in range(17) if v not in (4, 9)]
    probability = torch.from_numpy(of_views["logits"]).softmax(dim=-1).mean(dim=1)
    np.testing.assert_allclose(of_videos["scores"], probability, atol=1e-6)
    assert of_videos["failed_index"].tolist() == [4, 9]
    right = of_videos["scores"].argmax(axis=1) == of_videos["label"]
    assert report.top1 == pytest.approx(right.mean())
    with (folder / "videos.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] != "" for row in rows] == [v in (4, 9) for v in range(17)]
    assert [row["class_1"] == row["label"] for row in rows if not row["error"]] == right.tolist()
    with (folder / "views.csv").open(newline="") as file:
        places = [(row["clip"], row["crop"]) for row in csv.DictReader(file)][:6]
    assert places == [(clip, crop) for clip in "01" for crop in "012"]
    with (folder / "classes.csv").open(newline="") as file:
        counts = [(row["num_found"], row["num_decoded"]) for row in csv.DictReader(file)]
    assert counts == [("9", "9"), ("8", "6")]
