"""What goes to the page as HTML, readable in light and dark.

    escape(words)                                                  # any text from a person, a file or a model -> safe HTML
    heat_map(similarity, rows, columns, path), score_bar(0.8)      # a matrix with its path, a score
    status_line(models.state())                                    # the line above the tabs

Not covered: its styles (look.py), pictures that can be clicked (grid.py).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from sugar.images import thumbnail
from sugar.ui.loading import State

__all__ = ["escape", "heat_map", "score_bar", "status_line"]


def escape(words: Any) -> str:
    """Text as HTML that cannot be markup, and that Markdown leaves alone."""
    return re.sub(r"[\\`*_{}\[\]()#+!|~$&<>\"']", lambda m: f"&#{ord(m.group())};", str(words))


def data_uri(image: Image.Image, side: int = 96) -> str:
    """A small picture inside the page itself."""
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail(image, side)).decode()


def label(part: str | Image.Image, alt: str) -> str:
    """A row or column head: words, shortened, or a small picture."""
    if isinstance(part, Image.Image):
        return f'<img src="{data_uri(part)}" alt="{escape(alt)}">'
    short = part if len(part) <= 60 else part[:57] + "..."
    return f'<span title="{escape(part[:500])}">{escape(short)}</span>'


def heat_map(
    values: np.ndarray,
    rows: Sequence[str | Image.Image],
    columns: Sequence[str | Image.Image],
    path: Sequence[tuple[int, int]] = (),
    *,
    caption: str = "",
    low: float | None = None,
    high: float | None = None,
) -> str:
    """values (n, m) as a table, so that it can be read aloud: cells are coloured and carry their number; those of `path` are ringed."""
    values = np.atleast_2d(np.asarray(values, float))  # (n, m)
    bottom = float(np.nanmin(values)) if low is None else low
    top = float(np.nanmax(values)) if high is None else high
    span = (top - bottom) or 1.0
    on_path = {(int(i), int(j)) for i, j in path}
    head = "".join(f'<th scope="col">{label(c, f"column {j + 1}")}</th>' for j, c in enumerate(columns))
    body = ""
    for i, row in enumerate(rows):
        cells = ""
        for j in range(values.shape[1]):
            share = min(1.0, max(0.0, (values[i, j] - bottom) / span))
            ring, spoken = (' class="on-path"', " on the path") if (i, j) in on_path else ("", "")
            aria = f' aria-label="{values[i, j]:.2f}{spoken}"' if spoken else ""
            cells += f'<td{ring}{aria} style="--heat:{100 * share:.0f}%">{values[i, j]:.2f}</td>'
        body += f'<tr><th scope="row">{label(row, f"row {i + 1}")}</th>{cells}</tr>'
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="sugar-heat"><table>{title}<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def score_bar(score: float, words: str = "") -> str:
    """A score in [0, 1] as a bar with its number."""
    share = 100 * min(1.0, max(0.0, float(score)))
    return (
        f'<div class="sugar-bar"><span>{escape(words)}</span><i style="--share:{share:.0f}%" role="img" aria-label="{score:.2f}"></i>'
        f"<b>{score:.2f}</b></div>"
    )


PHOTOS = (
    '<p class="sugar-note">This small model knows drawn scenes only: shapes, colours, places, weather. For photos load another in the tab '
    "Model (smolvlm-256m is 0.5 GB and runs on any computer), or start with <code>--model llava-1.5-7b</code>.</p>"
)


def status_line(state: State) -> str:
    """The line above the tabs: which model, device and precision answer, or what is under way."""
    progress = f" · {state.done / 1e9:.2f} of {state.total / 1e9:.2f} GB" if state.total else ""
    if state.phase == "loading":
        return f"Loading <b>{escape(state.name)}</b>{progress} · {state.seconds:.0f} s · questions asked now wait for it"
    if state.phase == "failed":
        return f"<b>No model.</b> {escape(state.problem)}"
    note = PHOTOS if state.name == "sugar-tiny" else ""
    line = f"<b>{escape(state.name)}</b> · {escape(state.device)} · {escape(state.precision)}"
    if state.coming:
        line += f" · loading {escape(state.coming)}{progress} · {state.seconds:.0f} s"
    elif state.problem:
        line += f" · {escape(state.problem)}"
    return line + note
