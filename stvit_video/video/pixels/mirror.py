"""Which classes turn into each other when a clip is mirrored."""

import re
from collections.abc import Sequence

from stvit_video.errors import ConfigError

_SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}


def mirrored_classes(class_names: Sequence[str]) -> list[int]:
    """Return, for each class, the index of the class that its mirror image shows.

    `Pushing something from left to right` becomes `Pushing something from right to left`. A class
    whose name says neither stays itself.

    Raises:
        ConfigError: a name says left or right, and the mirrored name is no class.
    """
    index_of = {_words(name): index for index, name in enumerate(class_names)}
    mirrored = []
    for name in class_names:
        other = _SIDE.sub(lambda match: _OTHER.get(match[0], match[0]), _words(name))
        if other not in index_of:
            raise ConfigError(
                f"class {name!r} becomes {other!r} in a mirror, which is no class;"
                " set augmentation.flip to 0"
            )
        mirrored.append(index_of[other])
    return mirrored


def _words(name: str) -> str:
    return name.replace("_", " ")
