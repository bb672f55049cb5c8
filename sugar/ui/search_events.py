"""What the search box does: check what came, ask the service, draw the result.

Handlers return a dict from component to value, so that each names what it changes.
Not covered: opened hits, examples, other tabs (search_hits.py); the browser's part (static/search.js).
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from sugar.sequence import Sample
from sugar.services.query import SearchQuery, parse
from sugar.services.search import MAX_HITS, SearchRequest, SearchService, SearchState
from sugar.ui import gallery_api
from sugar.ui.chips import changed, chips_html
from sugar.ui.context import AppContext
from sugar.ui.incoming import picture, text
from sugar.ui.results import results_message
from sugar.ui.search_view import Change, SearchView

__all__ = ["SearchEvents"]

MOST, MOST_RUNS = MAX_HITS, 6
"""Hits of one search on the page, and runs of a story."""


class SearchEvents:
    """See the module docstring."""

    def __init__(self, app: AppContext, service: SearchService, view: SearchView) -> None:
        self.app, self.service, self.view = app, service, view

    def wire(self, go: Any, live: Any, upload: Any, clear: Any) -> None:
        """Connect the button, Enter, a pause while typing, pictures and chips."""
        app, view = self.app, self.view
        model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
        gr.on([go.click, view.text.submit], app.guarded(self.find), view.asked, view.shown, **model)
        live.click(
            app.guarded(self.find_typed),
            view.asked,
            view.shown,
            trigger_mode="always_last",
            show_progress="hidden",
            **model,
        )
        view.chips.click(app.guarded(self.press_chip), view.asked, view.shown, **model)
        upload.upload(app.guarded(self.add_pictures), [upload, *view.asked], [upload, *view.shown], **model)
        clear.click(app.guarded(self.clear, uses_model=False), None, view.shown, **app.quiet)

    def find(
        self, request: gr.Request, words: Any, gallery: Any, mode: Any, rerank: Any, confirm: Any
    ) -> Change:
        """Search for what stands in the box. Raises InputError when nothing does."""
        words = text(words, self.app.settings, required=False)
        draft, parsed = self.state(request).draft, parse(words)
        query = SearchQuery.of_parsed(parsed, pictures=draft.pictures, words_at=draft.words_at)
        found = self.results(request, query, gallery, mode, rerank, confirm)
        return {self.view.chips: chips_html(draft, parsed), **found}

    def find_typed(
        self, request: gr.Request, words: Any, gallery: Any, mode: Any, rerank: Any, confirm: Any
    ) -> Change:
        """The same while someone types. An empty box empties the results; the model confirms nothing."""
        checked = text(words, self.app.settings, required=False)
        draft = self.state(request).draft
        if not checked and not draft.pictures:
            return self._nothing(request, checked)
        return self.find(request, words, gallery, mode, rerank, False)

    def press_chip(
        self,
        request: gr.Request,
        event: gr.EventData,
        words: Any,
        gallery: Any,
        mode: Any,
        rerank: Any,
        confirm: Any,
    ) -> Change:
        """A chip was added, removed or moved: the box says so, and the search runs again."""
        draft = self.state(request).draft
        left = changed(draft, text(words, self.app.settings, required=False), event)
        return {self.view.text: left, **self.find_typed(request, left, gallery, mode, rerank, confirm)}

    def add_pictures(self, request: gr.Request, files: Any, words: Any, *options: Any) -> Change:
        """Put uploaded pictures before the words, and search."""
        draft = self.state(request).draft
        for file in files if isinstance(files, list) else [files]:
            draft.add(picture(file, self.app.settings), self.app.settings.max_pictures)
        return self.find(request, words, *options)

    def clear(self, request: gr.Request) -> Change:
        """Empty the box and the results."""
        self.state(request).draft.fill([])
        return {self.view.text: "", **self._nothing(request, "")}

    def receive(self, sample: Sample, visitor: Any) -> tuple[str, str, Any]:
        """Take texts and pictures of another tab into the box; choose their gallery where it is named."""
        state = visitor.state.of(SearchState)
        draft, wanted, state.gallery = state.draft, state.gallery, ""
        draft.fill([])
        lines = [s.text for s in sample if not s.is_image]
        for s in sample:
            if s.is_image:
                draft.add(s.image, self.app.settings.max_pictures)
        if lines and not sample[0].is_image:
            draft.move(draft.words_at, 0)
        words = "\n".join(" ".join(line.split()) for line in lines)
        return words, chips_html(draft, parse(words)), wanted or gr.skip()

    def state(self, request: gr.Request) -> SearchState:
        return self.app.visitor(request).state.of(SearchState)

    def results(
        self, request: gr.Request, query: SearchQuery, gallery: Any, mode: Any, rerank: Any, confirm: Any
    ) -> Change:
        name = gallery_api.choice(self.app, request, gallery)
        most = MOST_RUNS if mode == "story" else MOST
        asked = SearchRequest(query, name, mode, most, bool(rerank), bool(confirm))
        result = self.service.search(self.app.visitor(request), asked)
        return {self.view.hits: results_message(result)}

    def _nothing(self, request: gr.Request, words: str) -> Change:
        state, view = self.state(request), self.view
        state.found(None)
        return {view.chips: chips_html(state.draft, parse(words)), view.hits: results_message(None)}
