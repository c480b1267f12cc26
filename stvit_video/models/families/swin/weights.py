"""Key names of Swin: torchvision's of images and videos, original Video Swin, timm, original and
HF Swin, and networks below mmdetection's heads.

Legend: S stage, I block of a stage.
"""

import math
import re
from typing import Any

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.names import Weights, join_qkv, refuse, rename_keys, set_aside

_PREFIXES = ("module.", "model.", "backbone.", "swin.", "encoder.")
_RULES = (
    (r"patch_embed\.", "embed.patch."),
    (r"embeddings\.patch_embeddings\.projection\.", "embed.patch.proj."),
    (r"embeddings\.norm\.", "embed.patch.norm."),
    (r"layernorm\.", "norm."),
    (r"cls_head\.fc_cls\.", "head."),
    (r"head\.fc\.", "head."),
    (r"classifier\.", "head."),
)
_PARTS = (
    (r"layernorm_before\.", "norm1."),
    (r"layernorm_after\.", "norm2."),
    (r"attention\.self\.(q|k|v)(?:uery|ey|alue)\.", r"attn.\1."),
    (r"attention\.(q|k|v)_proj\.", r"attn.\1."),
    (r"attention\.o_proj\.", "attn.proj."),
    (r"attention\.relative_position_bias\.", "attn."),
    (r"attention\.self\.", "attn."),
    (r"attention\.output\.dense\.", "attn.proj."),
    (r"intermediate\.dense\.", "mlp.fc1."),
    (r"output\.dense\.", "mlp.fc2."),
    (r"mlp\.0\.", "mlp.fc1."),
    (r"mlp\.3\.", "mlp.fc2."),
)
_UNUSED = r".*relative_position_index$|.*attn_mask$|pooler\.|embed\.mask_token$"
PATCHES = r"(?:patch_embed\.proj|patch_embeddings\.projection|features\.0\.0)\.weight"
"""Key of the patches of a dense Swin."""
_PATCHES = re.compile(f"{PATCHES}$")
_BLOCK = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.(.*)")
_MERGING = re.compile(r"layers\.(\d+)\.downsample\.(.*)")


def rename_video(weights: Weights) -> Weights:
    """Give the weights of a Video Swin our names.

    Raises:
        CheckpointError: they are of another family, or of an image Swin.
    """
    return _rename(weights, "a Video Swin", num_axes=5)


def rename_image(weights: Weights) -> Weights:
    """Give the weights of an image Swin our names.

    Raises:
        CheckpointError: they are of another family, or of a Video Swin.
    """
    return _rename(weights, "an image Swin", num_axes=4)


def rename(weights: Weights) -> Weights:
    """Give the weights of an image or a Video Swin our names.

    Raises:
        CheckpointError: they are of another family.
    """
    try:
        return rename_video(weights)
    except CheckpointError:
        return rename_image(weights)


