"""The one way to a terminal: every word as text, never as markup or as what a terminal obeys."""

from rich.console import Console
from rich.text import Text

from stvit_video.visible import visible


def say(console: Console, *lines: object) -> None:
    """Print lines, each as `visible` shows it; a name in it breaks no line and colours nothing."""
    if lines:
        console.print(*map(as_text, lines), sep="\n", soft_wrap=True, highlight=False)


def as_text(words: object) -> Text:
    """Return words as rich takes them in tables and bars, without markup."""
    return Text(visible(words))
