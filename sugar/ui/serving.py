"""Serves the page: Gradio's launch, its document, and the memory of its sessions.

    launch(build_app(settings, models), settings)          # prints the address; blocks

Gradio packs its scripts, but not the document, which describes every field of every tab; here it is packed,
without a video player, and with a shell that takes words while the page is put together. Gradio also copies
the description of every component for each session name that a client makes up, and keeps values for deep
links; here a session keeps nothing until something in it changes, and nothing after its visitor left.
Not covered: what is served (page.py), who may ask for what (gate.py).
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import logging
import os
import re
from collections import OrderedDict
from copy import copy
from datetime import datetime
from functools import cache, lru_cache, partial
from html import escape
from pathlib import Path
from typing import Any

import gradio
import gradio as gr
from gradio import state_holder
from gradio.route_utils import CustomCORSMiddleware
from gradio.routes import toorjson
from gradio.state_holder import SessionState
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sugar.errors import SettingsError
from sugar.settings import Settings
from sugar.ui.context import AppContext
from sugar.ui.faults import bound_the_log, keep_words_out_of_the_log
from sugar.ui.gate import Gate, Sessions
from sugar.ui.incoming import Uploads, bounded_downloads, cache_folder
from sugar.ui.page import head, styles, theme
from sugar.ui.text import frame, marked, search, translations

# -- the document

SEARCH_BOX = b'"elem_id":"search-words"'
CONFIG = re.compile(rb"<script>window\.gradio_config = (\{.*?\});</script>", re.DOTALL)

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
    """shell.html with its words: a search box that stands at once, and hands over to the page's own."""
    html = Path(__file__).with_name("shell.html").read_text("utf-8")
    known = {"title": frame.TITLE, "starting": frame.STARTING, "placeholder": search.PLACEHOLDER}
    for name, text in known.items():
        html = html.replace(f"{{{name}}}", escape(text))
    return html.encode()


def with_keys(document: bytes) -> bytes:
    """The page's document, in which labels, hints and choices are keys that the browser translates."""
    found = CONFIG.search(document)
    if found is None:
        return document
    config = toorjson(marked(json.loads(found[1])))
    return document[: found.start(1)] + config.encode() + document[found.end(1) :]


def with_shell(document: bytes) -> bytes:
    """The page's document with the shell, where it is the page with a search box, not the one that asks for
    a password.
    """
    place = document.rfind(b"<gradio-app")
    if place < 0 or SEARCH_BOX not in document:
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
        return status, with_shell(with_keys(b"".join(parts)))


PACKED = Middleware(PageDocument)


# -- sessions

CAPACITY = 2000
"""Sessions that Gradio keeps."""


class LeanState(SessionState):
    """Shares the app's description of the page until a component of this session changes."""

    def __init__(self, blocks: Any) -> None:
        self.blocks_config = blocks.default_config
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed, self._own = False, False
        self.STATE_TTL_WHEN_CLOSED = 3600

    def __setitem__(self, key: int, value: Any) -> None:
        block = self.blocks_config.blocks.get(key)
        if isinstance(block, gr.State):
            self._state_ttl[key] = (block.time_to_live, datetime.now())
            self.state_data[key] = value
        elif block is not value:
            if not self._own:
                events = self.blocks_config.fns
                self.blocks_config, self._own = copy(self.blocks_config), True
                self.blocks_config.fns = events  # the same on every page
            self.blocks_config.blocks[key] = value

    def _update_config(self, key: int) -> None:
        """For deep links, which are closed."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """For deep links, which are closed."""


def lean_sessions() -> None:
    """Gradio keeps sessions as above from now on."""
    state_holder.SessionState = LeanState  # type: ignore[misc]


def forget(demo: gr.Blocks, session: str, left: bool) -> None:
    """Forget what is kept under a session's name; left: also answers that nobody read."""
    holder, queue = demo.state_holder, demo._queue
    with holder.lock:
        holder.session_data.pop(session, None)
        holder.time_last_used.pop(session, None)
    if left and session in queue.pending_messages_per_session:
        del queue.pending_messages_per_session[session]
        queue.pending_event_ids_session.pop(session, None)


