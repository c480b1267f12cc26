"""What families share when they say a model in the words of HF transformers.

The other way than `names` and `describe`; what has no word there is refused.

Legend: D width, K classes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from stvit_video.errors import CheckpointError
from stvit_video.models.card import activation_name
from stvit_video.models.exported import OWN_KEY
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.variant import Recipe
from stvit_video.models.weights.names import Rule, Weights, rename_keys

KEEP = "keep it in a folder of stvit-video: convert without --to"
_DENSE = "write the dense network of these weights, stvit_video.sparsify(model, None)"
_HIDDEN_ACT = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}

BEFORE_5 = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.q": "attention.attention.query",
    "attn.k": "attention.attention.key",
    "attn.v": "attention.attention.value",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
"""Parts of a block where transformers 5 kept the names of 4: VideoMAE, TimeSformer."""
SINCE_5 = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.q": "attention.q_proj",
    "attn.k": "attention.k_proj",
    "attn.v": "attention.v_proj",
    "attn.proj": "attention.o_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
"""Parts of a block of ViT, DeiT and ViViT."""

Unsaid = tuple[bool, str, str]
"""Whether a model has what transformers cannot say; the setting with its value; the next step."""


def recipe_of(model: VideoModel) -> Recipe:
    """Return how a model was made; the writer has made sure that it is known."""
    assert model.recipe is not None
    return model.recipe


def refuse_unsaid(model: VideoModel, architecture: str, more: Iterable[Unsaid] = ()) -> None:
    """Refuse what the class of transformers cannot say.

    Raises:
        CheckpointError: naming the first such setting and the next step.
    """
    recipe = recipe_of(model)
    options, variant = recipe.options, recipe.variant
    semantic = "+".join(map(str, options.semantic))
    layers = ", ".join(map(str, options.attentive_layers))
    order = options.preprocessing.channel_order
    common = (
        (bool(semantic), f"semantic ({semantic})", _DENSE),
        (options.reducer is not None, f"reduction ({options.reducer})", _DENSE),
        (bool(layers), f"attentive_layers ({layers})", KEEP),
        (getattr(variant, "layer_scale", None) is not None, "layer_scale (learned)", KEEP),
        (order != "rgb", f"channel_order ({order})", KEEP),
    )
    for is_there, setting, step in (*common, *more):
        if is_there:
            raise CheckpointError(
                f"{setting} has no place in {architecture} of transformers; {step}"
            )


def no_attentive_pooler(model: VideoModel) -> Unsaid:
    """Say that the head must read what the family pools."""
    number = model.attentive_blocks
    return number > 0, f"attentive_blocks ({number})", KEEP


def class_token(model: VideoModel, number: int) -> Unsaid:
    """Say that there must be so many class tokens; where there are any, the head reads them."""
    token = getattr(model.embed, "cls_token", None)
    found = 0 if token is None else token.shape[1]
    pool = "class" if number else "mean"
    if found == number:
        return model.pool != pool, f"pool ({model.pool})", KEEP
    return True, f"class_token ({found} of {number})", KEEP


def state_of(model: VideoModel) -> Weights:
    """Return the weights of a model, on the CPU."""
    return {key: value.detach().cpu() for key, value in model.state_dict().items()}


def split_qkv(weights: Weights) -> Weights:
    """Split `attn.qkv.{weight,bias}` (3D, D), (3D,) into `attn.{q,k,v}`, as `join_qkv` joins."""
    split: Weights = {}
    for key, value in weights.items():
        if (match := re.fullmatch(r"(.*\battn)\.qkv\.(weight|bias)", key)) is None:
            split[key] = value
            continue
        for part, tensor in zip("qkv", value.chunk(3), strict=True):
            split[f"{match[1]}.{part}.{match[2]}"] = tensor.clone()  # a file holds no shared memory
    return split


def as_convolution(weights: Weights, kernel: Sequence[int]) -> None:
    """Give the patch embedding (D, C * kernel) the axes of a convolution: (D, C, *kernel)."""
    key = "embed.patch.proj.weight"
    weights[key] = weights[key].unflatten(1, (-1, *kernel))


def block_rules(layers: str, names: Mapping[str, str]) -> tuple[Rule, ...]:
    """Return the rules for the parts of all blocks, such as `blocks.3.norm1.` under `layers`."""
    return tuple(
        (rf"blocks\.(\d+)\.{re.escape(own)}\.", rf"{layers}.\1.{name}.")
        for own, name in names.items()
    )


def rename_all(weights: Weights, rules: Sequence[Rule], architecture: str) -> Weights:
    """Rename every key by the first rule that matches.

    Raises:
        CheckpointError: a key matches none.
    """
    for key in weights:
        if not any(re.match(pattern, key) for pattern, _ in rules):
            raise CheckpointError(f"{key} has no place in {architecture} of transformers; {KEEP}")
    return rename_keys(weights, rules)


def config_of(model: VideoModel, architecture: str, model_type: str) -> dict[str, Any]:
    """Return what `config.json` says in all families, besides labels."""
    recipe = recipe_of(model)
    row: Any = recipe.variant
    shape = recipe.options.preprocessing
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "hidden_size": row.dim,
        "num_hidden_layers": row.depth,
        "num_attention_heads": row.num_heads,
        "intermediate_size": int(row.dim * row.mlp_ratio),
        "hidden_act": _HIDDEN_ACT[activation_name(row.activation)],
        "layer_norm_eps": row.norm_eps,
        "image_size": shape.image_size,
        OWN_KEY: {"frame_stride": shape.frame_stride, "short_side": shape.short_side},
    }


def processor_of(model: VideoModel, **kind: str) -> dict[str, Any]:
    """Return how frames become a clip: short side, centre crop, 0..1, colours."""
    shape = recipe_of(model).options.preprocessing
    return {
        **kind,
        "do_resize": True,
        "size": {"shortest_edge": round(shape.short_side * shape.image_size)},
        "resample": 2,  # bilinear
        "do_center_crop": True,
        "crop_size": {"height": shape.image_size, "width": shape.image_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(shape.mean),
        "image_std": list(shape.std),
    }


def eps_notes(what: str, own: float, theirs: float) -> tuple[str, ...]:
    """Say that a norm has another epsilon in transformers, which has no setting for it."""
    if own == theirs:
        return ()
    return (f"changed: {what} (epsilon {own:g} is {theirs:g} there: logits differ a little)",)


def drop_key_biases(weights: Weights) -> tuple[Weights, tuple[str, ...]]:
    """Drop the biases of keys (D,), which add the same to all scores of a query: softmax is blind.

    So it is only where keys do not depend on their place, and attention is over all of them.
    """
    kept = {key: value for key, value in weights.items() if not key.endswith(".attn.k.bias")}
    trained = [key for key in weights if key not in kept and bool(weights[key].any())]
    if not trained:
        return kept, ()
    number = f"{len(trained)} biases of keys, {trained[0]} the first"
    return kept, (f"dropped: {number} (the same for all keys, so attention is what it was)",)


def start_pooler(dim: int, like: Tensor) -> tuple[Weights, dict[str, Any]]:
    """Return the pooler that base models of transformers want, as one that changes nothing.

    Its output is then the class token (B, D), normed, which a model of ours without head returns.
    """
    weights = {"pooler.dense.weight": like.new_zeros(dim, dim), "pooler.dense.bias": like[:dim] * 0}
    weights["pooler.dense.weight"].fill_diagonal_(1)
    return weights, {"pooler_act": "linear"}
