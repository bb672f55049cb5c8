"""Puts the page together: how it looks, the head with the status line, the tabs.

    demo = build_app(settings, models)            # demo.app_context is what the tabs share

A file NAME.js or NAME.css below static/ becomes part of every page by being there. Scripts are classic
scripts in the document's head; each is tested in a browser (tests/test_browser_static.py).
Not covered: serving it (serving.py).
"""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from sugar.services.model_slot import ModelSlot
from sugar.services.models import ModelService, download_minutes
from sugar.services.modes import mode_of
from sugar.services.visitors import Page
from sugar.settings import Settings
from sugar.ui.components import clickable, escape, status_line
from sugar.ui.context import AppContext
from sugar.ui.gate import Visitors
from sugar.ui.incoming import cache_folder, private_files
from sugar.ui.text import frame as words

# -- how it looks

STATIC = Path(__file__).with_name("static")


def theme() -> gr.themes.Base:
    """One accent, system fonts (nothing is downloaded), flat surfaces, contrast of WCAG's level AA."""
    base = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        radius_size="md",
        font=("ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    )
    return base.set(
        color_accent="*primary_700",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*neutral_600",
        block_title_text_color="*neutral_700",
        input_border_color_focus="*primary_700",
        input_border_color_focus_dark="*primary_300",
        input_shadow_focus="0 0 0 1px *primary_700",
        input_shadow_focus_dark="0 0 0 1px *primary_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        checkbox_background_color_selected="*primary_700",
        checkbox_border_color_selected="*primary_700",
    )


def styles() -> str:
    """All style sheets of static/, as one."""
    return "\n".join(path.read_text("utf-8") for path in sorted(STATIC.rglob("*.css")))


def head() -> str:
    """What stands in the document's head: the colour schemes, and all scripts of static/."""
    scripts = [f"<script>\n{path.read_text('utf-8')}</script>" for path in sorted(STATIC.rglob("*.js"))]
    return '<meta name="color-scheme" content="light dark">' + "".join(scripts)


# -- the head


PROBLEM_SECONDS = 30.0
"""How long the head tells of a load that failed while another model answers. The tab Model keeps it."""


@dataclass
class HeadState:
    """Which load of the model slot a page shows; the problem that it tells, and since when."""

    generation: int = -1
    problem: str = ""
    since: float = 0.0


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
        return [*self.now(page), *filled]

    def now(self, page: Page) -> tuple[Any, ...]:
        """Values for the status, the timer and the button."""
        state, preset = self.app.models.state(), self.models.larger()
        busy = state.phase == "loading" or bool(state.coming)
        offered = gr.Button(visible="hidden")
        if preset is not None and not busy:
            told = words.LARGER.format(
                name=preset.name,
                gb=preset.download_gb,
                minutes=download_minutes(preset),
                memory=preset.memory("nf4"),
            )
            offered = gr.Button(told, visible=True)
        return self.line(page), gr.Timer(1.0 if busy else 10.0), offered

    def line(self, page: Page | None = None) -> str:
        """The status, and what the model is good at. A problem leaves it after it could be read."""
        state = self.app.models.state()
        if page is not None and state.phase == "ready":
            seen = page.state.of(HeadState)
            if seen.problem != state.problem:
                seen.problem, seen.since = state.problem, time.monotonic()
            if time.monotonic() - seen.since > PROBLEM_SECONDS:
                state = replace(state, problem="")
        about = " ".join(self.models.own_words()).strip()
        return f'<div>{status_line(state)}</div><div class="sugar-about">{escape(about)}</div>'

    def load_larger(self, request: gr.Request) -> tuple[Any, ...]:
        """Load the model that the loaded one offers in its place."""
        preset = self.models.larger()
        if preset is not None:
            self.models.load(preset.name)
        return self.now(self.app.visitor(request))


def _values(filled: Any, outputs: list[Any]) -> list[Any]:
    """One value for each output."""
    return list(filled) if isinstance(filled, tuple) else [filled] * len(outputs)


# -- the page

TABS = ("photos", "chat", "compare", "ask", "model")


def build_app(settings: Settings, models: ModelSlot) -> gr.Blocks:
    """The page with all tabs."""
    cache_folder()
    app = AppContext(settings, models, Visitors(settings, mode_of(settings), private_files()))
    with gr.Blocks(
        title=words.TITLE, analytics_enabled=False, fill_width=False, delete_cache=(3600, 24 * 3600)
    ) as demo:
        top = Head(app)
        top.layout()
        app.tray, app.tray_timer = clickable(words.TRAY, elem_id="tray"), gr.Timer(1.0, active=False)
        with gr.Tabs(elem_id="tabs") as selector:
            for name in TABS:
                module = importlib.import_module(f"sugar.ui.{name}")
                with gr.Tab(module.TAB[1], id=module.TAB[0]):
                    module.build(app)
        top.wire(demo)
        app.connect(demo, selector)
        demo.load(None, None, selector, js="() => sugarTabs.last()", **app.quiet)
        demo.unload(app.guarded(app.closed, uses_model=False))
    demo.app_context = app  # type: ignore[attr-defined]
    return demo
