"""The tab Model: which model answers, how good it is, what it costs, and how to load another.

Not covered: what is loaded and at what cost (sugar/services/models.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from sugar.model.presets import PRESETS, table
from sugar.services.models import ModelService
from sugar.ui.components import escape, intro
from sugar.ui.context import AppContext
from sugar.ui.incoming import text
from sugar.ui.model_drawing import card_markdown, facts_table, load_line, preset_needs
from sugar.ui.text import model as words

TAB = ("model", words.TITLE)


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    handlers = ModelHandlers(app)
    may = handlers.service.exchangeable
    intro(words.INTRO)
    with gr.Row():
        with gr.Column():
            facts = gr.HTML(elem_id="facts")
        with gr.Column():
            first = next(iter(PRESETS))
            choice = gr.Dropdown([*PRESETS, words.OTHER], value=first, label=words.CHOICE, interactive=True)
            needs = gr.HTML(preset_needs(first), elem_id="needs")
            path = gr.Textbox(label=words.PATH, placeholder=words.PATH_EXAMPLE, visible=False)
            adapter = gr.Dropdown(
                [words.NO_ADAPTER],
                label=words.ADAPTER,
                info=words.ADAPTER_INFO,
                visible=may,
                elem_id="adapter",
            )
            load = gr.Button(words.LOAD, variant="primary", interactive=may, elem_id="load-model")
            with gr.Row(visible=may):
                pause = gr.Button(words.PAUSE, size="sm", min_width=90, interactive=False)
                resume = gr.Button(words.RESUME, size="sm", min_width=90, interactive=False)
                cancel = gr.Button(words.CANCEL, size="sm", min_width=90, interactive=False)
            shared = "" if may else f"<p>{words.SHARED}</p>"
            progress = gr.HTML(shared, elem_id="loading", elem_classes="sugar-live")
    with gr.Accordion(words.PRESETS, open=False):
        gr.Markdown(table(), label=words.PRESETS)
    card = gr.Markdown(elem_id="card", label=words.CARD)

    def run(handler: Any) -> Any:
        return app.guarded(handler, uses_model=False)

    exchange: dict[str, Any] = {
        "concurrency_limit": None,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    buttons = [pause, resume, cancel]
    shown = [progress, *buttons]
    choice.change(run(handlers.choose), choice, [needs, path], **app.quiet)
    load.click(run(handlers.load), [choice, path], shown, **exchange)
    resume.click(run(handlers.resume), None, shown, **exchange)
    pause.click(run(handlers.pause), None, None, **app.quiet)
    cancel.click(run(handlers.cancel), None, shown, **app.quiet)
    adapter.focus(run(handlers.adapters), None, adapter, **app.quiet)
    adapter.input(app.guarded(handlers.use), adapter, [facts, card, adapter], **exchange)
    app.on_model_change(handlers.shown, [facts, card, adapter])


class ModelHandlers:
    """What happens on the events of the tab."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.service = ModelService(app.workspace)
        self.slot = self.service.slot

    def shown(self) -> tuple[str, str, Any]:
        """The facts of the loaded model, its card, and the adapters to choose from."""
        facts = self.service.facts()
        if not facts:
            return f"<p>{words.NO_MODEL}</p>", "", self.adapters()
        told = {words.GOOD_AT: self.service.good_at(), words.LIMITS: self.service.limits()}
        return facts_table(facts | told), card_markdown(self.service.card()), self.adapters()

    def adapters(self) -> Any:
        model = self.slot.peek()
        used = model.adapter if model is not None else None
        return gr.Dropdown([words.NO_ADAPTER, *self.service.adapters()], value=used or words.NO_ADAPTER)

    def use(self, name: Any) -> tuple[str, str, Any]:
        self.service.use("" if name == words.NO_ADAPTER else str(name))
        return self.shown()

    def choose(self, name: str) -> tuple[str, Any]:
        return preset_needs(name), gr.update(visible=name == words.OTHER)

    def load(self, name: Any, other: Any, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Load another model, and show how far it is. The old one answers until the new one is ready."""
        wanted = text(other, self.settings, what=words.PATH) if name == words.OTHER else name
        before = self.slot.generation
        self.service.load(wanted)
        yield from self._follow(before)

    def resume(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        before = self.slot.generation
        self.slot.resume()
        yield from self._follow(before)

    def pause(self) -> None:
        self.slot.pause()

    def cancel(self) -> tuple[Any, ...]:
        self.slot.cancel()
        return f"<p>{words.CANCELLED}</p>", *buttons(self.slot.state())

    def _follow(self, before: int) -> Iterator[tuple[Any, ...]]:
        """Show a load until it ends."""
        state = self.slot.state()
        while state.coming or state.phase == "loading":
            yield load_line(state), *buttons(state)
            time.sleep(0.3)
            state = self.slot.state()
        if self.slot.generation != before:
            line = f"<p>{words.READY}</p>"
        elif state.paused:
            line = f"<p>{words.PAUSED.format(name=escape(state.paused))}</p>"
        elif state.problem:
            line = f"<p>{escape(state.problem)} {words.STILL_ANSWERS if before else ''}</p>"
        else:
            line = f"<p>{words.CANCELLED}</p>"
        yield line, *buttons(state)


def buttons(state: Any) -> tuple[Any, ...]:
    """Pause, Resume and Cancel, each usable when it would do something."""
    downloading = bool(state.total) and bool(state.coming or state.phase == "loading")
    usable = (downloading, bool(state.paused), downloading or bool(state.paused))
    return tuple(gr.Button(interactive=may) for may in usable)
