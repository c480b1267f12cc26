"""What a file states by keys, shapes or config is carried out or refused, option by option.

The other library's network is built, saved and read by us: equal logits, or one line that says why
not. All weights random, so that no zero or one of an initialisation hides a mistake.
"""

import dataclasses
import json
import pathlib

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import ParallelScalingBlock, VisionTransformer
from torch import nn
from torchvision.models.video import SwinTransformer3d
from transformers import (
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    ViTConfig,
    ViTForImageClassification,
)

from stvit_video import create_model, load_model, sparsify
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import VARIANTS
from stvit_video.models.weights.read import read_weights
from tests.models.weights.peers import HF, assert_same, check, clip_of, from_file, randomised

TIMM = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2}
ROWS = {
    "vit_small": "vit_base_patch16_224",
    "deit_small": "deit_base_distilled_patch16_224",
    "videomae_small": "videomae_base_patch16_224",
    "timesformer_small": "timesformer_base_patch16_224",
}
"""Rows of small sizes, by what they are rows of."""


@pytest.fixture(autouse=True)
def small_rows(monkeypatch):
    for name, template in ROWS.items():
        row = VARIANTS[template]
        size = dataclasses.replace(
            row.preprocessing, image_size=32, num_frames=min(4, row.preprocessing.num_frames)
        )
        small = dataclasses.replace(
            row,
            dim=24,
            depth=3,
            num_heads=2,
            mlp_ratio=2.5,
            tubelet_size=(row.tubelet_size[0], 8, 8),
            preprocessing=size,
            num_classes=7,
        )
        monkeypatch.setitem(VARIANTS, name, small)


VIDEOMAE_OPTIONS = {
    "plain": ({}, None),
    "eps": ({"layer_norm_eps": 1e-3}, None),
    "no bias": ({"qkv_bias": False}, None),
    "tanh": ({"hidden_act": "gelu_new"}, None),
    "relu": ({"hidden_act": "relu"}, "activation 'relu'"),
    "first token": ({"use_mean_pooling": False}, "reads the first token alone"),
}


NOT_IN_FILES = ("eps", "tanh", "relu")
"""What the keys of a file cannot tell."""


@pytest.mark.parametrize(
    ("option", "way"),
    [
        (option, way)
        for option in VIDEOMAE_OPTIONS
        for way in ("folder", "network", "file")
        if way != "file" or option not in NOT_IN_FILES
    ],
)
def test_videomae_of_hf(tmp_path, option, way):
    settings, refusal = VIDEOMAE_OPTIONS[option]
    config = VideoMAEConfig(num_frames=4, **HF, **settings)
    theirs = randomised(VideoMAEForVideoClassification(config))
    check(tmp_path, "videomae_small", theirs, clip_of(4, 32, 32), refusal, way, is_video=True)


VIT_OPTIONS = {
    "plain": ({}, None),
    "eps": ({"layer_norm_eps": 1e-3}, None),
    "no bias": ({"qkv_bias": False}, None),
    "tanh": ({"hidden_act": "gelu_pytorch_tanh"}, None),
    "relu": ({"hidden_act": "relu"}, "activation 'relu'"),
    "quick": ({"hidden_act": "quick_gelu"}, "activation 'quick_gelu'"),
}


@pytest.mark.parametrize("way", ["folder", "network"])
@pytest.mark.parametrize("option", VIT_OPTIONS)
def test_vit_of_hf(tmp_path, option, way):
    settings, refusal = VIT_OPTIONS[option]
    theirs = randomised(ViTForImageClassification(ViTConfig(**HF, **settings)))
    check(tmp_path, "vit_small", theirs, clip_of(1, 32, 32), refusal, way)


@pytest.mark.parametrize("way", ["folder", "file"])
@pytest.mark.parametrize("name", ["vit_small", "deit_small"])
def test_a_distilled_deit_of_hf_fits_plain_rows_too(tmp_path, name, way):
    theirs = randomised(DeiTForImageClassificationWithTeacher(DeiTConfig(**HF)))
    check(tmp_path, name, theirs, clip_of(1, 32, 32), None, way)


@pytest.mark.parametrize("way", ["folder", "network", "file"])
@pytest.mark.parametrize("attention", ["divided_space_time", "joint_space_time"])
def test_timesformer_of_hf_without_bias(tmp_path, attention, way, monkeypatch):
    kind = attention.split("_")[0]
    row = dataclasses.replace(VARIANTS["timesformer_small"], attention=kind)
    monkeypatch.setitem(VARIANTS, "timesformer_small", row)
    config = TimesformerConfig(num_frames=4, qkv_bias=False, attention_type=attention, **HF)
    theirs = randomised(TimesformerForVideoClassification(config))
    check(tmp_path, "timesformer_small", theirs, clip_of(4, 32, 32), None, way, is_video=True)


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


