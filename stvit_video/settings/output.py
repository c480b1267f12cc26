"""How results are written."""

from typing import Literal

TableFormat = Literal["table", "csv", "markdown", "latex"]
FolderKind = Literal["stvit-video", "transformers"]
