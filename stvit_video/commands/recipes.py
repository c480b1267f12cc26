"""`stvit-video recipes`: list the recipes, or copy one."""

from pathlib import Path

from stvit_video.files import OutputFolder, ResultFile

_CONFIGS = Path("configs")


def recipes(
    name: str = "", *, output: OutputFolder = _CONFIGS, json: ResultFile | None = None
) -> None:
    """List the recipes for `stvit-video train --config`, or copy one to start from.

    Args:
        name: Recipe to copy, as in kinetics400/videomae_base_16x4_224; without it they are listed.
        output: Folder to copy it to, below the name of its data set.
        json: Write the list, or what was copied, as JSON; `-` is standard output.
    """
    from stvit_video.report.drawn_table import print_table
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.tables import make_table
    from stvit_video.report.terminal import say
    from stvit_video.settings.recipes import copy_recipe, find_name, find_recipes, recipe_folder

    console = result_console(json)
    found = find_recipes(recipe_folder())
    if name:
        recipe = found[find_name(name, list(found))]
        path = copy_recipe(recipe, output)
        write_json({"name": recipe.name, "about": recipe.about, "path": path}, json)
        say(console, f"recipe copied; stvit-video train --config {path}")
        return
    rows = [(recipe.name, recipe.about) for recipe in found.values()]
    note = "stvit-video recipes NAME copies one; its first lines say command, cost and accuracy"
    write_json([recipe._asdict() for recipe in found.values()], json)
    print_table(console, make_table("recipes", ["name", "what it trains"], rows, note=note))
