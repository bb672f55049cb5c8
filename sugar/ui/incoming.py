"""What comes in, checked on the server: values of handlers, uploads, addresses in place of files.

    text(value, settings), number(value, 0, 1, "The share")        # a clean text, a finite number
    picture(path, settings), read_upload(file, settings)  # only uploads: files inside the app's own cache
    parts(message, settings)  # a message -> its texts and pictures, in order
    Middleware(Uploads, visitors=visitors, settings=settings, shipped=files)      # inside Gate, before Gradio
    bounded_downloads(visitors, most=30_000_000)          # once, before the app is served

Every handler can be called raw; InputError says what is wrong. Gradio keeps an upload under the hash of its
content and gives it to whoever has the path; here it goes to a random folder of the visitor's and is given to
that visitor only. Gradio fetches addresses without a limit, into a folder that visitors share; here a program
may name a few, and where strangers come nothing is fetched: they would make the host ask whom they like.
Not covered: the components that hand values over (components.py), conversations (conversation.py), who may
have a file and the shares of the disk (services/visitors.py, services/quotas.py).
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import io
import ipaddress
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import anyio.from_thread
import gradio as gr
import httpx
import safehttpx
from gradio import processing_utils, route_utils, routes
from gradio.context import LocalContext
from gradio.route_utils import GradioMultiPartParser, MultiPartException, upload_fn
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sugar.errors import BusyError, ImageError, InputError, SugarError
from sugar.images import GALLERY_ITEM, SUFFIXES, ImageLimits, open_image
from sugar.services.visitors import PrivateFiles, Visitor, own_folder, remove_cache
from sugar.settings import Settings
from sugar.ui.gate import Visitors, counted, login_of

# -- where temporary files lie


@functools.cache
def cache_folder() -> Path:
    """The folder of uploads and served files: a new one inside GRADIO_TEMP_DIR, or the system's."""
    folder = own_folder(Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(remove_cache, folder)
    return folder


def private_files() -> PrivateFiles:
    """The files of visitors, inside the folder that Gradio takes uploads from."""
    return PrivateFiles(Path(get_upload_folder()) / "visitors")


# -- values of handlers

MAX_SIDE = 1024
"""Pixels on the longer side of any picture that a model sees or a page shows."""

AT_ONCE = 4
"""How many files of the largest size may be read at once."""

_MARK = re.compile(r"\[(\d{1,3})\]")


def text(value: Any, settings: Settings, *, what: str = "text", required: bool = True) -> str:
    """A text from the page, without control characters.

    Raises InputError: not a text, too long, or empty where required.
    """
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise InputError(f"The {what} is a {type(value).__name__}; it must be a text.")
    if len(value) > settings.max_text:
        raise InputError(
            f"The {what} has {len(value)} characters; {settings.max_text} is the limit. Shorten it."
        )
    value = re.sub(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "", value).strip()
    if required and not value:
        raise InputError(f"The {what} is empty. Type some words.")
    return value


def number(value: Any, low: float, high: float, what: str) -> float:
    """A finite number in [low, high]. Raises InputError."""
    try:
        checked = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} must be a number from {low:g} to {high:g}.") from None
    if not low <= checked <= high:
        raise InputError(f"{what} is {checked:g}; it may be {low:g} to {high:g}.")
    return checked


def picture(value: Any, settings: Settings) -> Image.Image:
    """A picture that a component handed over: a file in the app's cache (Gradio has checked that it is an
    upload), or pixels.

    Components use `type="filepath"`, so that sugar/images.py is the only decoder. Raises ImageError,
    InputError.
    """
    if isinstance(value, dict):
        value = value.get("path")
    if isinstance(value, Image.Image):
        return value
    if not isinstance(value, (str, Path)):
        raise InputError("There is no picture. Choose a picture file.")
    if not in_cache(value):
        raise InputError("This picture is not an upload of yours. Send the file itself.")
    limits = ImageLimits(max_bytes=settings.max_upload_mb * 1_000_000)
    try:
        opened = open_image(value, limits=limits, max_side=MAX_SIDE)
    except ImageError as error:
        raise ImageError(f"{Path(value).name}: {error}") from None
    _forget_original(Path(value), opened.image)
    return opened.image


