"""What every tab is given: the workspace, the visitor behind a request, and what tabs ask of the whole page.

    app.workspace                                          # settings, model, galleries: for services
    visitor = app.visitor(request)                         # visitor.state.of(SearchState)
    button.click(app.guarded(handler), inputs, outputs, **app.on_model, api_name="search")
    app.hand_over(button, "chat", give, inputs=[...])      # give(request, *inputs) -> texts and pictures
    app.receive("chat", take, outputs=[...])               # take(sample, visitor) -> values for outputs
    app.on_load(fill, inputs, outputs)                     # when a page opens: what depends on the visitor
    app.on_model_change(fill, outputs)                     # fill(): also when another model is ready
    app.offer_galleries(dropdown)                          # filled when a page opens, and when they changed
    app.galleries_changed(event)                           # this event may have made or removed a gallery

Tabs may be built in any order; `connect` wires what they asked for at the end.
Not covered: checks of single values (incoming.py), HTML (components.py), errors on the page (faults.py).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from PIL import Image

from sugar.errors import InputError
from sugar.model.owner import owned_by
from sugar.sequence import Sample
from sugar.services.galleries import Galleries
from sugar.services.gallery import GalleryState
from sugar.services.jobs import Jobs
from sugar.services.model_slot import Lender, ModelQueue, ModelSlot, QueuedModel
from sugar.services.visitors import Page, Visitor
from sugar.services.watching import Watching
from sugar.services.workspace import Workspace
from sugar.settings import Settings
from sugar.ui.faults import to_gradio_error
from sugar.ui.gate import Visitors
from sugar.ui.text import frame as words

Take = Callable[[Sample, Any], Any]
"""take(sample, visitor): one value, or a tuple, for the receiver's outputs."""

Give = Callable[..., Sequence[str | Image.Image]]
"""give(request, *inputs): the texts and pictures to hand over, in order; empty when there are none."""


@dataclass(frozen=True)
class _Receiver:
    take: Take
    outputs: list[Any]
    then: str | None


@dataclass(frozen=True)
class _HandOver:
    button: Any
    tab: str
    give: Give
    inputs: list[Any]


