"""What every request passes before Gradio sees it: which host it names, where it comes from, how large it is.

    demo.launch(app_kwargs={"middleware": [Middleware(Gate, visitors=visitors, settings=settings)]})

- Host: in personal mode only this machine's own names are answered, so that no web page reaches the app by a
  name of its own (DNS rebinding), and nothing that came through a tunnel.
- Origin: a page of another site may link to this page and frame it nowhere; it reads and changes nothing.
- Paths: what the page and programs need; the rest of Gradio's routes is closed.
- Every answer says what its page may load and who may frame it.
- The cookie that keeps the visitor is set with the page. Not covered: uploads and files (uploads.py).
"""

from __future__ import annotations

import os
from collections import Counter
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sugar.errors import BusyError, SugarError
from sugar.services.modes import is_loopback, on_a_space
from sugar.services.quotas import network_of
from sugar.settings import Settings
from sugar.ui.bodies import Refused, bounded
from sugar.ui.paths import is_open
from sugar.ui.visitors import KEY, Visitors, cookies_of

__all__ = ["Gate"]

READS = ("GET", "HEAD", "OPTIONS")
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "cf-connecting-ip", "x-real-ip")
AT_ONCE = 500
"""Requests of one address that may be open at a time: each open page listens with one or two."""
BODY = 2_000_000
"""Bytes of a request that is not an upload."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; frame-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""Nothing that a model or a file says makes the browser ask another place. (Gradio makes scripts of text.)"""

FRAMES_OF_A_SPACE = " https://huggingface.co https://*.huggingface.co https://*.hf.space"
"""Who shows a Space inside a page of their own."""

LOGOUT = (
    '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Log out</title>'
    '<form method="post" action="/logout?all_session=false"><button>Log out</button></form></html>'
)
"""Gradio logs out by GET, which any picture's address can ask for. Here a button must be pressed."""


class Gate:
    """ASGI middleware. See the module docstring."""

    def __init__(self, app: ASGIApp, visitors: Visitors, settings: Settings) -> None:
        self.app, self.visitors, self.settings = app, visitors, settings
        self.named = {name.strip().lower() for name in settings.allow_host.split(",") if name.strip()}
        if os.environ.get("SPACE_HOST"):
            self.named.add(os.environ["SPACE_HOST"].lower())
        self._open: Counter[str] = Counter()
        self.policy = POLICY + (FRAMES_OF_A_SPACE if on_a_space() else "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers, send = Headers(scope=scope), self._with_policy(send)
        try:
            self._check_host(headers)
            self._check_origin(scope, headers)
            self._check_path(scope, headers)
            self._admit(scope)
        except Refused as refused:
            return await PlainTextResponse(refused.words, refused.status)(scope, receive, send)
        if scope["type"] == "http" and scope["path"].rstrip("/") == "/logout":
            if scope["method"] != "POST":
                return await HTMLResponse(LOGOUT)(scope, receive, send)
            scope["method"] = "GET"
        if scope["type"] == "http" and not scope["path"].startswith("/gradio_api/upload"):
            receive = bounded(receive, BODY)
        if scope["path"] == "/" and not self.visitors.mode.one_person:
            send = self._with_cookie(scope, headers, send)
        address = network_of(self.visitors.address(scope))
        self._open[address] += 1
        try:
            if self._open[address] > AT_ONCE:
                raise Refused(429, f"{AT_ONCE} requests at a time is the limit here. Close some pages.")
            await self.app(scope, receive, send)
        except Refused as refused:
            await PlainTextResponse(refused.words, refused.status)(scope, receive, send)
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

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
        """A page of another site may lead a browser to the page, and that is all."""
        leads_here = scope["type"] == "http" and scope["method"] in READS and scope["path"] == "/"
        if not leads_here and self._foreign(headers):
            raise Refused(
                403, "This request comes from a page of another site. Only the app's own may send it."
            )

    def _foreign(self, headers: Headers) -> bool:
        """Whether a browser sent the request for a page of another site. No page can write these headers.

        X-Forwarded-Host is not among them: any page can send it, and proxies hand it on.
        """
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site == "same-origin":  # also where a proxy in front gives the app another Host
            return False
        if origin is None:
            return site in ("same-site", "cross-site")
        place = urlsplit(origin).netloc.lower()
        return place != headers.get("host", "").lower() and _name(place) not in self.named

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
        """Every request pays from its address; what may cost something, more."""
        try:
            if scope["type"] == "http" and scope["method"] in READS:
                self.visitors.quotas.admit_read(self.visitors.address(scope))
                return
            visitor = self.visitors.asking(scope)
            self.visitors.quotas.admit(visitor, uses_model=False)
            if scope["path"].startswith("/login"):
                self.visitors.quotas.admit_login(visitor.address)
        except BusyError as error:
            raise Refused(429, str(error)) from None
        except SugarError as error:
            raise Refused(400, str(error)) from None

    def _with_policy(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = self.policy
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        return sending

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
