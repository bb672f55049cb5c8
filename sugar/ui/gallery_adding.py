"""How pictures come into a gallery: chosen, dropped, pasted, from a camera, from a folder, watched or not.

What is chosen or dropped arrives a part at a time (static/adding.js), so that a folder of thousands can be
sent; the last part begins one job for all. Not covered: what a job does (gallery_work.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import gradio as gr

from sugar.errors import InputError, SugarError
from sugar.ui.gallery_drawing import watched_html
from sugar.ui.gallery_work import Change, GalleryWork
from sugar.ui.text import gallery as words

__all__ = ["GalleryAdding"]

MOST_SENT = 50_000


@dataclass
class Sent:
    """Uploads of a page that wait for the last part."""

    paths: list[str] = field(default_factory=list)


class GalleryAdding(GalleryWork):
    """See the module docstring."""

    def wire_adding(self, begin: gr.Button) -> None:
        """Connect what adds. begin: the hidden button that the browser presses after the last part."""
        app, v, run = self.app, self.view, partial(self.app.guarded, uses_model=False)
        plain: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        sent = v.files.upload(run(self.collect), v.files, v.files, **app.quiet)
        sent.success(None, None, None, js="() => sugarAdding.next()")
        sent.failure(None, None, None, js="() => sugarAdding.stop()")
        shown = [*v.shown, v.chosen]
        began = [
            begin.click(app.guarded(self.add), v.chosen, shown, **plain),
            v.camera.change(app.guarded(self.snap), [v.chosen, v.camera], [*shown, v.camera], **plain),
            v.add_folder.click(
                app.guarded(self.add_folder), [v.chosen, v.folder], [*shown, v.folder], **plain
            ),
            v.watch.click(app.guarded(self.watch), [v.chosen, v.folder], [*shown, v.folder], **plain),
        ]
        for event in began:
            app.galleries_changed(event)
        v.watched.click(run(self.unwatch), v.chosen, v.shown, **plain)

    def collect(self, request: gr.Request, files: Any) -> None:
        """Keep a part until the last one has come."""
        kept = self.app.visitor(request).state.of(Sent).paths
        given = files if isinstance(files, list) else [files]
        if len(kept) + len(given) > MOST_SENT:
            raise InputError(words.TOO_MANY.format(most=MOST_SENT))
        kept += [f for f in given if isinstance(f, str)]

    def add(self, request: gr.Request, name: Any) -> Change:
        kept = self.app.visitor(request).state.of(Sent)
        files, kept.paths = kept.paths, []
        return self._add(request, name, files)

    def _add(self, request: gr.Request, name: Any, files: list[str]) -> Change:
        """Begin to take uploads in. Where that is refused through no fault of theirs, they are kept."""
        try:
            target = self.calls.receiving(request, name)
            self.calls.add(request, target, files, most=MOST_SENT)
        except InputError:
            raise
        except SugarError as error:  # too much work under way, or no room
            kept = self.app.visitor(request).state.of(Sent)
            kept.paths = [*files, *kept.paths]
            raise type(error)(f"{error} {words.KEPT}") from error
        return self._begun_in(request, target)

    def snap(self, request: gr.Request, name: Any, picture: Any) -> Change:
        """A picture of the camera, named by the time."""
        if picture is None:
            return {self.view.camera: gr.skip()}
        path = self.calls.upload(request, picture)
        named = path.with_name(f"{words.CAMERA} {datetime.now():%Y-%m-%d %H.%M.%S}{path.suffix}")
        return {**self._add(request, name, [str(path.rename(named))]), self.view.camera: None}

    def add_folder(self, request: gr.Request, name: Any, folder: Any) -> Change:
        target = self.calls.receiving(request, name)
        self.calls.add_folder(request, target, folder)
        return {**self._begun_in(request, target), self.view.folder: ""}

    def watch(self, request: gr.Request, name: Any, folder: Any) -> Change:
        target = self.calls.receiving(request, name)
        self.calls.watch(request, target, folder)
        return {**self.shown(request), **self._chosen(request, target), self.view.folder: ""}

    def unwatch(self, request: gr.Request, name: Any, event: gr.EventData) -> Change:
        self.calls.unwatch(request, name, str(getattr(event, "pick", "")))
        return {self.view.watched: watched_html(self.app.watching.of(str(name)))}

    def _begun_in(self, request: gr.Request, name: str) -> Change:
        """Work has begun in a gallery, which may be another than the one that was shown."""
        return {**self.begun(request), **self._chosen(request, name)}

    def _chosen(self, request: gr.Request, name: str) -> Change:
        return {self.view.chosen: gr.Dropdown(choices=self.app.gallery_names(request), value=name)}
