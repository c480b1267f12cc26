"""Who may import whom, and the few limits that keep the house readable."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "stvit_video"
FILES = sorted(PACKAGE.rglob("*.py"))
MAY_IMPORT = {
    "errors": set(),
    "config": {"errors"},
    "video": {"errors", "config"},
    "tokens": {"errors", "config"},
    "measure": {"errors", "config"},
    "datasets": {"errors", "config", "video"},
    "models": {"errors", "config", "tokens"},
    "evaluation": {"errors", "config", "video"},
    "training": {"errors", "config", "video", "evaluation"},
    "report": {"errors", "config", "evaluation", "measure"},
    "commands": {
        *("errors", "config", "video", "tokens", "measure", "datasets", "models"),
        *("evaluation", "training", "report"),
    },
    "cli": {"errors", "config", "commands"},
    "__main__": {"cli"},
    "__init__": {"models", "commands"},
}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "common", "misc", "core", "base", "manager"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_modules(path: Path) -> list[str]:
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            modules.append(str(node.module))
    return modules


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_part_of_the_package_has_a_rule():
    assert {part_of(path) for path in FILES} - MAY_IMPORT.keys() == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_part_imports_only_what_lies_before_it(path):
    own = part_of(path)
    parts = {
        module.split(".")[1] for module in imported_modules(path) if module.startswith("stvit_vid")
    }
    assert parts - {own} <= MAY_IMPORT[own]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            docstring = len((ast.get_docstring(node) or "").splitlines())
            assert length - docstring <= 50, f"{node.name} is over 50 lines"


def test_only_the_root_init_holds_code():
    inits = [path for path in FILES if path.name == "__init__.py" and path.parent != PACKAGE]
    assert [name_of(path) for path in inits if path.read_text()] == []


def test_no_file_or_folder_has_a_name_that_says_nothing():
    names = {part for path in FILES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert names & NAMES_THAT_SAY_NOTHING == set()


def test_decoders_and_counters_are_each_known_in_one_place_only():
    homes = {"decord": "video", "torchcodec": "video", "fvcore": "measure"}
    for path in FILES:
        for module in imported_modules(path):
            home = homes.get(module.split(".")[0])
            assert home in (None, part_of(path)), f"{name_of(path)} imports {module}"
