"""What every tab is given: the workspace, the visitor behind a request, and the wiring that tabs share.

    app.workspace                               # settings, model, galleries: what services are made of
    visitor = app.visitor(request)              # visitor.state.of(SearchState): a service's own dataclass
    button.click(app.guarded(handler), inputs, outputs, **app.on_model, api_name="search")
    app.hand_over(button, "chat", give, inputs); app.receive("chat", take, outputs)      # wiring.py

Not covered: checks of single values (incoming.py), HTML (drawing.py), errors on the page (faults.py).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from sugar.model.owner import owned_by
from sugar.sequence import Sample, Sampling, Turn
from sugar.services.galleries import Galleries
from sugar.services.identity import Visitor
from sugar.services.jobs import Jobs
from sugar.services.model_slot import ModelQueue, ModelSlot, QueuedModel
from sugar.services.visits import Page
from sugar.services.watching import Watching
from sugar.services.workspace import Generated, Workspace
from sugar.settings import Settings
from sugar.ui.faults import shown
from sugar.ui.gpu import Lender
from sugar.ui.visitors import Visitors
from sugar.ui.wiring import Wiring

__all__ = ["AppContext"]


class AppContext(Wiring):
    """See the module docstring. There is one per running app."""

    on_model: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
    """For every event that runs the model: one queue across all tabs."""

    on_notes: dict[str, Any] = {"concurrency_id": "notes", "concurrency_limit": 4}
    """For questions about notes: a long reading keeps nobody from the model."""

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    """For events of the page that neither run the model nor take long."""

    def __init__(self, settings: Settings, models: ModelSlot, visitors: Visitors) -> None:
        super().__init__()
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

    def visitor(self, request: gr.Request | None) -> Page:
        """The page behind a request, and by its `visitor` the person."""
        return self.visitors.of(request)

    def closed(self, request: gr.Request) -> None:
        """A page was closed, or its connection dropped: its answer ends. Its visitor may come back."""
        self.visitors.stop(request)

    def model(self) -> Any:
        """The loaded model. Waits while it loads. Raises ModelError when it cannot be loaded."""
        return self.workspace.model()

    def gallery(self, request: gr.Request, name: str) -> Any:
        """An open gallery that this visitor may see. Raises GalleryError, FingerprintError."""
        return self.workspace.gallery(self.visitor(request), name)

    def gallery_names(self, request: gr.Request) -> list[str]:
        """The galleries that this visitor can choose from."""
        return self.galleries.names(self.visitor(request))

    def stream(
        self, request: gr.Request, conversation: Sample | Sequence[Turn], sampling: Sampling
    ) -> Iterator[Generated]:
        """Generate for the visitor behind a request. See Workspace.generate."""
        return self.workspace.generate(self.visitor(request), conversation, sampling)

    def _asker(self) -> str:
        """Who asks for the event that runs here. (Gradio keeps its request; not every handler takes it.)"""
        return self.visitors.behind(LocalContext.request.get(None)).id

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

        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
                steps = None
                try:
                    admit(args, kwargs)
                    steps = handler(*args, **kwargs)
                    while True:
                        with owned_by(self._asker()):  # each step runs in a context of its own
                            try:
                                step = next(steps)
                            except StopIteration:
                                return
                        yield step
                except Exception as error:
                    raise shown(error) from None
                finally:
                    if steps is not None:
                        steps.close()

            return stream

        if inspect.iscoroutinefunction(handler):

            @functools.wraps(handler)
            async def wait(*args: Any, **kwargs: Any) -> Any:
                try:
                    admit(args, kwargs)
                    with owned_by(self._asker()):
                        return await handler(*args, **kwargs)
                except Exception as error:
                    raise shown(error) from None

            return wait

        @functools.wraps(handler)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                admit(args, kwargs)
                with owned_by(self._asker()):
                    return handler(*args, **kwargs)
            except Exception as error:
                raise shown(error) from None

        return call
