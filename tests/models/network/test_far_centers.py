"""Tokens that come in a few kinds lose nothing by clustering, whatever the attention."""

import dataclasses

import pytest
import torch
from torch import nn

from stvit_video.errors import ConfigError
from stvit_video.models.registry import VARIANTS, create_model
from stvit_video.models.sparsify import sparsify
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import TokenSet

KINDS, GRID = 3, Grid(4, 2, 3)
JOINT = ("videomae_small_patch16_224", False)
CLASS_TOKEN = ("vivit_base_patch16x2_224", True)
DIVIDED = ("timesformer_base_patch16_224", True)
SPACE = ("timesformer_base_space_patch16_224", True)
FACTORISED = ("vivit_base_fsa_patch16x2_224", False)
DOT_PRODUCT = ("vivit_base_fdp_patch16x2_224", False)
ENCODERS = ("vivit_base_fe_patch16x2_224", False)
CLIP = {"num_frames": 8, "image_size": 64}
FRAMES = f"4x1x{KINDS}@1,centers=far,scope=frame"


@pytest.fixture
def small(monkeypatch):
    """Make a network of four narrow blocks, with weights that make a difference."""

    def build(name, class_token):
        variant = dataclasses.replace(VARIANTS[name], dim=24, depth=4, num_heads=2, num_classes=5)
        monkeypatch.setitem(VARIANTS, "small", variant)
        torch.manual_seed(0)
        model = create_model(
            "small",
            num_frames=GRID.t * variant.tubelet_size[0],
            image_size=48,
            class_token=class_token,
        )
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        return model.eval()

    return build


def few_kinds(network):
    """Tokens (2, P + N, D) of three kinds; a place is of one kind in all frames."""
    generator = torch.Generator().manual_seed(1)
    kinds = torch.randn(2, KINDS, 24, generator=generator)
    place = torch.tensor([0, 1, 1, 2, 0, 1])  # of 2 x 3
    patches = kinds[:, place].repeat(1, GRID.t, 1)  # (2, N, D)
    num_class_tokens = network[1] * (GRID.t if network is SPACE else 1)
    cls = torch.randn(2, num_class_tokens, 24, generator=generator)
    return TokenSet(torch.cat([cls, patches], dim=1), GRID)


@pytest.mark.parametrize(
    ("network", "setting"),
    [
        (JOINT, f"{KINDS}@1"),
        (JOINT, f"{KINDS}@0-3,recovery=nearest"),
        (JOINT, f"2x1x{KINDS}@1,centers=far,scope=tube"),
        (CLASS_TOKEN, f"{KINDS}@2"),
        (CLASS_TOKEN, f"{KINDS}@1-3,recovery=nearest"),
        (DIVIDED, FRAMES),
        (SPACE, FRAMES),
        (FACTORISED, FRAMES),
        (FACTORISED, f"4x1x{KINDS}@1-3,centers=far,scope=frame,recovery=nearest"),
        (DOT_PRODUCT, FRAMES),
        (ENCODERS, FRAMES),
    ],
)
@torch.no_grad()
def test_clusters_of_equal_tokens_give_what_all_tokens_give(small, network, setting):
    dense, state = small(*network), few_kinds(network)
    model = sparsify(dense, setting)
    result, expected = model.run_stages(state), dense.run_stages(state)
    pooled, wanted = model.pool_tokens(result), dense.pool_tokens(expected)
    torch.testing.assert_close(pooled, wanted, rtol=1e-4, atol=1e-4)
    if "recovery" in setting:
        torch.testing.assert_close(result.tokens, expected.tokens, rtol=1e-4, atol=1e-4)
        assert (result.grid, result.size) == (GRID, None)
    else:
        assert result.tokens.shape[1] < state.tokens.shape[1]
        size = result.size[:, result.num_class_tokens :]
        assert size.sum(dim=1).tolist() == [[24], [24]]


@torch.no_grad()
def test_sizes_count(small):
    """Without them the mean of three kinds is another one, so the test above can fail."""
    dense, state = small(*JOINT), few_kinds(JOINT)
    result = sparsify(dense, f"{KINDS}@1").run_stages(state)
    unsized = dense.pool_tokens(result._replace(size=None))
    assert (unsized - dense.pool_tokens(dense.run_stages(state))).abs().max() > 0.01


@pytest.mark.parametrize("setting", ["5@1", "5@1,layers=1", "5@1,layers=2,use_global=true"])
def test_a_far_model_trains_exports_compiles_and_takes_other_clips(setting):
    model = create_model("demo_tiny", **CLIP, semantic=setting)
    clip = torch.randn(2, 3, 8, 64, 64)
    model(clip).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    model.eval()
    with torch.no_grad():
        exported = torch.export.export(model, (clip,)).module()
        torch.testing.assert_close(exported(clip), model(clip))
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(clip), model(clip))
        weights = model.forward_assignments(torch.randn(1, 3, 6, 48, 80))
    assert weights.shape == (1, 5, 3, 6, 10)
    assert (weights.flatten(2).sum(dim=-1) <= 1 + 1e-5).all()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("257@1", "257 centres among 256 tokens; choose at most 256"),
        (
            "2x13x5@1,centers=far,scope=tube",
            "65 centres among 64 places of a frame; choose at most 64",
        ),
    ],
)
def test_more_centres_than_tokens_are_refused(setting, told):
    with pytest.raises(ConfigError) as caught:
        create_model("demo_tiny", **CLIP, semantic=setting)
    assert str(caught.value) == f"semantic setting {setting} chooses {told}"


def test_windows_have_no_place_for_far_centres():
    with pytest.raises(ConfigError) as caught:
        create_model("video_swin_tiny_patch2x4x4_224", semantic="64@1")
    assert str(caught.value) == (
        "semantic setting 64@1 has centers=far, whose tokens have no place in the windows of this"
        " model; write TxHxW@BLOCK,centers=grid"
    )
