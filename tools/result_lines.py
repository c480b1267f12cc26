"""Results as lines of JSON in one file, which calls of several days and processes add to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stvit_video.measure.throughput import ThroughputReport


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read all lines of a file of results; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append_speeds(path: Path, reports: Mapping[str, ThroughputReport], **more: Any) -> None:
    """Add a line for each model that was timed side by side; `more` is what all have."""
    for name, report in reports.items():
        measured = {
            "clips_per_second": report.clips_per_second,
            "ratio": report.ratio,
            "ratio_low": report.ratio_low,
            "ratio_high": report.ratio_high,
            "batch_size": report.batch_size,
            "dtype": report.dtype,
            "compiled": report.compile_mode,
        }
        append(path, {"speed_of": name, **measured, **more})
        print(f"{name}: {report.clips_per_second:.0f} clips/s", flush=True)


def append(path: Path, result: dict[str, Any]) -> None:
    """Add a line by one call, so that those of several processes do not mix."""
    with path.open("ab", buffering=0) as file:
        file.write((json.dumps(result) + "\n").encode())
