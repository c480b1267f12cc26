"""MACs against the papers, and against a closed form with semantic tokens.

Letters: t frames of n tokens, N = t*n, P class tokens of a frame, S semantic tokens, D width.
"""

import pytest
import torch

from stvit_video.measure.flops import count_flops
from stvit_video.models.registry import create_model

D, K = 768, 400
PATCH_INPUTS = {1: 768, 2: 1536}  # colours x pixels of a tubelet


def gmacs(name, **settings):
    with torch.device("meta"):
        model = create_model(name, **settings)
        p = model.preprocessing
        return count_flops(model, torch.zeros(1, 3, p.num_frames, p.image_size, p.image_size)).macs


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("timesformer_base_patch16_224", 195.8),
        ("timesformer_base_joint_patch16_224", 180),
        ("timesformer_base_space_patch16_224", 141),
        ("timesformer_hr_patch16_448", 1703),
        ("timesformer_large_patch16_224", 2380),
        ("vivit_base_patch16x2_224", 451.5),
        ("vivit_base_fe_patch16x2_224", 283.3),
        ("vivit_base_fsa_patch16x2_224", 372.3),
        ("vivit_base_fdp_patch16x2_224", 277.1),
    ],
)
def test_dense_models_cost_what_their_papers_say(name, published):
    assert gmacs(name) / 1e9 == pytest.approx(published, rel=0.01)


def plain(n, *, m=None):
    """A block whose n tokens read from m; from themselves where there is no m."""
    m = n if m is None else m
    return 2 * n * D * D + 2 * m * D * D + 8 * n * D * D + 2 * n * m * D


def divided(t, n, has_map):
    along_time = (5 if has_map else 4) * t * n * D * D + 2 * t * n * t * D
    in_frames = 4 * t * n * D * D + 2 * t * n * n * D
    return along_time + in_frames + 8 * t * n * D * D


def dot_product(t, n):
    return 12 * t * n * D * D + t * n * t * D + t * n * n * D


def generator(n, s):
    """Two layers: q = P, k = v = X; q = S + G, k = v = [S; X]."""
    return plain(s, m=n) + plain(s, m=s + n)


def around(t, n, tubelet):
    """Patch embedding and head."""
    return t * n * PATCH_INPUTS[tubelet] * D + D * K


SEMANTIC = {
    ("timesformer_base_patch16_224", "4x4x4@4"): (
        around(8, 196, 1)
        + 4 * divided(8, 196, True)
        + generator(1568, 64)
        + 6 * divided(4, 16, True)
    ),
    ("timesformer_base_patch16_224", "4x4x4@4-9"): (
        around(8, 196, 1)
        + 4 * divided(8, 196, True)
        + generator(1568, 64)
        + 2 * divided(4, 16, True)
        + plain(1568, m=64)
        + 3 * divided(8, 196, True)
    ),
    ("timesformer_base_joint_patch16_224", "4x4x4@4"): (
        around(8, 196, 1) + 4 * plain(1568) + generator(1568, 64) + 6 * plain(64)
    ),
    ("timesformer_base_space_patch16_224", "8x4x4@4,scope=frame"): (
        around(8, 196, 1) + 8 * (4 * plain(196) + generator(196, 16) + 6 * plain(16))
    ),
    ("vivit_base_fe_patch16x2_224", "16x4x4@4,scope=frame"): (
        around(16, 196, 2)
        + 16 * (4 * plain(196) + generator(196, 16) + 6 * plain(16))
        + 4 * plain(16)
    ),
    ("vivit_base_fe_patch16x2_224", "16x4x4@4-12,scope=frame"): (
        around(16, 196, 2)
        + 16 * (4 * plain(196) + generator(196, 16) + 5 * plain(16) + plain(196, m=16))
        + 4 * plain(16)
    ),
    ("vivit_base_fsa_patch16x2_224", "8x4x4@4"): (
        around(16, 196, 2)
        + 4 * divided(16, 196, False)
        + generator(3136, 128)
        + 6 * divided(8, 16, False)
    ),
    ("vivit_base_fdp_patch16x2_224", "8x4x4@4"): (
        around(16, 196, 2)
        + 4 * dot_product(16, 196)
        + generator(3136, 128)
        + 6 * dot_product(8, 16)
    ),
    ("vivit_base_patch16x2_224", "8x4x4@4,scope=tube"): (
        around(16, 196, 2) + 4 * plain(3136) + 8 * generator(392, 16) + 6 * plain(128)
    ),
}


@pytest.mark.parametrize(("name", "semantic"), SEMANTIC)
def test_semantic_models_cost_what_the_closed_form_says(name, semantic):
    assert gmacs(name, semantic=semantic) == SEMANTIC[name, semantic]


def test_a_class_token_costs_its_copies_in_every_frame():
    t, n, s, kt, kn = 8, 196, 64, 4, 16
    one_token = 8 * D * D  # its MLP
    copies = 4 * t * D * D + 2 * t * ((n + 1) ** 2 - n**2) * D
    few_copies = 4 * kt * D * D + 2 * kt * ((kn + 1) ** 2 - kn**2) * D
    with_token = plain(s + 1, m=t * n + 1) + plain(s + 1, m=s + t * n + 1)
    difference = (
        4 * (one_token + copies) + with_token - generator(t * n, s) + 6 * (one_token + few_copies)
    )
    name, semantic = "timesformer_base_patch16_224", "4x4x4@4"
    kept = gmacs(name, semantic=semantic, class_token=True)
    assert kept - gmacs(name, semantic=semantic) == difference
