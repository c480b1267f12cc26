import math

import pytest
import torch

from stvit_video.models.registry import create_model
from stvit_video.settings.training import OptimizerConfig
from stvit_video.training.optimizer import (
    Schedule,
    build_optimizer,
    cosine_factor,
    parameter_groups,
)


@pytest.fixture(scope="module")
def model():
    return create_model("demo_tiny", num_classes=3, semantic="2x2x2@2", class_token=True)


def settings_of(model, groups):
    by_id = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters()}


def test_matrices_decay_and_nothing_else_does(model):
    found = settings_of(model, parameter_groups(model, lr=0.1, weight_decay=0.05))
    decays = {name for name, (_, decay) in found.items() if decay}
    assert all(decay in (0, 0.05) and lr == 0.1 for lr, decay in found.values())
    assert {"embed.patch.proj.weight", "blocks.0.attn.qkv.weight", "head.weight"} <= decays
    exempt = found.keys() - decays
    for name in ("embed.pos_embed", "embed.cls_token", "stages.1.generator.global_centers"):
        assert name in exempt
    assert all(name.endswith("weight") and "norm" not in name for name in decays)


def test_every_parameter_is_in_exactly_one_group(model):
    groups = parameter_groups(model, lr=0.1, weight_decay=0.05, layer_decay=0.7)
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())


def test_frozen_parameters_are_left_out():
    model = create_model("demo_tiny", num_classes=3)
    model.embed.requires_grad_(False)
    ids = {id(p) for g in parameter_groups(model, lr=1, weight_decay=0) for p in g["params"]}
    assert not ids & {id(p) for p in model.embed.parameters()}


def test_the_learning_rate_falls_from_block_to_block_towards_the_input(model):
    groups = parameter_groups(model, lr=2.0, weight_decay=0.05, layer_decay=0.5)
    found = {name: lr for name, (lr, _) in settings_of(model, groups).items()}
    assert found["head.weight"] == found["norm.bias"] == 2.0
    assert found["stages.1.generator.global_centers"] == 2.0
    assert found["blocks.5.mlp.fc1.weight"] == 1.0
    assert found["blocks.0.norm1.weight"] == 2.0 * 0.5**6
    assert found["embed.patch.proj.weight"] == found["embed.pos_embed"] == 2.0 * 0.5**7


def test_the_schedule_warms_up_and_falls_by_half_a_cosine():
    factors = [cosine_factor(step, num_steps=11, warmup_steps=3) for step in range(11)]
    assert factors[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert factors[7] == pytest.approx(0.5)
    assert factors[10] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert factors[3:] == sorted(factors[3:], reverse=True)


def test_a_warm_up_longer_than_the_run_is_all_there_is():
    assert cosine_factor(4, num_steps=5, warmup_steps=5) == 1.0


def test_steps_follow_the_schedule_in_every_group(model):
    settings = OptimizerConfig(lr=0.4, warmup_epochs=0.5, layer_decay=0.5, beta2=0.9)
    optimizer = build_optimizer(model, settings)
    schedule = Schedule(optimizer, settings)
    schedule.lay_out(steps_per_epoch=4, num_epochs=2)
    seen = []
    for step in range(3):
        schedule.set(epoch=0, step=step)
        seen.append(optimizer.param_groups[0]["lr"] / (0.4 * 0.5**7))
    schedule.set(epoch=1, step=1)
    seen.append(optimizer.param_groups[0]["lr"] / (0.4 * 0.5**7))
    assert seen == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert optimizer.defaults["betas"] == (0.9, 0.9)
    assert isinstance(optimizer, torch.optim.AdamW)


def test_a_schedule_puts_its_own_rates_in_place_of_those_of_a_checkpoint(model):
    before = build_optimizer(model, OptimizerConfig(lr=0.4, weight_decay=0.3))
    settings = OptimizerConfig(lr=0.1, weight_decay=0.2, warmup_epochs=0)
    optimizer = build_optimizer(model, settings)
    schedule = Schedule(optimizer, settings)
    schedule.lay_out(steps_per_epoch=4, num_epochs=2)
    optimizer.load_state_dict(before.state_dict())
    schedule.set(epoch=0, step=0)
    assert {group["lr"] for group in optimizer.param_groups} == {0.1}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.2}
