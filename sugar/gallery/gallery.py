"""`Gallery`: a person's pictures as one model sees them; `Ingest`: one run that takes pictures in.

Every change holds the writer's lock over all processes (disk.py), then `lock`, then one transaction. Picture
files follow the rows. Not covered: the tables (store.py), the index (index.py), what may be handed in
(gathering.py), zips and moves (transfer.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sugar.errors import BusyError, FingerprintError, GalleryError, ImageError, InputError
from sugar.gallery.bin import binned, empty, forget_copy, restore
from sugar.gallery.disk import (
    FileLock,
    KeptPictures,
    WriterLock,
    hide,
    remove_folder,
    sync_folder,
    write_synced,
)
from sugar.gallery.gathering import gather
from sugar.gallery.index import LiveIndex
from sugar.gallery.ingest import EmbeddingModel, NewPicture, Vectors, ahead, embed_each
from sugar.gallery.items import (
    Filters,
    GallerySettings,
    Item,
    Note,
    clean_caption,
    clean_name,
    original_file,
)
from sugar.gallery.keywords import search_items, shares
from sugar.gallery.sources import FileResult, IngestReport, Progress, Refusal, Source, SourceLike, together
from sugar.gallery.store import FOLDERS, NOTES, READ_ONLY, Store, disk_errors
from sugar.images import GALLERY_ITEM, Picture, near_duplicate, open_image, placeless, signature, thumbnail
from sugar.paths import existing
from sugar.sequence import Sample
from sugar.taken import read

ORDERS = {
    "oldest": "i.taken IS NULL, i.taken, i.name, i.id",
    "newest": "i.taken IS NULL, i.taken DESC, i.name, i.id",
    "name": "fold(i.name), i.id",
}
_ALIKE = 5  # how far the colours of near-duplicates may differ, of 255
_INSERT = (
    "INSERT INTO items (sha256, name, caption, width, height, format, bytes, taken, camera, latitude, "
    "longitude, added, suffix, signature, favourite, caption_by) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

OnProgress = Callable[[Progress], Any]


class Gallery:
    """A person's pictures as one model sees them. Safe for threads. A context manager that closes.

    fingerprint: the model's when the gallery was opened; only vectors of that fingerprint are read or
    written. lock: hold it where several questions must see one and the same gallery. after_delete: called
    when pictures are gone for good. whole: all of it can be listed and exported. `cancel` of a long run is a
    threading.Event; an error that `progress` raises ends the run too.
    """

    whole = True

    # -- opening and closing

    def __init__(self, folder: Path, store: Store, model: EmbeddingModel, settings: GallerySettings) -> None:
        self.folder = folder
        self.store = store
        self.model = model
        self.settings = settings
        self.fingerprint = model.fingerprint
        self.dimension = model.dimension
        self.lock = threading.RLock()
        self.after_delete: Callable[[], None] = lambda: None
        self.kept = KeptPictures(folder, store)
        self.live_index = LiveIndex(store, folder, self.fingerprint, self.dimension)
        self._writer = WriterLock(folder)
        self._inode = store.path.stat().st_ino

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
                gallery._recover()
            gallery.live_index.get()
        except BaseException:
            store.close()
            raise
        return gallery

    def _recover(self) -> None:
        """After a kill: keep incoming pictures whose rows are there, drop the others, finish deletions."""
        left = self.kept.incoming.is_dir() and any(self.kept.incoming.iterdir())
        deleted = self.store.read("SELECT count(*) FROM deleted_files")[0][0]
        torn = any(self.folder.glob("*.new")) or any(self.folder.glob("index/*/*.new"))
        if not left and not deleted and not torn:
            return
        run = self.run_lock()
        if not run.acquire():
            return  # a run is filling the gallery right now: those are its files
        try:
            with self.changing():
                self.kept.sort_incoming()
                self.kept.finish_removals()
                for path in [*self.folder.glob("*.new"), *self.folder.glob("index/*/*.new")]:
                    path.unlink(missing_ok=True)
                if deleted:
                    self.live_index.drop_others()
                    self.store.scrub()
        finally:
            run.release()

    def close(self) -> None:
        """Save the index and close the file.

        The gallery is whole without it; the next opening is then slower.
        """
        if self.live_index.is_open and not self.store.read_only and self.is_current():
            with suppress(BusyError):  # another program is writing: it will save its own
                self.save_index(always=True)
        with self.lock:
            self.live_index.close()
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
        with self.run_lock().held(), self.changing():
            self.live_index.close()
            self.store.close()
            hidden = hide(self.folder)
        remove_folder(hidden)
        self.after_delete()

    def settle(self) -> None:
        """Make it fit to ship with a clone: one plain database file, no trace of its sources."""
        with self.changing():
            with self.store.write() as db:
                db.execute("DELETE FROM sources")
                db.execute("DROP TABLE IF EXISTS folders")
            self.save_index(always=True)
            self.store.settle()
            if self.kept.incoming.is_dir():
                self.kept.incoming.rmdir()
        for lock in ("writer.lock", "run.lock"):
            (self.folder / lock).unlink(missing_ok=True)

    # -- items and pictures

    def __len__(self) -> int:
        return int(self.store.read("SELECT count(*) FROM items")[0][0])

    def item(self, item: int) -> Item:
        """Raises GalleryError when there is no such item."""
        found = self.store.items(self.fingerprint, "i.id = ?", (item,))
        if not found:
            raise GalleryError(_no_picture(item))
        return found[0]

    def items(
        self,
        *,
        limit: int = -1,
        offset: int = 0,
        ids: Iterable[int] | None = None,
        filters: Filters | None = None,
        order: str = "oldest",
    ) -> list[Item]:
        """Items in an order of ORDERS; only those of `ids`, or that pass the filters, where given."""
        where, values = filters.where() if filters is not None else ("1", [])
        if ids is not None:
            where += " AND i.id IN (SELECT value FROM json_each(?))"
            values = [*values, _listed(ids)]
        return self.store.items(
            self.fingerprint, where, values, order=ORDERS[order], limit=limit, offset=offset
        )

    def listing(self, *, order: str = "newest", filters: Filters | None = None) -> list[tuple[int, str]]:
        """(id, month) of all items in an order of ORDERS; month is "2025-08", or "" without a time."""
        where, values = filters.where() if filters is not None else ("1", [])
        return self.store.read(
            f"SELECT i.id, coalesce(substr(i.taken, 1, 7), '') FROM items i WHERE {where} "
            f"ORDER BY {ORDERS[order]}",
            values,
        )

    def shapes(self, ids: Iterable[int]) -> dict[int, float]:
        """{item: width / height} of those that are still there."""
        where = "id IN (SELECT value FROM json_each(?))"
        found = self.store.read(f"SELECT id, width * 1.0 / height FROM items WHERE {where}", [_listed(ids)])
        return dict(found)

    def by_content(self, sha256: Iterable[str]) -> dict[str, int]:
        """{SHA-256: item} of those contents that are here."""
        wanted = json.dumps(list(sha256))
        where = "sha256 IN (SELECT value FROM json_each(?))"
        return dict(self.store.read(f"SELECT sha256, id FROM items WHERE {where}", [wanted]))

    @property
    def read_only(self) -> bool:
        """Whether it was opened for looking and searching only."""
        return self.store.read_only

    def size(self) -> int:
        """Bytes of the source files of all items."""
        return int(self.store.read("SELECT coalesce(sum(bytes), 0) FROM items")[0][0])

    def pending(self) -> list[Item]:
        """Items without vectors of this model: not indexed for it yet, or the model could not embed them."""
        return self.store.items(self.fingerprint, "v.item IS NULL")

    def indexed(self) -> dict[str, int]:
        """{model fingerprint: number of items that have its vectors}."""
        return dict(self.store.read("SELECT fingerprint, count(*) FROM vectors GROUP BY fingerprint"))

    def picture(self, item: int) -> Any:
        """The kept copy, RGB, at most `settings.picture_side` pixels long, marked with its item.

        Raises GalleryError when the item or its file is missing.
        """
        found = self.item(item)
        image = self.open_kept(found).image
        image.info[GALLERY_ITEM] = found.sha256
        return image

    def picture_path(self, item: int) -> Path:
        """The kept copy's file. Raises GalleryError when the item is missing."""
        return self.kept.path(self.item(item).file)

    def copy(self, item: Item) -> bytes:
        """The bytes of the kept copy, to be handed out. Raises GalleryError: the item or its file is gone."""
        try:
            return self.kept.path(item.file).read_bytes()
        except FileNotFoundError as error:
            raise GalleryError(
                f"The kept picture of {item.name!r} is missing, or was deleted meanwhile. Try again."
            ) from error

    def open_kept(self, item: Item) -> Picture:
        """The kept copy, decoded. Raises GalleryError: the item is gone, or its file missing or damaged."""
        path = self.kept.path(item.file)
        try:
            return open_image(path if path.exists() else self.kept.incoming / item.file)
        except ImageError as error:
            if not self.store.read("SELECT 1 FROM items WHERE id = ?", (item.id,)):
                raise GalleryError(_no_picture(item.id)) from None  # deleted a moment ago
            found = "damaged" if path.exists() else "missing"
            raise GalleryError(
                f"The kept copy of {item.name!r} is {found}. Delete the picture and add it again."
            ) from error

    def original(self, item: int) -> bytes | None:
        """A picture's original, as it came; None where only the working copy is kept, or has stayed.

        From the gallery, or from the folder that is indexed in place while its file is still the same. Its
        place is blanked unless the gallery keeps places. Raises GalleryError when there is no such item.
        """
        found = self.item(item)
        data = _file_bytes(self.kept.path(found.original))
        if data is None and self.store.has("folders"):
            rows = self.store.read(
                "SELECT f.path, s.name FROM sources s JOIN folders f USING (origin) WHERE s.item = ?", (item,)
            )
            there = (_file_bytes(Path(path) / name) for path, name in rows)
            data = next((d for d in there if d and hashlib.sha256(d).hexdigest() == found.sha256), None)
        return data if data is None or self.settings.keep_location else placeless(data)

    def thumbnail(self, item: int) -> bytes:
        """JPEG bytes, at most 256 pixels long. Raises GalleryError when there is no such item."""
        rows = self.store.read("SELECT jpeg FROM thumbnails WHERE item = ?", (item,))
        if not rows:
            raise GalleryError(_no_picture(item))
        return rows[0][0]

    def near_duplicates(self) -> list[list[int]]:
        """Groups of two or more ids that show the same picture (resized, saved again), oldest id first."""
        return _groups_alike(self.store.read("SELECT id, signature FROM items ORDER BY id"))

    def signatures(self, ids: Sequence[int]) -> np.ndarray:
        """(len(ids), 192) uint8, the 8 x 8 colours of items in the order given (sugar.images.signature)."""
        sql = "SELECT id, signature FROM items WHERE id IN (SELECT value FROM json_each(?))"
        rows = dict(self.store.read(sql, (_listed(ids),)))
        return np.frombuffer(b"".join(rows.get(int(i), bytes(192)) for i in ids), np.uint8).reshape(-1, 192)

    # -- for searching

    def sample(self, image: Any, caption: str, by: str = "") -> Sample:
        """What is embedded for an item: [picture], or [picture, caption].

        Slice 0 is the pooled vector either way. A caption that a model wrote (`by`) is not embedded: it says
        no more than the picture, and must not outrank what a person said.
        """
        said = caption.strip() and not by and self.settings.caption_vectors
        return Sample([image, caption] if said else [image])

    def check_model(self) -> None:
        """Raises FingerprintError when the model is not the one that the gallery was opened with any more."""
        if self.model.fingerprint != self.fingerprint:
            raise FingerprintError(
                f"The model has changed since the gallery {self.folder.name!r} was opened: another "
                "adapter, or other weights. Open the gallery again."
            )

    def nearest(
        self, queries: np.ndarray, k: int, filters: Filters | None = None, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """queries (Q, D) -> (inner products, item ids), (Q, k') each, best first.

        Ids are -1 where fewer pass the filters. Raises FingerprintError when the model has changed.
        """
        self.check_model()
        only = None if filters is None or filters == Filters() else self.matching(filters)
        with self.lock:
            return self.live_index.get().search(queries, k, only, exact=exact)

    def slices(self, ids: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Slice vectors of items, (n_i, D) each. Raises GalleryError for an item without vectors."""
        with self.lock:
            return self.live_index.get().slices(ids)

    def pooled(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(ids), D) pooled vectors of items. Raises GalleryError for an item without vectors."""
        with self.lock:
            return self.live_index.get().pooled(ids)

    def spread(self) -> np.ndarray:
        """(at most 2,048, D) pooled vectors, evenly spaced: the gallery's own distribution."""
        with self.lock:
            return self.live_index.get().spread()

    def matching(self, filters: Filters) -> np.ndarray:
        """(n,) int64 ids of the items with vectors that pass, in order of time taken, then name."""
        where, values = filters.where()
        rows = self.store.read(
            f"SELECT i.id FROM items i JOIN vectors v ON v.item = i.id WHERE v.fingerprint = ? AND {where} "
            f"ORDER BY {ORDERS['oldest']}",
            (self.fingerprint, *values),
        )
        return np.array([r[0] for r in rows], np.int64)

    def by_words(
        self,
        text: str,
        k: int,
        filters: Filters | None = None,
        *,
        embedded: bool = False,
        people: bool = False,
    ) -> list[tuple[int, float]]:
        """(item, BM25 score) of the k pictures whose name, caption or date fits the words best.

        embedded: only pictures with vectors. people: a model's captions do not count.
        """
        only = None
        if embedded:
            only = self.matching(filters or Filters()).tolist()
        elif filters is not None and filters != Filters():
            where, values = filters.where()
            only = [row[0] for row in self.store.read(f"SELECT i.id FROM items i WHERE {where}", values)]
        return search_items(self.store, text, k, only, people=people)

    def shares(self, text: str, ids: Iterable[int]) -> dict[int, float]:
        """{item: how much of the text's content its name, a person's caption and its date say}, 0 to 1."""
        return shares(self.store, text, ids)

    def count_word(self, word: str) -> int:
        """How many pictures have a word, or another form of it, in name, caption or date."""
        return len(search_items(self.store, word, 1 << 40))

    @property
    def index_info(self) -> dict[str, Any]:
        """kind ("flat": exact, "lists": approximate), items, recall (of the exact top 10, as measured)."""
        with self.lock:
            index = self.live_index.get()
            return {"kind": index.kind, "items": len(index), "recall": index.recall}

    def save_index(self, *, always: bool = False) -> None:
        """Write the index files when they lag: always, or when more than a fiftieth was appended since."""
        with self.lock:
            if not self.live_index.lags(always):
                return
        with self.changing():
            if self.live_index.lags(always):
                self.live_index.save()

    # -- changing

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the writer's lock and `lock`.

        Raises GalleryError: read-only, or the gallery was deleted; BusyError.
        """
        if self.store.read_only:
            raise GalleryError(READ_ONLY)
        with self._writer.held(), self.lock, disk_errors("What was reported as done is kept."):
            self._check_current()
            yield

    def run_lock(self) -> FileLock:
        """The lock of a whole ingest, re-index or import.

        Raises GalleryError when the gallery is read-only.
        """
        if self.store.read_only:
            raise GalleryError(READ_ONLY)
        self._check_current()
        return FileLock(self.folder / "run.lock")

    def is_current(self) -> bool:
        """Whether the folder still holds the file that is open: another program may have made it anew."""
        try:
            return self.store.path.stat().st_ino == self._inode
        except OSError:
            return False

    def _check_current(self) -> None:
        if not self.is_current():
            raise GalleryError(f"The gallery {self.folder.name!r} was deleted meanwhile. Open it again.")

    def set_caption(self, item: int, caption: str, *, by: str = "") -> None:
        """Change a caption.

        The item's slice vectors follow, other models' are made again when they are loaded.

        by: the name of the model that wrote it; "" for a person. Raises GalleryError: no such item;
        InputError: the model cannot embed it.
        """
        if self.store.read_only:
            raise GalleryError(READ_ONLY)
        caption = clean_caption(caption)
        picture = self.open_kept(self.item(item))
        vectors, faults = embed_each(self.model, [self.sample(picture.image, caption, by)])
        if vectors[0] is None:
            raise InputError(f"The caption was not changed. {faults[0]}")
        with self.changing():
            index = self.live_index.get()
            with self.store.write() as db:
                values = (caption, by if caption else "", item)
                if not db.execute(
                    "UPDATE items SET caption = ?, caption_by = ? WHERE id = ?", values
                ).rowcount:
                    raise GalleryError(f"The picture {item} was deleted meanwhile. The caption was not kept.")
                if self.settings.caption_vectors:
                    db.execute("DELETE FROM vectors WHERE item = ?", (item,))
                seq = self.put_vectors(db, item, vectors[0])
                _next_epoch(db)
            index.remove([item])
            index.append([item], [seq], [vectors[0][0]])
            self.live_index.mark_current()

    def forget_model_captions(self) -> int:
        """Remove the captions that models wrote; returns how many. A person's stay.

        Vectors of them, which programs before made, go too: the pictures' own stay.
        """
        with self.changing():
            index = self.live_index.get()
            with self.store.write() as db:
                ids = [i for (i,) in db.execute("SELECT id FROM items WHERE caption_by <> ''")]
                db.executemany(
                    "UPDATE items SET caption = '', caption_by = '' WHERE id = ?", [(i,) for i in ids]
                )
                rows = db.execute(
                    "SELECT v.item, v.fingerprint, m.dimension, v.slices FROM vectors v "
                    "JOIN models m USING (fingerprint) WHERE v.item IN (SELECT value FROM json_each(?)) "
                    "AND length(v.is_image) > 1",
                    (_listed(ids),),
                ).fetchall()
                mine = []
                for item, fingerprint, dimension, blob in rows:
                    first = np.frombuffer(blob, "<f4").reshape(-1, dimension)[:1]
                    seq = self.put_vectors(db, item, (first, np.ones(1, bool)), fingerprint, dimension)
                    if fingerprint == self.fingerprint:
                        mine.append((item, seq, first))
                if ids:
                    _next_epoch(db)
            index.remove([item for item, _, _ in mine])
            index.append([m[0] for m in mine], [m[1] for m in mine], [m[2] for m in mine])
            self.live_index.mark_current()
        return len(ids)

    def rename(self, item: int, name: str) -> str:
        """Change the name that is shown.

        Returns it as it was kept. Raises GalleryError when there is no such item.
        """
        name = clean_name(name)
        with self.changing(), self.store.write() as db:
            if not db.execute("UPDATE items SET name = ? WHERE id = ?", (name, item)).rowcount:
                raise GalleryError(f"There is no picture {item} in this gallery. It was not renamed.")
        return name

    def set_favourite(self, ids: Iterable[int], favourite: bool = True) -> int:
        """Mark or unmark pictures as favourites; returns how many there are of them."""
        sql = "UPDATE items SET favourite = ? WHERE id IN (SELECT value FROM json_each(?))"
        with self.changing(), self.store.write() as db:
            return db.execute(sql, (int(favourite), _listed(ids))).rowcount

    def delete(self, ids: Iterable[int]) -> int:
        """Delete for good: rows, thumbnails, vectors of every model, kept pictures.

        No file here holds them then. Returns how many were there. Raises GalleryError when read-only;
        BusyError when another program keeps the log from being cleared: they are deleted all the same.
        """
        wanted, gone = _listed(ids), list[int]()
        try:
            with self.changing():
                index = self.live_index.get()
                with self.store.write() as db:
                    gone = _delete_rows(db, wanted)
                if gone:
                    self.kept.finish_removals()
                    index.remove(gone)
                    self.live_index.mark_current()
                    self.live_index.drop_others()
                    self.save_index(always=True)
                    self.store.scrub()
        finally:
            if gone:
                self.after_delete()
        return len(gone)

    def clear(self) -> int:
        """Delete every picture for good, those in the bin too; the empty gallery stays."""
        empty(self)
        return self.delete(i for (i,) in self.store.read("SELECT id FROM items"))

    # -- notes: passages and questions with answers that are kept with the gallery, and go with it

    def notes(self) -> list[Note]:
        """In the order in which they were added."""
        if not self.store.has("notes"):
            return []
        return [Note(*row) for row in self.store.read("SELECT id, name, text, answer FROM notes ORDER BY id")]

    def keep_notes(self, notes: Iterable[tuple[str, str, str]]) -> int:
        """Keep those of the (name, text, answer) notes that are not there yet. Returns how many."""
        with self.store.write() as db:
            db.execute(NOTES)
            before = db.total_changes
            db.executemany("INSERT OR IGNORE INTO notes (name, text, answer) VALUES (?, ?, ?)", list(notes))
            return int(db.total_changes - before)

    def forget_notes(self, ids: Iterable[int]) -> int:
        """Delete these notes for good. Returns how many there were."""
        here = {note.id for note in self.notes()} & set(ids)
        if here:
            with self.store.write() as db:
                db.executemany("DELETE FROM notes WHERE id = ?", [(i,) for i in here])
            self.store.scrub()
        return len(here)

    # -- new pictures and vectors

    def commit(self, batch: Sequence[NewPicture], vectors: Sequence[Vectors | None]) -> list[int]:
        """One transaction for a batch: rows, thumbnails, vectors; then the pictures move to their place."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        ids: list[int] = []
        rows: list[tuple[int, int, np.ndarray]] = []
        with self.changing():
            sync_folder(self.kept.incoming)
            index = self.live_index.get()
            with self.store.write() as db:
                for new, vector in zip(batch, vectors, strict=True):
                    item = self._insert(db, new, now)
                    ids.append(item)
                    if vector is not None:
                        rows.append((self.put_vectors(db, item, vector), item, vector[0]))
                    if new.replaces is not None:
                        _mark_replaced(db, new.replaces, item, new.source.name)
            self.kept.move_in(file for new in batch for file in (new.original, new.file))
            self.kept.finish_removals()
            index.append([i for _, i, _ in rows], [s for s, _, _ in rows], [v for _, _, v in rows])
            self.live_index.mark_current()
        return ids

    def _insert(self, db: Any, new: NewPicture, now: str) -> int:
        p = new.picture
        latitude, longitude = p.location or (None, None)
        values = (
            *(p.sha256, new.name or new.source.name, new.caption, p.width, p.height, p.format, new.size),
            *(new.taken and str(new.taken), p.camera, latitude, longitude),
            *(
                new.added.isoformat() if new.added else now,
                new.suffix,
                new.signature,
                int(new.favourite),
                new.caption_by,
            ),
        )
        forget_copy(db, p.sha256)
        item = db.execute(_INSERT, values).lastrowid
        files = (new.file, new.original)  # deleted before and added again
        db.execute("DELETE FROM deleted_files WHERE file IN (?, ?)", files)
        db.execute("INSERT INTO thumbnails VALUES (?, ?)", (item, new.jpeg))
        _put_source(db, new.source, item)
        for fingerprint, dimension, vector in new.others:
            self.put_vectors(db, item, vector, fingerprint, dimension)
        return item

    def keep_original(self, new: NewPicture, data: bytes) -> None:
        """Put an original beside its working copy in `incoming/`, as the gallery keeps originals and places.

        A file whose place cannot be taken out is not kept: its working copy has none.
        """
        if not self.settings.keep_originals:
            return
        kept = data if self.settings.keep_location else placeless(data)
        if kept is not None:
            write_synced(self.kept.incoming / new.original, kept)

    def put_vectors(
        self, db: Any, item: int, vector: Vectors, fingerprint: str | None = None, dimension: int = 0
    ) -> int:
        """Inside a transaction: the vectors of an item and a model, replacing what it had. Returns their seq.

        The model is this gallery's unless a fingerprint and dimension are given (an import carries several).
        """
        if fingerprint is None:
            self.check_model()
            fingerprint, dimension = self.fingerprint, self.dimension
        slices = np.ascontiguousarray(vector[0], "<f4")  # (n, D)
        if slices.ndim != 2 or slices.shape[1] != dimension or not np.isfinite(slices).all():
            raise GalleryError(
                f"The model gave vectors of shape {slices.shape} or not finite, for {dimension} numbers each."
            )
        db.execute("INSERT OR IGNORE INTO models VALUES (?, ?)", (fingerprint, dimension))
        db.execute("DELETE FROM vectors WHERE item = ? AND fingerprint = ?", (item, fingerprint))
        return db.execute(
            "INSERT INTO vectors (item, fingerprint, slices, is_image) VALUES (?, ?, ?, ?)",
            (item, fingerprint, slices.tobytes(), np.asarray(vector[1], bool).tobytes()),
        ).lastrowid

    def add_vectors(self, vectors: Sequence[tuple[Item, Vectors]]) -> None:
        """Vectors of this model for items that had none.

        Items that are gone by now, or have another caption than the vectors, are left out.
        """
        with self.changing():
            index = self.live_index.get()
            with self.store.write() as db:
                captions = dict(db.execute("SELECT id, caption FROM items"))
                still = [(i.id, v) for i, v in vectors if captions.get(i.id) == i.caption]
                rows = [(self.put_vectors(db, item, v), item, v[0]) for item, v in still]
            index.remove([i for _, i, _ in rows])  # a caption that was set meanwhile has brought its own
            index.append([i for _, i, _ in rows], [s for s, _, _ in rows], [v for _, _, v in rows])

    # -- long runs

    def add(
        self,
        sources: SourceLike | Iterable[SourceLike],
        *,
        captions: Mapping[str, str] | None = None,
        progress: OnProgress | None = None,
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
        with self.run_lock().held(waiting):
            limits = self.settings.upload_limits
            entries = gather(sources, salt=self.store.meta("salt"), limits=limits, captions=captions)
            return self.take_in(
                entries, progress=progress, cancel=cancel, batch_size=batch_size, workers=workers
            )

    def take_in(
        self,
        entries: Sequence[Source | Refusal],
        *,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> IngestReport:
        """What `add` does with what was gathered. The caller holds `run_lock`."""
        try:
            return Ingest(self, progress, cancel, batch_size, workers).run(entries)
        finally:
            if self.is_current():
                self.save_index()

    def embed_pending(
        self,
        *,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        waiting: Callable[[], Any] | None = None,
    ) -> IngestReport:
        """Embed the items that have no vectors of this model, from their kept copies.

        Stopped or killed, the next run goes on where it was. waiting: as in `add`.
        """
        report, started = IngestReport(), time.monotonic()
        with self.run_lock().held(waiting):
            todo = self.pending()
            batches = [todo[i : i + batch_size] for i in range(0, len(todo), batch_size)]
            try:
                with closing(ahead(batches, self._opened, workers=1, window=2)) as opened:
                    for batch, samples in opened:
                        if cancel is not None and cancel.is_set():
                            report.cancelled = True
                            break
                        report.rows += self._embed(batch, samples or [])
                        done, failed = len(report.rows), report.without_vectors
                        seconds = time.monotonic() - started
                        if progress is not None:
                            told = Progress.after(
                                seconds, done, len(todo), done - failed, failed, batch[-1].name
                            )
                            progress(told)
            finally:
                report.seconds = time.monotonic() - started
                if self.is_current():
                    self.save_index()
        return report

    def _opened(self, items: Sequence[Item]) -> list[Sample | str]:
        """In a worker thread: the samples of items, or why there is none."""
        out: list[Sample | str] = []
        for item in items:
            try:
                out.append(self.sample(self.open_kept(item).image, item.caption, item.caption_by))
            except GalleryError as error:
                out.append(str(error))
        return out

    def _embed(self, items: Sequence[Item], samples: Sequence[Sample | str]) -> list[FileResult]:
        """Embed and store one batch."""
        why = {i.id: sample for i, sample in zip(items, samples, strict=True) if isinstance(sample, str)}
        good = [i for i in items if i.id not in why]
        vectors, faults = embed_each(self.model, [s for s in samples if isinstance(s, Sample)])
        self.add_vectors([(i, vector) for i, vector in zip(good, vectors, strict=True) if vector is not None])
        why |= {i.id: fault for i, fault in zip(good, faults, strict=True)}
        return [FileResult(i.name, "no vectors" if why[i.id] else "updated", why[i.id], i.id) for i in items]


def _no_picture(item: int) -> str:
    return f"There is no picture {item} in this gallery. It may have been deleted; search again."


def _file_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (OSError, ValueError):
        return None


def _listed(ids: Iterable[int]) -> str:
    """Ids for SQLite's json_each."""
    return json.dumps([int(i) for i in ids])


def _delete_rows(db: Any, ids: str) -> list[int]:
    """Inside a transaction: delete items, note their files for removal. Returns the ids that were there."""
    rows = db.execute(
        "SELECT id, sha256, suffix, format FROM items WHERE id IN (SELECT value FROM json_each(?))", (ids,)
    ).fetchall()
    files = [(f,) for _, sha, suffix, kind in rows for f in (sha + suffix, original_file(sha, kind))]
    db.executemany("INSERT OR IGNORE INTO deleted_files VALUES (?)", files)
    db.executemany("DELETE FROM items WHERE id = ?", [(row[0],) for row in rows])
    if rows:
        _next_epoch(db)
    return [row[0] for row in rows]


def _next_epoch(db: Any) -> None:
    db.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'epoch'")


def _groups_alike(rows: Sequence[tuple[int, bytes]]) -> list[list[int]]:
    """(id, signature) pairs -> groups of two or more ids, joined by any chain of near-duplicates.

    Signatures are sorted by mean brightness: two near-duplicates differ in it by at most `_ALIKE`.
    """
    if len(rows) < 2:
        return []
    ids = np.array([r[0] for r in rows])
    signatures = np.frombuffer(b"".join(r[1] for r in rows), np.uint8).reshape(len(rows), -1)  # (N, 192)
    brightness = signatures.mean(1)
    order = np.argsort(brightness, kind="stable")
    ids, signatures, brightness = ids[order], signatures[order], brightness[order]
    parent = list(range(len(ids)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    ends = np.searchsorted(brightness, brightness + _ALIKE, side="right")
    for i, end in enumerate(ends):
        alike = near_duplicate(signatures[i], signatures[i + 1 : end], _ALIKE)
        for j in i + 1 + np.flatnonzero(alike):
            parent[root(int(j))] = root(i)
    groups: dict[int, list[int]] = {}
    for i in range(len(ids)):
        groups.setdefault(root(i), []).append(int(ids[i]))
    return sorted(sorted(g) for g in groups.values() if len(g) > 1)


# -- taking pictures in

REPLACED = "replaced"
"""The origin of rows that say, until a run's end, that a file of this item (its name stands in `caption`)
shows another item now (its number begins `name`).
"""

_NAMED_BY_FILE = (
    f"items.name IN (SELECT CASE origin WHEN '{REPLACED}' THEN caption ELSE name END FROM sources "
    "WHERE item = items.id)"
)
"""Whether an item's name is that of a file; otherwise a person gave it."""

_TELL = 0.5  # seconds between two progress values inside a batch


class Ingest:
    """One run of `Gallery.add`: decoded ahead of the model, embedded in batches, on disk before it is told.

    A file known by name, size and time is not opened; one known by its content hash is not decoded. One bad
    file is one row of the report. Memory is bounded: two batches of small decoded pictures wait at most.
    """

    def __init__(
        self,
        gallery: Gallery,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> None:
        self.report = IngestReport()
        self._gallery = gallery
        self._progress = progress
        self._cancel = cancel or threading.Event()
        self._batch_size = batch_size
        self._workers = workers or max(1, min(4, os.cpu_count() or 1))
        self._rows: list[tuple[int, FileResult]] = []
        self._passed: list[Refusal] = []
        self._added = self._refused = 0
        self._started = self._told = time.monotonic()
        self._batch: list[NewPicture] = []
        self._copies: list[tuple[Source, str, int | None]] = []  # of known content; the item shown before
        self._captions: list[tuple[Source, int]] = []
        store = gallery.store
        self._known = {sha: item for sha, item in store.read("SELECT sha256, id FROM items")}
        self._binned = {b.sha256: b.id for b in binned(gallery)}
        self._bytes = int(store.read("SELECT coalesce(sum(bytes), 0) FROM items")[0][0])
        rows = store.read("SELECT origin, name, size, mtime, caption, item FROM sources")
        self._sources = {(origin, name): rest for origin, name, *rest in rows}

    def run(self, entries: Sequence[Source | Refusal]) -> IngestReport:
        """Take the entries in, a batch at a time. What ends it half-way leaves what was reported."""
        self._order = {id(entry): position for position, entry in enumerate(entries)}
        self._present = {(e.origin, e.name) for e in entries if isinstance(e, Source)}
        kept = self._gallery.kept
        try:
            with disk_errors(f"What was reported as added is kept ({self._gallery.folder.name!r})."):
                kept.incoming.mkdir(exist_ok=True)
                self._keep_folders(entries)
                self._take_all(entries)
        finally:
            self.report.seconds = time.monotonic() - self._started
            self.report.rows = [row for _, row in sorted(self._rows, key=lambda r: r[0])]
            self.report.rows += together(self._passed)
            with self._gallery.changing():
                kept.sort_incoming()
        self._tell("")
        return self.report

    def _keep_folders(self, entries: Sequence[Source | Refusal]) -> None:
        """Where the originals are that stay in their place. A folder that has gone with its pictures goes."""
        found = {e.origin: e.folder for e in entries if isinstance(e, Source) and e.folder}
        if found and self._gallery.settings.keep_originals:
            with self._gallery.changing(), self._gallery.store.write() as db:
                db.execute(FOLDERS)
                db.execute("DELETE FROM folders WHERE origin NOT IN (SELECT origin FROM sources)")
                db.executemany("INSERT OR REPLACE INTO folders VALUES (?, ?)", found.items())

    def _take_all(self, entries: Sequence[Source | Refusal]) -> None:
        decoded = ahead(
            entries,
            self._prepare,
            workers=self._workers,
            window=self._batch_size + self._workers,
            wanted=lambda entry: isinstance(entry, Source) and not self._unchanged(entry),
        )
        with closing(decoded):
            for entry, result in decoded:
                if self._cancel.is_set():
                    self.report.cancelled = True
                    return
                self._take(entry, result)
                if len(self._batch) >= self._batch_size:
                    self._flush()
                    self._tell(entry.name)
                elif time.monotonic() - self._told > _TELL:
                    self._tell(entry.name)
        self._flush()
        for source, item in self._captions:
            self._gallery.set_caption(item, source.caption)
            self._link(source, item, [], None)
        self.finish_replaced()

    def _tell(self, name: str) -> None:
        self._told = time.monotonic()
        if self._progress is not None:
            seconds, done = self._told - self._started, len(self._rows) + len(self._passed)
            told = Progress.after(seconds, done, len(self._order), self._added, self._refused, name)
            self._progress(told)

    def _unchanged(self, source: Source) -> bool:
        before = self._sources.get((source.origin, source.name))
        return before is not None and source.mtime != -1 and before[:2] == [source.size, source.mtime]

    def _prepare(self, source: Any) -> NewPicture | Refusal | str:
        """In a worker thread: read, hash, decode, encode the copies, write the picture.

        Its SHA-256 alone when the gallery has it. Raises OSError when the picture cannot be written.
        """
        settings = self._gallery.settings
        if self._cancel.is_set():
            return Refusal(source.name, "cancelled")
        try:
            data = source.read(settings.max_file_bytes)
            sha = hashlib.sha256(data).hexdigest()
            if sha in self._known or sha in self._binned:
                return sha
            picture = open_image(
                data,
                limits=settings.image_limits,
                max_side=settings.picture_side,
                keep_location=settings.keep_location,
                name=source.name,
            )
        except ImageError as error:
            return Refusal(source.name, str(error))
        if settings.keep_location and picture.location is None:
            picture = replace(picture, location=source.told.location)
        suffix = self._gallery.kept.add(sha, picture)
        small, colours = thumbnail(picture.image), signature(picture.image)
        new = NewPicture(source, picture, len(data), suffix, small, colours, source.caption)
        new.caption = new.caption or new.embedded
        new.favourite = source.told.favourite or picture.described.favourite
        if not source.folder:
            self._gallery.keep_original(new, data)
        return new

    def _take(self, entry: Source | Refusal, result: NewPicture | Refusal | str | None) -> None:
        """Put one file's result where it belongs: the batch, the copies, or the report."""
        if isinstance(entry, Refusal):
            if entry.kind:
                self._passed.append(entry)
            else:
                self._refuse(entry, entry.reason)
            return
        if isinstance(result, Refusal):
            self._refuse(entry, result.reason)
            return
        before = self._sources.get((entry.origin, entry.name))
        if result is None:
            assert before is not None
            if entry.caption and entry.caption != before[2]:
                self._captions.append((entry, before[3]))
                self._row(entry, "updated", "new caption", before[3])
            else:
                self._row(entry, "unchanged", "", before[3])
            return
        sha = result if isinstance(result, str) else result.picture.sha256
        if sha in self._binned and restore(self._gallery, [number := self._binned.pop(sha)]):
            self._known[sha] = number  # added again: it comes out of the bin with all that was said of it
        if sha in self._known:
            self._copies.append((entry, sha, before[3] if before is not None else None))
            if self._known[sha] >= 0:
                self._link_copies()
            return
        assert isinstance(result, NewPicture)
        if (reason := self._full(result.size)) is not None:
            self._refuse(entry, reason)
            return
        self._bytes += result.size
        if before is not None:
            result.replaces = before[3]
            if entry.caption == before[2]:
                result.caption = ""  # no news: what people have said since then stays
        self._known[sha] = -1  # in this batch; its id comes with the commit
        self._batch.append(result)

    def _full(self, size: int) -> str | None:
        settings = self._gallery.settings
        if len(self._known) >= settings.max_items:
            return f"The gallery is full: it takes {settings.max_items:,} pictures. Delete some first."
        if self._bytes + size > settings.max_gallery_bytes:
            cap = settings.max_gallery_bytes / 1e9
            return f"The gallery is full: it takes {cap:g} GB of pictures. Delete some first."
        return None

    def _flush(self) -> None:
        """Embed and commit the batch; only then do its rows enter the report."""
        batch, self._batch = self._batch, []
        others = {new.file for new in batch if new.replaces is not None and not self._inherit(new)}
        samples = [self._gallery.sample(new.picture.image, new.caption, new.caption_by) for new in batch]
        vectors, faults = embed_each(self._gallery.model, samples)
        if batch:
            ids = self._gallery.commit(batch, vectors)
            for new, item, fault in zip(batch, ids, faults, strict=True):
                self._known[new.picture.sha256] = item
                status = "no vectors" if fault else "updated" if new.replaces is not None else "added"
                other = "Another photo had this name before; it is kept." if new.file in others else ""
                self._row(new.source, status, fault or new.note or other, item)
                self._added += 1
        self._link_copies()

    def _link_copies(self) -> None:
        """Files whose content is in the gallery already: a renamed file, or one more copy of a picture."""
        ready = [c for c in self._copies if self._known[c[1]] >= 0]
        self._copies = [c for c in self._copies if self._known[c[1]] < 0]
        for source, sha, replaced in ready:
            item = self._known[sha]
            others = self._gallery.store.read(
                "SELECT origin, name, caption FROM sources WHERE item = ?", (item,)
            )
            files = [(o, n) for o, n, _ in others if o == source.origin]
            moved = [f for f in files if f not in self._present and not source.there(f[1])]
            was = [n for _, n in moved] + [c for o, _, c in others if o == REPLACED]
            caption = self._brings_caption(source, item, moved)
            if not self._link(source, item, moved, replaced if replaced != item else None):
                self._refuse(source, "The same picture was deleted while this ran. Add it again.")
            elif caption:
                self._captions.append((source, item))
                self._row(source, "updated", "new caption", item)
            elif (source.origin, source.name) in files:
                self._row(source, "unchanged", "", item)
            elif was:
                self._row(source, "renamed", f"was {was[0]}", item)
            else:
                reason = "The same picture is in the gallery already; it is kept once."
                self._row(source, "duplicate", reason, item)

    def _brings_caption(self, source: Source, item: int, moved: Sequence[tuple[str, str]]) -> bool:
        """Whether a file of a known picture brings a caption that the item should get.

        One that has changed since, or one for a picture that no person has captioned yet.
        """
        if not source.caption:
            return False
        for key in ((source.origin, source.name), *moved):
            if (before := self._sources.get(key)) is not None and before[3] == item:
                return source.caption != before[2]
        bare = "SELECT 1 FROM items WHERE id = ? AND (caption = '' OR caption_by <> '')"
        return bool(self._gallery.store.read(bare, (item,)))

    def _link(
        self, source: Source, item: int, moved: Sequence[tuple[str, str]], replaced: int | None
    ) -> bool:
        """A file whose content is item's. moved: its former names, now gone. False: the item is gone.

        replaced: the item that this file showed before.
        """
        with self._gallery.changing(), self._gallery.store.write() as db:
            if not db.execute("SELECT 1 FROM items WHERE id = ?", (item,)).fetchone():
                return False
            if not db.execute("SELECT 1 FROM sources WHERE item = ?", (item,)).fetchone():
                # it came by itself, or in an export: it does not go when this file goes
                db.execute("INSERT INTO sources VALUES ('given', ?, 0, -1, '', ?)", (str(item), item))
            if moved:
                db.execute(
                    f"UPDATE items SET name = ? WHERE id = ? AND {_NAMED_BY_FILE}", (source.name, item)
                )
            db.executemany("DELETE FROM sources WHERE origin = ? AND name = ?", moved)
            _put_source(db, source, item)
            if replaced is not None:
                _mark_replaced(db, replaced, item, source.name)
        return True

    def _inherit(self, new: NewPicture) -> bool:
        """A file shows another picture than before: what people said of that one stays with the file.

        Its name where a person gave one, caption (and who wrote it) unless a new one comes, favourite. False:
        it is another photo under an old name, which inherits nothing.
        """
        rows = self._gallery.store.read(
            f"SELECT {_NAMED_BY_FILE}, name, caption, caption_by, favourite, taken, signature FROM items "
            "WHERE id = ?",
            (new.replaces,),
        )
        if not rows:  # deleted meanwhile
            new.caption = new.source.caption or new.embedded
            return True
        named_by_file, name, caption, by, favourite, *before = rows[0]
        if _another_photo(before, (new.taken and str(new.taken), new.signature)):
            new.caption = new.source.caption or new.embedded
            return False
        new.name = "" if named_by_file else name
        new.favourite = new.favourite or bool(favourite)
        if not new.caption:
            new.caption, new.caption_by = (caption, by) if caption else (new.embedded, "")
        return True

    def finish_replaced(self) -> None:
        """Delete for good the pictures whose files all show other ones now.

        At the end of a run, not with each file: the content of one may come again under another name, as when
        an editor keeps the original beside, or a row of files is numbered anew. What was said of a picture
        goes to the one in its place, where nothing was said of that yet. Another photo under an old name (the
        next card of a camera) takes nothing away: the older one stays as one that was given.
        """
        gallery, store = self._gallery, self._gallery.store
        columns = "caption, caption_by, favourite, taken, signature"
        marked = store.read(
            f"SELECT item, name FROM sources WHERE origin = '{REPLACED}' AND item NOT IN "
            f"(SELECT item FROM sources WHERE origin <> '{REPLACED}')"
        )
        gone = []
        for old, name in marked:
            new = int(name.split()[0])
            rows = store.read(
                f"SELECT {columns} FROM items WHERE id IN (?, ?) ORDER BY id = ?", (old, new, new)
            )
            if len(rows) == 2:
                (caption, by, favourite, *before), (own, _, _, *now) = rows
                if _another_photo(before, now):
                    continue
                if favourite:
                    gallery.set_favourite([new])
                if caption and not own:
                    gallery.set_caption(new, caption, by=by)
            gone.append(old)
        if gone:
            gallery.delete(gone)
        if store.read("SELECT 1 FROM sources WHERE origin = ?", (REPLACED,)):
            mine = "FROM sources WHERE item = items.id AND origin"
            files = f"SELECT min(name) {mine} NOT IN ('given', '{REPLACED}')"
            lost = f"SELECT caption {mine} = '{REPLACED}'"
            with gallery.changing(), store.write() as db:
                db.execute(f"UPDATE items SET name = coalesce(({files}), name) WHERE name IN ({lost})")
                db.execute("DELETE FROM sources WHERE origin = ?", (REPLACED,))

    def _refuse(self, entry: Source | Refusal, reason: str) -> None:
        self._refused += 1
        self._row(entry, "refused", reason)

    def _row(self, entry: Source | Refusal, status: str, reason: str = "", item: int | None = None) -> None:
        self._rows.append((self._order[id(entry)], FileResult(entry.name, status, reason, item)))


def _another_photo(before: Sequence[Any], now: Sequence[Any]) -> bool:
    """Whether two (taken, signature) are of two photos, not of one that was edited.

    Taken at two times, and not alike: an edit keeps the time, a corrected clock keeps the picture. A day that
    only a file's name says is no time of taking.
    """
    times = [read(look[0]) if look[0] else None for look in (before, now)]
    if times[0] == times[1] or any(time is None or time.from_name for time in times):
        return False
    first, second = (np.frombuffer(look[1], np.uint8) for look in (before, now))
    return not near_duplicate(first, second)


def _mark_replaced(db: Any, old: int, new: int, name: str) -> None:
    """Inside a transaction: the file `name` of `old` shows `new` now; `finish_replaced` sees to the rest."""
    if db.execute("SELECT 1 FROM items WHERE id = ?", (old,)).fetchone():
        row = (REPLACED, f"{new} {old}", name, old)
        db.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, 0, -1, ?, ?)", row)


def _put_source(db: Any, source: Source, item: int) -> None:
    if source.origin:
        db.execute(
            "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?)",
            (source.origin, source.name, source.size, source.mtime, source.caption, item),
        )
