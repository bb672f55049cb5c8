"""What the page draws: texts as safe HTML and Markdown, figures, and components of our own.

    escape(words)                                                  # any text -> HTML without markup
    harmless("**b** <img src=x>")                                  # a model's Markdown without HTML
    heat_map(similarity, rows, columns, path, alt="picture {n}")   # readable in light and dark, and aloud
    picture = PictureInput(label="Picture")                        # where gr.Image would decode by itself
    strip = clickable("Pictures"); strip.click(f)                  # event_field(event, "pick")

Not covered: styles (static/), checks of what components hand over (incoming.py), the wall (wall.py).
"""

from __future__ import annotations

import base64
import re
from abc import ABCMeta
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import gradio as gr
import nh3
import numpy as np
from gradio.component_meta import ComponentMeta, updateable
from gradio.components import Component
from PIL import Image

from sugar.errors import InputError
from sugar.images import gallery_items, thumbnail
from sugar.services.model_slot import ModelState
from sugar.services.visitors import Page
from sugar.services.workspace import Generated
from sugar.ui.incoming import MAX_SIDE
from sugar.ui.text import frame as words_of

Change = dict[Component, Any]
"""What a handler changes: component -> its new value."""

# -- a model's Markdown

JOINER = "\u2060"
SIGNS = re.compile(
    r"<(?=[A-Za-z/!?])"  # a tag, a comment
    r"|&(?=#?\w+;)"  # an entity, which a diagram or a copy would turn into a sign
    r"|!(?=\[)"  # a picture
    r"|\](?=\((?!https?://)|:|\[)"  # a link to another place than the web
    r"|(?:(?<!`)`{3,}|(?<!~)~{3,})[ \t]*(?=mermaid)"  # a diagram, whose labels are HTML
)


def harmless(markdown: str) -> str:
    """Markdown in which HTML, pictures, diagrams and links other than http(s) are plain text, in code too."""
    apart = SIGNS.sub(lambda sign: sign.group() + JOINER, markdown)
    return nh3.clean_text(apart) if nh3.is_html(apart) else apart


def as_written(text: str) -> str:
    """The text that `harmless` was given."""
    return text.replace(JOINER, "")


# -- HTML


def escape(words: Any) -> str:
    """Text as HTML that cannot be markup, and that Markdown leaves alone."""
    return re.sub(r"[\\`*_{}\[\]()#+!|~$&<>\"']", lambda m: f"&#{ord(m.group())};", str(words))


def data_uri(image: Image.Image, side: int = 96) -> str:
    """A small picture inside the page itself."""
    return jpeg_uri(thumbnail(image, side))


def jpeg_uri(jpeg: bytes) -> str:
    """JPEG bytes inside the page itself."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def cell(
    jpeg: bytes | None,
    name: str,
    pick: int,
    *,
    alt: str = "",
    under: str = "",
    words: str = "",
) -> str:
    """One button: a picture (JPEG bytes) or words, its name, and HTML of ours beneath it."""
    image = f'<img src="{jpeg_uri(jpeg)}" alt="{escape(alt or name)}">' if jpeg is not None else ""
    said = f'<span class="words">{escape(words)}</span>' if words else ""
    return (
        f'<button type="button" class="sugar-cell" data-pick="{pick}" '
        f'aria-label="Open {escape(name)}">{image}{said}'
        f'<span class="name" title="{escape(name)}">{escape(name)}</span>{under}</button>'
    )


def grid_of(cells: Iterable[str], title: str = "") -> str:
    """Cells side by side, as many as fit, under a title."""
    head = f'<h4 class="sugar-title">{escape(title)}</h4>' if title else ""
    return f'{head}<div class="sugar-grid">{"".join(cells)}</div>'


def figure(image: Image.Image | None, alt: str, under: str) -> str:
    """One large picture (or none) with HTML of ours beneath it."""
    shown = f'<img src="{jpeg_uri(thumbnail(image, 768))}" alt="{escape(alt)}">' if image is not None else ""
    return f'<figure class="sugar-figure">{shown}<figcaption>{under}</figcaption></figure>'


def _head(part: str | Image.Image, alt: str) -> str:
    """A row or column head: words, shortened, or a small picture."""
    if isinstance(part, Image.Image):
        return f'<img src="{data_uri(part)}" alt="{escape(alt)}">'
    short = part if len(part) <= 60 else part[:57] + "..."
    return f'<span title="{escape(part[:500])}">{escape(short)}</span>'


_STEPS = {(0, 1): "right", (1, 0): "down", (1, 1): "diagonal"}


def heat_map(
    values: np.ndarray,
    rows: Sequence[str | Image.Image],
    columns: Sequence[str | Image.Image],
    path: Sequence[tuple[int, int]] = (),
    *,
    alt: str,
    caption: str = "",
    low: float | None = None,
    high: float | None = None,
) -> str:
    """values (n, m) as a table that can be read aloud, in colours.

    An alignment's `path` is drawn through it; rows and columns are then numbered. alt: of pictures there.
    """
    values = np.atleast_2d(np.asarray(values, float))  # (n, m)
    bottom = float(np.nanmin(values)) if low is None else low
    top = float(np.nanmax(values)) if high is None else high
    span = (top - bottom) or 1.0
    steps = dict.fromkeys(path, "")
    for (i, j), (k, n) in pairwise(path):
        steps[i, j] = _STEPS.get((k - i, n - j), "")

    def head(part: str | Image.Image, number: int) -> str:
        shown = f'<span class="number">{number}</span>' if path else ""
        return shown + _head(part, alt.format(n=number))

    top_row = "".join(f'<th scope="col">{head(c, j)}</th>' for j, c in enumerate(columns, 1))
    body = ""
    for i, row in enumerate(rows):
        cells = ""
        for j, value in enumerate(values[i]):
            share = min(1.0, max(0.0, (value - bottom) / span))
            ring = f' class="on-path {steps[i, j]}"' if (i, j) in steps else ""
            cells += f'<td{ring} style="--heat:{100 * share:.0f}%"><span>{value:.2f}</span></td>'
        body += f'<tr><th scope="row">{head(row, i + 1)}</th>{cells}</tr>'
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    table = f"<table>{title}<thead><tr><td></td>{top_row}</tr></thead><tbody>{body}</tbody></table>"
    aligned = ' sugar-aligned" tabindex="0' if path else ""
    return f'<div class="sugar-heat{aligned}">{table}</div>'


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


def ended_line(answer: Generated) -> str:
    """What a reader must know of an answer: doubt about its pictures, that it is under way or was cut off."""
    if not answer.tokens:
        return words_of.READING if not answer.ended else words_of.ENDED.get(answer.ended, words_of.NO_TEXT)
    return " · ".join(filter(None, (words_of.UNSURE * answer.unsure, words_of.ENDED.get(answer.ended, ""))))


def figures_line(answer: Generated) -> str:
    """Time to the first token, tokens, their rate; "" before the first."""
    if not answer.tokens:
        return ""
    counted = (words_of.ONE_TOKEN if answer.tokens == 1 else words_of.MANY_TOKENS).format(n=answer.tokens)
    rate = answer.tokens_per_second
    told = {"tokens": counted, "rate": words_of.RATE.format(rate=rate) if rate else ""}
    return words_of.FIRST_TOKEN.format(ms=answer.first * 1000, **told)


def with_details(line: str, details: str) -> str:
    """A line as HTML, and figures behind an (i)."""
    if not details:
        return escape(line)
    mark = f'<summary aria-label="{words_of.FIGURES}" title="{words_of.FIGURES}">i</summary>'
    return f'{escape(line)} <details class="sugar-how">{mark}<span>{escape(details)}</span></details>'


def how_line(answer: Generated | None) -> str:
    """The line under an answer as HTML; "" where nothing was generated."""
    return with_details(ended_line(answer), figures_line(answer)) if answer is not None else ""


# -- components

ON_LOAD = """
element.addEventListener('click', (event) => {
  const cell = event.target.closest('[data-pick]');
  if (cell) trigger('click', {pick: cell.dataset.pick, box: cell.dataset.box});
});
"""


def intro(words: str) -> Any:
    """The line at the head of a tab that says what it is for."""
    return gr.Markdown(words, elem_classes="sugar-intro")


def example_buttons(tab: str, count: int) -> list[gr.Button]:
    """Buttons of a tab for examples of the loaded model's profile. They are hidden until they are `named`."""
    return [
        gr.Button(visible=False, size="sm", min_width=120, elem_id=f"{tab}-example-{n}") for n in range(count)
    ]


