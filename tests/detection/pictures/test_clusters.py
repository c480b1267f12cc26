"""What semantic tokens of a detector gather of an image, and how much of the grid is padding."""

import dataclasses

import pytest
import torch

from stvit_video.detection.networks.create import create_detector
from stvit_video.detection.pictures.clusters import find_clusters
from stvit_video.models.registry import VARIANTS

SIZES = {
    "swin_tiny_patch4_window7_224": {"depths": (1, 1, 3, 1), "num_heads": (1, 1, 2, 4)},
    "deit_tiny_patch16_224": {"depth": 4, "num_heads": 2},
}


@pytest.mark.parametrize(
    ("name", "semantic"),
    [("swin_tiny_patch4_window7_224", "1x6x6@0-3"), ("deit_tiny_patch16_224", "1x2x2@1-4")],
)
def test_clusters_lie_on_the_grid_that_the_padded_image_fills(monkeypatch, name, semantic):
    row = dataclasses.replace(VARIANTS[name], dim=16, **SIZES[name])
    monkeypatch.setitem(VARIANTS, name, row)
    settings = {"num_classes": 3, "min_size": 64, "max_size": 96}
    image = (255 * torch.rand(3, 120, 160)).byte()
    with torch.inference_mode():
        found = find_clusters(create_detector(name, semantic=semantic, **settings).eval(), image)
        dense = find_clusters(create_detector(name, **settings).eval(), image)
    assert dense is None
    assert found.covered == (64 / 64, 85 / 96)  # 64 x 85, filled up to 64 x 96
    num_tokens = 9 if "swin" in name else 4  # 3 x 3 of the one window of Swin
    assert found.weights.shape == (num_tokens, 4, 6)
    assert 0 < found.weights.sum() <= num_tokens + 1e-4
