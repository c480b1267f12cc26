"""Give published weights our key names, by rules. Each family's file holds its own rules.

Legend: D width.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from stvit_video.errors import CheckpointError
from stvit_video.settings.model import Preprocessing

Weights = dict[str, Tensor]
Rule = tuple[str, str]

BLOCK_RULES: tuple[Rule, ...] = (
    (r"(.*?)(?:encoder\.layer|layers?)\.(\d+)\.layernorm_before\.", r"\1blocks.\2.norm1."),
    (r"(.*?)(?:encoder\.layer|layers?)\.(\d+)\.layernorm_after\.", r"\1blocks.\2.norm2."),
    (
        r"(.*?)encoder\.layer\.(\d+)\.attention\.attention\.(q|k|v)(?:uery|ey|alue)\.",
        r"\1blocks.\2.attn.\3.",
    ),
    (r"(.*?)encoder\.layer\.(\d+)\.attention\.attention\.(q|v)_bias", r"\1blocks.\2.attn.\3.bias"),
    (r"(.*?)encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"\1blocks.\2.attn.proj."),
    (r"(.*?)encoder\.layer\.(\d+)\.intermediate\.dense\.", r"\1blocks.\2.mlp.fc1."),
    (r"(.*?)encoder\.layer\.(\d+)\.output\.dense\.", r"\1blocks.\2.mlp.fc2."),
    (r"(.*?)layers\.(\d+)\.attention\.(q|k|v)_proj\.", r"\1blocks.\2.attn.\3."),
    (r"(.*?)layers\.(\d+)\.attention\.o_proj\.", r"\1blocks.\2.attn.proj."),
    (r"(.*?)layers\.(\d+)\.mlp\.(fc[12])\.", r"\1blocks.\2.mlp.\3."),
    (r"(.*?)blocks\.(\d+)\.attn\.(q|v)_bias$", r"\1blocks.\2.attn.\3.bias"),
    (r"(.*?)blocks\.(\d+)\.ls([12])\.gamma$", r"\1blocks.\2.scale\3.gamma"),
    (r"(.*?)blocks\.(\d+)\.gamma_([12])$", r"\1blocks.\2.scale\3.gamma"),
    (r"(.*?)embeddings\.cls_token$", r"\1embed.cls_token"),
    (r"(.*?)embeddings\.position_embeddings$", r"\1embed.pos_embed"),
    (r"(.*?)embeddings\.patch_embeddings\.projection\.", r"\1embed.patch.proj."),
    (r"(.*?)patch_embed\.proj\.", r"\1embed.patch.proj."),
    (r"(.*?)(?<![.\w])(cls_token|pos_embed)$", r"\1embed.\2"),
)
"""Plain ViT blocks and embeddings: timm, the original codes, HF transformers before and since 5."""


def has_key(weights: Weights, pattern: str) -> bool:
    """Whether a key ends as the pattern says, behind a dot or alone."""
    match = re.compile(rf"(?:.*\.)?(?:{pattern})").fullmatch
    return any(match(key) for key in weights)


def layer_scale_of(weights: Weights) -> dict[str, Any]:
    """Return the field of a row whose branches are scaled, where they are."""
    return {"layer_scale": 1.0} if has_key(weights, r"ls1\.gamma|gamma_1") else {}


def clip_of_places(
    num_places: int,
    usual: Preprocessing,
    family: str,
    *,
    patch_size: int,
    image_sizes: Sequence[int],
) -> Preprocessing:
    """Return the clips that a table of positions was made for, of all sizes that it may be of.

    Tubelets have one frame; where the number fits several sizes, it is that of the fewest frames.

    Raises:
        CheckpointError: it fits none.
    """
    fitting = {
        size: num_places // (size // patch_size) ** 2
        for size in image_sizes
        if num_places % (size // patch_size) ** 2 == 0
    }
    if not fitting:
        raise CheckpointError(
            f"no weights of {family}: {num_places} positions are no frames of"
            f" {' or '.join(map(str, image_sizes))} pixels in patches of {patch_size}"
        )
    image_size = min(fitting, key=lambda size: fitting[size])
    return replace(usual, num_frames=fitting[image_size], image_size=image_size)


UNUSED = "unused."
"""Begins the new name of a published tensor that no classifier needs, such as a decoder's."""