def named(names: Sequence[str], count: int) -> list[gr.Button]:
    """Values for `count` buttons: one is shown for each name, the others are hidden."""
    shown = [gr.Button(value=name, visible=True) for name in names]
    return shown + [gr.Button(visible=False)] * (count - len(shown))


def clickable(label: str, script: str = "", **settings: Any) -> gr.HTML:
    """HTML whose elements with `data-pick` can be clicked; `.click` gives a gr.EventData with `pick`.

    script: JavaScript that runs with its `element` once.
    """
    return gr.HTML(value="", label=label, js_on_load=ON_LOAD + script, **settings)


def event_field(event: gr.EventData, name: str) -> str:
    """What a click on `clickable` tells: its `pick` or `box`. Empty when it tells nothing, or was made up."""
    data = getattr(event, "_data", None)
    return str(data.get(name) or "") if isinstance(data, dict) else ""


def picked(event: gr.EventData, count: int) -> int:
    """Which of `count` cells was clicked. Raises InputError for anything else: the page may send anything."""
    pick = event_field(event, "pick")
    if not (pick.isascii() and pick.isdigit() and int(pick) < count):
        raise InputError("That picture is not on the page any more. Search or open the gallery again.")
    return int(pick)


class Quiet(ComponentMeta):
    """Gradio's metaclass writes a .pyi file for every component class; ours add no events and need none."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> Any:
        return ABCMeta.__new__(cls, name, bases, attrs)


class PictureInput(gr.Image, metaclass=Quiet):
    """gr.Image for a person's pictures: hands over the upload's path; sugar/images.py decodes it."""

    is_template = True

    @updateable
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *args, **{"type": "filepath", "image_mode": None, "sources": ["upload", "clipboard"], **kwargs}
        )

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the page is told is read off a signature: the one of gr.Image, not the one above."""
        return super().get_config(cls or gr.Image)

    def preprocess(self, payload: Any) -> Any:
        return None if payload is None else payload.path


class GalleryChoice(gr.Dropdown, metaclass=Quiet):
    """gr.Dropdown of gallery names that works after Gradio has forgotten the session.

    Gradio compares a choice with the list that it remembers for the session, and refuses all of them once the
    session is forgotten. Here the name goes on to where galleries are opened, which checks it.
    """

    is_template = True

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        return super().get_config(cls or gr.Dropdown)

    def preprocess(self, payload: Any) -> str | None:
        return payload if isinstance(payload, str) and payload else None


def keep_reduced(image: Image.Image, visitor: Page) -> str:
    """A JPEG file of the visitor's that shows the picture at the size that components are given."""
    return visitor.keep(thumbnail(image, MAX_SIDE, quality=92), ".jpg", items=gallery_items(image))
