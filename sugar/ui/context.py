"""What every tab is given: the model, the visitor, the galleries, and the ways of doing things that all tabs share.

    model = app.model()                                    # waits while it loads
    visitor = app.visitor(request)
    button.click(app.guarded(handler), inputs, outputs, **app.on_model, api_name="search")
    for said in app.stream(request, turns, sampling): ...  # text so far, time to first token, tokens; stops when it should
    app.hand_over(button, "chat", give, inputs=[...]); app.receive("chat", take, outputs=[...])

Not covered: drawing and checking of single values (components.py).
"""

from __future__ import annotations

import functools
import inspect
import logging
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError, SugarError
from sugar.images import open_image
from sugar.sequence import Sample, Turn
from sugar.settings import Settings
from sugar.ui.components import EXAMPLES, escape
from sugar.ui.loading import ModelLoader
from sugar.ui.visitors import Galleries, Visitor, Visitors

__all__ = ["AppContext", "Said", "Sampling"]

log = logging.getLogger("sugar")
Part = Any
"""What is handed from tab to tab: a list of texts (str) and pictures (PIL), in order."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. Raises InputError out of range; every handler can be called raw, so this is the check."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 128
    seed: int | None = None

    @classmethod
    def of(cls, temperature: Any, top_p: Any, length: Any, seed: Any, most: int) -> Sampling:
        try:
            t, p, n = float(temperature), float(top_p), int(length)
            s = None if seed in (None, "") or float(seed) < 0 else int(seed)
        except (TypeError, ValueError, OverflowError):
            raise InputError("Temperature, top-p, length and seed are numbers.") from None
        if not (0 <= t <= 2 and 0 < p <= 1 and 1 <= n <= most and (s is None or s < 2**63)):
            raise InputError(f"Use a temperature of 0 to 2, top-p above 0 up to 1, and a length of 1 to {most} tokens.")
        return cls(t, p, n, s)


@dataclass(frozen=True)
class Said:
    """An answer so far. tokens: pieces of text that came; first: seconds to the first; ended: "", "done", "stopped", "time" or "length"."""

    text: str
    tokens: int
    first: float
    seconds: float
    ended: str = ""

    def line(self) -> str:
        """What stands under an answer: time to first token, tokens, tokens per second."""
        if not self.tokens:
            return "no text came" if self.ended else "reading ..."
        after = self.seconds - self.first
        rate = f" · {(self.tokens - 1) / after:.0f} tokens/s" if self.tokens > 1 and after > 0 else ""
        why = {"stopped": " · stopped", "time": " · ended at the time limit", "length": " · ended at the chosen length"}.get(self.ended, "")
        return f"first token {self.first * 1000:.0f} ms · {self.tokens} tokens{rate}{why}"


class AppContext:
    """See the module docstring. One per running app."""

    def __init__(self, settings: Settings, models: ModelLoader, visitors: Visitors) -> None:
        self.settings, self.models, self.visitors = settings, models, visitors
        self.galleries = Galleries(settings)
        self.visitors.on_leave.append(self.galleries.leave)
        self.models.on_change.append(self.galleries.release)
        self.fills: list[tuple[Callable[[], Any], list[Any]]] = []
        self._receivers: dict[str, tuple[str, Callable[..., Any], list[Any]]] = {}
        self._handed: list[tuple[Any, str, Callable[..., Any], list[Any]]] = []
        self._on_load: list[tuple[Callable[..., Any], list[Any], list[Any]]] = []
        self._on_galleries: list[tuple[Callable[..., Any], list[Any]]] = []
        self._galleries_changed: list[Any] = []

    # -- the model and the visitor ------------------------------------------------------------------------------------

    on_model: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
    """For every event that runs the model: one queue across all tabs."""

    def model(self) -> Any:
        """The loaded model; waits while it loads. Raises ModelError when it cannot be had."""
        return self.models.get()

    def visitor(self, request: gr.Request | None) -> Visitor:
        return self.visitors.of(request)

    def gallery(self, request: gr.Request, name: str) -> Any:
        """An open Gallery that this visitor may see. Raises GalleryError, FingerprintError."""
        return self.galleries.open(self.visitor(request), name, self.model())

    def gallery_names(self, request: gr.Request) -> list[str]:
        return self.galleries.names(self.visitor(request))

    def example_picture(self, name: str) -> Image.Image:
        """A picture of assets/examples."""
        return open_image(EXAMPLES / name).image

    # -- handlers ------------------------------------------------------------------------------------------------------

    def guarded(self, handler: Callable[..., Any], *, uses_model: bool = True) -> Callable[..., Any]:
        """Around every handler: a SugarError becomes its message on the page, anything else a number that the log knows.

        The log gets the place of a fault but not its message, which may quote a visitor. `uses_model` counts the call against the
        visitor's limit (the handler must take a `request: gr.Request`) and asks for a GPU where ZeroGPU lends one.
        """
        wants_request = "request" in inspect.signature(handler).parameters

        def admit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if uses_model and wants_request:
                request = kwargs.get("request") or next((a for a in args if isinstance(a, gr.Request)), None)
                self.visitor(request).admit(self.settings.per_minute)

        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
                try:
                    admit(args, kwargs)
                    yield from handler(*args, **kwargs)
                except Exception as error:
                    raise shown(error) from None

            return on_gpu(stream, self.settings) if uses_model else stream

        @functools.wraps(handler)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                admit(args, kwargs)
                return handler(*args, **kwargs)
            except Exception as error:
                raise shown(error) from None

        return on_gpu(call, self.settings) if uses_model else call

    def stream(self, request: gr.Request, conversation: Sample | Sequence[Turn], sampling: Sampling) -> Iterator[Said]:
        """Generate, yielding the text so far: nothing yet at once, then more. Ends early when the visitor stops or leaves, also while the
        model is loading, or when the time is up; frees the model at once."""
        with self.visitor(request).answering() as stop:
            yield Said("", 0, 0.0, 0.0)
            model = self.models.get(stop=stop)
            if model is None:
                yield Said("", 0, 0.0, 0.0, "stopped")
                return
            start = time.monotonic()
            limit = threading.Timer(self.settings.answer_seconds, stop.set)
            limit.daemon = True
            limit.start()
            text, tokens, first, shown_at = "", 0, 0.0, 0.0
            try:
                pieces = model.generate(
                    conversation, max_new_tokens=sampling.max_new_tokens, temperature=sampling.temperature, top_p=sampling.top_p,
                    seed=sampling.seed, stop=stop,
                )  # fmt: skip
                for piece in pieces:
                    text, tokens, now = text + piece, tokens + 1, time.monotonic() - start
                    first = first or now
                    if now - shown_at > 0.05:
                        shown_at = now
                        yield Said(text, tokens, first, now)
                seconds = time.monotonic() - start
                ended = "done" if tokens < sampling.max_new_tokens else "length"
                if stop.is_set():
                    ended = "time" if seconds >= self.settings.answer_seconds else "stopped"
                yield Said(text, tokens, first, seconds, ended)
            finally:
                limit.cancel()

    # -- from tab to tab -----------------------------------------------------------------------------------------------

    def receive(self, tab: str, take: Callable[[list[Part], Visitor], Any], outputs: Sequence[Any]) -> None:
        """Say how a tab takes parts: `take(parts, visitor)` gives one value (or a tuple) for `outputs`. `tab` is the tab's id."""
        self._receivers[tab] = (tab, take, list(outputs))

    def hand_over(self, button: Any, tab: str, give: Callable[..., list[Part]], inputs: Sequence[Any] = ()) -> None:
        """On click, hand `give(request, *inputs)`, a list of texts and pictures, to another tab and open it. Any order of building."""
        self._handed.append((button, tab, give, list(inputs)))

    def on_load(self, fill: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Run `fill` when a page opens: for what depends on the visitor."""
        self._on_load.append((fill, list(inputs), list(outputs)))

    def on_model_change(self, fill: Callable[[], Any], outputs: Sequence[Any]) -> None:
        """Run `fill()` when a page opens and whenever another model stands."""
        self.fills.append((fill, list(outputs)))

    def on_galleries(self, fill: Callable[..., Any], outputs: Sequence[Any]) -> None:
        """Run `fill(request)` when a page opens and whenever the visitor's galleries changed: for lists of their names."""
        self._on_load.append((fill, [], list(outputs)))
        self._on_galleries.append((fill, list(outputs)))

    def galleries_changed(self, event: Any) -> None:
        """Say that this event (what `.click()` returned) may have made or removed a gallery."""
        self._galleries_changed.append(event)

    def connect(self, demo: gr.Blocks, tabs: gr.Tabs) -> None:
        """Wire what tabs asked for; `build_app` calls it when every tab stands."""
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        for fill, inputs, outputs in self._on_load:
            demo.load(self.guarded(fill, uses_model=False), inputs, outputs, **quiet)
        for event in self._galleries_changed:
            for fill, outputs in self._on_galleries:
                event.success(self.guarded(fill, uses_model=False), None, outputs, **quiet)
        for button, tab, give, inputs in self._handed:
            if tab not in self._receivers:  # an app built with some of the tabs only
                button.visible = False
                continue
            name, take, outputs = self._receivers[tab]

            def pass_on(request: gr.Request, *values: Any, give: Any = give, take: Any = take, name: str = name) -> Any:
                parts = give(request, *values)
                if not parts:
                    raise InputError("There is nothing to hand over yet.")
                taken = take(parts, self.visitor(request))
                return (*(taken if isinstance(taken, tuple) else (taken,)), gr.Tabs(selected=name))

            handler = self.guarded(pass_on, uses_model=False)
            button.click(handler, inputs, [*outputs, tabs], **quiet)


def shown(error: Exception) -> Exception:
    """An error as the page may show it."""
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, SugarError):
        return gr.Error(escape(str(error)), title=type(error).__name__, print_exception=False)
    number = secrets.token_hex(3)
    log_fault(error, number)
    return gr.Error(
        f"Something broke that should not have ({type(error).__name__}); the log has it under {number}. Try again, or reload the page.",
        title="Fault",
        print_exception=False,
    )


