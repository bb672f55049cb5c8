"""The bin: pictures that are deleted, and can be brought back until they are gone for good.

    put(gallery, [3, 4]); binned(gallery); restore(gallery, [3]); empty(gallery)
    empty(gallery, before=a_month_ago)

A picture in the bin is in none of the gallery's tables and in no index: nothing finds, shows or exports it.
Its rows lie in tables of their own (`bin_items`, ...) beside its files, and come back as they were, number
and all. `empty` is as true a deletion as `Gallery.delete`. Content that is added again comes out of the bin.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sugar.errors import GalleryError
from sugar.gallery.items import original_file

Gallery = Any  # gallery.py imports this file: what is added again comes out of the bin

_TABLES = {"items": "id", "thumbnails": "item", "vectors": "item", "sources": "item"}
"""Table of a picture's rows -> the column with its number."""


@dataclass(frozen=True)
class Binned:
    """A picture in the bin. since: when it was deleted, in UTC."""

    id: int
    sha256: str
    name: str
    since: datetime
    thumbnail: bytes


def put(gallery: Gallery, ids: Iterable[int]) -> int:
    """Hide pictures from everything at once; how many there were. Raises GalleryError, BusyError."""
    wanted = _listed(ids)
    with gallery.changing():
        index = gallery.live_index.get()
        with gallery.store.write() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS bin (item INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, "
                "since TEXT NOT NULL)"
            )
            now = datetime.now(UTC).isoformat(timespec="seconds")
            db.execute(f"INSERT INTO bin SELECT id, sha256, ? FROM items WHERE id IN ({_IDS})", (now, wanted))
            gone = [item for (item,) in db.execute(f"SELECT item FROM bin WHERE item IN ({_IDS})", (wanted,))]
            for table, key in _TABLES.items():
                db.execute(f"CREATE TABLE IF NOT EXISTS bin_{table} AS SELECT * FROM {table} WHERE 0")
                _copy(db, table, f"bin_{table}", f"{key} IN ({_IDS})", wanted)
            db.execute(f"DELETE FROM items WHERE id IN ({_IDS})", (wanted,))
            db.execute(_NEXT_EPOCH)
        index.remove(gone)
        gallery.live_index.mark_current()
    return len(gone)


def binned(gallery: Gallery) -> list[Binned]:
    """What can be brought back, the last deleted first."""
    if not gallery.store.has("bin"):
        return []
    rows = gallery.store.read(
        "SELECT b.item, b.sha256, i.name, b.since, t.jpeg FROM bin b JOIN bin_items i ON i.id = b.item "
        "JOIN bin_thumbnails t ON t.item = b.item ORDER BY b.since DESC, b.item"
    )
    return [Binned(n, sha, name, datetime.fromisoformat(since), jpeg) for n, sha, name, since, jpeg in rows]


def restore(gallery: Gallery, ids: Iterable[int] | None = None) -> int:
    """Bring pictures back with all that was known of them, by default all; how many.

    Raises GalleryError: there is no room for them any more, or the gallery is read-only.
    """
    if not gallery.store.has("bin"):
        return 0
    wanted = _listed(b.id for b in binned(gallery)) if ids is None else _listed(ids)
    with gallery.changing():
        index = gallery.live_index.get()
        with gallery.store.write() as db:
            back = [n for (n,) in db.execute(f"SELECT item FROM bin WHERE item IN ({_IDS})", (wanted,))]
            held = db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM items").fetchone()
            size = db.execute(
                f"SELECT coalesce(sum(bytes), 0) FROM bin_items WHERE id IN ({_IDS})", (wanted,)
            )
            settings = gallery.settings
            full = held[0] + len(back) > settings.max_items
            if full or held[1] + size.fetchone()[0] > settings.max_gallery_bytes:
                raise GalleryError("The gallery has no room for these any more. Delete others first.")
            for table, key in _TABLES.items():
                _copy(db, f"bin_{table}", table, f"{key} IN ({_IDS})", wanted)
            _drop(db, back)
            db.execute(_NEXT_EPOCH)
            rows = db.execute(
                "SELECT item, seq, slices FROM vectors WHERE fingerprint = ? "
                f"AND item IN ({_IDS}) ORDER BY seq",
                (gallery.fingerprint, wanted),
            ).fetchall()
        slices = [np.frombuffer(r[2], "<f4").reshape(-1, gallery.dimension) for r in rows]
        index.append([r[0] for r in rows], [r[1] for r in rows], slices)
        gallery.live_index.mark_current()
    return len(back)


def empty(gallery: Gallery, ids: Iterable[int] | None = None, *, before: datetime | None = None) -> int:
    """Delete for good what is in the bin: these, or what was deleted before a time, or all; how many.

    No file of the gallery holds them then. Raises GalleryError, BusyError as `Gallery.delete`.
    """
    found = binned(gallery)
    if ids is not None:
        chosen = set(ids)
        found = [b for b in found if b.id in chosen]
    gone = [b for b in found if before is None or b.since < before]
    if not gone:
        return 0
    try:
        with gallery.changing():
            with gallery.store.write() as db:
                for b in gone:
                    suffix, kind = db.execute(
                        "SELECT suffix, format FROM bin_items WHERE id = ?", (b.id,)
                    ).fetchone()
                    files = [(b.sha256 + suffix,), (original_file(b.sha256, kind),)]
                    db.executemany("INSERT OR IGNORE INTO deleted_files VALUES (?)", files)
                _drop(db, [b.id for b in gone])
            gallery.kept.finish_removals()
            gallery.live_index.drop_others()
            gallery.save_index(always=True)
            gallery.store.scrub()
    finally:
        gallery.after_delete()
    return len(gone)


def forget_copy(db: Any, sha256: str) -> None:
    """Inside a transaction: the same content came into the gallery in another way; its files stay."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'bin'").fetchone():
        _drop(db, [n for (n,) in db.execute("SELECT item FROM bin WHERE sha256 = ?", (sha256,))])


_IDS = "SELECT value FROM json_each(?)"
_NEXT_EPOCH = "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'epoch'"


def _listed(ids: Iterable[int]) -> str:
    return json.dumps([int(i) for i in ids])


def _copy(db: Any, source: str, target: str, where: str, wanted: str) -> None:
    """Copy rows between two tables, by the columns that both have. A vector gets a new number in its row."""
    names = [{row[1] for row in db.execute(f"PRAGMA table_info({t})")} for t in (source, target)]
    columns = ", ".join(sorted((names[0] & names[1]) - {"seq"}))
    rows = f"SELECT {columns} FROM {source} WHERE {where}"
    db.execute(f"INSERT OR IGNORE INTO {target} ({columns}) {rows}", (wanted,))


def _drop(db: Any, ids: list[int]) -> None:
    for table, key in {**{f"bin_{t}": k for t, k in _TABLES.items()}, "bin": "item"}.items():
        db.executemany(f"DELETE FROM {table} WHERE {key} = ?", [(n,) for n in ids])
