"""The Gallery tab: make a gallery, fill it, look through it, caption, teach, delete, export, import.

The same as endpoints: /gallery_list, /gallery_add, /gallery_items and their like. What is chosen or dropped
arrives a part at a time (static/adding.js), so that a folder of thousands can be sent; the last part begins
one job for all. Jobs are looked at once a second while the page is open.
Not covered: what is done (sugar/services/gallery.py, teach.py), how it looks (gallery_drawing.py, wall.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from sugar.errors import GalleryError, InputError, SugarError
from sugar.images import SUFFIXES
from sugar.paths import existing, missing, shown
from sugar.services.galleries import SAMPLE
from sugar.services.gallery import AddRequest, GalleryService, GalleryState
from sugar.services.jobs import Job, JobState
from sugar.services.search import SearchState
from sugar.services.teach import TeachRequest, TeachService
from sugar.services.visitors import Page
from sugar.services.watching import Watched
from sugar.ui.components import (
    Change,
    GalleryChoice,
    PictureInput,
    clickable,
    intro,
    jpeg_uri,
)
from sugar.ui.context import AppContext
from sugar.ui.gallery_drawing import (
    AGAIN,
    cells_of,
    jobs_html,
    large_of,
    listing_of,
    report_table,
    same_html,
    stats_line,
    teach_line,
    watched_html,
)
from sugar.ui.incoming import number, text
from sugar.ui.text import gallery as words
from sugar.ui.text import teach, wall
from sugar.ui.wall import id_of, ids_of, onward_of, picture_wall

if TYPE_CHECKING:
    from sugar.gallery import Gallery, Item

TAB = ("gallery", words.TITLE)

CAPTIONS = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".xmp")
"""Texts that come with pictures."""

MOST_FILES, MOST_SENT, MOST_SELECTED = 1_000, 50_000, 2_000_000
"""Files of one call of an endpoint, of one upload of the page; pictures that are selected."""

TEACH_EVERY = 2.0
"""Seconds between two looks at a training run."""

SEARCH_NOW = "() => sugarSearch.soon('search-live')"
PRESS_DOWNLOAD = "() => document.querySelector('#gallery-downloaded').click()"


@dataclass
class OnPage:
    """What one page keeps between two events.

    selected: pictures. sent: uploads that wait for the last part. followed: how many pictures watched folders
    had brought and taken when the page was drawn last.
    """

    selected: list[int] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    followed: int = 0


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    tab = GalleryTab(app)
    tab.layout()
    tab.wire()
    tab.endpoints()


class GalleryTab:
    """The components, what happens on their events, and the endpoints."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.service = GalleryService(app.workspace, app.jobs)
        self.teaching = TeachService(app.workspace, app.jobs, app.mode)

    # -- layout

    def layout(self) -> None:
        private, folders = self.app.mode.private, self.app.mode.folders
        intro(words.INTRO_PRIVATE if private else words.INTRO.format(days=self.settings.bin_days))
        with gr.Row():
            self.chosen = GalleryChoice([], label=words.CHOICE, scale=2, elem_id="gallery-name")
            orders = [(label, order) for order, label in words.ORDERS.items()]
            self.order = gr.Dropdown(orders, value="newest", label=words.ORDER, elem_id="gallery-order")
            self.name = gr.Textbox(
                label=words.NEW,
                placeholder=words.NEW_EXAMPLE,
                scale=2,
                visible=not private,
                elem_id="gallery-new",
            )
            self.create_button = gr.Button(
                words.CREATE, scale=0, min_width=110, visible=not private, elem_id="gallery-create"
            )
        self.places = gr.Checkbox(
            False, label=words.PLACES, container=False, visible=not private, elem_id="gallery-places"
        )
        self._layout_adding(folders)
        self.jobs = clickable(words.JOBS, elem_id="gallery-jobs")
        self.report = gr.HTML(label=words.REPORT, elem_id="gallery-report")
        with gr.Row(elem_id="gallery-line"):
            self.stats = gr.HTML(elem_classes="sugar-stats", elem_id="gallery-stats")
            self.favourites = gr.Checkbox(
                False,
                label=words.ONLY_FAVOURITES,
                container=False,
                scale=0,
                min_width=160,
                elem_id="gallery-favourites",
            )
        self.reindex_button = gr.Button(words.REINDEX, size="sm", visible=False, elem_id="gallery-reindex")
        with gr.Row():
            self.restore_button = gr.Button(words.BIN, size="sm", visible=False, elem_id="gallery-restore")
            self.empty_button = gr.Button(
                words.EMPTY_BIN, size="sm", variant="stop", visible=False, elem_id="gallery-empty-bin"
            )
        self.wall = picture_wall(words.PICTURES, elem_id="gallery-grid")
        self.onward = onward_of("gallery")
        self.downloaded = gr.DownloadButton(wall.DOWNLOADED, visible="hidden", elem_id="gallery-downloaded")
        self._layout_more(private, folders)
        self._layout_teaching()
        self.timer = gr.Timer(1.0, active=False)

    def _layout_adding(self, folders: bool) -> None:
        with gr.Row(elem_id="gallery-adding"):
            self.files = gr.UploadButton(
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
            self.camera = PictureInput(
                label=words.CAMERA, sources=["webcam"], height=280, elem_id="gallery-camera", buttons=[]
            )
            with gr.Row(visible=folders):
                self.folder = gr.Textbox(
                    label=words.FOLDER, placeholder=words.FOLDER_EXAMPLE, scale=3, elem_id="gallery-folder"
                )
                self.add_folder_button = gr.Button(
                    words.ADD_FOLDER, min_width=90, elem_id="gallery-add-folder"
                )
                self.watch_button = gr.Button(words.WATCH, min_width=90, elem_id="gallery-watch")
        self.watched = clickable(words.WATCHED, elem_id="gallery-watched")
        self.add_button = gr.Button(
            words.ADD, visible="hidden", elem_id="gallery-add"
        )  # pressed by adding.js

    def _layout_more(self, private: bool, folders: bool) -> None:
        with gr.Accordion(words.MORE, open=False):
            with gr.Row():
                self.alike_button = gr.Button(words.ALIKE, elem_id="gallery-alike")
                self.captions_button = gr.Button(words.CAPTIONS, elem_id="gallery-captions")
                self.forget_button = gr.Button(words.FORGET_CAPTIONS, elem_id="gallery-forget-captions")
                self.export_button = gr.Button(words.EXPORT, elem_id="gallery-export")
                self.exported = gr.DownloadButton(
                    words.EXPORTED, visible="hidden", elem_id="gallery-exported"
                )
                self.archive = gr.UploadButton(
                    words.IMPORT, file_types=[".zip"], visible=not private, elem_id="gallery-import"
                )
            with gr.Row(visible=folders):
                self.archive_path = gr.Textbox(
                    label=words.IMPORT_PATH,
                    placeholder=words.IMPORT_PATH_EXAMPLE,
                    elem_id="gallery-archive",
                )
                self.import_path_button = gr.Button(
                    words.IMPORT_FROM, min_width=90, elem_id="gallery-import-from"
                )
            with gr.Row():
                self.export_places = gr.Checkbox(
                    False, label=words.EXPORT_PLACES, container=False, elem_id="gallery-export-places"
                )
                self.export_sidecars = gr.Checkbox(
                    False, label=words.EXPORT_SIDECARS, container=False, elem_id="gallery-export-sidecars"
                )
            self.same = gr.HTML(label=words.SAME, elem_id="gallery-same")
            with gr.Row():
                self.sure = gr.Checkbox(False, label=words.SURE, elem_id="gallery-sure")
                self.remove_button = gr.Button(words.REMOVE, variant="stop", elem_id="gallery-remove")

    def _layout_teaching(self) -> None:
        with gr.Accordion(teach.TITLE, open=False, visible=self.app.mode.one_person, elem_id="gallery-teach"):
            gr.HTML(teach.ABOUT, elem_classes="sugar-stats")
            with gr.Row():
                self.teach_button = gr.Button(
                    teach.START, variant="primary", min_width=120, elem_id="gallery-teach-start"
                )
                self.stop_teaching_button = gr.Button(
                    teach.CANCEL, min_width=80, elem_id="gallery-teach-cancel"
                )
            self.teach_note = gr.HTML(elem_classes="sugar-stats", elem_id="gallery-teach-note")
            self.teach_timer = gr.Timer(TEACH_EVERY, active=False)

    # -- wiring

    def wire(self) -> None:
        """Connect every component with its handler."""
        app, quiet, run = self.app, self.app.quiet, partial(self.app.guarded, uses_model=False)
        plain: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        # what a change of the gallery may change on the page
        shows = [
            self.wall,
            self.stats,
            self.reindex_button,
            self.restore_button,
            self.empty_button,
            self.jobs,
            self.watched,
            self.timer,
            self.report,
            self.same,
        ]
        looking = [self.chosen, self.order, self.favourites]
        for event in (self.chosen.change, self.order.input, self.favourites.input):
            event(run(self.choose), looking, shows, **plain)
        self.wall.need(run(self.need), None, self.wall, **quiet)
        self.wall.open(run(self.open), None, self.wall, **quiet)
        # "multiple": no act may be lost while another one runs
        self.wall.act(app.guarded(self.act), None, shows, trigger_mode="multiple", **plain)
        got = self.wall.download(run(self.download), None, self.downloaded, trigger_mode="multiple", **quiet)
        got.success(None, None, None, js=PRESS_DOWNLOAD)
        for tab, button in self.onward.items():
            if tab != "similar":
                app.hand_over(button, tab, partial(self.handed, 1 if tab == "ask" else 6))
        app.hand_over(self.onward["similar"], "search", self.similar, then=SEARCH_NOW)

        part = self.files.upload(run(self.collect), self.files, self.files, **quiet)
        part.success(None, None, None, js="() => sugarAdding.next()")
        part.failure(None, None, None, js="() => sugarAdding.stop()")
        elsewhere = [*shows, self.chosen]  # the sample is for reading: what is added goes to another gallery
        for event, handler, given in (
            (self.add_button.click, self.add, None),
            (self.camera.change, self.snap, self.camera),
            (self.add_folder_button.click, self.add_folder, self.folder),
            (self.watch_button.click, self.watch, self.folder),
        ):
            also = [given] if given is not None else []
            began = event(app.guarded(handler), [self.chosen, *also], [*elsewhere, *also], **plain)
            app.galleries_changed(began)
        self.watched.click(run(self.unwatch), self.chosen, shows, **plain)

        seen = self.timer.tick(run(self.tick), None, [*elsewhere, self.exported], **quiet)
        seen.success(None, None, None, js="() => sugarSave('gallery-exported')")
        self.jobs.click(run(self.cancel), None, [self.jobs, self.timer], **quiet)
        self.reindex_button.click(app.guarded(self.reindex), self.chosen, shows, **plain)
        self.restore_button.click(run(self.restore), None, shows, **plain)
        self.empty_button.click(run(self.empty_bin), None, shows, **plain)
        self.captions_button.click(app.guarded(self.write_captions), self.chosen, shows, **plain)
        self.forget_button.click(run(self.forget_captions), None, shows, **plain)
        self.alike_button.click(run(self.near_duplicates), None, self.same, api_visibility="private")
        given = [self.chosen, self.export_places, self.export_sidecars]
        self.export_button.click(run(self.export), given, shows, **plain)
        named = [*shows, self.name]
        self.archive.upload(
            app.guarded(self.import_upload), [self.name, self.archive, self.places], named, **plain
        )
        self.import_path_button.click(
            app.guarded(self.import_path), [self.name, self.archive_path, self.places], named, **plain
        )
        made = gr.on(
            [self.create_button.click, self.name.submit],
            app.guarded(self.create),
            [self.name, self.places],
            [*elsewhere, self.name],
            **plain,
        )
        removed = self.remove_button.click(
            run(self.remove), [self.chosen, self.sure], [*elsewhere, self.sure], **plain
        )
        for changed in (made, removed):
            app.galleries_changed(changed)
        app.offer_galleries(self.chosen)

        teaching = [self.teach_note, self.teach_timer]
        self.teach_button.click(app.guarded(self.teach), [self.chosen], teaching, **quiet)
        self.stop_teaching_button.click(run(self.stop_teaching), None, self.teach_note, **quiet)
        self.teach_timer.tick(run(self.look_at_teaching), None, teaching, **quiet)
        app.on_load(self.look_at_teaching, [], teaching)

    # -- looking

    def shown(self, request: gr.Request, stale: Sequence[int] | None = ()) -> Change:
        """The gallery as it is now. stale: the pictures whose cells changed, None for all."""
        page = self.app.visitor(request)
        listing = self.service.listing(page)
        states, watched = self.service.running(page), self.app.watching.of(listing.name)
        page.state.of(OnPage).followed = _followed(watched)
        return {
            self.wall: listing_of(listing, self.service.targets(page), stale),
            self.stats: stats_line(listing),
            self.reindex_button: gr.Button(visible=bool(listing.pending) and not listing.read_only),
            self.restore_button: gr.Button(words.BIN.format(n=listing.binned), visible=bool(listing.binned)),
            self.empty_button: gr.Button(visible=bool(listing.binned)),
            self.jobs: jobs_html(states),
            self.watched: watched_html(watched),
            self.timer: _timer(states, watched),
        }

    def choose(self, request: gr.Request, name: str | None, order: str, favourites: bool) -> Change:
        if order not in words.ORDERS:
            raise InputError(f"{order!r} is not an order.")
        if name:
            page = self.app.visitor(request)
            self.service.show(page, name, order=order, favourites=favourites is True)
        return {**self.shown(request), self.same: ""}

    def need(self, request: gr.Request, event: gr.EventData) -> str:
        page = self.app.visitor(request)
        return cells_of(self.service.shown(page), self.service.cells(page, ids_of(event)))

    def open(self, request: gr.Request, event: gr.EventData) -> str:
        page = self.app.visitor(request)
        return large_of(self.service.shown(page), *self.service.open(page, id_of(event)))

    def download(self, request: gr.Request, event: gr.EventData) -> str:
        return self.service.download(self.app.visitor(request), ids_of(event, MOST_SELECTED))

    def near_duplicates(self, request: gr.Request) -> str:
        return same_html(self.service.near_duplicates(self.app.visitor(request)))

    def handed(self, most: int, request: gr.Request) -> list[Image.Image]:
        """The selected pictures, else the open one, for another tab."""
        page = self.app.visitor(request)
        ids = page.state.of(OnPage).selected or [self.service.opened(page)]
        return self.service.pictures(page, ids, most)

    def similar(self, request: gr.Request) -> list[Image.Image]:
        """The open picture, to be searched for in its own gallery."""
        page = self.app.visitor(request)
        page.state.of(SearchState).gallery = self.service.shown(page)
        return self.service.pictures(page, [self.service.opened(page)], 1)

    # -- changing

    def act(self, request: gr.Request, event: gr.EventData) -> Change:
        """What the wall asks for: select, favourite, move, delete, undo, caption, rename."""
        page, what = self.app.visitor(request), getattr(event, "what", "")
        ids = ids_of(event, MOST_SELECTED)
        page.state.of(OnPage).selected = ids if what == "select" else []
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
        return {**self.shown(request), **self._chosen(request, now), self.sure: False, self.same: ""}

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
        states = self.service.running(self.app.visitor(request))
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
        zips = [s for s in states if s.kind == "export" and s.phase == "done"]
        return {
            **self.shown(request, stale=None),
            **({self.exported: _saved(zips[0])} if zips else {}),
            self.jobs: jobs_html([s for s in states if s.phase == "failed"]),
            self.report: report_table(next((s.result for s in states if hasattr(s.result, "rows")), None)),
            **self._chosen(request, name),
        }

    def cancel(self, request: gr.Request, event: gr.EventData) -> Change:
        """End a job, or try again what failed."""
        page, pick = self.app.visitor(request), str(getattr(event, "pick", ""))
        if pick == AGAIN:
            self.service.again(page)
            jobs = jobs_html(self.service.running(page))
            return {self.jobs: jobs, self.timer: gr.Timer(1.0, active=True)}
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

    def teach(self, request: gr.Request, name: str) -> tuple[str, gr.Timer]:
        asked = TeachRequest(text(name, self.settings, what="gallery"))
        gallery = self.app.gallery(request, asked.gallery)
        job = self.teaching.start(self.app.visitor(request).visitor, gallery, asked)
        return teach_line(job.state()), gr.Timer(active=True)

    def look_at_teaching(self, request: gr.Request) -> tuple[str, gr.Timer]:
        state = self._last_teaching(request)
        return teach_line(state), gr.Timer(active=state is not None and not state.over)

    def stop_teaching(self, request: gr.Request) -> str:
        state = self._last_teaching(request)
        if state is not None and not state.over:
            self.app.jobs.cancel(self.app.visitor(request).visitor, state.id)
        return teach_line(self._last_teaching(request))

    def _last_teaching(self, request: gr.Request) -> JobState | None:
        states = self.app.jobs.of(self.app.visitor(request).visitor)
        return next((state for state in states if state.kind == "teach"), None)

    # -- endpoints

    def endpoints(self) -> None:
        """The same for programs."""
        app, service = self.app, self.service

        def looking(request: gr.Request, gallery: str) -> Page:
            """The page of the caller, looking at this gallery."""
            page = app.visitor(request)
            app.gallery(request, gallery)
            page.state.of(GalleryState).name = gallery
            return page

        def gallery_list(request: gr.Request) -> list[str]:
            """Names of the galleries that you can use."""
            return app.gallery_names(request)

        def gallery_create(request: gr.Request, name: str) -> str:
            """Make a new, empty gallery; its name."""
            return self._create(request, name)

        async def gallery_add(request: gr.Request, gallery: str, files: list[Any]) -> dict[str, Any]:
            """Add pictures and zips of pictures; the result for every file, and why."""
            report = await _ended(self._add, request, gallery, files)
            rows = [
                {"name": r.name, "status": r.status, "reason": r.reason, "item": r.item} for r in report.rows
            ]
            return {"summary": str(report), "counts": report.counts, "rows": rows}

        def gallery_items(
            request: gr.Request, gallery: str, offset: int = 0, limit: int = 100, thumbnails: bool = False
        ) -> list[dict[str, Any]]:
            """The pictures of a gallery, in order of time. thumbnails: with each as a data URI."""
            found = app.gallery(request, gallery)
            first = int(number(offset, 0, 2**62, "The offset"))
            most = int(number(limit, 1, MOST_FILES, "The limit"))
            return [_as_json(found, i, thumbnails) for i in found.items(limit=most, offset=first)]

        def gallery_caption(request: gr.Request, gallery: str, item: int, caption_text: str) -> str:
            """Change a picture's caption; the caption as it was kept."""
            page = looking(request, gallery)
            kept = text(caption_text, self.settings, what="caption", required=False)
            return service.set_caption(page, _item_number(item), kept)

        def gallery_delete(request: gr.Request, gallery: str, items: list[int]) -> int:
            """Delete pictures for good; how many were there."""
            if not isinstance(items, (list, tuple)) or not items:
                raise InputError("There is nothing to delete. Give the pictures' numbers.")
            ids = [_item_number(i) for i in items]
            return service.delete(looking(request, gallery), ids, at_once=True)

        def gallery_duplicates(request: gr.Request, gallery: str) -> list[list[int]]:
            """Groups of pictures that look the same, the better one first in each."""
            return [
                [item.id for item, _ in group] for group in service.near_duplicates(looking(request, gallery))
            ]

        async def gallery_export(request: gr.Request, gallery: str) -> dict[str, Any]:
            """The whole gallery as one zip."""
            path = await _ended(service.export, app.visitor(request), gallery)
            return {"path": path, "orig_name": "gallery.zip", "meta": {"_type": "gradio.FileData"}}

        async def gallery_import(request: gr.Request, name: str, file: Any) -> str:
            """A new gallery from an exported zip; its name."""
            return await _ended(self._import, request, name, file)

        async def gallery_index(request: gr.Request, gallery: str) -> dict[str, Any]:
            """Embed the pictures that the loaded model has not embedded yet; the counts."""
            return {"summary": str(await _ended(service.reindex, app.visitor(request), gallery))}

        def gallery_remove(request: gr.Request, gallery: str) -> list[str]:
            """Delete a gallery with all its pictures; the names of those that are left."""
            service.remove(app.visitor(request), gallery)
            return app.gallery_names(request)

        call: Callable[..., Any]
        for call in (gallery_list, gallery_items, gallery_delete, gallery_duplicates, gallery_remove):
            gr.api(app.guarded(call, uses_model=False), api_name=call.__name__)
        for call in (gallery_create, gallery_caption):
            gr.api(app.guarded(call), api_name=call.__name__, **app.on_model)
        # long work waits in the jobs' own queue, not in the model's
        for call in (gallery_add, gallery_import, gallery_index, gallery_export):
            gr.api(app.guarded(call), api_name=call.__name__, concurrency_limit=None)


async def _ended(start: Callable[..., Job], *given: Any) -> Any:
    """Start a job and wait for its end without holding a thread; its result. Raises GalleryError."""
    job = await asyncio.to_thread(start, *given)
    while not job.over.is_set():
        await asyncio.sleep(0.05)
    state = job.state()
    if state.phase != "done":
        raise GalleryError(state.problem or "It was cancelled.")
    return state.result


def _item_number(value: Any) -> int:
    checked = number(value, 1, 2**62, "A picture's number")
    if checked != int(checked):
        raise InputError(f"A picture's number is {checked:g}; it must be whole.")
    return int(checked)


def _as_json(gallery: Gallery, item: Item, thumbnails: bool) -> dict[str, Any]:
    out = {
        "item": item.id,
        "name": item.name,
        "caption": item.caption,
        "width": item.width,
        "height": item.height,
        "bytes": item.bytes,
        "taken": item.taken.isoformat() if item.taken else "",
        "day_from_name": item.day_from_name,
        "camera": item.camera,
        "has_vectors": item.has_vectors,
    }
    return out | ({"thumbnail": jpeg_uri(gallery.thumbnail(item.id))} if thumbnails else {})


def _saved(state: JobState) -> gr.DownloadButton:
    """The button with a new file; static/saving.js presses it once."""
    return gr.DownloadButton(f"{words.EXPORTED} · {state.id}", value=state.result)


def _followed(watched: Sequence[Watched]) -> int:
    return sum(one.added + one.removed for one in watched)


def _timer(states: Sequence[JobState], watched: Sequence[Watched]) -> gr.Timer:
    """Look every second until work has been reported, now and then while folders are watched."""
    busy = bool(states)
    return gr.Timer(1.0 if busy else 3.0, active=busy or bool(watched))
