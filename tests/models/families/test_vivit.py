"""The factorisations of ViViT against slow references, and what they refuse."""

import dataclasses

import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.models.families.vivit.rows import VARIANTS
from stvit_video.models.layers.blocks import Block, DividedBlock, DotProductBlock
from stvit_video.models.registry import create_model
from stvit_video.models.variant import BuildOptions
from stvit_video.settings.grammar import parse_semantic
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import TokenSet


def tiny(name, *, semantic="", class_token=None, **sizes):
    torch.manual_seed(5)
    row = VARIANTS[name]
    sizes = {"dim": 12, "depth": 4, "num_heads": 2, "tubelet_size": (2, 2, 2)} | sizes
    if hasattr(row, "temporal_depth"):
        sizes["temporal_depth"] = 2
    frames = dataclasses.replace(row.preprocessing, num_frames=6, image_size=8)
    row = dataclasses.replace(row, preprocessing=frames, **sizes)
    model = row.build(
        BuildOptions(
            num_classes=7,
            preprocessing=frames,
            semantic=parse_semantic(semantic) if semantic else (),
            drop_path=0.0,
            class_token=class_token,
        )
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_self_attention_is_divided_attention_without_a_map():
    torch.manual_seed(2)
    block = DividedBlock(12, num_heads=2, has_temporal_fc=False)
    mapped = DividedBlock(12, num_heads=2)
    mapped.load_state_dict(block.state_dict(), strict=False)
    torch.nn.init.eye_(mapped.temporal_fc.weight)
    torch.nn.init.zeros_(mapped.temporal_fc.bias)
    grid = Grid(3, 2, 5)
    tokens = torch.randn(2, grid.size, 12)
    torch.testing.assert_close(block(tokens, grid), mapped(tokens, grid))
    assert not any("temporal_fc" in key for key in block.state_dict())


def test_dot_product_heads_read_along_time_and_within_the_frame():
    torch.manual_seed(2)
    block, grid = DotProductBlock(12, num_heads=4), Grid(3, 2, 5)
    tokens = torch.randn(1, grid.size, 12)
    q, k, v = block.attn.project(block.norm1(tokens))  # (1, 4, N, 3)
    t = torch.arange(30) // 10
    place = torch.arange(30) % 10
    same_place, same_frame = place[:, None] == place, t[:, None] == t
    heads = []
    for head, may_read in enumerate((same_place, same_place, same_frame, same_frame)):
        scores = q[0, head] @ k[0, head].T / 3**0.5
        heads.append(scores.masked_fill(~may_read, -torch.inf).softmax(-1) @ v[0, head])
    out = tokens[0] + block.attn.proj(torch.cat(heads, -1))
    out = out + block.mlp(block.norm2(out))
    torch.testing.assert_close(block(tokens, grid)[0], out)


def test_with_a_context_a_dot_product_block_is_a_plain_one():
    block, plain = DotProductBlock(12, num_heads=2), Block(12, num_heads=2)
    plain.load_state_dict(block.state_dict())
    tokens, context = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    torch.testing.assert_close(
        block(tokens, context=context, shortcut=False),
        plain(tokens, context=context, shortcut=False),
    )


@pytest.mark.parametrize("class_token", [True, False])
def test_a_factorised_encoder_reads_every_step_then_the_steps(class_token):
    model = tiny("vivit_base_fe_patch16x2_224", class_token=class_token)
    clip = torch.randn(2, 3, 6, 8, 8)
    patches, _ = model.embed.patch(clip)
    steps = []
    for step in patches.unflatten(1, (3, 16)).unbind(1):
        tokens = step
        if class_token:
            tokens = torch.cat([model.embed.cls_token.expand(2, -1, -1), step], dim=1)
        tokens = tokens + model.embed.pos_embed
        for block in model.blocks:
            tokens = block(tokens)
        steps.append(tokens[:, 0] if class_token else tokens.mean(1))
    tokens = model.norm(torch.stack(steps, dim=1))
    if class_token:
        tokens = torch.cat([model.temporal.cls_token.expand(2, -1, -1), tokens], dim=1)
    tokens = tokens + model.temporal.pos_embed
    for block in model.temporal.blocks:
        tokens = block(tokens)
    pooled = model.temporal.norm(tokens[:, 0] if class_token else tokens.mean(1))
    torch.testing.assert_close(model(clip), model.head(pooled))
    assert len(model.temporal.blocks) == 2


def test_a_factorised_encoder_clusters_every_step_on_its_own():
    model = tiny("vivit_base_fe_patch16x2_224", semantic="3x2x1@1,scope=frame", class_token=True)
    clip = torch.randn(1, 3, 6, 8, 8)
    features = model.forward_features(clip)  # (1, D, 3, 2, 1)
    for step in range(3):
        tokens, grid = model.embed(clip[:, :, 2 * step : 2 * step + 2])
        assert grid == Grid(1, 4, 4)
        tokens = model.blocks[0](tokens)
        (tokens, grid, *_), _ = model.stages[1].generator(TokenSet(tokens, grid), model.blocks[1:3])
        tokens = model.norm(model.blocks[3](tokens))[:, 1:]
        expected = tokens.transpose(1, 2).unflatten(2, (2, 1))
        torch.testing.assert_close(features[:, :, step], expected)


def test_recovery_of_a_factorised_encoder_stays_in_its_step():
    model = tiny("vivit_base_fe_patch16x2_224", semantic="3x2x1@0-4,scope=frame")
    clip = torch.randn(1, 3, 6, 8, 8)
    other = clip.clone()
    other[:, :, 2:4] = torch.randn(1, 3, 2, 8, 8)
    changed = (model.forward_features(clip) - model.forward_features(other)).abs()
    changed = changed.amax((0, 1, 3, 4))
    assert changed[1] > 0.1
    assert changed[0] == changed[2] == 0
    assert not torch.equal(model(clip), model(other))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vivit_base_fsa_patch16x2_224", DividedBlock),
        ("vivit_base_fdp_patch16x2_224", DotProductBlock),
    ],
)
def test_factorised_attention_goes_on_on_the_semantic_grid(name, kind):
    model = tiny(name, semantic="2x2x3@1")
    assert [type(block) for block in model.blocks] == [kind, Block, Block, kind]
    clip = torch.randn(2, 3, 6, 8, 8)
    tokens, grid = model.embed(clip)
    assert grid == Grid(3, 4, 4)
    assert model.pool == "mean"
    tokens = model.blocks[0](tokens, grid)
    (tokens, grid, *_), _ = model.stages[1].generator(TokenSet(tokens, grid), model.blocks[1:3])
    tokens = model.blocks[3](tokens, Grid(2, 2, 3))
    torch.testing.assert_close(model(clip), model.head(model.norm(tokens.mean(1))))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "vivit_base_fe_patch16x2_224",
            {"semantic": "8x4x4@4,scope=tube"},
            "semantic setting 8x4x4@4,scope=tube clusters over time, but this model sees each of"
            " its 16 time steps alone; write 16x4x4@4,scope=frame",
        ),
        (
            "vivit_base_fe_patch16x2_224",
            {"semantic": "16x4x4@11,scope=frame"},
            "semantic setting 16x4x4@11,scope=frame begins after block 11 and needs 2 blocks, but"
            " ends with block 12; choose a block from 0 to 10",
        ),
        (
            "vivit_base_fe_patch16x2_224",
            {"reduction": "tome:r=65"},
            "reduction (tome) needs joint attention, but this model's attention is factorised in"
            " two encoders; choose a plain ViT",
        ),
        (
            "vivit_base_fdp_patch16x2_224",
            {"class_token": True},
            "class_token (True) has no place in factorised dot-product attention, where a token"
            " reads its frame and its place only; leave it out",
        ),
        (
            "vivit_base_fsa_patch16x2_224",
            {"reduction": "tome:r=65"},
            "reduction (tome) needs joint attention, but this model's attention is factorised;"
            " choose a plain ViT",
        ),
        (
            "vivit_base_fe_patch16x4_224",
            {"num_frames": 30},
            "num_frames (30) must be a multiple of 4, the tubelet's",
        ),
    ],
)
def test_what_the_attention_cannot_keep_is_one_line(name, settings, message):
    with torch.device("meta"), pytest.raises(ConfigError) as error:
        create_model(name, **settings)
    assert str(error.value) == message


def test_an_odd_number_of_heads_cannot_be_halved():
    with pytest.raises(ConfigError) as error:
        tiny("vivit_base_fdp_patch16x2_224", num_heads=3)
    assert str(error.value) == "num_heads (3) must be even: one half reads along time"


def test_temporal_positions_are_interpolated_for_another_length():
    model = tiny("vivit_base_fe_patch16x2_224", class_token=False)
    encoder = model.temporal
    encoder.blocks = torch.nn.ModuleList()
    places = torch.nn.functional.interpolate(
        encoder.pos_embed.transpose(1, 2), size=5, mode="linear"
    ).transpose(1, 2)
    frames = torch.randn(2, 5, 12)
    torch.testing.assert_close(encoder(frames), encoder.norm((frames + places).mean(1)))
