"""The page's document on the wire: packed, without a player, and with a shell that takes words while the page
is put together.

    demo.launch(app_kwargs={"middleware": [PACKED]})

Gradio packs its scripts, but not this document, which describes every field of every tab. Nothing else is
touched: streams must not wait for a packer, and pictures are packed already.
"""

from __future__ import annotations

import gzip
import re
from collections import OrderedDict
from functools import cache, lru_cache
from html import escape
from pathlib import Path

import gradio
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sugar.ui.text import chat, frame

__all__ = ["PACKED"]

MESSAGE_BOX = b'"elem_id":"message"'

ADDRESS = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")
"""What Gradio reads of a request to write the app's own address into the page. The rest is the same."""

ADDRESSES = 8
"""Addresses whose page is kept."""

PLAYER = "/assets/hls-"
"""Gradio's player of video streams. The chatbot asks for it, and it is a quarter of the page's first load."""


@cache
def without_player(name: str) -> str:
    """A module with the player's exports that says that it can play nothing."""
    script = Path(gradio.__file__).parent / "templates" / "frontend" / "assets" / Path(name).name
    exports = re.search(r"export\{([^{}]*)\};?\s*$", script.read_text("utf-8")) if script.is_file() else None
    names = re.findall(r"as (\w+)", exports[1]) if exports else []
    listed = ", ".join(f"none as {name}" for name in names)
    return f"const none = class {{ static isSupported() {{ return false; }} }};\nexport {{ {listed} }};\n"


@cache
def shell() -> bytes:
    """shell.html with its words: a message box that stands at once, and hands over to the page's own."""
    html = Path(__file__).with_name("shell.html").read_text("utf-8")
    known = {"title": frame.TITLE, "starting": frame.STARTING, "waits": frame.SENT_WHEN_READY}
    for name, text in (known | {"placeholder": chat.PLACEHOLDER}).items():
        html = html.replace(f"{{{name}}}", escape(text))
    return html.encode()


def with_shell(document: bytes) -> bytes:
    """The page's document with the shell, where it is the page with a message box, not the one that asks for
    a password.
    """
    place = document.rfind(b"<gradio-app")
    if place < 0 or MESSAGE_BOX not in document:
        return document
    return document[:place] + shell() + document[place:]


@lru_cache(maxsize=8)
def packed(document: bytes) -> bytes:
    """The document as gzip. It is the same for everybody, so it is packed once."""
    return gzip.compress(document, 6, mtime=0)


class PageDocument:
    """ASGI middleware for `/` (gzip, shell, made once for each address of the app) and for the player."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._made: OrderedDict[tuple[str, ...], bytes] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(PLAYER):
            headers = {"cache-control": "public, max-age=31536000"}
            response = Response(without_player(Path(path).name), 200, headers, "text/javascript")
            return await response(scope, receive, send)
        if path != "/" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        asked = Headers(scope=scope)
        key = (scope.get("scheme", ""), *(asked.get(name, "") for name in ADDRESS))
        shared = scope["app"].auth is None and not scope.get("query_string")
        document = self._made.get(key) if shared else None
        if document is None:
            status, document = await self._make(scope, receive)
            if status != 200:
                return await HTMLResponse(document, status)(scope, receive, send)
            if shared:
                self._made[key] = document
                if len(self._made) > ADDRESSES:
                    self._made.popitem(last=False)
        response = HTMLResponse(document, headers={"vary": "accept-encoding"})
        if "gzip" in asked.get("accept-encoding", ""):
            response = HTMLResponse(
                packed(document), headers={"vary": "accept-encoding", "content-encoding": "gzip"}
            )
        await response(scope, receive, send)

    async def _make(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        """(status, document) as Gradio makes it, with the shell."""
        status, parts = 500, []

        async def collect(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        await self.app(scope, receive, collect)
        return status, with_shell(b"".join(parts))


PACKED = Middleware(PageDocument)
