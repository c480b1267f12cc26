"""VideoPrism: equal to transformers with its attention pool and without; semantic tokens."""

import dataclasses

import pytest
import torch
from torch import nn
from transformers import (
    VideoPrismForVideoClassification,
    VideoPrismVisionConfig,
    VideoPrismVisionModel,
)

from stvit_video import create_model, load_model, sparsify
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.layers.attention import Attention
from stvit_video.models.registry import VARIANTS

TINY = {
    "hidden_size": 48,
    "num_attention_heads": 2,
    "intermediate_size": 144,
    "num_spatial_layers": 3,
    "num_temporal_layers": 2,
    "tubelet_size": [1, 6, 6],
    "image_size": 24,
    "num_frames": 5,
    "attn_logit_softcapping": 2.0,
}


def theirs(model_class=VideoPrismForVideoClassification, std=0.2, **sizes):
    torch.manual_seed(0)
    config = VideoPrismVisionConfig(**(TINY | sizes))
    config.num_labels = 7
    config._attn_implementation = "eager"
    made = model_class(config).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=std)
    return made


def clip_of(*size, batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tiny_row(monkeypatch):
    row = VARIANTS["videoprism_base_patch18_288"]
    row = dataclasses.replace(
        row, dim=48, depth=3, num_heads=2, mlp_ratio=3.0, temporal_depth=2, tubelet_size=(1, 6, 6)
    )
    size = dataclasses.replace(row.preprocessing, num_frames=5, image_size=24)
    monkeypatch.setitem(
        VARIANTS, "videoprism_tiny", dataclasses.replace(row, preprocessing=size, num_classes=7)
    )
    return "videoprism_tiny"


@pytest.mark.parametrize("cap", [2.0, 50.0])
@torch.no_grad()
def test_classes_and_places_equal_transformers(cap):
    model, clip = theirs(attn_logit_softcapping=cap), clip_of(5, 24, 24)
    ours = sparsify(model, None)
    expected = model(clip.transpose(1, 2)).logits[:, 0]
    torch.testing.assert_close(ours(clip), expected, rtol=1e-5, atol=1e-5)
    tokens = model.vision_model(clip.transpose(1, 2)).last_hidden_state
    features = ours.forward_features(clip).flatten(2).mT
    torch.testing.assert_close(features, tokens, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["base", "large"])
@torch.no_grad()
def test_one_block_of_full_width_equals_transformers(name):
    row = VARIANTS[f"videoprism_{name}_patch18_288"]
    model = theirs(
        std=0.02,
        hidden_size=row.dim,
        num_attention_heads=row.num_heads,
        intermediate_size=4 * row.dim,
        num_spatial_layers=1,
        num_temporal_layers=1,
        tubelet_size=[1, 18, 18],
        image_size=36,
        attn_logit_softcapping=50.0,
    )
    clip = clip_of(5, 36, 36, batch=1)
    expected = model(clip.transpose(1, 2)).logits[:, 0]
    torch.testing.assert_close(sparsify(model, None)(clip), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_folders_with_the_pool_and_without(tmp_path, tiny_row):
    model, clip = theirs(layer_norm_eps=1e-3), clip_of(5, 24, 24)
    model.save_pretrained(tmp_path / "whole")
    ours = create_model(tiny_row, pretrained=tmp_path / "whole").eval()
    expected = model(clip.transpose(1, 2)).logits[:, 0]
    torch.testing.assert_close(ours(clip), expected, rtol=1e-5, atol=1e-5)
    write_checkpoint(ours, tmp_path / "ours")
    torch.testing.assert_close(load_model(tmp_path / "ours")(clip), ours(clip))
    other = create_model(tiny_row, pretrained=tmp_path / "whole", attentive_blocks=2)
    assert other.key_report.dropped["reader.query"] == "another pooler wanted"
    assert other.key_report.new["head.weight"] == "head of 7 classes, to be trained"

    encoder = theirs(VideoPrismVisionModel)
    encoder.save_pretrained(tmp_path / "encoder")
    alone = create_model(tiny_row, pretrained=tmp_path / "encoder", attentive_blocks=0).eval()
    tokens = encoder(clip.transpose(1, 2)).last_hidden_state
    features = alone.forward_features(clip).flatten(2).mT
    torch.testing.assert_close(features, tokens, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone.head(tokens.mean(dim=1)), alone(clip), rtol=1e-5, atol=1e-5)
    assert create_model(tiny_row, pretrained=tmp_path / "encoder").attentive_blocks == 1


@torch.no_grad()
def test_another_length_resizes_positions_along_time(tmp_path, tiny_row):
    torch.save(theirs().state_dict(), tmp_path / "x.pt")
    ours = create_model(tiny_row, pretrained=tmp_path / "x.pt", num_frames=3)
    assert ours.key_report.changed["temporal.pos_embed"] == "resized from 5 to 3 steps"
    assert ours(clip_of(3, 24, 24)).shape == (2, 7)


@pytest.mark.parametrize(
    ("setting", "grid"),
    [
        ("5x2x2@1,scope=frame", (5, 2, 2)),
        ("5x2x2@0-3,scope=frame", (5, 4, 4)),
        ("5x2x2@1-3,scope=frame,centers=far,recovery=nearest", (5, 4, 4)),
    ],
)
def test_semantic_tokens_of_frames_are_read_through_time(tiny_row, setting, grid):
    torch.manual_seed(0)
    model, clip = create_model(tiny_row, semantic=setting), clip_of(5, 24, 24)
    model(clip).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.eval()
    with torch.no_grad():
        features = model.forward_features(clip)
        assert features.shape[2:] == grid
        other = clip.clone()
        other[:, :, 4] = 0
        changed = (model.forward_features(other) - features).abs().amax(dim=(0, 1, 3, 4))
        assert changed.min() > 1e-4


def test_what_does_not_fit_is_refused(tmp_path, tiny_row):
    with pytest.raises(ConfigError, match=r"makes other clusters in every frame, but this model"):
        create_model(tiny_row, semantic="5x2x2@1,scope=frame,centers=far")
    with pytest.raises(ConfigError, match=r"needs joint attention, but this model's attention is"):
        create_model(tiny_row, reduction="tome:r=2")
    theirs(num_temporal_layers=1).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"its temporal_depth is 1, the model's 2"):
        create_model(tiny_row, pretrained=tmp_path)
    torch.save({"cls_token": torch.zeros(1, 1, 4)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"no weights of VideoPrism: embed.patch.proj.weight"):
        create_model(tiny_row, pretrained=tmp_path / "x.pt")


@pytest.mark.parametrize("mask", ["none", "keys", "bias"])
def test_capped_scores_are_masked_after_the_cap(mask):
    torch.manual_seed(0)
    attention, tokens = Attention(8, num_heads=2), torch.randn(2, 5, 8)
    given = {
        "none": None,
        "keys": torch.tensor([True, True, False, True, False])[None, None, None],
        "bias": torch.randn(2, 1, 1, 5),
    }[mask]
    with torch.no_grad():
        plain = attention(tokens, mask=given)
        attention.logit_cap = 1e6
        torch.testing.assert_close(attention(tokens, mask=given), plain, rtol=1e-4, atol=1e-4)
        attention.logit_cap = 0.01
        assert (attention(tokens, mask=given) - plain).abs().max() > 1e-3
        if mask == "keys":
            weights = attention.weights(tokens, tokens, given)
            assert weights[..., [2, 4]].abs().max() == 0
            torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 5))
