"""Networks of other libraries over the options of their configs: equal logits, or one line.

`test_facts.py` has the image ViTs and VideoMAE; here are the space-time networks and Swin.
"""

import dataclasses
from functools import partial

import pytest
from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torchvision.models.swin_transformer import SwinTransformer as TorchvisionSwin
from torchvision.models.video import SwinTransformer3d
from transformers import (
    SwinConfig,
    SwinForImageClassification,
    TimesformerConfig,
    TimesformerForVideoClassification,
    VivitConfig,
    VivitForVideoClassification,
    VJEPA2Config,
    VJEPA2ForVideoClassification,
)

from stvit_video.models.registry import VARIANTS
from tests.models.weights.peers import HF, check, clip_of, randomised

SMALL = {"dim": 24, "depth": 3, "num_heads": 2, "mlp_ratio": 2.5}
SWIN = {"dim": 12, "depths": (2, 2, 3), "num_heads": (1, 2, 2)}
ROWS = {
    "timesformer": ("timesformer_base_patch16_224", SMALL | {"tubelet_size": (1, 8, 8)}, 4, 32),
    "vivit": ("vivit_base_patch16x2_224", SMALL | {"tubelet_size": (2, 8, 8)}, 4, 32),
    "vjepa2": ("vjepa2_large_patch16_256", SMALL | {"tubelet_size": (2, 8, 8)}, 4, 32),
    "swin": ("swin_tiny_patch4_window7_224", SWIN, 1, 112),
    "video_swin": ("video_swin_tiny_patch2x4x4_224", SWIN, 4, 64),
}
"""What they are rows of, sizes, frames and pixels."""

WAYS = ("folder", "network", "file")
SAID = ("eps", "relu", "tanh", "exact")
"""Options that the keys of a file cannot tell."""


@pytest.fixture(autouse=True)
def small_rows(monkeypatch):
    for name, (template, sizes, num_frames, image_size) in ROWS.items():
        row = VARIANTS[template]
        size = dataclasses.replace(row.preprocessing, image_size=image_size, num_frames=num_frames)
        row = dataclasses.replace(row, preprocessing=size, num_classes=7, **sizes)
        monkeypatch.setitem(VARIANTS, f"{name}_small", row)


def over(options, ways=WAYS, untold=SAID):
    """Return every option by every way that can tell it."""
    pairs = [(option, way) for option in options for way in ways]
    told = [pair for pair in pairs if pair[1] != "file" or pair[0] not in untold]
    return pytest.mark.parametrize(("option", "way"), told)


RELU = ({"hidden_act": "relu"}, "has the activation 'relu'; known: gelu, ")
PLAIN = {
    "plain": ({}, None),
    "eps": ({"layer_norm_eps": 1e-3}, None),
    "no bias": ({"qkv_bias": False}, None),
    "relu": RELU,
}


@over(PLAIN | {"tanh": None, "joint": None})
def test_timesformer_of_hf(tmp_path, option, way):
    options = PLAIN | {
        "tanh": ({"hidden_act": "gelu_new"}, None),
        "joint": ({"attention_type": "joint_space_time"}, None),
    }
    settings, refusal = options[option]
    config = TimesformerConfig(num_frames=4, **(HF | settings))
    theirs = randomised(TimesformerForVideoClassification(config))
    check(tmp_path, "timesformer_small", theirs, clip_of(4, 32, 32), refusal, way, is_video=True)


@over(PLAIN | {"exact": None})
def test_vivit_of_hf(tmp_path, option, way):
    options = PLAIN | {"exact": ({"hidden_act": "gelu"}, None)}
    settings, refusal = options[option]
    sizes = {key: value for key, value in HF.items() if key != "patch_size"}
    config = VivitConfig(num_frames=4, tubelet_size=[2, 8, 8], **(sizes | settings))
    theirs = randomised(VivitForVideoClassification(config))
    check(tmp_path, "vivit_small", theirs, clip_of(4, 32, 32), refusal, way, is_video=True)


VJEPA2 = PLAIN | {
    "tanh": ({"hidden_act": "gelu_new"}, "activation 'gelu_new'; V-JEPA 2's probe has gelu$"),
    "one pooler layer": ({"num_pooler_layers": 1}, None),
    "no pooler layer": ({"num_pooler_layers": 0}, None),
    "mlp": ({"mlp_ratio": 2.0}, r"its mlp_ratio is 2\.0, the model's 2\.5|mlp\.fc1\.weight is \("),
}


@over(VJEPA2)
def test_vjepa2_of_hf(tmp_path, option, way):
    settings, refusal = VJEPA2[option]
    if way == "network" and option == "mlp":
        refusal = None  # the row takes the sizes of the network
    config = VJEPA2Config(
        **{"crop_size": 32, "patch_size": 8, "frames_per_clip": 4, "hidden_size": 24},
        **{"num_attention_heads": 2, "num_hidden_layers": 3, "num_labels": 7},
        **({"mlp_ratio": 2.5, "num_pooler_layers": 2} | settings),
    )
    theirs = randomised(VJEPA2ForVideoClassification(config))
    check(tmp_path, "vjepa2_small", theirs, clip_of(4, 32, 32), refusal, way, is_video=True)


