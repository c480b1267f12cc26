"""How results are written."""

from typing import Literal

EngineName = Literal["local", "ray"]
TableFormat = Literal["table", "csv", "markdown", "latex"]
FolderKind = Literal["stvit-video", "transformers"]
Shell = Literal["bash", "zsh", "tcsh"]
