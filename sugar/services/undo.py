"""Deletions that can be taken back for ten seconds, and then are true deletions.

    bin = DelayedDeletions()
    bin.add(gallery, [3, 4]); bin.waiting(gallery); bin.undo(gallery); bin.finish(gallery)

What waits is hidden by the services. The end of the app deletes what still waits; a kill leaves it undeleted.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sugar.errors import SugarError

__all__ = ["SECONDS", "DelayedDeletions"]

SECONDS = 10.0
log = logging.getLogger("sugar")


class DelayedDeletions:
    """What waits, for each gallery. Any thread may call."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._waiting: dict[Path, tuple[Any, set[int], threading.Timer]] = {}
        self._lock = threading.RLock()
        atexit.register(self.finish_all)

    def add(self, gallery: Any, ids: Iterable[int]) -> int:
        """Delete these pictures in a while. What waited before in this gallery is deleted now."""
        self.finish(gallery)
        here = {item.id for item in gallery.items(ids=ids)}
        if not here:
            return 0
        timer = threading.Timer(self._seconds, self.finish, args=(gallery,))
        timer.daemon = True
        with self._lock:
            self._waiting[gallery.folder] = (gallery, here, timer)
        timer.start()
        return len(here)

    def waiting(self, gallery: Any) -> set[int]:
        """Ids of the pictures of a gallery that are about to go."""
        with self._lock:
            entry = self._waiting.get(gallery.folder)
        return set(entry[1]) if entry else set()

    def undo(self, gallery: Any) -> int:
        """Keep what waits; returns how many pictures are back."""
        with self._lock:
            entry = self._waiting.pop(gallery.folder, None)
        if entry is None:
            return 0
        entry[2].cancel()
        return len(entry[1])

    def finish(self, gallery: Any) -> int:
        """Delete what waits, now."""
        with self._lock:
            entry = self._waiting.pop(gallery.folder, None)
        if entry is None:
            return 0
        entry[2].cancel()
        try:
            return entry[0].delete(entry[1])
        except SugarError as error:
            log.warning("a deletion did not end: %s", error)
            return 0

    def finish_all(self) -> None:
        for gallery, _, _ in list(self._waiting.values()):
            self.finish(gallery)
