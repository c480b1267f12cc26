"""What a shell needs to complete commands, settings, their values, files and models."""

import argparse
from typing import Any, Literal, get_args, get_origin

import shtab

from stvit_video.command_list import COMMANDS, PROGRAM, load_command
from stvit_video.command_parser import build_parser, kind_of
from stvit_video.settings.output import Shell


def completion_script(shell: Shell) -> str:
    """Write the script of a shell."""
    return str(shtab.complete(whole_parser(), shell))


def whole_parser() -> argparse.ArgumentParser:
    """Make one parser of all commands, of which only names, choices and kinds are used."""
    from stvit_video.models.registry import list_models

    names = list_models()
    top = argparse.ArgumentParser(prog=PROGRAM)
    commands = top.add_subparsers()
    groups: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        group, _, member = name.rpartition(" ")
        if group and group not in groups:
            groups[group] = commands.add_parser(
                group, help=f"{group} of a data set"
            ).add_subparsers()
        below = groups[group] if group else commands
        parser = below.add_parser(member, help=command.help)
        for action in build_parser(name, load_command(name))._actions:
            _add(parser, action, names)
    return top


def _add(parser: argparse.ArgumentParser, action: Any, models: list[str]) -> None:
    """Add a setting as the shell sees it; `--help` is there."""
    if action.dest == "help":
        return
    kind = kind_of(action)
    told: dict[str, Any] = {"help": (action.help or "").split("\n")[0].replace("%", "%%")}
    is_model = action.dest in ("models", "model.name")
    if is_model:
        told["choices"] = models
    elif choices := _choices(kind):
        told["choices"] = choices
    if action.nargs in ("+", "?"):
        told["nargs"] = action.nargs
    added = parser.add_argument(*(action.option_strings or [action.dest]), **told)
    if "choices" not in told:
        added.complete = shtab.FILE  # type: ignore[attr-defined]


def _choices(kind: Any) -> list[str]:
    """Name the values that a setting can have, where they are few."""
    if kind is bool:
        return ["true", "false"]
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return [choice for member in get_args(kind) for choice in _choices(member)]
