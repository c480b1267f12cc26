"""Published MACs of whole networks, and two independent counts of each: closed form and torch."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from stvit_video.measure.flops import count_flops
from stvit_video.models.registry import create_model

# name, options, GMACs as published (None: by the closed form only)
MODELS = [
    ("videomae_small_patch16_224", {}, 57),
    ("videomae_base_patch16_224", {}, 180.3),
    ("videomae_large_patch16_224", {}, 596.8),
    ("videomae_v2_giant_patch14_224", {}, 2544),  # 38.16 T of 15 views
    ("umt_base_patch16_224", {}, None),
    ("umt_large_patch16_224", {"num_frames": 16}, 1434),
    ("internvideo2_base_patch14_224", {}, None),
    ("internvideo2_large_patch14_224", {"semantic": "4x4x4@8"}, None),
    ("vivit_base_patch16x2_224", {}, 451.5),
    ("deit_tiny_patch16_224", {}, 1.25),
    ("deit_small_patch16_224", {}, 4.60),
    ("deit_base_patch16_224", {}, 17.6),
    ("deit_tiny_patch16_224", {"semantic": "1x4x4@4"}, 0.52),
    ("deit_small_patch16_224", {"semantic": "1x4x4@4"}, 1.91),
    ("deit_base_patch16_224", {"semantic": "1x4x4@4"}, 7.26),
    ("deit_small_patch16_224", {"semantic": "1x4x4@3"}, 1.56),
    ("deit_small_patch16_224", {"semantic": "1x4x4@8"}, 3.30),
    ("videomae_base_patch16_224", {"semantic": "8x4x4@4"}, None),
    ("videomae_base_patch16_224", {"semantic": "4x4x4@4"}, 69.0),
    ("videomae_base_patch16_224", {"semantic": "8x4x4@2"}, 45.2),
    ("videomae_base_patch16_224", {"semantic": "8x2x2@4,scope=frame"}, None),
    ("videomae_base_patch16_224", {"reduction": "tome:r=65"}, 129.2),
    ("videomae_base_patch16_224", {"reduction": "tome:r=130"}, 84.5),
]


def on_meta(name, options):
    with torch.device("meta"):
        model = create_model(name, **options).eval()
        wanted = model.preprocessing
        clip = torch.empty(1, 3, wanted.num_frames, wanted.image_size, wanted.image_size)
    return model, clip


@pytest.mark.parametrize(("name", "options", "published"), MODELS)
def test_counts_agree_with_torch_and_with_the_paper(name, options, published):
    model, clip = on_meta(name, options)
    report = count_flops(model, clip)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(clip)
    assert report.uncounted == {}
    assert 2 * report.macs == counter.get_total_flops()
    if published is not None:
        assert report.macs / 1e9 == pytest.approx(published, rel=0.01)


def block_macs(num_queries, num_keys, dim):
    """Projections of q, k, v and out, scores and mixing, MLP of ratio 4."""
    projections = (2 * num_queries + 2 * num_keys) * dim**2
    return projections + 2 * num_queries * num_keys * dim + 8 * num_queries * dim**2


@pytest.mark.parametrize(
    ("name", "semantic"),
    [
        ("videomae_base_patch16_224", None),
        ("videomae_base_patch16_224", "8x4x4@4"),
        ("videomae_small_patch16_224", "5x3x7@3,layers=3"),
        ("deit_tiny_patch16_224", "1x4x4@4"),
        ("videomae_base_patch16_224", "8x2x2@4,scope=frame"),
        ("videomae_base_patch16_224", "4x4x4@2,scope=tube"),
    ],
)
def test_counts_equal_the_closed_form(name, semantic):
    model, clip = on_meta(name, {"semantic": semantic})
    dim, tokens = model.embed.patch.proj.out_features, model.embed.native_grid
    n, depth = tokens.size, len(model.blocks)
    expected = n * model.embed.patch.proj.in_features * dim + dim * model.head.out_features
    if semantic is None:
        expected += depth * block_macs(n, n, dim)
    else:
        setting = model.stages[1].generator.setting
        regions = 1 if setting.scope == "clip" else setting.grid[0]
        s = model.token_counts()["semantic"] // regions
        rest = depth - setting.after - setting.layers
        clustering = block_macs(s, n // regions, dim)
        clustering += (setting.layers - 1) * block_macs(s, s + n // regions, dim)
        expected += setting.after * block_macs(n, n, dim) + regions * clustering
        expected += rest * block_macs(regions * s, regions * s, dim)
        assert count_flops(model, clip).by_module["stages.1.generator"] == regions * clustering
    assert count_flops(model, clip).macs == expected


@pytest.mark.parametrize(
    ("setting", "num_regions"), [("64@4", 1), ("8x3x3@4,centers=far,scope=tube", 8)]
)
def test_choosing_centres_costs_what_comparing_and_averaging_do(setting, num_regions):
    model, clip = on_meta("videomae_base_patch16_224", {"semantic": setting})
    n, dim, s = 1568, 768, model.token_counts()["semantic"]
    report = count_flops(model, clip)
    compared = n if num_regions == 1 else n // 8  # places of a frame, of all its width
    choosing = compared * n * dim + n * dim
    assert report.by_module["stages.1.generator"] == choosing + s * n * dim
    rest = report.macs - report.by_module["stages.1.generator"]
    patches = n * 1536 * dim + dim * 400
    assert rest == patches + 4 * block_macs(n, n, dim) + 8 * block_macs(s, s, dim)
