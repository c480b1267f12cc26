"""Our networks compute what the published implementations compute, block by block.

Tiny sizes, all weights random (so that no zero or one of an initialisation hides a mistake).
"""

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from transformers import (
    DeiTConfig,
    DeiTForImageClassification,
    DeiTForImageClassificationWithTeacher,
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
    ViTConfig,
    ViTForImageClassification,
)

from stvit_video.models.families.videomae import weights as videomae
from stvit_video.models.families.vit import weights as vit
from stvit_video.models.sparsify import sparsify

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 60,
    "num_labels": 7,
    "image_size": 40,
    "patch_size": 8,
}
TIMM_SIZES = {"img_size": 40, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2}


def _randomised(model):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def _outputs_of(blocks, run):
    """Run and record what every block returns."""
    seen = []

    def record(_module, _inputs, output):
        seen.append(output[0] if isinstance(output, tuple) else output)

    handles = [block.register_forward_hook(record) for block in blocks]
    with torch.no_grad():
        logits = run()
    for handle in handles:
        handle.remove()
    return [*seen, logits]


def _assert_same(ours, theirs, expected_number):
    assert len(ours) == len(theirs) == expected_number
    for own, other in zip(ours, theirs, strict=True):
        assert (own - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("eps", [1e-12, 1e-2])
def test_hf_videomae_agrees_in_every_block_and_takes_the_eps_of_its_config(eps):
    config = VideoMAEConfig(num_frames=6, layer_norm_eps=eps, **SIZES)
    theirs = _randomised(VideoMAEForVideoClassification(config))
    ours = sparsify(theirs, None)
    clip = torch.randn(2, 3, 6, 40, 40)
    _assert_same(
        _outputs_of(ours.blocks, lambda: ours(clip)),
        _outputs_of(theirs.videomae.encoder.layer, lambda: theirs(clip.transpose(1, 2)).logits),
        4,
    )


def test_hf_vit_agrees_in_every_block():
    theirs = _randomised(ViTForImageClassification(ViTConfig(**SIZES)))
    ours = sparsify(theirs, None)
    image = torch.randn(2, 3, 40, 40)
    _assert_same(
        _outputs_of(ours.blocks, lambda: ours(image[:, :, None])),
        _outputs_of(theirs.vit.layers, lambda: theirs(image).logits),
        4,
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"global_pool": "avg"}, {"qkv_bias": False}, {"no_embed_class": True}],
    ids=["token", "avg", "no_bias", "no_class_position"],
)
def test_timm_vit_agrees_in_every_block(options):
    theirs = _randomised(VisionTransformer(**TIMM_SIZES, num_classes=5, **options))
    ours = sparsify(theirs, None)
    image = torch.randn(2, 3, 40, 40)
    _assert_same(
        _outputs_of(ours.blocks, lambda: ours(image[:, :, None])),
        _outputs_of(theirs.blocks, lambda: theirs(image)),
        4,
    )


