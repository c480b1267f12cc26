"""Who may import whom, and the few limits that keep the house readable."""

import ast
from pathlib import Path

import pytest

from stvit_video.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stvit_video"
FILES = sorted(PACKAGE.rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))
MAY_IMPORT = {
    "settings": set(),
    "files": set(),
    "untrusted": set(),
    "visible": set(),
    "report": set(),
    "video": set(),
    "tokens": set(),
    "datasets": {"report", "video"},
    "models": {"report", "tokens"},
    "evaluation": {"report", "video", "datasets", "models"},
    "detection": {"report", "video", "tokens", "datasets", "models", "evaluation"},
    "training": {"report", "video", "datasets", "models", "evaluation", "detection"},
    "probing": {"report", "datasets", "models", "evaluation", "training"},
    "visualize": {"report", "video", "datasets", "models", "evaluation"},
    "serving": {"video", "datasets", "models", "evaluation", "visualize"},
    "exporting": {"report", "video", "datasets", "models", "evaluation"},
    "measure": {"report", "video", "datasets", "models", "tokens"},
    "commands": {
        *("report", "video", "tokens", "datasets", "models", "evaluation", "training", "measure"),
        *("probing", "visualize", "serving", "exporting", "detection", "demo", "completion"),
    },
    "demo": {"report", "video", "datasets", "models", "evaluation", "training", "measure"},
    "command_list": {"commands"},
    "command_parser": {"command_list"},
    "completion": {"command_list", "command_parser", "models"},
    "cli": {"commands", "command_list", "command_parser"},
    "__main__": {"cli"},
    "__init__": {"video", "models", "evaluation", "detection", "training", "visualize"},
}
"""Rooms, besides errors, files, settings, untrusted and visible, which all may import."""
INSIDE = {
    "video": {"decoding": set(), "sampling": set(), "pixels": set()},
    "tokens": {"semantic": set(), "reducers": {"semantic"}},
    "datasets": {"layouts": set(), "upkeep": {"layouts"}, "coco": set(), "ava": {"layouts"}},
    "detection": {
        "networks": set(),
        "pictures": {"networks"},
        "actions": {"networks", "pictures"},
        "temporal": set(),
    },
    "models": {
        "layers": set(),
        "network": {"layers"},
        "weights": {"layers", "network"},
        "families": {"layers", "network", "weights"},
    },
    "measure": {"compare": set()},
}
"""Rooms inside rooms: which of their neighbours they may import."""
EVERYWHERE = ("errors", "files", "settings", "untrusted", "visible")
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "common", "misc", "core", "base", "manager"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported_modules(path: Path) -> list[str]:
    """Modules that a file imports anywhere, inside functions too; type-checking imports count."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules += [name if name in MODULES else str(node.module) for name in names]
    return modules


MODULES = {module_of(path) for path in FILES}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def own_imports(path: Path) -> list[list[str]]:
    modules = imported_modules(path)
    return [module.split(".")[1:] for module in modules if module.startswith("stvit_video.")]


def test_every_part_of_the_package_has_a_rule():
    assert {part_of(path) for path in FILES} - MAY_IMPORT.keys() == {"errors"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_part_imports_only_what_lies_before_it(path):
    own = part_of(path)
    parts = {module[0] for module in own_imports(path)} - {own, *EVERYWHERE}
    assert parts <= MAY_IMPORT.get(own, set())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_room_inside_a_room_imports_only_what_lies_before_it(path):
    room, *inner = path.relative_to(PACKAGE).parts[:-1] or [""]
    if not inner:
        return
    rooms = {module[1] for module in own_imports(path) if module[0] == room and len(module) > 2}
    assert rooms - {inner[0]} <= INSIDE[room][inner[0]]


def test_families_build_on_the_plain_vit_alone():
    for path in (PACKAGE / "models" / "families").rglob("*.py"):
        own = path.relative_to(PACKAGE / "models" / "families").parts[0]
        used = {
            module[2]
            for module in own_imports(path)
            if module[:2] == ["models", "families"] and len(module) > 2
        }
        assert used <= {own, "vit"}, name_of(path)


def test_no_files_import_each_other_in_a_circle():
    graph = {
        module_of(path): [m for m in imported_modules(path) if m in MODULES and m != "stvit_video"]
        for path in FILES
    }
    finished: set[str] = set()

    def walk(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above[above.index(module) :], module])
        if module in finished:
            return
        for imported in graph[module]:
            walk(imported, (*above, module))
        finished.add(module)

    for module in graph:
        walk(module, ())


def test_settings_and_errors_import_no_library():
    for path in [PACKAGE / "errors.py", *(PACKAGE / "settings").glob("*.py")]:
        foreign = {module.split(".")[0] for module in imported_modules(path)}
        assert foreign <= {"stvit_video", "dataclasses", "typing", "re", "pathlib", "difflib",
                           "collections", "math", "glob", "os"}, name_of(path)  # fmt: skip


def test_a_command_is_one_file_and_imports_no_other():
    names = {command.module for command in COMMANDS.values()}
    folder = PACKAGE / "commands"
    assert {path.stem for path in folder.glob("*.py")} == {"__init__", *names}
    for path in folder.glob("*.py"):
        assert "commands" not in {module[0] for module in own_imports(path)}


def test_tools_import_no_command():
    for path in TOOLS:
        assert not any(module[0] == "commands" for module in own_imports(path)), path.name


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


def test_words_reach_the_terminal_by_one_function_only():
    homes = {"report/terminal.py", "report/drawn_table.py"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                is_print = (
                    node.func.attr in ("print", "out", "log")
                    and "console" in ast.unparse(node.func.value).lower()
                )
                assert (
                    not is_print
                    or name_of(path) in homes
                    or not node.args
                    or (ast.unparse(node.args[0]) == "table")
                ), f"{name_of(path)}:{node.lineno} prints past report/terminal.py"
