"""Read a CSV file into columns: the only place that imports pyarrow, which takes seconds where
Python's reader takes minutes.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stvit_video.datasets.columns import Texts, Words, narrow
from stvit_video.errors import DatasetError


def read_header(path: Path) -> list[str]:
    """Return the names of the columns; none of an empty file.

    Raises:
        DatasetError: the file is no CSV file in UTF-8.
    """
    with _refusing(path), path.open(newline="", encoding="utf-8-sig") as file:
        return next((row for row in csv.reader(file) if row), [])


def read_columns(path: Path, *, texts: str, words: Sequence[str]) -> tuple[Texts, dict[str, Words]]:
    """Read one column of texts and some of words; no other is looked at.

    Lines without a value count for nothing, missing values at the end of a line are empty, and
    surplus ones are left out, as Python's reader has it.

    Raises:
        DatasetError: the file is no CSV file in UTF-8.
    """
    import pyarrow

    word = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    kinds = {texts: pyarrow.large_string()} | dict.fromkeys(words, word)
    try:
        with pyarrow.OSFile(str(path)) as file:
            table = _read_table(file, kinds)
    except pyarrow.ArrowInvalid:  # rows of unequal lengths, or no CSV file
        with _refusing(path, pyarrow.ArrowInvalid):
            table = _read_table(_even_rows(path), kinds)
    columns = _texts(table[texts]), {name: _words(table[name]) for name in words}
    del table
    pyarrow.default_memory_pool().release_unused()
    return columns


def line_of(path: Path, row: int) -> int:
    """Return the line on which a row begins; the first row after the header is row 0."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        number, line = -2, 1
        with suppress(csv.Error):  # a field too long for Python's reader
            for values in reader:
                number += bool(values)
                if number == row:
                    break
                line = reader.line_num + 1
    return line


def _read_table(file: Any, kinds: dict[str, Any]) -> Any:
    from pyarrow import csv as reader

    return reader.read_csv(
        file,
        parse_options=reader.ParseOptions(newlines_in_values=True),
        convert_options=reader.ConvertOptions(column_types=kinds, include_columns=list(kinds)),
    )


def _even_rows(path: Path) -> io.BytesIO:
    """Write the file again, all rows as long as the header."""
    text = io.StringIO()
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = (row for row in csv.reader(file) if row)
        header = next(rows)
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerow(header)
        blanks = [""] * len(header)
        writer.writerows((row + blanks)[: len(header)] for row in rows)
    return io.BytesIO(text.getvalue().encode())


def _texts(chunks: Any) -> Texts:
    column = chunks.combine_chunks()
    _, bounds, letters = column.buffers()
    bounds = np.frombuffer(bounds, np.int64)[: len(column) + 1]
    letters = np.frombuffer(letters or b"", np.uint8)[: bounds[-1]]
    return Texts(torch.from_numpy(letters.copy()), narrow(torch.from_numpy(bounds.copy())))


def _words(chunks: Any) -> Words:
    column = chunks.unify_dictionaries().combine_chunks()
    codes = torch.from_numpy(column.indices.to_numpy().copy())
    return Words(narrow(codes), tuple(column.dictionary.to_pylist()))


@contextmanager
def _refusing(path: Path, *errors: type[Exception]) -> Iterator[None]:
    refusals: tuple[type[Exception], ...] = (UnicodeDecodeError, csv.Error, *errors)
    try:
        yield
    except refusals as error:
        raise DatasetError(f"manifest {path} is not a CSV file in UTF-8: {error}") from error
