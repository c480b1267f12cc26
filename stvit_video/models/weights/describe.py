"""What a published checkpoint says of itself: HF and timm `config.json` and their neighbours."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stvit_video.errors import CheckpointError
from stvit_video.models.card import ACTIVATIONS
from stvit_video.models.exported import MOST_CONFIG_BYTES, OWN_KEY
from stvit_video.models.variant import Variant
from stvit_video.models.weights.hf_sizes import HF_SIZES, one_side
from stvit_video.models.weights.image_encoders import (
    dinov3_details,
    image_half,
    videoprism_details,
)
from stvit_video.settings.bounds import Classes, NotNegative, fit_value, shorten
from stvit_video.settings.model import Preprocessing
from stvit_video.untrusted import read_json

Json = Mapping[str, Any]

_ACTIVATION_NAMES = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What is known of a checkpoint beside its tensors; empty where nothing is."""

    model_type: str = ""
    """Architecture by the name that its library gives it."""
    structure: dict[str, Any] = field(default_factory=dict)
    """Sizes that a row of the registry must agree with."""
    details: dict[str, Any] = field(default_factory=dict)
    """Settings that change no shape, and are taken over."""
    preprocessing: dict[str, Any] = field(default_factory=dict)
    """Fields of `Preprocessing` that it sets."""
    labels: tuple[str, ...] = ()
    """Class names by index."""
    num_classes: int | None = None
    """Width of its head."""
    multi_label: bool = False
    """Whether each of its logits is a question of its own."""
    license: str = ""
    """As the hub page states it."""

    def check_structure(self, variant: Variant, title: str) -> None:
        """Refuse a row of other sizes.

        Raises:
            CheckpointError: naming the first size that differs.
        """
        for name, value in self.structure.items():
            expected = getattr(variant, name, value)
            if value != expected:
                raise CheckpointError(f"{title}: its {name} is {value}, the model's {expected}")

    def details_for(self, variant: Variant) -> dict[str, Any]:
        """Return the details that rows of this kind have."""
        known = {entry.name for entry in dataclasses.fields(variant)}
        return {name: value for name, value in self.details.items() if name in known}

    def preprocessing_for(self, usual: Preprocessing, *, is_image: bool) -> Preprocessing:
        """Return the row's preprocessing with what the checkpoint says.

        Of an image that is to be inflated only the colours count.
        """
        fields = self.preprocessing
        if is_image:
            colours = ("mean", "std", "channel_order")
            fields = {name: value for name, value in fields.items() if name in colours}
        return dataclasses.replace(usual, **fields)


def describe_folder(folder: Path, source: str) -> Description:
    """Read the JSON files and the licence beside the weights, where there are any.

    Raises:
        CheckpointError: a file is no JSON, or asks for something that our blocks do not do.
    """
    config = _read_json(folder / "config.json")
    processor: Json = {}
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        processor = processor or _read_json(folder / name)
    try:
        description = describe_config(config, source, processor)
        fit_value("num_classes", description.num_classes, Classes | None)
        for name, value in description.details.items():
            if isinstance(value, float):
                fit_value(name, value, NotNegative)
    except CheckpointError:
        raise
    except _MISFITS as error:
        reason = shorten(f"{type(error).__name__}: {error}")
        raise CheckpointError(f"{source}: config.json cannot be used ({reason})") from error
    license = _stated_license(folder / "README.md")
    return dataclasses.replace(description, license=license) if license else description