TIMM_OPTIONS = {
    "plain": ({}, None),
    "average": ({"global_pool": "avg"}, None),
    "average of normed": ({"global_pool": "avg", "fc_norm": False}, None),
    "average without token": ({"global_pool": "avg", "class_token": False}, None),
    "normed without token": ({"global_pool": "avg", "class_token": False, "fc_norm": False}, None),
    "most": ({"global_pool": "max"}, "has global_pool='max', which our ViT has not"),
    "both": ({"global_pool": "avgmax"}, "has global_pool='avgmax', which our ViT has not"),
    "relu": ({"act_layer": nn.ReLU}, "the activation is ReLU; known: gelu, gelu_tanh"),
    "quick": ({"act_layer": QuickGelu}, "the activation is QuickGelu; known: gelu, gelu_tanh"),
    "tanh": ({"act_layer": "gelu_tanh"}, None),
    "layer scale": ({"init_values": 0.1}, None),
    "no bias": ({"qkv_bias": False}, None),
    "normed keys": ({"qk_norm": True}, r"they have blocks\.0\.attn\.[qk]_norm"),
    "registers": ({"reg_tokens": 2}, "they have .*reg_token"),
    "parallel": ({"block_fn": ParallelScalingBlock}, "blocks of the kind ParallelScalingBlock"),
    "no norm": ({"final_norm": False}, "has no layer norm ahead of its head"),
    "norm before": ({"pre_norm": True}, "does not fit vit_base_patch16_224: they lack"),
    "rms": ({"norm_layer": nn.RMSNorm}, "has norms that are no LayerNorm, which our ViT has not"),
}


@pytest.mark.parametrize("option", TIMM_OPTIONS)
def test_vit_of_timm(tmp_path, option):
    settings, refusal = TIMM_OPTIONS[option]
    theirs = randomised(VisionTransformer(num_classes=7, **TIMM, **settings))
    check(tmp_path, "vit_small", theirs, clip_of(1, 32, 32), refusal, "network")


@pytest.mark.parametrize(
    "option",
    [
        *("plain", "average", "average without token", "normed without token"),
        *("layer scale", "no bias"),
    ],
)
def test_a_file_of_timm_tells_its_pooling_by_its_keys(tmp_path, option, monkeypatch):
    monkeypatch.setitem(
        VARIANTS, "vit_small", dataclasses.replace(VARIANTS["vit_small"], mlp_ratio=4.0)
    )
    theirs = randomised(VisionTransformer(num_classes=7, **TIMM, **TIMM_OPTIONS[option][0]))
    check(tmp_path, "vit_small", theirs, clip_of(1, 32, 32), None, "file")
    ours = from_file(tmp_path, "vit_small", theirs)
    write_checkpoint(ours, tmp_path / "ours")
    torch.testing.assert_close(
        load_model(tmp_path / "ours")(clip_of(1, 32, 32)), ours(clip_of(1, 32, 32))
    )


def test_a_folder_of_timm_tells_by_its_config_which_norm_comes_first(tmp_path, monkeypatch):
    monkeypatch.setitem(
        VARIANTS, "vit_small", dataclasses.replace(VARIANTS["vit_small"], mlp_ratio=4.0)
    )
    theirs = randomised(VisionTransformer(num_classes=7, global_pool="avg", fc_norm=False, **TIMM))
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    config = {
        "architecture": "vit_base_patch16_224",
        "num_classes": 7,
        "global_pool": "avg",
        "model_args": {"fc_norm": False},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    clip = clip_of(1, 32, 32)
    with torch.no_grad():
        ours = create_model("vit_small", pretrained=tmp_path).eval()
        assert_same(ours(clip), theirs(clip.squeeze(2)))


def test_two_norms_ahead_of_a_head_are_refused(tmp_path):
    weights = VisionTransformer(num_classes=7, **TIMM).state_dict()
    weights |= {"fc_norm.weight": torch.ones(24), "fc_norm.bias": torch.zeros(24)}
    torch.save(weights, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"does not fit vit_small: .* a norm and an fc_norm"):
        create_model("vit_small", pretrained=tmp_path / "x.pt")


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "net.", "net.module."])
def test_wrappers_are_taken_off(tmp_path, prefix):
    theirs = randomised(VideoMAEForVideoClassification(VideoMAEConfig(num_frames=4, **HF)))
    torch.save({f"{prefix}{k}": v for k, v in theirs.state_dict().items()}, tmp_path / "x.pt")
    clip = clip_of(4, 32, 32)
    with torch.no_grad():
        ours = create_model("videomae_small", pretrained=tmp_path / "x.pt").eval()
        assert_same(ours(clip), theirs(clip.transpose(1, 2)).logits)
        torch.save({f"{prefix}{k}": v for k, v in ours.state_dict().items()}, tmp_path / "y.pt")
        again = create_model("videomae_small", pretrained=tmp_path / "y.pt").eval()
        assert_same(again(clip), ours(clip))


