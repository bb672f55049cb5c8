"""Saved searches and links on the Search tab. Both keep words, so a shared host offers neither."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from sugar.services.saved_searches import SavedSearch, SavedSearches
from sugar.ui.context import AppContext
from sugar.ui.incoming import text
from sugar.ui.text import search as words

__all__ = ["SavedForm"]

FILE = "saved-searches.json"


class SavedForm:
    """A list of saved searches with buttons to save, open and delete, and one that copies a link."""

    def __init__(self, app: AppContext, box: Any, gallery: Any, mode: Any) -> None:
        self.app, self.box, self.gallery, self.mode = app, box, gallery, mode
        self.searches = SavedSearches(app.settings.gallery_root / FILE)
        with gr.Row(visible=not app.mode.private, elem_id="search-saved", equal_height=True):
            self.names = gr.Dropdown([], label=words.SAVED, allow_custom_value=True, scale=3)
            self.save = gr.Button(words.SAVE, size="sm", min_width=110, elem_id="search-save")
            self.delete = gr.Button(words.DELETE, size="sm", min_width=80, elem_id="search-forget")
            self.link = gr.Button(words.COPY_LINK, size="sm", min_width=100, elem_id="search-link")

    def wire(self, events: Any) -> None:
        """Connect the buttons; `events.saved` puts a saved search into the box."""
        app = self.app
        if app.mode.private:
            return

        def open_saved(request: gr.Request, name: Any) -> Any:
            kept = self.searches.get(text(name, app.settings))
            return events.saved(request, kept.text, kept.gallery, kept.mode)

        app.on_load(self._choices, [], [self.names])
        asked = [self.names, self.box, self.gallery, self.mode]
        kept = self.save.click(app.guarded(self._save, uses_model=False), asked, self.names, **app.quiet)
        said = f"(name) => sugarSearch.tell('#search-save', {words.SAVED_AS!r}.replace('{{name}}', name))"
        kept.success(None, self.names, None, js=said)
        self.delete.click(app.guarded(self._delete, uses_model=False), self.names, self.names, **app.quiet)
        self.names.select(
            app.guarded(open_saved), self.names, events.view.shown, **app.on_model, api_visibility="private"
        )
        told = f"{json.dumps(words.COPIED)}, {json.dumps(words.NOT_COPIED)}"
        js = f"(...asked) => sugarSearch.copy(sugarSearch.link(...asked), {told})"
        self.link.click(None, [self.box, self.gallery, self.mode], None, js=js)
        app.on_load(self._from_link, [], [self.box, self.mode])

    def _choices(self) -> Any:
        """The names; what was typed into the field while the page loaded stays."""
        return gr.Dropdown(choices=self.searches.names())

    def _save(self, name: Any, said: Any, gallery: Any, mode: Any) -> Any:
        said = text(said, self.app.settings, required=False)
        name = text(name, self.app.settings, required=False)[:60] or said[:60]
        self.searches.keep(SavedSearch(name, said, str(gallery), str(mode)))
        return gr.Dropdown(choices=self.searches.names(), value=name)

    def _delete(self, name: Any) -> Any:
        self.searches.delete(text(name, self.app.settings, what="name"))
        return gr.Dropdown(choices=self.searches.names(), value=None)

    def _from_link(self, request: gr.Request) -> Any:
        """What the page's address asks for: ?search=words&mode=story."""
        asked = request.query_params
        said = text(asked.get("search"), self.app.settings, required=False)
        if not said:
            return gr.skip(), gr.skip()
        mode = asked.get("mode")
        return said, mode if mode in words.MODES else "pictures"
