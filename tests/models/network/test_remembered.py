"""State dicts: those of another setting are refused in a line, all else is as torch has it."""

import io

import pytest
import torch
from torch import nn

from stvit_video.errors import CheckpointError, StateDictError
from stvit_video.models.registry import create_model
from stvit_video.models.sparsify import sparsify


def build(**options):
    return create_model("demo_tiny", num_frames=4, image_size=32, **{"num_classes": 7} | options)


def saved(model):
    """Through a file, as users do."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def refusal(model, weights):
    with pytest.raises(StateDictError) as caught:
        model.load_state_dict(weights)
    assert isinstance(caught.value, CheckpointError)
    assert isinstance(caught.value, RuntimeError)
    assert caught.value.__context__ is None
    return str(caught.value)


SEMANTIC = {"semantic": "2x2x2@2"}
CENTERS = "stages.1.generator.global_centers"
GONE = f"(missing: {CENTERS})"


@pytest.mark.parametrize(
    ("theirs", "ours", "is_of", "has", "make"),
    [
        ({}, SEMANTIC, "dense blocks", f"semantic 2x2x2@2 {GONE}", ""),
        (
            SEMANTIC,
            {},
            "semantic 2x2x2@2",
            f"dense blocks (unexpected: {CENTERS})",
            ", semantic='2x2x2@2'",
        ),
        (
            {"semantic": "1x2x3@2"},
            SEMANTIC,
            "semantic 1x2x3@2",
            f"semantic 2x2x2@2 (of another shape: {CENTERS} (1, 6, 96), here (1, 8, 96))",
            ", semantic='1x2x3@2'",
        ),
        (
            {"reduction": "tome:r=3"},
            SEMANTIC,
            "reduction tome:r=3,schedule=constant",
            f"semantic 2x2x2@2 {GONE}",
            ", reduction='tome:r=3,schedule=constant'",
        ),
        (
            {"semantic": "2x2x2@1-4"},
            {"reduction": "random:keep=3"},
            "semantic 2x2x2@1-4",
            f"reduction random:keep=3,block=4,seed=0 (unexpected: {CENTERS})",
            ", semantic='2x2x2@1-4'",
        ),
    ],
)
def test_a_state_dict_names_its_setting(theirs, ours, is_of, has, make):
    told = refusal(build(**ours), saved(build(**theirs)))
    assert told == (
        f"the state dict does not fit demo_tiny: it seems to be of {is_of}, the model has {has};"
        f" make the model by create_model('demo_tiny'{make}, num_classes=7), or let"
        " create_model('demo_tiny', pretrained=FILE) adapt the weights"
    )


@pytest.mark.parametrize(
    ("theirs", "is_of", "has"),
    [
        ({}, "no global centres", "semantic 2x2x2@2 (missing: stages.1"),
        ({"semantic": "1x2x3@2"}, "6 global centres", "semantic 2x2x2@2 (of another shape"),
        (
            {"semantic": "2x2x2@2,pool=learned"},
            "8 global centres and learned pooling",
            "semantic 2x2x2@2 (unexpected: stages.1.generator.pool.depthwise.weight,"
            " stages.1.generator.pool.depthwise.bias, stages.1.generator.pool.norm.weight"
            " and 3 more)",
        ),
        (
            SEMANTIC | {"num_classes": 5},
            "5 classes",
            "7 classes (of another shape: head.weight (5, 96), here (7, 96),"
            " head.bias (5,), here (7,))",
        ),
        (SEMANTIC | {"num_classes": 0}, "no head", "7 classes (missing: head.weight, head.bias)"),
        (
            SEMANTIC | {"attentive_blocks": 2},
            "2 attentive blocks",
            "no attentive pooler (unexpected: pooler.query_tokens, pooler.",
        ),
    ],
)
def test_keys_and_shapes_tell_where_there_is_no_note(theirs, is_of, has):
    told = refusal(build(**SEMANTIC), dict(build(**theirs).state_dict()))
    assert f"it seems to be of {is_of}, the model has {has}" in told
    assert told.endswith(
        "; make the model so, or let create_model('demo_tiny', pretrained=FILE) adapt the weights"
    )


def test_another_network_is_told_by_its_size():
    other = create_model("deit_tiny_patch16_224", num_classes=7, image_size=32)
    told = refusal(build(), other.state_dict())
    assert "1 class tokens" in told
    assert "12 blocks, width 192, the model has" in told
    assert " positions, 6 blocks, width 96 (" in told
    assert "create_model('deit_tiny_patch16_224', num_classes=7)" in told


def test_a_key_that_is_lost_is_named():
    weights = build().state_dict()
    del weights["blocks.1.norm1.bias"]
    weights["blocks.1.extra"] = torch.zeros(1)
    assert refusal(build(), weights) == (
        "the state dict does not fit demo_tiny: missing: blocks.1.norm1.bias; unexpected:"
        " blocks.1.extra; strict=False leaves out what is missing or unexpected"
    )


def test_keys_behind_a_wrapper_are_named():
    wrapped = nn.ModuleDict({"module": build()})
    assert refusal(build(), wrapped.state_dict()) == (
        "the state dict does not fit demo_tiny: no key is the model's,"
        " module.embed.pos_embed is there; create_model('demo_tiny', pretrained=FILE)"
        " reads other names"
    )


def test_what_is_no_tensor_is_refused_by_torch():
    weights = build().state_dict()
    weights["head.bias"] = "none"
    with pytest.raises(RuntimeError, match=r"expected torch\.Tensor") as caught:
        build().load_state_dict(weights)
    assert not isinstance(caught.value, StateDictError)


def test_weights_that_fit_load_as_torch_loads_them():
    dense, semantic = build(), build(**SEMANTIC)
    result = semantic.load_state_dict(dense.state_dict(), strict=False)
    assert (result.missing_keys, result.unexpected_keys) == ([CENTERS], [])
    far = sparsify(build(), "3@2")
    weights = dense.state_dict()
    assert far.load_state_dict(weights, assign=True) == ([], [])
    assert far.head.weight.data_ptr() == weights["head.weight"].data_ptr()
    assert far.load_state_dict(saved(dense)) == ([], [])
    with pytest.raises(RuntimeError, match="size mismatch") as caught:
        build(num_classes=5).load_state_dict(weights, strict=False)
    assert not isinstance(caught.value, StateDictError)


def test_an_attentive_pooler_that_is_usual_is_left_out_of_the_call():
    with torch.device("meta"):
        probe = create_model("vjepa2_large_patch16_256")
        bare = create_model("vjepa2_large_patch16_256", attentive_blocks=0)
    told = refusal(probe, bare.state_dict())
    assert "of no attentive pooler, the model has 4 attentive blocks (missing: pooler." in told
    assert "create_model('vjepa2_large_patch16_256', num_classes=174, attentive_blocks=0)" in told
    assert "attentive_blocks" not in refusal(bare, probe.state_dict()).split("by create_model")[1]
