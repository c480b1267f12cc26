"""Key names of VideoMAE, VideoMAE V2 and UMT.

Of the original codes (pre-training and fine-tuning), of the hub's folders, of HF transformers.
"""

from typing import Any

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.names import (
    BLOCK_RULES,
    Weights,
    clip_of_places,
    has_key,
    join_qkv,
    layer_scale_of,
    refuse,
    rename_keys,
    set_aside,
)
from stvit_video.settings.model import Preprocessing

_HF_PREFIXES = ("module.", "model.", "backbone.", "videomae.")
_ORIGINAL_PREFIXES = (*_HF_PREFIXES, "encoder.")
_RULES = (
    *BLOCK_RULES,
    (r"fc_norm\.", "norm."),
    (r"layernorm\.", "norm."),
    (r"(?:classifier|cls_head\.fc_cls)\.", "head."),
)

_DECODER = (
    r"(?:module\.|model\.)*"
    r"(?:(?:clip_)?decoder\.|encoder_to_decoder\.|(?:encoder\.)?mask_token$|position_embeddings$)"
)


def facts(weights: Weights) -> dict[str, Any]:
    """Say what keys state: positions that were learned, scaled branches.

    Raises:
        CheckpointError: the head reads the first token, as without mean pooling; no model does.
    """
    encoder = {key: value for key, value in weights.items() if "decoder." not in key}
    is_head = has_key(encoder, r"(?:head|classifier|fc_cls)\.weight")
    if is_head and not has_key(weights, r"fc_norm\.weight"):
        raise CheckpointError(
            "no weights of VideoMAE as we have it: without fc_norm the head reads the first token"
            " alone (use_mean_pooling=False, --use_cls); fine-tune with mean pooling"
        )
    is_learned = has_key(encoder, "pos_embed")
    return layer_scale_of(weights) | ({"positions": "learned"} if is_learned else {})


_UMT_SIZES = (224, 384)
"""Pixels of the clips that UMT was fine-tuned on; no number of positions fits both."""


def umt_facts(weights: Weights, usual: Preprocessing) -> dict[str, Any]:
    """Say what keys state; UMT keeps its positions for clips other than 8 frames of 224 pixels.

    Their number tells which; patches have 16 pixels, `usual` says all else of a clip.

    Raises:
        CheckpointError: it tells of no size that was published, or as `facts`.
    """
    found = facts(weights)
    places = next((x.shape[1] for key, x in weights.items() if key.endswith("pos_embed")), None)
    if places is None:
        return found
    clip = clip_of_places(places, usual, "UMT", patch_size=16, image_sizes=_UMT_SIZES)
    return found | {"preprocessing": clip}


def rename(weights: Weights) -> Weights:
    """Give VideoMAE weights our names.

    The norm behind the mean pooling (`fc_norm`) is our `norm`; weights of the pre-training have
    the encoder's norm in its place, and decoders, which are set aside. Positions are a fixed
    table, but where the file has learned ones.

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
        foreign=(r"temporal", r"time_embed", r"\.attn\.scale$", r"^embed\.(?!patch\.|pos_embed$)"),
    )
    if renamed["embed.patch.proj.weight"].ndim != 5:
        raise CheckpointError("no weights of VideoMAE: the patch embedding has no time axis")
    return renamed
