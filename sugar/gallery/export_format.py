"""The format of an exported gallery: names inside the zip, and a picture's row as JSON, checked when read.

In the zip: `gallery.json` (format, number of items, models), `items.jsonl` (a row for each picture),
`captions.csv` for people and other programs, `pictures/SHA256.jpg|png`, and for each model
`vectors/FINGERPRINT.f32`: float32 rows, in the order of the items; each row of `items.jsonl` says how many
are its own.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sugar import place
from sugar.gallery.archives import ArchiveError
from sugar.gallery.items import Item
from sugar.gallery.names import clean_caption, clean_name
from sugar.taken import read

__all__ = ["FORMAT", "MAX_ROW", "ExportRow", "file_of", "parse", "parse_row", "row_of", "vectors_file"]

FORMAT = 2
MAX_ROW = 65_536  # bytes of one line of items.jsonl
MAX_SLICES = 1_000  # vectors of one picture
_FILE = re.compile(r"pictures/([0-9a-f]{64})\.(?:jpg|png)")


@dataclass(frozen=True)
class ExportRow:
    """One picture of an export. slices: {model fingerprint: how many vectors are its own}."""

    file: str
    sha256: str
    name: str
    caption: str
    caption_by: str
    favourite: bool
    width: int
    height: int
    format: str
    bytes: int
    taken: datetime | None
    camera: str
    location: tuple[float, float] | None
    slices: dict[str, int]
    day_from_name: bool


def file_of(item: Item) -> str:
    """Where an item's picture lies in the zip."""
    return f"pictures/{item.sha256}{item.suffix}"


def vectors_file(fingerprint: str) -> str:
    """Where a model's vectors lie in the zip."""
    return f"vectors/{fingerprint}.f32"


def row_of(item: Item, slices: dict[str, int], *, include_location: bool) -> dict[str, Any]:
    """An item as a row of `items.jsonl`."""
    return {
        "file": file_of(item),
        "name": item.name,
        "caption": item.caption,
        "caption_by": item.caption_by,
        "favourite": item.favourite,
        "width": item.width,
        "height": item.height,
        "format": item.format,
        "bytes": item.bytes,
        "taken": item.taken.isoformat() if item.taken else None,
        "day_from_name": item.day_from_name,
        "camera": item.camera,
        "location": item.location if include_location else None,
        "slices": slices,
    }


def parse(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object of a stranger.

    Raises ArchiveError for anything else, however deep or long its values are.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ArchiveError(f"{what} cannot be read ({reason}). Export the gallery again.") from None
    if not isinstance(value, dict):
        raise ArchiveError(f"{what} is not what an export holds. Export the gallery again.")
    return value


def parse_row(line: bytes, number: int) -> ExportRow:
    """Line `number` of `items.jsonl`. Raises ArchiveError: too long, not a row, or a value out of range."""
    what = f"Row {number:,} of the export"
    if len(line) > MAX_ROW:
        raise ArchiveError(f"{what} is longer than {MAX_ROW:,} bytes. Export the gallery again.")
    row = parse(line, what)
    try:
        match = _FILE.fullmatch(row["file"])
        if match is None:
            raise ValueError("its file is not a picture of an export")
        taken = read(_text(row["taken"])) if row.get("taken") else None
        if taken is None and row.get("taken"):
            raise ValueError("its time cannot be read")
        location = row.get("location")
        slices = row.get("slices", {})
        if not isinstance(slices, dict):
            raise ValueError("slices is not an object")
        return ExportRow(
            file=match.group(0),
            sha256=match.group(1),
            name=clean_name(_text(row["name"])),
            caption=clean_caption(_text(row.get("caption", ""))),
            caption_by=clean_name(_text(row["caption_by"]))[:80] if row.get("caption_by") else "",
            favourite=row.get("favourite") is True,
            width=_whole(row["width"], 1, 1_000_000),
            height=_whole(row["height"], 1, 1_000_000),
            format=clean_name(_text(row["format"]))[:8],
            bytes=_whole(row["bytes"], 0, 2**48),
            taken=taken.time if taken else None,
            camera=clean_caption(_text(row.get("camera", "")))[:80],
            # earlier programs wrote what is no place
            location=place.pair(*location) if isinstance(location, list) and len(location) == 2 else None,
            slices={_text(k): _whole(v, 0, MAX_SLICES) for k, v in slices.items()},
            day_from_name=row.get("day_from_name") is True,
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ArchiveError(f"{what} is not whole ({error}). Export the gallery again.") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} is not a text")
    return value


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"a number is not from {low:,} to {high:,}")
    return value
