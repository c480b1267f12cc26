"""What a checkpoint is for, as its card says."""

from pathlib import Path
from typing import Literal

from stvit_video.models.card import ACTION_IDS, DETECTOR
from stvit_video.models.checkpoint import find_card

Task = Literal["classes", "objects", "actions"]
"""Classes of clips, objects in images, actions of persons in boxes."""


def task_of(source: str | Path) -> Task:
    """Say what the model of a folder or a hub id was trained for.

    Raises as `find_card`.
    """
    card = find_card(source)
    extra = {} if card is None else card.extra
    if DETECTOR in extra:
        return "objects"
    return "actions" if ACTION_IDS in extra else "classes"
