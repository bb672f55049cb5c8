"""The Search tab: one box for words and pictures, the results beneath it, and each hit explained.

The same search is the endpoint /search. The browser's part is static/search.js.
Not covered: searching (sugar/services/search.py), the language of the box (sugar/services/query.py), how
results look (search_drawing.py, wall.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError
from sugar.images import SUFFIXES
from sugar.sequence import Sample
from sugar.services.examples import examples
from sugar.services.query import QueryPart, SearchQuery, day
from sugar.services.saved_searches import SavedSearch, SavedSearches
from sugar.services.search import MAX_HITS, SearchRequest, SearchService, SearchState
from sugar.services.visitors import Page
from sugar.ui.components import Change, GalleryChoice, example_buttons, intro, named
from sugar.ui.context import AppContext
from sugar.ui.incoming import number, picture, text
from sugar.ui.search_drawing import (
    as_json,
    changed,
    chips_html,
    example_name,
    explained,
    facts,
    help_table,
    hit_cell,
    result_cells,
    results_message,
)
from sugar.ui.text import search as words
from sugar.ui.text import wall
from sugar.ui.wall import id_of, ids_of, large_message, onward_of, picture_wall

TAB = ("search", words.TITLE)

EXAMPLES = 6
"""Buttons for examples, at most. The loaded model's profile fills them."""

MOST_RUNS, MOST_OF_ENDPOINT = 6, 48
"""Runs of a story on the page, hits of one call of the endpoint."""

MOST_SELECTED, MOST_HANDED = 5_000, 6
"""Pictures that are selected; that another tab is handed."""

SAVED_FILE = "saved-searches.json"
CHIPS_SCRIPT = "sugarSearch.chips(element, trigger)"


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    tab = SearchTab(app)
    tab.layout()
    tab.wire()
    tab.wire_hits()
    tab.wire_saved()
    tab.endpoint()


