"""Which galleries a visitor may open, and the ones that are open.

    galleries.names(visitor), galleries.open(visitor, "holiday", model)

On a person's own machine galleries persist by name; on a shared host (Settings.shared) each visitor has one gallery, "mine", which goes
when the page closes. The sample is for everybody, read-only.
Not covered: what a gallery is (sugar/gallery), what can be done with one from the page (gallery_api.py).
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from sugar.errors import GalleryError, InputError, SugarError
from sugar.settings import Settings
from sugar.ui.visitors import Visitor

__all__ = ["SAMPLE", "Galleries"]

SAMPLE, MINE = "sample", "mine"
_NAME = re.compile(r"[\w][\w .-]{0,59}")


class Galleries:
    """Which galleries a visitor may open, and the ones that are open. A gallery is opened once and kept while its model answers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: dict[tuple[str, str], Any] = {}
        self._lock = threading.RLock()

    @property
    def root(self) -> Path:
        return self.settings.gallery_root

    def names(self, visitor: Visitor) -> list[str]:
        """What this visitor can choose from: "sample" first where it ships, then their own."""
        from sugar.gallery import list_named

        sample = [SAMPLE] if (self.root / SAMPLE).is_dir() else []
        own = [MINE] if self.settings.shared else [n for n in list_named(self.root) if n != SAMPLE]
        return sample + own

    def read_only(self, name: str) -> bool:
        return name == SAMPLE

    def open(self, visitor: Visitor, name: str, model: Any) -> Any:
        """The gallery of that name. Raises GalleryError when this visitor has none, FingerprintError when another model made it."""
        from sugar.gallery import Gallery, open_visitor

        if not isinstance(name, str) or name not in self.names(visitor):
            raise GalleryError("There is no gallery of that name. Choose one from the list, or create it in the Gallery tab.")
        owner = visitor.key if self.settings.shared and name != SAMPLE else ""
        with self._lock:
            known = self._open.get((owner, name))
            if known is not None and known[0] is model:
                return known[1]
            if known is not None:
                self._close((owner, name))
            if name == SAMPLE:
                gallery = Gallery.open(self.root / SAMPLE, model, read_only=True)
            elif self.settings.shared:
                gallery, visitor.token = open_visitor(visitor.folder.parent / "galleries", model, visitor.token)
            else:
                gallery = Gallery.open(self.root / name, model)
            self._open[owner, name] = (model, gallery)
            return gallery

    def create(self, visitor: Visitor, name: str, model: Any) -> Any:
        """A new gallery. Raises GalleryError: the name is taken, or the host is shared (each has one there); InputError: a bad name."""
        from sugar.gallery import Gallery

        if self.settings.shared:
            raise GalleryError('On a shared host everybody has one gallery, "mine", for as long as the page is open. Use that one.')
        with self._lock:
            gallery = Gallery.create(self.root / _plain(name), model)
            self._open["", gallery.folder.name] = (model, gallery)
            return gallery

    def bring(self, visitor: Visitor, name: str, archive: Path, model: Any) -> Any:
        """A new gallery from an export. Raises GalleryError, InputError; on a shared host an export is added to "mine" instead."""
        from sugar.gallery import Gallery

        if self.settings.shared:
            raise GalleryError('On a shared host add the zip to your gallery "mine" with Add.')
        with self._lock:
            gallery = Gallery.import_zip(archive, self.root / _plain(name), model)
            self._open["", gallery.folder.name] = (model, gallery)
            return gallery

    def remove(self, visitor: Visitor, name: str, model: Any) -> None:
        """Delete a whole gallery; a visitor's own on a shared host is emptied. Raises GalleryError for the sample."""
        gallery = self.open(visitor, name, model)
        if self.read_only(name):
            raise GalleryError("The sample gallery is for reading. Create one of your own.")
        if self.settings.shared:
            gallery.clear()
            return
        with self._lock:
            self._open.pop(("", name), None)
            gallery.destroy()

    def close(self, visitor: Visitor, name: str) -> None:
        """Let go of an open gallery, before it is destroyed, imported over or re-indexed."""
        with self._lock:
            self._close((visitor.key if self.settings.shared and name != SAMPLE else "", name))

    def release(self, model: Any) -> None:
        """Another model stands: close what was opened with the one before, so that its memory is free."""
        with self._lock:
            for key in [k for k, (opened_with, _) in self._open.items() if opened_with is not model]:
                self._close(key)

    def leave(self, visitor: Visitor) -> None:
        """Close and remove what a visitor of a shared host had."""
        from sugar.gallery import close_visitor

        with self._lock:
            for key in [k for k in self._open if k[0] == visitor.key]:
                self._close(key)
        if visitor.token is not None:
            with suppress(SugarError):
                close_visitor(visitor.folder.parent / "galleries", visitor.token)
            visitor.token = None

    def _close(self, key: tuple[str, str]) -> None:
        known = self._open.pop(key, None)
        if known is not None:
            known[1].close()


def _plain(name: Any) -> str:
    """A gallery's name, fit for a folder. Raises InputError."""
    name = str(name).strip()
    if not _NAME.fullmatch(name) or name in (SAMPLE, MINE):
        raise InputError(f"A gallery's name is 1 to 60 letters, digits, blanks, dots or dashes, and not {SAMPLE!r} or {MINE!r}.")
    return name
