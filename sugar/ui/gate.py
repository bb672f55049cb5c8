"""What every request passes before Gradio sees it: which host it names, where it comes from, how large it is.

    demo.launch(app_kwargs={"middleware": [Middleware(Gate, visitors=visitors, settings=settings)]})

- Host: in personal mode only this machine's own names are answered, so that no web page reaches the app by a
  name of its own (DNS rebinding), and nothing that came through a tunnel.
- Origin: a request that changes something must come from a page of the app itself.
- Paths: what the page and programs need; the rest of Gradio's routes is closed.
- The cookie that keeps the visitor is set with the page. Not covered: uploads and files (uploads.py).
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sugar.errors import BusyError, SugarError
from sugar.services.modes import is_loopback
from sugar.settings import Settings
from sugar.ui.bodies import Refused, bounded
from sugar.ui.paths import is_open
from sugar.ui.visitors import KEY, Visitors, cookies_of

__all__ = ["Gate"]

READS = ("GET", "HEAD", "OPTIONS")
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "cf-connecting-ip", "x-real-ip")
BODY = 2_000_000
"""Bytes of a request that is not an upload."""


class Gate:
    """ASGI middleware. See the module docstring."""

    def __init__(self, app: ASGIApp, visitors: Visitors, settings: Settings) -> None:
        self.app, self.visitors, self.settings = app, visitors, settings
        self.named = {name.strip().lower() for name in settings.allow_host.split(",") if name.strip()}
        if os.environ.get("SPACE_HOST"):
            self.named.add(os.environ["SPACE_HOST"].lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_origin(scope, headers)
            self._check_path(scope, headers)
            self._admit(scope)
        except Refused as refused:
            return await PlainTextResponse(refused.words, refused.status)(scope, receive, send)
        if scope["type"] == "http" and not scope["path"].startswith("/gradio_api/upload"):
            receive = bounded(receive, BODY)
        if scope["path"] == "/" and not self.visitors.mode.one_person:
            send = self._with_cookie(scope, headers, send)
        try:
            await self.app(scope, receive, send)
        except Refused as refused:
            await PlainTextResponse(refused.words, refused.status)(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        host = _name(headers.get("host", ""))
        if self.visitors.mode.name != "personal" or host in self.named:
            return
        if not is_loopback(host):
            raise Refused(
                403,
                "This app runs in personal mode and answers this machine's own addresses only. "
                "Open it as http://127.0.0.1, name the host with --allow-host, or start with --mode public.",
            )
        if any(name in headers for name in FORWARDED):
            raise Refused(
                403,
                "This request came through a proxy or a tunnel, and the app runs in personal mode. "
                "Start it with --mode public, or name the proxy's host with --allow-host.",
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or (scope["type"] == "http" and scope["method"] in READS):
            return
        own = {headers.get("host", "").lower()}
        if self.settings.proxies and "x-forwarded-host" in headers:
            own.add(headers["x-forwarded-host"].split(",")[-1].strip().lower())
        place = urlsplit(origin).netloc.lower()
        if place not in own and _name(place) not in self.named:
            raise Refused(
                403, "This request comes from a page of another site. Only the app's own may send it."
            )

    def _check_path(self, scope: Scope, headers: Headers) -> None:
        path = scope["path"]
        if not is_open(path):
            raise Refused(404, "There is nothing at this address.")
        if path.startswith("/gradio_api/mcp"):
            if not self.settings.mcp:
                raise Refused(404, "MCP is off. Start the app with --mcp.")
            if self.visitors.mode.private and KEY not in headers:
                raise Refused(401, "Send the header X-Sugar-Key with a random text of 16 to 200 characters.")

    def _admit(self, scope: Scope) -> None:
        """Requests that may cost something pay from their address."""
        if scope["type"] == "http" and scope["method"] in READS:
            return
        try:
            visitor = self.visitors.asking(scope)
            self.visitors.quotas.admit(visitor, uses_model=False)
            if scope["path"].startswith("/login"):
                self.visitors.quotas.admit_login(visitor.address)
        except BusyError as error:
            raise Refused(429, str(error)) from None
        except SugarError as error:
            raise Refused(400, str(error)) from None

    def _with_cookie(self, scope: Scope, headers: Headers, send: Send) -> Send:
        """Add a new token to the answer, unless the browser has a good one."""
        identities = self.visitors.identities
        if identities.valid(cookies_of(scope).get(self.visitors.cookie)):
            return send
        secure = scope.get("scheme") == "https" or headers.get("x-forwarded-proto", "").startswith("https")
        # A Space is shown inside a frame of another site, where a browser sends no other cookies.
        how = "; Secure; SameSite=None; Partitioned" if secure else "; SameSite=Lax"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                token = f"{self.visitors.cookie}={identities.new_token()}; Path=/; HttpOnly{how}"
                MutableHeaders(scope=message).append("set-cookie", token)
            await send(message)

        return sending


def _name(place: str) -> str:
    """The host's name, without its port."""
    return (urlsplit(f"//{place}").hostname or "").lower()
