"""`Gallery`: reading and writing (reading.py, writing.py), and its life from `create` to `destroy`."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sugar.errors import BusyError, FingerprintError, GalleryError
from sugar.gallery.clearing import IMPORTING, hide, remove_folder
from sugar.gallery.copies import disk_errors
from sugar.gallery.embedding import EmbeddingModel
from sugar.gallery.exporting import export_zip
from sugar.gallery.gathering import gather
from sugar.gallery.importing import import_steps
from sugar.gallery.ingest import Ingest
from sugar.gallery.locks import RUNNING
from sugar.gallery.options import GallerySettings
from sugar.gallery.reindex import Reindex
from sugar.gallery.reports import IngestReport, Progress
from sugar.gallery.sources import Refusal, Source, SourceLike
from sugar.gallery.store import Store
from sugar.gallery.writing import GalleryWriter
from sugar.paths import existing

__all__ = ["Gallery"]

Steps = Generator[Progress, None, IngestReport]
"""A long run, a batch at a time: yields after each batch and returns the report. Closing it stops the run."""


class Gallery(GalleryWriter):
    """A person's pictures as one model sees them. Safe for threads. A context manager that closes.

    Long runs come twice: `add`, `embed_pending` and `import_zip` run to the end; `adding`,
    `embedding_pending` and `importing` yield after each batch. `cancel` is a threading.Event; closing the
    generator stops it too.
    """

    # -- opening and closing

    @classmethod
    def create(
        cls, path: str | os.PathLike, model: EmbeddingModel, settings: GallerySettings | None = None
    ) -> Gallery:
        """A new, empty gallery in the folder `path`. Raises GalleryError when there is one already."""
        folder = existing(path) or Path(path)
        settings = settings or GallerySettings()
        meta = {"salt": secrets.token_hex(16), "settings": json.dumps(asdict(settings), sort_keys=True)}
        return cls(folder, Store.create(folder / "gallery.db", meta), model, settings)

    @classmethod
    def open(cls, path: str | os.PathLike, model: EmbeddingModel, *, read_only: bool = False) -> Gallery:
        """The gallery in the folder `path`, as this model sees it.

        Items that the model has not embedded yet are listed, and found once `embed_pending` has run; other
        models' vectors stay beside. read_only: nothing is written, not even to put things in order.
        Raises GalleryError (missing, damaged, another format) and FingerprintError (vectors of another size).
        """
        folder = existing(path) or Path(path)
        store = Store.open(folder / "gallery.db", read_only=read_only)
        try:
            gallery = cls(folder, store, model, GallerySettings.from_json(store.meta("settings")))
            known = store.read("SELECT dimension FROM models WHERE fingerprint = ?", (gallery.fingerprint,))
            if known and known[0][0] != gallery.dimension:
                raise FingerprintError(
                    f"The gallery {folder.name!r} has vectors of {known[0][0]} numbers for model "
                    f"{gallery.fingerprint[:12]}, which now gives {gallery.dimension}. Load that model."
                )
            if not read_only:
                gallery.recover()
            gallery.index()
        except BaseException:
            store.close()
            raise
        return gallery

    def close(self) -> None:
        """Save the index and close the file.

        The gallery is whole without it; the next opening is then slower.
        """
        if self._index is not None and not self.store.read_only and self.is_current():
            with suppress(BusyError):  # another program is writing: it will save its own
                self.save_index(always=True)
        with self.lock:
            self._index = None
            self.store.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def destroy(self) -> None:
        """Delete the whole gallery, its folder included. The object is closed.

        Raises BusyError while a run fills it. Renamed first: killed half-way, the rest goes at the next
        start.
        """
        with self.run_lock().held(RUNNING), self.changing():
            self._index = None
            self.store.close()
            hidden = hide(self.folder)
        remove_folder(hidden)
        self.after_delete()

    # -- long runs

    def add(
        self,
        sources: SourceLike | Iterable[SourceLike],
        *,
        captions: Mapping[str, str] | None = None,
        progress: Callable[[Progress], Any] | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        workers: int | None = None,
        waiting: Callable[[], Any] | None = None,
    ) -> IngestReport:
        """Take in files, folders, zips or (name, bytes) pairs.

        captions: {file name: caption}, before any sidecar file. batch_size: pictures per model call and per
        transaction. workers: decoding threads, by default up to four. waiting: called now and then while
        another run fills this gallery; without it that raises BusyError. Raises GalleryError when it is
        read-only or the disk is full: what was reported as added is kept. Errors of the model itself (a whole
        batch fails) pass through.
        """
        return _drive(
            self.adding(
                sources,
                captions=captions,
                cancel=cancel,
                batch_size=batch_size,
                workers=workers,
                waiting=waiting,
            ),
            progress,
        )

    def adding(
        self,
        sources: SourceLike | Iterable[SourceLike],
        *,
        captions: Mapping[str, str] | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        workers: int | None = None,
        waiting: Callable[[], Any] | None = None,
    ) -> Steps:
        """`add`, a batch at a time."""
        with self.run_lock().held(RUNNING, waiting):
            limits = self.settings.upload_limits
            entries = gather(sources, salt=self.store.meta("salt"), limits=limits, captions=captions)
            return (yield from self.take_in(entries, cancel=cancel, batch_size=batch_size, workers=workers))

    def take_in(
        self,
        entries: Sequence[Source | Refusal],
        *,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> Steps:
        """What `adding` does with what was gathered. The caller holds `run_lock`."""
        run = Ingest(self, cancel=cancel, batch_size=batch_size, workers=workers)
        try:
            yield from run.steps(entries)
        finally:
            if self.is_current():
                self.save_index()
        return run.report

    def embed_pending(
        self,
        *,
        progress: Callable[[Progress], Any] | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        waiting: Callable[[], Any] | None = None,
    ) -> IngestReport:
        """Embed the items that have no vectors of this model, from their kept copies.

        waiting: as in `add`.
        """
        steps = self.embedding_pending(cancel=cancel, batch_size=batch_size, waiting=waiting)
        return _drive(steps, progress)

    def embedding_pending(
        self,
        *,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        waiting: Callable[[], Any] | None = None,
    ) -> Steps:
        """`embed_pending`, a batch at a time. Stopped or killed, the next run goes on where it was."""
        with self.run_lock().held(RUNNING, waiting):
            run = Reindex(self, cancel=cancel, batch_size=batch_size)
            try:
                yield from run.steps()
            finally:
                if self.is_current():
                    self.save_index()
            return run.report

    @classmethod
    def reindex(
        cls,
        path: str | os.PathLike,
        model: EmbeddingModel,
        *,
        progress: Callable[[Progress], Any] | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
    ) -> Gallery:
        """Open a gallery for this model and embed what is pending. Other models' vectors stay."""
        gallery = cls.open(path, model)
        try:
            gallery.embed_pending(progress=progress, cancel=cancel, batch_size=batch_size)
        except BaseException:
            gallery.close()
            raise
        return gallery

    def export(
        self,
        path: str | os.PathLike,
        *,
        include_location: bool = False,
        progress: Callable[[Progress], Any] | None = None,
        cancel: threading.Event | None = None,
    ) -> int:
        """Everything as one zip; returns the number of pictures. See exporting.py."""
        return export_zip(self, path, include_location=include_location, progress=progress, cancel=cancel)

    @classmethod
    def import_zip(
        cls,
        archive: str | os.PathLike,
        path: str | os.PathLike,
        model: EmbeddingModel,
        settings: GallerySettings | None = None,
        *,
        progress: Callable[[Progress], Any] | None = None,
        cancel: threading.Event | None = None,
    ) -> Gallery:
        """A new gallery in the folder `path` from an export, all of it or nothing. Raises GalleryError."""
        for told in cls.importing(archive, path, model, settings, cancel=cancel):
            if progress is not None:
                progress(told)
        return cls.open(path, model)

    @classmethod
    def importing(
        cls,
        archive: str | os.PathLike,
        path: str | os.PathLike,
        model: EmbeddingModel,
        settings: GallerySettings | None = None,
        *,
        cancel: threading.Event | None = None,
    ) -> Generator[Progress, None, None]:
        """`import_zip`, a batch at a time. The gallery appears in `path` when the last step is done."""
        target = Path(path)
        if existing(target):
            raise GalleryError(f"There is something in {target.name!r} already. Choose another name.")
        building = target.with_name(f".{target.name}.{secrets.token_hex(4)}{IMPORTING}")
        try:
            with disk_errors("Nothing was imported."), cls.create(building, model, settings) as gallery:
                (building / "incoming").mkdir()
                with gallery.run_lock().held(RUNNING):
                    yield from import_steps(gallery, archive, cancel=cancel)
            try:
                os.rename(building, target)
            except OSError as error:
                raise GalleryError(
                    f"There is something in {target.name!r} already. Choose another name."
                ) from error
        finally:
            remove_folder(building)


def _drive(steps: Steps, progress: Callable[[Progress], Any] | None) -> IngestReport:
    """Run to the end, telling `progress` after each step."""
    while True:
        try:
            told = next(steps)
        except StopIteration as end:
            return end.value
        if progress is not None:
            try:
                progress(told)
            except BaseException:
                steps.close()
                raise
