"""Which galleries a visitor may open, and the ones that are open.

    galleries.names(page), galleries.open(page, "holiday", model)

In public mode each visitor has one gallery, "mine", which goes with the visitor; else galleries persist by
name. The sample is for everybody, read-only; so are collections (sugar/cluster), in public mode where the
operator says so. Not covered: what a gallery is (sugar/gallery), what is done
with one (gallery.py).
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sugar.errors import GalleryError, InputError, SettingsError
from sugar.services.conversation import FOLDER, SavedConversations
from sugar.services.modes import Mode
from sugar.services.quotas import Disk, Quotas
from sugar.services.visitors import Page, PrivateFiles, Visitor
from sugar.settings import Settings

SAMPLE, MINE = "sample", "mine"
_NAME = re.compile(r"[\w][\w .-]{0,59}")


class Everybody(Protocol):
    """What is asked of those who keep the visitors: the mode, their files, and what they may keep."""

    mode: Mode
    files: PrivateFiles
    disk: Disk
    quotas: Quotas


class Galleries:
    """Which galleries a visitor may open, and the ones that are open.

    One is kept open while its model answers.
    """

    def __init__(self, settings: Settings, visitors: Everybody) -> None:
        self.settings, self.visitors, self.private = settings, visitors, visitors.mode.private
        self.collections = {} if self.private and not settings.public_collections else settings.collections
        self._open: dict[tuple[str, str], Any] = {}
        self._lock = threading.RLock()
        self.on_delete: list[Callable[[Visitor | None], None]] = []
        """Told whose pictures were deleted; None for everybody's."""
        self._sweep()
        from sugar.gallery import list_named

        if taken := set(self.collections) & set(list_named(self.root)):
            raise SettingsError(
                f"There is a gallery named {min(taken)!r} already. Give the collection another name."
            )

    def _sweep(self) -> None:
        """Remove what killed deletions and imports left, and what was deleted while the app did not run."""
        from sugar.gallery import sweep

        if self.root.is_dir():
            sweep(self.root)
        if not self.private:
            self.forget_deleted(None)

    @property
    def root(self) -> Path:
        return self.settings.gallery_root

    def private_folder(self, visitor: Visitor) -> Path:
        """Where a visitor's own gallery lies in public mode: in the app's cache, outside what is served."""
        return self.visitors.files.root.parent / "galleries" / visitor.id

    def names(self, page: Page) -> list[str]:
        """What this visitor can choose from: "sample" first where it ships, their own, then collections."""
        from sugar.gallery import list_named

        sample = [SAMPLE] if (self.root / SAMPLE).is_dir() else []
        own = [MINE] if self.private else [n for n in list_named(self.root) if n != SAMPLE]
        return [*sample, *own, *self.collections]

    def read_only(self, name: str) -> bool:
        return name == SAMPLE or name in self.collections

    def holding(self, page: Page, items: Iterable[str]) -> set[str]:
        """Those of the items, by their SHA-256, that one of this visitor's galleries has."""
        return self._holding(page.visitor, items)

    def _holding(self, visitor: Visitor | None, items: Iterable[str]) -> set[str]:
        from sugar.gallery import holding, list_named

        folders = [self.root / n for n in ([SAMPLE] if self.private else list_named(self.root))]
        if self.private and visitor is not None:
            folders.append(self.private_folder(visitor))
        wanted = set(items)
        found = holding(folders, wanted)
        for address in self.collections.values() if found != wanted else ():
            from sugar import cluster

            found |= cluster.holding(address, wanted - found)
        return found

    def forget_deleted(self, visitor: Visitor | None) -> None:
        """Remove what shows a picture that is in no gallery any more: files of the visitor's, and pictures of
        saved conversations.

        Where galleries are not private they are everybody's, and so are these files.
        """
        for callback in self.on_delete:
            callback(visitor)
        files = self.visitors.files
        shown = files.showing(visitor if self.private else None)
        items = {i for known in shown.values() for i in known}
        gone = items - self._holding(visitor, items)
        for path in [p for p, known in shown.items() if not gone.isdisjoint(known)]:
            files.remove(path)
        if self.private:
            return
        saved = SavedConversations(self.root / FOLDER)
        with saved.changing:
            saved.sweep()
            items = saved.items()
            if gone := items - self._holding(visitor, items):
                saved.forget(gone)

    def open(self, page: Page, name: str, model: Any) -> Any:
        """The gallery of that name.

        Raises GalleryError when this visitor has none, FingerprintError when another model made it.
        """
        from sugar.gallery import Gallery

        if not isinstance(name, str) or name not in self.names(page):
            raise GalleryError(
                "There is no gallery of that name. Choose one from the list, or create it in the tab Photos."
            )
        owner = page.visitor.id if self.private and not self.read_only(name) else ""
        with self._lock:
            known = self._open.get((owner, name))
            if known is not None and known[0] is model and _usable(known[1], model):
                return known[1]
            if known is not None:
                self._close((owner, name))
            gallery: Any
            if name in self.collections:
                from sugar.cluster import Collection

                gallery = Collection.open(self.collections[name], model, name=name)
                if known is not None:  # pictures of it may have been deleted
                    self.forget_deleted(page.visitor)
            elif name == SAMPLE:
                gallery = Gallery.open(self.root / SAMPLE, model, read_only=True)
            elif self.private:
                gallery = self._own(page.visitor, model)
            else:
                gallery = Gallery.open(self.root / name, model)
            return self._opened((owner, name), model, gallery, page.visitor)

    def _opened(self, key: tuple[str, str], model: Any, gallery: Any, visitor: Visitor) -> Any:
        gallery.after_delete = partial(self.forget_deleted, visitor)
        if not self.settings.keep_originals:
            gallery.settings = replace(gallery.settings, keep_originals=False)
        self._open[key] = (model, gallery)
        return gallery

    def create(self, page: Page, name: str, model: Any, *, keep_location: bool = False) -> Any:
        """A new gallery; keep_location: one that keeps where pictures were taken.

        Raises GalleryError: the name is taken, or the host is shared (each has one there); InputError: a
        bad name.
        """
        from sugar.gallery import Gallery, GallerySettings

        if self.private:
            raise GalleryError('On a shared host everybody has one gallery, "mine". Use that one.')
        with self._lock:
            settings = GallerySettings(keep_location=keep_location)
            gallery = Gallery.create(self.root / self._plain(name), model, settings)
            return self._opened(("", gallery.folder.name), model, gallery, page.visitor)

    def receiving(self, page: Page, name: str, model: Any) -> str:
        """The gallery that new pictures go to: the one named; "mine", made when need be, for the sample."""
        if not self.read_only(name):
            return name
        with self._lock:
            if not self.private and MINE not in self.names(page):
                self.create(page, MINE, model)
        return MINE

    def bring(
        self,
        page: Page,
        name: str,
        archive: Path,
        model: Any,
        *,
        keep_location: bool = False,
        progress: Callable[[Any], Any] | None = None,
        cancel: threading.Event | None = None,
    ) -> Any:
        """A new gallery from an export; it is built outside the lock, so that other galleries go on.

        Raises GalleryError, InputError; where galleries are private an export is added to "mine" instead.
        """
        from sugar.gallery import GallerySettings, import_zip

        if self.private:
            raise GalleryError('On a shared host add the zip to your gallery "mine" with Add.')
        kept = GallerySettings(keep_location=keep_location, keep_originals=self.settings.keep_originals)
        path = self.root / self._plain(name)
        gallery = import_zip(archive, path, model, kept, progress=progress, cancel=cancel)
        with self._lock:
            return self._opened(("", gallery.folder.name), model, gallery, page.visitor)

    def remove(self, page: Page, name: str, model: Any) -> None:
        """Delete a whole gallery, also one that cannot be opened.

        A visitor's own on a shared host is emptied. Raises GalleryError for the sample.
        """
        from sugar.gallery import discard

        if self.read_only(name):
            raise GalleryError(f"The gallery {name!r} is for reading. Create one of your own.")
        try:
            gallery = self.open(page, name, model)
        except (GalleryError, SettingsError):
            if name not in self.names(page):
                raise
            discard(self.private_folder(page.visitor) if self.private else self.root / name)
            self.forget_deleted(page.visitor)
            return
        if self.private:
            gallery.clear()
            return
        with self._lock:
            self._open.pop(("", name), None)
            gallery.destroy()

    def close(self, page: Page, name: str) -> None:
        """Let go of an open gallery, before it is destroyed, imported over or re-indexed."""
        with self._lock:
            self._close((page.visitor.id if self.private and not self.read_only(name) else "", name))

    def release(self, model: Any) -> None:
        """Another model stands: close what was opened with the one before, so that its memory is free."""
        with self._lock:
            for key in [k for k, (opened_with, _) in self._open.items() if opened_with is not model]:
                self._close(key)

    def leave(self, visitor: Visitor) -> None:
        """Close and remove what a visitor had in public mode."""
        if not self.private:
            return
        with self._lock:
            for key in [k for k in self._open if k[0] == visitor.id]:
                self._close(key)
            shutil.rmtree(self.private_folder(visitor), ignore_errors=True)

    def keeps(self, visitor: Visitor) -> bool:
        """Whether a visitor has a gallery of their own, in public mode."""
        return self.private and self.private_folder(visitor).exists()

    def check_room(self, page: Page, adding: int = 0) -> None:
        """Whether the visitor may add so many bytes. Raises GalleryError."""
        folders = [self.visitors.files.folder(page.visitor), self.private_folder(page.visitor)]
        if self.private:
            self.visitors.disk.check(folders, adding)
        else:
            self.visitors.disk.check_free(adding)

    def _own(self, visitor: Visitor, model: Any) -> Any:
        """The visitor's own gallery.

        A new one at first. Raises BusyError: too many new visitors of one address.
        """
        from sugar.gallery import VISITOR_SETTINGS, Gallery

        folder = self.private_folder(visitor)
        if (folder / "gallery.db").exists():
            return Gallery.open(folder, model)
        self.visitors.quotas.admit_newcomer(visitor)
        limits = replace(VISITOR_SETTINGS, max_items=self.settings.gallery_items)
        return Gallery.create(folder, model, limits)

    def _plain(self, name: Any) -> str:
        """A new gallery's name, fit for a folder. Raises InputError."""
        name = str(name).strip()
        if not _NAME.fullmatch(name) or self.read_only(name):
            raise InputError(
                "A gallery's name is 1 to 60 letters, digits, blanks, dots or dashes, and none of "
                f"{', '.join(map(repr, [SAMPLE, *self.collections]))}."
            )
        return name

    def _close(self, key: tuple[str, str]) -> None:
        known = self._open.pop(key, None)
        if known is not None:
            known[1].close()


def _usable(gallery: Any, model: Any) -> bool:
    """Whether an open gallery is still the one on the disk, and still this model's."""
    return gallery.fingerprint == model.fingerprint and gallery.is_current()