SWIN_OPTIONS = PLAIN | {
    "tanh": ({"hidden_act": "gelu_new"}, None),
    "window": ({"window_size": 4}, None),
    "mlp": ({"mlp_ratio": 2.0}, r"its mlp_ratio is 2\.0, the model's 4\.0|mlp\.fc1\.\w+ is \("),
    "positions": ({"use_absolute_embeddings": True}, "they have embeddings.position_embeddings"),
}


@over(SWIN_OPTIONS)
def test_swin_of_hf(tmp_path, option, way):
    settings, refusal = SWIN_OPTIONS[option]
    if way == "network" and option == "mlp":
        refusal = None  # the row takes the sizes of the network
    config = SwinConfig(
        **{"image_size": 112, "embed_dim": 12, "depths": [2, 2, 3], "num_heads": [1, 2, 2]},
        **({"window_size": 7, "num_labels": 7} | settings),
    )
    theirs = randomised(SwinForImageClassification(config))
    check(tmp_path, "swin_small", theirs, clip_of(1, 112, 112), refusal, way)


TIMM_SWIN = {
    "plain": ({}, None),
    "eps": ({"norm_layer": partial(nn.LayerNorm, eps=1e-3)}, r"an epsilon of 0\.001 in \S+, not"),
    "no bias": ({"qkv_bias": False}, None),
    "window": ({"window_size": 4, "img_size": 64}, None),
    "mlp": ({"mlp_ratio": 2.0}, r"mlp\.fc1\.weight is \("),
    "heads": ({"head_dim": 8}, r"qkv\.weight is \("),
    "all windows": ({"always_partition": True}, r"shifts windows of 7 on a side of 7 tokens oth"),
    "rms": ({"norm_layer": nn.RMSNorm}, "they lack embed.norm.bias|norms that are no LayerNorm: "),
    "most": ({"global_pool": "max"}, "has global_pool='max', which our Swin has not"),
    "other windows": (
        {"img_size": 64},
        r"shifts windows of 7 on a side of 16 tokens otherwise",
    ),
    "patches of 2": ({"patch_size": 2, "img_size": 56}, r"patch\.proj\.weight is \("),
}
IN_CODE = ("eps", "most", "all windows", "other windows")
"""What the file of a network does not tell; none of timm's published networks has it."""


@over(TIMM_SWIN, ways=("network", "file"), untold=IN_CODE)
def test_swin_of_timm(tmp_path, option, way):
    settings, refusal = TIMM_SWIN[option]
    if way == "network" and option == "mlp":
        refusal = None
    sizes = {"img_size": 112, "embed_dim": 12, "depths": (2, 2, 3), "num_heads": (1, 2, 2)}
    theirs = randomised(SwinTransformer(num_classes=7, **(sizes | {"window_size": 7} | settings)))
    side = settings.get("img_size", 112)
    check(tmp_path, "swin_small", theirs, clip_of(1, side, side), refusal, way)


TORCHVISION = {
    "plain": ({}, None),
    "eps": ({"norm_layer": partial(nn.LayerNorm, eps=1e-3)}, r"an epsilon of 0\.001 in \S+, not"),
    "mlp": ({"mlp_ratio": 2.0}, r"mlp\.fc1\.weight is \("),
    "long windows": ({"window_size": [16, 7, 7]}, None),
    "patches of 2": ({"patch_size": [2, 2, 2]}, r"patches of |patch\.proj\.weight is \("),
    "frames of 1": ({"patch_size": [1, 4, 4]}, r"patch\.proj\.weight is \("),
    "rms": ({"norm_layer": nn.RMSNorm}, "they lack embed.norm.bias|norms that are no LayerNorm: "),
}


@over(TORCHVISION, ways=("network", "file"))
def test_video_swin_of_torchvision(tmp_path, option, way):
    settings, refusal = TORCHVISION[option]
    if way == "network" and option in ("mlp", "frames of 1"):
        refusal = None
    sizes = {"patch_size": [2, 4, 4], "embed_dim": 12, "depths": [2, 2, 3], "num_heads": [1, 2, 2]}
    theirs = SwinTransformer3d(num_classes=7, **(sizes | {"window_size": [8, 7, 7]} | settings))
    clip = clip_of(4, 64, 64)
    check(tmp_path, "video_swin_small", randomised(theirs), clip, refusal, way)


@pytest.mark.parametrize("way", ["network", "file"])
def test_image_swin_of_torchvision(tmp_path, way):
    theirs = TorchvisionSwin(
        **{"patch_size": [4, 4], "embed_dim": 12, "depths": [2, 2, 3], "num_heads": [1, 2, 2]},
        **{"window_size": [7, 7], "num_classes": 7},
    )
    check(
        tmp_path,
        "swin_small",
        randomised(theirs),
        clip_of(1, 112, 112),
        {"network": "cannot sparsify torchvision SwinT", "file": None}[way],
        way,
    )
