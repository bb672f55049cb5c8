"""The Search tab: one box for words and pictures, the results beneath it, and each hit explained.

The same search is the endpoint /search (search_api.py). Not covered: what a press does (search_events.py).
"""

from __future__ import annotations

import gradio as gr

from sugar.images import SUFFIXES
from sugar.services.search import SearchService
from sugar.ui import gallery_api, search_api
from sugar.ui.components import GalleryChoice, intro
from sugar.ui.context import AppContext
from sugar.ui.grid import html_block
from sugar.ui.query import QueryRows
from sugar.ui.saved import SavedForm
from sugar.ui.search_events import SearchEvents
from sugar.ui.search_hits import HitEvents
from sugar.ui.search_view import SearchView
from sugar.ui.text import search as words
from sugar.ui.text import wall
from sugar.ui.wall import onward_of, picture_wall

TAB = ("search", words.TITLE)
EXAMPLES = 6
"""Buttons for examples, at most. The loaded model's profile fills them."""

CHIPS_SCRIPT = "sugarSearch.chips(element, trigger)"


def build(app: AppContext) -> None:
    service = SearchService(app.workspace)
    with gr.Column(elem_id="search-tab"):
        intro(words.INTRO)
        with gr.Row(elem_id="search-examples"):
            examples = [
                gr.Button(visible=False, size="sm", min_width=120, elem_id=f"search-example-{i}")
                for i in range(EXAMPLES)
            ]
        with gr.Column(elem_id="search-box"):
            text = gr.Textbox(
                label=words.WORDS,
                info=words.WORDS_HELP,
                placeholder=words.PLACEHOLDER,
                max_lines=6,
                elem_id="search-words",
            )
            chips = html_block(words.CHIPS, js_on_load=CHIPS_SCRIPT, elem_id="search-chips")
            with gr.Row(elem_id="search-buttons"):
                upload = gr.UploadButton(
                    words.ADD_PICTURE,
                    file_types=["image", *SUFFIXES],
                    file_count="multiple",
                    elem_id="search-picture",
                )
                clear = gr.Button(words.CLEAR, elem_id="search-clear")
                go = gr.Button(words.SEARCH, variant="primary", elem_id="search-go")
        with gr.Row(equal_height=True):
            gallery = GalleryChoice([], label=words.GALLERY, scale=2, elem_id="search-gallery")
            modes = [(label, mode) for mode, label in words.MODES.items()]
            mode = gr.Radio(
                modes,
                value="pictures",
                label=words.MODE,
                info=words.MODES_HELP,
                scale=3,
                elem_id="search-mode",
            )
        with gr.Row(elem_classes="sugar-folds"):  # side by side while they are closed
            with gr.Accordion(words.OPTIONS, open=False):
                with gr.Row():
                    rerank = gr.Checkbox(True, label=words.RERANK, info=words.RERANK_HELP)
                    confirm = gr.Checkbox(
                        False, label=words.CONFIRM, info=words.CONFIRM_HELP, elem_id="search-confirm"
                    )
                    scores = gr.Checkbox(False, label=words.SHOW_SCORES, elem_id="search-scores")
                saved = SavedForm(app, text, gallery, mode)
            with gr.Accordion(words.ADVANCED, open=False):
                rows = QueryRows(app)
        hits = picture_wall(words.HITS, elem_id="hits")
        onward = onward_of("search")
        downloaded = gr.DownloadButton(wall.DOWNLOADED, visible="hidden", elem_id="search-downloaded")
        live = gr.Button(visible="hidden", elem_id="search-live")
    view = SearchView(text, chips, gallery, mode, rerank, confirm, hits, downloaded)
    box = SearchEvents(app, service, view)
    box.wire(go, live, upload, clear)
    found = HitEvents(box)
    found.wire(examples)
    found.wire_rows(rows)
    found.wire_onward(onward)
    saved.wire(found)
    scores.change(None, scores, None, js="(on) => sugarSearch.scores(on)")
    search_api.offer(app, service)
    app.on_galleries(gallery_api.choices(app), [gallery])
    app.receive("search", box.receive, [text, chips, gallery])
