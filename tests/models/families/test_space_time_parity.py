"""TimeSformer and ViViT compute what the published implementations compute, block by block."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from timm.models.vision_transformer import VisionTransformer
from transformers import (
    TimesformerConfig,
    TimesformerForVideoClassification,
    VivitConfig,
    VivitForVideoClassification,
)

from stvit_video.errors import CheckpointError
from stvit_video.models.families.timesformer import weights as timesformer
from stvit_video.models.families.vit import weights as vit
from stvit_video.models.families.vivit import weights as vivit
from stvit_video.models.registry import VARIANTS
from stvit_video.models.sparsify import sparsify
from stvit_video.models.variant import BuildOptions
from stvit_video.models.weights.adapt import adapt
from stvit_video.models.weights.load import fill
from stvit_video.settings.grammar import parse_semantic
from stvit_video.tokens.grid import Grid

GOLDEN = Path(os.environ.get("STVIT_GOLDEN", Path(__file__).parents[3] / "../shared/golden"))
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 60,
    "num_labels": 7,
}
IMAGE_SIZES = {
    "img_size": 24,
    "patch_size": 8,
    "embed_dim": 24,
    "depth": 3,
    "num_heads": 2,
    "mlp_ratio": 2.5,
    "num_classes": 7,
}
ROWS = {
    "divided_space_time": "timesformer_base_patch16_224",
    "joint_space_time": "timesformer_base_joint_patch16_224",
    "space_only": "timesformer_base_space_patch16_224",
}


def randomised(model):
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    return model.eval()


def build(name, *, num_frames, image_size, semantic="", class_token=None, **sizes):
    row = VARIANTS[name]
    frames = dataclasses.replace(row.preprocessing, num_frames=num_frames, image_size=image_size)
    return (
        dataclasses.replace(row, preprocessing=frames, **sizes)
        .build(
            BuildOptions(
                num_classes=sizes["num_classes"],
                preprocessing=frames,
                semantic=parse_semantic(semantic) if semantic else (),
                drop_path=0.0,
                class_token=class_token,
            )
        )
        .eval()
    )


def tiny(name, num_frames, tubelet_size, **options):
    sizes = {"dim": 24, "depth": 3, "num_heads": 2, "mlp_ratio": 2.5, "num_classes": 7}
    torch.manual_seed(5)
    return build(
        name, num_frames=num_frames, image_size=24, tubelet_size=tubelet_size, **sizes, **options
    )


def relative_difference(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def outputs_of_blocks(model, tokens, grid):
    outputs = []
    for block in model.blocks:
        tokens = block(tokens, grid)
        outputs.append(tokens)
    return outputs


def hf_timesformer(attention):
    return randomised(
        TimesformerForVideoClassification(
            TimesformerConfig(
                attention_type=attention, num_frames=5, image_size=24, patch_size=8, **SIZES
            )
        )
    )


def from_places_to_frames(tokens, num_frames):
    """Reorder HF tokens: (B, 1 + (n t), D) -> (B, 1 + (t n), D)."""
    patches = tokens[:, 1:].unflatten(1, (-1, num_frames)).transpose(1, 2).flatten(1, 2)
    return torch.cat([tokens[:, :1], patches], dim=1)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["divided_space_time", "joint_space_time"])
def test_hf_timesformer_agrees_in_every_block(attention):
    theirs = hf_timesformer(attention)
    model = tiny(ROWS[attention], 5, (1, 8, 8))
    model.load_state_dict(timesformer.rename(theirs.state_dict()))
    clip = torch.randn(2, 3, 5, 24, 24)
    published = theirs(clip.transpose(1, 2), output_hidden_states=True)
    hidden = [from_places_to_frames(tokens, 5) for tokens in published.hidden_states]
    tokens, grid = model.embed(clip)
    assert grid == Grid(5, 3, 3)
    ours = [tokens, *outputs_of_blocks(model, tokens, grid)]
    assert len(ours) == len(hidden) == 4
    for own, other in zip(ours, hidden, strict=True):
        assert relative_difference(own, other) <= 1e-5
    assert relative_difference(model(clip), published.logits) <= 1e-5


@torch.no_grad()
def test_hf_space_only_timesformer_agrees_in_every_block_and_frames_are_averaged():
    theirs = hf_timesformer("space_only")
    model = tiny(ROWS["space_only"], 5, (1, 8, 8))
    model.load_state_dict(timesformer.rename(theirs.state_dict()))
    clip = torch.randn(2, 3, 5, 24, 24)
    published = theirs(clip.transpose(1, 2), output_hidden_states=True)
    frames = published.hidden_states  # (B*t, 1 + n, D): HF leaves the frames apart
    tokens, _ = model.embed(clip)
    cls, patches = tokens[:, :5], tokens[:, 5:]
    tokens = torch.cat([cls.flatten(0, 1)[:, None], patches.unflatten(1, (5, 9)).flatten(0, 1)], 1)
    ours = [tokens, *outputs_of_blocks(model, tokens, Grid(1, 3, 3))]
    for own, other in zip(ours, frames, strict=True):
        assert relative_difference(own, other) <= 1e-5
    pooled = frames[-1][:, 0].unflatten(0, (2, 5)).mean(1)  # the published code averages them
    expected = theirs.classifier(theirs.timesformer.layernorm(pooled))
    assert relative_difference(model(clip), expected) <= 1e-5


@torch.no_grad()
@pytest.mark.parametrize("attention", ROWS)
def test_hf_timesformer_embeds_other_sizes_alike(attention):
    theirs = hf_timesformer(attention)
    model = tiny(ROWS[attention], 5, (1, 8, 8))
    model.load_state_dict(timesformer.rename(theirs.state_dict()))
    clip = torch.randn(2, 3, 7, 40, 16)
    published = theirs.timesformer.embeddings(clip.transpose(1, 2))
    tokens, grid = model.embed(clip)
    assert grid == Grid(7, 5, 2)
    if attention == "space_only":
        expected = torch.cat(
            [
                published[:, 0].unflatten(0, (2, 7)),
                published[:, 1:].unflatten(0, (2, 7)).flatten(1, 2),
            ],
            dim=1,
        )
    else:
        expected = from_places_to_frames(published, 7)
    assert relative_difference(tokens, expected) <= 1e-5


def hf_vivit():
    return randomised(
        VivitForVideoClassification(
            VivitConfig(num_frames=6, image_size=24, tubelet_size=[2, 8, 8], **SIZES)
        )
    )


@torch.no_grad()
@pytest.mark.parametrize("edition", ["since 5", "before 5"])
def test_hf_vivit_agrees_in_every_block(edition):
    theirs = hf_vivit()
    weights = theirs.state_dict()
    if edition == "before 5":
        weights = {_name_before_5(key): value for key, value in weights.items()}
        assert "vivit.encoder.layer.2.attention.attention.query.bias" in weights
    model = tiny("vivit_base_patch16x2_224", 6, (2, 8, 8))
    model.load_state_dict(vivit.rename(weights))
    clip = torch.randn(2, 3, 6, 24, 24)
    published = theirs(clip.transpose(1, 2), output_hidden_states=True)
    tokens, grid = model.embed(clip)
    ours = [tokens, *outputs_of_blocks(model, tokens, grid)]
    assert len(ours) == len(published.hidden_states) == 4
    for own, other in zip(ours, published.hidden_states, strict=True):
        assert relative_difference(own, other) <= 1e-5
    assert relative_difference(model(clip), published.logits) <= 1e-5


def _name_before_5(key):
    names = {
        "vivit.layers.": "vivit.encoder.layer.",
        "attention.q_proj": "attention.attention.query",
        "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value",
        "attention.o_proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    for new, old in names.items():
        key = key.replace(new, old)
    return key


@torch.no_grad()
@pytest.mark.parametrize("file", sorted(GOLDEN.glob("timesformer_*.safetensors")) or [None])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_golden_tensors_of_the_official_code_agree(file, prefix):
    if file is None:
        pytest.skip(f"no golden files in {GOLDEN}; set STVIT_GOLDEN to their folder")
    with safe_open(file, "pt") as archive:
        golden = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118
        config = json.loads(archive.metadata()["config"])
    weights = {key: x for key, x in golden.items() if key.startswith("sd.")}
    model = build(
        ROWS[config["attention_type"]],
        num_frames=config["num_frames"],
        image_size=config["img_size"],
        dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        num_classes=config["num_classes"],
        tubelet_size=(1, config["patch_size"], config["patch_size"]),
    )
    model.load_state_dict(
        timesformer.rename({prefix + key.removeprefix("sd."): x for key, x in weights.items()})
    )
    features = model.pool_tokens(model.forward_tokens(golden["input"]))
    assert relative_difference(features, golden["features"]) <= 5e-6
    assert relative_difference(model(golden["input"]), golden["logits"]) <= 5e-6


@pytest.mark.parametrize("kind", ["divided_space_time", "space_only"])
@torch.no_grad()
def test_a_still_clip_gives_the_logits_of_the_image_model_it_started_from(kind):
    image_model = randomised(VisionTransformer(**IMAGE_SIZES))
    model = randomised(tiny(ROWS[kind], 5, (1, 8, 8)))
    weights, report = adapt(vit.rename(image_model.state_dict()), model, Grid(1, 3, 3))
    model.load_state_dict(weights)
    image = torch.randn(2, 3, 24, 24)
    still = image[:, :, None].expand(-1, -1, 5, -1, -1)
    assert relative_difference(model(still), image_model(image)) <= 1e-5
    moving = torch.randn(2, 3, 5, 24, 24)
    assert not torch.allclose(model(moving), image_model(moving[:, :, 0]))
    if kind == "divided_space_time":
        block = model.blocks[1]
        assert torch.equal(block.temporal_attn.qkv.weight, block.attn.qkv.weight)
        assert torch.equal(block.temporal_norm1.bias, block.norm1.bias)
        assert (
            report.new["blocks.1.temporal_fc.weight"]
            == "attention along time adds nothing at first"
        )


@torch.no_grad()
def test_divided_weights_start_a_semantic_model_without_time_in_its_layers():
    theirs = hf_timesformer("divided_space_time")
    model = tiny(ROWS["divided_space_time"], 5, (1, 8, 8), semantic="2x2x1@0", class_token=True)
    weights, report = adapt(timesformer.rename(theirs.state_dict()), model, None)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert (missing, unexpected) == (["stages.0.generator.global_centers"], [])
    parts = ("temporal_attn.qkv", "temporal_attn.proj", "temporal_fc", "temporal_norm1")
    assert set(report.dropped) == {
        f"blocks.{i}.{part}.{kind}" for i in (0, 1) for part in parts for kind in ("weight", "bias")
    }
    assert torch.equal(
        model.blocks[2].temporal_fc.weight,
        theirs.timesformer.encoder.layer[2].temporal_dense.weight,
    )


@torch.no_grad()
def test_a_block_that_clustered_starts_time_anew_in_another_setting():
    dense = sparsify(hf_timesformer("divided_space_time"), None)
    clustered = sparsify(dense, "2x2x1@0,centers=grid")
    again = sparsify(clustered, None)
    for i in (0, 1):
        assert not again.blocks[i].temporal_fc.weight.any()
        assert torch.equal(again.blocks[i].temporal_attn.qkv.bias, dense.blocks[i].attn.qkv.bias)
    known = dense.blocks[2].temporal_fc.weight
    assert torch.equal(again.blocks[2].temporal_fc.weight, known)


@torch.no_grad()
def test_a_factorised_encoder_starts_from_an_image_and_draws_its_temporal_encoder():
    images = randomised(VisionTransformer(**IMAGE_SIZES)).state_dict()
    model = tiny("vivit_base_fe_patch16x2_224", 10, (2, 8, 8), temporal_depth=2)
    before = {key: x.clone() for key, x in model.state_dict().items()}
    report = fill(model, vit.rename(images), "images", Grid(1, 3, 3))
    new = {key for key in before if key.startswith("temporal.")}
    assert new == set(report.new)
    assert set(report.new.values()) == {"images have no encoder over time: to be trained"}
    assert all(torch.equal(model.state_dict()[key], before[key]) for key in new)
    assert torch.equal(model.embed.pos_embed, images["pos_embed"])
    assert torch.equal(model.blocks[2].mlp.fc2.weight, images["blocks.2.mlp.fc2.weight"])
    kernel = model.embed.patch.proj.weight.unflatten(1, (3, 2, 8, 8))
    assert torch.equal(kernel[:, :, 1], images["patch_embed.proj.weight"])
    assert not kernel[:, :, 0].any()


@torch.no_grad()
def test_both_class_tokens_of_a_factorised_encoder_are_dropped_together():
    kept = randomised(tiny("vivit_base_fe_patch16x2_224", 10, (2, 8, 8), temporal_depth=2))
    model = tiny("vivit_base_fe_patch16x2_224", 10, (2, 8, 8), temporal_depth=2, class_token=False)
    report = fill(model, kept.state_dict(), "ours", None)
    assert set(report.dropped) == {"embed.cls_token", "temporal.cls_token"}
    assert torch.equal(model.temporal.pos_embed, kept.temporal.pos_embed[:, 1:])
    assert torch.equal(model.embed.pos_embed, kept.embed.pos_embed[:, 1:])


@torch.no_grad()
def test_factorised_self_attention_starts_from_an_image_with_time_silent():
    images = randomised(VisionTransformer(**IMAGE_SIZES, class_token=False, global_pool="avg"))
    model = tiny("vivit_base_fsa_patch16x2_224", 10, (2, 8, 8), activation=torch.nn.GELU)
    fill(model, vit.rename(images.state_dict()), "images", Grid(1, 3, 3))
    image = torch.randn(2, 3, 24, 24)
    still = image[:, :, None].expand(-1, -1, 10, -1, -1)
    assert relative_difference(model(still), images(image)) <= 1e-5
    assert not model.blocks[1].temporal_attn.proj.weight.any()
    expected = images.blocks[1].attn.qkv.weight
    assert torch.equal(model.blocks[1].temporal_attn.qkv.weight, expected)


@pytest.mark.parametrize(
    ("rename", "weights", "message"),
    [
        (
            timesformer.rename,
            {"blocks.0.attn.qkv.weight": torch.zeros(3, 1)},
            "no weights of TimeSformer: nothing in them attends over time",
        ),
        (
            timesformer.rename,
            {"model.time_embed": torch.zeros(1, 2, 3)},
            "no weights of TimeSformer: embed.patch.proj.weight is missing, embed.time_embed is"
            " there",
        ),
        (
            vivit.rename,
            {"vivit.embeddings.cls_token": torch.zeros(1, 1, 3)},
            "no weights of ViViT: embed.patch.proj.weight is missing, embed.cls_token is there",
        ),
    ],
)
def test_weights_of_another_family_are_refused(rename, weights, message):
    with pytest.raises(CheckpointError) as error:
        rename(weights)
    assert str(error.value) == message


def test_each_family_refuses_the_weights_of_the_other():
    with pytest.raises(CheckpointError) as error:
        vivit.rename(hf_timesformer("divided_space_time").state_dict())
    assert str(error.value) == (
        "no weights of ViViT: embed.patch.proj.weight is missing, timesformer.embed.cls_token is"
        " there"
    )
    with pytest.raises(CheckpointError) as error:
        timesformer.rename(hf_vivit().state_dict())
    assert str(error.value) == "no weights of TimeSformer: nothing in them attends over time"
    images = timm.create_model("vit_tiny_patch16_224", img_size=32).state_dict()
    with pytest.raises(CheckpointError) as error:
        vivit.rename(images)
    assert str(error.value) == "no weights of ViViT: the patch embedding has no time axis"


def test_a_pooler_is_set_aside():
    weights = hf_vivit().state_dict() | {"vivit.pooler.dense.weight": torch.zeros(2, 2)}
    renamed = vivit.rename(weights)
    assert [key for key in renamed if key.startswith("unused.")] == ["unused.pooler.dense.weight"]
