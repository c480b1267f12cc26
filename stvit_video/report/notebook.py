"""Progress in a Jupyter notebook: one bar that moves, in one output of the cell."""

import html
import io
import re
import sys
from typing import Any

from rich.console import Console

_WIDTH = 100
"""Characters of a line."""
_PART = re.compile(r"\x1b\[[?\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def notebook_console() -> Console:
    """Return a console that writes into one output of the cell, in which bars move."""
    return Console(
        file=_CellOutput(),
        force_terminal=True,
        force_jupyter=False,
        color_system=None,
        highlight=False,
        width=_WIDTH,
        _environ={"TERM": "xterm"},
    )


class _CellOutput(io.StringIO):
    """A terminal of few words: what is on it is one output of a cell, written anew as it changes.

    It knows what a bar of rich needs: back to the start of the line, up a line, and erase a line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self.row = 0
        self.shown = ""
        self.handle: Any = None

    def write(self, text: str) -> int:
        """Put text on the terminal."""
        for part in _PART.findall(text):
            if part == "\n":
                self.row += 1
                self.lines += [""] * (self.row - len(self.lines) + 1)
            elif part.startswith("\x1b"):
                self._obey(part)
            elif part != "\r":
                self.lines[self.row] += part
        return len(text)

    def flush(self) -> None:
        """Show the terminal, where it has changed."""
        from IPython import display

        text = "\n".join(line.rstrip() for line in self.lines).rstrip()
        if text == self.shown:
            return
        self.shown = text
        output = display.HTML(f"<pre>{html.escape(text)}</pre>")
        if self.handle is None:
            self.handle = display.display(output, display_id=True)
        else:
            self.handle.update(output)

    def _obey(self, code: str) -> None:
        if code.endswith("K"):
            self.lines[self.row] = ""
        elif code.endswith("A"):
            self.row = max(self.row - int(code[2:-1] or 1), 0)
