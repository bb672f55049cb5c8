"""The head of the page: the title, what the loaded model is and is good at, and the larger one it offers.

    head = Head(app); head.layout(); ...; head.wire(demo)

The status is announced (static/live.js), so that a screen reader tells when a model is ready. Not covered:
the tab Model (model.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from sugar.services.models import ModelService, cost_of
from sugar.ui.context import AppContext
from sugar.ui.drawing import escape, status_line
from sugar.ui.text import frame as words

__all__ = ["Head"]


@dataclass
class HeadState:
    """Which load of the model slot a visitor's page shows."""

    generation: int = -1


class Head:
    """See the module docstring."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.models = app, ModelService(app.workspace)

    def layout(self) -> None:
        """The components."""
        with gr.Column(elem_classes="sugar-head"):
            gr.HTML(f"<h1>{words.TITLE}</h1>", elem_classes="sugar-title")
            self.status = gr.HTML(
                self.line(),
                elem_classes="sugar-status sugar-live",
                elem_id="status",
                js_on_load=self._begin(),
            )
            self.larger = gr.Button(visible="hidden", size="sm", elem_id="larger", elem_classes="sugar-link")

    def _begin(self) -> str:
        """What the page's scripts must know: words, and how large a file may be."""
        settings = self.app.settings
        mb, zip_mb = settings.max_upload_mb, max(settings.max_upload_mb, settings.max_import_mb)
        said = {"refused": words.REFUSED, "left_out": words.LEFT_OUT.format(mb=mb, zip_mb=zip_mb)}
        most = {"picture": mb * 1_000_000, "zip": zip_mb * 1_000_000}
        return f"sugarFiles.most = {json.dumps(most)}; sugarErrors.ready(trigger, {json.dumps(said)});"

    def wire(self, demo: gr.Blocks) -> None:
        """Show the status always. Fill what depends on the model when another one is ready, and what depends
        on the visitor when the page is new to the server: it was opened, or the server had forgotten it.
        """
        self.timer = gr.Timer(1.0)
        fills = [*self.app.fills, *self.app.visitor_fills]
        outputs = [output for _, outputs in fills for output in outputs]
        shown = [self.status, self.timer, self.larger, *outputs]
        tick = self.app.guarded(self.tick, uses_model=False)
        gr.on([self.timer.tick, demo.load], tick, None, shown, **self.app.quiet)
        load = self.app.guarded(self.load_larger, uses_model=False)
        self.larger.click(load, None, [self.status, self.timer, self.larger], **self.app.quiet)

    def tick(self, request: gr.Request) -> list[Any]:
        """Values for the status, the timer, the button, and all that tabs asked to be filled."""
        slot, page = self.app.models, self.app.visitor(request)
        seen = page.state.of(HeadState)
        fresh, seen.generation = seen.generation != slot.generation, slot.generation
        new, page.fresh = page.fresh, False
        filled: list[Any] = []
        for fill, outputs in self.app.fills:
            filled += _values(fill() if fresh else gr.skip(), outputs)
        for fill, outputs in self.app.visitor_fills:
            filled += _values(fill(request) if new else gr.skip(), outputs)
        return [*self.now(), *filled]

    def now(self) -> tuple[Any, ...]:
        """Values for the status, the timer and the button."""
        state, preset = self.app.models.state(), self.models.larger()
        busy = state.phase == "loading" or bool(state.coming)
        offered = gr.Button(visible="hidden")
        if preset is not None and not busy:
            cost = cost_of(preset)
            told = {"gb": cost.download_gb, "memory": min(cost.memory_gb.values()), "minutes": cost.minutes}
            offered = gr.Button(words.LARGER.format(name=preset.name, **told), visible=True)
        return self.line(), gr.Timer(1.0 if busy else 10.0), offered

    def line(self) -> str:
        """The status, and what the model is good at."""
        state = self.app.models.state()
        about = f"{self.models.good_at()} {self.models.limits()}".strip()
        return f'<div>{status_line(state)}</div><div class="sugar-about">{escape(about)}</div>'

    def load_larger(self, request: gr.Request) -> tuple[Any, ...]:
        """Load the model that the loaded one offers in its place."""
        preset = self.models.larger()
        if preset is not None:
            self.models.load(preset.name)
        return self.now()


def _values(filled: Any, outputs: list[Any]) -> list[Any]:
    """One value for each output."""
    return list(filled) if isinstance(filled, tuple) else [filled] * len(outputs)
