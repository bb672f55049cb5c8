"""Folders of this machine that a gallery follows: new files come in, removed ones take theirs away.

    watch(gallery, "~/Pictures"); watched(gallery); unwatch(gallery, "~/Pictures")
    look(folder)                                  # a value that changes when a file comes, changes or goes
    report, gone = follow(gallery, folder)        # bring the gallery in step with the folder

A picture goes only when it came from this folder and from nowhere else. What a person deleted from the
gallery stays deleted while its file stays as it is: files seen before are known by salted hashes. Zips in the
folder are left alone. The folder's path is the one path that a gallery keeps; `unwatch` takes it out.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sugar.errors import GalleryError
from sugar.gallery.files import RUNNING
from sugar.gallery.gathering import folder_origin, gather
from sugar.gallery.names import clean_name
from sugar.gallery.reports import IngestReport, Progress
from sugar.gallery.sources import Source, is_ignored, not_a_picture
from sugar.gallery.store import Store
from sugar.paths import existing, missing, shown

if TYPE_CHECKING:
    from sugar.gallery.lifecycle import Gallery

__all__ = ["follow", "look", "unwatch", "watch", "watched", "watched_in"]

_KEY = "watched"


def watched(gallery: Gallery) -> list[str]:
    """The folders that the gallery follows, in the order in which they were named."""
    return list(_kept(gallery.store))


def watched_in(path: str | os.PathLike) -> list[str]:
    """The same for a gallery's folder that is not open, without a model. [] for one that cannot be read."""
    try:
        store = Store.open(Path(path) / "gallery.db", read_only=True)
    except GalleryError:
        return []
    try:
        return list(_kept(store))
    finally:
        store.close()


def watch(gallery: Gallery, folder: str | os.PathLike) -> str:
    """Follow a folder from now on; its full path.

    Raises GalleryError: no such folder, or it holds the gallery.
    """
    path = existing(folder)
    if path is None or not path.is_dir():
        why = missing(folder, "folder") if path is None else f"{shown(folder)} is a file."
        raise GalleryError(f"{why} Name a folder of this machine.")
    path = path.resolve()
    if gallery.folder.resolve().is_relative_to(path):
        raise GalleryError("This folder holds the gallery itself. Choose another one.")
    _keep(gallery, {**_kept(gallery.store), str(path): _kept(gallery.store).get(str(path), [])})
    return str(path)


def unwatch(gallery: Gallery, folder: str) -> None:
    """Follow it no more. Its pictures stay."""
    _keep(gallery, {path: seen for path, seen in _kept(gallery.store).items() if path != folder})


def look(folder: str | os.PathLike) -> str:
    """A hash of the names, sizes and times of the folder's pictures. Raises GalleryError: it is not there."""
    digest = hashlib.sha256()
    for name, size, mtime in _files(folder):
        digest.update(f"{name}\0{size}\0{mtime}\n".encode("utf-8", "replace"))
    return digest.hexdigest()


def follow(
    gallery: Gallery,
    folder: str,
    *,
    progress: Callable[[Progress], Any] | None = None,
    cancel: threading.Event | None = None,
) -> tuple[IngestReport, int]:
    """Take in what is new or changed, and delete for good what is gone.

    Returns:
        The report of what was taken in, and how many pictures were deleted. A folder without any picture
        deletes nothing: it may be a disk that is not mounted.

    Raises:
        GalleryError: the folder is not there. BusyError: another run fills this gallery.
    """
    salt = gallery.store.meta("salt")
    origin = folder_origin(salt, folder)
    with gallery.run_lock().held(RUNNING):
        present = {clean_name(name) for name, _, _ in _files(folder)}
        found = gather(folder, salt=salt, limits=gallery.settings.upload_limits)
        entries = [e for e in found if isinstance(e, Source) and e.origin == origin]
        known = {
            name for (name,) in gallery.store.read("SELECT name FROM sources WHERE origin = ?", (origin,))
        }
        seen = set(_kept(gallery.store).get(folder, []))
        wanted = [e for e in entries if e.name in known or _digest(salt, e) not in seen]
        steps = gallery.take_in(wanted, cancel=cancel)
        while True:
            try:
                told = next(steps)
            except StopIteration as end:
                report = end.value
                break
            if progress is not None:
                progress(told)
        gone = _forget(gallery, origin, sorted(known - present)) if present else 0
        kept = _kept(gallery.store)
        if folder in kept and not report.cancelled:
            _keep(gallery, {**kept, folder: sorted(_digest(salt, e) for e in entries)})
        return report, gone


def _forget(gallery: Gallery, origin: str, names: list[str]) -> int:
    """Delete for good the pictures whose every file is one of these; how many."""
    if not names:
        return 0
    files = (origin, json.dumps(names))
    gone = "origin = ? AND name IN (SELECT value FROM json_each(?))"
    doomed = gallery.store.read(f"SELECT item FROM sources GROUP BY item HAVING sum(NOT ({gone})) = 0", files)
    count = gallery.delete(item for (item,) in doomed)
    with gallery.changing(), gallery.store.write() as db:
        db.execute(f"DELETE FROM sources WHERE {gone}", files)
    return count


def _digest(salt: str, entry: Source) -> str:
    seen = f"{salt}|{entry.name}|{entry.size}|{entry.mtime}"
    return hashlib.sha256(seen.encode("utf-8", "replace")).hexdigest()[:12]


def _files(folder: str | os.PathLike) -> Iterator[tuple[str, int, int]]:
    """(name below the folder, bytes, nanoseconds) of what may be a picture. Raises GalleryError."""
    root = Path(folder)
    if not root.is_dir():
        raise GalleryError(f"The folder {str(folder)!r} is not there at the moment. Nothing was changed.")
    for where, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not is_ignored(f))
        for name in sorted(files):
            path = Path(where, name)
            if is_ignored(name) or not_a_picture(name) is not None:
                continue
            try:
                stat = path.stat()
            except OSError:
                continue
            yield path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns


def _kept(store: Store) -> dict[str, list[str]]:
    return json.loads(store.meta(_KEY, "{}"))


def _keep(gallery: Gallery, folders: dict[str, list[str]]) -> None:
    with gallery.changing(), gallery.store.write() as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEY, json.dumps(folders)))
