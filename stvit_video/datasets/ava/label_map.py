"""Names and numbers of actions: AVA's label map, text in the form of protocol buffers.

Both spellings are read: `item { name: "stand" id: 12 }` and `label { name: ... label_id: 12 ... }`.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stvit_video.errors import DatasetError, did_you_mean
from stvit_video.untrusted import read_text

_ENTRY = re.compile(r"\b(?:item|label)\s*:?\s*\{([^{}]*)\}")
_NAME = re.compile(r"""\bname\s*:\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
_NUMBER = re.compile(r"\b(?:label_)?id\s*:\s*(\S+)")
MOST_ACTIONS = 100_000


class ActionLabels(NamedTuple):
    """The actions that a model tells apart, or that are measured, by ascending number."""

    names: tuple[str, ...]
    ids: tuple[int, ...]
    """Number of each in annotations; there may be holes."""


def read_label_map(path: Path) -> ActionLabels:
    """Read a label map.

    Raises:
        DatasetError: it is none, or a name or a number is missing or there twice.
        FileNotFoundError: there is none.
    """
    text = re.sub(r"(?m)^\s*#.*$", "", read_text(path, DatasetError))
    found = dict(_entries(text, path))
    if not found:
        raise DatasetError(
            f'{path} names no actions; it must hold entries such as item {{ name: "stand" id: 12 }}'
        )
    names = tuple(found[number] for number in sorted(found))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetError(f"{path} has the name {twice!r} twice; give each action its own")
    return ActionLabels(names, tuple(sorted(found)))


def columns_of(wanted: ActionLabels, known: Sequence[str], *, place: str) -> list[int]:
    """Return where each of the `wanted` actions stands among the names that a model knows.

    Raises:
        DatasetError: it does not know one of them.
    """
    index_of = {name: index for index, name in enumerate(known)}
    for name in wanted.names:
        if name not in index_of:
            raise DatasetError(
                f"{place} has the action {name!r}, which is none of the {len(known)} of the model"
                f"{did_you_mean(name, list(known))}"
            )
    return [index_of[name] for name in wanted.names]


def _entries(text: str, path: Path) -> Iterator[tuple[int, str]]:
    seen: set[int] = set()
    for place, entry in enumerate(_ENTRY.finditer(text), start=1):
        name, number = _NAME.search(entry[1]), _NUMBER.search(_NAME.sub("", entry[1]))
        if name is None or number is None:
            raise DatasetError(f"{path}: entry {place} must have a name in quotes and an id")
        if not number[1].isdecimal() or not 1 <= int(number[1]) <= MOST_ACTIONS:
            raise DatasetError(f"{path}: id ({number[1]}) must be a whole number from 1")
        if int(number[1]) in seen:
            raise DatasetError(f"{path} has the id {number[1]} twice; give each action its own")
        seen.add(int(number[1]))
        yield int(number[1]), re.sub(r"\\(.)", r"\1", name[1] if name[1] is not None else name[2])
