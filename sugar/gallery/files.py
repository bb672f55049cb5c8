"""The files of a gallery beside its database: kept pictures, incoming ones, the saved index.

Picture files follow the rows: a new file waits in `incoming/` until its row is committed; the file of a
deleted row stands in the table `deleted_files` until it is gone. A kill between the two is mended at the
next start.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sugar.errors import GalleryError
from sugar.gallery.copies import disk_errors
from sugar.gallery.embedding import EmbeddingModel
from sugar.gallery.index import log
from sugar.gallery.index_files import save_index
from sugar.gallery.locks import FileLock, WriterLock
from sugar.gallery.options import GallerySettings
from sugar.gallery.reading import GalleryReader
from sugar.gallery.store import READ_ONLY, Store

__all__ = ["GalleryFiles"]


class GalleryFiles(GalleryReader):
    """A gallery's locks and files."""

    def __init__(self, folder: Path, store: Store, model: EmbeddingModel, settings: GallerySettings) -> None:
        super().__init__(folder, store, model, settings)
        self._writer = WriterLock(folder)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the writer's lock and `lock`.

        Raises GalleryError: read-only, or the gallery was deleted; BusyError.
        """
        if self.store.read_only:
            raise GalleryError(READ_ONLY)
        with self._writer.held(), self.lock, disk_errors("What was reported as done is kept."):
            self.check_current()
            yield

    def run_lock(self) -> FileLock:
        """The lock of a whole ingest, re-index or import.

        Raises GalleryError when the gallery is read-only.
        """
        if self.store.read_only:
            raise GalleryError(READ_ONLY)
        self.check_current()
        return FileLock(self.folder / "run.lock")

    def check_current(self) -> None:
        """Raises GalleryError when another program has deleted the gallery, or made it anew."""
        if not self.is_current():
            raise GalleryError(f"The gallery {self.folder.name!r} was deleted meanwhile. Open it again.")

    def in_step(self) -> None:
        """Under the writer's lock, after a change: the index in memory holds what the store holds."""
        self._epoch = self.index_state().epoch

    def move_in(self, files: Iterable[str]) -> None:
        """Move pictures of committed rows from `incoming/` to their place."""
        for file in files:
            target = self.kept(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.folder / "incoming" / file, target)

    def finish_removals(self) -> None:
        """Remove the files of deleted rows.

        The list of them is in the store, so that a killed deletion is finished.
        """
        files = [f for (f,) in self.store.read("SELECT file FROM deleted_files")]
        if not files:
            return
        for file in files:
            self.kept(file).unlink(missing_ok=True)
            (self.folder / "incoming" / file).unlink(missing_ok=True)
        with self.store.write() as db:
            db.executemany("DELETE FROM deleted_files WHERE file = ?", [(f,) for f in files])

    def sort_incoming(self) -> None:
        """Keep incoming pictures whose rows were committed, drop the others.

        Only the holder of `run.lock` may.
        """
        for path in (self.folder / "incoming").glob("*"):
            known = "SELECT 1 FROM items WHERE sha256 = ? AND suffix = ?"
            if self.store.read(known, (path.stem, path.suffix)):
                self.move_in([path.name])
            else:
                path.unlink(missing_ok=True)

    def drop_indexes(self, but: Path | None = None) -> None:
        """Remove the index files of every model, or of all but one folder; they are built again when used.

        They may hold vectors of deleted pictures.
        """
        for folder in (self.folder / "index").glob("*"):
            if folder != but:
                shutil.rmtree(folder, ignore_errors=True)

    def save_index(self, *, always: bool = False) -> None:
        """Write the index files when they lag: always, or when more than a fiftieth was appended since.

        A full disk here costs only time at the next opening.
        """
        with self.lock:
            if not self._index_lags(always):
                return
        with self.changing():
            if not self._index_lags(always):
                return
            self.index().choose()
            try:
                save_index(self.index(), self.index_folder, self.index_state())
            except (OSError, RuntimeError) as error:  # FAISS raises RuntimeError on a full disk
                shutil.rmtree(self.index_folder, ignore_errors=True)  # an older one may hold what is deleted
                log.warning("index: not saved (%s); it will be rebuilt at the next opening", error)

    def _index_lags(self, always: bool) -> bool:
        index, state = self.index(), self.index_state()
        if index.saved == (state.epoch, state.seq, len(index)):
            return False
        if always or index.saved is None or index.saved[0] != state.epoch:
            return bool(len(index)) or self.index_folder.is_dir()
        return 50 * (len(index) - index.saved[2]) > len(index)

    def recover(self) -> None:
        """After a kill: keep incoming pictures whose rows are there, drop the others, finish deletions."""
        incoming = self.folder / "incoming"
        left = incoming.is_dir() and any(incoming.iterdir())
        deleted = self.store.read("SELECT count(*) FROM deleted_files")[0][0]
        torn = any(self.folder.glob("*.new")) or any(self.folder.glob("index/*/*.new"))
        if not left and not deleted and not torn:
            return
        run = self.run_lock()
        if not run.acquire():
            return  # a run is filling the gallery right now: those are its files
        try:
            with self.changing():
                self.sort_incoming()
                self.finish_removals()
                for path in [*self.folder.glob("*.new"), *self.folder.glob("index/*/*.new")]:
                    path.unlink(missing_ok=True)
                if deleted:
                    self.drop_indexes(but=self.index_folder)
                    self.store.scrub()
        finally:
            run.release()

    def settle(self) -> None:
        """Make it fit to ship with a clone: one plain database file, no trace of its sources."""
        with self.changing():
            with self.store.write() as db:
                db.execute("DELETE FROM sources")
            self.save_index(always=True)
            self.store.settle()
            if (self.folder / "incoming").is_dir():
                (self.folder / "incoming").rmdir()
        for lock in ("writer.lock", "run.lock"):
            (self.folder / lock).unlink(missing_ok=True)