def sweep(demo: gr.Blocks) -> None:
    """Forget the events of sessions whose messages nobody read and which newer ones have pushed out."""
    queue = demo._queue
    for session in list(queue.pending_event_ids_session):
        if session not in queue.pending_messages_per_session:
            queue.pending_event_ids_session.pop(session, None)


# -- launch

log = logging.getLogger("sugar")


def launch(demo: gr.Blocks, settings: Settings, *, block: bool = True) -> Any:
    """Serve the page and print its address. Raises SettingsError when MCP is asked for without its extra."""
    _check_mcp(settings)
    app: AppContext = demo.app_context  # type: ignore[attr-defined]
    log.info("mode %s: %s", app.mode.name, app.mode.means)
    os.environ.setdefault(
        "FORWARDED_ALLOW_IPS", ""
    )  # an address is believed as --proxies says, not by uvicorn
    # Gradio lets pages of any site read, logged in as the person is; its rule stands outside our gate
    CustomCORSMiddleware.is_valid_origin = lambda self, request_headers: False  # type: ignore[method-assign]
    bounded_downloads(app.visitors, settings.max_upload_mb * 1_000_000)
    shipped = _shipped(app)
    middleware = [
        Middleware(Gate, visitors=app.visitors, settings=settings),
        Middleware(Sessions, visitors=app.visitors, settings=settings),
        Middleware(Uploads, visitors=app.visitors, settings=settings, shipped=shipped),
        PACKED,
    ]
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio's own calls name visitors' files
    keep_words_out_of_the_log()
    lean_sessions()
    app.visitors.visits.on_close.append(partial(forget, demo))
    # how many may wait is checked for each visitor (gate.py); what has a queue is not reached past it
    demo.queue(max_size=None, default_concurrency_limit=8, api_open=False)
    user, _, password = settings.auth.partition(":")
    started = demo.launch(
        server_name=settings.host,
        server_port=settings.port or None,
        share=settings.share,
        auth=(user, password) if user else None,
        max_file_size=max(settings.max_upload_mb, settings.max_import_mb) * 1_000_000,
        mcp_server=settings.mcp,
        theme=theme(),
        css=styles(),
        head=head(),
        i18n=translations(),
        ssr_mode=False,
        prevent_thread_lock=True,
        max_threads=80,
        show_error=True,
        footer_links=["api"],
        enable_monitoring=False,
        run_history=False,
        state_session_capacity=CAPACITY,
        app_kwargs={"middleware": middleware},
        _frontend=False,  # else a page that takes 3 s, as on a busy machine, ends the app
    )
    bound_the_log()  # by now the server has made its handlers
    shipped |= _shipped(app)
    app.visitors.begin(partial(sweep, demo))
    if app.mode.folders:
        app.watching.begin()
    app.models.go.set()
    if block:
        demo.block_thread()
    return started


def _check_mcp(settings: Settings) -> None:
    """Raises SettingsError: no extra, or a password is set, which Gradio's MCP server cannot ask for."""
    if settings.mcp and settings.auth:
        raise SettingsError(
            "--mcp serves its tools without asking for the password. Leave out --mcp or --auth."
        )
    if settings.mcp and importlib.util.find_spec("mcp") is None:
        raise SettingsError('--mcp needs the optional extra. Run: pip install "gradio[mcp]==6.31.0"')


def _shipped(app: AppContext) -> set[Path]:
    """Files that lie in the cache before anybody came: examples and the like. Everybody is given them."""
    files = (path for path in cache_folder().rglob("*") if path.is_file())
    return {path for path in files if app.visitors.files.inside(path) is None}
