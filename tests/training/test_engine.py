"""What training does with a network: compile it, average it, forget and recompute, log."""

import csv
import dataclasses
import importlib.util
import io
import math
import os
import re
import time
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stvit_video.errors import ConfigError
from stvit_video.settings.training import TrainConfig
from stvit_video.training.callbacks import ExportBest
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.processes import merged, summed
from stvit_video.training.progress import ProgressDisplay
from stvit_video.training.step_log import STEPS_FILE, CsvLog, StepLog
from stvit_video.training.strategy import check_processes
from stvit_video.video.pixels.crops import normalize_clip
from tests.training.test_fit import SETTINGS, batches, classifier, train, weights


def with_train(**changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    return classifier(train=settings), settings


def rows(run_dir):
    return list(csv.DictReader((run_dir / STEPS_FILE).read_text().splitlines()))


@pytest.fixture
def steps(monkeypatch):
    """Note the weights after every step."""
    seen = []
    update = VideoClassifier.optimizer_step

    def note(module, *args, **kwargs):
        update(module, *args, **kwargs)
        seen.append(weights(module).clone())

    monkeypatch.setattr(VideoClassifier, "optimizer_step", note)
    return seen


def test_the_average_is_over_the_steps_and_forgets_faster_at_first(tmp_path, steps):
    module, settings = with_train(ema_decay=0.6, epochs=2)
    train(module, tmp_path, settings=settings)
    average = None
    for number, step in enumerate(steps, start=1):
        decay = min(1 - number ** (-2 / 3), 0.6) if number > 1 else 0.0
        average = step if average is None else decay * average + (1 - decay) * step
    found = torch.cat([p.detach().flatten() for p in module.scored.parameters()])
    torch.testing.assert_close(found, average, rtol=1e-5, atol=1e-7)
    assert module.scored is not module.model
    assert float((found - weights(module)).abs().max()) > 1e-4


def test_the_average_is_what_is_validated(tmp_path, monkeypatch):
    module, settings = with_train(ema_decay=0.5, epochs=1)
    called = []
    module.average.module.register_forward_hook(lambda *_: called.append("average"))
    module.model.register_forward_hook(lambda *_: called.append("model"))
    train(module, tmp_path, settings=settings)
    assert called == ["model"] * 3 + ["average"] * 2


def test_blocks_that_compute_again_train_to_the_same_weights(tmp_path):
    plain, again = classifier(), with_train(grad_checkpointing=True)[0]
    assert again.model.grad_checkpointing
    assert not plain.model.grad_checkpointing
    calls = []
    again.model.blocks[0].register_forward_pre_hook(
        lambda *_: calls.append(torch.is_grad_enabled())
    )
    train(plain, tmp_path / "plain")
    train(again, tmp_path / "again")
    torch.testing.assert_close(weights(again), weights(plain), rtol=0, atol=0)
    assert calls.count(True) == 2 * 6  # each of the 2 x 3 steps runs it twice


def test_a_compiled_run_says_so_and_how_long_it_took(tmp_path):
    console = Console(file=io.StringIO(), width=100)
    module, settings = with_train(compile=True)
    assert module.is_compiled
    with torch.compiler.set_stance("force_eager"):  # a compiler is for the GPU machine
        train(module, tmp_path, settings=settings, display=ProgressDisplay(console, "run"))
    assert module.compiled is not None
    text = re.sub(r"took \d+ s", "took _ s", console.file.getvalue())
    assert text.startswith(
        "compiling the network; train.compile false begins at once\n"
        "compiled: the first step took _ s\n"
        "run: epoch 1/2"
    )
    plain = classifier()
    train(plain, tmp_path / "plain")
    torch.testing.assert_close(weights(module), weights(plain), rtol=0, atol=0)
    assert not plain.is_compiled
    assert sorted(module.state_dict()) == sorted(plain.state_dict())


def test_every_few_steps_are_logged(tmp_path, monkeypatch):
    module, settings = with_train(log_steps=2, epochs=2, batch_size=4)
    seen = []
    step = VideoClassifier.training_step

    def note(module, batch, batch_index):
        loss = step(module, batch, batch_index)
        seen.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(VideoClassifier, "training_step", note)
    report, _, _ = train(module, tmp_path, settings=settings, train_batches=batches(3, seed=1))
    found = rows(tmp_path)
    assert [(row["epoch"], row["step"], bool(row["val_top1"])) for row in found] == [
        ("1", "2", False),
        ("1", "3", True),
        ("2", "4", False),
        ("2", "6", False),
        ("2", "6", True),
    ]
    losses = [float(row["loss"]) for row in found if row["loss"]]
    expected = [(seen[0] + seen[1]) / 2, seen[3], (seen[4] + seen[5]) / 2]
    assert losses == pytest.approx(expected, rel=1e-4)
    assert float(found[-1]["val_top1"]) == report.epochs[-1].val_top1
    assert float(found[3]["lr"]) == pytest.approx(report.epochs[-1].lr, rel=1e-4)
    assert all(float(row["clips_per_second"]) > 0 for row in found if row["loss"])


def test_the_norm_that_is_logged_is_that_before_clipping(tmp_path):
    module, settings = with_train(log_steps=1, epochs=1)
    settings_of_optimizer = dataclasses.replace(module.optimizer_settings, clip_grad_norm=1e-3)
    module.optimizer_settings = settings_of_optimizer
    (batch,) = batches(1, seed=1)
    twin = classifier()
    twin.train()
    clips = normalize_clip(batch.clip, twin.model.preprocessing)
    loss = torch.nn.functional.cross_entropy(twin.model(clips), batch.label)
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in twin.model.parameters()]).norm()
    train(module, tmp_path, settings=settings, train_batches=[batch])
    assert float(rows(tmp_path)[0]["grad_norm"]) == pytest.approx(float(norm), rel=0.01)


