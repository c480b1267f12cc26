"""What to do with the files of a data set so that training reads them faster: told from its list.

Nothing is opened, so that a training may ask, too.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from stvit_video.datasets.records import Records, VideoRecord
from stvit_video.datasets.upkeep.groups import plan_groups, purpose_of
from stvit_video.errors import ConfigError
from stvit_video.settings.data import DataConfig

MOST_ASKED = 64
"""Videos that stand for all."""


def spread(records: Sequence[VideoRecord]) -> Sequence[VideoRecord]:
    """Return at most `MOST_ASKED` of the records, evenly spread over them."""
    return records[:: -(-len(records) // MOST_ASKED)]


def faster_files(
    videos: Path, records: Sequence[VideoRecord], data: DataConfig, *, stride: int
) -> str | None:
    """Say what is missing and the command that mends it; None where the files are as they should.

    `videos` is the manifest or folder as the user gave it; `stride` that of dense clips.
    """
    name = shlex.quote(str(videos))
    is_indexed = isinstance(records, Records) and records.indexes is not None
    made_for, options = _wanted(data, stride)
    found = {record.made_for for record in spread(records)}
    unsuited = sorted(word for word in found if not _suits(word, made_for))
    scan = f"`stvit-video data scan {name}`"
    if not unsuited:
        return None if is_indexed else f"{name} was never scanned: {scan}"
    if "" in unsuited:
        text = f"the files are not prepared: `stvit-video data prepare {name} OUT {options}`"
        return text if is_indexed or videos.is_dir() else f"{text}, or at least {scan}"
    return (
        f"the files are made for {', '.join(unsuited)}, not for {made_for}:"
        f" `stvit-video data prepare SOURCES OUT {options}`"
    )


def _wanted(data: DataConfig, stride: int) -> tuple[str, str]:
    """Return what suits the reading, as the manifest would say it, and the options to get it."""
    purpose = purpose_of(data)
    steps = stride if purpose == "dense" else None
    try:
        made_for = plan_groups(purpose, stride=steps, gop=None).made_for
    except ConfigError:  # no group of pictures has such a step
        return "any", "--for any"
    return made_for, f"--for {purpose}" + (f" --stride {steps}" if steps else "")


def _suits(found: str, wanted: str) -> bool:
    """Whether files made for one reading serve another as well as files made for it."""
    if not found or found in (wanted, "segments") or wanted == "any":
        return bool(found)
    steps = [word.removeprefix("dense") for word in (found, wanted)]
    return all(map(str.isdecimal, steps)) and int(steps[1]) % int(steps[0]) == 0