def log_fault(error: BaseException, number: str = "") -> None:
    """Where a fault came from, without its message, which may quote a visitor."""
    where = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    log.error("fault %s: %s\n%s", number, type(error).__name__, where)


def keep_words_out_of_the_log() -> None:
    """Gradio prints the traceback, with the visitor's value in it, when a value does not fit its component: log the place only."""
    import gradio.queueing
    import gradio.route_utils
    import gradio.routes

    def print_exc() -> None:
        error = sys.exception()
        if error is not None:
            log_fault(error)

    places = SimpleNamespace(print_exc=print_exc, format_exc=lambda: "")
    for module in (gradio.queueing, gradio.routes, gradio.route_utils):
        module.traceback = places  # type: ignore[attr-defined]


def gpu_seconds(handler: Callable[..., Any], most: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How long to ask for a GPU for this call: 20 s, one more for each file that it carries and for every ten tokens of the longest answer
    (its argument `length` or `n`), at most `most`. A wrong guess ends the answer early or queues it longer, so it errs on the long side."""

    def files(value: Any) -> int:
        if isinstance(value, dict):
            return 1 if "path" in value or "url" in value else sum(map(files, value.values()))
        return sum(map(files, value)) if isinstance(value, (list, tuple)) else 0

    given = inspect.signature(handler).bind_partial(*args, **kwargs).arguments
    length = given.get("length", given.get("n"))
    tokens = length if isinstance(length, (int, float)) and length > 0 else 0
    return int(min(most, 20 + files(list(given.values())) + tokens / 10))


def on_gpu(handler: Callable[..., Any], settings: Settings) -> Callable[..., Any]:
    """Lend a GPU for the call where ZeroGPU is present (a Space); the handler itself everywhere else."""
    try:
        from spaces.config import Config
    except ImportError:
        return handler
    if not Config.zero_gpu:
        return handler
    import spaces

    most = int(min(120, settings.answer_seconds))
    return spaces.GPU(duration=lambda *args, **kwargs: gpu_seconds(handler, most, args, kwargs))(handler)
