"""Labels as lists write them: the index of a class, or its name."""

import re

MOST_CLASSES = 100_000
"""More are taken for a mistake, where no names say how many there are."""
_NUMBER = re.compile(r"(-?\d{1,18})(?:\.0*)?")


def label_number(text: str) -> int | None:
    """Return the number that a label is, as `3` or `3.0`, -1 for none known; None of a name."""
    match = _NUMBER.fullmatch(text)
    return int(match[1]) if match else None
