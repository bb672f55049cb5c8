"""Some pictures of a gallery as files for a person: one picture by its name, or several in a zip.

    name, data = one(gallery, 3)                          # ("beach.jpg", bytes) of the kept, clean copy
    count = write_zip(gallery, [3, 4, 5], "pictures.zip")

The whole gallery, with vectors, to be imported again: exporting.py.
"""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections.abc import Iterable
from pathlib import PurePosixPath

from sugar.errors import GalleryError
from sugar.gallery.copies import disk_errors
from sugar.gallery.items import Item
from sugar.gallery.reading import GalleryReader

__all__ = ["one", "write_zip"]

_UNFIT = re.compile(r'[\\/:*?"<>|\x00-\x1f]+')


def one(gallery: GalleryReader, item: int) -> tuple[str, bytes]:
    """A picture's name with the suffix of its kept copy, and the copy's bytes. Raises GalleryError."""
    found = gallery.item(item)
    return _name(found, set()), _bytes(gallery, found)


def write_zip(gallery: GalleryReader, ids: Iterable[int], path: str | os.PathLike) -> int:
    """Write the pictures by their names, and captions.csv; returns how many.

    Raises GalleryError: none of them is there.
    """
    items = gallery.items(ids=ids)
    if not items:
        raise GalleryError("None of these pictures is here any more.")
    used: set[str] = set()
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["file", "caption", "taken"])
    with disk_errors("Nothing was written."), zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for item in items:
            name = _name(item, used)
            archive.writestr(name, _bytes(gallery, item))
            writer.writerow([name, item.caption, item.taken_text])
        archive.writestr("captions.csv", table.getvalue(), zipfile.ZIP_DEFLATED)
    return len(items)


def _bytes(gallery: GalleryReader, item: Item) -> bytes:
    try:
        return gallery.kept(f"{item.sha256}{item.suffix}").read_bytes()
    except FileNotFoundError as error:
        raise GalleryError(
            f"The kept picture of {item.name!r} is missing, or was deleted meanwhile."
        ) from error


def _name(item: Item, used: set[str]) -> str:
    """A file name that no other of `used` has; it joins them."""
    stem = _UNFIT.sub(" ", PurePosixPath(item.name.replace("\\", "/")).stem).strip(" .")[:120] or "picture"
    name, n = f"{stem}{item.suffix}", 1
    while name.casefold() in used:
        n += 1
        name = f"{stem} {n}{item.suffix}"
    used.add(name.casefold())
    return name
