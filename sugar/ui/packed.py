"""The page's document on the wire: packed, without a player, and with a shell that takes words while the page
is put together.

    demo.launch(app_kwargs={"middleware": [PACKED]})

Gradio packs its scripts, but not this document, which describes every field of every tab. Nothing else is
touched: streams must not wait for a packer, and pictures are packed already.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path

import gradio
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sugar.ui.text import chat, frame

__all__ = ["PACKED"]

MESSAGE_BOX = b'"elem_id":"message"'

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


class PageDocument:
    """ASGI middleware for `/` (gzip, shell) and for the player."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.packed = GZipMiddleware(self._shelled)

    async def _shelled(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}
        parts: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                document = with_shell(b"".join(parts))
                MutableHeaders(scope=start)["content-length"] = str(len(document))
                await send(start)
                await send({"type": "http.response.body", "body": document})

        await self.app(scope, receive, collect)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(PLAYER):
            headers = {"cache-control": "public, max-age=31536000"}
            response = Response(without_player(Path(path).name), 200, headers, "text/javascript")
            await response(scope, receive, send)
            return
        if path != "/":
            await self.app(scope, receive, send)
            return

        await self.packed(scope, receive, send)


PACKED = Middleware(PageDocument)
