"""Uploads and the files that are served: each visitor's own, by paths that nobody can guess.

    Middleware(Uploads, visitors=visitors, settings=settings, shipped=files)      # inside Gate, before Gradio

Gradio keeps an upload under the hash of its content and gives it to whoever has the path. Here it goes to a
random folder of the visitor's and is given to that visitor only. Its bytes are counted while they come.
Not covered: the clean copy that takes the original's place (incoming.py), addresses in place of files
(fetching.py), the shares (services/quotas.py).
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gradio import route_utils, routes
from gradio.route_utils import GradioMultiPartParser, MultiPartException, upload_fn
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sugar.errors import BusyError, SugarError
from sugar.settings import Settings
from sugar.ui.bodies import counted
from sugar.ui.visitors import Visitors, login_of

__all__ = ["Uploads"]

UPLOAD, FILE = "/gradio_api/upload", "/gradio_api/file="
MB = 1_000_000


class FilesOnly(GradioMultiPartParser):
    """A parser that takes files: what comes as a plain field of the form would be kept in memory."""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is None:
            raise MultiPartException("An upload holds files only. Send each part with a file name.")
        super().on_part_data(data, start, end)


_gradio: Any = route_utils
_gradio.GradioMultiPartParser = FilesOnly  # upload_fn takes it from there


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
        arriving = self.visitors.arrivals.folder / secrets.token_hex(16)
        try:
            said = int(request.headers.get("content-length") or 0)
            with self.visitors.arrivals.of(visitor, files.folder(visitor), said) as take:
                sent, *_ = await upload_fn(
                    Request(scope, counted(receive, take)),
                    str(arriving),
                    most,
                    progress,
                    upload_progress=routes.file_upload_statuses if progress else None,
                )
                for path in sent:
                    self._check_size(Path(path))
                self.visitors.visits.touch(visitor)
                place = files.new(visitor)
                for entry in arriving.iterdir():
                    entry.rename(place / entry.name)
                taken = [place / Path(path).relative_to(arriving) for path in sent]
        except MultiPartException as error:
            return PlainTextResponse(error.message, 413 if "maximum" in error.message else 400)
        except HTTPException as error:
            return PlainTextResponse(str(error.detail), error.status_code)
        except BusyError as error:
            return PlainTextResponse(str(error), 429)
        except (SugarError, ValueError) as error:
            return PlainTextResponse(str(error), 413)
        except ClientDisconnect:
            return PlainTextResponse("The upload broke off.", 400)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        app.get_blocks().upload_file_set.update(taken)
        return JSONResponse([str(path) for path in taken])

    def _check_size(self, path: Path) -> None:
        """Only an import may be larger than a picture. Raises ValueError."""
        if path.suffix.lower() != ".zip" and path.stat().st_size > self.settings.max_upload_mb * MB:
            mb = path.stat().st_size / MB
            raise ValueError(
                f"{path.name} has {mb:.1f} MB. A file may have {self.settings.max_upload_mb} MB."
            )

    def _refusal(self, scope: Scope, path: str) -> Response | None:
        """None when the file may be served: it ships with the app, or it is this visitor's."""
        if Path(path) in self.shipped:
            return None
        if self.visitors.files.readable(path, self.visitors.asking(scope)):
            return None
        return PlainTextResponse("This file is not yours, or it is gone.", 403)
