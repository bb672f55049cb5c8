"""The tab Model: which model answers, how good it is, what it costs, and how to load another.

Not covered: what is loaded and at what cost (sugar/services/models.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import gradio as gr

from sugar.model.presets import PRESETS, table
from sugar.services.model_slot import ModelState
from sugar.services.models import ModelService, download_minutes
from sugar.ui.components import escape, harmless, intro
from sugar.ui.context import AppContext
from sugar.ui.incoming import text
from sugar.ui.text import model as words

TAB = ("model", words.TITLE)

OTHER = "other"
"""Chosen in place of a preset: a folder or a repository."""


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    tab = ModelTab(app)
    may = tab.service.exchangeable
    intro(words.INTRO)
    with gr.Row():
        with gr.Column():
            facts = gr.HTML(elem_id="facts")
        with gr.Column():
            first = next(iter(PRESETS))
            choice = gr.Dropdown(
                [*PRESETS, (words.OTHER, OTHER)], value=first, label=words.CHOICE, interactive=True
            )
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

    run: Callable[..., Any] = partial(app.guarded, uses_model=False)
    exchange: dict[str, Any] = {
        "concurrency_limit": None,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    shown = [progress, pause, resume, cancel]
    choice.change(run(tab.choose), choice, [needs, path], **app.quiet)
    load.click(run(tab.load), [choice, path], shown, **exchange)
    resume.click(run(tab.resume), None, shown, **exchange)
    pause.click(run(tab.slot.pause), None, None, **app.quiet)
    cancel.click(run(tab.cancel), None, shown, **app.quiet)
    adapter.focus(run(tab.adapters), None, adapter, **app.quiet)
    adapter.input(app.guarded(tab.use), adapter, [facts, card, adapter], **exchange)
    app.on_model_change(tab.loaded, [facts, card, adapter])
    app.on_model_change(tab.preset, [choice])


class ModelTab:
    """What happens on the events of the tab."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.service = ModelService(app.workspace)
        self.slot = self.service.slot

    def loaded(self) -> tuple[str, str, Any]:
        """The facts of the loaded model, its card, and the adapters to choose from."""
        facts = self.service.facts()
        if not facts:
            return f"<p>{words.NO_MODEL}</p>", "", self.adapters()
        told = dict(zip((words.GOOD_AT, words.LIMITS), self.service.own_words(), strict=True))
        return facts_table(facts | told), card_markdown(self.service.card()), self.adapters()

    def preset(self) -> Any:
        """The choice of model stands on the one that is loaded, where that is a preset."""
        model = self.slot.peek()
        return model.name if model is not None and model.name in PRESETS else gr.skip()

    def adapters(self) -> Any:
        model = self.slot.peek()
        used = model.adapter if model is not None else None
        return gr.Dropdown([words.NO_ADAPTER, *self.service.adapters()], value=used or words.NO_ADAPTER)

    def use(self, name: Any) -> tuple[str, str, Any]:
        self.service.use("" if name == words.NO_ADAPTER else str(name))
        return self.loaded()

    def choose(self, name: str) -> tuple[str, Any]:
        return preset_needs(name), gr.update(visible=name == OTHER)

    def load(self, name: Any, other: Any, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Load another model, and show how far it is. The old one answers until the new one is ready."""
        wanted = text(other, self.settings, what=words.PATH) if name == OTHER else name
        before = self.slot.generation
        self.service.load(wanted)
        yield from self._follow(before)

    def resume(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        before = self.slot.generation
        self.slot.resume()
        yield from self._follow(before)

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


def buttons(state: ModelState) -> tuple[Any, ...]:
    """Pause, Resume and Cancel, each usable when it would do something."""
    downloading = bool(state.total) and bool(state.coming or state.phase == "loading")
    paused = bool(state.paused)
    usable = (downloading, paused, downloading or paused)
    return tuple(gr.Button(interactive=may) for may in usable)


# -- drawing


def preset_needs(name: Any) -> str:
    """Download size and memory of a preset, in a line or two."""
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        return f"<p>{words.NEEDS_OTHER}</p>"
    gb, minutes = preset.download_gb, download_minutes(preset)
    if not gb:
        download = words.NOTHING_TO_DOWNLOAD
    elif minutes < 1:
        download = words.TO_DOWNLOAD.format(gb=gb)
    else:
        download = words.TO_DOWNLOAD_MINUTES.format(gb=gb, minutes=minutes)
    needs = {precision: preset.memory(precision) for precision in ("bf16", "nf4")}
    memory = ", ".join(words.MEMORY.format(gb=gb, precision=p) for p, gb in needs.items())
    told = {"good_for": escape(preset.good_for), "licence": escape(preset.licence)}
    return f"<p>{words.NEEDS.format(download=download, memory=memory, **told)}</p>"


def load_line(state: ModelState) -> str:
    """How far a load is; without known bytes, how long it has run."""
    name = escape(state.coming or state.name)
    if not state.total:
        line = words.LOADING.format(name=name, seconds=state.seconds)
        return f'<p role="status">{line}</p><progress aria-label="{words.LOADING_LABEL}"></progress>'
    line = words.DOWNLOADING.format(name=name, done=state.done / 1e9, total=state.total / 1e9)
    bar = f'value="{state.done}" max="{state.total}"'
    return f'<p role="status">{line}</p><progress aria-label="{words.DOWNLOAD_LABEL}" {bar}></progress>'


def facts_table(facts: Mapping[str, str]) -> str:
    """Facts as an HTML table."""
    rows = "".join(f'<tr><th scope="row">{k}</th><td>{escape(v)}</td></tr>' for k, v in facts.items() if v)
    return f'<table class="sugar-facts">{rows}</table>'


def card_markdown(card: str) -> str:
    """A model card for the page: no front matter, no comments, no markup, no pictures from elsewhere."""
    card = re.sub(r"\A---\n.*?\n---\n", "", card or "", flags=re.DOTALL)
    card = re.sub(r"<!--[^\n]{0,200}-->", "", card)
    card = re.sub(r"!\[[^\]\n]{0,200}\](\([^)\n]{0,500}\)|\[[^\]\n]{0,200}\])", "", card[:20_000])
    return harmless(card)