_MISFITS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What comes of values of another kind than a library writes."""


def _stated_license(readme: Path) -> str:
    """Read the licence in the head of a page of the hub; empty where there is none."""
    if not readme.is_file():
        return ""
    with readme.open("rb") as file:
        head = file.read(_README_BYTES).decode(errors="replace")
    stated = re.search(r"\A---\s.*?^license:\s*(\S{1,100})", head, re.DOTALL | re.MULTILINE)
    return stated[1] if stated else ""


_README_BYTES = 16 * 1024


def describe_config(config: Json, source: str, processor: Json | None = None) -> Description:
    """Translate a config of HF transformers or of timm; of anything else nothing is known."""
    if "architecture" in config:
        return _describe_timm(config)
    if "model_config" in config:
        return _describe_videomae_v2(config["model_config"], processor or {}, source)
    if "model_type" in config:
        return _describe_hf(config, processor or {}, source)
    return Description()


def _describe_videomae_v2(config: Json, processor: Json, source: str) -> Description:
    """Read what the hub's folders of VideoMAE V2 say of the original code's network."""
    try:
        structure = {
            "dim": config["embed_dim"],
            "depth": config["depth"],
            "num_heads": config["num_heads"],
            "tubelet_size": (config["tubelet_size"], config["patch_size"], config["patch_size"]),
        }
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{source} has a config.json without usable {error}") from error
    fields = _colours(processor)
    for ours, theirs in (("num_frames", "num_frames"), ("image_size", "img_size")):
        if theirs in config:
            fields[ours] = config[theirs]
    details = {"norm_eps": config["layer_norm_eps"]} if "layer_norm_eps" in config else {}
    return Description(structure=structure, details=details, preprocessing=fields)


def _describe_hf(config: Json, processor: Json, source: str) -> Description:
    config = image_half(config)
    model_type = str(config["model_type"])
    known = HF_SIZES.get(model_type)
    try:
        structure = known(config) if known else {}
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source} has a config.json without usable {error}") from error
    fields = _colours(processor)
    for name in ("num_frames", "frames_per_clip"):
        if isinstance(config.get(name), int):
            fields["num_frames"] = config[name]
    for name in ("image_size", "crop_size"):
        if name in config:
            fields["image_size"] = one_side(config[name], name, source)
    fields |= _own_fields(config)
    return Description(
        model_type=model_type,
        structure=structure,
        details=_hf_details(config, source) if known else {},
        preprocessing=fields,
        labels=_hf_labels(config, source),
        num_classes=len(config["id2label"]) if "id2label" in config else config.get("num_labels"),
        multi_label=config.get("problem_type") == "multi_label_classification",
    )


def _hf_details(config: Json, source: str) -> dict[str, Any]:
    name = str(config.get("hidden_act", "gelu"))
    is_gated = config["model_type"] == "dinov3_vit" and config.get("use_gated_mlp", False)
    if is_gated and name != "silu":
        raise CheckpointError(f"{source} has MLPs gated by {name!r}; known: silu")
    if is_gated:
        name = "gelu"  # of blocks without a gate, which there are none of
    if name not in _ACTIVATION_NAMES:
        raise CheckpointError(
            f"{source} has the activation {name!r}; known: {', '.join(_ACTIVATION_NAMES)}"
        )
    details: dict[str, Any] = {"activation": ACTIVATIONS[_ACTIVATION_NAMES[name]]}
    if "layer_norm_eps" in config:
        details["norm_eps"] = float(config["layer_norm_eps"])
    if config["model_type"] == "dinov3_vit":
        details |= dinov3_details(config)
    if config["model_type"] == "videoprism_vision_model":
        details |= videoprism_details(config)
    if config["model_type"] == "vjepa2" and _ACTIVATION_NAMES[name] != "gelu":
        raise CheckpointError(f"{source} has the activation {name!r}; V-JEPA 2's probe has gelu")
    if config["model_type"] == "vjepa2" and "layer_norm_eps" in config:
        details["pooler_norm_eps"] = float(config["layer_norm_eps"])
    if config["model_type"] == "videomae" and config.get("use_mean_pooling", True):
        details["head_norm_eps"] = 1e-5  # its norm ahead of the head keeps the default of torch
    return details


def _hf_labels(config: Json, source: str) -> tuple[str, ...]:
    """Return the labels by index; `LABEL_0`, HF's way of having none, counts as none."""
    names = config.get("id2label") or {}
    try:
        by_index = {int(index): str(name) for index, name in names.items()}
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{source} has labels without numbers in its config.json") from error
    if sorted(by_index) != list(range(len(by_index))):
        raise CheckpointError(f"{source} has labels that are not numbered from 0 in config.json")
    labels = tuple(by_index[i] for i in range(len(by_index)))
    return () if all(re.fullmatch(r"LABEL_\d+", name) for name in labels) else labels


def _describe_timm(config: Json) -> Description:
    pretrained = cast(Json, config.get("pretrained_cfg") or {})
    fields = _colours({f"image_{name}": pretrained.get(name) for name in ("mean", "std")})
    if "input_size" in pretrained:
        fields["image_size"] = int(pretrained["input_size"][-1])
    labels = config.get("label_names") or pretrained.get("label_names") or []
    if not isinstance(labels, list):
        raise TypeError("label_names are no list")
    return Description(
        model_type=str(config["architecture"]),
        details=_timm_pool(config),
        preprocessing=fields,
        labels=tuple(map(str, labels)),
        num_classes=config.get("num_classes"),
        license=str(pretrained.get("license") or ""),
    )


def _timm_pool(config: Json) -> dict[str, Any]:
    """Say how a ViT of timm pools: a norm behind the mean, unless it is told otherwise."""
    if config.get("global_pool") != "avg":
        return {}
    is_first = (config.get("model_args") or {}).get("fc_norm") is False
    return {"pool": "mean_of_normed" if is_first else "mean"}


def _colours(processor: Json) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: tuple(float(x) for x in processor[f"image_{name}"])
        for name in ("mean", "std")
        if processor.get(f"image_{name}")
    }
    if processor.get("do_flip_channel_order"):
        fields["channel_order"] = "bgr"
    return fields


def _own_fields(config: Json) -> dict[str, Any]:
    """Read what `write_transformers` adds to a config, for which transformers has no words."""
    own = config.get(OWN_KEY)
    own = own if isinstance(own, dict) else {}
    known = ("frame_stride", "short_side", "mean", "std")
    return {
        name: tuple(own[name]) if isinstance(own[name], list) else own[name]
        for name in known
        if name in own
    }


def _read_json(path: Path) -> Json:
    if not path.exists():
        return {}
    content = read_json(path, CheckpointError, most=MOST_CONFIG_BYTES)
    return content if isinstance(content, dict) else {}
