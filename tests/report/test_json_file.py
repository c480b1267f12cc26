import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from stvit_video.report.json_file import as_plain, result_console, write_json


@dataclass(frozen=True, slots=True)
class Inner:
    path: Path
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    inner: Inner


RESULT = [Outer("caf\u00e9", Inner(Path("a/b"), (0.5, 2.0)))]
PLAIN = [{"name": "caf\u00e9", "inner": {"path": "a/b", "values": [0.5, 2.0]}}]


def test_dataclasses_become_dictionaries_all_the_way_down():
    assert as_plain(RESULT) == PLAIN


def test_a_file_holds_the_result_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "result.json"
    write_json(RESULT, path)
    assert json.loads(path.read_text(encoding="utf-8")) == PLAIN
    assert list(path.parent.iterdir()) == [path]


def test_a_dash_is_standard_output_and_tables_make_way(capsys):
    write_json(RESULT, Path("-"))
    result_console(Path("-")).print("a table")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == PLAIN
    assert captured.err == "a table\n"


def test_without_destination_nothing_is_written(capsys):
    write_json(RESULT, None)
    result_console(None).print("a table")
    assert capsys.readouterr().out == "a table\n"


def test_what_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json(float("nan"), tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []
