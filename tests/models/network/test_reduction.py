"""Reducers inside a real network."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from stvit_video.errors import ConfigError
from stvit_video.models.families.vit.variant import VitVariant
from stvit_video.models.layers.attention import Attention
from stvit_video.models.layers.blocks import Block
from stvit_video.models.registry import VARIANTS, create_model
from stvit_video.settings.model import Preprocessing
from stvit_video.tokens.reducers.tome import match_tokens, merge_by_size
from stvit_video.tokens.token_set import TokenSet

REDUCERS = [
    {"reduction": "tome:r=5"},
    {"reduction": "tome:r=5,schedule=decreasing", "class_token": True},
    {"reduction": "random:keep=11,block=2"},
    {"reduction": "average:grid=2x3x2,block=3"},
    {"reduction": "evit:keep=0.5,block=2+4", "class_token": True},
    {"reduction": "dpcknn:keep=11,block=2", "class_token": True},
    {"reduction": "atc:keep=0.4,block=2+3"},
    {"reduction": "rlt:threshold=0.3"},
]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A network whose sizes no other part tunes, in the registry."""
    variant = VitVariant(
        preprocessing=Preprocessing(num_frames=8, frame_stride=1, image_size=24),
        num_classes=7,
        dim=24,
        depth=5,
        num_heads=3,
        tubelet_size=(2, 8, 8),
        class_token=False,
        source="",
        license="",
    )
    monkeypatch.setitem(VARIANTS, "tiny", variant)


def build(**options):
    torch.manual_seed(0)
    return create_model("tiny", **options)


def walking_clip(num_clips=2):
    """Noise in the left half of every frame, still grey in the right half."""
    clip = torch.zeros(num_clips, 3, 8, 24, 24)
    clip[..., :12] = torch.rand(num_clips, 3, 8, 24, 12) * 2
    return clip


@pytest.mark.parametrize("options", REDUCERS)
def test_every_weight_learns_and_clips_of_a_batch_do_not_mix(options):
    model = build(**options).train()
    clip = walking_clip()
    model(clip).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(clip)[1:], model(clip[1:]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "reduction",
    ["tome:r=5", "random:keep=11", "average:grid=2x3x2", "dpcknn:keep=11", "atc:keep=9", "rlt"],
)
def test_both_class_tokens_of_a_distilled_network_go_through(monkeypatch, reduction):
    distilled = dataclasses.replace(VARIANTS["tiny"], num_class_tokens=2)
    monkeypatch.setitem(VARIANTS, "tiny", distilled)
    model = build(reduction=reduction, class_token=True).eval()
    clip = walking_clip()
    with torch.no_grad():
        state = model.forward_tokens(clip)
        tokens = state.tokens
        assert model(clip).shape == (2, 7)
        assert state.num_class_tokens == 2
        torch.testing.assert_close(model.pool_tokens(state)[:, :24], model.norm(tokens[:, 0]))
        reference = build(class_token=True).eval().forward_tokens(clip).tokens
    assert (tokens[:, :2] - reference[:, :2]).norm() < 0.5 * reference[:, :2].norm()


def test_a_reducer_has_the_weights_of_the_dense_model():
    dense = build()
    model = build(reduction="tome:r=5")
    model.load_state_dict(dense.state_dict())
    assert model.state_dict().keys() == dense.state_dict().keys()


def test_without_change_in_the_pixels_to_drop_run_length_tokens_give_the_dense_logits():
    clip = torch.rand(2, 3, 8, 24, 24)
    dense, model = build().eval(), build(reduction="rlt:threshold=0").eval()
    torch.testing.assert_close(model(clip), dense(clip))
    assert model.count_tokens(clip).tolist() == [36, 36]


def test_run_length_tokens_drop_the_still_half_after_the_first_step():
    model = build(reduction="rlt:threshold=0.1").eval()
    # t = 4 steps of 3x3 tubelets of 8 pixels; still: the last column and half of the middle one
    assert model.embed.native_grid == (4, 3, 3)
    assert model.count_tokens(walking_clip()).tolist() == [9 + 3 * 6] * 2


def test_proportional_attention_equals_attention_over_repeated_keys():
    """A token of size 3 acts as three equal ones: the log-size bias says no more than that."""
    model = build(reduction="tome:r=9").eval()
    stage, blocks = model.stages[0], list(model.blocks)
    tokens = torch.randn(1, 36, 24)
    grid = model.embed.native_grid
    state = _run_blocks(stage, blocks, tokens, grid)
    want = _repeat_reference(blocks, tokens)
    torch.testing.assert_close(state, want, rtol=1e-4, atol=1e-4)


def _run_blocks(stage, blocks, tokens, grid):
    with torch.no_grad():
        return stage(TokenSet(tokens, grid), blocks).mean()


@torch.no_grad()
def _repeat_reference(blocks, tokens):
    size = torch.ones(1, tokens.shape[1], 1)
    for block in blocks:
        q, k, v = block.attn.project(block.norm1(tokens))
        times = size[0, :, 0].long()
        x = F.scaled_dot_product_attention(
            q, k.repeat_interleave(times, dim=2), v.repeat_interleave(times, dim=2)
        )
        tokens = tokens + block.attn.proj(x.transpose(1, 2).flatten(2))
        matching = match_tokens(k.mean(1), 9, num_class_tokens=0)
        tokens, size = merge_by_size(tokens, size, matching)
        tokens = block.feed_forward(tokens)
    return tokens.repeat_interleave(size[0, :, 0].long(), dim=1).mean(dim=1)


