"""A folder for results of one kind, which goes on where they stopped, and takes no others."""

import json
from pathlib import Path
from typing import Any

from stvit_video.errors import ConfigError
from stvit_video.files import LOCK_FILE
from stvit_video.report.json_file import write_json


class ClaimedFolder:
    """A folder and a file in it that says what its results are of."""

    setting = "output_dir"
    """What names the folder."""
    identity_file = "evaluation.json"
    content = "scores of another evaluation"
    """What such a folder may hold that is not wanted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, identity: dict[str, Any]) -> None:
        """Let the folder be for what `identity` says, where it is new.

        Raises:
            ConfigError: it is for something else.
            WriteError: nothing can be written there.
        """
        own = self.path / self.identity_file
        if not own.exists():
            if any(path.name != LOCK_FILE for path in self.path.glob("*")):
                raise ConfigError(
                    f"{self.setting} ({self.path}) holds other files; choose a new folder"
                )
            write_json(identity, own)
            return
        try:
            before = dict(json.loads(own.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ConfigError(f"{own} cannot be read; choose another folder") from error
        for name in {**identity, **before}:
            if identity.get(name) != before.get(name):
                raise ConfigError(
                    f"{self.setting} ({self.path}) holds {self.content}: its {name} was"
                    f" {before.get(name)}, not {identity.get(name)}; choose another folder"
                )
