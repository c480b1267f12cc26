"""The server: a page, a place to send videos to, and pages of clusters for a while.

Nothing that a client says reaches the file system: a video is the body of a request, and a result
is found by a name that was drawn at random here.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stvit_video.datasets.upkeep.workers import Outcome
from stvit_video.serving.bench import Bench
from stvit_video.serving.guard import Guard
from stvit_video.serving.messages import Answer, Job
from stvit_video.serving.uploads import RefusedError, receive_upload

MOST_RESULTS = 8
"""Pages of clusters that are kept; the oldest goes first."""
RESULT_POLICY = "frame-ancestors 'self'; sandbox allow-scripts"
"""Beside the policy in the page itself: it runs its script, and is nobody's origin."""
_PARTS = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
_FAILURES = {
    "time limit": (504, "looking at the video took too long; it was stopped"),
    "crash": (500, "the process that looked at the video died; another takes its place"),
    "error": (500, "the video could not be looked at; who serves finds why in the terminal"),
}
"""Of workers: status and line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much is taken at once."""

    max_bytes: int
    """Of a video."""
    queue: int
    """Requests that may wait for a worker."""


class Desk:
    """Takes videos, as many at a time as may be, and keeps the last results."""

    def __init__(
        self,
        bench: Bench,
        folder: Path,
        limits: Limits,
        about: dict[str, Any],
        tell: Callable[[str], None],
    ) -> None:
        self.bench = bench
        self.folder = folder
        self.limits = limits
        self.about = about
        self.tell = tell
        """Says to who serves what a client is not told."""
        self.num_taken = 0
        self.results: OrderedDict[str, Path] = OrderedDict()

    async def analyse(self, request: Request) -> Response:
        """Answer `POST /analyse`, whose body is a video."""
        most = self.bench.num_workers + self.limits.queue
        if self.num_taken >= most:
            raise RefusedError(
                503, f"{most} videos are being looked at already; try again", retry_after=5
            )
        self.num_taken += 1
        try:
            with TemporaryDirectory(dir=self.folder) as place:
                job = Job(Path(place, "video"), Path(place, "page.html"))
                with job.video.open("wb") as file:
                    await receive_upload(request, file, max_bytes=self.limits.max_bytes)
                found = self._found(await _unless_gone(request, self.bench.run(job)))
                if found.pop("has_page"):
                    found["page"] = self._keep(job.page)
        finally:
            self.num_taken -= 1
        return JSONResponse(found)

    async def result(self, request: Request) -> Response:
        """Answer `GET /results/NAME`."""
        path = self.results.get(request.path_params["name"])
        if path is None:
            raise RefusedError(404, "there is no such result, or it is gone; send the video again")
        headers = {"Content-Security-Policy": RESULT_POLICY}
        content = await asyncio.to_thread(path.read_bytes)
        return Response(content, media_type="text/html", headers=headers)

    async def tell_about(self, request: Request) -> Response:
        """Answer `GET /about`: the models and the limits."""
        return JSONResponse(self.about)

    def _found(self, outcome: Outcome[Job, Answer]) -> dict[str, Any]:
        """Return what a worker found.

        Raises:
            RefusedError: it refused the video, or failed.
        """
        if outcome.failure:
            status, line = _FAILURES[outcome.failure]
            last = outcome.traceback.strip().rpartition("\n")[2]
            self.tell(f"{line}{': ' if last else ''}{last}")
            raise RefusedError(status, line)
        assert outcome.result is not None
        if outcome.result.found is None:
            raise RefusedError(422, outcome.result.error)
        return dict(outcome.result.found)

    def _keep(self, page: Path) -> str:
        """Keep a page among the last results, and return its address."""
        name = secrets.token_urlsafe(16)
        self.results[name] = self.folder / f"{name}.html"
        page.replace(self.results[name])
        while len(self.results) > MOST_RESULTS:
            _, oldest = self.results.popitem(last=False)
            oldest.unlink(missing_ok=True)
        return f"/results/{name}"


def build_app(desk: Desk, *, host: str) -> Starlette:
    """Make the application."""
    return Starlette(
        routes=[
            *(Route(path, _send_part(*part)) for path, part in _PARTS.items()),
            Route("/about", desk.tell_about),
            Route("/analyse", desk.analyse, methods=["POST"]),
            Route("/results/{name}", desk.result),
        ],
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={
            RefusedError: _refuse,
            ClientDisconnect: _gone,
            404: _not_here,
            405: _not_here,
        },
    )


def _send_part(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Make what answers with a file of this package, read once."""
    content = files("stvit_video.serving").joinpath(name).read_bytes()

    async def send(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return send


async def _unless_gone(
    request: Request, work: Awaitable[Outcome[Job, Answer]]
) -> Outcome[Job, Answer]:
    """Wait for the work, and stop it where who asked for it goes away.

    Raises:
        ClientDisconnect: that is so.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse({"error": str(error)}, status_code=error.status, headers=headers)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _not_here(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return JSONResponse({"error": "there is no such page"}, status_code=status)
