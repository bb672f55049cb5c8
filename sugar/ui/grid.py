"""Pictures that can be clicked: a grid of buttons inside one HTML component.

    grid = picture_grid("Hits")
    grid.click(app.guarded(open_hit), [...], [...])               # def open_hit(..., event: gr.EventData)
    cell(thumbnail, "star.jpg", pick=3, alt="a red star", under=score_bar(0.8))
    picked(event, count)                                          # the number of the cell, checked

Pictures travel inside the page as small JPEGs, so a deleted picture leaves no file behind
that the server would serve.
Not covered: what is in a gallery (sugar/gallery), the heat map (components.py).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError
from sugar.images import thumbnail
from sugar.ui.components import escape

__all__ = [
    "cell",
    "figure",
    "grid_of",
    "html_block",
    "jpeg_uri",
    "picked",
    "picture_grid",
]

_ON_LOAD = """
element.addEventListener('click', (event) => {
  const cell = event.target.closest('[data-pick]');
  if (cell) trigger('click', {pick: cell.dataset.pick});
});
"""
_CSS = Path(__file__).with_name("grid.css").read_text("utf-8")


def picture_grid(label: str, **settings: Any) -> gr.HTML:
    """An HTML component whose cells can be clicked; its `.click` gives a gr.EventData for `picked`."""
    return gr.HTML(value="", label=label, js_on_load=_ON_LOAD, css_template=_CSS, **settings)


def html_block(label: str, **settings: Any) -> gr.HTML:
    """An HTML component in the same look, with nothing to click."""
    return gr.HTML(value="", label=label, css_template=_CSS, **settings)


def picked(event: gr.EventData, count: int) -> int:
    """Which of `count` cells was clicked.

    Raises InputError for anything else: the page could send what it likes.
    """
    try:
        number = int(getattr(event, "pick", None))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number < count:
        raise InputError("That picture is not on the page any more. Search or open the gallery again.")
    return number


def jpeg_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def cell(
    jpeg: bytes | None,
    name: str,
    pick: int,
    *,
    alt: str = "",
    under: str = "",
    words: str = "",
    pressed: bool | None = None,
) -> str:
    """One button: a picture (JPEG bytes) or words, its name, and HTML of ours beneath it."""
    image = f'<img src="{jpeg_uri(jpeg)}" alt="{escape(alt or name)}">' if jpeg is not None else ""
    said = f'<span class="words">{escape(words)}</span>' if words else ""
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    return (
        f'<button type="button" class="sugar-cell" data-pick="{pick}" '
        f'aria-label="Open {escape(name)}"{state}>{image}{said}'
        f'<span class="name" title="{escape(name)}">{escape(name)}</span>{under}</button>'
    )


def grid_of(cells: Iterable[str], title: str = "") -> str:
    """Cells side by side, as many as fit, under a title."""
    return (f"<h4>{escape(title)}</h4>" if title else "") + f'<div class="sugar-grid">{"".join(cells)}</div>'


def figure(image: Image.Image | None, alt: str, under: str) -> str:
    """One large picture (or none) with HTML of ours beneath it."""
    shown = f'<img src="{jpeg_uri(thumbnail(image, 768))}" alt="{escape(alt)}">' if image is not None else ""
    return f'<figure class="sugar-figure">{shown}<figcaption>{under}</figcaption></figure>'
