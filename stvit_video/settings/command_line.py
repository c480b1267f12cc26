"""Between users and the parser of the command line: their words made its words, its errors ours.

`kinds` says what there is to set: dotted name -> annotation.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from stvit_video.errors import did_you_mean
from stvit_video.settings.bounds import describe, shorten, wrong_kind
from stvit_video.settings.config_files import is_there
from stvit_video.visible import cut

Kinds = Mapping[str, Any]


def tidy_arguments(arguments: Sequence[str], kinds: Kinds) -> list[str]:
    """Write arguments as the parser takes them.

    `--num-clips 2` is `--num_clips 2`, `--batch_sizes 1 8` is `--batch_sizes [1,8]`, and
    `--model demo_tiny` is `--model.name demo_tiny` where `model` has a `name`.
    """
    waiting = list(arguments)
    tidy = []
    while waiting:
        argument = waiting.pop(0)
        if not re.match(r"--\w", argument):
            tidy.append(argument)
            continue
        option, equals, value = argument.partition("=")
        name = option[2:].replace("-", "_")
        values = [value] if equals else []
        if _is_sequence(kinds.get(name)):
            values = [_in_brackets(values or _take_values(waiting))]
        elif name not in kinds and f"{name}.name" in kinds:
            first = value if equals else (waiting[0] if waiting else "")
            is_file = is_there(first) and not Path(first).is_dir()
            if not first.startswith(("{", "-")) and not is_file:
                name = f"{name}.name"
        tidy += [f"--{name}={values[0]}"] if values and values[0] else [f"--{name}"]
        if equals and not value:
            tidy.append("")
    return tidy


def explain(message: str, kinds: Kinds) -> str:
    """Say what the parser found wrong, in the words of our errors."""
    text = " ".join(message.split())
    for pattern, answer in _ANSWERS.items():
        if match := re.match(pattern, text):
            text = answer(*match.groups(), kinds)
            break
    return cut(text, 500)


def hint(told: str, words: Sequence[str], kinds: Kinds, *, example: str) -> str:
    """Say which word is the checkpoint that has no option; give an example where words lack."""
    if not told.startswith(("missing ", "unexpected argument ")):
        return ""
    if "checkpoint" in kinds and not any(word.startswith("--checkpoint") for word in words):
        for word in words:
            if not word.startswith("-") and (Path(word) / "model.json").is_file():
                return f"; {word} holds a model: --checkpoint {word}"
    return f"; {example}"


def _is_sequence(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _is_sequence(get_args(kind)[0])
    return get_origin(kind) in (list, tuple)


def _take_values(waiting: list[str]) -> list[str]:
    """Take the next argument, and those after it as long as they are numbers."""
    taken: list[str] = []
    while waiting and not waiting[0].startswith("--"):
        if taken and not re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?,?", waiting[0]):
            break
        taken.append(waiting.pop(0))
    return taken


def _in_brackets(values: list[str]) -> str:
    text = ",".join(value.rstrip(",") for value in values)
    return text if not text or text[0] in "[(" else f"[{text}]"


def _wrong_value(name: str, rest: str, kinds: Kinds) -> str:
    if match := re.search(r"NestedArg\(key='(\w+)'", rest):
        return _unknown(f"{name}.{match[1]}", kinds)
    match = re.search("Given value: ?(.*)$", rest) or re.search("Got value: ?(.*)$", rest)
    value = re.sub("[\"']", "", match[1]) if match else ""
    if name in kinds:
        return str(wrong_kind(name, value, kinds[name]))
    return f"{name} ({shorten(value)}) cannot be used: {shorten(rest)}"


def _wrong_group(name: str, value: str, kinds: Kinds) -> str:
    inner = next((k for k in kinds if k.startswith(f"{name}.")), f"{name}.name")
    rule = f"must be a group of settings such as {inner}, or a YAML file of them"
    return f"{name} ({shorten(value)}) {rule}"


def _needs_value(names: str, kinds: Kinds) -> str:
    name = names.split("/")[0].lstrip("-")
    return f"{name} needs a value: {describe(kinds[name]) if name in kinds else 'name one'}"


def _unknown(name: str, kinds: Kinds) -> str:
    known = list(kinds)
    near = did_you_mean(name, known)
    section, _, last = name.rpartition(".")
    siblings = [k.rpartition(".")[2] for k in known if section and k.startswith(f"{section}.")]
    return f"unknown setting {name}{did_you_mean(last, siblings) or near}"


def _unexpected(word: str, kinds: Kinds) -> str:
    name = word.split("=")[0]
    return _unknown(name[2:], kinds) if name.startswith("--") else f"unexpected argument {name!r}"


_ANSWERS: dict[str, Callable[..., str]] = {
    r"Group '(.+)' does not accept option '(.+)'": lambda group, name, kinds: _unknown(
        f"{group}.{name}", kinds
    ),
    r"Option '(.+)' is not accepted": _unknown,
    r"unrecognized arguments: (\S+)": _unexpected,
    r"the following arguments are required: (.+)": lambda names, kinds: (
        f"missing {names}; give it on the command line or in a --config file"
    ),
    r"argument (\S+): expected one argument": _needs_value,
    r'Parser key "config": File does not exist: \'(.+)\'': lambda path, kinds: (
        f"config file {path} does not exist"
    ),
    r'Parser key "config": (.+)': lambda rest, kinds: f"config file: {shorten(rest)}",
    r"Problems parsing config: (.+)": lambda rest, kinds: (
        f"config file is no YAML: {shorten(rest)}"
    ),
    r"Unexpected config: ?(.*)": lambda rest, kinds: (
        f"config file must hold settings such as {next(iter(kinds))}: ...;"
        f" it holds {shorten(rest)!r}"
    ),
    r'Parser key "(\S+)": Unable to load config [\'"](.*?)[\'"] - ': _wrong_group,
    r'Parser key "(\S+?)_?": (.+)': _wrong_value,
}
"""What the parser says -> the function that says it in our words, given its parts and `kinds`."""