class SearchTab:
    """The components, what happens on their events, and the endpoint."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.service = SearchService(app.workspace)
        self.saved = SavedSearches(app.settings.gallery_root / SAVED_FILE)

    # -- layout

    def layout(self) -> None:
        with gr.Column(elem_id="search-tab"):
            intro(words.INTRO)
            with gr.Row(elem_id="search-examples"):
                self.examples = example_buttons("search", EXAMPLES)
            with gr.Column(elem_id="search-box"):
                self.text = gr.Textbox(
                    label=words.WORDS,
                    placeholder=words.PLACEHOLDER,
                    max_lines=6,
                    elem_id="search-words",
                )
                gr.HTML(help_table(), elem_id="search-help")
                self.chips = gr.HTML(label=words.CHIPS, js_on_load=CHIPS_SCRIPT, elem_id="search-chips")
                with gr.Row(elem_id="search-buttons"):
                    self.upload = gr.UploadButton(
                        words.ADD_PICTURE,
                        file_types=["image", *SUFFIXES],
                        file_count="multiple",
                        elem_id="search-picture",
                    )
                    self.clear_button = gr.Button(words.CLEAR, elem_id="search-clear")
                    self.go = gr.Button(words.SEARCH, variant="primary", elem_id="search-go")
            with gr.Row(equal_height=True):
                self.gallery = GalleryChoice([], label=words.GALLERY, scale=2, elem_id="search-gallery")
                self.mode = gr.Radio(
                    [(label, mode) for mode, label in words.MODES.items()],
                    value="pictures",
                    label=words.MODE,
                    info=words.MODES_HELP,
                    scale=3,
                    elem_id="search-mode",
                )
            with gr.Accordion(words.OPTIONS, open=False):
                with gr.Row():
                    self.rerank = gr.Checkbox(True, label=words.RERANK, info=words.RERANK_HELP)
                    self.confirm = gr.Checkbox(
                        False, label=words.CONFIRM, info=words.CONFIRM_HELP, elem_id="search-confirm"
                    )
                    self.scores = gr.Checkbox(False, label=words.SHOW_SCORES, elem_id="search-scores")
                self._layout_saved()
            self.hits = picture_wall(words.HITS, elem_id="hits")
            self.onward = onward_of("search")
            self.downloaded = gr.DownloadButton(
                wall.DOWNLOADED, visible="hidden", elem_id="search-downloaded"
            )
            self.live = gr.Button(visible="hidden", elem_id="search-live")  # pressed by search.js

    def _layout_saved(self) -> None:
        """Saved searches and links keep words, so a shared host offers neither."""
        with gr.Row(visible=not self.app.mode.private, elem_id="search-saved", equal_height=True):
            self.saved_name = gr.Dropdown([], label=words.SAVED, allow_custom_value=True, scale=3)
            self.save_button = gr.Button(words.SAVE, size="sm", min_width=110, elem_id="search-save")
            self.delete_button = gr.Button(words.DELETE, size="sm", min_width=80, elem_id="search-forget")
            self.link_button = gr.Button(words.COPY_LINK, size="sm", min_width=100, elem_id="search-link")

    # -- the box

    def wire(self) -> None:
        """Connect the button, Enter, a pause while typing, pictures, chips and examples."""
        app = self.app
        model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
        asked = [self.text, self.gallery, self.mode, self.rerank, self.confirm]
        self.shows = [self.text, self.chips, self.mode, self.gallery, self.hits]
        gr.on([self.go.click, self.text.submit], app.guarded(self.find), asked, self.shows, **model)
        self.live.click(
            app.guarded(self.find_typed),
            asked,
            self.shows,
            trigger_mode="always_last",
            show_progress="hidden",
            **model,
        )
        self.chips.click(app.guarded(self.press_chip), asked, self.shows, **model)
        self.upload.upload(
            app.guarded(self.add_pictures), [self.upload, *asked], [self.upload, *self.shows], **model
        )
        self.clear_button.click(app.guarded(self.clear, uses_model=False), None, self.shows, **app.quiet)
        for place, button in enumerate(self.examples):
            button.click(app.guarded(self.example(place)), self.gallery, self.shows, **model)
        app.on_model_change(self.fit_to_model, [*self.examples, self.confirm])
        app.offer_galleries(self.gallery)
        app.receive("search", self.receive, [self.text, self.chips, self.gallery])

    def find(
        self,
        request: gr.Request,
        said: str,
        gallery: str | None,
        mode: Any,
        rerank: bool = True,
        confirm: bool = False,
    ) -> Change:
        """Search for what stands in the box. Raises InputError when nothing does."""
        said = text(said, self.settings, required=False)
        draft = self.state(request).draft
        query = SearchQuery.of_text(said, pictures=draft.pictures, words_at=draft.words_at)
        # a press may come before the page has its choices
        name = gallery or self.app.last_gallery(request) or ""
        most = MOST_RUNS if mode == "story" else MAX_HITS
        asked = SearchRequest(query, name, mode, most, bool(rerank), bool(confirm))
        result = self.service.search(self.app.visitor(request), asked)
        return {self.chips: chips_html(draft, said), self.hits: results_message(result)}

    def find_typed(
        self, request: gr.Request, said: str, gallery: str | None, mode: Any, rerank: bool, confirm: bool
    ) -> Change:
        """The same while someone types. An empty box empties the results; the model confirms nothing."""
        checked = text(said, self.settings, required=False)
        if not checked and not self.state(request).draft.pictures:
            return self._nothing(request)
        return self.find(request, said, gallery, mode, rerank)

    def press_chip(self, request: gr.Request, event: gr.EventData, said: str, *options: Any) -> Change:
        """A chip was added, removed or moved: the box says so, and the search runs again."""
        draft = self.state(request).draft
        left = changed(draft, text(said, self.settings, required=False), event)
        return {self.text: left, **self.find_typed(request, left, *options)}

    def add_pictures(self, request: gr.Request, files: Any, said: str, *options: Any) -> Change:
        """Put uploaded pictures before the words, and search."""
        draft = self.state(request).draft
        for file in files if isinstance(files, list) else [files]:
            draft.add(picture(file, self.settings), self.settings.max_pictures)
        return self.find(request, said, *options)

    def clear(self, request: gr.Request) -> Change:
        """Empty the box and the results."""
        self.state(request).draft.fill([])
        return {self.text: "", **self._nothing(request)}

    def _nothing(self, request: gr.Request) -> Change:
        state = self.state(request)
        state.found(None)
        return {self.chips: chips_html(state.draft, ""), self.hits: results_message(None)}

    def receive(self, sample: Sample, page: Page) -> tuple[str, str, Any]:
        """Take texts and pictures of another tab into the box; choose their gallery where it is named."""
        state = page.state.of(SearchState)
        draft, wanted, state.gallery = state.draft, state.gallery, ""
        draft.fill([])
        lines = [s.text for s in sample if not s.is_image]
        for s in sample:
            if s.is_image:
                draft.add(s.image, self.settings.max_pictures)
        if lines and not sample[0].is_image:
            draft.move(draft.words_at, 0)
        said = "\n".join(" ".join(line.split()) for line in lines)
        return said, chips_html(draft, said), wanted or gr.skip()

    def example(self, place: int) -> Callable[[gr.Request, str | None], Change]:
        """A handler that puts an example of the loaded model into the box, and searches."""

        def show(request: gr.Request, gallery: str | None) -> Change:
            found = examples(self.app.models.peek(), "search")[place]
            self.state(request).draft.fill(found.pictures())
            shown = self.find(request, found.text, gallery, found.mode)
            return {self.text: found.text, self.mode: found.mode, **shown}

        return show

    def fit_to_model(self) -> tuple[Any, ...]:
        """The names of the model's examples, and whether its yes or no may be asked for."""
        model = self.app.models.peek()
        names = [example_name(e) for e in examples(model, "search")[:EXAMPLES]]
        allowed = model is not None and bool(model.profile.confirms)
        return (*named(names, EXAMPLES), gr.Checkbox(visible=allowed, value=False))

    def state(self, request: gr.Request) -> SearchState:
        return self.app.visitor(request).state.of(SearchState)

    # -- the results

    def wire_hits(self) -> None:
        """Connect the wall, and the hidden buttons that it presses to hand pictures on."""
        app, run = self.app, partial(self.app.guarded, uses_model=False)
        self.hits.need(run(self.need), None, self.hits, **app.quiet)
        self.hits.open(run(self.open), None, self.hits, **app.quiet)
        self.hits.act(run(self.select), None, None, **app.quiet)
        got = self.hits.download(run(self.download), None, self.downloaded, **app.quiet)
        got.success(None, None, None, js="() => sugarSearch.press('search-downloaded')")
        self.scores.change(None, self.scores, None, js="(on) => sugarSearch.scores(on)")
        for tab in ("chat", "search"):
            app.hand_over(self.onward[tab], tab, partial(self.handed, MOST_HANDED))
        app.hand_over(self.onward["ask"], "ask", partial(self.handed, 1))
        app.hand_over(self.onward["compare"], "compare", self.handed_to_compare)
        go = "() => sugarSearch.soon('search-live')"
        app.hand_over(self.onward["similar"], "search", self.similar, then=go)

    def need(self, request: gr.Request, event: gr.EventData) -> str:
        result = self.state(request).shown()
        return result_cells(self.app.gallery(request, result.request.gallery), result, ids_of(event))

    def open(self, request: gr.Request, event: gr.EventData) -> str:
        place, result = id_of(event), self.state(request).shown()
        explanation = self.service.open(self.app.visitor(request), place)
        _, item = result.shown[place]
        gallery = self.app.gallery(request, result.request.gallery)
        cell = hit_cell(result, place, gallery.item(item))
        return large_message(
            result.key, cell, gallery.picture(item), facts(explanation), explained(explanation)
        )

    def select(self, request: gr.Request, event: gr.EventData) -> None:
        self.state(request).selected = ids_of(event, MOST_SELECTED)

    def download(self, request: gr.Request, event: gr.EventData) -> str:
        return self.service.download(self.app.visitor(request), ids_of(event, MOST_SELECTED))

    def handed(self, most: int, request: gr.Request) -> list[Image.Image]:
        return self.service.chosen(self.app.visitor(request), most)

    def handed_to_compare(self, request: gr.Request) -> list[str | Image.Image]:
        return self.service.chosen_to_compare(self.app.visitor(request))

    def similar(self, request: gr.Request) -> list[Image.Image]:
        return [self.service.similar(self.app.visitor(request))]

    # -- saved searches and links

    def wire_saved(self) -> None:
        app = self.app
        if app.mode.private:
            return
        run = partial(app.guarded, uses_model=False)
        app.on_load(self._names, [], [self.saved_name])
        asked = [self.saved_name, self.text, self.gallery, self.mode]
        kept = self.save_button.click(run(self.save), asked, self.saved_name, **app.quiet)
        said = f"(name) => sugarSearch.tell('#search-save', {words.SAVED_AS!r}.replace('{{name}}', name))"
        kept.success(None, self.saved_name, None, js=said)
        self.delete_button.click(run(self.delete), self.saved_name, self.saved_name, **app.quiet)
        self.saved_name.select(
            app.guarded(self.open_saved),
            self.saved_name,
            self.shows,
            **app.on_model,
            api_visibility="private",
        )
        told = f"{json.dumps(words.COPIED)}, {json.dumps(words.NOT_COPIED)}"
        js = f"(...asked) => sugarSearch.copy(sugarSearch.link(...asked), {told})"
        self.link_button.click(None, [self.text, self.gallery, self.mode], None, js=js)
        app.on_load(self.follow_link, [], [self.text, self.mode])

    def _names(self) -> gr.Dropdown:
        """The names; what was typed into the field while the page loaded stays."""
        return gr.Dropdown(choices=self.saved.names())

    def save(self, name: str | None, said: str, gallery: str, mode: str) -> gr.Dropdown:
        said = text(said, self.settings, required=False)
        name = text(name, self.settings, required=False)[:60] or said[:60]
        self.saved.keep(SavedSearch(name, said, str(gallery), str(mode)))
        return gr.Dropdown(choices=self.saved.names(), value=name)

    def delete(self, name: str | None) -> gr.Dropdown:
        self.saved.delete(text(name, self.settings, what="name"))
        return gr.Dropdown(choices=self.saved.names(), value=None)

    def open_saved(self, request: gr.Request, name: str | None) -> Change:
        """Put a saved search into the box, and search."""
        kept = self.saved.get(text(name, self.settings))
        self.state(request).draft.fill([])
        shown = self.find(request, kept.text, kept.gallery, kept.mode)
        return {self.text: kept.text, self.gallery: kept.gallery, self.mode: kept.mode, **shown}

    def follow_link(self, request: gr.Request) -> tuple[Any, Any]:
        """What the page's address asks for: ?search=words&mode=story."""
        asked = request.query_params
        said = text(asked.get("search"), self.settings, required=False)
        if not said:
            return gr.skip(), gr.skip()
        mode = asked.get("mode")
        return said, mode if mode in words.MODES else "pictures"

    # -- the endpoint

    def endpoint(self) -> None:
        app, settings = self.app, self.settings

        def search(
            request: gr.Request,
            query: Any,
            gallery: str = "sample",
            mode: str = "pictures",
            k: int = 12,
            rerank: bool = True,
            confirm: bool = False,
            after: str = "",
            before: str = "",
            name: str = "",
            caption: str = "",
            min_side: int = 0,
            thumbnails: bool = False,
        ) -> dict[str, Any]:
            """Search a gallery. query: a text in the language of the search box, or a list of {"text": ...}
            and {"picture": file} with an optional "weight", in order. mode: pictures, story (runs of
            pictures) or positions (hits for every part). confirm: the model's own yes or no orders the first
            six, where it can judge such a query. after, before: days as 2025-01-31. thumbnails: each picture
            as a data URI."""
            asked = self._query_of(query)
            conditions = replace(
                asked.conditions,
                after=day(after, "after") or asked.conditions.after,
                before=day(before, "before") or asked.conditions.before,
                name=text(name, settings, required=False) or asked.conditions.name,
                caption=text(caption, settings, required=False) or asked.conditions.caption,
                min_side=int(number(min_side or 0, 0, 1e6, "The shorter side")) or asked.conditions.min_side,
            )
            most = int(number(k, 1, MOST_OF_ENDPOINT, "The number of hits"))
            wanted = replace(asked, conditions=conditions)
            checked: Any = mode  # SearchRequest refuses an unknown one
            result = self.service.search(
                app.visitor(request),
                SearchRequest(wanted, gallery, checked, most, bool(rerank), bool(confirm)),
            )
            opened = app.gallery(request, gallery)
            return {
                "mode": mode,
                "gallery": gallery,
                "groups": [[as_json(h, opened, thumbnails) for h in group] for group in result.groups],
                "unknown_words": list(result.unknown_words),
                "unread": list(result.request.query.unread),
                "close": result.close,
                "confirmed": result.confirmed,
                "without_vectors": result.without_vectors,
            }

        gr.api(app.guarded(search), api_name="search", **app.on_model)

    def _query_of(self, query: Any) -> SearchQuery:
        """A program's query: a text, a part, or a list of parts. Raises InputError."""
        if isinstance(query, str):
            return SearchQuery.of_text(text(query, self.settings))
        given, most = [query] if isinstance(query, dict) else query, self.settings.max_pictures
        if not isinstance(given, list) or not 1 <= len(given) <= most:
            raise InputError(
                f'A query is a list of 1 to {most} parts, each {{"text": ...}} or {{"picture": file}}, with '
                'an optional "weight".'
            )
        return SearchQuery(tuple(self._part(part) for part in given))

    def _part(self, given: Any) -> QueryPart:
        part = {"text": given} if isinstance(given, str) else given
        known = isinstance(part, dict) and not set(part) - {"text", "picture", "weight"}
        if not known or ("text" in part) == ("picture" in part):
            raise InputError(
                'A part of a query is {"text": ...} or {"picture": file}, with an optional "weight".'
            )
        content: str | Image.Image
        if "text" in part:
            content = text(part["text"], self.settings)
        else:
            content = picture(part["picture"], self.settings)
        return QueryPart(content, number(part.get("weight", 1), -5, 5, "A weight"))
