"""The recipes that come with the package: complete settings of `stvit-video train`."""

from pathlib import Path
from typing import NamedTuple

from stvit_video.errors import ConfigError, did_you_mean
from stvit_video.files import write_file


class Recipe(NamedTuple):
    """A YAML file of settings that `stvit-video train --config` takes."""

    name: str
    """Data set and file, without `.yaml`."""
    about: str
    """First line of the file."""
    path: Path


def recipe_folder() -> Path:
    """Where the recipes lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "configs"


def find_recipes(folder: Path) -> dict[str, Recipe]:
    """Read name and first line of every recipe below `folder`, sorted by name."""
    found = {}
    for path in sorted(folder.glob("*/*.yaml")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        first_line = path.read_text(encoding="utf-8").split("\n", 1)[0]
        found[name] = Recipe(name, first_line.removeprefix("#").strip(), path)
    return found


def find_name(name: str, known: list[str]) -> str:
    """Return the recipe that `name` means, with or without `.yaml`.

    Raises:
        ConfigError: there is none.
    """
    plain = name.removesuffix(".yaml")
    if plain not in known:
        raise ConfigError(
            f"recipe ({name}) is none of the {len(known)}{did_you_mean(plain, known)}"
            " (stvit-video recipes lists all)"
        )
    return plain


def copy_recipe(recipe: Recipe, output: Path) -> Path:
    """Write a recipe to `output/DATA_SET/FILE.yaml` and return that path.

    Raises:
        ConfigError: there is such a file already.
    """
    path = output / f"{recipe.name}.yaml"
    if path.exists():
        raise ConfigError(f"recipe {path} exists already; give another --output or remove it")
    write_file(path, recipe.path.read_bytes())
    return path
