"""`Gallery`: the store, the derived index and the kept pictures as one thing. See `sugar.gallery` for how it is used."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from sugar.errors import BusyError, FingerprintError, GalleryError, ImageError, InputError, SettingsError
from sugar.gallery.index import Index, State, log
from sugar.gallery.ingest import Ingest, Progress, Ready, Report, Row, embed_each
from sugar.gallery.sources import Source, SourceLike, UploadLimits, clean_caption, gather
from sugar.gallery.store import Filters, Item, Store, WriterLock
from sugar.gallery.transfer import export_zip, import_zip
from sugar.images import Limits, near_duplicate, open_image
from sugar.sequence import Embeddings, Sample

__all__ = ["Embedder", "Gallery", "Settings"]


class Embedder(Protocol):
    """All that a gallery asks of a model."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings: ...


@dataclass(frozen=True)
class Settings:
    """A gallery's own settings, kept in it.

    keep_location: store where a picture was taken (off: it is never read). caption_vectors: embed captions beside their pictures.
    picture_side: pixels of the longer side of the kept copy. The rest are caps: pictures and source bytes per gallery, bytes and pixels
    per file, files and bytes per upload.
    """

    keep_location: bool = False
    caption_vectors: bool = True
    picture_side: int = 1024
    max_items: int = 2_000_000
    max_gallery_bytes: int = 2_000_000_000_000
    max_file_bytes: int = 30_000_000
    max_pixels: int = 80_000_000
    max_upload_files: int = 200_000
    max_upload_bytes: int = 500_000_000_000

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.type == "int" and getattr(self, f.name) < 1:
                raise SettingsError(f"{f.name} is {getattr(self, f.name)}; give a number of at least 1.")

    @property
    def image_limits(self) -> Limits:
        return Limits(max_bytes=self.max_file_bytes, max_pixels=self.max_pixels)

    @property
    def upload_limits(self) -> UploadLimits:
        return UploadLimits(max_files=self.max_upload_files, max_bytes=self.max_upload_bytes)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Raises SettingsError for an unknown key."""
        values = json.loads(text)
        if unknown := set(values) - {f.name for f in fields(cls)}:
            raise SettingsError(f"Unknown gallery settings {sorted(unknown)}. A newer program made this gallery; use that one.")
        return cls(**values)


VISITOR_SETTINGS = Settings(max_items=2_000, max_gallery_bytes=2_000_000_000, max_upload_files=1_000, max_upload_bytes=1_000_000_000)
"""For a shared host: small caps, and no location ever."""


class Gallery:
    """A person's pictures with one model's vectors. Every method may be called from any thread. A context manager that closes.

    `lock` is held for each change; hold it where several questions must see one and the same gallery.
    """

    def __init__(self, folder: Path, store: Store, model: Embedder, settings: Settings) -> None:
        self.folder = folder
        self.store = store
        self.model = model
        self.settings = settings
        self.lock = threading.RLock()
        self._index: Index | None = None
        self._version = self._epoch = -1

    # -- opening and closing

    @classmethod
    def create(cls, path: str | os.PathLike, model: Embedder, settings: Settings | None = None) -> Gallery:
        """A new, empty gallery in the folder `path`. Raises GalleryError when there is one already."""
        folder = Path(path)
        settings = settings or Settings()
        meta = {
            "fingerprint": model.fingerprint, "dimension": str(model.dimension), "salt": secrets.token_hex(16),
            "settings": json.dumps(asdict(settings), sort_keys=True),
        }  # fmt: skip
        return cls(folder, Store.create(folder / "gallery.db", meta), model, settings)

    @classmethod
    def open(cls, path: str | os.PathLike, model: Embedder, *, read_only: bool = False) -> Gallery:
        """The gallery in the folder `path`. read_only: nothing is ever written, not even to put things in order.

        Raises GalleryError (missing, damaged, another format version) and FingerprintError (another model made its vectors).
        """
        gallery = cls._opened(Path(path), model, read_only)
        made_by, size = gallery.store.meta("fingerprint"), int(gallery.store.meta("dimension"))
        if (made_by, size) != (model.fingerprint, model.dimension):
            gallery.store.close()
            raise FingerprintError(
                f"The gallery {gallery.folder.name!r} was indexed by model {made_by[:12]} ({size} numbers per vector); this is model "
                f"{model.fingerprint[:12]} ({model.dimension}). Load that model, or re-index: python -m sugar index --reindex."
            )
        gallery._current()
        return gallery

    @classmethod
    def _opened(cls, folder: Path, model: Embedder, read_only: bool) -> Gallery:
        store = Store.open(folder / "gallery.db", read_only=read_only)
        gallery = cls(folder, store, model, Settings.from_json(store.meta("settings")))
        if not read_only:
            gallery._recover()
        return gallery

    def close(self) -> None:
        """Save what is derived and close the file. The gallery is whole without it; the next opening is then slower."""
        with self.lock:
            if self._index is not None and not self.store.read_only:
                self._save_index(always=True)
            self._index = None
            self.store.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self.store.read("SELECT count(*) FROM items")[0][0])

    # -- taking in

    def add(
        self,
        sources: SourceLike | Iterable[SourceLike],
        *,
        captions: Mapping[str, str] | None = None,
        progress: Callable[[Progress], Any] | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> Report:
        """Take in files, folders, zips or (name, bytes) pairs; see the room's docstring.

        batch_size: pictures per model call and per transaction. workers: decoding threads, by default up to four.
        Raises BusyError when another run fills this gallery, GalleryError when it is read-only or the disk is full: what was
        reported as added is kept. Errors of the model itself (every picture of a batch fails) pass through.
        """
        lock = self._writer()
        try:
            entries = gather(sources, salt=self.store.meta("salt"), limits=self.settings.upload_limits, captions=captions)
            self._current()
            report = Ingest(self, progress=progress, cancel=cancel, batch_size=batch_size, workers=workers).run(entries)
            if report.updated:
                self.store.scrub()
            return report
        finally:
            self._save_index()
            lock.release()

    def _writer(self) -> WriterLock:
        if self.store.read_only:
            raise GalleryError("This gallery is opened for reading only. Make your own gallery to add or delete pictures.")
        lock = WriterLock(self.folder)
        if not lock.acquire():
            raise BusyError("Another run is filling this gallery. Wait for it, or cancel it.")
        return lock

    def sample(self, image: Image.Image, caption: str) -> Sample:
        """What is embedded for an item: [picture], or [picture, caption]. Slice 0 is the pooled vector either way."""
        return Sample([image, caption] if caption.strip() and self.settings.caption_vectors else [image])

    def commit(self, batch: Sequence[Ready], vectors: Sequence[tuple[Any, Any] | None]) -> list[int]:
        """One transaction for a batch (Ingest calls this): rows, thumbnails, vectors; then the pictures move to their place."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sync_folder(self.folder / "incoming")
        gone: list[int] = []
        ids: list[int] = []
        rows: list[tuple[int, int, np.ndarray]] = []
        with self.lock:
            index = self._current()
            with self.store.write() as db:
                for ready, vector in zip(batch, vectors, strict=True):
                    p = ready.picture
                    caption = ready.caption
                    if ready.replaces is not None and not caption:
                        caption = next((c for (c,) in db.execute("SELECT caption FROM items WHERE id = ?", (ready.replaces,))), "")
                    latitude, longitude = p.location or (None, None)
                    taken = ready.source.taken or p.taken
                    item = db.execute(
                        "INSERT INTO items (sha256, name, caption, width, height, format, bytes, taken, camera, latitude, longitude, "
                        "added, suffix, signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (p.sha256, ready.source.name, caption, p.width, p.height, p.format, ready.size, taken and taken.isoformat(),
                         p.camera, latitude, longitude, now, ready.suffix, ready.signature),
                    ).lastrowid  # fmt: skip
                    assert item is not None
                    ids.append(item)
                    db.execute("INSERT INTO thumbnails VALUES (?, ?)", (item, ready.jpeg))
                    if vector is not None:
                        rows.append((self.put_vectors(db, item, vector), item, vector[0]))
                    self._put_source(db, ready.source, item)
                    if ready.replaces is not None:
                        gone += self._drop_unsourced(db, ready.replaces)
            self._place(f"{r.picture.sha256}{r.suffix}" for r in batch)
            self._finish_doomed()
            index.remove(gone)
            index.append([i for _, i, _ in rows], [s for s, _, _ in rows], [v for _, _, v in rows])
        return ids

    def link(self, source: Source, item: int, moved: Sequence[tuple[str, str]], replaced: int | None) -> bool:
        """A file whose content is item's (Ingest calls this). moved: its former names, now gone. False: the item is gone."""
        with self.lock, self.store.write() as db:
            if not db.execute("SELECT 1 FROM items WHERE id = ?", (item,)).fetchone():
                return False
            db.executemany("DELETE FROM sources WHERE origin = ? AND name = ?", moved)
            if moved:
                db.execute("UPDATE items SET name = ? WHERE id = ?", (source.name, item))
            self._put_source(db, source, item)
            gone = self._drop_unsourced(db, replaced) if replaced is not None else []
        if gone:
            with self.lock:
                self._finish_doomed()
                self._current().remove(gone)
        return True

    def put_vectors(self, db: Any, item: int, vector: tuple[Any, Any]) -> int:
        """Inside a transaction: (slices (n, D), is_image (n,)) of an item, replacing what it had. Returns its seq."""
        slices = np.ascontiguousarray(vector[0], "<f4")
        if slices.ndim != 2 or slices.shape[1] != self.model.dimension or not np.isfinite(slices).all():
            raise GalleryError(f"The model gave vectors of shape {slices.shape} or not finite, for {self.model.dimension} numbers each.")
        db.execute("DELETE FROM vectors WHERE item = ?", (item,))
        return db.execute(
            "INSERT INTO vectors (item, fingerprint, slices, is_image) VALUES (?, ?, ?, ?)",
            (item, self.model.fingerprint, slices.tobytes(), np.asarray(vector[1], bool).tobytes()),
        ).lastrowid

    @staticmethod
    def _put_source(db: Any, source: Source, item: int) -> None:
        if source.origin:
            db.execute(
                "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?)",
                (source.origin, source.name, source.size, source.mtime, source.caption, item),
            )

    @staticmethod
    def _drop_unsourced(db: Any, item: int) -> list[int]:
        """Inside a transaction: delete an item whose file has other content now, unless another file still shows it."""
        if db.execute("SELECT 1 FROM sources WHERE item = ?", (item,)).fetchone():
            return []
        return _doom(db, [item])

    # -- keeping

    def item(self, item: int) -> Item:
        """Raises GalleryError when there is no such item."""
        found = self.store.items("i.id = ?", (item,))
        if not found:
            raise GalleryError(f"There is no picture {item} in this gallery. It may have been deleted; search again.")
        return found[0]

    def items(self, *, limit: int = -1, offset: int = 0, ids: Iterable[int] | None = None) -> list[Item]:
        """Items in order of time taken, then name; or those of `ids` that exist."""
        if ids is None:
            return self.store.items(limit=limit, offset=offset)
        return self.store.items("i.id IN (SELECT value FROM json_each(?))", (json.dumps([int(i) for i in ids]),))

    def pending(self) -> list[Item]:
        """Items without vectors of the current model: a picture the model could not embed, or a re-index that is not finished."""
        return self.store.items("v.item IS NULL")

    def picture(self, item: int) -> Image.Image:
        """The kept copy, RGB, at most `settings.picture_side` pixels long. Raises GalleryError when the item or its file is missing."""
        return self._open_kept(self.item(item)).image

    def picture_path(self, item: int) -> Path:
        """The kept copy's file. Raises GalleryError when the item is missing."""
        found = self.item(item)
        return self.kept(f"{found.sha256}{found.suffix}")

    def _open_kept(self, item: Item) -> Any:
        name = f"{item.sha256}{item.suffix}"
        path = self.kept(name)
        try:
            return open_image(path if path.exists() else self.folder / "incoming" / name)
        except ImageError as error:
            raise GalleryError(f"The kept copy of {item.name!r} is missing or damaged ({error}). Delete it and add it again.") from error

    def thumbnail(self, item: int) -> bytes:
        """JPEG bytes, at most 256 pixels long. Raises GalleryError when there is no such item."""
        rows = self.store.read("SELECT jpeg FROM thumbnails WHERE item = ?", (item,))
        if not rows:
            raise GalleryError(f"There is no picture {item} in this gallery. It may have been deleted; search again.")
        return rows[0][0]

    def set_caption(self, item: int, caption: str) -> None:
        """Change a caption; the item's slice vectors follow. Raises GalleryError when there is no such item."""
        found = self.item(item)
        caption = clean_caption(caption)
        vectors, faults = embed_each(self.model, [self.sample(self._open_kept(found).image, caption)])
        if faults[0]:
            raise InputError(f"The caption was not changed. {faults[0]}")
        assert vectors[0] is not None
        with self.lock:
            index = self._current()
            with self.store.write() as db:
                db.execute("UPDATE items SET caption = ? WHERE id = ?", (caption, item))
                seq = self.put_vectors(db, item, vectors[0])
                _next_epoch(db)
            index.remove([item])
            index.append([item], [seq], [vectors[0][0]])

    def delete(self, ids: Iterable[int]) -> int:
        """Delete for good: rows, thumbnails, vectors in store and indexes, kept pictures; no file here holds them afterwards.

        Returns how many were there. Raises GalleryError when read-only; BusyError when another program keeps the log from being
        cleared (the pictures are deleted all the same).
        """
        wanted = [int(i) for i in ids]
        with self.lock:
            index = self._current()
            with self.store.write() as db:
                gone = _doom(db, wanted)
            if gone:
                self._finish_doomed()
                index.remove(gone)
                self._save_index(always=True)
                self.store.scrub()
        return len(gone)

    def clear(self) -> int:
        """Delete every picture; the empty gallery stays."""
        return self.delete(i for (i,) in self.store.read("SELECT id FROM items"))

    def destroy(self) -> None:
        """Delete the whole gallery, its folder included. The object is closed."""
        if self.store.read_only:
            raise GalleryError("This gallery is opened for reading only and cannot be deleted.")
        with self.lock:
            self._index = None
            self.store.close()
            shutil.rmtree(self.folder)

    def near_duplicates(self, tolerance: int = 5) -> list[list[int]]:
        """Groups of two or more item ids that show the same picture (resized, saved again), oldest id first."""
        rows = self.store.read("SELECT id, signature FROM items ORDER BY id")
        if len(rows) < 2:
            return []
        ids = np.array([r[0] for r in rows])
        marks = np.frombuffer(b"".join(r[1] for r in rows), np.uint8).reshape(len(rows), -1)
        light = marks.mean(1)
        order = np.argsort(light, kind="stable")
        ids, marks, light = ids[order], marks[order], light[order]
        parent = list(range(len(ids)))

        def root(i: int) -> int:
            while parent[i] != i:
                parent[i] = parent[parent[i]]
                i = parent[i]
            return i

        ends = np.searchsorted(light, light + tolerance, side="right")  # a mean cannot differ by more than its largest cell
        for i, end in enumerate(ends):
            for j in i + 1 + np.flatnonzero(near_duplicate(marks[i], marks[i + 1 : end], tolerance)):
                parent[root(int(j))] = root(i)
        groups: dict[int, list[int]] = {}
        for i in range(len(ids)):
            groups.setdefault(root(i), []).append(int(ids[i]))
        return sorted(sorted(g) for g in groups.values() if len(g) > 1)

    def signatures(self, ids: Sequence[int]) -> np.ndarray:
        """(len(ids), 192) uint8, the 8 x 8 colours of items, in the order given (see sugar.images.signature)."""
        wanted = json.dumps([int(i) for i in ids])
        rows = dict(self.store.read("SELECT id, signature FROM items WHERE id IN (SELECT value FROM json_each(?))", (wanted,)))
        return np.frombuffer(b"".join(rows.get(int(i), bytes(192)) for i in ids), np.uint8).reshape(-1, 192)

    # -- another model

    @classmethod
    def reindex(
        cls,
        path: str | os.PathLike,
        model: Embedder,
        *,
        progress: Callable[[Progress], Any] | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
    ) -> Gallery:
        """The same pictures for another model, from the kept copies; returns the open gallery.

        Stopped or killed, it goes on where it was when called again; until then the items that are not done are in `pending()`.
        """
        gallery = cls._opened(Path(path), model, read_only=False)
        with gallery.store.write() as db:
            if gallery.store.meta("fingerprint") != model.fingerprint or gallery.store.meta("dimension") != str(model.dimension):
                db.execute("UPDATE meta SET value = ? WHERE key = 'fingerprint'", (model.fingerprint,))
                db.execute("UPDATE meta SET value = ? WHERE key = 'dimension'", (str(model.dimension),))
                _next_epoch(db)
        gallery.embed_pending(progress=progress, cancel=cancel, batch_size=batch_size)
        return gallery

    def embed_pending(
        self, *, progress: Callable[[Progress], Any] | None = None, cancel: threading.Event | None = None, batch_size: int = 32
    ) -> Report:
        """Embed the items that have no vectors of the current model, from their kept copies, a batch at a time."""
        lock = self._writer()
        report = Report()
        started = time.monotonic()
        todo = self.pending()
        try:
            with ThreadPoolExecutor(2, thread_name_prefix="decode") as pool:
                batches = [todo[i : i + batch_size] for i in range(0, len(todo), batch_size)]
                ahead = [pool.submit(self._reopened, b) for b in batches[:1]]
                for number, _ in enumerate(batches):
                    if cancel is not None and cancel.is_set():
                        report.cancelled = True
                        break
                    ahead += [pool.submit(self._reopened, b) for b in batches[number + 1 : number + 2]]
                    opened = ahead.pop(0).result()
                    good = [(item, sample) for item, sample, _ in opened if sample is not None]
                    vectors, faults = embed_each(self.model, [s for _, s in good]) if good else ([], [])
                    self._replace([(i.id, v) for (i, _), v in zip(good, vectors, strict=True) if v is not None])
                    reasons = dict(zip((i.id for i, _ in good), faults, strict=True)) | {i.id: why for i, s, why in opened if s is None}
                    for item, _, _ in opened:
                        why = reasons[item.id]
                        report.rows.append(Row(item.name, "no vectors" if why else "updated", why, item.id))
                    if progress is not None:
                        done = len(report.rows)
                        rate = done / max(time.monotonic() - started, 1e-6)
                        failed = report.without_vectors
                        progress(Progress(done, len(todo), done - failed, failed, rate, (len(todo) - done) / rate, opened[-1][0].name))
            report.seconds = time.monotonic() - started
            return report
        finally:
            self._save_index()
            lock.release()

    def _reopened(self, items: Sequence[Item]) -> list[tuple[Item, Sample | None, str]]:
        out: list[tuple[Item, Sample | None, str]] = []
        for item in items:
            try:
                out.append((item, self.sample(self._open_kept(item).image, item.caption), ""))
            except GalleryError as error:
                out.append((item, None, str(error)))
        return out

    def _replace(self, vectors: Sequence[tuple[int, tuple[Any, Any]]]) -> None:
        with self.lock:
            index = self._current()
            with self.store.write() as db:
                here = {i for (i,) in db.execute("SELECT id FROM items")}
                rows = [(self.put_vectors(db, item, v), item, v[0]) for item, v in vectors if item in here]
            index.append([i for _, i, _ in rows], [s for s, _, _ in rows], [v for _, _, v in rows])

    def export(self, path: str | os.PathLike, *, include_location: bool = False) -> int:
        """Everything as one zip; returns the number of pictures. See transfer.py."""
        return export_zip(self, path, include_location=include_location)

    @classmethod
    def import_zip(cls, archive: str | os.PathLike, path: str | os.PathLike, model: Embedder, settings: Settings | None = None) -> Gallery:
        """A new gallery in the folder `path` from an export. Raises GalleryError. See transfer.py."""
        return import_zip(archive, path, model, settings)

    # -- for searching

    def nearest(self, queries: np.ndarray, k: int, only: np.ndarray | None = None, *, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """queries (Q, D) -> (inner products, item ids), (Q, k') each, best first; -1 ids where fewer match `only` (item ids)."""
        with self.lock:
            return self._current().search(queries, k, only, exact=exact)

    def slices(self, ids: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Slice vectors of items, (n_i, D) each. Raises GalleryError for an item without vectors."""
        with self.lock:
            return self._current().slices(ids)

    def pooled(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(ids), D) pooled vectors of items. Raises GalleryError for an item without vectors."""
        with self.lock:
            return self._current().pooled(ids)

    def spread(self, count: int = 2048) -> np.ndarray:
        """(at most count, D) pooled vectors, evenly spaced: the gallery's own distribution."""
        with self.lock:
            return self._current().spread(count)

    def matching(self, filters: Filters) -> np.ndarray:
        """(n,) int64 ids of the items with vectors that pass, in order of time taken, then name."""
        where, values = filters.where()
        rows = self.store.read(
            f"SELECT i.id FROM items i JOIN vectors v ON v.item = i.id WHERE v.fingerprint = ? AND {where} "
            "ORDER BY i.taken IS NULL, i.taken, i.name, i.id",
            (self.store.meta("fingerprint"), *values),
        )
        return np.array([r[0] for r in rows], np.int64)

    @property
    def index_info(self) -> dict[str, Any]:
        """kind ("flat": exact, or "lists": approximate), items, recall (of the exact top 10, as measured when it was built)."""
        with self.lock:
            index = self._current()
            return {"kind": index.kind, "items": len(index), "recall": index.recall}

    # -- what is derived

    def _state(self) -> State:
        epoch, seq, count = self.store.state()
        return State(self.store.meta("fingerprint"), self.model.dimension, epoch, seq, count)

    def _current(self) -> Index:
        """The index, in step with the store: loaded, caught up with what came since, or built anew."""
        with self.lock:
            version = self.store.version()
            if self._index is not None and version == self._version:
                return self._index
            state = self._state()
            index = self._index
            if index is None or self._epoch != state.epoch:
                index = Index.load(self.folder / "index", state)
            if index is not None and index.seq < state.seq:
                self._append_since(index)
            if index is None or len(index) != state.count:
                log.info("index: built from %d stored vectors", state.count)
                index = Index.build(self.store.vectors(dimension=state.dimension), state.dimension)
            self._index, self._version, self._epoch = index, version, state.epoch
            return index

    def _append_since(self, index: Index) -> None:
        rows = list(self.store.vectors(index.seq, self.model.dimension))
        index.append([r[1] for r in rows], [r[0] for r in rows], [r[2] for r in rows])

    def _save_index(self, *, always: bool = False) -> None:
        """Write the derived files when they lag: always, or when what was only appended since is more than a fiftieth.

        A full disk here costs only time at the next opening.
        """
        with self.lock:
            while True:
                index = self._current()
                state = self._state()
                if self.store.version() == self._version:
                    break  # nobody else wrote between the two
            self._epoch = state.epoch
            if index.saved == (state.epoch, state.seq, len(index)):
                return
            if not always and index.saved and index.saved[0] == state.epoch and 50 * (len(index) - index.saved[2]) <= len(index):
                return
            index.choose()
            try:
                index.save(self.folder / "index", state)
            except OSError as error:
                log.warning("index: not saved (%s); it will be rebuilt at the next opening", error)

    # -- pictures on disk

    def kept(self, file: str) -> Path:
        """Where the kept copy SHA256.suffix lies."""
        return self.folder / "pictures" / file[:2] / file

    def _place(self, files: Iterable[str]) -> None:
        for file in files:
            target = self.kept(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.folder / "incoming" / file, target)

    def _finish_doomed(self) -> None:
        """Remove the files of deleted rows; the list of them is in the store, so that a killed deletion is finished later."""
        files = [f for (f,) in self.store.read("SELECT file FROM doomed")]
        if not files:
            return
        for file in files:
            self.kept(file).unlink(missing_ok=True)
            (self.folder / "incoming" / file).unlink(missing_ok=True)
        with self.store.write() as db:
            db.executemany("DELETE FROM doomed WHERE file = ?", [(f,) for f in files])

    def _recover(self) -> None:
        """After a kill: keep incoming pictures whose rows were committed, drop the others, finish deletions."""
        incoming = self.folder / "incoming"
        left = incoming.is_dir() and any(incoming.iterdir())
        doomed = self.store.read("SELECT count(*) FROM doomed")[0][0]
        if not left and not doomed:
            return
        lock = WriterLock(self.folder)
        if not lock.acquire():
            return  # a run is filling the gallery right now: those are its files
        try:
            self.sort_incoming()
            self._finish_doomed()
            if doomed:
                self.store.scrub()
        finally:
            lock.release()

    def sort_incoming(self) -> None:
        """Keep incoming pictures whose rows were committed, drop the others (the writer's lock must be held)."""
        for path in (self.folder / "incoming").glob("*"):
            if self.store.read("SELECT 1 FROM items WHERE sha256 = ? AND suffix = ?", (path.stem, path.suffix)):
                self._place([path.name])
            else:
                path.unlink(missing_ok=True)

    def settle(self) -> None:
        """Make it fit to ship with a clone: one plain database file, no trace of where the pictures came from, saved indexes."""
        with self.lock:
            with self.store.write() as db:
                db.execute("DELETE FROM sources")
            self._save_index(always=True)
            self.store.settle()
            (self.folder / "writer.lock").unlink(missing_ok=True)
            if (self.folder / "incoming").is_dir():
                (self.folder / "incoming").rmdir()


def _doom(db: Any, ids: Sequence[int]) -> list[int]:
    """Inside a transaction: delete items, note their files for removal. Returns the ids that were there."""
    wanted = json.dumps(list(ids))
    rows = db.execute("SELECT id, sha256 || suffix FROM items WHERE id IN (SELECT value FROM json_each(?))", (wanted,)).fetchall()
    db.executemany("INSERT OR IGNORE INTO doomed VALUES (?)", [(file,) for _, file in rows])
    db.executemany("DELETE FROM items WHERE id = ?", [(i,) for i, _ in rows])
    if rows:
        _next_epoch(db)
    return [i for i, _ in rows]


def _next_epoch(db: Any) -> None:
    db.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'epoch'")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
