import time

import pytest
import torch
from torch import nn

from stvit_video.measure.stage_time import time_modules


class _Sleep(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return x


def test_each_module_gets_its_own_time_and_holders_include_it():
    model = nn.Sequential(_Sleep(0.02), nn.Sequential(_Sleep(0.05), _Sleep(0.01)))
    seconds = time_modules(model.train(), torch.rand(1), ["", "0", "1", "1.0"], num_rounds=3)
    assert seconds["0"] == pytest.approx(0.02, abs=0.01)
    assert seconds["1.0"] == pytest.approx(0.05, abs=0.015)
    assert seconds["1"] >= seconds["1.0"] + 0.01
    assert seconds[""] >= seconds["0"] + seconds["1"]
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_a_module_that_runs_twice_counts_twice():
    sleep = _Sleep(0.01)
    model = nn.Sequential(sleep, sleep)
    assert time_modules(model, torch.rand(1), ["0"], num_rounds=2)["0"] >= 0.02
