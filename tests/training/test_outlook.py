"""What a training says ahead."""

import io
import subprocess
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from torch import nn

from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import RunConfig, TrainConfig
from stvit_video.training.outlook import doubt, is_first_started, opening, remaining, size_of
from stvit_video.training.progress import ProgressDisplay, TrainingProgress
from stvit_video.training.run import run_training

LARGE = nn.Linear(5000, 5000, bias=False)
SMALL = nn.Linear(4000, 4000, bias=False)


def test_the_first_line_says_what_is_trained_on_what_and_where(tmp_path):
    run = RunConfig(
        model=ModelConfig(name="demo_tiny", semantic="4x2x2@2"),
        data=DataConfig(train=tmp_path / "train"),
        train=TrainConfig(epochs=1),
    )
    assert opening(run, tmp_path / "run") == (
        f"training demo_tiny:4x2x2@2 for 1 epoch on {tmp_path / 'train'};"
        f" output_dir {tmp_path / 'run'}"
    )


def test_a_detector_is_named_with_its_network(tmp_path):
    run = RunConfig(
        model=ModelConfig(name="swin_tiny_patch4_window7_224"),
        data=DataConfig(train=tmp_path),
        detector=DetectorConfig(name="mask_rcnn"),
    )
    assert opening(run, tmp_path).startswith("training mask_rcnn on swin_tiny_patch4_window7_224 ")


def test_the_first_line_waits_for_no_torch():
    code = "import sys, stvit_video.commands.train, stvit_video.training.outlook"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_other_processes_do_not_say_it(monkeypatch, name):
    assert is_first_started()
    monkeypatch.setenv(name, "1")
    assert not is_first_started()


def test_a_large_network_without_weights_is_doubted_where_videos_or_a_gpu_lack():
    words = "25 million random weights with {} learn next to nothing; model.pretrained begins with"
    words += " published ones, demo_tiny is a small model"
    few = doubt(LARGE, num_items=24, noun="videos", on_gpu=True)
    assert few == words.format("24 videos")
    slow = doubt(LARGE, num_items=240_000, noun="videos", on_gpu=False)
    assert slow == words.format("no GPU")
    both = doubt(LARGE, num_items=24, noun="images", on_gpu=False)
    assert both == words.format("24 images and no GPU")
    assert doubt(LARGE, num_items=1000, noun="videos", on_gpu=True) is None
    assert doubt(SMALL, num_items=24, noun="videos", on_gpu=False) is None


def test_the_doubt_is_told_once_and_not_with_weights(class_folder_root, tmp_path, monkeypatch):
    monkeypatch.setattr("stvit_video.training.outlook._LARGE", 0.1)
    data = DataConfig(train=class_folder_root, num_workers=0)
    shape = {"num_frames": 2, "frame_stride": 1, "image_size": 32}
    train = TrainConfig(epochs=1, batch_size=4, devices="cpu")
    told = []
    for number, pretrained in enumerate((None, str(tmp_path / "0"))):
        run = RunConfig(
            model=ModelConfig(name="demo_tiny", pretrained=pretrained, **shape),
            data=data,
            augmentation=AugmentationConfig(flip=0),
            train=train,
        )
        console = Console(file=io.StringIO(), width=60)
        run_training(run, tmp_path / str(number), console=console, label="run")
        told.append(console.file.getvalue().count("1 million random weights with 5 videos and no"))
    assert told == [1, 0]


def test_the_size_names_weights_and_classes():
    assert size_of(LARGE, 1) == "25.0 million weights, 1 class"
    assert size_of(LARGE, 1200) == "25.0 million weights, 1,200 classes"


@pytest.mark.parametrize(
    ("num_left", "words"), [(100, "50 s"), (600, "5 min"), (20_000, "2.8 h"), (50, None)]
)
def test_the_time_that_is_left_is_told_unless_it_is_short(num_left, words):
    told = remaining(num_done=10, seconds=5.0, num_left=num_left)
    expected = f"a step takes 0.5 s: about {words} to go, validation apart"
    assert told == (None if words is None else expected)


def test_where_there_is_no_bar_the_time_that_is_left_is_told_once(monkeypatch):
    times = iter([0.0, *(0.9 * step for step in range(1, 20))])
    monkeypatch.setattr("stvit_video.training.progress.time.perf_counter", lambda: next(times))
    console = Console(file=io.StringIO(), width=60)
    shown = TrainingProgress(ProgressDisplay(console, "run"), log=None)
    for step in range(1, 12):  # the first, which may compile, starts the clock
        shown.on_train_batch_end(SimpleNamespace(global_step=step, estimated_stepping_batches=100))
        told = console.file.getvalue()
        assert bool(told) == (step >= 6)  # five steps later
    assert told == "a step takes 0.9 s: about 85 s to go, validation apart\n"
