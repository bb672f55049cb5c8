"""What comes from the page or a program for a gallery, checked, and handed to the service.

Not covered: what the service does (sugar/services/gallery.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.paths import existing, missing, shown
from sugar.services.galleries import SAMPLE
from sugar.services.gallery import AddRequest, GalleryService
from sugar.services.jobs import Job
from sugar.ui.context import AppContext
from sugar.ui.incoming import number, text
from sugar.ui.text import gallery as words

__all__ = ["GalleryCalls", "Selected", "item_number"]

MOST = 1_000


@dataclass
class Selected:
    """The pictures that are selected on a page."""

    ids: list[int] = field(default_factory=list)


class GalleryCalls:
    """One for the whole app."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.service = GalleryService(app.workspace, app.jobs)

    def create(self, request: gr.Request, name: Any, keep_location: Any = False) -> str:
        """Make an empty gallery; its name."""
        plain = text(name, self.settings, what="name of the new gallery")
        return self.service.create(self.app.visitor(request), plain, keep_location=keep_location is True)

    def receiving(self, request: gr.Request, name: Any) -> str:
        """The gallery that new pictures go to; see `GalleryService.receiving`."""
        return self.service.receiving(self.app.visitor(request), str(name or SAMPLE))

    def add(self, request: gr.Request, name: Any, files: Any, most: int = MOST) -> Job:
        """Take uploads in. Raises InputError for anything that is not an upload of this visitor's."""
        given = [_path(f) for f in (files if isinstance(files, list) else [files]) if f is not None]
        if not given or len(given) > most:
            raise InputError(f"There are {len(given)} files. Choose 1 to {most:,}, or one zip.")
        page = self.app.visitor(request)
        paths = tuple(self._upload(page, path) for path in given)
        self.app.galleries.check_room(page)
        return self.service.add(page, AddRequest(str(name), paths, remove=True))

    def add_folder(self, request: gr.Request, name: Any, folder: Any) -> Job:
        """Take in a folder of this machine, where the mode lets the page name one."""
        path = self._here(folder)
        if not path.is_dir():
            raise InputError(words.NO_FOLDER.format(path=shown(path)))
        return self.service.add(self.app.visitor(request), AddRequest(str(name), (path,)))

    def watch(self, request: gr.Request, name: Any, folder: Any) -> None:
        """Follow a folder of this machine, where the mode lets the page name one."""
        self.service.check_writable(self.app.visitor(request), name)
        self.app.watching.watch(name, str(self._here(folder)))

    def unwatch(self, request: gr.Request, name: Any, folder: Any) -> None:
        self.service.check_writable(self.app.visitor(request), name)
        self._folders_allowed()
        self.app.watching.unwatch(name, text(folder, self.settings, what="folder"))

    def upload(self, request: gr.Request, path: Any) -> Path:
        """An upload of this visitor's. Raises InputError for anything else."""
        return self._upload(self.app.visitor(request), path)

    def bring(self, request: gr.Request, name: Any, file: Any) -> Job:
        """Import an uploaded export under a new name."""
        page = self.app.visitor(request)
        path = self._upload(page, _path(file))
        return self.service.bring(page, self._name(name, path), path, remove=True)

    def bring_from(self, request: gr.Request, name: Any, archive: Any) -> Job:
        """Import an export that lies on this machine, where the mode lets the page name one."""
        path = self._here(archive)
        if not path.is_file():
            raise InputError(words.NO_FILE.format(path=shown(path)))
        return self.service.bring(self.app.visitor(request), self._name(name, path), path)

    def export(self, request: gr.Request, name: Any) -> Job:
        """Write a zip of the gallery into the visitor's own folder."""
        return self.service.export(self.app.visitor(request), name)

    def caption(self, request: gr.Request, item: Any, given: Any) -> str:
        kept = text(given, self.settings, what="caption", required=False)
        return self.service.set_caption(self.app.visitor(request), item_number(item), kept)

    def _name(self, name: Any, path: Path) -> str:
        return text(name or path.stem, self.settings, what="name of the new gallery")

    def _upload(self, page: Any, path: Any) -> Path:
        if not isinstance(path, str) or not self.app.visitors.files.readable(path, page.visitor):
            raise InputError("One of these is not an upload of yours. Send the files themselves.")
        return Path(path)

    def _here(self, given: Any) -> Path:
        self._folders_allowed()
        typed = text(given, self.settings, what="folder or file")
        path = existing(typed)
        if path is None:
            raise InputError(f"{missing(typed)} Check the name.")
        return path

    def _folders_allowed(self) -> None:
        if not self.app.mode.folders:
            raise InputError("Folders of this machine can be named in personal mode only.")


def item_number(value: Any) -> int:
    """A picture's number. Raises InputError."""
    checked = number(value, 1, 2**62, "A picture's number")
    if checked != int(checked):
        raise InputError(f"A picture's number is {checked:g}; it must be whole.")
    return int(checked)


def _path(file: Any) -> Any:
    return file.get("path") if isinstance(file, dict) else file
