"""The program: finds a command, runs it, says in a line what went wrong."""

import errno
import logging
import os
import sys
from collections.abc import Sequence

from stvit_video.command_list import COMMANDS, PROGRAM, load_command
from stvit_video.command_parser import build_parser, kinds_of, parse_command, shown_name
from stvit_video.errors import ConfigError, StvitVideoError, did_you_mean
from stvit_video.visible import cut, visible

_PATH_FAULTS = (
    *(errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP),
)
"""What is wrong with a path that a user gave, and no fault of ours."""


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


def _run(name: str, arguments: list[str]) -> int:
    from stvit_video.settings.bounds import check_files

    function = load_command(name)
    parser = build_parser(name, function)
    try:
        values = parse_command(parser, arguments)
    except SystemExit as request:  # --help and --print_config end here
        return int(request.code or 0)
    kinds = kinds_of(parser)
    for setting, value in values.items() if not values.get("dry_run") else ():
        check_files(setting, value, kinds.get(shown_name(setting)))
    status = function(**values)
    return status if isinstance(status, int) else 0


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
