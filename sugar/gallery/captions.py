"""Captions that come with pictures, in `captions.csv` or `captions.jsonl`: file, caption, perhaps taken."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from sugar.gallery.names import clean_caption, clean_name
from sugar.gallery.sources import Refusal

__all__ = ["CAPTION_FILES", "MAX_CAPTION_FILE", "CaptionFiles", "sidecar_caption"]

CAPTION_FILES = ("captions.csv", "captions.jsonl")
MAX_CAPTION_FILE = 20_000_000
MAX_SIDECAR = 8_000


def sidecar_caption(data: bytes) -> str:
    """The caption in a `name.txt` beside a picture."""
    return clean_caption(data.decode("utf-8-sig", "replace"))


@dataclass
class CaptionFiles:
    """Captions by path below a folder or zip; a row speaks of files beside or below its caption file."""

    rows: dict[str, tuple[str, datetime | None]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    def find(self, name: str) -> tuple[str, datetime | None]:
        return self.rows.get(unicodedata.normalize("NFC", name), ("", None))

    def read(self, name: str, data: bytes) -> None:
        """name: the caption file's own path; its rows are taken relative to it."""
        parent = name.rpartition("/")[0]
        prefix = f"{parent}/" if parent else ""
        text = data.decode("utf-8-sig", "replace")
        try:
            for file, caption, taken in _jsonl(text) if name.lower().endswith(".jsonl") else _table(text):
                path = unicodedata.normalize("NFC", prefix + file.replace("\\", "/").strip())
                self.rows[path] = (clean_caption(caption), _time(taken))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
            reason = f"The caption file cannot be read ({error}). Give file, caption in each row."
            self.refusals.append(Refusal(clean_name(name), reason))


def _jsonl(text: str) -> list[tuple[str, str, str]]:
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [(str(r["file"]), str(r.get("caption") or ""), str(r.get("taken") or "")) for r in rows]


def _table(text: str) -> list[tuple[str, str, str]]:
    rows = list(csv.reader(io.StringIO(text)))
    columns = {"file": 0, "caption": 1, "taken": 2}
    if rows and "file" in (head := [c.strip().lower() for c in rows[0]]):
        columns = {c: head.index(c) for c in columns if c in head}
        rows = rows[1:]
    cells = [{c: row[i] for c, i in columns.items() if i < len(row)} for row in rows]
    return [(c["file"], c.get("caption", ""), c.get("taken", "")) for c in cells if c.get("file", "").strip()]


def _time(text: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(text).replace(tzinfo=None) if text else None
    return None
