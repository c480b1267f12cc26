"""Take a video from a request into a file of our own, within bounds of size and time."""

import asyncio
from collections.abc import AsyncIterator
from typing import IO

from starlette.requests import Request

UPLOAD_TYPE = "application/octet-stream"
"""Which no form of a foreign site can send without asking first."""
IDLE_SECONDS, UPLOAD_SECONDS = 20.0, 600.0
"""Without a byte, and in all, after which an upload is given up."""


class RefusedError(Exception):
    """A request that is answered with a line and a status other than 200."""

    def __init__(self, status: int, line: str, *, retry_after: int | None = None) -> None:
        super().__init__(line)
        self.status = status
        self.retry_after = retry_after


async def receive_upload(request: Request, file: IO[bytes], *, max_bytes: int) -> None:
    """Write the body of a request into `file`.

    Raises:
        RefusedError: it is of another type, empty, too large, too slow, or the disk is full.
        ClientDisconnect: who sends it has gone.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != UPLOAD_TYPE:
        raise RefusedError(
            415,
            f"the video must be sent as {UPLOAD_TYPE}, as in `curl --data-binary @clip.mp4`"
            f" with that content type",
        )
    too_large = RefusedError(413, f"the video is larger than {max_bytes / 2**20:g} MiB")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise too_large
    size = 0
    async for chunk in _in_time(request):
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        try:
            file.write(chunk)
            file.flush()
        except OSError as error:
            raise RefusedError(507, f"there is no room for the video: {error.strerror}") from error
    if not size:
        raise RefusedError(400, "the request holds no video")


async def _in_time(request: Request) -> AsyncIterator[bytes]:
    """Yield the parts of a body, as long as they keep coming."""
    parts = request.stream()
    end = asyncio.get_running_loop().time() + UPLOAD_SECONDS
    while True:
        left = end - asyncio.get_running_loop().time()
        try:
            yield await asyncio.wait_for(anext(parts), min(left, IDLE_SECONDS))
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            line = f"no byte came for {IDLE_SECONDS:g} s"
            if left < IDLE_SECONDS:
                line = f"the video took more than {UPLOAD_SECONDS:g} s to come"
            raise RefusedError(408, line) from error