def facts(weights: Weights) -> dict[str, Any]:
    """Say what shapes state: the window, where its height and width are equal.

    A bias table has a row for each of its (2t - 1) (2h - 1) (2w - 1) offsets; an index, where there
    is one, an entry for each pair of its places.

    Raises:
        CheckpointError: they could be of several windows, none of them of 7 x 7.
    """
    tables = [v for k, v in weights.items() if k.endswith("relative_position_bias_table")]
    if not tables:
        return {}
    num_offsets = max(table.shape[0] for table in tables)
    index = [v for k, v in weights.items() if k.endswith("relative_position_index")]
    num_places = max((math.isqrt(pairs.numel()) for pairs in index), default=None)
    is_image = any(v.ndim == 4 for k, v in weights.items() if _PATCHES.search(k))
    fitting = []
    for side in range(2, 33):
        num_times, left_over = divmod(num_offsets, (2 * side - 1) ** 2)
        window = ((num_times + 1) // 2, side, side)
        is_whole = left_over == 0 and num_times % 2 == 1 and (num_times == 1 or not is_image)
        if is_whole and num_places in (None, math.prod(window)):
            fitting.append(window)
    published = [window for window in fitting if window[1] == 7]
    if len(fitting) > 1 and not published:
        could_be = ", ".join("x".join(map(str, window)) for window in fitting)
        raise CheckpointError(
            f"a bias table of {num_offsets} offsets could be of windows {could_be};"
            " give a file with relative_position_index"
        )
    return {"window_size": (published + fitting)[0]} if fitting else {}


def rename_detector(weights: Weights) -> Weights:
    """Take the network out of a detector of mmdetection, which norms the map of every stage."""
    if "norm3.weight" not in weights:
        return weights
    renamed = set_aside(weights, r"(?:neck|rpn_head|roi_head|norm[012])\.")
    return {re.sub(r"^norm3\.", "norm.", key): value for key, value in renamed.items()}


def flatten_stages(weights: Weights) -> Weights:
    """Number the blocks of all stages in one row, a merging after each stage but the last.

    `layers.S.blocks.I` and `layers.S.downsample` become `blocks.N`; mergings that timm keeps at
    the beginning of the next stage come back to the end of theirs.
    """
    depths: dict[int, int] = {}
    for key in weights:
        if match := _BLOCK.fullmatch(key):
            stage, number = int(match[1]), int(match[2])
            depths[stage] = max(depths.get(stage, 0), number + 1)
    starts = {stage: sum(depths.get(i, 0) + 1 for i in range(stage)) for stage in range(99)}
    is_late = not any(key.startswith("layers.0.downsample.") for key in weights)
    flat: Weights = {}
    for key, value in weights.items():
        if match := _BLOCK.fullmatch(key):
            key = f"blocks.{starts[int(match[1])] + int(match[2])}.{match[3]}"
        elif match := _MERGING.fullmatch(key):
            stage = int(match[1]) - int(is_late)
            key = f"blocks.{starts[stage] + depths.get(stage, 0)}.{match[2]}"
        flat[key] = value
    return flat


def _rename(weights: Weights, family: str, *, num_axes: int) -> Weights:
    renamed = rename_detector(rename_keys(_shift_features(weights), _RULES, _PREFIXES))
    renamed = {_within_block(_as_layers(key)): value for key, value in renamed.items()}
    renamed = flatten_stages(join_qkv(set_aside(renamed, _UNUSED)))
    renamed = {
        key.replace("embed.patch.norm.", "embed.norm."): value for key, value in renamed.items()
    }
    refuse(
        renamed,
        family,
        needed=("embed.patch.proj.weight", "blocks.0.attn.relative_position_bias_table"),
        foreign=(r"logit_scale", r"layer_scale", r"absolute_pos_embed", r"position_embeddings"),
    )
    seen = renamed["embed.patch.proj.weight"].ndim
    if seen != num_axes:
        raise CheckpointError(
            f"no weights of {family}: the patch embedding has {seen} axes, not {num_axes}"
        )
    return renamed


def _shift_features(weights: Weights) -> Weights:
    """Count the stages of torchvision's image Swin as those of its Video Swin.

    Its first feature are the patches, which the other keeps apart.
    """
    if "features.0.0.weight" not in weights:
        return weights
    patches = {"features.0.0.": "patch_embed.proj.", "features.0.2.": "patch_embed.norm."}
    shifted: Weights = {}
    for key, value in weights.items():
        if match := re.match(r"features\.(\d+)\.", key):
            start = f"features.{int(match[1]) - 1}."
            start = next((patches[p] for p in patches if key.startswith(p)), start)
            rest = key[match.end() :] if match[1] != "0" else key.rpartition(".")[2]
            key = start + rest
        shifted[key] = value
    return shifted


def _as_layers(key: str) -> str:
    """Write torchvision's stages as the others do: `features.2.1.` is block 1 of stage 1."""
    if match := re.match(r"features\.(\d+)\.(\d+)\.", key):
        return f"layers.{int(match[1]) // 2}.blocks.{match[2]}.{key[match.end() :]}"
    if match := re.match(r"features\.(\d+)\.", key):
        return f"layers.{int(match[1]) // 2}.downsample.{key[match.end() :]}"
    return key


def _within_block(key: str) -> str:
    match = _BLOCK.fullmatch(key)
    if match is None:
        return key
    part = match[3]
    for pattern, replacement in _PARTS:
        if re.match(pattern, part):
            part = re.sub(pattern, replacement, part, count=1)
            break
    return f"layers.{match[1]}.blocks.{match[2]}.{part}"
