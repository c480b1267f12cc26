import pytest
import torch
from torch import nn

import stvit_video
from stvit_video.errors import ConfigError
from stvit_video.measure.compare.cost import model_cost
from stvit_video.measure.compare.words import build_word, find_model
from stvit_video.models.network.fuse import FusedMlp, fuse

MODELS = [
    "demo_tiny",
    "demo_tiny:4x2x2@2",
    "demo_tiny:tome:r=5",
    "timesformer_base_patch16_224:frames=2:size=32",
    "timesformer_base_patch16_224:frames=4:size=64:2x2x2@3:class_token",
    "video_swin_tiny_patch2x4x4_224:frames=4:size=64",
]


def drawn(model):
    """Draw every weight: fresh networks have zero biases."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.05, generator=generator)
    return model.eval()


@pytest.mark.parametrize("spec", MODELS)
def test_a_fused_network_gives_the_same_logits_and_leaves_the_other_alone(spec):
    model = drawn(build_word(find_model(spec), num_classes=7))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wanted = model.preprocessing
    clip = torch.randn(2, 3, wanted.num_frames, wanted.image_size, wanted.image_size)
    fused = fuse(model)
    with torch.no_grad():
        expected, logits = model(clip), fused(clip)
    assert expected.std() > 0.01
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    assert not fused.training
    assert fused.recipe is None
    assert model.recipe is not None
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_every_mlp_is_fused_and_divided_attention_has_one_layer_after_time():
    divided = fuse(build_word(find_model("timesformer_base_patch16_224:frames=2:size=32")))
    for block in divided.blocks:
        assert isinstance(block.mlp, FusedMlp)
        assert isinstance(block.temporal_fc, nn.Identity)
    swin = fuse(build_word(find_model("video_swin_tiny_patch2x4x4_224:frames=4:size=64")))
    assert sum(isinstance(module, FusedMlp) for module in swin.modules()) == 12


def test_a_fused_network_counts_what_it_computes():
    name = "timesformer_base_patch16_224:frames=2:size=32"
    plain, fused = model_cost(name).flops, model_cost(f"{name}:fused").flops
    assert plain.macs - fused.macs == 12 * 2 * 4 * 768**2  # blocks, frames, places, width
    assert plain.num_parameters - fused.num_parameters == 12 * (768**2 + 768)


def test_other_activations_stay_as_they_are():
    model = build_word(find_model("demo_tiny"))
    model.blocks[1].mlp.act = nn.ReLU()
    model.blocks[2].mlp.act = nn.GELU(approximate="tanh")
    kinds = [isinstance(block.mlp, FusedMlp) for block in fuse(model).blocks]
    assert kinds == [number not in (1, 2) for number in range(len(kinds))]


def test_what_is_not_ours_is_refused():
    with pytest.raises(ConfigError) as error:
        stvit_video.fuse(nn.Linear(2, 3))
    assert str(error.value) == (
        "Linear cannot be fused: only networks of stvit_video can;"
        " make one of it with stvit_video.sparsify(model, None)"
    )
