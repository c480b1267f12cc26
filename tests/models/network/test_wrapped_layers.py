"""Whatever wraps or replaces a layer acts, in the layers that cluster too."""

import copy
import warnings

import pytest
import torch
from torch import nn

from stvit_video.models.layers.attention import Attention
from stvit_video.models.network.fuse import fuse
from stvit_video.models.registry import create_model

CLIP = (2, 3, 4, 32, 32)
SETTINGS = [
    ("demo_tiny", {"semantic": "2x2x2@1"}),
    ("demo_tiny", {"semantic": "2x2x2@1-5"}),
    ("timesformer_base_patch16_224", {"semantic": "2x1x1@2,scope=tube"}),
    ("video_swin_tiny_patch2x4x4_224", {"semantic": "2x1x1@2,scope=frame"}),
]


def build(name, settings):
    torch.manual_seed(0)
    model = create_model(name, num_classes=3, num_frames=4, image_size=32, **settings)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    return model.eval()


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_adapters_learn_in_every_layer_and_merge_into_it(name, settings):
    peft = pytest.importorskip("peft")
    model, clip = build(name, settings), torch.randn(CLIP)
    plain = model(clip)
    config = peft.LoraConfig(r=2, target_modules=["qkv", "proj", "fc1", "fc2"])
    adapted = peft.get_peft_model(copy.deepcopy(model), config)
    for key, parameter in adapted.named_parameters():
        if "lora_B" in key:  # they begin at zero
            nn.init.normal_(parameter, std=0.05)
    logits = adapted(clip)
    assert (logits - plain).abs().max() > 1e-3
    logits.square().sum().backward()
    trained = {key: p.grad for key, p in adapted.named_parameters() if p.requires_grad}
    assert len([key for key in trained if ".qkv.lora_A" in key]) >= 6
    assert [key for key, grad in trained.items() if grad is None or not grad.any()] == []
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(clip), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_hooks_of_every_linear_layer_run_and_may_change_what_it_gives(name, settings):
    model, clip = build(name, settings), torch.randn(CLIP)
    plain = model(clip)
    called = set()
    layers = {key: m for key, m in model.named_modules() if isinstance(m, nn.Linear)}
    handles = [
        layer.register_forward_hook(lambda *_, key=key: called.add(key))
        for key, layer in layers.items()
    ]
    torch.testing.assert_close(model(clip), plain)
    assert called == layers.keys()
    for handle in handles:
        handle.remove()
    number = model.block_ranges[-1].start if settings["semantic"].count("-") == 0 else 1
    attention = model.blocks[number].attn
    attention.qkv.register_forward_hook(lambda layer, inputs, outputs: 2 * outputs)
    assert (model(clip) - plain).abs().max() > 1e-4


def test_a_dynamically_quantised_model_runs():
    model, clip = build(*SETTINGS[0]), torch.randn(CLIP)
    plain = model(clip)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao tells to move to torchao
        quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    assert not isinstance(quantised.blocks[1].attn.qkv, nn.Linear)
    assert quantised.num_classes == 3
    difference = (quantised(clip) - plain).abs().max() / plain.abs().max()
    assert 0 < difference < 0.1


def test_a_model_quantised_by_torchao_runs():
    quantization = pytest.importorskip("torchao.quantization")
    model, clip = build(*SETTINGS[0]), torch.randn(CLIP)
    plain = model(clip)
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    assert type(model.blocks[1].attn.qkv.weight) is not nn.Parameter
    difference = (model(clip) - plain).abs().max() / plain.abs().max()
    assert 0 < difference < 0.1


def test_a_plain_layer_computes_only_what_is_asked_for():
    attention = Attention(12, num_heads=3).eval()
    tokens, context = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    q, k, v = attention.project(tokens, context)
    attention.qkv.register_forward_hook(lambda *_: None)
    for part, whole in zip((q, k, v), attention.project(tokens, context), strict=True):
        torch.testing.assert_close(part, whole)


def test_a_layer_with_hooks_is_not_fused():
    model = build(*SETTINGS[0])
    calls = []
    model.blocks[0].mlp.fc1.register_forward_hook(lambda *_: calls.append(1))
    clip = torch.randn(CLIP)
    torch.testing.assert_close(fuse(model)(clip), model(clip), rtol=1e-4, atol=1e-5)
    assert len(calls) == 2
