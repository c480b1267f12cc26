"""The one way to a terminal: every word as text, never as markup or as what a terminal obeys."""

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from stvit_video.visible import visible


def say(console: Console, *lines: object) -> None:
    """Print lines, each as `visible` shows it; a name in it breaks no line and colours nothing."""
    if lines:
        console.print(*map(as_text, lines), sep="\n", soft_wrap=True, highlight=False)


def say_wrapped(console: Console, words: object) -> None:
    """Print a line, broken at words where a terminal is narrower; a longer word stays whole."""
    say(console, *wrap_words(visible(words), console.width) if console.is_terminal else [words])


def wrap_words(text: str, width: int) -> list[str]:
    """Break a text at words into lines of `width` places; a longer word is a line of its own."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cell_len(joined) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def as_text(words: object) -> Text:
    """Return words as rich takes them in tables and bars, without markup."""
    return Text(visible(words))