def _forget_original(path: Path, image: Image.Image) -> None:
    """Put the picture as it is used, without metadata, in the place of the upload: the page still shows the
    file. A file that shows a gallery picture marks the image with it.
    """
    files = private_files()
    found = files.inside(path)
    if found is not None and (items := files.items(found)):
        image.info[GALLERY_ITEM] = items[0]
    elif found is not None and not files.is_clean(found):
        clean = io.BytesIO()
        image.save(clean, "PNG")
        files.replace(found, clean.getvalue())


def read_upload(value: Any, settings: Settings) -> bytes:
    """The bytes of an uploaded file of any kind. A picture among them loses its metadata, as one that is
    used: a clean copy takes its place.

    Raises InputError: none, not an upload, too large.
    """
    path = _path_of(value)
    if not isinstance(path, (str, Path)) or not in_cache(path):
        raise InputError("There is no file. Choose one.")
    if Path(path).stat().st_size > settings.max_upload_mb * 1_000_000:
        raise InputError(f"The file is larger than {settings.max_upload_mb} MB. Send a smaller one.")
    data = Path(path).read_bytes()
    try:
        picture(path, settings)
    except ImageError:  # no picture, or one that cannot be cleaned
        files = private_files()
        if Path(path).suffix.lower() in SUFFIXES and (found := files.inside(path)) is not None:
            files.replace(found, b"")
    return data


def read_uploads(values: Any, settings: Settings, most: int) -> list[tuple[str, bytes]]:
    """(own name, bytes) of uploaded files: each path once, counted and weighed before any is read.

    Raises InputError: more than `most` files, too many bytes together, or what `read_upload` raises.
    """
    given = values if isinstance(values, list) else [values]
    if len(given) > 2 * most:
        raise InputError(f"{len(given)} files were sent at once; {most} is the limit. Send fewer.")
    files = {str(_path_of(f)): f for f in given if f}
    if len(files) > most:
        raise InputError(f"{len(files)} files were sent at once; {most} is the limit. Send fewer.")
    size = sum(Path(path).stat().st_size for path in files if in_cache(path))
    if size > AT_ONCE * settings.max_upload_mb * 1_000_000:
        raise InputError(
            f"The files have {size // 1_000_000} MB together; {AT_ONCE * settings.max_upload_mb} MB is the "
            "limit. Send them in parts."
        )
    return [(_own_name(f), read_upload(f, settings)) for f in files.values()]


def _path_of(value: Any) -> Any:
    return value.get("path") if isinstance(value, dict) else value


def _own_name(file: Any) -> str:
    """An upload's own name, the last part only."""
    given = file.get("orig_name") or file.get("path") if isinstance(file, dict) else file
    return Path(str(given)).name


def in_cache(path: str | Path) -> bool:
    """Whether the asker may have the file: it lies in the app's cache, and is no other visitor's."""
    from gradio.utils import get_upload_folder

    try:
        found = Path(path).resolve()
        if not found.is_relative_to(Path(get_upload_folder()).resolve()) or not found.is_file():
            return False
    except (OSError, ValueError):
        return False
    page = LocalContext.blocks.get(None)  # set by Gradio around every event, as the request is
    app = getattr(page, "app_context", None)
    if app is None or app.visitors.files.inside(found) is None:
        return True
    return app.visitors.files.readable(found, app.visitors.behind(LocalContext.request.get(None)))


def parts(message: Any, settings: Settings) -> list[str | Image.Image]:
    """The texts and pictures of a MultimodalTextbox message, in order.

    "[2]" in the text stands for the second picture; pictures that the text does not name come first. Raises
    InputError, ImageError.
    """
    if isinstance(message, str):
        message = {"text": message}
    if not isinstance(message, dict):
        raise InputError("A message has a text, files, or both.")
    files = message.get("files") or []
    if not isinstance(files, list) or len(files) > settings.max_pictures:
        raise InputError(f"A message may have {settings.max_pictures} pictures.")
    pictures = [picture(f, settings) for f in files]
    words = text(message.get("text"), settings, required=not pictures)
    named = {int(n) for n in _MARK.findall(words) if 1 <= int(n) <= len(pictures)}
    out: list[str | Image.Image] = [p for i, p in enumerate(pictures, 1) if i not in named]
    for i, piece in enumerate(_MARK.split(words)):
        if i % 2 and int(piece) in named:
            out.append(pictures[int(piece) - 1])
        elif i % 2:
            out.append(f"[{piece}]")
        elif piece.strip():
            out.append(piece.strip())
    return out


# -- uploads

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


# -- addresses in place of files

