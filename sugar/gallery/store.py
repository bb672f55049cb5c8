"""The truth of a gallery: one SQLite file with items, metadata, thumbnails and vectors of every model.

    store = Store.create(path, {"salt": "..."})                 # or Store.open(path)
    with store.write() as db: ...                               # one transaction: all of it or none of it
    store.items(fingerprint, where="i.name LIKE ?", values=("%dog%",), limit=50)

A file goes to WAL mode at the first write, so a gallery that is only read stays byte for byte the same.
Deleted rows are overwritten (secure_delete); `scrub` gives their pages back and empties the WAL.
One connection, guarded by a lock, serves all threads. Not covered: picture files, the search index.
"""

from __future__ import annotations

import errno
import math
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import numpy as np

from sugar import place
from sugar.atomic import replacing
from sugar.errors import BusyError, GalleryError, SugarError
from sugar.gallery.items import Item
from sugar.gallery.keywords import ensure_words, forget_words
from sugar.paths import existing, shown
from sugar.search_words import fold, indexed
from sugar.taken import read

# -- the tables. Format 2 keys vectors by (item, model fingerprint); format 1 had one model for all of them.

FORMAT = 2
_TABLES = {"meta", "items", "thumbnails", "models", "vectors", "sources", "deleted_files"}
"""What every gallery of this format has. Others (words, notes) are made when they are needed."""

NOTES = """CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, text TEXT NOT NULL, answer TEXT NOT NULL,
    UNIQUE (name, text, answer))"""

FOLDERS = "CREATE TABLE IF NOT EXISTS folders (origin TEXT PRIMARY KEY, path TEXT NOT NULL) WITHOUT ROWID"
"""Where originals stay that are indexed in place."""

_VECTORS = """
CREATE TABLE models (fingerprint TEXT PRIMARY KEY, dimension INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE vectors (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    fingerprint TEXT NOT NULL REFERENCES models, slices BLOB NOT NULL, is_image BLOB NOT NULL,
    UNIQUE (item, fingerprint));
CREATE INDEX vectors_model ON vectors (fingerprint, seq);
"""

_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    caption TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, format TEXT NOT NULL,
    bytes INTEGER NOT NULL, taken TEXT, camera TEXT NOT NULL, latitude REAL, longitude REAL,
    added TEXT NOT NULL, suffix TEXT NOT NULL,
    signature BLOB NOT NULL, favourite INTEGER NOT NULL DEFAULT 0, caption_by TEXT NOT NULL DEFAULT '');
CREATE INDEX items_taken ON items (taken, name, id);
CREATE TABLE thumbnails (item INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE, jpeg BLOB NOT NULL);
{_VECTORS}
CREATE TABLE sources (
    origin TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
    caption TEXT NOT NULL, item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    PRIMARY KEY (origin, name)) WITHOUT ROWID;
CREATE INDEX sources_item ON sources (item);
CREATE TABLE deleted_files (file TEXT PRIMARY KEY) WITHOUT ROWID;
"""

_FROM_1 = f"""
ALTER TABLE items ADD COLUMN favourite INTEGER NOT NULL DEFAULT 0;
ALTER TABLE items ADD COLUMN caption_by TEXT NOT NULL DEFAULT '';
ALTER TABLE doomed RENAME TO deleted_files;
DROP INDEX vectors_model;
ALTER TABLE vectors RENAME TO vectors_1;
{_VECTORS}
INSERT INTO models SELECT f.value, d.value FROM meta f, meta d
    WHERE f.key = 'fingerprint' AND d.key = 'dimension';
INSERT OR IGNORE INTO models
    SELECT DISTINCT fingerprint, length(slices) / 4 / length(is_image) FROM vectors_1;
