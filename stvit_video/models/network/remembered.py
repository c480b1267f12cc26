"""A network that knows how it was made: its state dicts say so, and others are refused by name."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from stvit_video.errors import ConfigError, StateDictError
from stvit_video.models.layers.attentive import num_pooler_blocks
from stvit_video.models.variant import Recipe

NOTE = "stvit_video"
"""Where the metadata of a state dict hold the arguments of `create_model`."""


class RememberedModule(nn.Module):
    """A network that remembers its recipe."""

    recipe: Recipe | None = None
    """How `create_model` or `sparsify` made it; None where it cannot be made again."""

    def __init__(self) -> None:
        super().__init__()
        self.register_state_dict_post_hook(_note_recipe)

    @property
    def name(self) -> str:
        """Name in the registry, or of the class where it was not made by name."""
        return self.recipe.name if self.recipe else type(self).__name__

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights, and return what torch returns; `strict` wants every key and no other.

        Raises:
            StateDictError: keys or shapes are not the model's; a `RuntimeError`, as torch raises.
        """
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        except RuntimeError:
            refusal = _explain(self, state_dict) if strict else None
            if refusal is None:
                raise
        raise StateDictError(refusal)

    def __prepare_scriptable__(self) -> Any:
        """Refuse torch.jit.script, which asks for this first."""
        raise ConfigError(
            f"torch.jit.script cannot read {self.name}; use torch.export.export, or torch.compile"
        )

    def _remember(self, **changed: Any) -> None:
        """Let the recipe say what was changed."""
        if self.recipe is not None:
            self.recipe = replace(self.recipe, options=replace(self.recipe.options, **changed))


def _note_recipe(
    module: nn.Module, weights: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    """Leave a note in the metadata of a state dict, which torch.save keeps."""
    if isinstance(module, RememberedModule) and module.recipe is not None:
        metadata[NOTE] = _arguments(module.recipe)


def _arguments(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of `create_model` that decide about keys and shapes."""
    options = recipe.options
    is_usual = options.attentive_blocks == recipe.variant.attentive_blocks
    return {
        "name": recipe.name,
        "semantic": "+".join(map(str, options.semantic)) or None,
        "reduction": None if options.reducer is None else str(options.reducer),
        "num_classes": options.num_classes,
        "attentive_blocks": None if is_usual else options.attentive_blocks,
    }


def _explain(model: RememberedModule, weights: Mapping[str, Any]) -> str | None:
    """Say which setting the weights seem to be of, and which keys do not fit; None if all do."""
    own = model.state_dict()
    unlike = _unlike_keys(own, weights)
    if not unlike:
        return None
    title = f"the state dict does not fit {model.name}: "
    reader = f"create_model({model.name!r}, pretrained=FILE)"
    if own.keys().isdisjoint(weights):
        first = next(iter(weights), "nothing")
        return f"{title}no key is the model's, {first} is there; {reader} reads other names"
    theirs, ours = _look(weights), _look(own)
    topics = [topic for topic in ours if theirs.get(topic, ours[topic]) != ours[topic]]
    if not topics:
        return f"{title}{unlike}; strict=False leaves out what is missing or unexpected"
    note = getattr(weights, "_metadata", {}).get("", {}).get(NOTE)
    if model.recipe is not None:
        ours["setting"] = _setting(_arguments(model.recipe))
    make = "make the model so"
    if note is not None:
        theirs["setting"] = _setting(note)
        make = f"make the model by create_model({_call(note)})"
    return (
        f"{title}it seems to be of {', '.join(theirs[topic] for topic in topics)}, the model has"
        f" {', '.join(ours[topic] for topic in topics)} ({unlike}); {make}, or let {reader} adapt"
        " the weights"
    )


def _call(arguments: Mapping[str, Any]) -> str:
    """Write arguments as they are called: `'vit', semantic='1x4x4@4'`."""
    given = [f"{key}={value!r}" for key, value in arguments.items() if value is not None]
    return ", ".join(given).removeprefix("name=")


def _setting(arguments: Mapping[str, Any]) -> str:
    """Name a setting: `semantic 8x4x4@4`, `reduction tome:r=5` or `dense blocks`."""
    named = [f"{key} {arguments[key]}" for key in ("semantic", "reduction") if arguments[key]]
    return named[0] if named else "dense blocks"


def _look(weights: Mapping[str, Any]) -> dict[str, str]:
    """Say by keys and shapes what weights are of, topic by topic."""
    shapes = {key: value.shape for key, value in weights.items() if isinstance(value, Tensor)}
    centers = [shape[1] for key, shape in shapes.items() if key.endswith(".global_centers")]
    pooling = " and learned pooling" if any(".generator.pool." in key for key in shapes) else ""
    classes = shapes.get("head.weight", (0,))[0]
    attentive = num_pooler_blocks(shapes)
    blocks = {key.split(".")[1] for key in shapes if key.startswith("blocks.")}
    topics = {
        "setting": f"{' + '.join(map(str, centers)) or 'no'} global centres{pooling}",
        "classes": f"{classes} classes" if classes else "no head",
        "pooler": f"{attentive} attentive blocks" if attentive else "no attentive pooler",
        "class token": f"{shapes.get('embed.cls_token', (1, 0))[1]} class tokens",
        "positions": f"{shapes.get('embed.pos_embed', (1, 0))[1]} positions",
        "depth": f"{len(blocks)} blocks",
    }
    if "norm.weight" in shapes:
        topics["width"] = f"width {shapes['norm.weight'][0]}"
    return topics


def _unlike_keys(own: Mapping[str, Tensor], weights: Mapping[str, Any]) -> str:
    """Name the first keys that are missing, unexpected or of another size; empty if there are none.

    Sizes, as layers may read another shape of as many numbers.
    """
    sizes = {key: value for key, value in weights.items() if isinstance(value, Tensor)}
    found = {
        "missing": [key for key in own if key not in weights],
        "unexpected": [key for key in weights if key not in own],
        "of another shape": [
            f"{key} {tuple(sizes[key].shape)}, here {tuple(value.shape)}"
            for key, value in own.items()
            if key in sizes and sizes[key].numel() != value.numel()
        ],
    }
    return "; ".join(f"{title}: {_first(keys)}" for title, keys in found.items() if keys)


def _first(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