def test_tensorboard_holds_what_the_csv_holds(tmp_path):
    module, settings = with_train(log_steps=3)
    train(module, tmp_path, settings=settings)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for name in ("loss", "lr", "grad_norm", "val_top1"):
        kept = [(int(r["step"]), float(r[name])) for r in rows(tmp_path) if r[name]]
        assert len(kept) == 2
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in shown] == [step for step, _ in kept]
        assert [v for _, v in shown] == pytest.approx([v for _, v in kept], rel=1e-4)


def test_a_run_that_goes_on_drops_lines_behind_its_step_and_what_is_cut(tmp_path):
    log = CsvLog(tmp_path, step=0)
    for step in (2, 4, 6):
        log.log_metrics({"epoch": 1, "loss": 0.125}, step)
    with (tmp_path / STEPS_FILE).open("a") as file:
        file.write("1,3,0.")
    log = CsvLog(tmp_path, step=4)
    log.log_metrics({"epoch": 2, "loss": 0.5}, 5)
    assert [(r["epoch"], r["step"], r["loss"]) for r in rows(tmp_path)] == [
        *(("1", "2", "0.125"), ("1", "4", "0.125"), ("2", "5", "0.5")),
    ]
    assert rows(CsvLog(tmp_path, step=0).path.parent) == []


def test_a_logger_can_be_left_out(tmp_path):
    module, settings = with_train(log_steps=1, loggers=("csv",))
    train(module, tmp_path, settings=settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "steps.csv"]


def test_a_logger_that_is_not_installed_is_told_before_anything_is_written(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "wandb" else found(name)
    )
    module, settings = with_train(loggers=("csv", "wandb"))
    with pytest.raises(ConfigError) as caught:
        train(module, tmp_path, settings=settings)
    assert str(caught.value) == (
        "train.loggers (wandb) needs a package that is not installed; pip install wandb"
    )
    assert list(tmp_path.iterdir()) == []


def test_half_precision_and_shared_weights_are_refused_together():
    with pytest.raises(ConfigError) as caught:
        TrainConfig(strategy="fsdp", precision="16-mixed")
    assert str(caught.value) == (
        "train.precision (16-mixed) does not go with train.strategy fsdp; take bf16-mixed"
    )


def test_a_batch_of_failures_alone_gives_no_gradient_but_one_for_every_weight(tmp_path):
    module = classifier()
    blank = batches(1, seed=1)[0]._replace(clip=torch.zeros(0), label=torch.zeros(0))
    train(module, tmp_path, train_batches=[blank, *batches(2, seed=1)])
    loss = module.model(module._blank_clip()).sum() * 0
    module.zero_grad()
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in module.model.parameters())


def test_processes_learn_what_the_others_know(tmp_path):
    if (child := os.fork()) == 0:
        os._exit(0 if _meet(tmp_path, rank=1) == _KNOWN else 1)
    assert _meet(tmp_path, rank=0) == _KNOWN
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert merged({3: "c"}) == {3: "c"}
    assert summed(torch.tensor([2.0])).tolist() == [2.0]


_KNOWN = ({0: "error 0", 1: "error 1"}, [3.0])


def _meet(folder, *, rank):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    known = merged({rank: f"error {rank}"}), summed(torch.tensor([1.0 + rank])).tolist()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    return known


def test_too_many_failures_of_all_processes_together_end_the_run(monkeypatch):
    module = classifier(num_videos=10, max_failed_share=0.2)
    module.failures = {1: "one"}
    monkeypatch.setattr(
        "stvit_video.training.task.merged", lambda own: own | {2: "two", 3: "three"}
    )
    with pytest.raises(Exception, match="3 of 10 training videos do not decode"):
        module.gather_failures()


