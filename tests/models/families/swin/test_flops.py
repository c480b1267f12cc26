"""MACs of the Swin networks: the published figures, and a closed form with semantic tokens."""

import functools

import pytest
import torch

from stvit_video.measure.flops import count_flops
from stvit_video.models.registry import create_model

VIDEO = "video_swin_tiny_patch2x4x4_224"


@functools.cache
def macs(name, semantic=None):
    with torch.device("meta"):
        model = create_model(name, semantic=semantic)
    wanted = model.preprocessing
    side = wanted.image_size
    clip = torch.zeros(1, 3, wanted.num_frames, side, side, device="meta")
    return count_flops(model, clip).macs


@pytest.mark.parametrize(
    ("name", "published"),
    [
        (VIDEO, 88e9),
        ("video_swin_small_patch2x4x4_224", 166e9),
        ("video_swin_base_patch2x4x4_224", 282e9),
        ("video_swin_base_patch2x4x4_window16_224", 320.6e9),
        ("swin_tiny_patch4_window7_224", 4.5e9),
        ("stvit_r_swin_small_patch4_window7_224", 5.83e9),
        ("stvit_r_swin_base_patch4_window7_224", 10.26e9),
    ],
)
def test_macs_are_the_published_ones(name, published):
    assert macs(name) == pytest.approx(published, rel=0.01)


def block(dim, tokens, keys, projected=None):
    """A block on `tokens` that reads `keys` each, of `projected` other tokens if not their own."""
    projected = tokens if projected is None else projected
    return dim * dim * (10 * tokens + 2 * projected) + 2 * tokens * keys * dim


def merging(dim, tokens):
    return tokens * 4 * dim * 2 * dim


def tiny_stem_and_first_stages(frames, window):
    """Embedding, stages 1 and 2 with their mergings: dense, 56 x 56 and 28 x 28 tokens a frame."""
    total = 0
    for dim, side in ((96, 56), (192, 28)):
        total += 2 * block(dim, frames * side**2, window) + merging(dim, frames * side**2 // 4)
    return total


def tiny_end(tokens, window, num_classes):
    """Merging to stage 4, its two blocks and the head."""
    return merging(384, tokens) + 2 * block(768, tokens, window) + 768 * num_classes


@pytest.mark.parametrize(
    ("semantic", "regions", "kept", "window", "last"),
    [
        # 16 frames of 3 x 3 tokens a window of 7 x 7; windows of 8 x 3 x 3
        ("16x6x6@2,scope=frame", 16, 36, 8 * 9, (16 * 9, 8 * 9)),
        # tubes of 8 frames; windows of 2 x 4 x 4 (at least two tokens along time)
        ("2x8x8@2,scope=tube", 2, 64, 2 * 16, (2 * 16, 2 * 16)),
    ],
)
def test_video_swin_with_semantic_tokens_is_its_closed_form(semantic, regions, kept, window, last):
    frames, dim, patches = 16, 384, 16 * 196
    num_semantic = regions * kept
    per_region = patches // regions
    in_window = kept // 4 + frames // regions * 100  # centres, and 10 x 10 patches a frame
    stem = frames * 56**2 * 96 * (3 * 2 * 4 * 4)
    clustering = block(dim, num_semantic, in_window, num_semantic + patches)
    clustering += block(dim, num_semantic, kept + per_region, num_semantic + patches)
    expected = stem + tiny_stem_and_first_stages(frames, 392) + 2 * block(dim, patches, 392)
    expected += clustering + 2 * block(dim, num_semantic, window) + tiny_end(*last, 400)
    assert macs(VIDEO, semantic) == expected


def test_image_swin_with_recovery_is_its_closed_form():
    dim = 384
    expected = 56**2 * 96 * 48 + tiny_stem_and_first_stages(1, 49) + block(dim, 196, 49)
    expected += block(dim, 36, 9 + 100, 36 + 196) + block(dim, 36, 36 + 196, 36 + 196)
    expected += block(dim, 36, 9)  # windows of 3 x 3, shifted: as many keys
    expected += block(dim, 36, 9) + block(dim, 196, 36, 36) + tiny_end(49, 49, 1000)
    assert macs("swin_tiny_patch4_window7_224", "1x6x6@1-6") == expected


def test_stvit_r_is_its_closed_form():
    dims, sides, depths = (96, 192, 384, 768), (56, 28, 14, 7), (2, 2, 0, 2)
    expected = 112**2 * 48 * 27 + 56**2 * 96 * 48 * 9 + 768 * 1000
    for dim, side, depth in zip(dims, sides, depths, strict=True):
        expected += depth * block(dim, side**2, 49) + (side > 7) * merging(dim, side**2 // 4)
    unit = block(384, 196, 49) + block(384, 36, 109, 4 * 109) + block(384, 36, 232, 232)
    unit += block(384, 36, 9) + block(384, 36, 36) + block(384, 196, 36, 36)
    assert macs("stvit_r_swin_small_patch4_window7_224") == expected + 3 * unit
