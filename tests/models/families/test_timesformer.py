"""What TimeSformer computes beyond the golden tensors, and what it refuses."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from stvit_video.errors import ConfigError
from stvit_video.models.families.timesformer.rows import VARIANTS, TimesformerVariant
from stvit_video.models.layers.blocks import Block, DividedBlock
from stvit_video.models.registry import create_model
from stvit_video.models.variant import BuildOptions
from stvit_video.settings.grammar import parse_semantic
from stvit_video.settings.model import Preprocessing
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import TokenSet


def tiny(attention, *, semantic="", class_token=None):
    torch.manual_seed(5)
    row = TimesformerVariant(
        preprocessing=Preprocessing(num_frames=3, frame_stride=1, image_size=8),
        num_classes=7,
        source="",
        license="",
        dim=12,
        depth=4,
        num_heads=2,
        tubelet_size=(1, 2, 2),
        attention=attention,
    )
    model = row.build(
        BuildOptions(
            num_classes=7,
            preprocessing=row.preprocessing,
            semantic=parse_semantic(semantic) if semantic else (),
            drop_path=0.0,
            class_token=class_token,
        )
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def self_attention(attention, tokens):
    """Tokens (N, D) read from each other, written out."""
    q, k, v = (x.unflatten(-1, (2, -1)) for x in attention.qkv(tokens).chunk(3, dim=-1))
    heads = []
    for head in range(2):
        scores = q[:, head] @ k[:, head].T / q.shape[-1] ** 0.5
        heads.append(scores.softmax(-1) @ v[:, head])
    return attention.proj(torch.cat(heads, -1))


@pytest.mark.parametrize("num_class_tokens", [0, 1])
def test_a_divided_block_reads_a_place_over_time_then_its_frame(num_class_tokens):
    torch.manual_seed(2)
    block, grid = DividedBlock(12, num_heads=2), Grid(3, 2, 5)
    tokens = torch.randn(1, num_class_tokens + grid.size, 12)
    cls, volume = tokens[0, :num_class_tokens], tokens[0, num_class_tokens:].unflatten(0, grid)
    timed = volume.clone()
    for y in range(2):
        for x in range(5):
            series = volume[:, y, x]
            read = self_attention(block.temporal_attn, block.temporal_norm1(series))
            timed[:, y, x] = series + block.temporal_fc(read)
    framed, cls_reads = timed.clone(), []
    for t in range(3):
        frame = torch.cat([cls, timed[t].flatten(0, 1)])
        read = self_attention(block.attn, block.norm1(frame))
        cls_reads.append(read[:num_class_tokens])
        framed[t] = timed[t] + read[num_class_tokens:].unflatten(0, (2, 5))
    out = torch.cat([cls + torch.stack(cls_reads).mean(0), framed.flatten(0, 2)])
    out = out + block.mlp(block.norm2(out))
    torch.testing.assert_close(block(tokens, grid)[0], out)


def test_stochastic_depth_drops_attention_along_time_place_by_place():
    block, grid = DividedBlock(12, num_heads=2, drop_path=0.5), Grid(3, 4, 5)
    for layer in (block.attn.proj, block.mlp.fc2, block.temporal_fc):
        torch.nn.init.zeros_(layer.bias)
    for layer in (block.attn.proj, block.mlp.fc2):
        torch.nn.init.zeros_(layer.weight)
    tokens = torch.randn(2, grid.size, 12)
    added = (block.train()(tokens, grid) - tokens).unflatten(1, (3, 20))
    whole = (block.eval()(tokens, grid) - tokens).unflatten(1, (3, 20))
    is_kept = added.abs().amax(dim=(1, 3)) > 0  # (clips, places)
    assert all(0 < count < 20 for count in is_kept.sum(dim=1))
    torch.testing.assert_close(added, whole * 2 * is_kept[:, None, :, None])


def test_with_a_context_a_divided_block_is_a_plain_one():
    block, plain = DividedBlock(12, num_heads=2), Block(12, num_heads=2)
    plain.load_state_dict({k: v for k, v in block.state_dict().items() if "temporal" not in k})
    tokens, context = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    for shortcut in (True, False):
        torch.testing.assert_close(
            block(tokens, context=context, shortcut=shortcut),
            plain(tokens, context=context, shortcut=shortcut),
        )
    torch.testing.assert_close(block(tokens), plain(tokens))


@pytest.mark.parametrize("attention", ["divided", "joint", "space"])
def test_a_model_is_its_blocks_in_order_on_tokens_with_both_positions(attention):
    model = tiny(attention)
    clip = torch.randn(2, 3, 3, 8, 8)
    patches = F.conv3d(
        clip, model.embed.patch.proj.weight.unflatten(1, (3, 1, 2, 2)), stride=(1, 2, 2)
    )
    patches = patches.flatten(3).permute(0, 2, 3, 1) + model.embed.patch.proj.bias  # (B, t, n, D)
    patches = patches + model.embed.pos_embed[:, 1:]
    cls = model.embed.cls_token + model.embed.pos_embed[:, :1]
    if attention == "space":
        outs = []
        for t in range(3):
            tokens = torch.cat([cls.expand(2, -1, -1), patches[:, t]], dim=1)
            for block in model.blocks:
                tokens = block(tokens)
            outs.append(tokens[:, 0])
        pooled = torch.stack(outs).mean(0)
    else:
        patches = patches + model.embed.time_embed[0][:, None]
        tokens = torch.cat([cls.expand(2, -1, -1), patches.flatten(1, 2)], dim=1)
        for block in model.blocks:
            tokens = block(tokens, Grid(3, 4, 4))
        pooled = tokens[:, 0]
    torch.testing.assert_close(model(clip), model.head(model.norm(pooled)))


def test_positions_take_the_nearest_for_another_clip_size():
    model = tiny("divided")
    tokens, grid = model.embed(torch.zeros(1, 3, 5, 6, 14))
    assert grid == Grid(5, 3, 7)
    rows, columns = [0, 1, 2], [0, 0, 1, 1, 2, 2, 3]  # of 4, floor(i * 4 / n)
    steps = [0, 0, 1, 1, 2]  # of 3
    space = model.embed.pos_embed[0, 1:].unflatten(0, (4, 4))[rows][:, columns]
    places = model.embed.time_embed[0, steps][:, None, None] + space
    torch.testing.assert_close(tokens[0, 1:], places.flatten(0, 2) + model.embed.patch.proj.bias)
    torch.testing.assert_close(
        tokens[0, :1], model.embed.cls_token[0] + model.embed.pos_embed[0, :1]
    )


def test_divided_attention_stays_divided_on_the_semantic_grid():
    model = tiny("divided", semantic="2x2x3@1")
    assert [type(block) for block in model.blocks] == [DividedBlock, Block, Block, DividedBlock]
    clip = torch.randn(2, 3, 3, 8, 8)
    tokens, grid = model.embed(clip)
    tokens = model.blocks[0](tokens, grid)
    (tokens, grid, *_), _ = model.stages[1].generator(TokenSet(tokens, grid), model.blocks[1:3])
    expected = model.head(model.norm(model.blocks[3](tokens, Grid(2, 2, 3)).mean(1)))
    torch.testing.assert_close(model(clip), expected)


@pytest.mark.parametrize("semantic", ["", "3x2x3@1,scope=frame", "3x2x3@0-3,scope=frame"])
@pytest.mark.parametrize("class_token", [True, False])
def test_space_only_frames_never_meet_before_the_average(semantic, class_token):
    model = tiny("space", semantic=semantic, class_token=class_token)
    clip = torch.randn(2, 3, 3, 8, 8)
    other = clip.clone()
    other[:, :, 1] = torch.randn(2, 3, 8, 8)
    difference = model.forward_features(clip) - model.forward_features(other)  # (B, D, t, h, w)
    changed = difference.abs().amax((0, 1, 3, 4))
    assert changed[1] > 0.1
    assert changed[0] == changed[2] == 0
    swapped = clip[:, :, [2, 0, 1]]
    torch.testing.assert_close(model(swapped), model(clip))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "timesformer_base_space_patch16_224",
            {"semantic": "4x4x4@4-8"},
            "semantic setting 4x4x4@4-8 clusters over time, but this model sees each of its 8"
            " time steps alone; write 8x4x4@4-8,scope=frame",
        ),
        (
            "timesformer_base_space_patch16_224",
            {"semantic": "4x4x4@4,scope=frame"},
            "semantic setting 4x4x4@4,scope=frame clusters over time, but this model sees each"
            " of its 8 time steps alone; write 8x4x4@4,scope=frame",
        ),
        (
            "timesformer_base_patch16_224",
            {"semantic": "9x4x4@4"},
            "semantic grid 9x4x4 is larger than the token grid 8x14x14 along time: 9 > 8;"
            " choose at most 8",
        ),
        (
            "timesformer_base_patch16_224",
            {"reduction": "tome:r=65"},
            "reduction (tome) needs joint attention, but this model's attention is divided;"
            " choose a plain ViT",
        ),
        (
            "timesformer_hr_patch16_448",
            {"image_size": 450},
            "height (450) must be a multiple of 16, the tubelet's",
        ),
    ],
)
def test_what_the_attention_cannot_keep_is_one_line(name, settings, message):
    with torch.device("meta"), pytest.raises(ConfigError) as error:
        create_model(name, **settings)
    assert str(error.value) == message


def test_variants_are_those_of_the_paper():
    sizes = {
        name: (row.attention, row.preprocessing.num_frames, row.preprocessing.image_size)
        for name, row in VARIANTS.items()
    }
    assert sizes == {
        "timesformer_base_patch16_224": ("divided", 8, 224),
        "timesformer_base_joint_patch16_224": ("joint", 8, 224),
        "timesformer_base_space_patch16_224": ("space", 8, 224),
        "timesformer_hr_patch16_448": ("divided", 16, 448),
        "timesformer_large_patch16_224": ("divided", 96, 224),
    }
    for row in VARIANTS.values():
        assert dataclasses.asdict(row.preprocessing)["mean"] == (0.45, 0.45, 0.45)
