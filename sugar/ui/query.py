"""The advanced form of a query: rows of words or a picture that are added, removed, moved and weighed.

    rows = QueryRows(app)
    rows.inputs, rows.searches                     # components that a search reads; events that start one
    rows.read(data, settings)                      # data: a dict from component to value -> QueryParts

Not covered: searching (sugar/services/search.py), the box for one line (search.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import gradio as gr

from sugar.errors import InputError
from sugar.services.query import QueryPart
from sugar.settings import Settings
from sugar.ui.components import PictureInput
from sugar.ui.context import AppContext
from sugar.ui.incoming import number, picture, text
from sugar.ui.text import search as words

__all__ = ["QueryRows"]

ROWS = 12
Data = Mapping[Any, Any]


@dataclass(frozen=True)
class _Row:
    """What one row holds."""

    kind: Literal["text", "picture"] = "text"
    words: str = ""
    file: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class _Fields:
    """The components of one row."""

    box: gr.Row
    words: gr.Textbox
    picture: gr.Image
    weight: gr.Number
    up: gr.Button
    down: gr.Button
    remove: gr.Button

    def show(self, row: _Row | None) -> dict[Any, Any]:
        """Updates that show a row, or hide the fields."""
        held = row or _Row()
        return {
            self.box: gr.Row(visible=row is not None),
            self.words: gr.Textbox(value=held.words, visible=held.kind == "text"),
            self.picture: gr.Image(value=held.file, visible=held.kind == "picture"),
            self.weight: gr.Number(value=held.weight),
        }


class QueryRows:
    """See the module docstring."""

    def __init__(self, app: AppContext) -> None:
        gr.Markdown(words.ADVANCED_HELP)
        self.kinds = gr.State(["text"])
        self.most = min(ROWS, app.settings.max_pictures)
        self.fields = [_fields(number, visible=number == 1) for number in range(1, self.most + 1)]
        with gr.Row():
            add_words = gr.Button(words.ADD_WORDS, size="sm", min_width=90, elem_id="add-words")
            add_picture = gr.Button(words.ADD_PICTURE, size="sm", min_width=90, elem_id="add-picture")
            clear = gr.Button(words.CLEAR, size="sm", min_width=60, elem_id="clear-query")
            search = gr.Button(words.SEARCH_ROWS, size="sm", variant="primary", elem_id="search-rows")
        pieces = (c for f in self.fields for c in (f.words, f.picture, f.weight))
        self.inputs: set[Any] = {self.kinds, *pieces}
        self._outputs = [*self.inputs, *(f.box for f in self.fields)]
        self.searches = [search.click, *(f.words.submit for f in self.fields)]
        for at, fields in enumerate(self.fields):
            self._wire(app, fields.up, partial(_swapped, at, at - 1))
            self._wire(app, fields.down, partial(_swapped, at, at + 1))
            self._wire(app, fields.remove, partial(_without, at))
        self._wire(app, add_words, lambda rows: [*rows, _Row("text")])
        self._wire(app, add_picture, lambda rows: [*rows, _Row("picture")])
        self._wire(app, clear, lambda rows: [])

    def read(self, data: Data, settings: Settings) -> list[QueryPart]:
        """The rows that hold something, checked. Raises InputError, ImageError."""
        parts = []
        for row in self._rows(data):
            weight = number(row.weight, -5, 5, "A weight")
            if row.kind == "picture" and row.file is not None:
                parts.append(QueryPart(picture(row.file, settings), weight))
            elif row.kind == "text" and (said := text(row.words, settings, required=False)):
                parts.append(QueryPart(said, weight))
        if not parts:
            raise InputError("The query is empty. Type some words or choose a picture.")
        return parts

    def _wire(self, app: AppContext, button: gr.Button, change: Callable[[list[_Row]], list[_Row]]) -> None:
        def changed(data: dict[Any, Any]) -> dict[Any, Any]:
            return self._shown(change(self._rows(data)))

        button.click(app.guarded(changed, uses_model=False), self.inputs, self._outputs, **app.quiet)

    def _rows(self, data: Data) -> list[_Row]:
        return [
            _Row(kind, data[f.words] or "", data[f.picture], data[f.weight])
            for kind, f in zip(data[self.kinds], self.fields, strict=False)
        ]

    def _shown(self, rows: list[_Row]) -> dict[Any, Any]:
        rows = rows or [_Row()]
        if len(rows) > self.most:
            raise InputError(f"A query has {self.most} parts at most. Remove one first.")
        out: dict[Any, Any] = {self.kinds: [row.kind for row in rows]}
        for at, fields in enumerate(self.fields):
            out |= fields.show(rows[at] if at < len(rows) else None)
        return out


def _fields(n: int, *, visible: bool) -> _Fields:
    with gr.Row(visible=visible, elem_classes="sugar-query-row", equal_height=True) as box:
        said = gr.Textbox(label=words.ROW_WORDS.format(n=n), scale=7, min_width=180, max_lines=3)
        shown = PictureInput(
            label=words.ROW_PICTURE.format(n=n), visible=False, height=150, scale=7, min_width=180, buttons=[]
        )
        label = words.WEIGHT.format(n=n)
        weight = gr.Number(1, label=label, step=0.5, minimum=-5, maximum=5, scale=1, min_width=84)
        with gr.Column(scale=3, min_width=220), gr.Row():
            names = (("up", words.UP), ("down", words.DOWN), ("remove", words.TAKE_OUT))
            up, down, remove = (
                gr.Button(name, size="sm", min_width=50, elem_id=f"{key}-{n}") for key, name in names
            )
    return _Fields(box, said, shown, weight, up, down, remove)


def _without(at: int, rows: list[_Row]) -> list[_Row]:
    return rows[:at] + rows[at + 1 :]


def _swapped(first: int, second: int, rows: list[_Row]) -> list[_Row]:
    if 0 <= first < len(rows) and 0 <= second < len(rows):
        rows[first], rows[second] = rows[second], rows[first]
    return rows
