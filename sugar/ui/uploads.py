"""Uploads and the files that are served: each visitor's own, by paths that nobody can guess.

    Middleware(Uploads, visitors=visitors, settings=settings, shipped=files)      # inside Gate, before Gradio

Gradio keeps an upload under the hash of its content and gives it to whoever has the path. Here it goes to a
random folder of the visitor's and is given to that visitor only. Not covered: the clean copy that takes the
original's place (incoming.py), addresses in place of files (fetching.py).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from gradio import routes
from gradio.route_utils import MultiPartException, upload_fn
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sugar.errors import SugarError
from sugar.settings import Settings
from sugar.ui.visitors import Visitors, login_of

__all__ = ["Uploads"]

UPLOAD, FILE = "/gradio_api/upload", "/gradio_api/file="
MB = 1_000_000


class Uploads:
    """ASGI middleware that takes uploads and watches over the files that Gradio serves."""

    def __init__(self, app: ASGIApp, visitors: Visitors, settings: Settings, shipped: set[Path]) -> None:
        self.app, self.visitors, self.settings, self.shipped = app, visitors, settings, shipped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"]
        if path.rstrip("/") == UPLOAD and scope["method"] == "POST":
            answer: Response | None = await self._take(scope, receive)
        elif path.startswith(FILE):
            answer = self._refusal(scope, unquote(path.removeprefix(FILE)))
        else:
            answer = None
        await (answer or self.app)(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive) -> Response:
        """Take an upload in, below a new folder of the visitor's."""
        request, app = Request(scope, receive), scope["app"]
        if app.auth is not None and login_of(scope) is None:
            return PlainTextResponse("Log in first.", 401)
        visitor, files = self.visitors.asking(scope), self.visitors.files
        progress = request.query_params.get("upload_id")
        most = max(self.settings.max_upload_mb, self.settings.max_import_mb) * MB
        try:
            self.visitors.visits.touch(visitor)
            self.visitors.check_room(visitor, int(request.headers.get("content-length") or 0))
            taken, to_move, locations = await upload_fn(
                request,
                str(files.new(visitor)),
                most,
                progress,
                upload_progress=routes.file_upload_statuses if progress else None,
            )
            for path in taken:
                self._check_size(Path(path))
        except MultiPartException as error:
            return PlainTextResponse(error.message, 413 if "maximum" in error.message else 400)
        except HTTPException as error:
            return PlainTextResponse(str(error.detail), error.status_code)
        except (SugarError, ValueError) as error:
            return PlainTextResponse(str(error), 413)
        app.get_blocks().upload_file_set.update(taken)
        return JSONResponse([str(path) for path in taken])

    def _check_size(self, path: Path) -> None:
        """Only an import may be larger than a picture. Raises ValueError; the file is gone then."""
        if path.suffix.lower() != ".zip" and path.stat().st_size > self.settings.max_upload_mb * MB:
            self.visitors.files.remove(path)
            raise ValueError(f"A file may have {self.settings.max_upload_mb} MB.")

    def _refusal(self, scope: Scope, path: str) -> Response | None:
        """None when the file may be served: it ships with the app, or it is this visitor's."""
        if Path(path) in self.shipped:
            return None
        if self.visitors.files.readable(path, self.visitors.asking(scope)):
            return None
        return PlainTextResponse("This file is not yours, or it is gone.", 403)
