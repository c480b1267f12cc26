"""`stvit-video recipes`: list the recipes, or copy one."""

from pathlib import Path
from typing import NamedTuple

from stvit_video.files import ResultFile, write_file


class Recipe(NamedTuple):
    """A YAML file of settings that `stvit-video train --config` takes."""

    name: str
    """Data set and file, without `.yaml`."""
    about: str
    """First line of the file."""
    path: Path


def recipes(
    name: str = "", *, output: Path = Path("configs"), json: ResultFile | None = None
) -> None:
    """List the recipes for `stvit-video train --config`, or copy one to start from.

    Args:
        name: Recipe to copy, as in kinetics400/videomae_base_16x4_224; without it they are listed.
        output: Folder to copy it to, below the name of its data set.
        json: Write the list, or what was copied, as JSON; `-` is standard output.
    """
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.tables import make_table, print_table

    console = result_console(json)
    found = find_recipes(recipe_folder())
    if name:
        recipe = found[find_name(name, list(found))]
        path = copy_recipe(recipe, output)
        console.print(
            f"recipe copied; stvit-video train --config {path}", markup=False, soft_wrap=True
        )
        write_json({"name": recipe.name, "about": recipe.about, "path": path}, json)
        return
    rows = [(recipe.name, recipe.about) for recipe in found.values()]
    note = "stvit-video recipes NAME copies one; its first lines say command, cost and accuracy"
    print_table(console, make_table("recipes", ["name", "what it trains"], rows, note=note))
    write_json([recipe._asdict() for recipe in found.values()], json)


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
    from stvit_video.errors import ConfigError, did_you_mean

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
    from stvit_video.errors import ConfigError

    path = output / f"{recipe.name}.yaml"
    if path.exists():
        raise ConfigError(f"recipe {path} exists already; give another --output or remove it")
    write_file(path, recipe.path.read_bytes())
    return path
