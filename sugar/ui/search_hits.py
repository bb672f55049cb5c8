"""What the results of a search do: cells, an opened hit, other tabs. Also examples and rows.

Not covered: the box (search_events.py), what is drawn (results.py, explained.py, wall.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gradio as gr

from sugar.services.query import SearchQuery
from sugar.ui.examples import SearchExample, search_examples
from sugar.ui.explained import explained, facts
from sugar.ui.query import QueryRows
from sugar.ui.results import hit_cell, result_cells
from sugar.ui.search_events import SearchEvents
from sugar.ui.search_view import Change
from sugar.ui.wall import id_of, ids_of, large_message

__all__ = ["HitEvents"]

MAX_SELECTED = 5_000
MOST_HANDED = 6


class HitEvents:
    """See the module docstring."""

    def __init__(self, box: SearchEvents) -> None:
        self.box, self.app, self.service, self.view = box, box.app, box.service, box.view

    def wire(self, examples: Sequence[Any]) -> None:
        """The results: opening one, more of them; the examples, which the loaded model's profile names."""
        app, view = self.app, self.view
        run = partial(app.guarded, uses_model=False)
        view.hits.need(run(self.need), None, view.hits, **app.quiet)
        view.hits.open(run(self.open), None, view.hits, **app.quiet)
        view.hits.act(run(self.select), None, None, **app.quiet)
        got = view.hits.download(run(self.download), None, view.downloaded, **app.quiet)
        got.success(None, None, None, js="() => sugarSearch.press('search-downloaded')")
        for number, button in enumerate(examples):
            button.click(
                app.guarded(self.example(number)),
                view.gallery,
                view.shown,
                **app.on_model,
                api_visibility="private",
            )
        app.on_model_change(partial(self.fit_to_model, examples), [*examples, view.confirm])

    def wire_rows(self, rows: QueryRows) -> None:
        """The advanced form: parts with weights."""
        app, view = self.app, self.view
        inputs = {*rows.inputs, view.gallery, view.mode, view.rerank, view.confirm}

        def find_rows(data: dict[Any, Any], request: gr.Request) -> Change:
            query = SearchQuery(tuple(rows.read(data, app.settings)))
            options = (data[view.gallery], data[view.mode], data[view.rerank], data[view.confirm])
            return self.box.results(request, query, *options)

        gr.on(
            rows.searches,
            app.guarded(find_rows),
            inputs,
            view.shown,
            **app.on_model,
            api_visibility="private",
        )

    def wire_onward(self, onward: dict[str, Any]) -> None:
        """The hidden buttons that the wall presses."""
        app, of, service = self.app, self.app.visitor, self.service
        app.hand_over(onward["chat"], "chat", lambda request: service.chosen(of(request), MOST_HANDED))
        app.hand_over(onward["search"], "search", lambda request: service.chosen(of(request), MOST_HANDED))
        app.hand_over(onward["ask"], "ask", lambda request: service.chosen(of(request), 1))
        app.hand_over(onward["compare"], "compare", lambda request: service.chosen_to_compare(of(request)))
        go = "() => sugarSearch.soon('search-live')"
        app.hand_over(onward["similar"], "search", lambda request: [service.similar(of(request))], then=go)

    def need(self, request: gr.Request, event: gr.EventData) -> str:
        result = self.box.state(request).shown()
        return result_cells(self.app.gallery(request, result.request.gallery), result, ids_of(event))

    def open(self, request: gr.Request, event: gr.EventData) -> str:
        place, result = id_of(event), self.box.state(request).shown()
        explanation = self.service.open(self.app.visitor(request), place)
        _, item = result.shown[place]
        gallery = self.app.gallery(request, result.request.gallery)
        cell = hit_cell(place, explanation.hit, gallery.item(item))
        picture, about = gallery.picture(item), facts(explanation)
        return large_message(result.key, cell, picture, about, explained(explanation))

    def select(self, request: gr.Request, event: gr.EventData) -> None:
        self.service.select(self.app.visitor(request), ids_of(event, MAX_SELECTED))

    def download(self, request: gr.Request, event: gr.EventData) -> str:
        return self.service.download(self.app.visitor(request), ids_of(event, MAX_SELECTED))

    def example(self, number: int) -> Callable[..., Change]:
        """A handler that puts an example of the loaded model into the box, and searches."""

        def show(request: gr.Request, gallery: Any) -> Change:
            found = search_examples(self.app.model().profile)[number]
            self.box.state(request).draft.fill(found.pictures())
            shown = self.box.find(request, found.text, gallery, found.mode, True, False)
            return {self.view.text: found.text, self.view.mode: found.mode, **shown}

        return show

    def saved(self, request: gr.Request, words: str, gallery: str, mode: str) -> Change:
        """Put a saved search into the box, and search."""
        self.box.state(request).draft.fill([])
        view = self.view
        shown = self.box.find(request, words, gallery, mode, True, False)
        return {view.text: words, view.gallery: gallery, view.mode: mode, **shown}

    def fit_to_model(self, examples: Sequence[Any]) -> tuple[Any, ...]:
        """The names of the model's examples, and whether its yes or no may be asked for."""
        model = self.app.models.peek()
        known: Sequence[SearchExample] = search_examples(model.profile)[: len(examples)] if model else []
        named = [gr.Button(value=e.name, visible=True) for e in known]
        hidden = [gr.Button(visible=False)] * (len(examples) - len(known))
        allowed = model is not None and bool(model.profile.confirms)
        return (*named, *hidden, gr.Checkbox(visible=allowed, value=False))
