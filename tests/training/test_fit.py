import dataclasses
import io
import json
import os
import re
import resource
import signal
from typing import NamedTuple, get_args

import pytest
import torch
from rich.console import Console

from stvit_video.errors import CheckpointError, DatasetError, TrainingError, WriteError
from stvit_video.models.registry import create_model
from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.training import OptimizerConfig, Precision, TrainConfig
from stvit_video.training.callbacks import EpochReport
from stvit_video.training.checkpoints import Checkpoints, StopSignals
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.fit import RunFolder, check_start, fit
from stvit_video.training.losses import Pending
from stvit_video.training.progress import ProgressDisplay
from stvit_video.video.pixels.batch import BatchTransform

CLASSES = ("dark", "bright")
SETTINGS = TrainConfig(epochs=2, batch_size=4, devices="cpu", seed=5)


class Batch(NamedTuple):
    clip: torch.Tensor
    label: torch.Tensor
    video_index: torch.Tensor
    view_index: torch.Tensor
    failures: tuple = ()


class Loader:
    """Serves the same batches every epoch (Lightning takes a list for several loaders)."""

    batch_size, clips_per_item = 4, 1

    def __init__(self, made):
        self.made = made

    def __iter__(self):
        return iter(self.made)

    def __len__(self):
        return len(self.made)


