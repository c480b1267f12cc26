"""Swin networks, dense, semantic and recovered, at tiny sizes."""

import dataclasses

import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.models.families.swin.plan import PLAIN, RELEASED, StagePlan
from stvit_video.models.registry import VARIANTS, create_model
from stvit_video.models.variant import BuildOptions
from stvit_video.settings.grammar import parse_semantic
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import TokenSet

IMAGE, VIDEO = "swin_tiny_patch4_window7_224", "video_swin_tiny_patch2x4x4_224"
IMAGE_R = "stvit_r_swin_small_patch4_window7_224"
VIDEO_R = "stvit_r_video_swin_small_patch2x4x4_224"
CASES = [
    (IMAGE, None),
    (IMAGE, "1x4x4@1"),
    (IMAGE, "1x2x2@1-5"),
    (VIDEO, None),
    (VIDEO, "4x4x4@1,scope=frame"),
    (VIDEO, "2x4x4@1,scope=tube"),
    (VIDEO, "2x2x2@1,layers=1,pool=learned"),
    (VIDEO, "4x4x4@1-5,scope=frame"),
    (VIDEO, "2x2x2@1-5,scope=tube,pool=avg"),
    (IMAGE_R, None),
    (IMAGE_R, "1x4x4@1-6,shortcut=true,use_global=true"),
    (VIDEO_R, None),
    (VIDEO_R, "2x4x4@1-6,scope=tube"),
]


def build(name, semantic=None, drop_path=0.0, depths=(1, 2, 6, 1), style=None):
    """Widths 8 to 64, 5 classes, windows of 3; stage 3 has, native, 4 x 6 x 6 tokens.

    Layer scales start at 0.5, so that no gradient vanishes behind them.
    """
    torch.manual_seed(7)
    row = VARIANTS[name]
    style = style or dataclasses.replace(row.style, layer_scale=row.style.layer_scale and 0.5)
    frames = 4 * row.tubelet_frames if row.window_size[0] > 1 else 1
    row = dataclasses.replace(
        row,
        dim=8,
        depths=depths,
        num_heads=(1, 2, 2, 4),
        window_size=(min(2, row.window_size[0]), 3, 3),
        num_classes=5,
        style=style,
        preprocessing=dataclasses.replace(row.preprocessing, num_frames=frames, image_size=96),
    )
    if "stvit_r" in name:
        row = dataclasses.replace(row, tokens_per_window=(2, 2))
    return row.build(
        BuildOptions(
            num_classes=5,
            preprocessing=row.preprocessing,
            semantic=() if semantic is None else parse_semantic(semantic),
            drop_path=drop_path,
            class_token=None,
        )
    )


def clip_for(model, batch=2, height=96, width=96, steps=None):
    torch.manual_seed(11)
    wanted = model.preprocessing.num_frames
    frames = wanted if steps is None or wanted == 1 else steps
    return torch.randn(batch, 3, frames, height, width)


@pytest.mark.parametrize(("name", "semantic"), CASES)
def test_every_parameter_receives_a_gradient_and_the_output_is_finite(name, semantic):
    model = build(name, semantic)
    logits = model(clip_for(model))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 3])).backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    assert without == []


