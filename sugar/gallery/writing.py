"""Changing a gallery: batches of new pictures, captions, names, favourites, deletion.

Every change holds the writer's lock over all processes (locks.py), then `lock`, then one transaction.
Picture files follow the rows (files.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sugar.errors import GalleryError, InputError
from sugar.gallery.copies import sync_folder
from sugar.gallery.embedding import Vectors, embed_each
from sugar.gallery.files import GalleryFiles
from sugar.gallery.items import Item
from sugar.gallery.names import clean_caption, clean_name
from sugar.gallery.notes import forget_notes, keep_notes
from sugar.gallery.sources import Source
from sugar.gallery.store import READ_ONLY
from sugar.images import Picture, near_duplicate
from sugar.taken import Taken, read

__all__ = ["REPLACED", "GalleryWriter", "NewPicture"]

_INSERT = (
    "INSERT INTO items (sha256, name, caption, width, height, format, bytes, taken, camera, latitude, "
    "longitude, added, suffix, signature, favourite, caption_by) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

REPLACED = "replaced"
"""The origin of rows that say, until a run's end, that a file of this item (its name stands in `caption`)
shows another item now (its number begins `name`).
"""

_NAMED_BY_FILE = (
    f"items.name IN (SELECT CASE origin WHEN '{REPLACED}' THEN caption ELSE name END FROM sources "
    "WHERE item = items.id)"
)
"""Whether an item's name is that of a file; otherwise a person gave it."""


@dataclass(eq=False)
class NewPicture:
    """A decoded picture with everything that its row needs; its clean copy lies in `incoming/`.

    replaces: the item that its file showed before. name: the item's name where a person gave one, else "".
    others: (fingerprint, dimension, vectors) of further models, which an import carries.
    """

    source: Source
    picture: Picture
    size: int
    suffix: str
    jpeg: bytes
    signature: bytes
    caption: str
    note: str = ""
    replaces: int | None = None
    favourite: bool = False
    caption_by: str = ""
    name: str = ""
    others: Sequence[tuple[str, int, Vectors]] = ()

    @property
    def file(self) -> str:
        return f"{self.picture.sha256}{self.suffix}"

    @property
    def taken(self) -> Taken | None:
        """When it was taken: by a table, else the picture, else Google's clock, else the file's name."""
        p, source = self.picture, self.source
        taken = None if p.taken is None else Taken(p.taken, p.day_from_name)
        told = source.taken or (source.clock if taken is None or taken.from_name else None)
        return taken if told is None else Taken(told)


