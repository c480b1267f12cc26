"""How many tokens each block of a network works on.

Legend: B clips, N tokens, D width.
"""

import re
from typing import Any

import torch
from torch import Tensor, nn


def tokens_per_block(model: nn.Module, clip: Tensor) -> list[int]:
    """Run `model` on `clip` (1, C, T, H, W), here or on the meta device, and list its tokens.

    Read where the tokens (..., D) enter the MLP of `blocks.0`, `blocks.1`, ...; class tokens count.
    Empty for a network that has no such blocks.
    """
    counts: dict[int, int] = {}

    def note(number: int, tokens: Tensor) -> None:
        counts[number] = tokens.numel() // tokens.shape[-1]

    handles = []
    for name, module in model.named_modules():
        if match := re.fullmatch(r"blocks\.(\d+)\.mlp", name):

            def hook(_: nn.Module, inputs: Any, number: int = int(match[1])) -> None:
                note(number, inputs[0])

            handles.append(module.register_forward_pre_hook(hook))
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(clip)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return [counts[number] for number in sorted(counts)]
