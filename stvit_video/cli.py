"""Command name -> function in commands/. Lists the commands without importing torch."""

import errno
import importlib
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stvit_video.errors import ConfigError, StvitVideoError, did_you_mean
from stvit_video.visible import cut, visible

PROGRAM = "stvit-video"
_PATH_FAULTS = (
    *(errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP),
)
"""What is wrong with a path that a user gave, and no fault of ours."""


class Command(NamedTuple):
    """Where a command lives."""

    module: str
    """File in `stvit_video/commands`; it holds a function of the same name, or with `_` after."""
    help: str
    """One line."""


COMMANDS = {
    "demo": Command("demo", "train, evaluate, classify and draw on an embedded data set"),
    "train": Command("train", "train a model on a folder of class folders or a manifest"),
    "probe": Command("probe", "train small heads on the features of a frozen model"),
    "evaluate": Command("evaluate", "measure the accuracy of a trained model"),
    "predict": Command("predict", "classify videos, as a whole or over their time"),
    "stream": Command("stream", "classify a camera or an address while it runs"),
    "visualize": Command("visualize", "draw which patches each token gathers, through time"),
    "serve": Command("serve", "serve a page that shows what models see in a video"),
    "models": Command("models", "list the models"),
    "recipes": Command("recipes", "list the recipes, or copy one to start from"),
    "convert": Command(
        "convert", "turn weights into a checkpoint folder, ours or one of transformers"
    ),
    "export": Command("export", "write a network to a file for ONNX Runtime, TensorRT or torch"),
    "flops": Command("flops", "count the arithmetic of models, side by side"),
    "benchmark": Command("benchmark", "time models side by side"),
    "report": Command("report", "write a page of tables and plots that compares models"),
    "data manifest": Command("data_manifest", "turn a data set's annotations into a manifest"),
    "data scan": Command("data_scan", "decode every video once and note what is wrong"),
    "data prepare": Command("data_prepare", "re-encode videos so that training reads them fast"),
    "data rate": Command("data_rate", "measure what keeps training waiting, and say what to do"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 2 for what the user can mend, 130 for ctrl-c,
    143 where a command answers SIGTERM."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = ""
    _show_warnings()
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(_overview())
            return 0
        if arguments[0] == "--version":
            print(_version())
            return 0
        if arguments[0] in _groups() and arguments[1:2] in ([], ["-h"], ["--help"]):
            print(_overview(arguments[0]))
            return 0
        name, rest = _find_command(arguments)
        return _run(name, rest)
    except StvitVideoError as error:
        _tell(name, str(error))
        return 2
    except BrokenPipeError:  # the reader of our output went away, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in _PATH_FAULTS:
            raise
        _tell(name, f"{error.filename}: {error.strerror}")
        return 2
    except KeyboardInterrupt as stop:
        _tell(name, str(stop) or "stopped")
        return getattr(stop, "exit_status", 130)


def _tell(name: str, line: str) -> None:
    """Print the one line that ends a command; names in it are text, what it quotes is short."""
    print(cut(f"{f'{PROGRAM} {name}'.strip()}: {visible(line)}"), file=sys.stderr)


def _show_warnings() -> None:
    """Let what the package remarks on the way reach the terminal as text, a line each."""

    class OneLine(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return cut(visible(record.getMessage()))

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(OneLine())


def load_command(name: str) -> Callable[..., Any]:
    """Import the function of a command, and nothing of the others."""
    module_name = COMMANDS[name].module
    module = importlib.import_module(f"stvit_video.commands.{module_name}")
    return getattr(module, f"{module_name}_", None) or getattr(module, module_name)


def build_parser(name: str, function: Callable[..., Any]) -> Any:
    """Make the parser of a command from the typed signature of its function.

    What can be given by position is positional; what is keyword-only is an option.
    """
    from jsonargparse import ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog=f"{PROGRAM} {name}",
        description=COMMANDS[name].help,
        formatter_class=_help_formatter(),
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these settings.")
    parameters = inspect.signature(function).parameters
    options: set[str | int] = {
        name for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY
    }
    positions: set[str | int] = {name for name in parameters if name not in options}
    lists = _list_positions(function)
    for position in lists:  # jsonargparse would want '[a, b]'
        parser.add_argument(position, nargs="+", type=str, help=_argument_help(function, position))
    optional = {
        p for p in positions - lists if parameters[str(p)].default is not inspect.Parameter.empty
    }
    for position in optional:  # jsonargparse would make options of them
        default = parameters[str(position)].default
        text = _argument_help(function, position)
        parser.add_argument(position, nargs="?", default=default, type=str, help=text)
    if positions - lists - optional:
        skipped = options | lists | optional
        parser.add_function_arguments(function, as_group=False, as_positional=True, skip=skipped)
    parser.add_function_arguments(function, as_group=False, skip=positions)
    _free_kept_words(parser)
    return parser


def _free_kept_words(parser: Any) -> None:
    """Show a parameter such as `for_`, a word that Python keeps for itself, as `--for`."""
    for action in parser._actions:
        if action.dest.endswith("_"):
            action.option_strings = [f"--{_shown(action.dest)}"]
            action.metavar = _shown(action.dest).upper()
            parser._option_string_actions[action.option_strings[0]] = action


def _shown(name: str) -> str:
    return name.removesuffix("_")


def _help_formatter() -> type[Any]:
    """Return a formatter that says what a setting takes as our errors do."""
    from jsonargparse import DefaultHelpFormatter

    from stvit_video.settings.bounds import describe

    class HelpFormatter(DefaultHelpFormatter):
        def _get_type_str(self, action: Any) -> str | None:
            kind = _kind(action)
            return None if kind is None else describe(kind)

    return HelpFormatter


def _list_positions(function: Callable[..., Any]) -> set[str | int]:
    """Name the positional parameters that take one or more words."""
    parameters = inspect.signature(function).parameters.values()
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return {p.name for p in parameters if p.kind is kind and p.annotation == list[str]}


def _argument_help(function: Callable[..., Any], name: object) -> str:
    """Read what the docstring says of an argument."""
    found = re.search(rf"^ +{name}: (.+(?:\n {{12,}}.+)*)", function.__doc__ or "", re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def parse_command(parser: Any, arguments: Sequence[str]) -> dict[str, Any]:
    """Turn command-line arguments into the arguments of the command's function.

    Raises:
        ConfigError: an argument is unknown, missing or of the wrong type.
    """
    from argparse import ArgumentError

    from jsonargparse import ArgumentParser

    from stvit_video.settings.bounds import fit_value
    from stvit_video.settings.command_line import explain, tidy_arguments
    from stvit_video.settings.config_files import check_config_files

    assert isinstance(parser, ArgumentParser)
    kinds = _kinds(parser)
    words = tidy_arguments(arguments, kinds)
    check_config_files(words, kinds)
    try:
        values = parser.instantiate(parser.parse_args(words))
    except ArgumentError as error:
        raise ConfigError(explain(str(error), kinds)) from error
    return {
        name: fit_value(shown, value, kinds[shown]) if shown in kinds else value
        for name, value in vars(values).items()
        if (shown := _shown(name)) != "config"
    }


def _run(name: str, arguments: list[str]) -> int:
    from stvit_video.settings.bounds import check_files

    function = load_command(name)
    parser = build_parser(name, function)
    try:
        values = parse_command(parser, arguments)
    except SystemExit as request:  # --help and --print_config end here
        return int(request.code or 0)
    kinds = _kinds(parser)
    for setting, value in values.items() if not values.get("dry_run") else ():
        check_files(setting, value, kinds.get(_shown(setting)))
    status = function(**values)
    return status if isinstance(status, int) else 0


def _kinds(parser: Any) -> dict[str, Any]:
    """Return what there is to set: dotted name -> annotation."""
    kinds = {_shown(action.dest): _kind(action) for action in parser._actions}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _kind(action: Any) -> Any:
    """Return the annotation of a setting; None for `--help` and the like."""
    if action.nargs == "+":
        return list[str]
    return getattr(action, "_typehint", action.type)


def _groups() -> set[str]:
    return {name.split()[0] for name in COMMANDS if " " in name}


def _find_command(arguments: list[str]) -> tuple[str, list[str]]:
    first = arguments[0]
    if first in _groups():
        members = [name.split()[1] for name in COMMANDS if name.startswith(f"{first} ")]
        second = arguments[1]
        if second not in members:
            raise ConfigError(
                f"{first} {second!r} is no command; {first} takes {', '.join(members)}"
                f"{did_you_mean(second, members)}"
            )
        return f"{first} {second}", arguments[2:]
    if first not in COMMANDS:
        known = list(COMMANDS)
        raise ConfigError(
            f"unknown command {first!r}{did_you_mean(first, known)} (--help lists all)"
        )
    return first, arguments[1:]


def _overview(group: str = "") -> str:
    """List all commands, or those of a group."""
    commands = {name: c for name, c in COMMANDS.items() if name.startswith(f"{group} ".lstrip())}
    program = f"{PROGRAM} {group}".strip()
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in commands.items()]
    return "\n".join(
        [
            f"usage: {program} COMMAND [--config FILE] [--setting VALUE ...]",
            "",
            *([] if group else ["Fast video transformers by clustering their tokens.", ""]),
            *lines,
            "",
            f"{program} COMMAND --help explains a command; {PROGRAM} --version tells the version.",
        ]
    )


def _version() -> str:
    from importlib.metadata import version

    return f"{PROGRAM} {version(PROGRAM)}"
