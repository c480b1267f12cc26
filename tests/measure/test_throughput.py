"""Timing in turns, with a clock that the test moves."""

import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from stvit_video.measure import steps, throughput
from stvit_video.measure.steps import build_step, compiled
from stvit_video.measure.throughput import (
    compare_throughput,
    measure_throughput,
    percentile,
    time_in_turns,
)


class _Sleeper(nn.Module):
    """Advances the fake clock by its own durations, one per call, the last one for ever."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.clock = clock
        self.seconds = list(seconds)
        self.modes = []

    def forward(self, clips):
        self.modes.append(self.training)
        self.clock.now += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        return clips.flatten(1)[:, :3] * self.weight


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_a_report_holds_median_percentiles_and_the_ratio_to_the_first(clock):
    slow = _Sleeper(clock, [50.0, 4.0, 2.0, 6.0, 4.0, 4.0])
    fast = _Sleeper(clock, [7.0, 1.0, 1.0, 1.0, 2.0, 1.0])
    reports = compare_throughput(
        {"slow": slow, "fast": fast}, torch.rand(3, 2, 2), num_rounds=5, num_warmup_steps=1
    )
    assert reports["slow"].clips_per_second == 3 / 4
    assert reports["slow"].median_step_seconds == 4
    assert reports["slow"].p90_step_seconds == pytest.approx(5.2)
    assert (reports["slow"].fastest_step_seconds, reports["slow"].slowest_step_seconds) == (2, 6)
    assert reports["slow"].spread == 0
    assert reports["slow"].warmup_seconds == 50
    assert reports["slow"].ratio == 1
    assert reports["fast"].ratio == 4  # rounds give 4/1, 2/1, 6/1, 4/2, 4/1
    assert reports["fast"].ratio_low == 2
    assert reports["fast"].ratio_high == pytest.approx(5.2)
    assert reports["fast"].warmup_seconds == 7
    assert reports["fast"].peak_memory_mib is None
    assert (reports["fast"].device, reports["fast"].dtype) == ("cpu", "float32")


def test_unequal_batches_are_compared_by_clips(clock):
    models = {"a": _Sleeper(clock, [2.0]), "b": _Sleeper(clock, [2.0])}
    clips = {"a": torch.rand(2, 3), "b": torch.rand(7, 3)}
    assert compare_throughput(models, clips, num_rounds=3)["b"].ratio == 3.5


def test_the_order_of_turns_alternates():
    calls = []
    steps = {name: lambda name=name: calls.append(name) for name in "abc"}
    time_in_turns(steps, device=torch.device("cpu"), num_rounds=2, steps_per_round=2)
    assert "".join(calls) == "aabbccccbbaa"


def test_steps_of_a_round_share_their_mean(clock):
    model = _Sleeper(clock, [9.0, 1.0, 2.0, 3.0, 4.0])
    report = compare_throughput(
        {"m": model}, torch.rand(2, 3), num_rounds=2, steps_per_round=2, num_warmup_steps=1
    )["m"]
    assert (report.fastest_step_seconds, report.slowest_step_seconds) == (1.5, 3.5)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_model_runs_in_the_mode_and_comes_back_as_it_was(clock, mode):
    model = _Sleeper(clock, [1.0])
    model.train(mode == "inference")
    measure_throughput(model, torch.rand(2, 3), mode=mode, num_rounds=2, num_warmup_steps=1)
    assert model.modes == [mode == "training"] * 3
    assert model.training is (mode == "inference")


def test_a_training_step_moves_the_weights_and_leaves_no_gradient():
    model = nn.Linear(5, 3)
    before = model.weight.detach().clone()
    step, resident_bytes = build_step(model, torch.rand(2, 5), mode="training")
    step()
    assert not torch.equal(model.weight, before)
    assert model.weight.grad is None
    assert resident_bytes() == 4 * (18 + 10 + 2 * 18 + 2)  # weights, clips, AdamW, its 2 counters


def test_inference_leaves_the_weights_alone():
    model = nn.Linear(5, 3)
    before = model.weight.detach().clone()
    step, resident_bytes = build_step(model, torch.rand(2, 5), mode="inference")
    assert not step().requires_grad
    assert torch.equal(model.weight, before)
    assert resident_bytes() == 4 * (18 + 10)


@pytest.mark.parametrize("compile_mode", ["default", "blocks"])
def test_a_compiled_step_gives_the_same_numbers(compile_mode):
    model = nn.Linear(5, 3)
    model.blocks = nn.ModuleList()
    clips = torch.rand(2, 5)
    step, _ = build_step(model, clips, mode="inference", compile_mode=compile_mode)
    torch.testing.assert_close(step(), model(clips).detach())


def test_a_replay_reads_the_clips_of_its_own_call(monkeypatch):
    captures = []

    def capture(run, clips):
        logits = run(clips)
        captures.append(clips)
        return SimpleNamespace(replay=lambda: logits.copy_(run(clips))), clips, logits

    monkeypatch.setattr(steps, "_capture", capture)
    monkeypatch.setattr(torch, "compile", lambda model, **how: model)
    replay = compiled(nn.Flatten(0), "cuda-graph")
    for clips in torch.rand(3, 2, 5):
        before = clips.clone()
        assert torch.equal(replay(clips), before.flatten())
        assert torch.equal(clips, before)
    assert len(captures) == 1


@pytest.mark.gpu
def test_a_captured_graph_gives_the_logits_of_every_call():
    model = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)).cuda()
    with torch.inference_mode():
        replay = compiled(model, "cuda-graph")
        for clips in torch.rand(3, 2, 5, device="cuda"):
            torch.testing.assert_close(replay(clips), model(clips))


def test_blocks_are_compiled_each_on_its_own(monkeypatch):
    calls = []
    model = nn.Linear(5, 3)
    model.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 2)])
    monkeypatch.setattr(nn.Linear, "compile", lambda self, **how: calls.append((self, how)))
    assert compiled(model, "blocks") is model
    assert calls == [(block, {"dynamic": False}) for block in model.blocks]


def test_compile_modes_may_differ_between_models(clock):
    models = {"a": _Sleeper(clock, [2.0]), "b": _Sleeper(clock, [2.0])}
    models["b"].blocks = nn.ModuleList()
    how = {"a": "off", "b": "blocks"}
    reports = compare_throughput(models, torch.rand(2, 3), num_rounds=1, compile_mode=how)
    assert {name: report.compile_mode for name, report in reports.items()} == how


def test_autocast_is_named_beside_the_dtype_of_the_weights():
    report = compare_throughput(
        {"m": nn.Linear(5, 3)}, torch.rand(2, 5), num_rounds=1, autocast_dtype=torch.bfloat16
    )["m"]
    assert report.dtype == "float32, bfloat16 autocast"


def test_a_real_step_takes_real_time():
    class Sleep(nn.Linear):
        def forward(self, x):
            time.sleep(0.01)
            return super().forward(x)

    report = measure_throughput(Sleep(3, 2), torch.rand(5, 3), num_rounds=3)
    assert report.fastest_step_seconds >= 0.01
    assert report.clips_per_second <= 500


def test_percentile_interpolates():
    assert percentile([4, 1, 2], 0.5) == 2
    assert percentile([4, 1, 2], 0.75) == 3
    assert percentile([7], 0.9) == 7


def test_zero_rounds_and_no_model_are_refused():
    with pytest.raises(ValueError, match=r"^num_rounds \(0\) must be at least 1$"):
        measure_throughput(nn.Linear(3, 2), torch.rand(2, 3), num_rounds=0)
    with pytest.raises(ValueError, match=r"^num_models \(0\) must be at least 1$"):
        compare_throughput({}, torch.rand(2, 3))
