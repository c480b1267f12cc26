"""What is known of the accuracy of compared models: measured elsewhere, or how far they agree."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from stvit_video.errors import ConfigError
from stvit_video.measure.compare.words import build_word, example_clips, find_model
from stvit_video.models.network.fuse import fuse
from stvit_video.models.registry import build_model
from stvit_video.settings.model import ModelWord


def check_accuracy(accuracy: dict[str, float], models: Sequence[str]) -> None:
    """Refuse accuracies of models that are not compared.

    Raises:
        ConfigError: naming the entry.
    """
    for model in accuracy:
        if model not in models:
            raise ConfigError(f"accuracy names {model}, which is none of the models")


def agreement_with_first(
    models: Sequence[str], *, pretrained: Path | None, num_clips: int
) -> dict[str, float]:
    """Percent of example clips on which a model's first class is that of the first model.

    Only models of the first one's network, with the same weights: random ones, or `pretrained`.
    Clips are noise with a moving square, so with random weights this tells how much a method
    changes the features, and nothing about accuracy. No clips, no answer.
    """
    if num_clips < 1:
        return {}
    words = [find_model(model) for model in models]
    reference = _build(words[0], pretrained)
    clips = example_clips(reference, num_clips)
    wanted = _classes(reference, clips)
    agreement = {}
    for word in words:
        if word.config.name != words[0].config.name:
            continue
        model = _build(word, pretrained)
        if model.preprocessing == reference.preprocessing:
            _share_weights(reference, model)
            model = fuse(model) if word.fused else model
            agreement[word.text] = 100 * float((_classes(model, clips) == wanted).float().mean())
    return agreement


def _build(word: ModelWord, pretrained: Path | None) -> nn.Module:
    """Build the network as it was trained, not fused yet."""
    torch.manual_seed(0)
    if pretrained is None:
        return build_word(dataclasses.replace(word, fused=False)).eval()
    return build_model(dataclasses.replace(word.config, pretrained=str(pretrained))).eval()


def _share_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy every tensor that both have in the same shape; the rest is the method's own."""
    own = target.state_dict()
    both = {
        name: value
        for name, value in source.state_dict().items()
        if name in own and own[name].shape == value.shape
    }
    target.load_state_dict(own | both)


def _classes(model: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([model(clip[None]).argmax(dim=-1) for clip in clips])
