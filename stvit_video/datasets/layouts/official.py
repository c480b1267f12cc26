"""How many classes the data sets have, so that names of another one are noticed."""

from collections.abc import Sequence

from stvit_video.errors import DatasetError

CLASS_COUNTS: dict[str, tuple[int, ...]] = {
    "kinetics400": (400,),
    "kinetics600": (600,),
    "kinetics700": (700,),
    "ssv1": (174,),
    "ssv2": (174,),
    "jester": (27,),
    "ucf101": (101,),
    "hmdb51": (51,),
    "diving48": (48,),
    "moments": (305, 339),
    "charades": (157,),
    "epic-verbs": (97,),
    "epic-nouns": (300,),
}
"""By layout; Moments in Time has two editions."""


def count_note(layout: str, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return a line where a data set has another number of classes than it is published with.

    Raises:
        DatasetError: the number is that of another data set.
    """
    counts, found = CLASS_COUNTS.get(layout, ()), len(class_names)
    if not counts or found in counts:
        return ()
    official = " or ".join(map(str, counts))
    others = [name for name, known in CLASS_COUNTS.items() if found in known]
    if others:
        raise DatasetError(
            f"layout {layout} has {official} classes, but the names are {found}, as those of"
            f" {' and '.join(others)}; give its own with --labels"
        )
    return (f"{found} classes are named, {layout} has {official}",)
