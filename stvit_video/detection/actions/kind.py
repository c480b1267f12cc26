"""How a checkpoint says that it is one of a detector of actions."""

from pathlib import Path

from stvit_video.models.checkpoint import find_card

ACTION_IDS = "action_ids"
"""Key in `extra` of a card: numbers of the actions in annotations. Such a model reads boxes."""


def finds_actions(source: str | Path) -> bool:
    """Say whether a folder or a hub id holds a detector of actions.

    Raises as `find_card`.
    """
    card = find_card(source)
    return card is not None and ACTION_IDS in card.extra
