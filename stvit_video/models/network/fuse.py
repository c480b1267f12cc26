"""Make a network for inference only that computes the same in fewer passes over memory."""

import copy

import torch
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.models.layers.blocks import DividedBlock
from stvit_video.models.layers.branch import Mlp
from stvit_video.models.layers.linear import is_plain
from stvit_video.models.network.video_model import VideoModel


def fuse(model: nn.Module) -> VideoModel:
    """Return a copy of one of our networks for inference; `model` is left as it is.

    - GELU becomes part of the matrix product before it. On CUDA that is its tanh form, at most
      5e-4 off, but not rounded to bfloat16 in between; on the CPU it stays exact.
    - In divided attention, the two linear layers after attention along time become one.

    The copy is in eval mode, has no gradients, and is no checkpoint: save `model` instead.

    Raises:
        ConfigError: the network is not one of ours.
    """
    if not isinstance(model, VideoModel):
        raise ConfigError(
            f"{type(model).__name__} cannot be fused: only networks of stvit_video can;"
            " make one of it with stvit_video.sparsify(model, None)"
        )
    fused = copy.deepcopy(model)
    for module in list(fused.modules()):
        if isinstance(module, DividedBlock):
            _merge_temporal_map(module)
        mlp = getattr(module, "mlp", None)
        if isinstance(mlp, Mlp) and _can_fuse(mlp):
            module.mlp = FusedMlp(mlp)
    fused.recipe = None
    return fused.eval().requires_grad_(False)


class FusedMlp(nn.Module):
    """Linear with GELU in one product, then linear."""

    def __init__(self, mlp: Mlp) -> None:
        super().__init__()
        self.fc1 = mlp.fc1
        self.fc2 = mlp.fc2

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, D) -> (B, N, D)."""
        hidden = torch._addmm_activation(
            self.fc1.bias, tokens.flatten(0, -2), self.fc1.weight.T, use_gelu=True
        )  # (B*N, 4D)
        return self.fc2(hidden).view(tokens.shape)


def _can_fuse(mlp: Mlp) -> bool:
    is_exact = isinstance(mlp.act, nn.GELU) and mlp.act.approximate == "none"
    return is_exact and is_plain(mlp.fc1)


@torch.no_grad()
def _merge_temporal_map(block: DividedBlock) -> None:
    """Make one layer of the projection after attention along time and the map that follows."""
    first, second = block.temporal_attn.proj, block.temporal_fc
    if not (is_plain(first) and is_plain(second)):
        return
    weight = second.weight.double() @ first.weight.double()
    bias = second.weight.double() @ first.bias.double() + second.bias.double()
    first.weight.copy_(weight)
    first.bias.copy_(bias)
    block.temporal_fc = nn.Identity()
