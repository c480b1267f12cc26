"""Serve until ctrl-c or SIGTERM: an address to listen at, a private folder, workers."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from starlette.applications import Starlette

from stvit_video.datasets.upkeep.stopping import stoppable
from stvit_video.errors import ConfigError
from stvit_video.serving.app import Desk, Limits, build_app
from stvit_video.serving.bench import Bench
from stvit_video.serving.messages import AnalysisSettings

_MOST_CONNECTIONS = 100
_GRACE_SECONDS = 2
"""For answers under way, at the end."""


def serve(
    settings: AnalysisSettings,
    limits: Limits,
    *,
    host: str,
    port: int,
    num_workers: int,
    seconds: float,
    tell: Callable[[str], None],
) -> None:
    """Serve until a signal; `tell` says what happens, line by line.

    A video may be looked at for `seconds`. Port 0 takes one that is free.

    Raises:
        ConfigError: the address cannot be listened at, or the models cannot be loaded.
        KeyboardInterrupt: the signal, once uploads, results and workers are gone.
    """
    with (
        stoppable("stopped; uploads and results are deleted"),
        _listen(host, port) as listening,
        TemporaryDirectory(prefix="stvit-video-serve-") as folder,
    ):
        bench = Bench(settings, num_workers=num_workers, seconds=seconds)
        desk = Desk(bench, Path(folder), limits, {}, tell)
        asyncio.run(_serve(desk, settings, listening, host))


async def _serve(
    desk: Desk, settings: AnalysisSettings, listening: socket.socket, host: str
) -> None:
    try:
        models = await desk.bench.start()
        desk.about |= {
            "models": models,
            "max_bytes": desk.limits.max_bytes,
            "max_duration": settings.max_duration,
            "max_time": desk.bench.seconds,
        }
        if not is_loopback(host):
            desk.tell(f"warning: whoever reaches {host} can send videos; there is no password")
        names = " and ".join(
            f"{model['name']} ({model['tokens'] or model['patches']} tokens)" for model in models
        )
        desk.tell(f"{names} at {_address(host, listening.getsockname()[1])} (ctrl-c ends)")
        await _server(build_app(desk, host=host)).serve(sockets=[listening])
    finally:
        desk.bench.close()


def _server(app: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        http="h11",
        ws="none",
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return uvicorn.Server(config)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        number = error.errno or 0  # negative where a name is not known
        reason = os.strerror(number) if number > 0 else error.strerror
        raise ConfigError(
            f"host ({host}) and port ({port}) cannot be listened at: {reason}; choose"
            " another port, or 0 for any"
        ) from error


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
