"""What every tab is given: the model, the visitor, the galleries, and the ways of doing things that all tabs share.

    model = app.model()                                    # waits while it loads
    visitor = app.visitor(request)
    button.click(app.guarded(handler), inputs, outputs, **app.on_model, api_name="search")
    for said in app.stream(request, turns, sampling): ...  # text so far, time to first token, tokens; stops when it should
    app.hand_over(button, "chat", give, inputs=[...]); app.receive("chat", take, outputs=[...])

Not covered: checking of single values (incoming.py), drawing them (drawing.py), what the page is told of errors (faults.py).
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.sequence import Sample, Turn
from sugar.settings import Settings
from sugar.ui.faults import shown
from sugar.ui.gallery_access import Galleries
from sugar.ui.gpu import on_gpu
from sugar.ui.loading import ModelLoader
from sugar.ui.said import Said, Sampling
from sugar.ui.visitors import Visitor, Visitors

__all__ = ["AppContext"]

Part = Any
"""What is handed from tab to tab: a list of texts (str) and pictures (PIL), in order."""

PACE = 0.2
"""Seconds between two pieces of an answer on the page. At 0.05 a page at a quarter of a desktop's speed had no time left for a click."""


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
                    if now - shown_at > PACE:
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
