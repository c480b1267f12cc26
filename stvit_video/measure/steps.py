"""What is timed: one forward pass, or one training step, of a model on a fixed batch.

Legend: B clips in a batch.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Mode = Literal["inference", "training"]
Step = Callable[[], object]


def build_step(
    model: nn.Module,
    clips: Tensor,
    *,
    mode: Mode,
    compile_mode: str = "off",
    autocast_dtype: torch.dtype | None = None,
) -> tuple[Step, Callable[[], int]]:
    """Return one step of `model` on `clips` (B, C, T, H, W), and the bytes that stay between steps.

    A training step is forward, cross-entropy against fixed labels, backward and AdamW.
    """
    run = compiled(model, compile_mode)
    autocast = torch.autocast(
        clips.device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None
    )
    if mode == "inference":
        model.eval()

        @torch.inference_mode()
        def infer() -> object:
            with autocast:
                return run(clips)

        return infer, lambda: _bytes_of([*model.parameters(), *model.buffers(), clips])
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-5, fused=clips.device.type == "cuda" or None
    )
    labels = torch.zeros(len(clips), dtype=torch.long, device=clips.device)

    def train() -> object:
        with autocast:
            loss = F.cross_entropy(run(clips), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def resident_bytes() -> int:
        state = [value for values in optimizer.state.values() for value in values.values()]
        tensors = [value for value in state if isinstance(value, Tensor)]
        return _bytes_of([*model.parameters(), *model.buffers(), clips, *tensors])

    return train, resident_bytes


def compiled(model: nn.Module, mode: str) -> Callable[[Tensor], Tensor]:
    """Compile for static shapes: `off`, `blocks` (each of `model.blocks` alone), or torch's modes.

    `blocks` compiles once for all blocks of a shape, in a tenth of the time of the whole network.
    """
    if mode == "off":
        return model
    # Many models share the code of a layer: past the limit torch would quietly run them eagerly.
    torch._dynamo.config.recompile_limit = 1000
    torch._dynamo.config.accumulated_recompile_limit = 10000
    if mode == "blocks":
        for block in model.blocks:  # type: ignore[union-attr]
            block.compile(dynamic=False)
        return model
    return torch.compile(model, mode=None if mode == "default" else mode, dynamic=False)


def _bytes_of(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
