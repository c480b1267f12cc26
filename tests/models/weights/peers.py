"""Networks of other libraries beside ours: build, save, read, compare."""

import pytest
import torch

from stvit_video import create_model, sparsify
from stvit_video.errors import StvitVideoError

HF = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 60,
    "num_labels": 7,
    "image_size": 32,
    "patch_size": 8,
}
"""Sizes of networks of transformers."""


def randomised(model):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def clip_of(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def assert_same(ours, theirs):
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def check(folder, name, theirs, clip, refusal, way, *, is_video=False):
    """Read it, and compare, or expect the refusal."""
    read = {"folder": from_folder, "network": from_network, "file": from_file}[way]
    if refusal is not None:
        with pytest.raises(StvitVideoError, match=refusal) as caught:
            read(folder, name, theirs)
        assert "\n" not in str(caught.value)
        return
    pixels = clip.transpose(1, 2) if is_video else clip.squeeze(2)
    with torch.no_grad():
        ours = read(folder, name, theirs)
        expected = theirs(pixels)
        assert_same(ours(clip), getattr(expected, "logits", expected))


def from_folder(folder, name, theirs):
    theirs.save_pretrained(folder)
    return create_model(name, pretrained=folder).eval()


def from_network(folder, name, theirs):
    return sparsify(theirs, None)


def from_file(folder, name, theirs):
    torch.save(theirs.state_dict(), folder / "weights.pt")
    return create_model(name, pretrained=folder / "weights.pt").eval()
