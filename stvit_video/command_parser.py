"""Parser of a command, from the typed signature of its function."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from stvit_video.command_list import COMMANDS, PROGRAM
from stvit_video.errors import ConfigError


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
    parser.epilog = f"example: {PROGRAM} {name} {COMMANDS[name].example}"
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
    _name_kinds(parser)
    _put_required_first(parser)
    return parser


def _free_kept_words(parser: Any) -> None:
    """Show a parameter such as `for_`, a word that Python keeps for itself, as `--for`."""
    for action in parser._actions:
        if action.dest.endswith("_"):
            action.option_strings = [f"--{shown_name(action.dest)}"]
            action.metavar = shown_name(action.dest).upper()
            parser._option_string_actions[action.option_strings[0]] = action


def _name_kinds(parser: Any) -> None:
    """Show what a setting takes in a word: `--top_k NUMBER`, `--json PATH`."""
    from stvit_video.settings.bounds import describe

    for action in parser._actions:
        kind = kind_of(action)
        words = "" if kind is None or not action.option_strings else describe(kind)
        for start, word in _METAVARS.items():
            if action.metavar is None and words.startswith(start):
                action.metavar = word


_METAVARS = {"a path": "PATH", "a whole number": "NUMBER", "a number": "NUMBER", "text": "TEXT"}


def _put_required_first(parser: Any) -> None:
    """List the settings that must be given ahead of all others, and only those in the usage."""
    required = [a for a in parser._actions if a.required and a.option_strings]
    positions = [a for a in parser._actions if not a.option_strings]
    words = [
        *(a.dest if a.required else f"[{a.dest}]" for a in positions),
        *(f"{a.option_strings[0]} {a.metavar or a.dest.upper()}" for a in required),
    ]
    parser.usage = " ".join([parser.prog, *words, "[--SETTING VALUE ...]"])
    if not required:
        return
    first = parser.add_argument_group("must be given")
    for group in parser._action_groups:
        if group is not first:
            group._group_actions = [a for a in group._group_actions if a not in required]
    first._group_actions += required
    parser._action_groups.remove(first)
    parser._action_groups.insert(1, first)


def shown_name(name: str) -> str:
    """Return a parameter as users write it: without the `_` behind a word of Python."""
    return name.removesuffix("_")


def _help_formatter() -> type[Any]:
    """Return a formatter that says what a setting takes as our errors do."""
    from jsonargparse import DefaultHelpFormatter

    from stvit_video.settings.bounds import describe

    class HelpFormatter(DefaultHelpFormatter):
        def _get_type_str(self, action: Any) -> str | None:
            kind = kind_of(action)
            return None if kind is None else describe(kind)

        def _fill_text(self, text: str, width: int, indent: str) -> str:
            return text  # an example stays a line

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
    from stvit_video.settings.command_line import explain, hint, tidy_arguments
    from stvit_video.settings.config_files import check_config_files

    assert isinstance(parser, ArgumentParser)
    kinds = kinds_of(parser)
    words = tidy_arguments(arguments, kinds)
    check_config_files(words, kinds)
    try:
        values = parser.instantiate(parser.parse_args(words))
    except ArgumentError as error:
        told = explain(str(error), kinds)
        told += hint(told, words, kinds, example=str(parser.epilog))
        raise ConfigError(told) from error
    return {
        name: fit_value(shown, value, kinds[shown]) if shown in kinds else value
        for name, value in vars(values).items()
        if (shown := shown_name(name)) != "config"
    }


def kinds_of(parser: Any) -> dict[str, Any]:
    """Return what there is to set: dotted name -> annotation."""
    kinds = {shown_name(action.dest): kind_of(action) for action in parser._actions}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def kind_of(action: Any) -> Any:
    """Return the annotation of a setting; None for `--help` and the like."""
    if action.nargs == "+":
        return list[str]
    return getattr(action, "_typehint", action.type)
