import dataclasses

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VivitConfig,
    VivitForVideoClassification,
)

from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models import registry
from stvit_video.models.checkpoint import load_model, write_checkpoint
from stvit_video.models.registry import create_model
from stvit_video.models.sparsify import sparsify
from stvit_video.settings.grammar import parse_semantic

HF_SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 60,
    "num_labels": 3,
    "image_size": 40,
    "num_frames": 6,
    "id2label": {0: "archery", 1: "bowling", 2: "yoga"},
}


NEW_WEIGHTS = [("", []), (",centers=grid", ["stages.1.generator.global_centers"])]
"""What names no centres has far ones, which need no weights."""


def _hf_models():
    return {
        "videomae": VideoMAEForVideoClassification(VideoMAEConfig(patch_size=8, **HF_SIZES)),
        "timesformer": TimesformerForVideoClassification(
            TimesformerConfig(patch_size=8, **HF_SIZES)
        ),
        "vivit": VivitForVideoClassification(VivitConfig(tubelet_size=[2, 8, 8], **HF_SIZES)),
    }


@pytest.mark.parametrize(("centers", "new"), NEW_WEIGHTS)
def test_our_model_keeps_its_weights_and_its_class_token(centers, new):
    dense = create_model("deit_tiny_patch16_224", image_size=96, num_classes=3).eval()
    dense.labels = ("a", "b", "c")
    model = sparsify(dense, f"1x2x3@4{centers}")
    assert model.token_counts() == {"input": 36, "semantic": 6}
    assert model.labels == ("a", "b", "c")
    expected = dense.state_dict()
    weights = model.state_dict()
    assert weights.keys() - expected.keys() == set(new)
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert model(torch.randn(2, 3, 1, 96, 96)).shape == (2, 3)


def test_the_result_shares_no_tensor_and_leaves_the_model_as_it_was():
    dense = create_model("demo_tiny")
    before = {key: value.clone() for key, value in dense.state_dict().items()}
    model = sparsify(dense, "2x2x2@2")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in dense.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_dtype_stay(training):
    dense = create_model("demo_tiny").to(torch.bfloat16).train(training)
    model = sparsify(dense, "2x2x2@2")
    assert model.training == training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_a_semantic_model_takes_another_setting_and_none():
    model = sparsify(create_model("demo_tiny", semantic="2x2x2@2"), "1x2x2@1-4")
    assert str(model.recipe.options.semantic[0]) == "1x2x2@1-4,centers=far"
    assert sparsify(model, None).token_counts()["semantic"] is None


@pytest.mark.parametrize(("centers", "new"), NEW_WEIGHTS)
@pytest.mark.parametrize("family", ["videomae", "timesformer", "vivit"])
def test_a_model_of_hf_transformers_becomes_semantic(family, centers, new, tmp_path):
    theirs = _hf_models()[family].eval()
    model = sparsify(theirs, f"2x2x3@1{centers}")
    clip = torch.randn(2, 3, 6, 40, 40)
    with torch.no_grad():
        assert (model(clip) - theirs(clip.transpose(1, 2)).logits).abs().max() < 1
    assert model.token_counts()["semantic"] == 12
    assert model.labels == ("archery", "bowling", "yoga")
    assert list(model.key_report.new) == new
    write_checkpoint(model, tmp_path)
    again = load_model(tmp_path)
    assert torch.equal(again(clip), model(clip))


def test_a_model_of_timm_becomes_semantic_under_its_own_name():
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=7).eval()
    model = sparsify(theirs, "1x4x4@4")
    assert model.recipe.name == "vit_tiny_patch16_224"
    assert model(torch.randn(1, 3, 1, 224, 224)).shape == (1, 7)
    assert model.preprocessing.mean == (0.5, 0.5, 0.5)


def test_an_unknown_network_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ConfigError) as caught:
        sparsify(nn.Linear(2, 3), "1x4x4@4")
    assert str(caught.value).startswith(
        "cannot sparsify torch Linear; known are models of create_model, HF ViT, DeiT, VideoMAE,"
    )


def test_parts_that_our_blocks_do_not_have_are_refused():
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=7, qk_norm=True)
    with pytest.raises(CheckpointError, match=r"no weights of an image ViT: .*\.[qk]_norm\."):
        sparsify(theirs, "1x4x4@4")