@pytest.mark.parametrize(("name", "semantic"), CASES)
def test_other_sizes_a_batch_of_one_and_bfloat16_work(name, semantic):
    model = build(name, semantic).eval()
    for height, width, steps in ((61, 97, 5), (33, 20, 3)):
        clip = clip_for(model, 1, height, width, steps)
        with torch.no_grad():
            features = model.forward_features(clip)
            exact = model(clip)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = model(clip)
        assert features.isfinite().all()
        grid = model.embed.patch.grid(*clip.shape[2:])
        if semantic is None or "-" in semantic:
            assert features.shape == (1, 64, grid.t, -(-grid.h // 8), -(-grid.w // 8))
        assert (rounded - exact).abs().max() <= 0.1 * exact.abs().max() + 0.02


@pytest.mark.parametrize(("name", "semantic"), CASES)
def test_the_weights_survive_a_round_trip_and_views_of_a_batch_do_not_mix(name, semantic):
    model, other = build(name, semantic).eval(), build(name, semantic, drop_path=0.2).eval()
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    other.load_state_dict(model.state_dict())
    clip = clip_for(model, 2, 61, 75)
    with torch.no_grad():
        logits = model(clip)
        assert torch.equal(other(clip), logits)
        torch.testing.assert_close(model(clip[1:]), logits[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "semantic", "depths"),
    [
        pytest.param(VIDEO, "2x4x4@1,scope=tube", (0, 0, 4, 0), marks=pytest.mark.slow),
        (VIDEO_R, None, (0, 0, 6, 0)),
    ],
)
def test_a_network_compiles_as_one_graph(name, semantic, depths):
    model = build(name, semantic, depths=depths).eval()
    clip = clip_for(model, 1, 50, 70, 6)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager", dynamic=False)
    with torch.no_grad():
        torch.testing.assert_close(compiled(clip), model(clip))


def test_the_pyramid_halves_the_grid_and_doubles_the_width_and_recovery_keeps_its_shape():
    shapes = [(1, 8, 4, 24, 24), (1, 16, 4, 12, 12), (1, 32, 4, 6, 6), (1, 64, 4, 3, 3)]
    for semantic in (None, "4x4x4@1-5,scope=frame"):
        model = build(VIDEO, semantic).eval()
        clip = clip_for(model, 1)
        with torch.no_grad():
            levels = model.forward_pyramid(clip)
            assert torch.equal(levels[-1], model.forward_features(clip))
        assert [tuple(level.shape) for level in levels] == shapes
    semantic = build(VIDEO, "4x4x4@1,scope=frame").eval()
    assert [tuple(x.shape) for x in semantic.forward_pyramid(clip)[2:]] == [
        (1, 32, 4, 4, 4),
        (1, 64, 4, 2, 2),
    ]


def test_windows_keep_their_tokens_when_the_input_grows():
    model = build(VIDEO, "2x4x4@1,scope=tube")
    assert model.token_counts() == {"input": 4 * 6 * 6, "semantic": 2 * 4 * 4}
    assert model.token_counts((16, 192, 96)) == {"input": 8 * 12 * 6, "semantic": 4 * 8 * 4}
    generator = model.stages[5].generator
    assert generator.semantic_grid(Grid(3, 7, 2)) == Grid(2, 6, 2)


def test_the_assignments_are_attention_over_stage_3_in_the_scope_of_a_token():
    model = build(VIDEO, "4x4x4@1,scope=frame").eval()
    with torch.no_grad():
        weights = model.forward_assignments(clip_for(model, 1))  # (1, S, 4, 6, 6)
    assert weights.shape == (1, 64, 4, 6, 6)
    by_frame = weights.unflatten(1, (4, 16)).sum(dim=(2, 4, 5))[0]  # frame of token x of patch
    assert torch.equal(by_frame > 0, torch.eye(4, dtype=torch.bool))
    assert (weights.flatten(2).sum(dim=-1) < 1).all()
    first_layer = build(IMAGE, "1x4x4@1,layers=1").eval()
    with torch.no_grad():
        weights = first_layer.forward_assignments(clip_for(first_layer, 1))[0, :, 0]
    reach = (weights > 0).flatten(1).sum(dim=-1)
    assert reach.tolist() == [36] * 16  # 3 patches and an overlap of 3 are all of 6 x 6


def test_clusters_of_a_frame_do_not_see_other_frames():
    model = build(VIDEO, "4x4x4@1,scope=frame").eval()
    stage = model.stages[5]
    tokens = torch.randn(1, 4 * 36, 32)
    changed = tokens.clone()
    changed[:, :36] += 1.0
    layers = stage.layers(Grid(4, 6, 6), [model.blocks[6], model.blocks[7]])
    with torch.no_grad():
        (before, grid, *_), _ = stage.generator(TokenSet(tokens, Grid(4, 6, 6)), layers)
        (after, _, *_), _ = stage.generator(TokenSet(changed, Grid(4, 6, 6)), layers)
    assert grid == Grid(4, 4, 4)
    same = torch.isclose(before, after).all(dim=-1)[0]
    assert not same[:16].any()
    assert same[16:].all()


@pytest.mark.parametrize(
    ("name", "semantic", "text"),
    [
        (
            IMAGE,
            "1x5x6@2",
            "semantic grid 1x5x6 cannot be kept by windowed attention: its time must divide 1, its"
            " height and width must be multiples of 2 and 2, the windows of the 1x14x14 tokens in"
            " stage 3",
        ),
        (
            VIDEO,
            "3x6x6@2,scope=tube",
            "semantic grid 3x6x6 cannot be kept by windowed attention: its time must divide 16,"
            " its height and width must be multiples of 2 and 2, the windows of the 16x14x14"
            " tokens in stage 3",
        ),
        (
            IMAGE,
            "1x6x6@5",
            "semantic setting 1x6x6@5 begins after block 5 and needs 2 blocks, but ends with block"
            " 6; choose a block from 0 to 4",
        ),
    ],
)
def test_a_setting_that_windows_cannot_keep_is_refused(name, semantic, text):
    with torch.device("meta"), pytest.raises(ConfigError) as raised:
        create_model(name, semantic=semantic)
    assert str(raised.value) == text


def test_a_dense_and_a_semantic_network_have_the_same_weights_but_for_the_centres():
    dense = build(VIDEO).state_dict()
    semantic = build(VIDEO, "4x4x4@1-5,scope=frame").state_dict()
    assert semantic.keys() - dense.keys() == {"stages.5.generator.global_centers"}
    assert {k: v.shape for k, v in dense.items()} == {k: semantic[k].shape for k in dense}


def test_a_recovery_from_windows_of_all_semantic_tokens_is_the_recovery_from_all_of_them():
    def logits(key_windows):
        style = dataclasses.replace(VARIANTS[VIDEO].style, key_windows=key_windows)
        model = build(VIDEO, "4x4x4@1-5,scope=frame", style=style).eval()
        with torch.no_grad():
            return model(clip_for(model, 1))

    expected = logits((None, None))
    torch.testing.assert_close(logits((None, 4)), expected)
    for fewer in ((None, 3), (5, None), (5, 3)):
        assert not torch.allclose(logits(fewer), expected)


def test_semantic_blocks_keep_the_windows_of_the_patches_and_their_scale():
    plan = StagePlan(window=(8, 7, 7), grid=Grid(16, 14, 14), style=PLAIN)
    (in_frames,) = parse_semantic("16x6x6@1,scope=frame")
    (in_tubes,) = parse_semantic("4x8x8@1,scope=tube")
    even, odd = plan.block(4, [in_frames]), plan.block(3, [in_frames])
    assert (even.window, even.shift) == ((8, 3, 3), (0, 0, 0))
    assert (odd.window, odd.shift) == ((8, 3, 3), (4, 1, 1))
    assert even.cell == odd.cell == (1.0, 7 / 3, 7 / 3)
    tubes = plan.block(3, [in_tubes])
    assert (tubes.window, tubes.shift, tubes.cell) == ((2, 4, 4), (1, 2, 2), (4.0, 1.75, 1.75))
    released = dataclasses.replace(plan, style=RELEASED)
    local, whole = released.block(3, [in_frames]), released.block(4, [in_frames])
    assert (local.window, local.shift, local.table) == ((8, 3, 3), (0, 0, 0), None)
    assert (whole.window, whole.shift, whole.table) == ((None, None, None), (0, 0, 0), None)
