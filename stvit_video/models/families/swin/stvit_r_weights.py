"""Key names of the released STViT-R on Swin: classifiers, and networks below mmdetection's heads.

Legend: D width.
"""

from typing import Any

import torch

from stvit_video.models.families.swin import weights as swin_names
from stvit_video.models.families.swin.weights import flatten_stages, rename_detector
from stvit_video.models.weights.names import Weights, has_key, refuse, rename_keys, set_aside

_STEM = (
    (r"patch_embed\.proj\.0\.c\.", "embed.patch.proj.0."),
    (r"patch_embed\.proj\.0\.bn\.", "embed.patch.proj.1."),
    (r"patch_embed\.proj\.2\.c\.", "embed.patch.proj.3."),
    (r"patch_embed\.proj\.2\.bn\.", "embed.patch.proj.4."),
    (r"layers\.2\.semantic_token2$", "stages.5.generator.global_centers"),
    (r"(.*)\.layer_scale_1$", r"\1.scale1.gamma"),
    (r"(.*)\.layer_scale_2$", r"\1.scale2.gamma"),
)
_UNUSED = r".*relative_position_index$|.*attn_mask$"


def rename(weights: Weights) -> Weights:
    """Give the released weights our names: q and kv joined, blocks of all stages in one row.

    A dense Swin fills the blocks that both have.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = rename_keys(weights, _STEM, ("module.", "model.", "backbone."))
    if has_key(weights, swin_names.PATCHES):
        return swin_names.rename_image(weights)  # a dense one: its blocks are the same
    renamed = rename_detector(renamed)
    refuse(
        renamed,
        "STViT-R",
        needed=("embed.patch.proj.0.weight", "layers.2.blocks.1.attn.kv.weight"),
        foreign=(r"relative_position_bias_table_", r"conv_pos"),
    )
    renamed = flatten_stages(_join_cross_attention(set_aside(renamed, _UNUSED)))
    for norm in ("embed.patch.proj.1", "embed.patch.proj.4"):
        renamed.setdefault(f"{norm}.num_batches_tracked", torch.tensor(0))
    return renamed


def facts(weights: Weights) -> dict[str, Any]:
    """Return the fields of the row that weights state: global centres are there or not."""
    return {"has_global_centers": has_key(weights, r"layers\.2\.semantic_token2")}


def _join_cross_attention(weights: Weights) -> Weights:
    """Join `attn.q` (D, D) and `attn.kv` (2D, D) into `attn.qkv` (3D, D), biases alike."""
    joined: Weights = {}
    for key, value in weights.items():
        if ".attn.q." in key:
            kv = weights[key.replace(".attn.q.", ".attn.kv.")]
            joined[key.replace(".attn.q.", ".attn.qkv.")] = torch.cat([value, kv])
        elif ".attn.kv." not in key:
            joined[key] = value
    return joined
