"""The tab Photos: a search box over the wall of a gallery, and all that is done with the gallery.

Empty, the wall shows everything by date; words and pictures in the box filter it; one selection serves both.
What is chosen or dropped arrives a part at a time (static/adding.js), so that a folder of thousands can be
sent; the last part begins one job for all. Jobs are looked at once a second while the page is open.
Not covered: what is done (sugar/services/gallery.py, search.py, teach.py), how it looks (photos_drawing.py,
search_box.py, wall.py), the same for programs (photos_api.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError, SugarError
from sugar.images import SUFFIXES
from sugar.paths import existing, missing, shown
from sugar.sequence import Sample
from sugar.services.examples import examples
from sugar.services.galleries import SAMPLE
from sugar.services.gallery import AddRequest, GalleryService, GalleryState, Listing
from sugar.services.jobs import Job, JobState
from sugar.services.query import SearchQuery
from sugar.services.saved_searches import SavedSearch, SavedSearches
from sugar.services.search import (
    MAX_HITS,
    SearchRequest,
    SearchResult,
    SearchService,
    SearchState,
    item_of,
)
from sugar.services.teach import TeachRequest, TeachService
from sugar.services.visitors import Page
from sugar.services.watching import Watched
from sugar.ui.components import Change, GalleryChoice, PictureInput, clickable, escape, example_buttons, named
from sugar.ui.context import AppContext
from sugar.ui.incoming import picture, text
from sugar.ui.photos_api import add_galleries, add_search
from sugar.ui.photos_drawing import (
    AGAIN,
    SEEN,
    alike_sections,
    cells_of,
    explained,
    hit_cell,
    item_cell,
    jobs_html,
    listing_notes,
    months,
    notes_of,
    report_table,
    result_cells,
    result_sections,
    watched_html,
)
from sugar.ui.search_box import changed, chips_html, example_name, filters_html
from sugar.ui.text import gallery as words
from sugar.ui.text import search as search_words
from sugar.ui.text import teach, wall
from sugar.ui.wall import (
    id_of,
    ids_of,
    large_message,
    listing_message,
    onward_buttons,
    picture_wall,
    why_message,
)

TAB = ("photos", words.TITLE)

EXAMPLES = 6
"""Buttons for examples, at most. The loaded model's profile fills them."""

CAPTIONS = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".xmp")
"""Texts that come with pictures."""

MOST_FILES, MOST_SENT, MOST_SELECTED = 1_000, 50_000, 2_000_000
"""Files of one call of an endpoint, of one upload of the page; pictures that are selected."""

MOST_RUNS, MOST_HANDED = 6, 6
"""Runs of a story on the page; pictures that another tab is handed."""

SAVED_FILE = "saved-searches.json"
CHIPS_SCRIPT = "sugarSearch.chips(element, trigger)"
SEARCH_NOW = "() => sugarSearch.soon('search-live')"
PRESS_DOWNLOAD = "() => document.querySelector('#gallery-downloaded').click()"


@dataclass
class OnPage:
    """What one page keeps between two events.

    sent: uploads that wait for the last part. followed: how many pictures watched folders had brought and
    taken when the page was drawn last. reports: what came of the last work on a gallery, by its name.
    """

    sent: list[str] = field(default_factory=list)
    followed: int = 0
    reports: dict[str, str] = field(default_factory=dict)


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    tab = PhotosTab(app)
    tab.layout()
    tab.wire_box()
    tab.wire_wall()
    tab.wire_gallery()
    tab.wire_saved()
    add_search(app, tab.searching)
    add_galleries(app, tab.service, tab._create, tab._add, tab._import)


