"""Words of strangers as text: what a label, a file name or a checkpoint says, for a reader.

A terminal obeys control characters, a bidi override turns a line around, a zero-width character
hides: here each is shown as Python writes it, `\\x1b` or `\\u202e`.
"""

import re
import unicodedata

MOST_OF_A_LINE = 1000
"""Characters of a line that tells an error."""

_HIDDEN = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f"
    r"\U000e0100-\U000e01ef]"
)
"""Letters and marks that take no room, besides the categories below."""


def visible(text: object) -> str:
    """Return the text in one line, with all that would not be seen written out.

    Of a text that is visible already nothing changes.
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def cut(text: str, most: int = MOST_OF_A_LINE) -> str:
    """Return the text with its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 5]} ... {text[-end:]}"


def _shown(character: str) -> str:
    if character.isascii():
        is_seen = character.isprintable()
    else:
        kind = unicodedata.category(character)
        is_seen = kind not in ("Cc", "Cf", "Cs", "Zl", "Zp") and not _HIDDEN.match(character)
    return character if is_seen else character.encode("unicode_escape").decode()