def batches(num_batches, *, seed, failures=()):
    """Dark and bright clips, 4 in a batch, without a data set behind them."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number in range(num_batches):
        label = torch.randint(0, 2, (4,), generator=generator)
        noise = torch.randint(0, 90, (4, 3, 2, 16, 16), generator=generator)
        clip = (noise + 150 * label.reshape(-1, 1, 1, 1, 1)).to(torch.uint8)
        index = torch.arange(4) + 4 * number
        made.append(Batch(clip, label, index, index * 0, failures))
    return made


def classifier(*, num_videos=12, lr=1e-3, train=SETTINGS, **how):
    torch.manual_seed(SETTINGS.seed)
    model = create_model("demo_tiny", num_classes=2, num_frames=2, image_size=16)
    return VideoClassifier(
        model,
        num_classes=2,
        num_videos=num_videos,
        optimizer=OptimizerConfig(lr=lr, warmup_epochs=0),
        train=train,
        augment=BatchTransform(model.preprocessing, AugmentationConfig(), class_names=CLASSES),
        **how,
    )


def train(
    module, run_dir, *, settings=SETTINGS, train_batches=None, val_batches=None, display=None
):
    written, exports = [], []
    display = display or ProgressDisplay(Console(stderr=True), "run")
    report = fit(
        module,
        Loader(batches(3, seed=1) if train_batches is None else train_batches),
        Loader(batches(2, seed=2) if val_batches is None else val_batches),
        settings=settings,
        folder=RunFolder(
            run_dir, written.append, lambda: exports.append(module.trainer.current_epoch)
        ),
        start=check_start(settings, run_dir=run_dir, task=module, tell=display.tell),
        display=display,
    )
    return report, written, exports


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.model.parameters()])


def test_training_learns_and_reports_each_epoch(tmp_path):
    module = classifier()
    settings = dataclasses.replace(SETTINGS, epochs=4)
    report, written, exports = train(module, tmp_path, settings=settings)
    assert [epoch.epoch for epoch in report.epochs] == [1, 2, 3, 4]
    assert [epoch.step for epoch in report.epochs] == [3, 6, 9, 12]
    assert report.epochs[-1].train_loss < 0.5 * report.epochs[0].train_loss
    assert report.epochs[-1].val_top1 == 1.0
    assert written[-1] == report
    assert exports[-1] == 3  # as good as ever: the last one counts
    assert 0 <= report.data_wait_share < 1


@pytest.fixture
def waiting(monkeypatch):
    """Make every epoch report that share of waiting, in turn."""

    def report(*shares):
        left = iter(shares)
        monkeypatch.setattr(EpochReport, "data_wait_share", property(lambda _: next(left)))

    return report


def test_a_line_an_epoch_tells_the_waiting_and_once_what_to_do(tmp_path, waiting):
    waiting(0.2, 0.834, 0.5)
    console = Console(file=io.StringIO(), width=60)
    settings = dataclasses.replace(SETTINGS, epochs=3)
    display = ProgressDisplay(console, "run", "`stvit-video data rate k[0].csv` says why")
    train(classifier(), tmp_path, settings=settings, display=display)
    lines = re.sub(r"loss \d\.\d+  val top-1 \d+\.0 %", "...", console.file.getvalue())
    assert lines == (
        "run: epoch 1/3  ...  waiting 20 %\n"
        "run: epoch 2/3  ...  waiting 83 %\n"
        "training waited for data 83 % of the time; `stvit-video data rate k[0].csv` says why\n"
        "run: epoch 3/3  ...  waiting 50 %\n"
    )


def test_the_bar_tells_the_waiting(tmp_path):
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    train(classifier(), tmp_path, display=ProgressDisplay(console, "run"))
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", console.file.getvalue())
    assert re.search(r" 6/6 loss \d\.\d+  val top-1 \d+\.0 %  waiting 0 %", shown)


def test_the_loss_of_an_epoch_is_the_mean_over_its_clips(tmp_path):
    module = classifier(lr=1e-12)  # too small to change anything
    clips = batches(3, seed=1)
    report, _, _ = train(module, tmp_path, train_batches=clips)
    with torch.no_grad():
        losses = [
            torch.nn.functional.cross_entropy(module(b.clip), b.label, reduction="none")
            for b in clips
        ]
    assert report.epochs[0].train_loss == pytest.approx(float(torch.cat(losses).mean()), rel=0.05)


def test_training_twice_gives_the_same_weights(tmp_path):
    found = []
    for name in ("one", "two"):
        module = classifier()
        train(module, tmp_path / name)
        found.append(weights(module))
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = classifier()
    train(whole, tmp_path / "whole")

    class InterruptError(Exception):
        pass

    broken = classifier()
    original = broken.on_train_epoch_start

    def stop():
        if broken.current_epoch == 1:
            raise InterruptError
        original()

    broken.on_train_epoch_start = stop
    with pytest.raises(InterruptError):
        train(broken, tmp_path / "parts")
    resumed = classifier()
    settings = dataclasses.replace(SETTINGS, resume=True)
    report, _, _ = train(resumed, tmp_path / "parts", settings=settings)
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)
    assert [epoch.epoch for epoch in report.epochs] == [1, 2]


def test_the_resume_file_can_be_read_without_running_code(tmp_path):
    train(classifier(), tmp_path)
    state = torch.load(tmp_path / "checkpoints" / "step_00000006.ckpt", weights_only=True)
    assert state["epoch"] == 1


def test_resuming_nothing_is_an_error(tmp_path):
    settings = dataclasses.replace(SETTINGS, resume=True)
    with pytest.raises(CheckpointError) as caught:
        train(classifier(), tmp_path, settings=settings)
    assert str(caught.value) == (
        f"{tmp_path / 'checkpoints'} holds no checkpoint; start without --train.resume true"
    )


def test_videos_that_do_not_decode_are_skipped_counted_and_named(tmp_path):
    module = classifier(num_videos=200)
    bad = batches(3, seed=1, failures=((17, "b.mp4: corrupt"),))
    report, written, _ = train(module, tmp_path, train_batches=bad)
    assert report.failed == ("b.mp4: corrupt",)
    assert [epoch.num_failed for epoch in report.epochs] == [1, 1]
    assert json.loads(json.dumps(written[-1].failed)) == ["b.mp4: corrupt"]


def test_validation_videos_that_do_not_decode_are_named(tmp_path):
    bad = batches(2, seed=2, failures=((3, "v.mp4: corrupt"),))
    report, _, _ = train(classifier(), tmp_path, val_batches=bad)
    assert (report.failed, report.val_failed) == ((), ("v.mp4: corrupt",))


def test_too_many_videos_that_do_not_decode_stop_the_run(tmp_path):
    bad = batches(1, seed=1, failures=((17, "b.mp4: corrupt"), (3, "c.mp4: empty")))
    with pytest.raises(DatasetError) as caught:
        train(classifier(num_videos=150), tmp_path, train_batches=bad)
    assert str(caught.value) == (
        "2 of 150 training videos do not decode, more than data.max_failed_share (0.01) allows;"
        " `stvit-video data scan` finds them all, the first: b.mp4: corrupt; c.mp4: empty"
    )


def test_a_batch_of_failures_alone_changes_nothing(tmp_path):
    module = classifier(num_videos=1000)
    before = weights(module)
    empty = torch.empty(0, dtype=torch.int64)
    nothing = Batch(torch.empty(0), empty, empty, empty, ((1, "a.mp4: empty"),))
    report, _, _ = train(module, tmp_path, train_batches=[nothing])
    assert len(report.failed) == 1
    decay_only = weights(module)  # AdamW shrinks matrices even without a gradient
    torch.testing.assert_close(decay_only, before, rtol=1e-3, atol=0)


def test_ctrl_c_tells_what_is_kept_and_leaves_the_next_one_working(tmp_path):
    def stop():
        if module.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    module = classifier()
    module.on_train_epoch_start = stop
    with pytest.raises(KeyboardInterrupt) as caught:
        train(module, tmp_path, settings=dataclasses.replace(SETTINGS, epochs=3))
    assert str(caught.value) == (
        f"stopped; {tmp_path / 'checkpoints' / 'step_00000004.ckpt'} holds 1 of 3 epochs: the same"
        " command goes on from there"
    )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("precision", get_args(Precision))
def test_every_precision_trains(tmp_path, precision):
    report, _, _ = train(
        classifier(), tmp_path, settings=dataclasses.replace(SETTINGS, precision=precision)
    )
    assert 0 < report.epochs[-1].train_loss < 1


def test_a_full_disk_is_one_line_and_leaves_the_last_good_file(tmp_path):
    train(classifier(), tmp_path)
    before = _files(tmp_path / "checkpoints")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(WriteError) as caught:
            train(
                classifier(),
                tmp_path,
                settings=dataclasses.replace(SETTINGS, epochs=3, resume=True),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    path = tmp_path / "checkpoints" / "step_00000009.ckpt"
    assert str(caught.value) == f"{path} cannot be written: File too large"
    assert _files(tmp_path / "checkpoints") == before


def _files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def late():
    """Let a loss that is no number be on its way from a device that is behind."""

    class Event:
        query = staticmethod(lambda: False)
        synchronize = staticmethod(lambda: None)

    def add(module):
        bad = torch.tensor(float("nan"))
        module.losses.pending.append(Pending(bad, Event(), step=3, epoch=1, videos=[0]))

    return add


def test_an_epoch_whose_last_loss_is_no_number_is_not_reported(late):
    module = classifier()
    module.epoch_mean.add(torch.tensor(1.0), 1)
    late(module)
    with pytest.raises(
        TrainingError, match=r"^the loss is nan at step 3 \(epoch 1\), of video 0; "
    ):
        module.take_train_loss()


def test_no_checkpoint_is_written_of_a_loss_that_is_no_number(tmp_path, late):
    module = classifier()
    module.on_validation_start = lambda: late(module)  # behind the last step of the epoch
    with pytest.raises(TrainingError):
        train(module, tmp_path)
    assert not list(tmp_path.rglob("*.ckpt"))
    checkpoints = Checkpoints(
        tmp_path, minutes=1, keep=1, loader=[], signals=StopSignals(print), losses=module.losses
    )
    late(module)
    with pytest.raises(TrainingError):
        checkpoints.on_train_epoch_end(None, module)


def test_videos_that_failed_and_losses_are_in_the_checkpoint():
    module, checkpoint = classifier(), {}
    module.failures, module.val_failures = {3: "a.mp4: empty"}, {1: "b.mp4: cut"}
    module.epoch_mean.add(torch.tensor(2.0), 3)
    module.on_save_checkpoint(checkpoint)
    other = classifier()
    other.on_load_checkpoint(checkpoint)
    assert (other.failures, other.val_failures) == (module.failures, module.val_failures)
    assert other.take_train_loss() == 2.0


def test_a_resumed_run_counts_its_seconds_on(tmp_path):
    train(classifier(), tmp_path)
    (path, *_) = sorted((tmp_path / "checkpoints").iterdir())
    state = torch.load(path, weights_only=True)
    assert 0 < state["clocks"][0] < 60
    assert state["clocks"][1:] == (0.0, 0.0)  # of an epoch that was whole
    torch.save(state | {"clocks": (1000.0, 0.0, 0.0)}, path)
    for later in sorted((tmp_path / "checkpoints").iterdir())[1:]:
        later.unlink()
    report, _, _ = train(classifier(), tmp_path)
    assert [epoch.elapsed_seconds > 1000 for epoch in report.epochs] == [False, True]
