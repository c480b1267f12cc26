"""What users of timm expect of a model."""

import pytest
import timm.optim
import torch
from torch import nn

from stvit_video.models.checkpoint import load_model, write_checkpoint
from stvit_video.models.registry import create_model
from stvit_video.training.optimizer import parameter_groups


def build(name, **settings):
    with torch.device("meta"):
        return create_model(name, **settings)


def scales(model, groups, lr=1.0):
    by_id = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters()}


def ours(model, layer_decay):
    groups = parameter_groups(model, lr=1.0, weight_decay=0.05, layer_decay=layer_decay)
    by_id = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters()}


LAYERS_BELOW_THE_HEAD = {
    "deit_tiny_patch16_224:1x4x4@4": {
        "embed.patch.proj.weight": 13,
        "blocks.0.norm1.bias": 12,
        "blocks.11.mlp.fc2.weight": 1,
        "norm.weight": 0,
        "stages.1.generator.global_centers": 0,
    },
    "vivit_base_fe_patch16x2_224": {
        "embed.patch.proj.weight": 17,
        "blocks.0.norm1.bias": 16,
        "blocks.11.norm1.bias": 5,
        "temporal.pos_embed": 4,
        "temporal.blocks.0.mlp.fc1.weight": 4,
        "temporal.blocks.3.mlp.fc1.weight": 1,
        "head.weight": 0,
    },
    "video_swin_tiny_patch2x4x4_224": {
        "embed.norm.weight": 13,
        "blocks.0.norm1.bias": 12,
        "blocks.1.norm1.bias": 11,
        "blocks.2.reduction.weight": 10,
        "blocks.3.norm1.bias": 10,
        "blocks.14.norm1.bias": 1,
        "norm.weight": 0,
    },
}


@pytest.mark.parametrize("word", LAYERS_BELOW_THE_HEAD)
def test_layer_decay_follows_the_depth_of_the_network(word):
    name, _, semantic = word.partition(":")
    found = ours(build(name, semantic=semantic or None), 0.75)
    expected = LAYERS_BELOW_THE_HEAD[word]
    assert {key: found[key][0] for key in expected} == {
        key: pytest.approx(0.75**layers) for key, layers in expected.items()
    }


@pytest.mark.parametrize("name", ["demo_tiny", "vivit_base_fe_patch16x2_224",
                                  "video_swin_tiny_patch2x4x4_224"])  # fmt: skip
def test_timm_makes_the_groups_that_train_makes(name):
    model = build(name)
    optimizer = timm.optim.create_optimizer_v2(
        model, "adamw", lr=1.0, weight_decay=0.05, layer_decay=0.75
    )
    theirs = {
        id(p): (group["lr_scale"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    found = {name: theirs[id(p)] for name, p in model.named_parameters()}
    assert found == ours(model, 0.75)
    assert len({scale for scale, _ in found.values()}) > 7


def test_a_new_head_is_drawn_and_remembered(tmp_path):
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=3, semantic="4x2x2@2")
    model.labels = ("a", "b", "c")
    assert (model.get_classifier(), model.num_features) == (model.head, 96)
    model.reset_classifier(5)
    assert (model.num_classes, model.labels) == (5, ())
    assert float(model.head.weight.detach().std()) == pytest.approx(0.02, rel=0.2)
    write_checkpoint(model, tmp_path)
    assert load_model(tmp_path).num_classes == 5
    model.reset_classifier(0)
    clip = torch.randn(2, 3, 8, 64, 64)
    assert (model.num_classes, model(clip).shape) == (0, (2, 96))


def test_a_head_of_two_class_tokens_is_as_wide_as_both():
    model = build("deit_tiny_distilled_patch16_224", num_classes=0)
    assert model.num_features == 2 * 192
    model.reset_classifier(7)
    assert model.head.weight.shape == (7, 384)


def gradients(model, clip):
    model.zero_grad()
    torch.manual_seed(1)
    model(clip).square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


SMALL = {"num_classes": 3, "num_frames": 4, "image_size": 32, "drop_path": 0.5}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("demo_tiny", {"semantic": "2x2x2@1-4"}),
        ("demo_tiny", {"semantic": "2x2x2@2,scope=tube"}),
        ("demo_tiny", {"reduction": "tome:r=3"}),
        ("demo_tiny", {"reduction": "rlt:threshold=0.5"}),
        ("vivit_base_fe_patch16x2_224", {}),
        ("video_swin_tiny_patch2x4x4_224", {"semantic": "2x1x1@2,scope=frame"}),
    ],
)
def test_recomputing_activations_changes_no_gradient(name, settings):
    model = create_model(name, **SMALL, **settings).train()
    clip = torch.randn(2, 3, 4, 32, 32)
    plain = gradients(model, clip)
    calls = []
    model.blocks[-1].mlp.register_forward_hook(lambda *_: calls.append(1))
    model.set_grad_checkpointing()
    again = gradients(model, clip)
    assert len(calls) == 2  # once, and once more for the gradient
    assert plain.keys() == again.keys()
    for key in plain:
        torch.testing.assert_close(again[key], plain[key], rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        model.eval()(clip)
    assert len(calls) == 3


def test_a_model_is_a_module_of_torch():
    assert isinstance(build("demo_tiny"), nn.Module)
