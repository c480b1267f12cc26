"""Build a network from what is asked of its row; or only find out how large it would be."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from stvit_video.errors import CheckpointError
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.variant import BuildOptions, Recipe, Variant
from stvit_video.settings.bounds import shorten
from stvit_video.settings.model import ModelConfig, Preprocessing

MOST_POSITIONS = 2**26
"""Numbers of a fixed table of positions, tokens x width: no file holds it, it is computed."""

_NEW = 2**26
"""Numbers that a network may have beside those in its file: a part that an older file lacks."""

_BUILD_ERRORS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
"""What building raises for sizes that do not go together."""


def build(recipe: Recipe) -> VideoModel:
    """Build the network of a recipe with random weights; it remembers the recipe."""
    model = recipe.variant.build(recipe.options)
    assert isinstance(model, VideoModel)
    model.recipe = recipe
    if recipe.options.attentive_blocks:
        model.reset_classifier(recipe.options.num_classes, recipe.options.attentive_blocks)
    if recipe.options.attentive_layers:
        model.read_layers(recipe.options.attentive_layers)
    return model


def options_of(
    config: ModelConfig, variant: Variant, *, num_classes: int, preprocessing: Preprocessing
) -> BuildOptions:
    """Fill in what a row decides where the settings of a model do not."""
    blocks = config.attentive_blocks
    return BuildOptions(
        num_classes=num_classes,
        preprocessing=preprocessing,
        semantic=config.units,
        drop_path=config.drop_path,
        class_token=config.class_token,
        reducer=config.reducer,
        attentive_layers=config.attentive_layers or (),
        attentive_blocks=variant.attentive_blocks if blocks is None else blocks,
    )


def check_sizes(config: ModelConfig, variant: Variant, weights: Path) -> None:
    """Compare what a card says of a model with the header of its `weights`; allocates nothing.

    Raises:
        CheckpointError: the network would be another, or none can be built.
    """
    sizes = variant.preprocessing
    held = held_shapes(weights)
    options = options_of(config, variant, num_classes=variant.num_classes, preprocessing=sizes)
    with trying_sizes(variant, weights.parent):
        model = build(Recipe(name=config.name, variant=variant, options=options))
    is_new = 0
    for key, value in model.state_dict().items():
        shape = tuple(value.shape)
        is_new += 0 if key in held else value.numel()
        if (key in held and torch.Size(held[key]).numel() != value.numel()) or is_new > _NEW:
            raise CheckpointError(
                f"{weights.parent} does not fit {config.name}: model.json makes {key} {shape}, but"
                f" {weights.name} has it as {held.get(key, 'none')}; get both files from one place"
            )


def held_shapes(weights: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes of the tensors of a file from its header.

    Raises:
        CheckpointError: it is none.
    """
    try:
        with safe_open(weights, "pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{weights} is truncated or no checkpoint ({error})") from error


@contextmanager
def trying_sizes(variant: Variant, folder: Path) -> Iterator[None]:
    """Let the block build what the card in a folder says, without allocating anything.

    Raises:
        CheckpointError: it is too large a table, or its sizes do not go together.
    """
    _check_positions(variant)
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that are zero
            yield
    except _BUILD_ERRORS as error:
        reason = shorten(str(error))
        raise CheckpointError(f"{folder} has sizes that do not go together: {reason}") from error


def _check_positions(variant: Variant) -> None:
    """Refuse fixed tables of positions, which no file holds, of more numbers than any network's.

    Learned ones are in the header, and networks without a table read clips of any length.
    """
    sizes, row = variant.preprocessing, vars(variant)
    grids = [row["table_grid"]] if row.get("table_grid") else []
    if row.get("positions") == "sinusoid":
        clip = (sizes.num_frames, sizes.image_size, sizes.image_size)
        sides = zip(clip, row["tubelet_size"], strict=True)
        grids.append([max(side // step, 1) for side, step in sides if step > 0])
    for grid in grids:
        num_tokens = torch.Size(grid).numel()
        if num_tokens * row["dim"] > MOST_POSITIONS:
            raise CheckpointError(
                f"a card with {num_tokens} tokens of {row['dim']} numbers must have at most"
                f" {MOST_POSITIONS} numbers in all; it is damaged or made up"
            )
