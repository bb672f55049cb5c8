"""Writing a gallery into one zip, a picture at a time, whole or not at all. The format: export_format.py."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sugar.atomic import replacing
from sugar.errors import Cancelled, GalleryError
from sugar.gallery.copies import disk_errors
from sugar.gallery.export_format import FORMAT, file_of, row_of, vectors_file
from sugar.gallery.items import Item
from sugar.gallery.reading import GalleryReader
from sugar.gallery.reports import Progress

__all__ = ["export_zip"]

_PAGE = 500  # items whose vectors are held at once
_TELL = 64  # pictures between two calls of `progress`


def export_zip(
    gallery: GalleryReader,
    path: str | os.PathLike,
    *,
    include_location: bool = False,
    progress: Callable[[Progress], Any] | None = None,
    cancel: threading.Event | None = None,
) -> int:
    """Write the zip; returns the number of pictures. Locations leave only by `include_location=True`.

    Raises GalleryError: a kept picture is missing, no room; Cancelled when `cancel` was set.
    """
    with (
        disk_errors("Nothing was exported."),
        replacing(Path(path)) as beside,
        zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive,
    ):
        count = _fill(gallery, archive, include_location, progress, cancel)
    return count


def _fill(
    gallery: GalleryReader,
    archive: zipfile.ZipFile,
    include_location: bool,
    progress: Callable[[Progress], Any] | None,
    cancel: threading.Event | None,
) -> int:
    items = sorted(gallery.items(), key=lambda i: i.id)
    for number, item in enumerate(items, 1):
        if cancel is not None and cancel.is_set():
            raise Cancelled("The export was cancelled. Nothing was written.")
        try:
            archive.write(gallery.kept(f"{item.sha256}{item.suffix}"), file_of(item))
        except FileNotFoundError as error:
            raise GalleryError(
                f"The kept picture of {item.name!r} is missing, or was deleted meanwhile. Export again."
            ) from error
        if progress is not None and (number % _TELL == 0 or number == len(items)):
            progress(Progress(number, len(items), number, 0, 0.0, 0.0, item.name))
    slices: dict[int, dict[str, int]] = {item.id: {} for item in items}
    models = gallery.store.read("SELECT fingerprint, dimension FROM models ORDER BY fingerprint")
    for fingerprint, dimension in models:
        _write_vectors(gallery, archive, items, fingerprint, dimension, slices)
    rows = (row_of(item, slices[item.id], include_location=include_location) for item in items)
    with archive.open("items.jsonl", "w", force_zip64=True) as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    archive.writestr("captions.csv", _table(items), zipfile.ZIP_DEFLATED)
    listed = [{"fingerprint": f, "dimension": d} for f, d in models]
    head = {"format": FORMAT, "items": len(items), "models": listed}
    archive.writestr("gallery.json", json.dumps(head, indent=1))
    return len(items)


def _write_vectors(
    gallery: GalleryReader,
    archive: zipfile.ZipFile,
    items: list[Item],
    fingerprint: str,
    dimension: int,
    slices: dict[int, dict[str, int]],
) -> None:
    """One model's vectors, and how many each item has into `slices`."""
    with archive.open(vectors_file(fingerprint), "w", force_zip64=True) as out:
        for at in range(0, len(items), _PAGE):
            page = [i.id for i in items[at : at + _PAGE]]
            found = dict(
                gallery.store.read(
                    "SELECT item, slices FROM vectors WHERE fingerprint = ? "
                    "AND item IN (SELECT value FROM json_each(?))",
                    (fingerprint, json.dumps(page)),
                )
            )
            for item in page:
                if (blob := found.get(item)) is not None:
                    out.write(blob)
                    slices[item][fingerprint] = len(blob) // (4 * dimension)


def _table(items: list[Item]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["file", "caption", "taken", "name"])
    for item in items:
        writer.writerow([file_of(item), item.caption, item.taken_text, item.name])
    return out.getvalue()
