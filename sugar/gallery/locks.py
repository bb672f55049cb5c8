"""Locks that hold over all processes and end with the process that holds them, however it ends.

A gallery has two. `run.lock` is held for a whole ingest, re-index or import: one at a time. `writer.lock` is
held for one change: a batch of an ingest, a deletion, a caption. A change waits for another one to end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from sugar.errors import BusyError, GalleryError

__all__ = ["RUNNING", "FileLock", "WriterLock"]


RUNNING = "Another run is filling this gallery. Wait for it, or cancel it."


class FileLock:
    """An exclusive lock on a file of its own, by the system's own locks: a kill ends it."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self._lock = filelock.FileLock(
            path, thread_local=False, poll_interval=0.02, fallback_to_soft=False, preserve_lock_file=True
        )

    def acquire(self, wait: float = 0.0) -> bool:
        """False when another holder keeps it for `wait` seconds.

        Raises GalleryError: the gallery is gone, or its folder is read-only, full or on a disk without locks.
        """
        gone = f"The gallery {self._folder.name!r} was deleted meanwhile."
        if not self._folder.is_dir():
            raise GalleryError(gone)
        try:
            self._lock.acquire(timeout=wait)
        except filelock.Timeout:
            return False
        except OSError as error:
            raise GalleryError(
                f"The folder of gallery {self._folder.name!r} cannot be locked for writing ({error}). "
                "Check its permissions and the free space, or keep galleries on a local disk."
            ) from error
        if not (self._folder / "gallery.db").exists():  # deleted while we waited
            self.release()
            raise GalleryError(gone)
        return True

    def release(self) -> None:
        self._lock.release()

    @contextmanager
    def held(self, busy: str, waiting: Callable[[], Any] | None = None) -> Iterator[None]:
        """Hold it for a block. Raises BusyError with the words `busy` when another holder keeps it.

        waiting: called now and then until the other holder lets go, instead; it ends the wait by raising.
        """
        while not self.acquire(0.5 if waiting else 0.0):
            if waiting is None:
                raise BusyError(busy)
            waiting()
        try:
            yield
        finally:
            self.release()


class WriterLock:
    """`writer.lock` of one gallery object: may be taken again by the thread that holds it."""

    SECONDS = 30.0
    """How long a change waits for another program's change to end."""

    def __init__(self, folder: Path) -> None:
        self._thread = threading.RLock()
        self._file = FileLock(folder / "writer.lock")
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises BusyError when another program keeps the lock, GalleryError when the gallery is gone."""
        with self._thread:
            if self._depth == 0 and not self._file.acquire(self.SECONDS):
                raise BusyError("Another program is changing this gallery. Wait for it, or close it.")
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._file.release()
