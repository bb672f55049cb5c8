"""Deletions that can be taken back for ten seconds, and then are true deletions.

    bin = DelayedDeletions()
    bin.add(gallery, [3, 4]); bin.waiting(gallery); bin.undo(gallery); bin.finish(gallery)
    bin.resume(folders, after)                   # at the start: what an app that was killed had promised

What waits is hidden by the services. It belongs to the gallery's folder, where the file LEAVING names it: the
deletion comes true whatever happens to the open gallery, to the model or to the app, and is tried again until
it has.
"""

from __future__ import annotations

import atexit
import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sugar.atomic import write_whole
from sugar.errors import GalleryError, NotSavedError, SettingsError, SugarError
from sugar.text_files import read_json

__all__ = ["LEAVING", "SECONDS", "DelayedDeletions"]

SECONDS = 10.0
LEAVING = "leaving.json"
"""The file in a gallery's folder: {SHA-256 of a picture: when it goes, in seconds since 1970}."""

_SLOWEST = 60.0  # seconds between two tries of a deletion that does not work
log = logging.getLogger("sugar")


@dataclass
class _Leaving:
    """What waits in one folder.

    items: {id: SHA-256}. due: when they go, by time.time(). going: those that are being deleted just now.
    opened: the gallery that was asked last, a weak reference; it may be closed by then. after: called when
    pictures have gone. recorded: whether the file LEAVING names them.
    """

    opened: Callable[[], Any] = lambda: None
    after: Callable[[], Any] = lambda: None
    items: dict[int, str] = field(default_factory=dict)
    due: float = 0.0
    going: set[int] = field(default_factory=set)
    recorded: bool = True
    failed: int = 0
    timer: threading.Timer | None = None


class DelayedDeletions:
    """What waits, for each gallery's folder. Any thread may call."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._waiting: dict[Path, _Leaving] = {}
        self._lock = threading.RLock()
        atexit.register(self.finish_all)

    def add(self, gallery: Any, ids: Iterable[int]) -> int:
        """Delete these pictures in a while, with those that wait already: the time of all begins anew."""
        here = {item.id: item.sha256 for item in gallery.items(ids=ids)}
        if not here:
            return 0
        with self._lock:
            entry = self._waiting.setdefault(gallery.folder, _Leaving())
            entry.opened, entry.after = weakref.ref(gallery), gallery.after_delete
            entry.items |= here
            entry.due = time.time() + self._seconds
            entry.recorded = _record(gallery.folder, dict.fromkeys(entry.items.values(), entry.due))
            self._wake(gallery.folder, self._seconds)
        return len(here)

    def resume(self, folders: Iterable[Path], after: Callable[[], Any]) -> None:
        """Carry out what an app that has ended promised. after: called when pictures have gone."""
        from sugar.gallery import numbers_of

        for folder in folders:
            if not (told := _recorded(folder)):
                continue
            try:
                items = numbers_of(folder, told)
            except SugarError as error:  # a damaged gallery: the promise stays beside it
                log.warning("pictures that were to go are still there: %s", error)
                continue
            with self._lock:
                entry = self._waiting.setdefault(folder, _Leaving(after=after))
                entry.items |= items
                entry.due = min(max(told.values()), time.time() + SECONDS)
                self._wake(folder, entry.due - time.time())

    def waiting(self, gallery: Any) -> set[int]:
        """Ids of the pictures of a gallery that are about to go."""
        with self._lock:
            entry = self._waiting.get(gallery.folder)
            waiting = set(entry.items) if entry else set()
            going = set(entry.going) if entry else set()
        with suppress(GalleryError):  # closed
            waiting -= going - {item.id for item in gallery.items(ids=going)} if going else set()
        return waiting

    def undo(self, gallery: Any) -> int:
        """Keep what waits; returns how many pictures are back. What is being deleted just now goes."""
        with self._lock:
            entry = self._waiting.get(gallery.folder)
            return self._drop(gallery.folder, set(entry.items) - entry.going) if entry else 0

    def finish(self, gallery: Any) -> int:
        """Delete what waits, now; how many went. What cannot be deleted yet is tried again."""
        return self._finish(gallery.folder)

    def finish_all(self) -> None:
        """The app ends. What cannot be deleted now is deleted at its next start."""
        for folder in list(self._waiting):
            self._finish(folder)

    def _finish(self, folder: Path) -> int:
        with self._lock:
            entry = self._waiting.get(folder)
            if entry is None or entry.going:
                return 0
            if entry.recorded and (told := _recorded(folder)) is not None:
                # what it does not name was taken back by another app, or the whole gallery went
                self._drop(folder, {item for item, sha256 in entry.items.items() if sha256 not in told})
            if not entry.items:
                return 0
            entry.going = set(entry.items)
        try:
            count = _delete(folder, entry)
        except Exception as error:
            with self._lock:
                entry.going, entry.failed = set(), entry.failed + 1
                if entry.failed == 1:
                    known = isinstance(error, SugarError)
                    log.warning("a deletion did not work and is tried again: %s", error, exc_info=not known)
                self._wake(folder, min(_SLOWEST, 2.0 ** (entry.failed - 1)))
            return 0
        with self._lock:
            gone, entry.going, entry.failed = entry.going, set(), 0
            self._drop(folder, gone)
            if entry.items:  # deleted on the page meanwhile
                self._wake(folder, entry.due - time.time())
        return count

    def _drop(self, folder: Path, ids: Iterable[int]) -> int:
        """Wait for these no more."""
        entry = self._waiting[folder]
        dropped = [entry.items.pop(item) for item in ids]
        _record(folder, {}, without=dropped)
        if not entry.items:
            self._wake(folder, None)
            self._waiting.pop(folder)
        return len(dropped)

    def _wake(self, folder: Path, seconds: float | None) -> None:
        """Finish in so many seconds, and not before; never for None."""
        entry = self._waiting[folder]
        if entry.timer is not None:
            entry.timer.cancel()
        if seconds is not None:
            entry.timer = threading.Timer(max(0.0, seconds), self._finish, args=(folder,))
            entry.timer.daemon = True
            entry.timer.start()


def _delete(folder: Path, entry: _Leaving) -> int:
    """Delete for good, through the open gallery, or without it where it was closed. Raises SugarError."""
    from sugar.gallery import erase, is_gallery

    if not is_gallery(folder):
        return 0
    if (opened := entry.opened()) is not None:
        with suppress(GalleryError, SettingsError):  # closed: another model stands, or its visitor has left
            return int(opened.delete(entry.going))
    try:
        return erase(folder, [entry.items[item] for item in entry.going])
    finally:
        entry.after()


def _recorded(folder: Path) -> dict[str, float] | None:
    """What the file LEAVING names; None when it cannot be read."""
    try:
        return {str(item): float(due) for item, due in read_json((folder / LEAVING).read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _record(folder: Path, items: dict[str, float], without: Iterable[str] = ()) -> bool:
    """Put items into the file LEAVING, and take others out; whether it could be written."""
    told = {**(_recorded(folder) or {}), **items}
    for item in without:
        told.pop(item, None)
    try:
        if told:
            write_whole(folder / LEAVING, json.dumps(told, indent=1).encode())
        else:
            (folder / LEAVING).unlink(missing_ok=True)
    except (NotSavedError, OSError) as error:
        log.warning("%s", error)
        return False
    return True