def test_semantic_tokens_and_a_reducer_exclude_each_other():
    with pytest.raises(ConfigError) as raised:
        build(semantic="2x2x2@2", reduction="tome:r=5")
    assert str(raised.value) == "semantic (2x2x2@2) and reduction (tome:r=5) exclude each other"


def test_a_reducer_compiles_as_one_graph():
    model, clip = build(reduction="tome:r=5").eval(), walking_clip()
    with torch.no_grad():
        found = torch.compile(model, fullgraph=True, backend="eager", dynamic=False)(clip)
        torch.testing.assert_close(found, model(clip))


class Turned(Block):
    """A block with something of its own, as rotary positions would be."""

    def forward(self, tokens, grid=None, **options):
        """Turn the channels before and after."""
        return super().forward(tokens.roll(1, dims=-1), grid, **options).roll(-1, dims=-1)


class OwnAttention(Attention):
    """An attention with normed queries and keys."""

    def project(self, tokens, context=None):
        """Norm q and k."""
        q, k, v = super().project(tokens, context)
        return F.normalize(q, dim=-1), F.normalize(k, dim=-1), v


@pytest.mark.parametrize("reduction", ["tome:r=3", "random:keep=7,block=2", "rlt:threshold=0.0"])
def test_a_block_with_a_forward_of_its_own_runs_it(reduction):
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_frames=4, image_size=32, reduction=reduction).eval()
    clip = torch.randn(2, 3, 4, 32, 32)
    plain = model(clip)
    block = model.blocks[3]
    assert isinstance(block, Block)
    block.__class__ = Turned
    turned = model(clip)
    assert (turned - plain).abs().max() > 1e-3
    assert turned.isfinite().all()


def test_a_reducer_sees_the_queries_and_keys_that_the_block_compares():
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_frames=4, image_size=32, reduction="tome:r=3").eval()
    model.blocks[0].attn.__class__ = OwnAttention
    seen = []
    model.stages[0].reducers["0"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    model(torch.randn(2, 3, 4, 32, 32))
    ((_, attention),) = seen
    norms = torch.stack([attention.queries.norm(dim=-1), attention.keys.norm(dim=-1)])
    torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize(
    ("reduction", "told"),
    [
        ("random:keep=100,block=2", r"block 2 needs 256 tokens, but this clip has 64 there"),
        ("dpcknn:keep=100,block=2", r"block 2 needs 100 tokens, but this clip has 64 there"),
        ("atc:keep=100,block=2", r"block 2 needs 100 tokens, but this clip has 64 there"),
        ("evit:keep=100,block=2", r"block 2 needs 100 tokens, but this clip has 64 there"),
    ],
)
def test_a_clip_of_too_few_tokens_is_refused_in_a_line(reduction, told):
    with_token = {"class_token": True} if "evit" in reduction else {}
    model = create_model("demo_tiny", reduction=reduction, **with_token).eval()
    with pytest.raises(ConfigError, match=told):
        model(torch.zeros(1, 3, 2, 64, 64))


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((3, 7, 64, 64), r"num_frames \(7\) must be a multiple of 2"),
        ((3, 8, 60, 64), r"height \(60\) must be a multiple of 8"),
        ((1, 8, 64, 64), r"must be \(B, C, T, H, W\) with C = 3; axis 1 has 1"),
        ((8, 64, 64), r"must be \(B, C, T, H, W\) with C = 3; it has 4 axes"),
    ],
)
def test_run_length_tokens_of_clips_that_cannot_be_cut(size, told):
    model = create_model("demo_tiny", reduction="rlt:threshold=0.1").eval()
    with pytest.raises(ConfigError, match=told):
        model(torch.zeros(1, *size))


@pytest.mark.parametrize("options", REDUCERS)
def test_assignments_say_which_patches_each_token_stands_for(options):
    model = build(**options).eval()
    clip = walking_clip(num_clips=3)
    with torch.no_grad():
        shares = model.forward_assignments(clip)  # (B, S, t, h, w)
        state = model.forward_tokens(clip)
    assert shares.shape == (3, state.tokens.shape[1] - state.num_class_tokens, 4, 3, 3)
    owners = (shares > 0).sum(dim=1)  # (B, t, h, w)
    counts = (shares > 0).sum(dim=(2, 3, 4))  # (B, S)
    name = options["reduction"].partition(":")[0]
    if name == "random":
        assert owners.sum(dim=(1, 2, 3)).tolist() == [11] * 3, "the others are dropped"
        assert torch.equal(shares.sum(dim=(2, 3, 4)), torch.ones(3, 11))
        return
    if name == "average":  # of 3 columns, both windows hold the middle one
        assert (counts == 2 * 1 * 2).all()
        assert owners[..., 1].unique().tolist() == [2]
        return
    assert (owners == 1).all(), "every patch is in one token"
    if name in ("tome", "dpcknn", "atc"):
        assert torch.equal(counts, state.size[:, state.num_class_tokens :, 0].long())
        torch.testing.assert_close(shares.sum(dim=(2, 3, 4)), torch.ones(counts.shape))
    if name == "evit":
        fused = counts[counts > 1].unflatten(0, (3, 2))  # 18 of 36, then 9 of 19
        assert fused.tolist() == [[18, 9]] * 3
    if name == "rlt":
        kept = model.count_tokens(clip)
        assert (counts > 0).sum(dim=1).tolist() == kept.tolist()
        assert (shares[0, :, 1, 0, 2] == shares[0, :, 0, 0, 2]).all(), "a still patch runs on"
        assert (shares[0, :, 1, 0, 0] != shares[0, :, 0, 0, 0]).any()
