"""Models by their words, ours and peers, and clips to run them on: for comparisons."""

import torch
from torch import Tensor, nn

from stvit_video.measure.compare.peers import create_peer, find_peer
from stvit_video.models.network.fuse import fuse
from stvit_video.models.registry import build_model, find_variant
from stvit_video.settings.model import ModelWord, Preprocessing, parse_model


def find_model(text: str) -> ModelWord:
    """Read the word of a model that exists.

    Raises:
        ConfigError: an unknown model, peer or part.
    """
    word = parse_model(text)
    if word.is_peer:
        find_peer(text)
    else:
        find_variant(word.config.name)
    return word


def build_word(word: ModelWord, *, num_classes: int | None = None) -> nn.Module:
    """Build the model with random weights, on the device of the surrounding `torch.device`."""
    if word.is_peer:
        return create_peer(word.text)
    model = build_model(word.config, num_classes=num_classes)
    return fuse(model) if word.fused else model


def example_clips(model: nn.Module, batch_size: int) -> Tensor:
    """Make clips (B, C, T, H, W) of the model's size: a textured square that moves over noise.

    What stands still repeats from frame to frame, so methods that skip it find something.
    """
    wanted = model.preprocessing
    assert isinstance(wanted, Preprocessing)
    size = wanted.image_size
    generator = torch.Generator(device="cpu").manual_seed(0)
    still = torch.randn(batch_size, 3, 1, size, size, generator=generator, device="cpu")
    clips = still.repeat(1, 1, wanted.num_frames, 1, 1)
    side = size // 2
    square = torch.randn(batch_size, 3, side, side, generator=generator, device="cpu")
    for frame in range(wanted.num_frames):
        x = (size - side) * frame // max(wanted.num_frames - 1, 1)
        clips[:, :, frame, side // 2 : side // 2 + side, x : x + side] = square
    return clips
