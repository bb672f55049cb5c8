"""The editor of an ordered query: rows of words or a picture that can be added, removed, moved and weighed.

    editor = QueryEditor(app)
    go.click(app.guarded(search), [*editor.inputs, ...], ...)     # def search(*values): rows = editor.read(values, settings)
    editor.fill([Row("a dog"), Row(picture, -1.0)], visitor)      # values for editor.outputs
    as_query(rows)                                                # a Sample, or Terms where weights differ

Rows of weight 1 are read together, in order; a row of another weight is a term of its own, and one below zero looks away from it.
Not covered: searching (sugar/retrieval.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError
from sugar.images import thumbnail
from sugar.sequence import Sample
from sugar.settings import Settings
from sugar.ui.components import PictureInput
from sugar.ui.context import AppContext
from sugar.ui.incoming import MAX_SIDE, number, picture, text
from sugar.ui.visitors import Visitor

if TYPE_CHECKING:
    from sugar.retrieval import Term

__all__ = ["QueryEditor", "Row", "as_query", "rows_of"]

ROWS = 12


@dataclass(frozen=True, eq=False)
class Row:
    """One row: words or a picture, and its weight."""

    part: str | Image.Image
    weight: float = 1.0


def as_query(rows: Sequence[Row]) -> Sample | list[Term]:
    """Rows -> what `retrieval.search` takes. Raises InputError without rows."""
    from sugar.retrieval import Term  # brings torch: not at the page's start

    if not rows:
        raise InputError("The query is empty. Type some words or choose a picture.")
    together = [r.part for r in rows if r.weight == 1]
    if len(together) == len(rows):
        return Sample(together)
    return ([Term(Sample(together))] if together else []) + [Term(Sample(r.part), r.weight) for r in rows if r.weight != 1]


def rows_of(query: Any, settings: Settings) -> list[Row]:
    """A program's query: a list of texts, {"text": ...} or {"picture": file}, each with an optional "weight". Raises InputError."""
    if isinstance(query, (str, dict)):
        query = [query]
    if not isinstance(query, list) or not 1 <= len(query) <= ROWS:
        raise InputError(f'A query is a list of 1 to {ROWS} parts, each {{"text": ...}} or {{"picture": file}}, with an optional "weight".')
    rows = []
    for part in query:
        part = {"text": part} if isinstance(part, str) else part
        if not isinstance(part, dict) or set(part) - {"text", "picture", "weight"} or ("text" in part) == ("picture" in part):
            raise InputError('A part of a query is {"text": ...} or {"picture": file}, with an optional "weight".')
        content = text(part["text"], settings) if "text" in part else picture(part["picture"], settings)
        rows.append(Row(content, _weight(part.get("weight", 1))))
    return rows


