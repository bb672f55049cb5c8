"""What the page and the log are told of errors: a SugarError in its own words, a fault of ours as a number
and a place.

    raise shown(error) from None  # around every handler, see AppContext.guarded
    keep_words_out_of_the_log()                                    # once, before the app is served

The log gets the place of a fault but not its message, which may quote a visitor. Not covered: which errors
there are (sugar/errors.py).
"""

from __future__ import annotations

import logging
import secrets
import sys
import traceback
from types import SimpleNamespace

import gradio as gr
from gradio.context import LocalContext

from sugar.errors import SugarError
from sugar.ui.drawing import escape
from sugar.ui.text import frame as words

__all__ = ["keep_words_out_of_the_log", "log_fault", "shown"]

log = logging.getLogger("sugar")


def shown(error: Exception) -> Exception:
    """An error as the page may show it."""
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, SugarError):
        message = escape(str(error)) if _asked_by_the_page() else str(error)
        return gr.Error(message, title=type(error).__name__, print_exception=False)
    number = secrets.token_hex(3)
    log_fault(error, number)
    told = words.FAULT.format(kind=type(error).__name__, number=number)
    return gr.Error(told, title=words.FAULT_TITLE, print_exception=False)


def _asked_by_the_page() -> bool:
    """Whether the page shows the error, as markup. A program or an MCP client gets the plain words."""
    request = LocalContext.request.get(None)
    headers = getattr(request, "headers", None)
    return headers is None or headers.get("x-gradio-user", "app") == "app"


def log_fault(error: BaseException, number: str = "") -> None:
    """Where a fault came from, without its message, which may quote a visitor."""
    where = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    log.error("fault %s: %s\n%s", number, type(error).__name__, where)


def keep_words_out_of_the_log() -> None:
    """Gradio prints the traceback, with the visitor's value in it, when a value does not fit its component:
    log the place only.
    """
    import gradio.queueing
    import gradio.route_utils
    import gradio.routes

    def print_exc() -> None:
        error = sys.exception()
        if error is not None:
            log_fault(error)

    quiet_traceback = SimpleNamespace(print_exc=print_exc, format_exc=lambda: "")
    for module in (gradio.queueing, gradio.routes, gradio.route_utils):
        module.traceback = quiet_traceback  # type: ignore[attr-defined]
