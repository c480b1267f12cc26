from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

from stvit_video.errors import ConfigError
from stvit_video.settings.bounds import (
    Count,
    PartShare,
    Positive,
    Range,
    Share,
    check_files,
    describe,
    fit_value,
)
from stvit_video.settings.data import DataConfig
from stvit_video.settings.paths import check_videos

Pair = tuple[Share, Share]
Devices = Count | Literal["auto", "cpu"]


@pytest.mark.parametrize(
    ("value", "annotation", "wanted"),
    [
        (3, Count, 3),
        (np.int64(3), Count, 3),
        (1, Positive, 1.0),
        (np.float32(0.5), Share, 0.5),
        (0, PartShare, 0.0),
        (None, Count | None, None),
        ("cpu", Devices, "cpu"),
        (2, Devices, 2),
        ([0, 1], Pair, (0.0, 1.0)),
        ((8, 16), list[Count], [8, 16]),
        ([8], tuple[Count, ...], (8,)),
        ("a/b", Path, Path("a/b")),
        ("a/b", Annotated[Path, check_videos] | None, Path("a/b")),
        ({"a": 3}, dict[str, Positive], {"a": 3.0}),
        (True, bool, True),
        (3, Literal[1, 3], 3),
    ],
)
def test_a_value_takes_the_type_of_its_setting(value, annotation, wanted):
    found = fit_value("x", value, annotation)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("value", "annotation", "text"),
    [
        (0, Count, "x (0) must be at least 1"),
        (True, Count, "x (True) must be a whole number at least 1"),
        (2.0, Count, "x (2.0) must be a whole number at least 1"),
        ("3", Count, "x (3) must be a whole number at least 1"),
        (None, Count, "x (None) must be a whole number at least 1"),
        (float("nan"), float, "x (nan) must be finite"),
        (float("inf"), Positive, "x (inf) must be finite"),
        (0.0, Positive, "x (0.0) must be above 0"),
        (1.0, PartShare, "x (1.0) must be at least 0 and below 1"),
        (-0.1, PartShare, "x (-0.1) must be at least 0 and below 1"),
        (2.0, Annotated[float, Range(above=0, most=1)], "x (2.0) must be above 0 and at most 1"),
        (1.5, Share, "x (1.5) must be in 0..1"),
        (True, Literal[1, 3], "x (True) must be one of 1, 3"),
        (
            "aut",
            Devices,
            "x (aut) must be a whole number at least 1 or one of auto, cpu; did you mean 'auto'?",
        ),
        (0, Devices, "x (0) must be at least 1"),
        (0.5, Pair, "x (0.5) must be 2 values, each a number in 0..1"),
        ((0.5, 0.6, 0.7), Pair, "x (0.5, 0.6, 0.7) must be 2 values, each a number in 0..1"),
        ((0.5, 7), Pair, "x (7.0) must be in 0..1"),
        ((), tuple[Count, ...], "x (()) must hold at least one value"),
        ("yes", bool, "x (yes) must be true or false"),
        (3, str | None, "x (3) must be text"),
        (3, Path, "x (3) must be a path"),
        ({"a": 3}, dict[str, Share], "x of a (3.0) must be in 0..1"),
        ("a\n" * 90, bool, f"x ({'a ' * 48}a...) must be true or false"),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_one_line(value, annotation, text):
    with pytest.raises(ConfigError) as caught:
        fit_value("x", value, annotation)
    assert str(caught.value) == text


def test_a_type_is_described_as_in_the_help():
    assert describe(Count | None) == "a whole number at least 1"
    assert describe(list[Count]) == "a list, each a whole number at least 1"
    assert describe(DataConfig) == "a DataConfig"


def test_functions_of_an_annotation_run_where_a_command_starts_alone(tmp_path):
    missing = DataConfig(train=tmp_path / "no")
    with pytest.raises(FileNotFoundError) as caught:
        check_files("data", missing, DataConfig)
    assert str(caught.value) == (
        f"data folder {tmp_path / 'no'} does not exist; it must hold class folders"
    )
    check_files("data", DataConfig(train=tmp_path), DataConfig)
