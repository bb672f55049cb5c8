"""The tables of `gallery.db`, and how a file of an earlier format is brought up to date.

Format 2 keys vectors by (item, model fingerprint). Format 1 had one model for the whole gallery.
"""

from __future__ import annotations

import math
import sqlite3

from sugar import place
from sugar.search_words import fold, indexed

FORMAT = 2
TABLES = {"meta", "items", "thumbnails", "models", "vectors", "sources", "deleted_files"}
"""What every gallery of this format has. Others (words, notes) are made when they are needed."""

_VECTORS = """
CREATE TABLE models (fingerprint TEXT PRIMARY KEY, dimension INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE vectors (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    fingerprint TEXT NOT NULL REFERENCES models, slices BLOB NOT NULL, is_image BLOB NOT NULL,
    UNIQUE (item, fingerprint));
CREATE INDEX vectors_model ON vectors (fingerprint, seq);
"""

SCHEMA = f"""
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


def upgrade(db: sqlite3.Connection) -> None:
    """Bring an open file of format 1 to format 2, in one transaction: all of it or none of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == ("1",):
            for statement in filter(str.strip, _FROM_1.split(";")):
                db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


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
