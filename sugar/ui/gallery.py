"""The Gallery tab: make a gallery, fill it, look through it, caption, delete, export, import.

The same as endpoints: gallery_api.py. Not covered: what it does (sugar/services/gallery.py), what happens
on a press (gallery_handlers.py), the wall of pictures (wall.py).
"""

from __future__ import annotations

import gradio as gr

from sugar.images import SUFFIXES
from sugar.ui import gallery_api
from sugar.ui.components import GalleryChoice, PictureInput, clickable, intro
from sugar.ui.context import AppContext
from sugar.ui.gallery_calls import GalleryCalls
from sugar.ui.gallery_handlers import GalleryHandlers
from sugar.ui.gallery_teach import teach_panel
from sugar.ui.gallery_view import GalleryView
from sugar.ui.grid import html_block
from sugar.ui.text import gallery as words
from sugar.ui.text import wall
from sugar.ui.wall import onward_of, picture_wall

TAB = ("gallery", words.TITLE)

CAPTIONS = (".txt", ".csv", ".tsv", ".jsonl", ".json")
"""Texts that come with pictures."""


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    private, folders = app.mode.private, app.mode.folders
    view = GalleryView()
    intro(words.INTRO_PRIVATE if private else words.INTRO)
    with gr.Row():
        view.chosen = GalleryChoice([], label=words.CHOICE, scale=2, elem_id="gallery-name")
        orders = [(label, order) for order, label in words.ORDERS.items()]
        view.order = gr.Dropdown(orders, value="newest", label=words.ORDER, elem_id="gallery-order")
        view.name = gr.Textbox(
            label=words.NEW,
            placeholder=words.NEW_EXAMPLE,
            scale=2,
            visible=not private,
            elem_id="gallery-new",
        )
        view.create = gr.Button(
            words.CREATE, scale=0, min_width=110, visible=not private, elem_id="gallery-create"
        )
    view.places = gr.Checkbox(
        False, label=words.PLACES, container=False, visible=not private, elem_id="gallery-places"
    )
    begin = _adding(view, folders)
    view.jobs = clickable(words.JOBS, elem_id="gallery-jobs")
    view.report = html_block(words.REPORT, elem_id="gallery-report")
    with gr.Row(elem_id="gallery-line"):
        view.stats = gr.HTML(elem_classes="sugar-stats", elem_id="gallery-stats")
        view.favourites = gr.Checkbox(
            False,
            label=words.ONLY_FAVOURITES,
            container=False,
            scale=0,
            min_width=160,
            elem_id="gallery-favourites",
        )
    view.reindex = gr.Button(words.REINDEX, size="sm", visible=False, elem_id="gallery-reindex")
    view.wall = picture_wall(words.PICTURES, elem_id="gallery-grid")
    view.onward = onward_of("gallery")
    view.downloaded = gr.DownloadButton(wall.DOWNLOADED, visible="hidden", elem_id="gallery-downloaded")
    _more(view, private, folders)
    teach_panel(app, view.chosen)
    view.timer = gr.Timer(1.0, active=False)
    calls = GalleryCalls(app)
    handlers = GalleryHandlers(app, calls, view)
    handlers.wire()
    handlers.wire_adding(begin)
    app.on_galleries(gallery_api.choices(app), [view.chosen])
    gallery_api.endpoints(app, calls)


def _adding(view: GalleryView, folders: bool) -> gr.Button:
    """What adds pictures; the hidden button that begins with what was sent."""
    with gr.Row(elem_id="gallery-adding"):
        view.files = gr.UploadButton(
            words.ADD,
            file_count="multiple",
            file_types=["image", *SUFFIXES, ".zip", *CAPTIONS],
            variant="primary",
            scale=0,
            min_width=150,
            elem_id="gallery-files",
        )
        gr.HTML(f'<p class="sugar-hint" role="status">{words.ADD_HINT}</p>', elem_id="gallery-sending")
    with gr.Accordion(words.MORE_WAYS if folders else words.CAMERA, open=False):
        view.camera = PictureInput(
            label=words.CAMERA, sources=["webcam"], height=280, elem_id="gallery-camera", buttons=[]
        )
        with gr.Row(visible=folders):
            view.folder = gr.Textbox(
                label=words.FOLDER, placeholder=words.FOLDER_EXAMPLE, scale=3, elem_id="gallery-folder"
            )
            view.add_folder = gr.Button(words.ADD_FOLDER, min_width=90, elem_id="gallery-add-folder")
            view.watch = gr.Button(words.WATCH, min_width=90, elem_id="gallery-watch")
    view.watched = clickable(words.WATCHED, elem_id="gallery-watched")
    return gr.Button(words.ADD, visible="hidden", elem_id="gallery-add")


def _more(view: GalleryView, private: bool, folders: bool) -> None:
    """What is needed now and then."""
    with gr.Accordion(words.MORE, open=False):
        with gr.Row():
            view.alike = gr.Button(words.ALIKE, elem_id="gallery-alike")
            view.captions = gr.Button(words.CAPTIONS, elem_id="gallery-captions")
            view.export = gr.Button(words.EXPORT, elem_id="gallery-export")
            view.exported = gr.DownloadButton(words.EXPORTED, visible="hidden", elem_id="gallery-exported")
            view.bring = gr.UploadButton(
                words.IMPORT, file_types=[".zip"], visible=not private, elem_id="gallery-import"
            )
        with gr.Row(visible=folders):
            view.archive = gr.Textbox(
                label=words.IMPORT_PATH, placeholder=words.IMPORT_PATH_EXAMPLE, elem_id="gallery-archive"
            )
            view.bring_from = gr.Button(words.IMPORT_FROM, min_width=90, elem_id="gallery-import-from")
        view.same = html_block(words.SAME, elem_id="gallery-same")
        with gr.Row():
            view.sure = gr.Checkbox(False, label=words.SURE, elem_id="gallery-sure")
            view.remove = gr.Button(words.REMOVE, variant="stop", elem_id="gallery-remove")