class QueryEditor:
    """The rows on the page. `inputs` and `outputs` are its components, in one order; `submits` fire on Enter in a text row."""

    def __init__(self, app: AppContext) -> None:
        self.rows = min(ROWS, app.settings.max_pictures)
        self.kinds = gr.State(["text"])
        self._boxes: list[gr.Row] = []
        self._words: list[gr.Textbox] = []
        self._pictures: list[Any] = []
        self._weights: list[gr.Number] = []
        buttons: list[list[gr.Button]] = []
        for i in range(self.rows):
            with gr.Row(visible=i == 0, elem_classes="sugar-query-row", equal_height=True) as box:
                self._words.append(
                    gr.Textbox(label=f"Words {i + 1}", placeholder="a red star at night", scale=7, min_width=180, max_lines=3)
                )
                self._pictures.append(PictureInput(label=f"Picture {i + 1}", visible=False, height=150, scale=7, min_width=180, buttons=[]))
                self._weights.append(
                    gr.Number(1, label="Weight", step=0.5, minimum=-5, maximum=5, scale=1, min_width=84, elem_classes="sugar-weight")
                )
                with gr.Column(scale=3, min_width=220), gr.Row():
                    buttons.append(
                        [gr.Button(word, size="sm", min_width=50, elem_id=f"{word.lower()}-{i + 1}") for word in ("Up", "Down", "Remove")]
                    )
            self._boxes.append(box)
        with gr.Row():
            add_words = gr.Button("Add words", size="sm", min_width=90, elem_id="add-words")
            add_picture = gr.Button("Add a picture", size="sm", min_width=90, elem_id="add-picture")
            clear = gr.Button("Clear", size="sm", min_width=60, elem_id="clear-query")
        self.inputs: list[Any] = [self.kinds, *self._words, *self._pictures, *self._weights]
        self.outputs: list[Any] = [*self.inputs, *self._boxes]
        self.submits = [w.submit for w in self._words]
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

        def wire(button: gr.Button, change: Callable[[list[Any]], list[Any]]) -> None:
            def changed(*values: Any) -> list[Any]:
                return self._shown(change(self._raw(values)))

            button.click(app.guarded(changed, uses_model=False), self.inputs, self.outputs, **quiet)

        for i, (up, down, away) in enumerate(buttons):
            wire(up, partial(_swapped, i, i - 1))
            wire(down, partial(_swapped, i, i + 1))
            wire(away, partial(_without, i))
        wire(add_words, lambda rows: [*rows, ("text", "", None, 1)])
        wire(add_picture, lambda rows: [*(rows if any(r[1] or r[2] for r in rows) else []), ("picture", "", None, 1)])
        wire(clear, lambda rows: [])

    def read(self, values: Sequence[Any], settings: Settings) -> list[Row]:
        """The rows that hold something, checked. Raises InputError, ImageError."""
        rows = []
        for kind, words, file, weight in self._raw(values):
            if kind == "text" and (said := text(words, settings, required=False)):
                rows.append(Row(said, _weight(weight)))
            elif kind == "picture" and file is not None:
                rows.append(Row(picture(file, settings), _weight(weight)))
        if not rows:
            raise InputError("The query is empty. Type some words or choose a picture.")
        return rows

    def fill(self, rows: Sequence[Row], visitor: Visitor) -> list[Any]:
        """Values of `outputs` that show these rows. Pictures go through the visitor's own folder."""
        raw = [
            ("text", r.part, None, r.weight) if isinstance(r.part, str) else
            ("picture", "", visitor.keep(thumbnail(r.part, MAX_SIDE, quality=92), ".jpg"), r.weight)
            for r in rows
        ]  # fmt: skip
        return self._shown(raw)

    def _raw(self, values: Sequence[Any]) -> list[Any]:
        """(kind, words, file, weight) of every row that is shown."""
        n = self.rows
        kinds, words, files, weights = values[0], values[1 : n + 1], values[n + 1 : 2 * n + 1], values[2 * n + 1 : 3 * n + 1]
        return list(zip(kinds, words, files, weights, strict=False))

    def _shown(self, rows: Sequence[Any]) -> list[Any]:
        rows = list(rows) or [("text", "", None, 1)]
        if len(rows) > self.rows:
            raise InputError(f"A query has {self.rows} rows at most. Remove one first.")
        blank = [("text", "", None, 1)] * (self.rows - len(rows))
        filled = [*rows, *blank]
        return [
            [r[0] for r in rows],
            *[gr.Textbox(value=r[1] or "", visible=r[0] == "text") for r in filled],
            *[gr.Image(value=r[2], visible=r[0] == "picture") for r in filled],
            *[gr.Number(value=r[3]) for r in filled],
            *[gr.Row(visible=i < len(rows)) for i in range(self.rows)],
        ]


def _weight(value: Any) -> float:
    weight = number(value, -5, 5, "A weight")
    if weight == 0:
        raise InputError("A weight is 0. Give a number from -5 to 5, below zero to look away from the row, or remove the row.")
    return weight


def _without(i: int, rows: list[Any]) -> list[Any]:
    return rows[:i] + rows[i + 1 :]


def _swapped(i: int, j: int, rows: list[Any]) -> list[Any]:
    if 0 <= i < len(rows) and 0 <= j < len(rows):
        rows[i], rows[j] = rows[j], rows[i]
    return rows