class PhotosTab:
    """The components, and what happens on their events."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.jobs, self.timer = app.tray, app.tray_timer
        self.service = GalleryService(app.workspace, app.jobs)
        self.searching = SearchService(app.workspace)
        self.teaching = TeachService(app.workspace, app.jobs, app.mode)
        self.saved = SavedSearches(app.settings.gallery_root / SAVED_FILE)

    # -- layout

    def layout(self) -> None:
        with gr.Column(elem_id="photos"):
            self._layout_box()
            self._layout_bar()
            self._layout_bin()
            self._layout_more()
            self._layout_expert()
            self._layout_new()
            self.watched = clickable(words.WATCHED, elem_id="gallery-watched")
            self.report = gr.HTML(label=words.REPORT, elem_id="gallery-report")
            self.reindex_button = gr.Button(
                words.REINDEX, size="sm", visible=False, elem_id="gallery-reindex"
            )
            self.wall = picture_wall(words.PICTURES, elem_id="wall")
            self.onward = onward_buttons()
            self.downloaded = gr.DownloadButton(
                wall.DOWNLOADED, visible="hidden", elem_id="gallery-downloaded"
            )
            self.live = gr.Button(visible="hidden", elem_id="search-live")  # pressed by search.js
            self.add_button = gr.Button(words.ADD, visible="hidden", elem_id="gallery-add")  # by adding.js

    def _layout_box(self) -> None:
        with gr.Row(elem_id="search-box"):
            self.text = gr.Textbox(
                label=search_words.WORDS,
                placeholder=search_words.PLACEHOLDER,
                container=False,
                max_lines=6,
                scale=4,
                elem_id="search-words",
            )
            self.clear_button = gr.Button(search_words.CLEAR, size="sm", elem_id="search-clear")
            self.upload = gr.UploadButton(
                search_words.ADD_PICTURE,
                file_types=["image", *SUFFIXES],
                file_count="multiple",
                size="sm",
                elem_id="search-picture",
            )
            self.mode = gr.Radio(
                [(label, mode) for mode, label in search_words.MODES.items()],
                value="pictures",
                label=search_words.MODE,
                container=False,
                elem_id="search-mode",
            )
            self.filters = gr.HTML(
                filters_html(), label=search_words.FILTERS, js_on_load=CHIPS_SCRIPT, elem_id="search-filters"
            )
        told = search_words.MODES_HELP.items()
        lines = "".join(f'<p class="sugar-hint" data-mode="{mode}">{line}</p>' for mode, line in told)
        gr.HTML(lines, elem_id="search-modes")
        with gr.Row(elem_id="search-examples"):
            self.examples = example_buttons("search", EXAMPLES)
        self.chips = gr.HTML(label=search_words.CHIPS, js_on_load=CHIPS_SCRIPT, elem_id="search-chips")

    def _layout_bar(self) -> None:
        """The one slim bar. What the wall adds to it for selected pictures stands in #wall-bar."""
        shared = self.app.mode.private

        def fold(label: str, name: str, **more: Any) -> gr.Button:
            button = gr.Button(label, size="sm", elem_id=f"photos-{name}-open", **more)
            button.click(None, None, None, js=f"() => sugarPhotos.fold('{name}')")
            return button

        with gr.Row(elem_id="photos-bar"):
            self.chosen = GalleryChoice([], label=words.CHOICE, container=False, elem_id="gallery-name")
            new = gr.Button(words.NEW, size="sm", visible=not shared, elem_id="gallery-new-open")
            new.click(None, None, None, js="() => sugarPhotos.dialog('gallery-new')")
            self.files = gr.UploadButton(
                words.ADD,
                file_count="multiple",
                file_types=["image", *SUFFIXES, ".zip", *CAPTIONS],
                variant="primary",
                size="sm",
                elem_id="gallery-files",
            )
            gr.HTML(elem_id="wall-bar")
            self.alike_button = gr.Button(words.ALIKE, size="sm", elem_id="gallery-alike")
            self.bin_button = fold(words.BIN, "bin", visible=False)
            fold(words.MORE, "more")
            fold(search_words.EXPERT, "expert")
            gr.HTML(
                '<p class="sugar-hint" role="status"></p><p id="wall-size" class="sugar-size"></p>',
                elem_id="gallery-sending",
            )

    def _layout_bin(self) -> None:
        with gr.Row(elem_id="photos-bin", elem_classes="sugar-fold"):
            self.restore_button = gr.Button(words.RESTORE, size="sm", elem_id="gallery-restore")
            self.empty_button = gr.Button(
                words.EMPTY_BIN, size="sm", variant="stop", elem_id="gallery-empty-bin"
            )
            gr.Markdown(words.BIN_HELP.format(days=self.settings.bin_days))

    def _layout_more(self) -> None:
        folders = self.app.mode.folders
        with gr.Column(elem_id="photos-more", elem_classes="sugar-fold"):
            gr.Markdown(words.PRIVACY_SHARED if self.app.mode.private else words.PRIVACY)
            with gr.Row():
                orders = [(label, order) for order, label in words.ORDERS.items()]
                self.order = gr.Dropdown(orders, value="newest", label=words.ORDER, elem_id="gallery-order")
                self.captions_button = gr.Button(words.CAPTIONS, size="sm", elem_id="gallery-captions")
                self.forget_button = gr.Button(
                    words.FORGET_CAPTIONS, size="sm", elem_id="gallery-forget-captions"
                )
            with gr.Row():
                self.export_button = gr.Button(words.EXPORT, size="sm", elem_id="gallery-export")
                self.exported = gr.DownloadButton(
                    words.EXPORTED, visible="hidden", elem_id="gallery-exported"
                )
                self.export_places = gr.Checkbox(
                    False, label=words.EXPORT_PLACES, container=False, elem_id="gallery-export-places"
                )
                self.export_sidecars = gr.Checkbox(
                    False, label=words.EXPORT_SIDECARS, container=False, elem_id="gallery-export-sidecars"
                )
            with gr.Row(visible=folders):
                self.folder = gr.Textbox(
                    label=words.FOLDER, placeholder=words.FOLDER_EXAMPLE, scale=3, elem_id="gallery-folder"
                )
                self.add_folder_button = gr.Button(words.ADD_FOLDER, size="sm", elem_id="gallery-add-folder")
                self.watch_button = gr.Button(words.WATCH, size="sm", elem_id="gallery-watch")
            with gr.Row():
                self.sure = gr.Checkbox(False, label=words.SURE, container=False, elem_id="gallery-sure")
                self.remove_button = gr.Button(
                    words.REMOVE, size="sm", variant="stop", elem_id="gallery-remove"
                )
            with gr.Accordion(words.CAMERA, open=False):
                self.camera = PictureInput(
                    label=words.CAMERA, sources=["webcam"], height=280, elem_id="gallery-camera", buttons=[]
                )
            with gr.Accordion(
                teach.TITLE, open=False, visible=self.app.mode.one_person, elem_id="gallery-teach"
            ):
                gr.HTML(teach.ABOUT, elem_classes="sugar-stats")
                self.teach_button = gr.Button(
                    teach.START, size="sm", variant="primary", elem_id="gallery-teach-start"
                )

    def _layout_expert(self) -> None:
        with gr.Column(elem_id="photos-expert", elem_classes="sugar-fold"):
            with gr.Row():
                self.rerank = gr.Checkbox(True, label=search_words.RERANK, info=search_words.RERANK_HELP)
                self.confirm = gr.Checkbox(
                    False,
                    label=search_words.CONFIRM,
                    info=search_words.CONFIRM_HELP,
                    elem_id="search-confirm",
                )
                self.scores = gr.Checkbox(False, label=search_words.SHOW_SCORES, elem_id="search-scores")
            # saved searches and links keep words, so a shared host offers neither
            with gr.Row(visible=not self.app.mode.private, elem_id="search-saved", equal_height=True):
                self.saved_name = gr.Dropdown([], label=search_words.SAVED, allow_custom_value=True, scale=3)
                self.save_button = gr.Button(search_words.SAVE, size="sm", elem_id="search-save")
                self.delete_button = gr.Button(search_words.DELETE, size="sm", elem_id="search-forget")
                self.link_button = gr.Button(search_words.COPY_LINK, size="sm", elem_id="search-link")

    def _layout_new(self) -> None:
        """The dialog "New gallery": an empty one, or one from an export."""
        private, folders = self.app.mode.private, self.app.mode.folders
        with gr.Column(elem_id="gallery-new", elem_classes="sugar-dialog"):
            self.name = gr.Textbox(
                label=words.NAME, placeholder=words.NEW_EXAMPLE, elem_id="gallery-new-name"
            )
            self.places = gr.Checkbox(
                False, label=words.PLACES, info=words.PLACES_HELP, container=False, elem_id="gallery-places"
            )
            self.create_button = gr.Button(words.CREATE, variant="primary", elem_id="gallery-create")
            self.archive = gr.UploadButton(
                words.IMPORT, file_types=[".zip"], visible=not private, size="sm", elem_id="gallery-import"
            )
            with gr.Row(visible=folders):
                self.archive_path = gr.Textbox(
                    label=words.IMPORT_PATH,
                    placeholder=words.IMPORT_PATH_EXAMPLE,
                    scale=2,
                    elem_id="gallery-archive",
                )
                self.import_path_button = gr.Button(
                    words.IMPORT_FROM, size="sm", elem_id="gallery-import-from"
                )

    # -- the box

    def wire_box(self) -> None:
        """Connect Enter, a pause while typing, pictures, chips, filters, the mode and examples."""
        app = self.app
        model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
        asked = [self.text, self.chosen, self.mode, self.rerank, self.confirm]
        self.finds = [self.text, self.chips, self.mode, self.wall]
        self.text.submit(app.guarded(self.find), asked, self.finds, **model)
        self.live.click(
            app.guarded(self.find_typed),
            asked,
            self.finds,
            trigger_mode="always_last",
            show_progress="hidden",
            **model,
        )
        gr.on(
            [self.chips.click, self.filters.click], app.guarded(self.press_chip), asked, self.finds, **model
        )
        self.upload.upload(
            app.guarded(self.add_pictures), [self.upload, *asked], [self.upload, *self.finds], **model
        )
        self.clear_button.click(app.guarded(self.clear, uses_model=False), None, self.finds, **app.quiet)
        self.mode.input(None, None, None, js="() => sugarSearch.again()")
        for place, button in enumerate(self.examples):
            button.click(app.guarded(self.example(place)), self.chosen, self.finds, **model)
        app.on_model_change(self.fit_to_model, [*self.examples, self.confirm])
        app.receive("photos", self.receive, [self.text, self.chips], then=SEARCH_NOW)
        similar = [self.chosen, self.rerank, self.confirm]
        self.onward["similar"].click(app.guarded(self.similar), similar, self.finds, **model)
        self.scores.change(None, self.scores, None, js="(on) => sugarSearch.scores(on)")

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
        page = self.app.visitor(request)
        # a press may come before the page has its choices
        name = gallery or self.service.shown(page)
        if name != self.service.shown(page):
            self.service.show(page, name)
        self.searching.follow_link(page, name)
        draft = page.state.of(SearchState).draft
        query = SearchQuery.of_text(said, pictures=draft.pictures, words_at=draft.words_at)
        most = MOST_RUNS if mode == "story" else MAX_HITS
        asked = SearchRequest(query, name, mode, most, bool(rerank), bool(confirm))
        result = self.searching.search(page, asked)
        return {self.chips: chips_html(draft, said), self.wall: self._found(page, result)}

    def find_typed(
        self, request: gr.Request, said: str, gallery: str | None, mode: Any, rerank: bool, confirm: bool
    ) -> Change:
        """The same while someone types. An empty box shows everything; the model confirms nothing."""
        checked = text(said, self.settings, required=False)
        state = self.state(request)
        if not checked and not state.draft.pictures and state.linked is None:
            return self._everything(request)
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

    def similar(self, request: gr.Request, gallery: str | None, rerank: bool, confirm: bool) -> Change:
        """Search with the selected pictures, else with the open one."""
        page = self.app.visitor(request)
        chosen = self.service.pictures(page, self.service.chosen(page)[: self.settings.max_pictures - 1])
        self.state(request).draft.fill(chosen)
        shown = self.find(request, "", gallery, "pictures", rerank, confirm)
        return {self.text: "", self.mode: "pictures", **shown}

    def clear(self, request: gr.Request) -> Change:
        """Empty the box: the wall shows everything again."""
        state = self.state(request)
        state.linked = None
        state.draft.fill([])
        return {self.text: "", **self._everything(request)}

    def _everything(self, request: gr.Request) -> Change:
        page, state = self.app.visitor(request), self.state(request)
        state.result = None
        return {
            self.chips: chips_html(state.draft, ""),
            self.wall: self._all(page, self.service.listing(page)),
        }

    def receive(self, sample: Sample, page: Page) -> tuple[str, str]:
        """Take texts and pictures of another tab into the box."""
        draft = page.state.of(SearchState).draft
        draft.fill([])
        lines = [s.text for s in sample if not s.is_image]
        for s in sample:
            if s.is_image:
                draft.add(s.image, self.settings.max_pictures)
        if lines and not sample[0].is_image:
            draft.move(draft.words_at, 0)
        said = "\n".join(" ".join(line.split()) for line in lines)
        return said, chips_html(draft, said)

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

    # -- saved searches and links

    def wire_saved(self) -> None:
        app = self.app
        if app.mode.private:
            return
        run = partial(app.guarded, uses_model=False)
        app.on_load(self._names, [], [self.saved_name])
        asked = [self.saved_name, self.text, self.chosen, self.mode]
        kept = self.save_button.click(run(self.save), asked, self.saved_name, **app.quiet)
        said = (
            f"(name) => sugarSearch.tell('#search-save', {search_words.SAVED_AS!r}.replace('{{name}}', name))"
        )
        kept.success(None, self.saved_name, None, js=said)
        self.delete_button.click(run(self.delete), self.saved_name, self.saved_name, **app.quiet)
        self.saved_name.select(
            app.guarded(self.open_saved),
            self.saved_name,
            [*self.finds, self.chosen],
            **app.on_model,
            api_visibility="private",
        )
        told = f"{json.dumps(search_words.COPIED)}, {json.dumps(search_words.NOT_COPIED)}"
        js = f"(...asked) => sugarSearch.copy(sugarSearch.link(...asked), {told})"
        self.link_button.click(None, [self.text, self.chosen, self.mode], None, js=js)
        app.on_load(self.follow_link, [], [self.text, self.mode, self.chips])

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
        return {self.text: kept.text, self.chosen: kept.gallery, self.mode: kept.mode, **shown}

    def follow_link(self, request: gr.Request) -> tuple[Any, Any, Any]:
        """What the page's address asks for: ?search=words&with=pictures&at=1&mode=story.

        Its gallery is chosen by `AppContext.last_gallery`. The pictures come with the first search.
        """
        asked = request.query_params
        said = text(asked.get("search"), self.settings, required=False)
        wanted = [w for w in asked.get("with", "").split(",") if w][: self.settings.max_pictures - 1]
        if not said and not wanted:
            return gr.skip(), gr.skip(), gr.skip()
        before, state = asked.get("at", ""), self.state(request)
        state.linked = (wanted, int(before) if before.isdecimal() and len(before) < 3 else len(wanted))
        mode = asked.get("mode")
        kind = mode if mode in search_words.MODES else "pictures"
        return said, kind, chips_html(state.draft, "", linked=True)

    # -- the wall

    def wire_wall(self) -> None:
        """Connect the wall, and the hidden buttons that it presses to hand pictures on."""
        app, run = self.app, partial(self.app.guarded, uses_model=False)
        # what a change of the gallery may change on the page
        self.shows = [
            self.wall,
            self.reindex_button,
            self.bin_button,
            self.jobs,
            self.watched,
            self.timer,
            self.report,
        ]
        plain: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        for event in (self.chosen.change, self.order.input):
            looked = event(run(self.choose), [self.chosen, self.order], self.shows, **plain)
            looked.success(None, None, None, js="() => sugarSearch.again()")
        self.wall.need(run(self.need), None, self.wall, **app.quiet)
        self.wall.open(run(self.open), None, self.wall, **app.quiet)
        self.wall.why(app.guarded(self.why), None, self.wall, **app.on_model, **plain)
        # "multiple": no act may be lost while another one runs
        self.wall.act(app.guarded(self.act), None, self.shows, trigger_mode="multiple", **plain)
        got = self.wall.download(
            run(self.download), None, self.downloaded, trigger_mode="multiple", **app.quiet
        )
        got.success(None, None, None, js=PRESS_DOWNLOAD)
        app.hand_over(self.onward["chat"], "chat", partial(self.handed, MOST_HANDED))
        app.hand_over(self.onward["ask"], "ask", partial(self.handed, 1))
        app.hand_over(self.onward["compare"], "compare", self.handed_to_compare)

    def shown(self, request: gr.Request, stale: Sequence[int] | None = ()) -> Change:
        """The gallery as it is now. stale: the pictures whose cells changed, None for all."""
        page = self.app.visitor(request)
        listing = self.service.listing(page)
        states, watched = self.service.running(page), self.app.watching.of(listing.name)
        kept = page.state.of(OnPage)
        kept.followed = _followed(watched)
        result = self._result(page)
        seen = self._all(page, listing, stale) if result is None else self._found(page, result, stale)
        return {
            self.wall: seen,
            self.reindex_button: gr.Button(visible=bool(listing.pending) and not listing.read_only),
            self.bin_button: gr.Button(words.BIN.format(n=listing.binned), visible=bool(listing.binned)),
            self.jobs: jobs_html(states),
            self.watched: watched_html(watched),
            self.timer: _timer(states, watched),
            self.report: kept.reports.get(listing.name, ""),
        }

    def _result(self, page: Page) -> SearchResult | None:
        """What was found in the gallery that is shown; None where all of it is shown."""
        result = page.state.of(SearchState).result
        return result if result is not None and result.request.gallery == self.service.shown(page) else None

    def _all(self, page: Page, listing: Listing, stale: Sequence[int] | None = ()) -> str:
        """The whole gallery, or its near-duplicates."""
        given = self._offered(page, listing.name, listing.read_only, listing.leaving, stale)
        if page.state.of(GalleryState).alike:
            sections = alike_sections(self.service.near_duplicates(page))
            said = words.SAME if sections else words.NO_SAME
            notes = [("sugar-count", said)]
            return listing_message(_alike(listing.name), sections, listing.shapes, notes=notes, **given)
        return listing_message(
            listing.name,
            months(listing),
            listing.shapes,
            order=listing.order,
            dated=listing.order != "name",
            notes=listing_notes(listing),
            **given,
        )

    def _found(self, page: Page, result: SearchResult, stale: Sequence[int] | None = ()) -> str:
        """What a search found."""
        name = result.request.gallery
        gallery = self.app.workspace.gallery(page, name)
        shapes = gallery.shapes([item_of(n) for n in result.shown])
        sections = result_sections(result, shapes)
        if stale:
            stale = [n for n in result.shown if item_of(n) in set(stale)]
        given = self._offered(page, name, gallery.read_only, self.service.leaving(page), stale)
        given["can"] = (*given["can"], "explain")
        by_number = {n: shapes.get(item_of(n), 1.0) for n in result.shown}
        return listing_message(result.key, sections, by_number, notes=notes_of(result, sections), **given)

    def _offered(
        self, page: Page, name: str, read_only: bool, leaving: int, stale: Sequence[int] | None
    ) -> dict[str, Any]:
        """What may be done with the pictures of a gallery, whichever of them are shown."""
        return {
            "gallery": "" if self.app.mode.private else name,
            "can": ("select", "download") if read_only else ("select", "download", "edit"),
            "targets": self.service.targets(page),
            "leaving": leaving,
            "stale": stale,
        }

    def choose(self, request: gr.Request, name: str | None, order: str) -> Change:
        if order not in words.ORDERS:
            raise InputError(f"{order!r} is not an order.")
        if name:
            page = self.app.visitor(request)
            page.state.of(SearchState).result = None
            self.service.show(page, name, order=order)
        return self.shown(request)

    def need(self, request: gr.Request, event: gr.EventData) -> str:
        page, numbers = self.app.visitor(request), ids_of(event)
        result, name = self._result(page), self.service.shown(page)
        if result is not None:
            return result_cells(self.app.gallery(request, name), result, numbers)
        alike = page.state.of(GalleryState).alike
        return cells_of(_alike(name) if alike else name, self.service.cells(page, numbers), sizes=alike)

    def open(self, request: gr.Request, event: gr.EventData) -> str:
        page, number = self.app.visitor(request), id_of(event)
        result = self._result(page)
        item, image = self.service.open(page, item_of(number))
        if result is not None and number in result.shown:
            return large_message(result.key, hit_cell(result, number, item), image)
        alike, name = page.state.of(GalleryState).alike, self.service.shown(page)
        return large_message(_alike(name) if alike else name, item_cell(item, sizes=alike), image)

    def why(self, request: gr.Request, event: gr.EventData) -> str:
        """Why the open picture was found."""
        page, number = self.app.visitor(request), id_of(event)
        explanation = self.searching.explain(page, number)
        result = self._result(page)
        return why_message(result.key if result else "", number, explained(explanation))

    def download(self, request: gr.Request, event: gr.EventData) -> str:
        return self.service.download(self.app.visitor(request), _items(ids_of(event, MOST_SELECTED)))

    def alike(self, request: gr.Request) -> Change:
        """Show the near-duplicates, or everything again."""
        page = self.app.visitor(request)
        state = page.state.of(GalleryState)
        state.alike = not state.alike
        self.state(request).draft.fill([])
        everything = words.EVERYTHING if state.alike else words.ALIKE
        return {self.text: "", self.alike_button: gr.Button(everything), **self._everything(request)}

    def handed(self, most: int, request: gr.Request) -> list[Image.Image]:
        """The selected pictures, else the open one, for another tab."""
        page = self.app.visitor(request)
        return self.service.pictures(page, self.service.chosen(page)[:most])

    def handed_to_compare(self, request: gr.Request) -> list[str | Image.Image]:
        """The same for Tell apart, with the words; beside a single one the next on the wall."""
        page = self.app.visitor(request)
        chosen, result = self.service.chosen(page)[:MOST_HANDED], self._result(page)
        if len(chosen) == 1:
            shown = self.service.listing(page).months if result is None else [("", tuple(result.shown))]
            order = _items([n for _, ids in shown for n in ids])
            at = order.index(chosen[0]) if chosen[0] in order else 0
            chosen += (order[at + 1 :] + order[:at][::-1])[:1]
        said = result.request.query.texts[:6] if result is not None else []
        return [*self.service.pictures(page, chosen), *said]

    # -- the gallery

    def wire_gallery(self) -> None:
        """Connect what makes, fills, changes and removes a gallery."""
        app, quiet, run = self.app, self.app.quiet, partial(self.app.guarded, uses_model=False)
        plain: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        close = "() => sugarPhotos.close()"
        part = self.files.upload(run(self.collect), self.files, self.files, **quiet)
        part.success(None, None, None, js="() => sugarAdding.next()")
        part.failure(None, None, None, js="() => sugarAdding.stop()")
        elsewhere = [*self.shows, self.chosen]  # the sample is for reading: what is added goes elsewhere
        handler: Callable[..., Any]
        for event, handler, given in (
            (self.add_button.click, self.add, None),
            (self.camera.change, self.snap, self.camera),
            (self.add_folder_button.click, self.add_folder, self.folder),
            (self.watch_button.click, self.watch, self.folder),
        ):
            also = [given] if given is not None else []
            began = event(app.guarded(handler), [self.chosen, *also], [*elsewhere, *also], **plain)
            app.galleries_changed(began)
        self.watched.click(run(self.unwatch), self.chosen, self.shows, **plain)

        seen = self.timer.tick(run(self.tick), None, [*elsewhere, self.exported], **quiet)
        seen.success(None, None, None, js="() => sugarSave('gallery-exported')")
        self.jobs.click(run(self.cancel), None, [self.jobs, self.timer], **quiet)
        self.reindex_button.click(app.guarded(self.reindex), self.chosen, self.shows, **plain)
        self.restore_button.click(run(self.restore), None, self.shows, **plain)
        self.empty_button.click(run(self.empty_bin), None, self.shows, **plain)
        self.captions_button.click(app.guarded(self.write_captions), self.chosen, self.shows, **plain)
        self.teach_button.click(app.guarded(self.teach), self.chosen, self.shows, **plain)
        self.forget_button.click(run(self.forget_captions), None, self.shows, **plain)
        self.alike_button.click(
            run(self.alike), None, [self.alike_button, *self.finds], api_visibility="private"
        )
        given = [self.chosen, self.export_places, self.export_sidecars]
        self.export_button.click(run(self.export), given, self.shows, **plain)
        named = [*self.shows, self.name]
        for event, handler, given in (
            (self.archive.upload, self.import_upload, self.archive),
            (self.import_path_button.click, self.import_path, self.archive_path),
        ):
            came = event(app.guarded(handler), [self.name, given, self.places], named, **plain)
            came.success(None, None, None, js=close)
        made = gr.on(
            [self.create_button.click, self.name.submit],
            app.guarded(self.create),
            [self.name, self.places],
            [*elsewhere, self.name],
            **plain,
        )
        made.success(None, None, None, js=close)
        removed = self.remove_button.click(
            run(self.remove), [self.chosen, self.sure], [*elsewhere, self.sure], **plain
        )
        for event in (made, removed):
            app.galleries_changed(event)
        app.offer_galleries(self.chosen)

    # -- changing

    def act(self, request: gr.Request, event: gr.EventData) -> Change:
        """What the wall asks for: select, favourite, move, delete, undo, caption, rename."""
        page, what = self.app.visitor(request), getattr(event, "what", "")
        ids = _items(ids_of(event, MOST_SELECTED))
        page.state.of(GalleryState).selected = ids if what == "select" else []
        if what == "select":
            return {self.report: gr.skip()}
        if what in ("favourite", "unfavourite"):
            self.service.set_favourite(page, ids, what == "favourite")
        elif what == "move":
            self.service.move(page, ids, str(getattr(event, "text", "")))
        elif what in ("later", "delete"):
            self.service.delete(page, ids, at_once=what == "delete")
        elif what == "undo":
            if not self.service.undo(page):
                gr.Warning(words.TOO_LATE)
        elif what == "finish":
            self.service.finish(page)
        elif what in ("caption", "rename") and len(ids) == 1:
            given = text(getattr(event, "text", ""), self.settings, what=what, required=what == "rename")
            change = self.service.set_caption if what == "caption" else self.service.rename
            change(page, ids[0], given)
        else:
            raise InputError("The page asked for something that is not offered.")
        return self.shown(request, stale=ids)

    def restore(self, request: gr.Request) -> Change:
        self.service.restore(self.app.visitor(request))
        return self.shown(request)

    def empty_bin(self, request: gr.Request) -> Change:
        self.service.empty_bin(self.app.visitor(request))
        return self.shown(request)

    def create(self, request: gr.Request, name: str, places: bool) -> Change:
        made = self._create(request, name, keep_location=places is True)
        return {**self.shown(request), **self._chosen(request, made), self.name: ""}

    def _create(self, request: gr.Request, name: str, *, keep_location: bool = False) -> str:
        plain = text(name, self.settings, what="name of the new gallery")
        return self.service.create(self.app.visitor(request), plain, keep_location=keep_location)

    def remove(self, request: gr.Request, name: str, sure: bool) -> Change:
        if sure is not True:
            raise InputError(words.TICK_FIRST)
        page = self.app.visitor(request)
        self.service.remove(page, name)
        now = self.service.shown(page)
        return {**self.shown(request), **self._chosen(request, now), self.sure: False}

    # -- adding

    def collect(self, request: gr.Request, files: Any) -> None:
        """Keep a part until the last one has come."""
        kept = self.app.visitor(request).state.of(OnPage).sent
        given = files if isinstance(files, list) else [files]
        if len(kept) + len(given) > MOST_SENT:
            raise InputError(words.TOO_MANY.format(most=MOST_SENT))
        kept += [f for f in given if isinstance(f, str)]

    def add(self, request: gr.Request, name: str | None) -> Change:
        kept = self.app.visitor(request).state.of(OnPage)
        files, kept.sent = kept.sent, []
        return self._add_sent(request, name, files)

    def snap(self, request: gr.Request, name: str | None, picture: str | None) -> Change:
        """Add a picture of the camera, named by the time."""
        if picture is None:
            return {self.camera: gr.skip()}
        path = self._upload(self.app.visitor(request), picture)
        named = path.with_name(f"{words.CAMERA} {datetime.now():%Y-%m-%d %H.%M.%S}{path.suffix}")
        return {**self._add_sent(request, name, [str(path.rename(named))]), self.camera: None}

    def _add_sent(self, request: gr.Request, name: str | None, files: list[str]) -> Change:
        """Begin to take uploads in. Where that is refused through no fault of theirs, they are kept."""
        try:
            target = self._target(request, name)
            self._add(request, target, files, MOST_SENT)
        except InputError:
            raise
        except SugarError as error:  # too much work under way, or no room
            kept = self.app.visitor(request).state.of(OnPage)
            kept.sent = [*files, *kept.sent]
            raise type(error)(f"{error} {words.KEPT}") from error
        return {**self.begun(request), **self._chosen(request, target)}

    def _add(self, request: gr.Request, name: str, files: Any, most: int = MOST_FILES) -> Job:
        """Take uploads in. Raises InputError for anything that is not an upload of this visitor's."""
        given = [f for f in (files if isinstance(files, list) else [files]) if f is not None]
        if not given or len(given) > most:
            raise InputError(f"There are {len(given)} files. Choose 1 to {most:,}, or one zip.")
        page = self.app.visitor(request)
        paths = tuple(self._upload(page, file) for file in given)
        self.app.galleries.check_room(page)
        return self.service.add(page, AddRequest(str(name), paths, remove=True))

    def add_folder(self, request: gr.Request, name: str | None, folder: str) -> Change:
        target = self._target(request, name)
        path = self._here(folder)
        if not path.is_dir():
            raise InputError(words.NO_FOLDER.format(path=shown(path)))
        self.service.add(self.app.visitor(request), AddRequest(target, (path,)))
        return {**self.begun(request), **self._chosen(request, target), self.folder: ""}

    def watch(self, request: gr.Request, name: str | None, folder: str) -> Change:
        target = self._target(request, name)
        self.service.writable(self.app.visitor(request), target)
        self.app.watching.watch(target, str(self._here(folder)))
        return {**self.shown(request), **self._chosen(request, target), self.folder: ""}

    def unwatch(self, request: gr.Request, name: str, event: gr.EventData) -> Change:
        self.service.writable(self.app.visitor(request), name)
        self._check_folders_allowed()
        folder = text(getattr(event, "pick", ""), self.settings, what="folder")
        self.app.watching.unwatch(name, folder)
        return {self.watched: watched_html(self.app.watching.of(name))}

    def _target(self, request: gr.Request, name: str | None) -> str:
        """The gallery that new pictures go to; see `GalleryService.receiving`."""
        return self.service.receiving(self.app.visitor(request), str(name or SAMPLE))

    def _chosen(self, request: gr.Request, name: str) -> Change:
        return {self.chosen: gr.Dropdown(choices=self.app.gallery_names(request), value=name or None)}

    def _upload(self, page: Page, file: Any) -> Path:
        """An upload of this visitor's. Raises InputError for anything else."""
        path = file.get("path") if isinstance(file, dict) else file
        if not isinstance(path, str) or not self.app.visitors.files.readable(path, page.visitor):
            raise InputError("One of these is not an upload of yours. Send the files themselves.")
        return Path(path)

    def _here(self, given: str) -> Path:
        """A file or folder of this machine. Raises InputError: none, or the mode lets the page name none."""
        self._check_folders_allowed()
        typed = text(given, self.settings, what="folder or file")
        path = existing(typed)
        if path is None:
            raise InputError(f"{missing(typed)} Check the name.")
        return path

    def _check_folders_allowed(self) -> None:
        if not self.app.mode.folders:
            raise InputError("Folders of this machine can be named in personal mode only.")

    # -- long work

    def begun(self, request: gr.Request) -> Change:
        """Work has begun: show it, and look again every second."""
        page = self.app.visitor(request)
        page.state.of(OnPage).reports.clear()
        states = self.service.running(page)
        return {self.jobs: jobs_html(states), self.timer: gr.Timer(1.0, active=True), self.report: ""}

    def tick(self, request: gr.Request) -> Change:
        """While work is under way: its progress; when it ends, the report and the new pictures."""
        page = self.app.visitor(request)
        states = self.service.running(page)
        if any(not s.over for s in states):
            return {self.jobs: jobs_html(states)}
        name = page.state.of(GalleryState).name
        watched = self.app.watching.of(name)
        if not states:
            if page.state.of(OnPage).followed != _followed(watched):
                return self.shown(request, stale=None)
            return {self.watched: watched_html(watched), self.timer: _timer(states, watched)}
        self.app.jobs.clear(page.visitor)
        told = {s.title: report_table(s.result) for s in states if hasattr(s.result, "rows")}
        told |= {
            s.title: f"<p>{escape(s.result)}</p>" for s in states if s.kind == "teach" and s.phase == "done"
        }
        page.state.of(OnPage).reports.update(told)
        zips = [s for s in states if s.kind == "export" and s.phase == "done"]
        return {
            **self.shown(request, stale=None),
            **({self.exported: _saved(zips[0])} if zips else {}),
            self.jobs: jobs_html([s for s in states if s.phase == "failed"]),
            **self._chosen(request, name),
        }

    def cancel(self, request: gr.Request, event: gr.EventData) -> Change:
        """End a job, or try again what failed."""
        page, pick = self.app.visitor(request), str(getattr(event, "pick", ""))
        if pick == AGAIN:
            self.service.again(page)
            jobs = jobs_html(self.service.running(page))
            return {self.jobs: jobs, self.timer: gr.Timer(1.0, active=True)}
        if pick == SEEN:
            return {self.jobs: ""}
        self.app.jobs.cancel(page.visitor, pick)
        return {self.jobs: jobs_html(self.service.running(page))}

    def reindex(self, request: gr.Request, name: str) -> Change:
        self.service.reindex(self.app.visitor(request), name)
        return self.begun(request)

    def write_captions(self, request: gr.Request, name: str) -> Change:
        self.service.write_captions(self.app.visitor(request), name)
        return self.begun(request)

    def forget_captions(self, request: gr.Request) -> Change:
        page = self.app.visitor(request)
        self.service.writable(page, self.service.shown(page)).forget_model_captions()
        return self.shown(request, stale=None)

    def export(self, request: gr.Request, name: str, places: bool, sidecars: bool) -> Change:
        page = self.app.visitor(request)
        self.service.export(page, name, places=places is True, sidecars=sidecars is True)
        return self.begun(request)

    def import_upload(self, request: gr.Request, name: str, file: Any, places: bool) -> Change:
        self._import(request, name, file, places is True)
        return {**self.begun(request), self.name: ""}

    def _import(self, request: gr.Request, name: str, file: Any, places: bool = False) -> Job:
        page = self.app.visitor(request)
        path = self._upload(page, file)
        return self.service.bring(page, self._name(name, path), path, keep_location=places, remove=True)

    def import_path(self, request: gr.Request, name: str, archive: str, places: bool) -> Change:
        path = self._here(archive)
        if not path.is_file():
            raise InputError(words.NO_FILE.format(path=shown(path)))
        page, kept = self.app.visitor(request), places is True
        self.service.bring(page, self._name(name, path), path, keep_location=kept)
        return {**self.begun(request), self.name: ""}

    def _name(self, name: str, path: Path) -> str:
        return text(name or path.stem, self.settings, what="name of the new gallery")

    # -- teaching the model the captions

    def teach(self, request: gr.Request, name: str) -> Change:
        asked = TeachRequest(text(name, self.settings, what="gallery"))
        gallery = self.app.gallery(request, asked.gallery)
        self.teaching.start(self.app.visitor(request).visitor, gallery, asked)
        return self.begun(request)


def _items(numbers: Sequence[int]) -> list[int]:
    """The items behind numbers on the page, each once."""
    return list(dict.fromkeys(map(item_of, numbers)))


def _alike(name: str) -> str:
    """What the wall calls the near-duplicates of a gallery."""
    return f"{name}/alike"


def _saved(state: JobState) -> gr.DownloadButton:
    """The button with a new file; static/saving.js presses it once."""
    return gr.DownloadButton(f"{words.EXPORTED} · {state.id}", value=state.result)


def _followed(watched: Sequence[Watched]) -> int:
    return sum(one.added + one.removed for one in watched)


def _timer(states: Sequence[JobState], watched: Sequence[Watched]) -> gr.Timer:
    """Look every second until work has been reported, now and then while folders are watched."""
    busy = bool(states)
    return gr.Timer(1.0 if busy else 3.0, active=busy or bool(watched))
