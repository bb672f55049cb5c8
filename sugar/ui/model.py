"""The Model tab: what answers, how good it is, what it costs, and how to put another in its place.

On a shared host the model cannot be exchanged from the page: it is everybody's. Not covered: downloads themselves (sugar/model/hub.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from sugar.errors import InputError, SettingsError
from sugar.model.presets import PRESETS, table
from sugar.ui.components import intro
from sugar.ui.context import AppContext
from sugar.ui.drawing import escape
from sugar.ui.incoming import text
from sugar.ui.loading import State

TAB = ("model", "Model")
OTHER = "another: a folder or a repository of the hub"


def build(app: AppContext) -> None:
    settings = app.settings
    intro("What answers here, how well it was measured, and how to take another model.")
    with gr.Row():
        with gr.Column():
            facts = gr.HTML(elem_id="facts")
        with gr.Column():
            choice = gr.Dropdown([*PRESETS, OTHER], value="sugar-tiny", label="Model", interactive=True)
            needs = gr.HTML(preset_needs("sugar-tiny"), elem_id="needs")
            path = gr.Textbox(label="Folder or repository", placeholder="~/models/mine or owner/name", visible=False)
            load = gr.Button("Load", variant="primary", interactive=not settings.shared)
            progress = gr.HTML(shared_note() if settings.shared else "", elem_id="loading")
    with gr.Accordion("All presets", open=False):
        gr.Markdown(table(), label="All presets")
    card = gr.Markdown(elem_id="card", label="Model card")

    def shown() -> tuple[str, str]:
        state = app.models.state()
        if state.phase != "ready":
            return "<p>No model stands yet.</p>", ""
        return facts_table(app.model()), card_markdown(app.model().card)

    def choose(name: str) -> tuple[str, Any]:
        return preset_needs(name), gr.update(visible=name == OTHER)

    def exchange(name: str, other: str, request: gr.Request) -> Iterator[tuple[str, Any, Any]]:
        """Load another model, showing how far it is; the old one answers until the new one stands."""
        if settings.shared:
            raise SettingsError("The model of a shared host is chosen where the app is started: --model NAME.")
        name = text(other, settings, what="folder or repository") if name == OTHER else name
        if not isinstance(name, str) or (name not in PRESETS and not re.fullmatch(r"[\w.\-~/\\: ]{1,300}", name)):
            raise InputError("Choose a preset, or give a folder or a repository such as owner/name.")
        if name not in PRESETS and not Path(name).expanduser().is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise InputError(f"There is no folder {name!r}. Give an existing folder, or a repository such as owner/name.")
        before = app.models.generation
        app.models.start(name)
        state = app.models.state()
        while state.coming or state.phase == "loading":
            yield progress_bar(state), gr.skip(), gr.skip()
            time.sleep(0.3)
            state = app.models.state()
        if app.models.generation == before:
            yield f"<p>{escape(state.problem)}</p>" + ("<p>The model before it still answers.</p>" if before else ""), gr.skip(), gr.skip()
        else:
            yield "<p>It stands.</p>", *shown()

    choice.change(
        app.guarded(choose, uses_model=False), choice, [needs, path], queue=False, show_progress="hidden", api_visibility="private"
    )
    load.click(
        app.guarded(exchange, uses_model=False), [choice, path], [progress, facts, card], concurrency_limit=1, concurrency_id="exchange",
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    app.on_model_change(shown, [facts, card])


def shared_note() -> str:
    return "<p>This host is shared: its model is chosen where it is started (<code>--model</code>).</p>"


def preset_needs(name: Any) -> str:
    """Download size and memory need of a preset, in a line or two."""
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        return "<p>Weights must be safetensors. The size is shown while it downloads; what does not fit is refused before that.</p>"
    download = f"{preset.download_gb:g} GB to download" if preset.download_gb else "nothing to download"
    memory = ", ".join(f"{preset.memory(p):.1f} GB in {p}" for p in ("bf16", "nf4"))
    return f"<p>{escape(preset.good_for)}.<br>{download}; memory: {memory}. Licence: {escape(preset.licence)}.</p>"


def progress_bar(state: State) -> str:
    """How far a load is; without known bytes, how long it has run."""
    name = escape(state.coming or state.name)
    if not state.total:
        return f'<p role="status">Loading {name} · {state.seconds:.0f} s</p><progress aria-label="loading"></progress>'
    words = f"{state.done / 1e9:.2f} of {state.total / 1e9:.2f} GB"
    return f'<p role="status">{name}: {words}</p><progress aria-label="download" value="{state.done}" max="{state.total}"></progress>'


def facts_table(model: Any) -> str:
    """What is loaded and what it takes, as an HTML table."""
    rows = {"Model": model.name, "Device": model.device, "Precision": model.precision}
    for title, field in (("Why", "why"), ("Family", "family"), ("Embeds by", "encoder"), ("Adapter", "adapter")):
        if getattr(model, field, None):
            rows[title] = getattr(model, field)
    rows |= {"Embedding": f"{model.dimension} numbers", **memory()}
    return '<table class="sugar-facts">' + "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in rows.items()) + "</table>"


def memory() -> dict[str, str]:
    """Memory in use: of this process, and on the GPU where there is one."""
    import psutil

    used = {"Process memory": f"{psutil.Process().memory_info().rss / 1e9:.2f} GB"}
    import torch

    if torch.cuda.is_available():
        used["GPU memory"] = f"{torch.cuda.memory_allocated() / 1e9:.2f} GB"
    return used


def card_markdown(card: str) -> str:
    """A model card for the page: no front matter, no markup, no pictures from elsewhere."""
    card = re.sub(r"\A---\n.*?\n---\n", "", card or "", flags=re.DOTALL)
    card = re.sub(r"!\[[^\]]*\](\([^)]*\)|\[[^\]]*\])", "", card)
    return card.replace("&", "&amp;").replace("<", "&lt;")[:20_000]
