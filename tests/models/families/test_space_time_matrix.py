"""Every way to attend over space and time, dense, semantic and recovered, at tiny sizes."""

import dataclasses

import pytest
import torch

from stvit_video.models.registry import VARIANTS
from stvit_video.models.variant import BuildOptions
from stvit_video.settings.grammar import parse_semantic

SEMANTIC = {"dense": None, "semantic": "2x2x3@1", "recovered": "2x3x2@1-5"}
IN_FRAMES = {"dense": None, "semantic": "4x2x3@1,scope=frame", "recovered": "4x3x2@1-5,scope=frame"}
KINDS = {
    "timesformer_base_patch16_224": SEMANTIC,
    "timesformer_base_joint_patch16_224": SEMANTIC,
    "timesformer_base_space_patch16_224": IN_FRAMES,
    "vivit_base_patch16x2_224": SEMANTIC,
    "vivit_base_fe_patch16x2_224": IN_FRAMES,
    "vivit_base_fsa_patch16x2_224": SEMANTIC,
    "vivit_base_fdp_patch16x2_224": SEMANTIC,
}
CASES = [(name, kind) for name in KINDS for kind in SEMANTIC]


def build(name, kind="dense", class_token=None, drop_path=0.0):
    """A tiny model of the family: 4x4x4 patch tokens of width 24, 6 blocks, 5 classes."""
    torch.manual_seed(7)
    row = VARIANTS[name]
    tubelet = (row.tubelet_size[0], 4, 4)
    small = {"dim": 24, "depth": 6, "num_heads": 4, "tubelet_size": tubelet}
    if hasattr(row, "temporal_depth"):
        small["temporal_depth"] = 2
    frames = {"num_frames": 4 * tubelet[0], "image_size": 16}
    row = dataclasses.replace(
        row, preprocessing=dataclasses.replace(row.preprocessing, **frames), **small
    )
    text = KINDS[name][kind]
    return row.build(
        BuildOptions(
            num_classes=5,
            preprocessing=row.preprocessing,
            semantic=() if text is None else parse_semantic(text),
            drop_path=drop_path,
            class_token=class_token,
        )
    )


def clip_for(model, batch=2, steps=4, height=16, width=16):
    torch.manual_seed(11)
    frames = steps * model.embed.patch.tubelet_size[0]
    return torch.randn(batch, 3, frames, height, width)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_parameter_receives_a_gradient_and_the_output_is_finite(name, kind):
    model = build(name, kind)
    logits = model(clip_for(model, batch=3))
    assert logits.shape == (3, 5)
    assert logits.isfinite().all()
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2, 4])).backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    assert without == []


@pytest.mark.parametrize("name", [name for name in KINDS if "fdp" not in name])
def test_a_kept_class_token_goes_along_and_receives_a_gradient(name):
    for kind in ("semantic", "recovered"):
        model = build(name, kind, class_token=True)
        assert model.pool == "class"
        model(clip_for(model)).sum().backward()
        assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_weights_survive_the_round_trip(name, kind):
    model, other = build(name, kind).eval(), build(name, kind).eval()
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    clip = clip_for(model)
    assert not torch.equal(model(clip), other(clip))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(clip), other(clip))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_other_sizes_and_a_batch_of_one(name, kind):
    model = build(name, kind).eval()
    clip = clip_for(model, batch=1, steps=5, height=12, width=20)
    logits, features = model(clip), model.forward_features(clip)
    assert logits.shape == (1, 5)
    assert logits.isfinite().all()
    t, h, w = {"dense": (5, 3, 5), "semantic": (2, 2, 3), "recovered": (5, 3, 5)}[kind]
    in_frames = KINDS[name] is IN_FRAMES
    assert features.shape == (1, 24, 5 if in_frames else t, h, w)
    batch = torch.cat([clip, clip_for(model, batch=2, steps=5, height=12, width=20)])
    torch.testing.assert_close(model(batch)[:1], logits)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_bf16_autocast_stays_near_float32(name, kind):
    model = build(name, kind).eval()
    clip = clip_for(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(clip)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), model(clip), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("name", KINDS)
def test_the_whole_network_compiles_into_one_graph(name):
    model = build(name, "recovered").eval()  # has blocks of every kind
    clip = clip_for(model)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(clip), model(clip))


@pytest.mark.parametrize("name", KINDS)
def test_assignments_of_semantic_tokens_lie_on_the_token_grid(name):
    model = build(name, "semantic").eval()
    weights = model.forward_assignments(clip_for(model, batch=3))
    num_semantic = model.token_counts()["semantic"]
    assert weights.shape == (3, num_semantic, 4, 4, 4)
    assert (weights >= 0).all()
    assert (weights.sum((2, 3, 4)) <= 1 + 1e-5).all()
    if KINDS[name] is IN_FRAMES:
        assert num_semantic == 4 * 6
        clip = clip_for(model, batch=3)
        step = clip.shape[2] // 4
        alone = model.forward_assignments(clip[:, :, 2 * step : 3 * step])  # (B, 6, 1, h, w)
        torch.testing.assert_close(weights[:, 12:18, 2:3], alone)
        of_frame = weights.unflatten(1, (4, 6)).sum((2, 4, 5))  # (B, t of the token, t read)
        assert not (of_frame * (1 - torch.eye(4))).any()
        assert (of_frame.diagonal(dim1=1, dim2=2) > 0.1).all()


@pytest.mark.parametrize("name", KINDS)
def test_layers_of_generator_and_recovery_carry_no_weights_for_a_second_axis(name):
    dense, recovered = build(name), build(name, "recovered")
    crossing = ("blocks.1.", "blocks.2.", "blocks.4.")
    lost = {key for key in dense.state_dict() if key not in recovered.state_dict()}
    lost -= {"embed.cls_token", "temporal.cls_token"}
    expected = {k for k in dense.state_dict() if k.startswith(crossing) and "temporal_" in k}
    assert lost == expected
    new = {key for key in recovered.state_dict() if key not in dense.state_dict()}
    assert new == {"stages.1.generator.global_centers"}


def rates_of(blocks):
    return [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks]


def test_stochastic_depth_grows_over_the_blocks_and_rests_in_evaluation():
    model = build("timesformer_base_patch16_224", drop_path=0.4)
    assert rates_of(model.blocks) == pytest.approx([0, 0.08, 0.16, 0.24, 0.32, 0.4])
    encoders = build("vivit_base_fe_patch16x2_224", drop_path=0.4)
    assert rates_of(encoders.temporal.blocks) == pytest.approx([0, 0.4])
    clip = clip_for(model)
    assert not torch.equal(model.train()(clip), model(clip))
    assert torch.equal(model.eval()(clip), model(clip))