REDIRECTS = 5
SECONDS = 15.0
"""For all addresses of one request together: other requests may be waiting behind it."""
ADDRESSES = 4
"""In one request."""

NAT64, SIX_TO_FOUR = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("2002::/16")
NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in ("100.64.0.0/10", "192.0.0.0/24", "::/96", "64:ff9b:1::/48", "2001::/32", "fec0::/10")
]
"""What `is_global` of some versions of Python passes."""


@dataclass
class _Asked:
    """What one request has asked for by addresses."""

    began: float = field(default_factory=time.monotonic)
    addresses: int = 0


_asked: ContextVar[_Asked] = ContextVar("asked")


def bounded_downloads(visitors: Visitors, most: int) -> None:
    """Gradio fetches an address that a program names in place of a file: at most `most` bytes from now on."""

    async def download(url: str, cache_dir: str) -> str:  # Gradio's own signature
        try:
            if visitors.mode.private:
                raise ValueError("This host fetches no addresses. Send the file itself.")
            asked = _asked.get(None) or _Asked()
            _asked.set(asked)  # each request has a context of its own
            asked.addresses += 1
            if asked.addresses > ADDRESSES:
                raise ValueError(f"A request may name {ADDRESSES} addresses. Send the files themselves.")
            visitors.disk.check_free(most)
            somebody = Visitor(secrets.token_hex(16), "session")
            visitors.visits.touch(somebody)  # so that the sweeper finds the file
            left = asked.began + SECONDS - time.monotonic()
            return str(await fetch(url, visitors.files.new(somebody), most, seconds=left))
        except (ValueError, OSError, httpx.HTTPError, SugarError) as error:
            raise gr.Error(str(error), title="InputError", print_exception=False) from None

    def download_now(url: str, cache_dir: str) -> str:
        return anyio.from_thread.run(download, url, cache_dir)

    processing_utils.async_ssrf_protected_download = download
    processing_utils.ssrf_protected_download = processing_utils.save_url_to_cache = download_now


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet, and not to this machine, its network or a provider's."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip in SIX_TO_FOUR:
            inner = ip.sixtofour
        if inner is not None:
            return is_public(str(inner))
    special = ip.is_multicast or ip.is_reserved or any(ip in n for n in NOT_PUBLIC if n.version == ip.version)
    return ip.is_global and not special


async def _transport_to(host: str) -> Any:
    """A way to the host's first public address, held to it. Raises ValueError: it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise ValueError("The host of this address is not known.") from None
    public = [str(place[0]) for *_, place in found if is_public(str(place[0]))]
    if not public:
        raise ValueError("This address is not on the internet. Send the file itself.")
    return safehttpx.AsyncSecureTransport(public[0])


async def fetch(url: str, folder: Path, most: int, transport: Any = None, seconds: float = SECONDS) -> Path:
    """Fetch a public address into a folder.

    Args:
        url: http or https. The host must have a public address, at every redirect too.
        folder: of this file alone.
        most: bytes. What is longer is refused, whatever its header says.
        transport: for tests.
        seconds: for all of it, however slowly the other side sends.

    Raises:
        ValueError: not public, not there, too long, or too slow.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _fetched(url, folder, most, transport)
    except TimeoutError:
        raise ValueError("The address answers too slowly. Send the file itself.") from None


async def _fetched(url: str, folder: Path, most: int, transport: Any) -> Path:
    for _ in range(REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("Only http and https addresses are fetched.")
        way = transport or await _transport_to(parts.hostname)
        as_it_is = {"accept-encoding": "identity"}
        async with (
            httpx.AsyncClient(transport=way, timeout=SECONDS) as client,
            client.stream("GET", url, headers=as_it_is, follow_redirects=False) as answer,
        ):
            if answer.has_redirect_location:
                url = urljoin(url, answer.headers["location"])
                continue
            if answer.status_code != 200:
                raise ValueError(f"The address answered {answer.status_code}.")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("The address answers with packed bytes. Send the file itself.")
            return await _write(answer, folder, most)
    raise ValueError(f"The address redirects more than {REDIRECTS} times.")


async def _write(answer: httpx.Response, folder: Path, most: int) -> Path:
    path, size = folder / "fetched", 0
    try:
        with path.open("wb") as file:
            async for block in answer.aiter_bytes(64 * 1024):
                size += len(block)
                if size > most:
                    raise ValueError(f"The file at this address is larger than {most // 1_000_000} MB.")
                file.write(block)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
