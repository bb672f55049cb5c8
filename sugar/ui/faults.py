"""What the page and the log are told of errors: a SugarError in its own words, a fault of ours as a number
and a place.

    raise to_gradio_error(error) from None  # around every handler, see AppContext.guarded
    keep_words_out_of_the_log()                                    # once, before the app is served
    bound_the_log()                                                # once, when it is served

The log gets the place of a fault but not its message, which may quote a visitor; and so many lines a second.
Not covered: which errors there are (sugar/errors.py).
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
from sugar.services.quotas import Buckets
from sugar.ui.components import escape
from sugar.ui.text import frame as words

log = logging.getLogger("sugar")

LINES, AT_ONCE = 20.0, 400.0
"""Lines of log a second, and those that may come at once."""


def to_gradio_error(error: Exception) -> Exception:
    """An error as the page may show it."""
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, SugarError):
        message = escape(str(error)) if asked_by_the_page() else str(error)
        return gr.Error(message, title=type(error).__name__, print_exception=False)
    number = secrets.token_hex(3)
    log_fault(error, number)
    told = words.FAULT.format(kind=type(error).__name__, number=number)
    return gr.Error(told, title=words.FAULT_TITLE, print_exception=False)


def asked_by_the_page() -> bool:
    """Whether the page shows what comes now, as markup. A program or an MCP client gets the plain words."""
    request = LocalContext.request.get(None)
    headers = getattr(request, "headers", None)
    return headers is None or headers.get("x-gradio-user", "app") == "app"


def log_fault(error: BaseException, number: str = "") -> None:
    """Where a fault came from, without its message, which may quote a visitor."""
    log.error("fault %s: %s\n%s", number, type(error).__name__, _place(error))


def _place(error: BaseException) -> str:
    return "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))


class LogBound(logging.Filter):
    """What a handler writes, whoever asks for it and however often.

    A record begins one line; its further lines are indented, and control characters are spelt out, so that
    nobody's words look like a line of the log. Faults of other libraries are told by their place alone.
    Records beyond LINES a second are counted, and the count is told by the next.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines = Buckets(AT_ONCE, LINES)
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            error, ours = record.exc_info[1], record.name.split(".")[0] == "sugar"
            told = "".join(traceback.format_exception(error)) if ours else _place(error)
            message = f"{message}\n{type(error).__name__}\n{told}"
        lines = message.rstrip("\n").split("\n")
        if self._lines.take("", len(lines)):
            self._left_out += 1
            return False
        if self._left_out:
            lines[0] += f" ({self._left_out} records before this one were too many for the log)"
            self._left_out = 0
        text = "\n    ".join("".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines)
        record.msg, record.args = text, ()
        record.exc_info = record.exc_text = record.stack_info = None
        record.__dict__.pop("color_message", None)  # uvicorn's second copy
        return True


def bound_the_log() -> None:
    """Bound every handler that writes for the app."""
    for name in (None, "sugar", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "gradio"):
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(known, LogBound) for known in handler.filters):
                handler.addFilter(LogBound())


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
