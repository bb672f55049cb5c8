"""The page's own document, packed on the wire: Gradio packs its scripts, but not this, and it describes every field of every tab.

    demo.launch(app_kwargs={"middleware": [PACKED]})

Nothing else is touched: streams must not wait for a packer, pictures are packed already.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["PACKED"]


class PagePacker:
    """ASGI middleware: gzip for `/`, where the browser takes it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.packed = GZipMiddleware(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = scope["type"] == "http" and scope["path"] == "/"
        await (self.packed if page else self.app)(scope, receive, send)


PACKED = Middleware(PagePacker)
