"""A file to hand to an encoder, which would hide why the disk took no more."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import IO, Any, cast

from av.error import FFmpegError


class _NewFile(FileIO):
    """Writes all it is given, and keeps the error where it could not."""

    fault: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes; a disk that is nearly full takes a part of them at first."""
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            self.fault = error
            raise
        return len(data)


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that was not there, in place of what was; a link is replaced, not followed.

    Raises:
        OSError: the disk refused it, also where an encoder says something else.
    """
    path.unlink(missing_ok=True)
    with _NewFile(str(path), "xb") as file:
        try:
            yield cast(IO[bytes], file)
        except FFmpegError:
            if file.fault:
                raise file.fault from None
            raise
