"""Notes that are kept with a gallery: passages of text and question/answer pairs, deleted with the gallery.

    keep_notes(store, [("trips.md › Rome", "We saw ...", "")])       # how many were new
    read_notes(store)                                                # list[Note], in order
    forget_notes(store)                                              # all of them, for good

Not covered: pictures of pairs (add them to the gallery), reading files (sugar/passages).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Note", "forget_notes", "keep_notes", "read_notes"]

_TABLE = """CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, text TEXT NOT NULL, answer TEXT NOT NULL,
    UNIQUE (name, text, answer))"""


@dataclass(frozen=True)
class Note:
    """One passage or pair. answer: "" for a passage."""

    id: int
    name: str
    text: str
    answer: str


def keep_notes(store: Any, notes: Iterable[tuple[str, str, str]]) -> int:
    """Add the (name, text, answer) rows that are not there yet. Returns how many were added."""
    with store.write() as db:
        db.execute(_TABLE)
        before = db.execute("SELECT count(*) FROM notes").fetchone()[0]
        db.executemany("INSERT OR IGNORE INTO notes (name, text, answer) VALUES (?, ?, ?)", list(notes))
        return int(db.execute("SELECT count(*) FROM notes").fetchone()[0] - before)


def read_notes(store: Any) -> list[Note]:
    """All notes, in the order in which they were added."""
    if not store.read("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'notes'"):
        return []
    return [Note(*row) for row in store.read("SELECT id, name, text, answer FROM notes ORDER BY id")]


def forget_notes(store: Any) -> int:
    """Delete all notes; their bytes are overwritten. Returns how many there were."""
    count = len(read_notes(store))
    if count:
        with store.write() as db:
            db.execute("DELETE FROM notes")
        store.scrub()
    return count