INSERT INTO vectors SELECT seq, item, fingerprint, slices, is_image FROM vectors_1 ORDER BY seq;
DROP TABLE vectors_1;
DELETE FROM meta WHERE key IN ('fingerprint', 'dimension');
UPDATE meta SET value = '2' WHERE key = 'format';
"""


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or none of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _upgrade(db: sqlite3.Connection) -> None:
    """Bring an open file of format 1 to format 2."""
    with _transaction(db):
        if db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == ("1",):
            for statement in filter(str.strip, _FROM_1.split(";")):
                db.execute(statement)


def connect(uri: str) -> sqlite3.Connection:
    """A connection with what every gallery needs: overwritten deletions, foreign keys, our SQL functions."""
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
    db.execute("PRAGMA secure_delete=ON")
    db.execute("PRAGMA foreign_keys=ON")
    db.execute("PRAGMA synchronous=FULL")
    db.create_function("fold", 1, fold, deterministic=True)
    db.create_function("indexed", 1, indexed, deterministic=True)
    db.create_function("kilometres", 4, _kilometres, deterministic=True)
    return db


def _kilometres(
    latitude: float | None, longitude: float | None, latitude_2: float, longitude_2: float
) -> float | None:
    """Great-circle distance of two places in degrees (haversine formula, mean Earth radius).

    None without one, and for what was stored and is none.
    """
    there = place.pair(latitude, longitude)
    if there is None:
        return None
    (latitude, longitude), b = there, math.radians(latitude_2)
    a = math.radians(latitude)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(longitude_2 - longitude) / 2) ** 2
    return 2 * 6371.0 * math.asin(min(1.0, math.sqrt(half)))


# -- the open file

READ_ONLY = "This gallery is opened for reading only. Make your own gallery to add or delete pictures."
_SMALL = 256_000_000  # bytes: below this a deletion rebuilds the whole file, above it moves pages
_COLUMNS = (
    "i.id, i.name, i.caption, i.sha256, i.width, i.height, i.format, i.bytes, i.taken, i.camera, i.latitude, "
    "i.longitude, i.added, v.item IS NOT NULL, i.suffix, i.favourite, i.caption_by"
)


class Store:
    """One open `gallery.db`. Every method may be called from any thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self.lock = threading.RLock()
        self._db = connection
        self._wal = False

    @classmethod
    def create(cls, path: Path, meta: dict[str, str]) -> Store:
        """Make a new file with these meta values.

        Raises GalleryError when there is one already, or no room.
        """
        if existing(path):
            raise GalleryError(
                f"There is a gallery in {path.parent.name!r} already. Open it, or choose another name."
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                replacing(path) as beside,  # killed within: nothing shows
                closing(connect(f"{beside.absolute().as_uri()}?mode=rwc")) as db,
            ):
                db.execute("PRAGMA auto_vacuum=INCREMENTAL")
                db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
                values = {"format": str(FORMAT), "epoch": "0", **meta}
                db.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
        except (OSError, ValueError, sqlite3.OperationalError) as error:
            raise GalleryError(
                f"The gallery {shown(path.parent.name)} cannot be made ({error}). Check the "
                "folder's permissions and the free space."
            ) from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Store:
        """Open an existing file. Raises GalleryError when it is missing, damaged or of an unknown format."""
        name = path.parent.name
        with _sqlite_errors(name), ExitStack() as opened:
            if not _is_there(path):
                raise GalleryError(
                    f"There is no gallery in {shown(name)}. Check the name, or create it by adding pictures."
                )
            uri = path.absolute().as_uri()
            writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
            if not read_only and not writable:
                raise GalleryError(
                    f"The folder of gallery {name!r} cannot be written to. Check its permissions, or open it "
                    "for reading."
                )
            if not writable:  # a read-only place cannot hold SQLite's own lock files
                db = opened.enter_context(closing(connect(f"{uri}?mode=ro&immutable=1")))
            else:
                db = opened.enter_context(closing(connect(f"{uri}?mode={'ro' if read_only else 'rw'}")))
            meta = dict(db.execute("SELECT key, value FROM meta"))
            version = meta.get("format")
            if version == "1" and writable:
                with closing(connect(f"{uri}?mode=rw")) as writer:
                    _upgrade(writer)
                for left in (path.parent / "index").glob("*.*"):
                    left.unlink()  # derived from format 1; built anew
                version = str(FORMAT)
            if version != str(FORMAT):
                raise GalleryError(
                    f"The gallery {name!r} has format version {version}, this program reads {FORMAT}. "
                    + (
                        "Open it once where it can be written."
                        if version == "1"
                        else "Use the newer program."
                    )
                )
            known = {table for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if missing := sorted(_TABLES - known):
                raise GalleryError(_damaged(name, f"it lacks {', '.join(missing)}"))
            if not str(meta.get("epoch")).isdecimal() or not meta.get("salt"):
                raise GalleryError(_damaged(name, "its own settings are not whole"))
            opened.pop_all()
            return cls(path, db, read_only)

    def close(self) -> None:
        with self.lock:
            self._db.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction.

        Raises GalleryError when read-only, damaged or when the disk is full, BusyError when another process
        holds the file.
        """
        if self.read_only:
            raise GalleryError(READ_ONLY)
        with self.lock, self._errors():
            if not self._wal:
                self._db.execute("PRAGMA journal_mode=WAL")
            with _transaction(self._db):
                if not self._wal:
                    ensure_words(self._db)
                yield self._db
            self._wal = True

    def _errors(self) -> AbstractContextManager[None]:
        return _sqlite_errors(self.path.parent.name)

    def read(self, sql: str, values: Sequence[object] = ()) -> list[tuple]:
        """All rows of a query. Raises GalleryError when the gallery was closed, or is damaged."""
        with self.lock, self._errors():
            return self._db.execute(sql, values).fetchall()

    def has(self, table: str) -> bool:
        """Whether the gallery has a table that is made when it is needed."""
        return bool(self.read("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)))

    def meta(self, key: str, default: str = "") -> str:
        rows = self.read("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else default

    def version(self) -> int:
        """Changes whenever another connection has written."""
        return int(self.read("PRAGMA data_version")[0][0])

    def state(self, fingerprint: str) -> tuple[int, int, int]:
        """(epoch, last seq, number of vectors) of one model's vectors.

        The epoch grows when any vector goes.
        """
        row = self.read(
            "SELECT (SELECT value FROM meta WHERE key = 'epoch'), coalesce(max(seq), 0), count(*) "
            "FROM vectors WHERE fingerprint = ?",
            (fingerprint,),
        )[0]
        return int(row[0]), int(row[1]), int(row[2])

    def items(
        self,
        fingerprint: str,
        where: str = "1",
        values: Sequence[object] = (),
        *,
        order: str = "i.taken IS NULL, i.taken, i.name, i.id",
        limit: int = -1,
        offset: int = 0,
    ) -> list[Item]:
        """Items by time taken (those without a time last), then name; `where` speaks of items as `i`.

        fingerprint: the model that `has_vectors` is about.
        """
        rows = self.read(
            f"SELECT {_COLUMNS} FROM items i LEFT JOIN vectors v ON v.item = i.id AND v.fingerprint = ? "
            f"WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
            (fingerprint, *values, limit, offset),
        )
        return [_item(r) for r in rows]

    def vectors(
        self, fingerprint: str, dimension: int, after: int = 0
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """(seq, item, (n, D) float32) of one model's vector rows past `after`, in order of seq.

        Read in chunks.
        """
        while True:
            rows = self.read(
                "SELECT seq, item, slices FROM vectors WHERE seq > ? AND fingerprint = ? "
                "ORDER BY seq LIMIT 4096",
                (after, fingerprint),
            )
            for seq, item, blob in rows:
                if len(blob) % (4 * dimension):
                    raise GalleryError(_damaged(self.path.parent.name, "a vector is cut short"))
                yield seq, item, np.frombuffer(blob, "<f4").reshape(-1, dimension)
            if not rows:
                return
            after = rows[-1][0]

    def scrub(self) -> None:
        """Give deleted pages back to the disk and empty the WAL, so that no file holds what was deleted.

        Raises BusyError when another process keeps reading for ten seconds: the rows are gone, their bytes
        may stay in the WAL until the next scrub. On a full disk the zeroed pages stay in the file.
        """
        with self.lock:
            with suppress(DiskFullError), self._errors():
                forget_words(self._db)
                if self.path.stat().st_size < _SMALL:
                    self._db.execute("VACUUM")
                else:
                    self._db.execute("PRAGMA incremental_vacuum").fetchall()
            for _ in range(100):
                if self.empty_log():
                    return
                time.sleep(0.1)
        raise BusyError(
            "The pictures are deleted, but another program is reading the gallery. "
            "Close it and delete again to clear its log."
        )

    def empty_log(self) -> bool:
        """Write the WAL into the file and cut it off; False when a reader or a full disk is in the way."""
        with self.lock:
            try:
                return not self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.OperationalError:
                return False

    def settle(self) -> None:
        """Leave WAL mode: one plain file that can be read in place, as it ships with a clone."""
        with self.lock, self._errors():
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA journal_mode=DELETE").fetchall()
            self._wal = False


def _item(r: tuple) -> Item:
    taken = read(r[8]) if r[8] else None
    return Item(
        id=r[0],
        name=r[1],
        caption=r[2],
        sha256=r[3],
        width=r[4],
        height=r[5],
        format=r[6],
        bytes=r[7],
        taken=taken.time if taken else None,
        camera=r[9],
        location=place.pair(r[10], r[11]),  # earlier programs stored what is no place
        added=datetime.fromisoformat(r[12]),
        has_vectors=bool(r[13]),
        suffix=r[14],
        favourite=bool(r[15]),
        caption_by=r[16],
        day_from_name=taken is not None and taken.from_name,
    )


def _is_there(path: Path) -> bool:
    """Whether a gallery's file is there. Raises GalleryError: something else is, or nobody may look."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        if path.parent.is_symlink() and not path.parent.exists():
            raise GalleryError(
                f"The gallery {path.parent.name!r} is a link to a folder that is not there. "
                "Connect its disk, or delete the gallery."
            ) from None
        return False
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return False
        raise GalleryError(
            f"The gallery {path.parent.name!r} cannot be looked at ({error.strerror}). Check the permissions "
            "of its folder, and that its disk is there."
        ) from error
    if not stat.S_ISREG(mode):
        raise GalleryError(_damaged(path.parent.name, "it is not a file"))
    return True


def _damaged(name: str, why: object) -> str:
    """What a person is told of a gallery that cannot be read. name: of its folder."""
    return (
        f"The file gallery.db of the gallery {name!r} is damaged ({why}). Restore its folder from a backup. "
        "Without one, copy its folder pictures to another place, delete the gallery, and add them again."
    )


@contextmanager
def _sqlite_errors(name: str) -> Iterator[None]:
    """Turn SQLite's errors into ours: the only place that does. name: of the gallery's folder.

    What a program did wrong (a statement that is none, a broken constraint) stays as it is.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if (told := _translated(error, name)) is None:
            raise
        raise told from error


def _translated(error: sqlite3.DatabaseError, name: str) -> SugarError | None:
    text = str(error)
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in text:
        return GalleryError(f"The gallery {name!r} was closed. Open it again.")
    if type(error) is sqlite3.OperationalError:
        if "full" in text or "disk I/O" in text:
            failing = "" if "full" in text else " or failing"
            return DiskFullError(
                f"The disk is full{failing} ({text}). What was reported as done is kept. Free some space and "
                "try again."
            )
        if "locked" in text or "busy" in text:
            return BusyError("Another program is writing to this gallery. Wait for it, or close it.")
        if "readonly" in text or "unable to open" in text:
            return GalleryError(
                f"The folder of gallery {name!r} cannot be opened or written to ({text}). Check its "
                "permissions, or make another gallery."
            )
        if "syntax error" in text or "interrupted" in text:
            return None
        return GalleryError(_damaged(name, text))  # a table, a column or a letter that is not there
    return GalleryError(_damaged(name, text)) if type(error) is sqlite3.DatabaseError else None


class DiskFullError(GalleryError):
    """There is no room on the disk; what was reported as done is kept."""


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn a full or read-only disk into a GalleryError that says `what` holds all the same."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"The disk is full. {what} Free some space and try again.") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise GalleryError(
                f"The gallery's folder cannot be written to ({error.strerror}). {what} Check its permissions."
            ) from error
        raise
