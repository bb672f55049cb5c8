"""The truth of a gallery: one SQLite file with items, metadata, thumbnails, vectors, model fingerprint and format version.

    store = Store.create(path, {"fingerprint": "...", "dimension": "768"})       # or Store.open(path)
    with store.write() as db: ...                                                # one transaction: all of it or none of it
    store.items(where="i.name LIKE ?", values=("%dog%",), limit=50)

A file is opened in whatever journal mode it is in, and goes to WAL at the first write: a gallery that came with a clone is only read and
stays byte for byte the same. Deleted rows are overwritten (secure_delete), their pages given back and the WAL emptied by `scrub`.
One connection, guarded by a lock, serves all threads; other processes are safe through SQLite's own locks.

Not covered: pictures (files beside this one), the indexes derived from the vectors (index.py).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np

from sugar.errors import BusyError, GalleryError, InputError

FORMAT = 1
_SMALL = 256_000_000  # bytes: below this a deletion rebuilds the whole file, above it moves pages

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, name TEXT NOT NULL, caption TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, format TEXT NOT NULL, bytes INTEGER NOT NULL, taken TEXT, camera TEXT NOT NULL,
    latitude REAL, longitude REAL, added TEXT NOT NULL, suffix TEXT NOT NULL, signature BLOB NOT NULL);
CREATE INDEX items_taken ON items (taken, name, id);
CREATE TABLE thumbnails (item INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE, jpeg BLOB NOT NULL);
CREATE TABLE vectors (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL UNIQUE REFERENCES items ON DELETE CASCADE,
    fingerprint TEXT NOT NULL, slices BLOB NOT NULL, is_image BLOB NOT NULL);
CREATE INDEX vectors_model ON vectors (fingerprint, item);
CREATE TABLE sources (
    origin TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL, caption TEXT NOT NULL,
    item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE, PRIMARY KEY (origin, name)) WITHOUT ROWID;
CREATE INDEX sources_item ON sources (item);
CREATE TABLE doomed (file TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Item:
    """One picture of a gallery, without its pixels. bytes, width and height are the source's. `taken` is the camera's local time."""

    id: int
    name: str
    caption: str
    sha256: str
    width: int
    height: int
    format: str
    bytes: int
    taken: datetime | None
    camera: str
    location: tuple[float, float] | None
    added: datetime
    has_vectors: bool
    suffix: str


@dataclass(frozen=True)
class Filters:
    """What a search looks among. after, before: a date or datetime, inclusive (items without a time then never match); name: part of
    the file name; caption: words that must all be in the caption; min_side, max_side: pixels of the longer side. Case is ignored."""

    after: date | None = None
    before: date | None = None
    name: str = ""
    caption: str = ""
    min_side: int = 0
    max_side: int | None = None

    def __post_init__(self) -> None:
        for key in ("after", "before"):
            if (value := getattr(self, key)) is not None and not isinstance(value, date):
                raise InputError(f"{key} is {value!r}; give a date or a datetime.")

    def where(self) -> tuple[str, list[object]]:
        """An SQL condition on items `i`, and its values."""
        terms: list[tuple[str, object]] = []
        if self.after is not None:
            terms.append(("i.taken >= ?", self.after.isoformat()))
        if self.before is not None:
            last = self.before.isoformat() if isinstance(self.before, datetime) else f"{self.before.isoformat()}T99"
            terms.append(("i.taken <= ?", last))
        if self.name.strip():
            terms.append(("instr(fold(i.name), ?)", self.name.strip().casefold()))
        terms += [("instr(fold(i.caption), ?)", word) for word in self.caption.casefold().split()]
        if self.min_side:
            terms.append(("max(i.width, i.height) >= ?", self.min_side))
        if self.max_side is not None:
            terms.append(("max(i.width, i.height) <= ?", self.max_side))
        return " AND ".join(t for t, _ in terms) or "1", [v for _, v in terms]


class Store:
    """One open `gallery.db`. See the module docstring; every method may be called from any thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self.lock = threading.RLock()
        self._db = connection
        self._wal = False

    @classmethod
    def create(cls, path: Path, meta: dict[str, str]) -> Store:
        """Make a new file with these meta values. Raises GalleryError when there is one already."""
        if path.exists():
            raise GalleryError(f"There is a gallery in {path.parent.name!r} already. Open it, or choose another name.")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
        db = _connect(f"{temporary.absolute().as_uri()}?mode=rwc")
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        db.executemany("INSERT INTO meta VALUES (?, ?)", {"format": str(FORMAT), "epoch": "0", **meta}.items())
        db.close()
        os.replace(temporary, path)  # killed before this line: nothing shows
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Store:
        """Open an existing file. Raises GalleryError when it is missing, damaged or of another format version."""
        if not path.is_file():
            raise GalleryError(f"There is no gallery in {path.parent.name!r}. Check the name, or create it by adding pictures.")
        uri = path.absolute().as_uri()
        writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        try:
            if read_only and not writable:  # a read-only place cannot hold SQLite's own lock files
                db = _connect(f"{uri}?mode=ro&immutable=1")
            else:
                db = _connect(f"{uri}?mode={'ro' if read_only else 'rw'}")
            version = dict(db.execute("SELECT key, value FROM meta")).get("format")
        except sqlite3.OperationalError as error:
            raise GalleryError(f"The gallery {path.parent.name!r} cannot be opened ({error}). Check its permissions.") from error
        except sqlite3.DatabaseError as error:
            raise GalleryError(f"The gallery file {path.name!r} is damaged ({error}). Restore it, or delete the gallery.") from error
        if version != str(FORMAT):
            raise GalleryError(f"The gallery has format version {version}, this program reads {FORMAT}. Export it with the other version.")
        return cls(path, db, read_only)

    def close(self) -> None:
        with self.lock:
            self._db.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Raises GalleryError when read-only or when the disk is full, BusyError when another process holds the file."""
        if self.read_only:
            raise GalleryError("This gallery is opened for reading only. Make your own gallery to add or delete pictures.")
        with self.lock:
            try:
                if not self._wal:
                    self._db.execute("PRAGMA journal_mode=WAL")
                    self._wal = True
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                translated = _translated(error)
                if translated is error:
                    raise
                raise translated from error

    def read(self, sql: str, values: Sequence[object] = ()) -> list[tuple]:
        with self.lock:
            return self._db.execute(sql, values).fetchall()

    def meta(self, key: str, default: str = "") -> str:
        rows = self.read("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else default

    def version(self) -> int:
        """Changes whenever another connection has written."""
        return int(self.read("PRAGMA data_version")[0][0])

    def state(self) -> tuple[int, int, int]:
        """(epoch, last seq, number of vectors) of the vectors of the current model; the epoch grows when any vector goes."""
        fingerprint = self.meta("fingerprint")
        row = self.read("SELECT coalesce(max(seq), 0), count(*) FROM vectors WHERE fingerprint = ?", (fingerprint,))[0]
        return int(self.meta("epoch", "0")), int(row[0]), int(row[1])

    def items(self, where: str = "1", values: Sequence[object] = (), *, limit: int = -1, offset: int = 0) -> list[Item]:
        """Items in order of time taken (those without a time last), then name; `where` speaks of items as `i`."""
        rows = self.read(
            "SELECT i.id, i.name, i.caption, i.sha256, i.width, i.height, i.format, i.bytes, i.taken, i.camera, i.latitude, i.longitude, "
            "i.added, v.item IS NOT NULL, i.suffix FROM items i LEFT JOIN vectors v ON v.item = i.id AND v.fingerprint = "
            f"(SELECT value FROM meta WHERE key = 'fingerprint') WHERE {where} "
            "ORDER BY i.taken IS NULL, i.taken, i.name, i.id LIMIT ? OFFSET ?",
            (*values, limit, offset),
        )
        return [
            Item(
                id=r[0], name=r[1], caption=r[2], sha256=r[3], width=r[4], height=r[5], format=r[6], bytes=r[7],
                taken=datetime.fromisoformat(r[8]) if r[8] else None, camera=r[9], location=None if r[10] is None else (r[10], r[11]),
                added=datetime.fromisoformat(r[12]), has_vectors=bool(r[13]), suffix=r[14],
            )
            for r in rows
        ]  # fmt: skip

    def vectors(self, after: int = 0, dimension: int = 0) -> Iterator[tuple[int, int, np.ndarray]]:
        """(seq, item, (n, D) float32) of every vector row of the current model past `after`, in order of seq; read in chunks."""
        fingerprint = self.meta("fingerprint")
        while True:
            rows = self.read(
                "SELECT seq, item, slices FROM vectors WHERE seq > ? AND fingerprint = ? ORDER BY seq LIMIT 4096", (after, fingerprint)
            )
            for seq, item, blob in rows:
                yield seq, item, np.frombuffer(blob, "<f4").reshape(-1, dimension)
            if not rows:
                return
            after = rows[-1][0]

    def scrub(self) -> None:
        """Give deleted pages back to the disk and empty the WAL, so that no file holds what was deleted.

        Raises BusyError when another process keeps reading for ten seconds; the rows are gone, their bytes may linger in the WAL.
        """
        with self.lock:
            if self.path.stat().st_size < _SMALL:
                self._db.execute("VACUUM")
            else:
                self._db.execute("PRAGMA incremental_vacuum").fetchall()
            for _ in range(100):
                if not self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    return
                time.sleep(0.1)
        raise BusyError("The pictures are deleted, but another program is reading the gallery. Close it and delete again to clear its log.")

    def settle(self) -> None:
        """Leave WAL mode: one plain file that can be read in place, as it ships with a clone."""
        with self.lock:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA journal_mode=DELETE").fetchall()
            self._wal = False


def _connect(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
    db.execute("PRAGMA secure_delete=ON")
    db.execute("PRAGMA foreign_keys=ON")
    db.execute("PRAGMA synchronous=FULL")
    db.create_function("fold", 1, lambda text: text.casefold(), deterministic=True)
    return db


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, sqlite3.OperationalError):
        if "full" in str(error) or "disk I/O" in str(error):
            return GalleryError(f"The disk is full ({error}). What was reported as added is kept; free some space and add the rest again.")
        if "locked" in str(error) or "busy" in str(error):
            return BusyError("Another program is writing to this gallery. Wait for it, or close it.")
        if "readonly" in str(error):
            return GalleryError("The gallery's folder cannot be written to. Check its permissions, or make another gallery.")
    return error


class WriterLock:
    """One writer at a time over all processes: an exclusive lock on a file of its own that ends with the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "writer.lock"
        self._db: sqlite3.Connection | None = None

    def acquire(self) -> bool:
        """False when another writer holds it."""
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            db.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            db.close()
            return False
        self._db = db
        return True

    def release(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
