import math

import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.models.registry import create_model
from stvit_video.settings.training import OptimizerConfig
from stvit_video.training.optimizer import Schedule, build_optimizer, parameter_groups
from stvit_video.training.step_size import StepSize


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


def test_the_backbone_learns_at_a_share_of_the_rate(model):
    groups = parameter_groups(model, lr=2.0, weight_decay=0.05, backbone_lr=0.1)
    found = settings_of(model, groups)
    fast = {name for name, (lr, _) in found.items() if lr == 2.0}
    assert {lr for lr, _ in found.values()} == {2.0, 0.2}
    assert {"head.weight", "head.bias", "stages.1.generator.global_centers"} <= fast
    assert all(name.startswith("head.") or ".generator." in name for name in fast)
    assert {name for name, (_, decay) in found.items() if decay} == {
        name
        for name, (_, decay) in settings_of(
            model, parameter_groups(model, lr=2.0, weight_decay=0.05)
        ).items()
        if decay
    }
    both = parameter_groups(model, lr=2.0, weight_decay=0, layer_decay=0.5, backbone_lr=0.1)
    rates = {name: lr for name, (lr, _) in settings_of(model, both).items()}
    assert (rates["head.weight"], rates["norm.bias"]) == (2.0, pytest.approx(0.2))
    assert rates["blocks.5.mlp.fc1.weight"] == pytest.approx(0.1)


def schedule_of(settings, *, model=None, steps_per_epoch=4, num_epochs=2, videos_per_step=1):
    parameters = torch.nn.Linear(2, 3).parameters() if model is None else model.parameters()
    optimizer = torch.optim.SGD(parameters, lr=settings.lr)
    schedule = Schedule(optimizer, settings)
    schedule.lay_out(
        steps_per_epoch=steps_per_epoch, num_epochs=num_epochs, videos_per_step=videos_per_step
    )
    return schedule


def rates(schedule, num_steps):
    seen = []
    for step in range(num_steps):
        schedule.set(epoch=0, step=step)
        seen.append(schedule.optimizer.param_groups[0]["lr"])
    return seen


def test_the_schedule_warms_up_and_falls_by_half_a_cosine():
    settings = OptimizerConfig(lr=1.0, warmup_epochs=3)
    factors = rates(schedule_of(settings, steps_per_epoch=1, num_epochs=11), 11)
    assert factors[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert factors[7] == pytest.approx(0.5)
    assert factors[10] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert factors[3:] == sorted(factors[3:], reverse=True)


def test_a_warm_up_longer_than_the_run_is_all_there_is():
    schedule = schedule_of(OptimizerConfig(lr=1.0), steps_per_epoch=1, num_epochs=5)
    assert rates(schedule, 5)[4] == 1.0


def test_the_warm_up_begins_where_it_is_told():
    settings = OptimizerConfig(lr=2.0, warmup_epochs=4, warmup_start=0.2)
    found = rates(schedule_of(settings, steps_per_epoch=1, num_epochs=9), 4)
    assert found == pytest.approx([0.8, 1.2, 1.6, 2.0])


def test_a_cosine_falls_towards_the_least_rate():
    settings = OptimizerConfig(lr=1.0, min_lr=0.2, warmup_epochs=0)
    schedule = schedule_of(settings, steps_per_epoch=4, num_epochs=1)
    cosines = [1, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.5 * (1 - math.cos(math.pi / 4)), 0]
    assert rates(schedule, 5) == pytest.approx([0.2 + 0.8 * cosine for cosine in cosines])


def test_a_step_schedule_falls_behind_its_epochs():
    settings = OptimizerConfig(
        lr=3.0, schedule="step", milestones=(2, 3.5), step_factor=0.5, warmup_epochs=0.5
    )
    schedule = schedule_of(settings, steps_per_epoch=2, num_epochs=5)
    assert rates(schedule, 10) == [3.0] * 4 + [1.5] * 3 + [0.75] * 3
    with pytest.raises(ConfigError, match=r"^optimizer\.schedule \(step\) needs optimizer\.mile"):
        OptimizerConfig(schedule="step")


def test_the_rate_follows_the_videos_of_a_step():
    settings = OptimizerConfig(lr=0.5, min_lr=0.1, lr_per_videos=256, warmup_epochs=0)
    schedule = schedule_of(settings, steps_per_epoch=2, num_epochs=1, videos_per_step=384)
    assert schedule.highest_lr == pytest.approx(0.75)
    assert rates(schedule, 3) == pytest.approx([0.75, 1.5 * 0.3, 0.15])
    as_given = OptimizerConfig(lr=0.5, warmup_epochs=0)
    assert rates(schedule_of(as_given, videos_per_step=384), 1) == [0.5]


def test_a_step_is_described_with_the_rate_that_follows():
    step = StepSize(videos_per_batch=6, clips_per_video=2, num_processes=8, num_batches=4)
    settings = OptimizerConfig(lr=5e-4, lr_per_videos=256)
    assert step.describe(schedule_of(settings, videos_per_step=step.videos)) == (
        "a step reads 192 videos, 384 clips (12 clips x 8 processes x 4 batches);"
        " highest learning rate 0.000375 (0.0005 x 192 / 256)"
    )
    alone = StepSize(videos_per_batch=6, clips_per_video=1, num_processes=1, num_batches=1)
    assert alone.describe(schedule_of(OptimizerConfig(lr=0.1))) == (
        "a step reads 6 videos, 6 clips (6 clips); highest learning rate 0.1"
    )


def test_sgd_is_that_of_torch_with_momentum(model):
    settings = OptimizerConfig(name="sgd", lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.3)
    optimizer = build_optimizer(model, settings)
    assert isinstance(optimizer, torch.optim.SGD)
    assert {(g["momentum"], g["nesterov"]) for g in optimizer.param_groups} == {(0.8, True)}
    assert {g["weight_decay"] for g in optimizer.param_groups} == {0.0, 0.3}


def test_steps_follow_the_schedule_in_every_group(model):
    settings = OptimizerConfig(lr=0.4, warmup_epochs=0.5, layer_decay=0.5, beta2=0.9)
    optimizer = build_optimizer(model, settings)
    schedule = Schedule(optimizer, settings)
    schedule.lay_out(steps_per_epoch=4, num_epochs=2, videos_per_step=1)
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
    before = build_optimizer(model, OptimizerConfig(lr=0.4, weight_decay=0.3, beta2=0.8))
    settings = OptimizerConfig(lr=0.1, weight_decay=0.2, warmup_epochs=0)
    optimizer = build_optimizer(model, settings)
    schedule = Schedule(optimizer, settings)
    schedule.lay_out(steps_per_epoch=4, num_epochs=2, videos_per_step=1)
    optimizer.load_state_dict(before.state_dict())
    schedule.set(epoch=0, step=0)
    assert {group["lr"] for group in optimizer.param_groups} == {0.1}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.2}
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.999)}
