"""What is timed: one forward pass, or one training step, of a model on a fixed batch.

Legend: B clips in a batch.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.errors import ConfigError

Mode = Literal["inference", "training"]
Step = Callable[[], object]
CUDA_GRAPH = "cuda-graph"


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

    Raises:
        ConfigError: `cuda-graph` for a training step, or without a CUDA device.
    """
    if compile_mode == CUDA_GRAPH and (mode == "training" or not clips.is_cuda):
        raise ConfigError(
            f"compile mode {CUDA_GRAPH} replays inference on a CUDA device, not {mode} on"
            f" {clips.device.type}; use default"
        )
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
    """Compile for static shapes: `off`, `blocks`, `cuda-graph` or one of torch's modes.

    `blocks` compiles each of `model.blocks` alone, and once for all of a shape: a tenth of the time
    of the whole network. `cuda-graph` compiles as `default` does and replays all kernels by one
    launch, for inference at small batches; torch's `reduce-overhead` does too, but checks more.
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
    if mode == CUDA_GRAPH:
        return _captured(torch.compile(model, dynamic=False))
    return torch.compile(model, mode=None if mode == "default" else mode, dynamic=False)


def _captured(run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Capture at the first call; later ones copy their clips to where the graph reads them.

    `torch.cuda.make_graphed_callables` serves training, too, for more work on the host per call.
    """
    captured: list[tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = []

    def replay(clips: Tensor) -> Tensor:
        if not captured:
            captured.append(_capture(run, clips.clone()))
        graph, read, logits = captured[0]
        read.copy_(clips)
        graph.replay()
        return logits

    return replay


def _capture(
    run: Callable[[Tensor], Tensor], clips: Tensor
) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # compile, and let libraries set themselves up
        for _ in range(3):
            run(clips)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = run(clips)
    return graph, clips, logits


def _bytes_of(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
