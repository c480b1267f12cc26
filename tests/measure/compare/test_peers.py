"""Peers of other libraries behind our input, checked by their published MACs."""

import sys

import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.measure.compare.peers import PEERS, create_peer
from stvit_video.measure.compare.words import example_clips
from stvit_video.measure.flops import count_flops


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("hf:timesformer_base", 195.8),
        ("torchvision:swin3d_t", 88),
        ("pytorchvideo:slowfast_r50", 50.3),
        ("pytorchvideo:x3d_m", 4.73),
        ("timm:deit_small_patch16_224", 4.60),
    ],
)
def test_a_peer_costs_what_its_paper_says(name, published):
    with torch.device("meta"):
        model = create_peer(name)
    report = count_flops(model, example_clips(model, 1).to("meta"))
    assert report.macs / 1e9 == pytest.approx(published, rel=0.01)


def test_an_absent_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError) as raised:
        create_peer("timm:vit_base_patch16_224")
    assert str(raised.value) == "peer timm:vit_base_patch16_224 needs timm; pip install timm"


def test_an_unknown_peer_is_named_with_the_nearest():
    with pytest.raises(ConfigError) as raised:
        create_peer("torchvision:swin3d_x")
    text = str(raised.value)
    assert text.startswith(f"unknown peer 'torchvision:swin3d_x'; known: {', '.join(PEERS)}; did")


def test_vjepa2_counts_its_grid_as_the_clips_have_it():
    """Transformers takes the grid from the config."""
    with torch.device("meta"):
        peer = create_peer("hf:vjepa2_large")
    config, clips = peer.model.config, peer.preprocessing
    assert (config.crop_size, config.frames_per_clip) == (clips.image_size, clips.num_frames)
    assert (config.num_labels, config.hidden_size, config.num_hidden_layers) == (174, 1024, 24)
