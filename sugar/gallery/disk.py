"""A gallery's files beside its database, and what keeps them whole: locks, synced writing, removal.

A gallery has two locks, which hold over all processes and end with the process that holds them, however it
ends. `run.lock` is held for a whole ingest, re-index or import: one at a time. `writer.lock` is held for one
change (a batch, a deletion, a caption), which waits for another one to end.

A gallery is renamed to `.NAME.RANDOM.deleting` before its files go, an import is built in
`.NAME.RANDOM.importing`. `sweep(root)` removes at the start what a kill left of both.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from sugar.errors import BusyError, GalleryError
from sugar.gallery.store import Store
from sugar.images import Picture

DELETING, IMPORTING = ".deleting", ".importing"
_ORIGINAL = "-original."
_LOSSLESS = ("PNG", "GIF", "BMP", "TIFF")
_LOSSLESS_SIDE = 512

# -- locks


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
    def held(self, waiting: Callable[[], Any] | None = None) -> Iterator[None]:
        """Hold `run.lock` for a block. Raises BusyError when another run has it.

        waiting: called now and then until the other run ends, instead; it ends the wait by raising.
        """
        while not self.acquire(0.5 if waiting else 0.0):
            if waiting is None:
                raise BusyError("Another run is filling this gallery. Wait for it, or cancel it.")
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


# -- kept pictures


class KeptPictures:
    """The working copies of a gallery's pictures, and stored originals. They follow the rows of the database.

    A new file waits in `incoming/` until its row is committed; the file of a deleted row stands in the table
    `deleted_files` until it is gone. A kill between the two is mended when the gallery is opened next.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._pictures, self._originals, self._store = folder / "pictures", folder / "originals", store
        self.incoming = folder / "incoming"

    def path(self, file: str) -> Path:
        """Where the copy SHA256.suffix lies, or the original SHA256-original.suffix.

        Before its row is committed, it is in `incoming/` only.
        """
        return (self._originals if _ORIGINAL in file else self._pictures) / file[:2] / file

    def add(self, sha256: str, picture: Picture) -> str:
        """Encode a copy into `incoming/`; returns its suffix. Raises OSError.

        PNG for small pictures from a lossless format, else JPEG at quality 90.
        """
        out = io.BytesIO()
        lossless = picture.format in _LOSSLESS and max(picture.image.size) <= _LOSSLESS_SIDE
        if lossless:
            picture.image.save(out, "PNG")
        else:
            picture.image.save(out, "JPEG", quality=90)
        suffix = ".png" if lossless else ".jpg"
        write_synced(self.incoming / f"{sha256}{suffix}", out.getvalue())
        return suffix

    def move_in(self, files: Iterable[str]) -> None:
        """Move pictures of committed rows from `incoming/` to their place; an original where there is one."""
        for file in files:
            if _ORIGINAL in file and not (self.incoming / file).exists():
                continue
            target = self.path(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.incoming / file, target)

    def sort_incoming(self) -> None:
        """Keep incoming pictures whose rows were committed, drop the others.

        Only the holder of `run.lock` may.
        """
        for path in self.incoming.glob("*"):
            known = "SELECT 1 FROM items WHERE sha256 = ?"
            if self._store.read(known, (path.name[:64],)):
                self.move_in([path.name])
            else:
                path.unlink(missing_ok=True)

    def finish_removals(self) -> None:
        """Remove the files of deleted rows.

        The list of them is in the store, so that a killed deletion is finished.
        """
        files = [f for (f,) in self._store.read("SELECT file FROM deleted_files")]
        if not files:
            return
        for file in files:
            self.path(file).unlink(missing_ok=True)
            (self.incoming / file).unlink(missing_ok=True)
        with self._store.write() as db:
            db.executemany("DELETE FROM deleted_files WHERE file = ?", [(f,) for f in files])


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it. Raises OSError."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# -- folders that go


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it. What cannot be removed now goes at the next sweep."""
    if folder.is_symlink():  # to another disk: what it stands for goes too
        shutil.rmtree(folder.resolve(), ignore_errors=True)
        with suppress(OSError):
            folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def importing_folder(folder: Path) -> Path:
    """Where a gallery for `folder` is built before it appears there."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{IMPORTING}")


def hide(folder: Path) -> Path:
    """Give a folder the name of one on its way out: killed from here on, it goes at the next sweep."""
    hidden = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{DELETING}")
    try:
        os.rename(folder, hidden)
    except OSError as error:
        raise GalleryError(
            f"The gallery {folder.name!r} cannot be deleted ({error.strerror}). Check its permissions."
        ) from error
    return hidden


def discard(folder: Path) -> None:
    """Delete a gallery that cannot be opened, its folder included. Raises BusyError while a run fills it."""
    with ExitStack() as held:
        with suppress(GalleryError, OSError):  # too damaged to be locked
            held.enter_context(FileLock(folder / "run.lock").held())
        hidden = hide(folder)
    remove_folder(hidden)


def sweep(root: str | os.PathLike) -> int:
    """Remove what killed deletions and imports left under `root`; returns how many folders went.

    An import that another program is working on stays.
    """
    gone = 0
    for folder in sorted(Path(root).glob(".*")):
        if folder.name.endswith(DELETING) and (folder.is_dir() or folder.is_symlink()):
            remove_folder(folder)
            gone += 1
        elif folder.name.endswith(IMPORTING) and folder.is_dir():
            lock = FileLock(folder / "run.lock")
            try:
                free = lock.acquire()
            except GalleryError:  # killed before there was a database in it
                free = True
            if free:
                lock.release()
                remove_folder(folder)
                gone += 1
    return gone