def unwrap(weights: Weights, source: str) -> Weights:
    """Take off what torch.compile, DDP and wrappers put ahead of every key.

    Raises:
        CheckpointError: two keys are then the same.
    """
    unwrapped: Weights = {}
    for key, value in weights.items():
        bare = _WRAPPERS.sub("", key)
        if bare in unwrapped:
            raise CheckpointError(f"{source} holds {bare} under two wrappers; keep one of them")
        unwrapped[bare] = value
    return unwrapped


_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.|net\.)+")


def rename_keys(weights: Weights, rules: Sequence[Rule], prefixes: Iterable[str] = ()) -> Weights:
    """Apply the first rule whose pattern matches the beginning of a key; others keep their name.

    The `prefixes`, such as `module.`, are taken off first, in any order and number.
    """
    prefix = re.compile(f"(?:{'|'.join(map(re.escape, prefixes))})*") if prefixes else None
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed: Weights = {}
    for key, value in weights.items():
        bare = key if prefix is None else prefix.sub("", key, count=1)
        for pattern, replacement in compiled:
            if pattern.match(bare):
                bare = pattern.sub(replacement, bare, count=1)
                break
        renamed[bare] = value
    return renamed


def set_aside(weights: Weights, pattern: str) -> Weights:
    """Put `unused.` ahead of the keys that match, so that loading reports and drops them."""
    match = re.compile(pattern).match
    return {UNUSED + key if match(key) else key: value for key, value in weights.items()}


def join_qkv(weights: Weights) -> Weights:
    """Join `attn.{q,k,v}.{weight,bias}` (D, D), (D,) into `attn.qkv` (3D, D), (3D,).

    A bias that a checkpoint does not have is zero: keys have none in VideoMAE.
    """
    joined = {key: value for key, value in weights.items() if not _PART.fullmatch(key)}
    for name in sorted({m[1] for key in weights if (m := _PART.fullmatch(key))}):
        if f"{name}.q.weight" in weights:
            parts = [weights.get(f"{name}.{part}.weight") for part in "qkv"]
            if any(part is None for part in parts):
                raise CheckpointError(f"{name} has no q, k and v weights")
            joined[f"{name}.qkv.weight"] = torch.cat([part for part in parts if part is not None])
        if f"{name}.qkv.weight" not in joined:
            raise CheckpointError(f"{name} has biases, but no weights")
        dim = joined[f"{name}.qkv.weight"].shape[0] // 3
        zero = joined[f"{name}.qkv.weight"].new_zeros(dim)
        biases = [weights.get(f"{name}.{part}.bias", zero) for part in "qkv"]
        joined[f"{name}.qkv.bias"] = torch.cat(biases)
    for key in [key for key in joined if key.endswith("attn.qkv.weight")]:
        bias = key.removesuffix("weight") + "bias"
        joined.setdefault(bias, joined[key].new_zeros(joined[key].shape[0]))
    return joined


_PART = re.compile(r"(.*\battn)\.[qkv]\.(?:weight|bias)")


def refuse(weights: Weights, family: str, needed: Iterable[str], foreign: Iterable[str]) -> None:
    """Refuse renamed weights of another family.

    Raises:
        CheckpointError: a `needed` key is not there, or a key matches a pattern of `foreign`.
    """
    for key in needed:
        if key not in weights:
            first = next(iter(weights), "nothing")
            raise CheckpointError(f"no weights of {family}: {key} is missing, {first} is there")
    for pattern in foreign:
        found = next((key for key in weights if re.search(pattern, key)), None)
        if found is not None:
            raise CheckpointError(f"no weights of {family}: they have {found}")
