"""Serves the page: the middleware, and Gradio's launch.

    launch(build_app(settings, models), settings)          # prints the address; blocks

Not covered: what is served (page.py), who may ask for what (visitors.py).
"""

from __future__ import annotations

import importlib.util
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.route_utils import CustomCORSMiddleware
from starlette.middleware import Middleware

from sugar.errors import SettingsError
from sugar.settings import Settings
from sugar.ui.cache import cache_folder
from sugar.ui.context import AppContext
from sugar.ui.faults import bound_the_log, keep_words_out_of_the_log
from sugar.ui.fetching import bounded_downloads
from sugar.ui.gate import Gate
from sugar.ui.look import head, styles, theme
from sugar.ui.packed import PACKED
from sugar.ui.page_state import CAPACITY, forget, lean_sessions, sweep
from sugar.ui.sessions import Sessions
from sugar.ui.uploads import Uploads

__all__ = ["launch"]

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
    # how many may wait is checked for each visitor (sessions.py); what has a queue is not reached past it
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
        ssr_mode=False,
        prevent_thread_lock=True,
        max_threads=80,
        show_error=True,
        footer_links=["api"],
        enable_monitoring=False,
        run_history=False,
        state_session_capacity=CAPACITY,
        app_kwargs={"middleware": middleware},
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
