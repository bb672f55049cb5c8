"""Pictures that can be clicked: a grid of buttons inside one HTML component, nothing of it in a file that the server would serve.

    grid = picture_grid("Hits")
    grid.click(app.guarded(open_hit), [...], [...])               # def open_hit(..., event: gr.EventData)
    cell(thumbnail, "star.jpg", pick=3, alt="a red star", under=score_bar(0.8))
    picked(event, count)                                          # the number of the cell, checked

Pictures travel inside the page (data URIs of small JPEGs), so a deleted picture leaves nothing behind in the app's cache and nobody can
fetch another visitor's. Cells are buttons: Tab and Enter work, each has a name and its picture an alt text.

Not covered: what is in a gallery (sugar/gallery), the heat map (drawing.py).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError
from sugar.images import thumbnail
from sugar.ui.drawing import escape

__all__ = ["cell", "figure", "grid_of", "html_block", "jpeg_uri", "picked", "picture_grid", "strip_of", "table_of"]

_ON_LOAD = """
element.addEventListener('click', (event) => {
  const cell = event.target.closest('[data-pick]');
  if (cell) trigger('click', {pick: cell.dataset.pick});
});
"""
_CSS = """
.sugar-grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .75rem; }
.sugar-strip { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(4rem, 9rem); gap: .4rem; overflow-x: auto; }
.sugar-cell { font: inherit; color: var(--body-text-color); text-align: left; padding: .4rem;
  border-radius: var(--radius-md); cursor: pointer;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-primary); width: 100%; min-width: 0; display: flex;
  flex-direction: column; justify-content: flex-start; align-items: stretch; }
.sugar-cell:hover, .sugar-cell:focus-visible { border-color: var(--color-accent); outline: none;
  box-shadow: 0 0 0 1px var(--color-accent); }
.sugar-cell[aria-pressed="true"] { border-color: var(--color-accent); box-shadow: 0 0 0 2px var(--color-accent); }
.sugar-cell img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: var(--radius-sm); display: block; }
.sugar-cell .name { display: block; font-size: var(--text-sm); margin-top: .3rem;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.sugar-cell .line { display: block; font-size: var(--text-xs); color: var(--body-text-color-subdued); }
.sugar-cell .words { font-size: var(--text-sm); display: -webkit-box; -webkit-line-clamp: 7; -webkit-box-orient: vertical;
  overflow: hidden; }
.sugar-grid .sugar-bar { grid-template-columns: 1fr 2.4rem; gap: .4rem; }
.sugar-grid .sugar-bar span:empty { display: none; }
.sugar-figure img { max-width: 100%; max-height: 26rem; border-radius: var(--radius-md); display: block; }
.sugar-figure figcaption { font-size: var(--text-sm); color: var(--body-text-color-subdued); padding-top: .4rem; overflow-wrap: anywhere; }
h4 { margin: 1rem 0 .4rem; font-size: var(--text-sm); font-weight: 600; color: var(--body-text-color); }
.sugar-opened { display: grid; grid-template-columns: minmax(0, 20rem) minmax(0, 1fr); gap: 1.25rem; align-items: start; }
@media (max-width: 640px) { .sugar-opened { grid-template-columns: minmax(0, 1fr); } }
.sugar-cite { font: inherit; font-size: .8em; padding: 0 .45em; margin: 0 .15em; border-radius: 1em; cursor: pointer;
  vertical-align: text-top; color: var(--body-text-color); background: var(--background-fill-secondary);
  border: 1px solid var(--color-accent); }
.sugar-answer p { font-size: var(--text-lg); margin: 0; overflow-wrap: anywhere; }
.sugar-report { font-size: var(--text-sm); border: 0 !important; }
.sugar-report :is(th, td, tr, thead) { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; border: 0 !important; }
.sugar-empty { color: var(--body-text-color-subdued); }
"""


def picture_grid(label: str, **settings: Any) -> gr.HTML:
    """An HTML component whose cells can be clicked; its `.click` gives a gr.EventData for `picked`."""
    return gr.HTML(value="", label=label, js_on_load=_ON_LOAD, css_template=_CSS, **settings)


def html_block(label: str, **settings: Any) -> gr.HTML:
    """An HTML component in the same look, with nothing to click."""
    return gr.HTML(value="", label=label, css_template=_CSS, **settings)


def picked(event: gr.EventData, count: int) -> int:
    """Which of `count` cells was clicked. Raises InputError for anything else: the page could send what it likes."""
    try:
        number = int(getattr(event, "pick", None))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number < count:
        raise InputError("That picture is not on the page any more. Search or open the gallery again.")
    return number


def jpeg_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def cell(jpeg: bytes | None, name: str, pick: int, *, alt: str = "", under: str = "", words: str = "", pressed: bool | None = None) -> str:
    """One button: a picture (JPEG bytes) or words, its name, and HTML of ours beneath it."""
    image = f'<img src="{jpeg_uri(jpeg)}" alt="{escape(alt or name)}">' if jpeg is not None else ""
    said = f'<span class="words">{escape(words)}</span>' if words else ""
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    return (
        f'<button type="button" class="sugar-cell" data-pick="{pick}" aria-label="Open {escape(name)}"{state}>{image}{said}'
        f'<span class="name" title="{escape(name)}">{escape(name)}</span>{under}</button>'
    )


def grid_of(cells: Iterable[str], title: str = "") -> str:
    """Cells side by side, as many as fit, under a title."""
    return (f"<h4>{escape(title)}</h4>" if title else "") + f'<div class="sugar-grid">{"".join(cells)}</div>'


def strip_of(cells: Iterable[str], title: str = "") -> str:
    """Cells in one row that scrolls, in order: a story."""
    return (f"<h4>{escape(title)}</h4>" if title else "") + f'<div class="sugar-strip">{"".join(cells)}</div>'


def figure(image: Image.Image | None, alt: str, under: str) -> str:
    """One large picture (or none) with HTML of ours beneath it."""
    shown = f'<img src="{jpeg_uri(thumbnail(image, 768))}" alt="{escape(alt)}">' if image is not None else ""
    return f'<figure class="sugar-figure">{shown}<figcaption>{under}</figcaption></figure>'


def table_of(report: Any) -> str:
    """A report of what was taken in, as HTML: the counts, and each file that was not simply added."""
    rows = [r for r in report.rows if r.status != "added" or r.reason][:200]
    body = "".join(f"<tr><td>{escape(r.name)}</td><td>{escape(r.status)}</td><td>{escape(r.reason)}</td></tr>" for r in rows)
    head = "<tr><th>File</th><th>What became of it</th><th>Why</th></tr>"
    table = f'<table class="sugar-report"><thead>{head}</thead><tbody>{body}</tbody></table>'
    return f"<p><b>{escape(report)}</b></p>" + (table if rows else "")