@pytest.mark.parametrize(
    ("starter", "environment"),
    [
        ("torchrun", {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}),
        ("SLURM", {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "LOCAL_WORLD_SIZE": "2"}),
    ],
)
def test_another_number_of_processes_than_was_started_is_refused(
    tmp_path, monkeypatch, starter, environment
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        train(classifier(), tmp_path)
    assert str(caught.value) == (
        "train.num_nodes (1) x 2 devices of each makes 2 processes, but"
        f" {starter} started 4; set train.num_nodes and train.devices to what it starts"
    )
    assert list(tmp_path.iterdir()) == []
    check_processes(dataclasses.replace(SETTINGS, num_nodes=2))


@pytest.mark.parametrize(("before", "after"), [(None, 0.9), (0.9, None)])
def test_an_average_is_not_begun_or_left_out_within_a_run(tmp_path, before, after):
    module, settings = with_train(ema_decay=before)
    train(module, tmp_path, settings=settings)
    module, settings = with_train(ema_decay=after, resume=True, epochs=3)
    with pytest.raises(ConfigError) as caught:
        train(module, tmp_path, settings=settings)
    assert str(caught.value) == (
        "train.ema_decay cannot be set or left out within the run of"
        f" {tmp_path}/checkpoints/step_00000006.ckpt; go on with its settings or choose another"
        " output_dir"
    )
    other, settings = with_train(ema_decay=before and 0.5, resume=True, epochs=3)
    report, _, _ = train(other, tmp_path, settings=settings)
    assert len(report.epochs) == 3


def _only(val_batches, tmp_path, *, multi_label):
    """Train an epoch and validate it on these batches; return report and exports."""
    module, settings = with_train(epochs=1)
    module.augment.multi_label = multi_label
    made = batches(2, seed=1)
    if multi_label:
        made = [b._replace(label=torch.eye(2)[b.label]) for b in made]
    report, _, exports = train(
        module, tmp_path, settings=settings, train_batches=made, val_batches=val_batches
    )
    return report.epochs[0], exports


def test_an_epoch_without_a_validation_video_that_decodes_exports_all_the_same(tmp_path):
    nothing = batches(1, seed=1)[0]._replace(clip=torch.zeros(0), label=torch.zeros(0, 2))
    epoch, exports = _only([nothing], tmp_path, multi_label=True)
    assert epoch.val_map is None
    assert exports == [0]


def test_an_epoch_without_a_score_does_not_replace_the_best_model():
    exports = []
    best = ExportBest(lambda: exports.append(metrics))
    for metrics in ({}, {"val_top1": 0.5}, {"val_top1": math.nan}, {}, {"val_top1": 0.5}):
        best.on_train_epoch_end(SimpleNamespace(callback_metrics=metrics), None)
    assert exports == [{}, {"val_top1": 0.5}, {"val_top1": 0.5}]


def test_a_line_of_a_resumed_run_counts_from_the_line_before(tmp_path):
    before, after = StepLog(SETTINGS, tmp_path), StepLog(SETTINGS, tmp_path)
    before.start, before.waited = time.perf_counter() - 100, 2.0
    before.sums = torch.tensor([3.0, 4.0])
    kept = {}
    loader = SimpleNamespace(waited_seconds=9.0)
    trainer = SimpleNamespace(train_dataloader=loader, is_global_zero=False)
    before.on_save_checkpoint(trainer, None, kept)
    after.on_load_checkpoint(trainer, None, kept)
    after.on_train_start(trainer, None)
    assert 100 <= time.perf_counter() - after.start < 150
    assert after.waited == -7.0  # of which the loader, which counts anew, knows nothing
    assert after.sums.tolist() == [3.0, 4.0]


def test_the_seconds_of_training_hold_no_validation_that_found_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(VideoClassifier, "on_validation_end", lambda self: time.sleep(3))
    nothing = batches(1, seed=1)[0]._replace(clip=torch.zeros(0), label=torch.zeros(0))
    epoch, _ = _only([nothing], tmp_path, multi_label=False)
    assert epoch.elapsed_seconds > 3 > epoch.train_seconds


def test_an_empty_batch_changes_no_figure(tmp_path):
    (full,) = batches(1, seed=2)
    full = full._replace(label=torch.eye(2)[full.label])
    nothing = full._replace(clip=torch.zeros(0), label=torch.zeros(0, 2))
    figures = [
        _only(val_batches, tmp_path / str(number), multi_label=True)[0]
        for number, val_batches in enumerate([[full], [nothing, full], [full, nothing]])
    ]
    assert len({(figure.val_top1, figure.val_map) for figure in figures}) == 1
    assert figures[0].val_map > 0


def test_under_fsdp_a_process_without_a_clip_runs_the_network_for_the_others():
    module, _ = with_train(strategy="fsdp")
    called = []
    module.model.register_forward_hook(lambda *_: called.append(1))
    module._keep_step(torch.zeros(0))
    assert called == [1]
    plain = classifier()
    plain.model.register_forward_hook(lambda *_: called.append(1))
    plain._keep_step(torch.zeros(0))
    assert called == [1]