def test_weights_under_two_wrappers_are_refused(tmp_path):
    weights = {"module.a.weight": torch.ones(1), "_orig_mod.a.weight": torch.zeros(1)}
    torch.save(weights, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"holds a\.weight under two wrappers; keep one"):
        create_model("videomae_small", pretrained=tmp_path / "x.pt")


def official_videomae():
    """Weights of the original code, made from ours."""
    model = randomised(create_model("videomae_small"))
    weights = {}
    for key, value in model.state_dict().items():
        new = key.replace("embed.patch.proj", "patch_embed.proj").replace("norm.", "fc_norm.", 1)
        key = new if key.startswith(("embed.", "norm.")) else key
        weights[key] = value.view(24, 3, 2, 8, 8) if key == "patch_embed.proj.weight" else value
    return model, weights


def test_scaled_branches_and_learned_positions_of_videomae(tmp_path):
    model, weights = official_videomae()
    scales = {}
    for block in range(3):
        for branch in (1, 2):
            scales[f"blocks.{block}.gamma_{branch}"] = torch.rand(24)
    places = torch.randn(1, 32, 24)
    torch.save(weights | scales | {"pos_embed": places}, tmp_path / "x.pt")
    ours = create_model("videomae_small", pretrained=tmp_path / "x.pt").eval()
    for block in range(3):  # the same by scaling what ends each branch
        for branch, layer in ((1, model.blocks[block].attn.proj), (2, model.blocks[block].mlp.fc2)):
            scale = scales[f"blocks.{block}.gamma_{branch}"]
            layer.weight.data.mul_(scale[:, None])
            layer.bias.data.mul_(scale)
    model.embed.pos_embed = places
    clip = clip_of(4, 32, 32)
    with torch.no_grad():
        assert_same(ours(clip), model(clip))
        write_checkpoint(ours, tmp_path / "ours")
        assert_same(load_model(tmp_path / "ours")(clip), model(clip))


def test_an_original_videomae_whose_head_reads_the_first_token_is_refused(tmp_path):
    _, weights = official_videomae()
    weights = {key.replace("fc_norm.", "norm."): value for key, value in weights.items()}
    torch.save(weights, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="the head reads the first token alone"):
        create_model("videomae_small", pretrained=tmp_path / "x.pt")
    without = {key: value for key, value in weights.items() if not key.startswith("head.")}
    without |= {"decoder.head.weight": torch.zeros(2, 2)}  # a pre-training has that norm, too
    torch.save(without, tmp_path / "y.pt")
    assert create_model("videomae_small", pretrained=tmp_path / "y.pt").num_classes == 7


def test_colours_of_mmaction2_are_taken_over(tmp_path):
    model, weights = official_videomae()
    weights = {f"backbone.{key}": value for key, value in weights.items() if "head." not in key}
    head = {"cls_head.fc_cls.weight": model.head.weight, "cls_head.fc_cls.bias": model.head.bias}
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    colours = {
        "data_preprocessor.mean": mean.view(3, 1, 1, 1),
        "data_preprocessor.std": std.view(3, 1, 1, 1),
    }
    torch.save({"state_dict": weights | head | colours}, tmp_path / "x.pth")
    ours = create_model("videomae_small", pretrained=tmp_path / "x.pth").eval()
    assert ours.preprocessing.mean == pytest.approx((0.485, 0.456, 0.406))
    assert ours.preprocessing.std == pytest.approx((0.229, 0.224, 0.225))
    with torch.no_grad():
        assert_same(ours(clip_of(4, 32, 32)), model(clip_of(4, 32, 32)))


