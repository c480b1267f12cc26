"""Write a file in one step: it appears under its name only once it is complete."""

import os
from pathlib import Path


def write_file(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_name(f".{path.name}.{os.getpid()}")
    partial_path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(partial_path, path)
