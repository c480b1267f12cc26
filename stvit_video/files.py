"""Write a file whole: it appears under its name only once it is complete. Look before the work
whether it can be written, and keep a folder for one run at a time.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated

from stvit_video.errors import ConfigError, StvitVideoError, WriteError

LOCK_FILE = ".lock"


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes, making the folder where it is missing.

    Raises:
        WriteError: the disk refuses it; what stood there before still does.
    """
    with replacing(path) as partial_path:
        partial_path.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: str | Path, *errors: type[Exception]) -> Iterator[Path]:
    """Give the path to write to; at the end of the block the file gets its name and its rights.

    `errors` are those by which a writer says, besides OSError, that the disk refused.

    Raises:
        WriteError: it did; what stood there before still does.
    """
    path = Path(path)
    partial_path = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path, *errors):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial_path.touch()
            mode = partial_path.stat().st_mode  # as the umask wants it; some writers take 0600
            yield partial_path
            partial_path.chmod(mode)
            os.replace(partial_path, path)
        finally:
            with suppress(OSError):
                partial_path.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn what the disk refuses in the block into one line about `path`.

    Raises:
        WriteError: an OSError, or one of `errors`, left the block.
    """
    refusals: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except StvitVideoError:
        raise
    except refusals as error:
        raise WriteError(f"{path} cannot be written: {_reason(error)}") from error


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Keep `folder`, which is made where it is missing, for this process until the block ends.

    The lock is the system's: it ends with the process, however that ends, and is not handed on to
    processes that are forked, which may live longer.

    Raises:
        ConfigError: another process holds it.
        WriteError: nothing can be written there.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl  # not on Windows

    path = folder / LOCK_FILE
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        if os.fstat(file.fileno()).st_size:
            raise ConfigError(f"{path} is a lock of another program; choose another folder")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise BlockingIOError  # its last holder took it away just now
        except BlockingIOError as error:
            raise ConfigError(
                f"output_dir ({folder}) is in use by another run; wait for its end or choose"
                " another folder"
            ) from error
        try:
            _held.add(file)
            yield
        finally:
            _held.discard(file)
            path.unlink(missing_ok=True)


_held: set[IO[str]] = set()
"""Files that are locked."""


def _let_go() -> None:
    for file in _held:
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def check_result(name: str, path: Path) -> None:
    """Refuse a file that could not be written in the end; `-` is standard output.

    Raises:
        WriteError: naming the setting, the path and why.
    """
    if str(path) == "-":
        return
    if not path.parent.is_dir():
        raise WriteError(f"{name} ({path}) cannot be written: there is no folder {path.parent}")
    check_output(name, path)


def check_output(name: str, path: Path) -> None:
    """The same for a file whose folder is made where it is missing. Raises as `check_result`."""
    if path.is_dir():
        raise WriteError(f"{name} ({path}) is a folder; name a file")
    if path.exists() and not path.is_file():
        raise WriteError(f"{name} ({path}) is a device or a pipe; name a file")
    _try_to_write(name, path, path.parent)


def check_own(name: str, folder: Path, *, is_own: bool) -> None:
    """Refuse a folder that is there and not ours, for what a command would overwrite or mix with.

    Hidden files, and logs that a shell or a scheduler began there, are let be.

    Raises:
        ConfigError: naming the setting, the folder and a file in it.
    """
    if is_own or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and path.suffix not in _LOGS:
            raise ConfigError(
                f"{name} ({folder}) holds {path.name}, which this command did not write there;"
                " choose a new folder"
            )


_LOGS = (".log", ".out", ".err")


def check_output_folder(name: str, path: Path) -> None:
    """The same for a folder, which is made where it is missing. Raises as `check_result`."""
    _try_to_write(name, path, path)


ResultFile = Annotated[Path, check_result]
OutputFile = Annotated[Path, check_output]
OutputFolder = Annotated[Path, check_output_folder]


def _try_to_write(name: str, path: Path, folder: Path) -> None:
    """Write a file without a name into the folder, or the nearest one above that is there."""
    there = next(p for p in (folder, *folder.parents, Path()) if p.exists())
    if not there.is_dir():
        raise WriteError(f"{name} ({path}) cannot be written: {there} is a file, no folder")
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise WriteError(f"{name} ({path}) cannot be written: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    if not isinstance(error, OSError) and isinstance(error.__context__, OSError):
        error = error.__context__
    return " ".join((getattr(error, "strerror", None) or str(error)).split())