class AppContext:
    """See the module docstring. There is one per running app."""

    on_model: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
    """For every event that runs the model: one queue across all tabs."""

    on_notes: dict[str, Any] = {"concurrency_id": "notes", "concurrency_limit": 4}
    """For questions about notes, whose reading keeps nobody from the model: its own queue keeps the order."""

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    """For events of the page that neither run the model nor take long."""

    tray: Any
    """Work under way, at one place whatever the tab; the frame lays it out before the tabs."""

    tray_timer: Any

    def __init__(self, settings: Settings, models: ModelSlot, visitors: Visitors) -> None:
        self.settings, self.models, self.visitors = settings, models, visitors
        self.mode, self.jobs = visitors.mode, Jobs()
        queue, lender = ModelQueue(), Lender(settings)
        self.models.wrap_models(lambda model: QueuedModel(lender.around(model), queue))
        self.galleries = Galleries(settings, visitors)
        self.workspace = Workspace(settings, models, self.galleries)
        self.watching = Watching(self.workspace, Page(Visitor("0" * 32, "owner"), "", visitors.files))
        self.visitors.visits.on_leave += [self.jobs.leave, self.galleries.leave, self._forget_kept]
        self.galleries.on_delete.append(self._forget_kept)
        self.visitors.visits.busy = self.jobs.busy
        self.visitors.visits.keeping.append(self.galleries.keeps)
        self.models.on_change.append(self.galleries.release)
        self.fills: list[tuple[Callable[[], Any], list[Any]]] = []
        self._receivers: dict[str, _Receiver] = {}
        self._handed: list[_HandOver] = []
        self._on_load: list[tuple[Callable[..., Any], list[Any], list[Any]]] = []
        self.visitor_fills: list[tuple[Callable[..., Any], list[Any]]] = []
        self._galleries_changed: list[Any] = []

    def visitor(self, request: gr.Request | None) -> Page:
        """The page behind a request, and by its `visitor` the person."""
        return self.visitors.of(request)

    def closed(self, request: gr.Request) -> None:
        """A page was closed, or its connection dropped: its answer ends. Its visitor may come back."""
        self.visitors.stop(request)

    def gallery(self, request: gr.Request, name: str) -> Any:
        """An open gallery that this visitor may see. Raises GalleryError, FingerprintError."""
        return self.workspace.gallery(self.visitor(request), name)

    def gallery_names(self, request: gr.Request) -> list[str]:
        """The galleries that this visitor can choose from."""
        return self.galleries.names(self.visitor(request))

    def last_gallery(self, request: gr.Request) -> str | None:
        """The gallery that the page used last, else the one of its address, else the first.

        It is what a dropdown of galleries will show.
        """
        known, last = self.gallery_names(request), self.visitor(request).state.of(GalleryState).name
        linked = "" if last else (getattr(request, "query_params", None) or {}).get("gallery", "")
        return next((name for name in (last, linked) if name in known), known[0] if known else None)

    def _forget_kept(self, visitor: Visitor | None) -> None:
        """What the model keeps of pictures and conversations goes with whoever leaves, or deletes."""
        model = self.models.peek()
        if model is not None:
            model.forget()

    def guarded(self, handler: Callable[..., Any], *, uses_model: bool = True) -> Callable[..., Any]:
        """Wrap a handler: a SugarError becomes a message on the page, any other error a number in the log.

        Args:
            handler: a function or generator; it takes `request: gr.Request` where it needs the visitor.
            uses_model: count the call against the visitor's limit. (The gate counts every request.)
        """
        wants_request = "request" in inspect.signature(handler).parameters

        def admit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if uses_model and wants_request:
                request = kwargs.get("request") or next((a for a in args if isinstance(a, gr.Request)), None)
                self.visitors.admit(request, uses_model=True)

        @contextmanager
        def as_asker() -> Iterator[None]:
            try:  # Gradio keeps the event's request; not every handler takes it
                with owned_by(self.visitors.behind(LocalContext.request.get(None)).id):
                    yield
            except Exception as error:
                raise to_gradio_error(error) from None

        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
                with as_asker():
                    admit(args, kwargs)
                with closing(handler(*args, **kwargs)) as steps:
                    while True:
                        with as_asker():  # each step runs in a context of its own
                            try:
                                step = next(steps)
                            except StopIteration:
                                return
                        yield step

            return stream

        if inspect.iscoroutinefunction(handler):

            @functools.wraps(handler)
            async def wait(*args: Any, **kwargs: Any) -> Any:
                with as_asker():
                    admit(args, kwargs)
                    return await handler(*args, **kwargs)

            return wait

        @functools.wraps(handler)
        def call(*args: Any, **kwargs: Any) -> Any:
            with as_asker():
                admit(args, kwargs)
                return handler(*args, **kwargs)

        return call

    # -- what tabs ask of the whole page

    def receive(self, tab: str, take: Take, outputs: Sequence[Any], then: str | None = None) -> None:
        """Say how the tab with this id takes a sample that another tab hands over.

        then: JavaScript for afterwards.
        """
        self._receivers[tab] = _Receiver(take, list(outputs), then)

    def hand_over(self, button: Any, tab: str, give: Give, inputs: Sequence[Any] = ()) -> None:
        """On click, hand a sample to another tab and open that tab."""
        self._handed.append(_HandOver(button, tab, give, list(inputs)))

    def on_load(self, fill: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Run `fill` when a page opens."""
        self._on_load.append((fill, list(inputs), list(outputs)))

    def on_model_change(self, fill: Callable[[], Any], outputs: Sequence[Any]) -> None:
        """Run `fill()` when a page opens and whenever another model is ready."""
        self.fills.append((fill, list(outputs)))

    def offer_galleries(self, dropdown: gr.Dropdown, none: str = "") -> None:
        """Fill a dropdown with the visitor's galleries when a page opens and whenever they changed.

        The one used last is chosen. none: a choice that means no gallery.
        """

        def fill(request: gr.Request) -> gr.Dropdown:
            names, nothing = self.gallery_names(request), [none] if none else []
            return gr.Dropdown(choices=nothing + names, value=self.last_gallery(request) or none or None)

        self.visitor_fills.append((fill, [dropdown]))

    def galleries_changed(self, event: Any) -> None:
        """Say that this event (what `.click()` returned) may have made or removed a gallery."""
        self._galleries_changed.append(event)

    def connect(self, demo: gr.Blocks, tabs: gr.Tabs) -> None:
        """Wire what tabs asked for. The frame calls it when every tab is built."""
        for fill, inputs, outputs in self._on_load:
            demo.load(self.guarded(fill, uses_model=False), inputs, outputs, **self.quiet)
        for event in self._galleries_changed:
            for fill, outputs in self.visitor_fills:
                event.success(self.guarded(fill, uses_model=False), None, outputs, **self.quiet)
        for handed in self._handed:
            self._connect(handed, tabs)

    def _connect(self, handed: _HandOver, tabs: gr.Tabs) -> None:
        receiver = self._receivers[handed.tab]

        def pass_on(request: gr.Request, *values: Any) -> tuple[Any, ...]:
            parts = [p for p in handed.give(request, *values) if not isinstance(p, str) or p.strip()]
            if not parts:
                raise InputError(words.NOTHING_TO_HAND_OVER)
            taken = receiver.take(Sample(parts), self.visitor(request))
            return (*(taken if isinstance(taken, tuple) else (taken,)), gr.Tabs(selected=handed.tab))

        handler = self.guarded(pass_on, uses_model=False)
        done = handed.button.click(handler, handed.inputs, [*receiver.outputs, tabs], **self.quiet)
        if receiver.then is not None:
            done.success(None, None, None, js=receiver.then)
