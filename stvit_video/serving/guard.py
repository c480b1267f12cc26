"""Who may ask, and what browsers may do with the answers."""

import ipaddress
from collections.abc import MutableMapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src blob:;"
    " img-src data:; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What the page may load: its own script and style, the results, and the video from disk."""
_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses what a foreign site sends through the browser of who serves, and adds headers."""

    def __init__(self, app: ASGIApp, *, host: str) -> None:
        self.app = app
        self.host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(message)
            await send(message)

        refusal = refuse(Headers(scope=scope), method=scope["method"], host=self.host)
        if refusal is None:
            await self.app(scope, receive, send_with_headers)
        else:
            answer = JSONResponse({"error": refusal}, status_code=403)
            await answer(scope, receive, send_with_headers)


def refuse(headers: Headers, *, method: str, host: str) -> str | None:
    """Say why a request is not answered; None where it is.

    A page of another site can make a browser ask here, by a name of its own that leads here (DNS
    rebinding) or by a form; neither can hide the name, nor where it comes from.
    """
    name = headers.get("host", "")
    if not is_own_name(name, host):
        return f"this server does not answer to the name {name[:100]!r}; open it by its address"
    if method in ("GET", "HEAD"):
        return None
    origin = headers.get("origin")
    is_foreign = headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
    if is_foreign or (origin is not None and urlsplit(origin).netloc != name):
        return "this request comes from another site"
    return None


def is_own_name(name: str, host: str) -> bool:
    """Whether a `Host` header names this server: an address, `localhost`, or what it binds to."""
    try:
        found = urlsplit(f"//{name}")
        hostname, _ = found.hostname, found.port
    except ValueError:
        return False
    if not hostname or found.netloc != name or "@" in name:
        return False
    if hostname in ("localhost", host.lower()):
        return True
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return True


def add_headers(message: MutableMapping[str, object]) -> None:
    """Add the headers that an answer does not have already."""
    headers = MutableHeaders(scope=message)
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
