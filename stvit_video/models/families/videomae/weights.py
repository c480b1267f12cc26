"""Key names of VideoMAE: the original code (pre-training and fine-tuning) and HF transformers."""

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.names import (
    BLOCK_RULES,
    Weights,
    join_qkv,
    refuse,
    rename_keys,
    set_aside,
)

_HF_PREFIXES = ("module.", "model.", "backbone.", "videomae.")
_ORIGINAL_PREFIXES = (*_HF_PREFIXES, "encoder.")
_RULES = (
    *BLOCK_RULES,
    (r"fc_norm\.", "norm."),
    (r"layernorm\.", "norm."),
    (r"classifier\.", "head."),
)

_DECODER = (
    r"(?:module\.|model\.)*"
    r"(?:decoder\.|encoder_to_decoder\.|(?:encoder\.)?(?:mask_token|pos_embed)$|position_embeddings$)"
)


def rename(weights: Weights) -> Weights:
    """Give VideoMAE weights our names.

    The norm behind the mean pooling (`fc_norm`) is our `norm`; weights of the pre-training have
    the encoder's norm in its place, and a decoder, which is set aside. Positions are a fixed
    table.

    Raises:
        CheckpointError: they are of another family.
    """
    is_hf = any("encoder.layer." in key for key in weights)
    weights = set_aside(weights, _DECODER)
    prefixes = _HF_PREFIXES if is_hf else _ORIGINAL_PREFIXES
    renamed = join_qkv(rename_keys(weights, _RULES, prefixes))
    refuse(
        renamed,
        "VideoMAE",
        needed=("embed.patch.proj.weight", "blocks.0.attn.qkv.weight"),
        foreign=(r"temporal", r"time_embed", r"^embed\.(?!patch\.)", r"gamma_[12]$"),
    )
    if renamed["embed.patch.proj.weight"].ndim != 5:
        raise CheckpointError("no weights of VideoMAE: the patch embedding has no time axis")
    return renamed
