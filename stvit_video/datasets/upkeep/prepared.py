"""Where prepared videos go, and the manifest that lists them."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from stvit_video.datasets.manifest import Manifest, VideoRecord
from stvit_video.datasets.upkeep.scan import ScanResult
from stvit_video.datasets.upkeep.scanned import scanned_record
from stvit_video.errors import DatasetError


def prepared_paths(sources: Sequence[Path], base: Path, output_dir: Path) -> dict[Path, Path]:
    """Give every source its target: the same place below `output_dir` as below `base`, as mp4.

    Where some source lies outside of `base`, the folder that holds them all takes its place. Two
    sources that differ only in their suffix keep it: `a.avi.mp4`.

    Raises:
        DatasetError: a target would overwrite a source.
    """
    absolute = {source: Path(os.path.abspath(source)) for source in sources}
    base = Path(os.path.abspath(base))
    if not all(path.is_relative_to(base) for path in absolute.values()):
        base = Path(os.path.commonpath([path.parent for path in absolute.values()]))
    places = {source: path.relative_to(base) for source, path in absolute.items()}
    counts = Counter(place.with_suffix("") for place in places.values())
    targets = {}
    for source, place in places.items():
        is_shared = counts[place.with_suffix("")] > 1
        name = f"{place.name}.mp4" if is_shared else f"{place.stem}.mp4"
        targets[source] = output_dir / place.with_name(name)
    overwritten = set(map(os.path.realpath, targets.values())) & set(
        map(os.path.realpath, absolute.values())
    )
    if overwritten:
        raise DatasetError(
            f"preparing into {output_dir} would overwrite {min(overwritten)};"
            " choose another output folder"
        )
    return targets


def prepared_manifest(
    manifest: Manifest,
    targets: Mapping[Path, Path],
    results: Mapping[Path, ScanResult],
    *,
    made_for: str,
) -> Manifest:
    """List the prepared videos; one that could not be prepared stays as its source, with why."""
    records = []
    for record in manifest.records:
        result = results.get(record.path, ScanResult(verdict=""))
        filled = scanned_record(record, result)
        if result.is_ok:
            filled = filled._replace(path=targets[record.path], made_for=made_for)
        records.append(VideoRecord(*filled))
    return Manifest(tuple(records), manifest.class_names)
