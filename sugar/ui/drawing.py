"""What goes to the page as HTML, readable in light and dark.

    escape(words)                                                  # any text -> safe HTML
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
from sugar.services.model_slot import ModelState
from sugar.services.workspace import Generated
from sugar.ui.text import frame as words_of

__all__ = ["data_uri", "escape", "jpeg_uri", "heat_map", "score_bar", "speed_line", "status_line"]


def escape(words: Any) -> str:
    """Text as HTML that cannot be markup, and that Markdown leaves alone."""
    return re.sub(r"[\\`*_{}\[\]()#+!|~$&<>\"']", lambda m: f"&#{ord(m.group())};", str(words))


def data_uri(image: Image.Image, side: int = 96) -> str:
    """A small picture inside the page itself."""
    return jpeg_uri(thumbnail(image, side))


def jpeg_uri(jpeg: bytes) -> str:
    """JPEG bytes inside the page itself."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


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
    """values (n, m) as a table that can be read aloud. Cells are coloured; those of `path` are ringed."""
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
    heading = f"<thead><tr><td></td>{head}</tr></thead>"
    return f'<div class="sugar-heat"><table>{title}{heading}<tbody>{body}</tbody></table></div>'


def score_bar(score: float, words: str = "") -> str:
    """A score in [0, 1] as a bar with its number."""
    share = 100 * min(1.0, max(0.0, float(score)))
    return (
        f'<div class="sugar-bar"><span>{escape(words)}</span>'
        f'<i style="--share:{share:.0f}%" role="img" aria-label="{score:.2f}"></i>'
        f"<b>{score:.2f}</b></div>"
    )


def status_line(state: ModelState) -> str:
    """The line above the tabs: which model, device and precision answer, or what is under way."""
    progress = ""
    if state.total:
        progress = words_of.PROGRESS.format(done=state.done / 1e9, total=state.total / 1e9)
    if state.phase == "loading":
        return words_of.LOADING.format(name=escape(state.name), progress=progress, seconds=state.seconds)
    if state.phase == "failed":
        return words_of.NO_MODEL.format(problem=escape(state.problem))
    line = words_of.MODEL_READY.format(
        name=escape(state.name), device=escape(state.device), precision=escape(state.precision)
    )
    if state.coming:
        coming = words_of.COMING.format(name=escape(state.coming), progress=progress, seconds=state.seconds)
        line += f" · {coming}"
    elif state.problem:
        line += f" · {escape(state.problem)}"
    return line


def speed_line(answer: Generated) -> str:
    """What stands under an answer: doubt about its pictures, time to the first token, tokens, their rate."""
    if not answer.tokens:
        return words_of.NO_TEXT if answer.ended else words_of.READING
    counted = (words_of.ONE_TOKEN if answer.tokens == 1 else words_of.MANY_TOKENS).format(n=answer.tokens)
    rate = answer.tokens_per_second
    return (words_of.UNSURE if answer.unsure else "") + words_of.FIRST_TOKEN.format(
        ms=answer.first * 1000,
        tokens=counted,
        rate=words_of.RATE.format(rate=rate) if rate else "",
        ended=words_of.ENDED.get(answer.ended, ""),
    )
