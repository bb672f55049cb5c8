"""Puts the tabs together: the head with the status line, the tabs, and what keeps them up to date.

    demo = build_app(settings, models)            # demo.app_context is what the tabs share

Not covered: serving it (serving.py), how it looks (look.py).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import gradio as gr

from sugar.services.model_slot import ModelSlot
from sugar.services.modes import mode_of
from sugar.settings import Settings
from sugar.ui.cache import cache_folder, private_files
from sugar.ui.context import AppContext
from sugar.ui.status import Head
from sugar.ui.text import frame as words
from sugar.ui.visitors import Visitors

__all__ = ["TABS", "build_app"]

TABS = ("chat", "search", "gallery", "compare", "ask", "model")


def build_app(settings: Settings, models: ModelSlot, tabs: Sequence[str] = TABS) -> gr.Blocks:
    """The page with all tabs."""
    cache_folder()
    app = AppContext(settings, models, Visitors(settings, mode_of(settings), private_files()))
    with gr.Blocks(
        title=words.TITLE, analytics_enabled=False, fill_width=False, delete_cache=(3600, 24 * 3600)
    ) as demo:
        head = Head(app)
        head.layout()
        with gr.Tabs(elem_id="tabs") as selector:
            for name in tabs:
                module = importlib.import_module(f"sugar.ui.{name}")
                with gr.Tab(module.TAB[1], id=module.TAB[0]):
                    module.build(app)
        head.wire(demo)
        app.connect(demo, selector)
        demo.unload(app.guarded(app.closed, uses_model=False))
    demo.app_context = app  # type: ignore[attr-defined]
    return demo
