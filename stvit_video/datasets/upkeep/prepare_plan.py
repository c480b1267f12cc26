"""What there is to prepare: each video once, where it goes, and what is known of both."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.upkeep.file_states import FileState, read_states
from stvit_video.datasets.upkeep.journal import Journal
from stvit_video.datasets.upkeep.prepared import prepared_paths
from stvit_video.datasets.upkeep.scan import ScanResult
from stvit_video.errors import DatasetError


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparePlan:
    """Videos by their first spelling, and their targets."""

    output_dir: Path
    original_of: dict[Path, Path]
    """Every path of the manifest -> the first one that names the same file."""
    targets: dict[Path, Path]
    """Every such first one -> the file to make of it."""
    source_states: dict[Path, FileState | None]
    target_states: dict[Path, FileState | None]
    """By source."""

    def known(self, journal: Journal) -> Iterator[tuple[Path, ScanResult, int]]:
        """Yield sources whose target stands as an earlier run wrote it: source, result, bytes."""
        for source, target in self.targets.items():
            state = self.target_states[source]
            found = journal.find(source, self.source_states[source]) if state else None
            if state is None or found is None or state.size != found["size"]:
                continue
            if found.get("target", os.path.abspath(target)) == os.path.abspath(target):
                yield source, ScanResult(**found["result"]), state.size

    def check_sources(self) -> None:
        """Refuse targets that are sources.

        Raises:
            DatasetError: naming the first.
        """
        places = {(s.device, s.inode) for s in self.source_states.values() if s and s.inode}
        for source, state in self.target_states.items():
            if state and (state.device, state.inode) in places:
                raise self._overwriting(self.targets[source])

    def check_makers(self, journal: Journal) -> None:
        """Refuse targets that were made from other videos which still exist.

        Raises:
            DatasetError: naming the first, and what it was made from.
        """
        for source, state in self.target_states.items():
            maker = journal.maker_of(self.targets[source]) if state else ""
            if maker not in ("", os.path.abspath(source)) and os.path.exists(maker):
                raise self._overwriting(self.targets[source], f", made from {maker}")

    def _overwriting(self, target: Path, origin: str = "") -> DatasetError:
        return DatasetError(
            f"preparing into {self.output_dir} would overwrite {target}{origin};"
            " choose another output folder"
        )


def plan_preparation(videos: Manifest, base: Path, output_dir: Path) -> PreparePlan:
    """Look at every video, and at its target, once; a file under several spellings is one."""
    absolute = {record.path: os.path.abspath(record.path) for record in videos.records}
    first: dict[str, Path] = {}
    for path, place in absolute.items():
        first.setdefault(place, path)
    states = dict(
        zip(first.values(), read_states(list(first.values()), title="sources"), strict=True)
    )
    original: dict[tuple[int, int], Path] = {}
    same = {
        path: original.setdefault((state.device, state.inode), path)
        if state and state.inode
        else path
        for path, state in states.items()
    }
    sources = list(dict.fromkeys(same.values()))
    targets = prepared_paths(sources, base, output_dir)
    target_states = read_states(list(targets.values()), title="targets")
    return PreparePlan(
        output_dir=output_dir,
        original_of={path: same[first[place]] for path, place in absolute.items()},
        targets=targets,
        source_states={source: states[source] for source in sources},
        target_states=dict(zip(sources, target_states, strict=True)),
    )