def test_a_grid_that_the_attention_cannot_keep_is_refused():
    dense = create_model("demo_tiny")
    with pytest.raises(
        ConfigError, match="semantic grid 2x9x2 is larger than the token grid 4x8x8"
    ):
        sparsify(dense, "2x9x2@2,centers=grid")


def _squares(num_clips, generator):
    """A bright square in one of 2x2x2 regions of noise: clips (B, 3, 4, 16, 16), labels (B,)."""
    labels = torch.randint(8, (num_clips,), generator=generator)
    clips = 0.3 * torch.randn(num_clips, 4, 16, 16, generator=generator)
    for clip, label in zip(clips, labels.tolist(), strict=True):
        t, h, w = 2 * (label // 4), 8 * (label // 2 % 2), 8 * (label % 2)
        y, x = torch.randint(3, (2,), generator=generator).tolist()
        clip[t : t + 2, h + y : h + y + 6, w + x : w + x + 6] += 1
    return clips[:, None].expand(-1, 3, -1, -1, -1), labels


@pytest.fixture(scope="module")
def trained():
    """A dense model that says where the square is (chance is 12.5 %), and clips to test it on."""
    torch.manual_seed(0)
    row = registry.VARIANTS["demo_tiny"]
    clip = dataclasses.replace(row.preprocessing, num_frames=4, image_size=16)
    tiny = dataclasses.replace(
        row, dim=32, depth=4, num_heads=2, tubelet_size=(1, 4, 4), preprocessing=clip
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.VARIANTS, "demo_tiny", tiny)
        model = create_model("demo_tiny", num_classes=8)
    for key, parameter in model.named_parameters():
        if parameter.ndim > 1:  # larger than usual, so that so small a model learns at once
            nn.init.normal_(parameter, std=0.5 if "pos" in key else parameter.shape[-1] ** -0.5)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(180):
        clips, labels = _squares(16, generator)
        optimizer.zero_grad()
        F.cross_entropy(model(clips), labels).backward()
        optimizer.step()
    return model.eval(), _squares(200, generator)


def _top1(model, clips, labels):
    with torch.no_grad():
        return (model(clips).argmax(dim=1) == labels).float().mean().item()


@pytest.mark.parametrize("setting", ["4x2x2@1", "4x2x2@2,pool=avg", "2x2x2@2,scope=tube"])
def test_a_freshly_sparsified_model_starts_far_above_chance(trained, setting):
    dense, (clips, labels) = trained
    assert _top1(dense, clips, labels) > 0.9
    assert _top1(sparsify(dense, setting), clips, labels) > 0.7


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("vivit_base_patch16x2_224", "2x3x3@4,centers=far"),
        ("timesformer_base_patch16_224", "2x3x3@4,centers=far,scope=tube"),
        ("vivit_base_fsa_patch16x2_224", "2x3x3@4,centers=far,scope=tube"),
        ("timesformer_base_space_patch16_224", "2x3x3@4,centers=far,scope=frame"),
        ("vivit_base_fe_patch16x2_224", "2x3x3@4,centers=far,scope=frame"),
        ("video_swin_tiny_patch2x4x4_224", "2x3x3@4"),
    ],
)
def test_words_without_centres_get_those_that_need_no_training(name, setting):
    row = registry.VARIANTS[name]
    defaults = row.untrained_options
    assert [str(unit) for unit in parse_semantic("2x3x3@4", defaults=defaults)] == [setting]


def test_a_setting_that_is_no_word_stays_as_it_is():
    (setting,) = parse_semantic("2x2x2@2")
    model = sparsify(create_model("demo_tiny"), setting)
    assert model.recipe.options.semantic == (setting,)


@pytest.mark.parametrize("name", ["timesformer_base_patch16_224", "vivit_base_fdp_patch16x2_224"])
def test_attention_along_time_keeps_time_steps(name):
    with pytest.raises(ConfigError) as caught:
        create_model(name, semantic="64@4")
    kind = "divided" if "timesformer" in name else "factorised"
    assert str(caught.value) == (
        f"semantic setting 64@4 leaves no time steps, but this model's attention is {kind}; write"
        " TxHxW@BLOCK,centers=far,scope=tube"
    )