class GalleryWriter(GalleryFiles):
    """What changes a gallery. Ingest and import build on `commit`, `link` and `put_vectors`."""

    # -- new pictures

    def commit(self, batch: Sequence[NewPicture], vectors: Sequence[Vectors | None]) -> list[int]:
        """One transaction for a batch: rows, thumbnails, vectors; then the pictures move to their place."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        ids: list[int] = []
        rows: list[tuple[int, int, np.ndarray]] = []
        with self.changing():
            sync_folder(self.folder / "incoming")
            index = self.index()
            with self.store.write() as db:
                for new, vector in zip(batch, vectors, strict=True):
                    item = self._insert(db, new, now)
                    ids.append(item)
                    if vector is not None:
                        rows.append((self.put_vectors(db, item, vector), item, vector[0]))
                    if new.replaces is not None:
                        _mark_replaced(db, new.replaces, item, new.source.name)
            self.move_in(new.file for new in batch)
            self.finish_removals()
            index.append([i for _, i, _ in rows], [s for s, _, _ in rows], [v for _, _, v in rows])
            self.in_step()
        return ids

    def _insert(self, db: Any, new: NewPicture, now: str) -> int:
        p = new.picture
        latitude, longitude = p.location or (None, None)
        values: tuple[object, ...] = (
            p.sha256,
            new.name or new.source.name,
            new.caption,
            p.width,
            p.height,
            p.format,
            new.size,
        )
        values += (
            new.taken and str(new.taken),
            p.camera,
            latitude,
            longitude,
            now,
            new.suffix,
            new.signature,
        )
        values += (int(new.favourite), new.caption_by)
        item = db.execute(_INSERT, values).lastrowid
        db.execute("DELETE FROM deleted_files WHERE file = ?", (new.file,))  # deleted before and added again
        db.execute("INSERT INTO thumbnails VALUES (?, ?)", (item, new.jpeg))
        _put_source(db, new.source, item)
        for fingerprint, dimension, vector in new.others:
            self.put_vectors(db, item, vector, fingerprint, dimension)
        return item

    def link(self, source: Source, item: int, moved: Sequence[tuple[str, str]], replaced: int | None) -> bool:
        """A file whose content is item's. moved: its former names, now gone. False: the item is gone.

        replaced: the item that this file showed before.
        """
        with self.changing(), self.store.write() as db:
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

    def inherit(self, new: NewPicture) -> None:
        """A file shows another picture than before: what people said of that one stays with the file.

        Its name where a person gave one, caption (and who wrote it) unless a new one comes, favourite.
        """
        rows = self.store.read(
            f"SELECT {_NAMED_BY_FILE}, name, caption, caption_by, favourite, taken, signature FROM items "
            "WHERE id = ?",
            (new.replaces,),
        )
        if not rows:  # deleted meanwhile
            new.caption = new.source.caption
            return
        named_by_file, name, caption, by, favourite, *before = rows[0]
        if _another_photo(before, (new.taken and str(new.taken), new.signature)):
            new.caption = new.source.caption
            new.note = new.note or "Another photo had this name before; it is kept."
            return
        new.name, new.favourite = "" if named_by_file else name, bool(favourite)
        if not new.caption:
            new.caption, new.caption_by = caption, by

    def finish_replaced(self) -> None:
        """Delete for good the pictures whose files all show other ones now.

        At the end of a run, not with each file: the content of one may come again under another name, as when
        an editor keeps the original beside, or a row of files is numbered anew. What was said of a picture
        goes to the one in its place, where nothing was said of that yet. Another photo under an old name (the
        next card of a camera) takes nothing away: the older one stays as one that was given.
        """
        columns = "caption, caption_by, favourite, taken, signature"
        marked = self.store.read(
            f"SELECT item, name FROM sources WHERE origin = '{REPLACED}' AND item NOT IN "
            f"(SELECT item FROM sources WHERE origin <> '{REPLACED}')"
        )
        gone = []
        for old, name in marked:
            new = int(name.split()[0])
            rows = self.store.read(
                f"SELECT {columns} FROM items WHERE id IN (?, ?) ORDER BY id = ?", (old, new, new)
            )
            if len(rows) == 2:
                (caption, by, favourite, *before), (own, _, _, *now) = rows
                if _another_photo(before, now):
                    continue
                if favourite:
                    self.set_favourite([new])
                if caption and not own:
                    self.set_caption(new, caption, by=by)
            gone.append(old)
        if gone:
            self.delete(gone)
        if self.store.read("SELECT 1 FROM sources WHERE origin = ?", (REPLACED,)):
            mine = "FROM sources WHERE item = items.id AND origin"
            files, lost = (
                f"SELECT min(name) {mine} NOT IN ('given', '{REPLACED}')",
                f"SELECT caption {mine} = '{REPLACED}'",
            )
            with self.changing(), self.store.write() as db:
                db.execute(f"UPDATE items SET name = coalesce(({files}), name) WHERE name IN ({lost})")
                db.execute("DELETE FROM sources WHERE origin = ?", (REPLACED,))

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
            index = self.index()
            with self.store.write() as db:
                captions = dict(db.execute("SELECT id, caption FROM items"))
                still = [(i.id, v) for i, v in vectors if captions.get(i.id) == i.caption]
                rows = [(self.put_vectors(db, item, v), item, v[0]) for item, v in still]
            index.remove([i for _, i, _ in rows])  # a caption that was set meanwhile has brought its own
            index.append([i for _, i, _ in rows], [s for s, _, _ in rows], [v for _, _, v in rows])

    # -- one picture

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
        vectors, faults = embed_each(self.model, [self.sample(picture.image, caption)])
        if vectors[0] is None:
            raise InputError(f"The caption was not changed. {faults[0]}")
        with self.changing():
            index = self.index()
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
            self.in_step()

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
        with self.changing(), self.store.write() as db:
            return db.execute(
                "UPDATE items SET favourite = ? WHERE id IN (SELECT value FROM json_each(?))",
                (int(favourite), json.dumps([int(i) for i in ids])),
            ).rowcount

    # -- deletion

    def delete(self, ids: Iterable[int]) -> int:
        """Delete for good: rows, thumbnails, vectors of every model, kept pictures.

        No file here holds them then.

        Returns how many were there. Raises GalleryError when read-only; BusyError when another program
        keeps the log from being cleared (the pictures are deleted all the same).
        """
        wanted, gone = [int(i) for i in ids], list[int]()
        try:
            with self.changing():
                index = self.index()
                with self.store.write() as db:
                    gone = _delete_rows(db, wanted)
                if gone:
                    self.finish_removals()
                    index.remove(gone)
                    self.in_step()
                    self.drop_indexes(but=self.index_folder)
                    self.save_index(always=True)
                    self.store.scrub()
        finally:
            if gone:
                self.after_delete()
        return len(gone)

    def keep_notes(self, notes: Iterable[tuple[str, str, str]]) -> int:
        """Keep (name, text, answer) notes. Returns how many were new. See notes.py."""
        return keep_notes(self.store, notes)

    def forget_notes(self) -> int:
        """Delete all notes for good. Returns how many there were."""
        return forget_notes(self.store)

    def clear(self) -> int:
        """Delete every picture; the empty gallery stays."""
        return self.delete(i for (i,) in self.store.read("SELECT id FROM items"))


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


def _delete_rows(db: Any, ids: Sequence[int]) -> list[int]:
    """Inside a transaction: delete items, note their files for removal. Returns the ids that were there."""
    rows = db.execute(
        "SELECT id, sha256 || suffix FROM items WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).fetchall()
    db.executemany("INSERT OR IGNORE INTO deleted_files VALUES (?)", [(file,) for _, file in rows])
    db.executemany("DELETE FROM items WHERE id = ?", [(i,) for i, _ in rows])
    if rows:
        _next_epoch(db)
    return [i for i, _ in rows]


def _next_epoch(db: Any) -> None:
    db.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'epoch'")
