"""Columns: what goes in comes out, in little memory."""

import pytest
import torch

from stvit_video.datasets.columns import (
    GrowingNumbers,
    GrowingTexts,
    GrowingWords,
    narrow,
    repeat_value,
)

ROWS = torch.tensor([2, 0, 2])


def _filled(growing, *parts):
    for part in parts:
        growing.extend(part)
    return growing.column()


def test_values_come_back_by_row():
    assert _filled(GrowingNumbers(), [7, -1], [2**40]).read(ROWS) == [2**40, 7, 2**40]
    assert _filled(GrowingNumbers(float), [0.1, 2.0, 29.97]).read(ROWS) == [29.97, 0.1, 29.97]
    assert _filled(GrowingWords(), ["h264", ""], ["h264"]).read(ROWS) == ["h264"] * 3
    texts = _filled(GrowingTexts(), ["a \u00e4.mp4", ""], ["\udcff\n"])
    assert texts.read(ROWS) == ["\udcff\n", "a \u00e4.mp4", "\udcff\n"]
    assert (len(texts), texts.empty_rows().tolist()) == (3, [1])


def test_a_column_may_be_empty():
    none = torch.arange(0)
    for growing in (GrowingNumbers(), GrowingNumbers(float), GrowingWords(), GrowingTexts()):
        assert growing.column().read(none) == []


@pytest.mark.parametrize(
    ("values", "size"),
    [([0, 255], 1), ([-1, 255], 2), ([0, 2**15], 4), ([-(2**31)], 4), ([2**31], 8)],
)
def test_whole_numbers_take_as_few_bytes_as_hold_them(values, size):
    kept = narrow(torch.tensor(values))
    assert (kept.tolist(), kept.element_size()) == (values, size)


def test_floats_are_kept_as_they_are():
    values = torch.tensor([29.97], dtype=torch.float64)
    assert narrow(values) is values


@pytest.mark.parametrize("value", ["ok", -1, 0.5])
def test_a_value_that_all_rows_share_takes_no_memory_by_row(value):
    column = repeat_value(value, 10**12)
    assert column.read(torch.tensor([10**12 - 1])) == [value]


def test_a_word_is_found_where_it_first_appears():
    assert _filled(GrowingWords(), ["a", "a", "b", "c", "b"]).first_row(1) == 2
