"""Trainings of rows with several seeds: sorted, averaged, and compared seed by seed."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

Lines = list[dict[str, Any]]


def by_row(lines: Iterable[dict[str, Any]], rows: Iterable[str]) -> dict[str, Lines]:
    """Sort lines by row, in the order of the rows."""
    found: dict[str, Lines] = defaultdict(list)
    for line in lines:
        found[line["row"]].append(line)
    return {row: found[row] for row in rows if row in found}


def mean(lines: Sequence[dict[str, Any]], figure: str) -> float:
    """Average a figure of the test over the seeds."""
    return statistics.fmean(line["test"][figure] for line in lines)


def with_spread(lines: Sequence[dict[str, Any]], figure: str) -> str:
    """Write the mean over seeds, and their standard deviation where there are several."""
    return _with_spread([line["test"][figure] for line in lines], "")


def difference(lines: Lines, dense: Lines, figure: str) -> str | None:
    """Write by how much a row differs from the dense one, over the seeds that both have."""
    own, other = ({line["seed"]: line["test"][figure] for line in x} for x in (lines, dense))
    pairs = [own[seed] - other[seed] for seed in own.keys() & other.keys()]
    return _with_spread(pairs, "+") if pairs and lines is not dense else None


def _with_spread(values: list[float], sign: str) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    rounded = round(statistics.fmean(values), 1) + 0.0  # no minus before a zero
    return f"{rounded:{sign if rounded else ''}.1f}{spread}"
