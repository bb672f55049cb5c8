"""What the tab Model draws: facts, cost of a preset, progress of a load, the model card.

Not covered: the events (model.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sugar.model.presets import PRESETS
from sugar.services.model_slot import ModelState
from sugar.services.models import cost_of
from sugar.ui.components import escape, harmless
from sugar.ui.text import model as words

__all__ = ["card_markdown", "facts_table", "load_line", "preset_needs"]


def preset_needs(name: Any) -> str:
    """Download size and memory of a preset, in a line or two."""
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        return f"<p>{words.NEEDS_OTHER}</p>"
    cost = cost_of(preset)
    if not cost.download_gb:
        download = words.NOTHING_TO_DOWNLOAD
    elif cost.minutes < 1:
        download = words.TO_DOWNLOAD.format(gb=cost.download_gb)
    else:
        download = words.TO_DOWNLOAD_MINUTES.format(gb=cost.download_gb, minutes=cost.minutes)
    memory = ", ".join(words.MEMORY.format(gb=gb, precision=p) for p, gb in cost.memory_gb.items())
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
    """A model card for the page: no front matter, no markup, no pictures from elsewhere."""
    card = re.sub(r"\A---\n.*?\n---\n", "", card or "", flags=re.DOTALL)
    card = re.sub(r"!\[[^\]\n]{0,200}\](\([^)\n]{0,500}\)|\[[^\]\n]{0,200}\])", "", card[:20_000])
    return harmless(card)