def test_paths_that_a_training_script_saved_do_no_harm(tmp_path):
    weights = {"a": torch.ones(2)}
    torch.save(
        {"state_dict": weights, "args": {"out": pathlib.PosixPath("/x/y")}}, tmp_path / "x.pt"
    )
    assert read_weights(tmp_path / "x.pt").keys() == {"a"}


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_a_network_with_adapters_is_told_what_to_do():
    from peft import LoraConfig, get_peft_model

    theirs = VideoMAEForVideoClassification(VideoMAEConfig(num_frames=4, **HF))
    wrapped = get_peft_model(theirs, LoraConfig(target_modules=["query"]))
    for model in (wrapped, wrapped.base_model.model):
        with pytest.raises(
            ConfigError, match=r"has adapters; merge them first: model\.merge_and_u"
        ):
            sparsify(model, None)
    clip = clip_of(4, 32, 32)
    merged = wrapped.merge_and_unload().eval()
    with torch.no_grad():
        assert_same(sparsify(merged, None)(clip), merged(clip.transpose(1, 2)).logits)


def small_swin(window):
    torch.manual_seed(0)
    made = SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=12,
        depths=[2, 2],
        num_heads=[1, 2],
        window_size=list(window),
        num_classes=5,
    )
    return randomised(made)


@pytest.mark.parametrize("window", [(8, 7, 7), (16, 7, 7), (5, 7, 7), (2, 3, 3), (8, 12, 12)])
@pytest.mark.parametrize("has_index", [True, False])
def test_a_file_of_swin_tells_its_window_by_its_tables(tmp_path, small_row, window, has_index):
    theirs = small_swin(window)
    weights = theirs.state_dict()
    if not has_index:
        weights = {k: v for k, v in weights.items() if not k.endswith("position_index")}
    torch.save(weights, tmp_path / "x.pt")
    ours = create_model(small_row, pretrained=tmp_path / "x.pt").eval()
    assert ours.recipe.variant.window_size == window
    clip = clip_of(8, 64, 64)
    with torch.no_grad():
        assert_same(ours(clip), theirs(clip))


def test_a_table_that_could_be_of_several_windows_needs_its_index(tmp_path, small_row):
    weights = small_swin((5, 8, 8)).state_dict()
    torch.save(weights, tmp_path / "x.pt")
    made = create_model(small_row, pretrained=tmp_path / "x.pt")
    assert made.recipe.variant.window_size == (5, 8, 8)
    weights = {k: v for k, v in weights.items() if not k.endswith("position_index")}
    torch.save(weights, tmp_path / "y.pt")
    told = r"2025 offsets could be of windows 113x2x2, 41x3x3, 13x5x5, 5x8x8, 1x23x23; give"
    with pytest.raises(CheckpointError, match=told):
        create_model(small_row, pretrained=tmp_path / "y.pt")


@pytest.fixture
def small_row(monkeypatch):
    row = dataclasses.replace(
        VARIANTS["video_swin_tiny_patch2x4x4_224"],
        dim=12,
        depths=(2, 2),
        num_heads=(1, 2),
        num_classes=5,
    )
    monkeypatch.setitem(VARIANTS, "video_swin_small_sizes", row)
    return "video_swin_small_sizes"


def test_an_image_swin_of_another_window_is_interpolated_and_says_so(tmp_path, small_row):
    sizes = {"embed_dim": 12, "depths": (2, 2), "num_heads": (1, 2)}
    image = SwinTransformer(img_size=96, window_size=12, num_classes=5, **sizes)
    torch.save(randomised(image).state_dict(), tmp_path / "x.pt")
    changed = create_model(small_row, pretrained=tmp_path / "x.pt").key_report.changed
    assert changed["blocks.0.attn.relative_position_bias_table"] == (
        "interpolated for a window of 7, and repeated along time, from 23 x 23 offsets"
    )


def test_a_table_of_an_image_swin_has_no_time(tmp_path, monkeypatch):
    """81 offsets are those of 5 x 5, though they could be of 5 x 2 x 2."""
    row = dataclasses.replace(
        VARIANTS["swin_tiny_patch4_window7_224"],
        **{"dim": 12, "depths": (2, 2), "num_heads": (1, 2), "num_classes": 5},
    )
    monkeypatch.setitem(VARIANTS, "swin_small_sizes", row)
    sizes = {"embed_dim": 12, "depths": (2, 2), "num_heads": (1, 2)}
    theirs = randomised(SwinTransformer(img_size=80, window_size=5, num_classes=5, **sizes))
    weights = theirs.state_dict()
    weights = {k: v for k, v in weights.items() if not k.endswith("position_index")}
    torch.save(weights, tmp_path / "x.pt")
    ours = create_model("swin_small_sizes", pretrained=tmp_path / "x.pt").eval()
    assert ours.recipe.variant.window_size == (1, 5, 5)
    clip = clip_of(1, 80, 80)
    with torch.no_grad():
        assert_same(ours(clip), theirs(clip.squeeze(2)))
