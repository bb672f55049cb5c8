"""What happens on the events of the Gallery tab: check, ask the service, draw."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.services.search import SearchState
from sugar.ui.gallery_adding import GalleryAdding
from sugar.ui.gallery_calls import Selected
from sugar.ui.gallery_drawing import same_html
from sugar.ui.gallery_wall import cells_of, large_of
from sugar.ui.gallery_work import Change
from sugar.ui.incoming import text
from sugar.ui.text import gallery as words
from sugar.ui.wall import id_of, ids_of

__all__ = ["GalleryHandlers"]

SEARCH_NOW = "() => sugarSearch.soon('search-live')"
MOST_SELECTED = 2_000_000
PRESS = "() => document.querySelector('#{id}').click()"


class GalleryHandlers(GalleryAdding):
    """See the module docstring. `view` holds the components of the tab."""

    def wire(self) -> None:
        """Connect every component with its handler."""
        app, v, run = self.app, self.view, partial(self.app.guarded, uses_model=False)
        plain: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        shown = v.shown
        looking = [v.chosen, v.order, v.favourites]
        for event in (v.chosen.change, v.order.input, v.favourites.input):
            event(run(self.choose), looking, shown, **plain)
        v.wall.need(run(self.need), None, v.wall, **app.quiet)
        v.wall.open(run(self.open), None, v.wall, **app.quiet)
        v.wall.act(app.guarded(self.act), None, shown, trigger_mode="multiple", **plain)  # none may be lost
        seen = v.timer.tick(run(self.tick), None, [*shown, v.chosen, v.exported], **app.quiet)
        seen.success(None, None, None, js="() => sugarSave('gallery-exported')")
        v.jobs.click(run(self.cancel), None, [v.jobs, v.timer], **app.quiet)
        got = v.wall.download(run(self.download), None, v.downloaded, trigger_mode="multiple", **app.quiet)
        got.success(None, None, None, js=PRESS.format(id="gallery-downloaded"))
        v.reindex.click(app.guarded(self.reindex), v.chosen, shown, **plain)
        v.captions.click(app.guarded(self.captions), v.chosen, shown, **plain)
        v.alike.click(run(self.alike), None, v.same, api_visibility="private")
        made = gr.on(
            [v.create.click, v.name.submit],
            app.guarded(self.create),
            [v.name, v.places],
            [*shown, v.chosen, v.name],
            **plain,
        )
        v.bring.upload(app.guarded(self.bring), [v.name, v.bring], [*shown, v.name], **plain)
        v.bring_from.click(app.guarded(self.bring_from), [v.name, v.archive], [*shown, v.name], **plain)
        removed = v.remove.click(run(self.remove), [v.chosen, v.sure], [*shown, v.chosen, v.sure], **plain)
        v.export.click(run(self.export), v.chosen, shown, **plain)
        for changed in (made, removed):
            app.galleries_changed(changed)
        for tab, button in v.onward.items():
            if tab != "similar":
                app.hand_over(button, tab, partial(self.handed, 1 if tab == "ask" else 6))
        app.hand_over(v.onward["similar"], "search", self.similar, then=SEARCH_NOW)

    # -- looking

    def choose(self, request: gr.Request, name: Any, order: Any, favourites: Any) -> Change:
        if order not in words.ORDERS:
            raise InputError(f"{order!r} is not an order.")
        if name:
            page = self.app.visitor(request)
            self.service.show(page, name, order=order, favourites=favourites is True)
        return {**self.shown(request), self.view.same: ""}

    def need(self, request: gr.Request, event: gr.EventData) -> str:
        page = self.app.visitor(request)
        return cells_of(self.service.shown(page), self.service.cells(page, ids_of(event)))

    def open(self, request: gr.Request, event: gr.EventData) -> str:
        page = self.app.visitor(request)
        return large_of(self.service.shown(page), *self.service.open(page, id_of(event)))

    def download(self, request: gr.Request, event: gr.EventData) -> str:
        ids = ids_of(event, MOST_SELECTED)
        return self.service.download(self.app.visitor(request), ids)

    def act(self, request: gr.Request, event: gr.EventData) -> Change:
        """What the wall asks for: select, favourite, move, delete, undo, caption, rename."""
        page, what = self.app.visitor(request), getattr(event, "what", "")
        ids = ids_of(event, MOST_SELECTED)
        page.state.of(Selected).ids = ids if what == "select" else []
        if what == "select":
            return {self.view.report: gr.skip()}
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

    def alike(self, request: gr.Request) -> str:
        return same_html(self.service.near_duplicates(self.app.visitor(request)))

    def handed(self, most: int, request: gr.Request) -> list[Any]:
        """The selected pictures, else the open one, for another tab."""
        page = self.app.visitor(request)
        ids = page.state.of(Selected).ids or [self.service.opened(page)]
        return self.service.pictures(page, ids, most)

    def similar(self, request: gr.Request) -> list[Any]:
        """The open picture, to be searched for in its own gallery."""
        page = self.app.visitor(request)
        page.state.of(SearchState).gallery = self.service.shown(page)
        return self.service.pictures(page, [self.service.opened(page)], 1)

    # -- whole galleries

    def create(self, request: gr.Request, name: Any, places: Any) -> Change:
        v = self.view
        made = self.calls.create(request, name, places)
        chosen = gr.Dropdown(choices=self.app.gallery_names(request), value=made)
        return {**self.shown(request), v.chosen: chosen, v.name: ""}

    def remove(self, request: gr.Request, name: Any, sure: Any) -> Change:
        if sure is not True:
            raise InputError(words.TICK_FIRST)
        page, v = self.app.visitor(request), self.view
        self.service.remove(page, name)
        now = self.service.shown(page)
        chosen = gr.Dropdown(choices=self.service.names(page), value=now or None)
        return {**self.shown(request), v.chosen: chosen, v.sure: False, v.same: ""}

    def export(self, request: gr.Request, name: Any) -> Change:
        self.calls.export(request, name)
        return self.begun(request)
