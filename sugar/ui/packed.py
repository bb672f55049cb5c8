"""The page's document on the wire: packed, with a rule that pictures come from this server, without a player.

    demo.launch(app_kwargs={"middleware": [PACKED]})

Gradio packs its scripts, but not this document, which describes every field of every tab. Nothing else is
touched: streams must not wait for a packer, and pictures are packed already.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import gradio
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["PACKED"]

POLICY = "img-src 'self' data: blob:; media-src 'self' data: blob:; object-src 'none'; base-uri 'self'"
"""A model's Markdown cannot make the browser fetch a picture from elsewhere."""


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


class PageDocument:
    """ASGI middleware for `/` (gzip, content security policy) and for the player."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.packed = GZipMiddleware(app)

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

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = POLICY
            await send(message)

        await self.packed(scope, receive, with_policy)


PACKED = Middleware(PageDocument)
