"""Where prepared videos go, and the manifest that lists them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from stvit_video.datasets.manifest import Manifest, VideoRecord, read_manifest
from stvit_video.datasets.upkeep.scan import ScanResult
from stvit_video.datasets.upkeep.scanned import scanned_record
from stvit_video.errors import ConfigError


def prepared_paths(sources: Sequence[Path], base: Path, output_dir: Path) -> dict[Path, Path]:
    """Give every source its target: the same place below `output_dir` as below `base`, as mp4.

    Where some source lies outside of `base`, the folder that holds them all takes its place. Two
    sources that differ only in their suffix keep it: `a.avi.mp4`. No two targets are the same, on
    a disk that does not tell capitals from small letters neither.
    """
    absolute = {source: Path(os.path.abspath(source)) for source in sources}
    base = Path(os.path.abspath(base))
    if not all(path.is_relative_to(base) for path in absolute.values()):
        base = Path(os.path.commonpath([path.parent for path in absolute.values()]))
    places = {source: path.relative_to(base) for source, path in absolute.items()}
    counts = Counter(_folded(place.with_suffix("")) for place in places.values())
    taken: set[str] = set()
    targets = {}
    for source, place in places.items():
        is_shared = counts[_folded(place.with_suffix(""))] > 1
        target = next(it for it in _candidates(place, is_shared) if _folded(it) not in taken)
        taken.add(_folded(target))
        targets[source] = output_dir / target
    return targets


def _candidates(place: Path, is_shared: bool) -> Iterator[Path]:
    yield place.with_name(f"{place.name if is_shared else place.stem}.mp4")
    for number in count(2):
        yield place.with_name(f"{place.name}.{number}.mp4")


def _folded(place: Path) -> str:
    return str(place).casefold()


def check_output(output: Path, known: Iterable[Path]) -> None:
    """Refuse a place for the new manifest where one of other videos than the `known` ones stands.

    Raises:
        ConfigError: naming it, and what to do.
        DatasetError: what stands there is no manifest.
    """
    if not output.exists():
        return
    listed = (os.path.abspath(record.path) for record in read_manifest(output).records)
    ours = {os.path.abspath(path) for path in known}
    if ours.isdisjoint(listed):
        raise ConfigError(f"output ({output}) lists other videos; choose another file")


def prepared_manifest(
    manifest: Manifest,
    targets: Mapping[Path, Path],
    results: Mapping[Path, ScanResult],
    *,
    made_for: str,
) -> Manifest:
    """List the prepared videos; one that could not be prepared stays as its source, with why.

    A video without a result, as where the disk was full before its turn, is left out.
    """
    records = []
    for record in manifest.records:
        result = results.get(record.path)
        if result is None:
            continue
        filled = scanned_record(record, result)
        if result.is_ok:
            filled = filled._replace(path=targets[record.path], made_for=made_for)
        records.append(VideoRecord(*filled))
    return replace(manifest, records=tuple(records))