def test_timm_deit_agrees_and_is_recognised():
    theirs = _randomised(timm.create_model("deit_tiny_patch16_224", img_size=48, num_classes=5))
    ours = sparsify(theirs, None)
    image = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        expected = theirs(image)
        assert (ours(image[:, :, None]) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert ours.preprocessing.mean == pytest.approx((0.485, 0.456, 0.406))


def test_original_videomae_keys_give_the_same_network_as_those_of_hf():
    theirs = _randomised(VideoMAEForVideoClassification(VideoMAEConfig(num_frames=6, **SIZES)))
    from_hf = videomae.rename(theirs.state_dict())
    original = {"encoder.patch_embed.proj.weight": from_hf["embed.patch.proj.weight"]}
    original["encoder.patch_embed.proj.bias"] = from_hf["embed.patch.proj.bias"]
    for key, value in from_hf.items():
        if key.endswith("qkv.bias"):
            original[f"backbone.{key.replace('qkv.bias', 'q_bias')}"] = value[:24]
            original[f"backbone.{key.replace('qkv.bias', 'v_bias')}"] = value[48:]
        elif key.startswith("blocks."):
            original[f"module.encoder.{key}"] = value
    original["fc_norm.weight"], original["fc_norm.bias"] = (
        from_hf["norm.weight"],
        from_hf["norm.bias"],
    )
    original["head.weight"], original["head.bias"] = from_hf["head.weight"], from_hf["head.bias"]
    renamed = videomae.rename(original)
    assert renamed.keys() == from_hf.keys()
    assert all(torch.equal(renamed[key], from_hf[key]) for key in from_hf)


def test_keys_have_no_bias_in_videomae():
    theirs = _randomised(VideoMAEForVideoClassification(VideoMAEConfig(num_frames=6, **SIZES)))
    bias = videomae.rename(theirs.state_dict())["blocks.1.attn.qkv.bias"]
    layer = theirs.videomae.encoder.layer[1].attention.attention
    assert torch.equal(bias[:24], layer.query.bias)
    assert torch.equal(bias[24:48], torch.zeros(24))
    assert torch.equal(bias[48:], layer.value.bias)


def test_the_decoder_of_a_pretraining_is_set_aside():
    theirs = VideoMAEForPreTraining(
        VideoMAEConfig(
            num_frames=6,
            use_mean_pooling=False,
            decoder_hidden_size=12,
            decoder_num_hidden_layers=1,
            decoder_num_attention_heads=2,
            **SIZES,
        )
    )
    renamed = videomae.rename(theirs.state_dict())
    aside = {key for key in renamed if key.startswith("unused.")}
    assert "unused.mask_token" in aside
    assert "unused.encoder_to_decoder.weight" in aside
    assert not any("decoder" in key for key in renamed.keys() - aside)
    assert torch.equal(renamed["norm.weight"], theirs.videomae.layernorm.weight)


@pytest.mark.parametrize("edition", ["before 5", "since 5"])
def test_both_editions_of_hf_vit_names_are_read(edition):
    weights = ViTForImageClassification(ViTConfig(**SIZES)).state_dict()
    if edition == "before 5":
        names = {
            "vit.layers.": "vit.encoder.layer.",
            "attention.q_proj": "attention.attention.query",
            "attention.k_proj": "attention.attention.key",
            "attention.v_proj": "attention.attention.value",
            "attention.o_proj": "attention.output.dense",
            "mlp.fc1": "intermediate.dense",
            "mlp.fc2": "output.dense",
        }
        old = {}
        for key, value in weights.items():
            for new_part, old_part in names.items():
                key = key.replace(new_part, old_part)
            old[key] = value
        assert old.keys() != weights.keys()
        weights = old
    renamed = vit.rename(weights)
    assert renamed["blocks.2.attn.qkv.weight"].shape == (72, 24)
    assert {key.split(".")[0] for key in renamed} == {"embed", "blocks", "norm", "head"}
    assert {key.split(".", 2)[2] for key in renamed if key.startswith("blocks.")} == {
        f"{part}.{kind}"
        for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("num_heads_read", [1, 2])
def test_hf_deit_agrees_in_every_block(num_heads_read):
    kind = DeiTForImageClassification
    if num_heads_read == 2:
        kind = DeiTForImageClassificationWithTeacher
    theirs = _randomised(kind(DeiTConfig(**SIZES)))
    ours = sparsify(theirs, None)
    image = torch.randn(2, 3, 40, 40)
    _assert_same(
        _outputs_of(ours.blocks, lambda: ours(image[:, :, None])),
        _outputs_of(theirs.deit.layers, lambda: theirs(image).logits),
        4,
    )


def test_timm_distilled_deit_agrees_and_stays_distilled_with_semantic_tokens():
    theirs = timm.create_model("deit_tiny_distilled_patch16_224", img_size=48, num_classes=5)
    theirs = _randomised(theirs)
    ours = sparsify(theirs, None)
    image = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        expected = theirs(image)
        assert (ours(image[:, :, None]) - expected).abs().max() <= 1e-5 * expected.abs().max()
        tokens, *_ = sparsify(theirs, "1x2x2@4").forward_tokens(image[:, :, None])
    assert ours.recipe.name == "deit_tiny_distilled_patch16_224"
    assert tokens.shape[1] == 2 + 4
