"""Folders of this machine that a gallery follows: new files come in, removed ones take theirs away.

    watch(gallery, "~/Pictures"); watched(gallery); unwatch(gallery, "~/Pictures")
    look(folder)                                  # a value that changes when a file comes, changes or goes
    report, gone = follow(gallery, folder)        # bring the gallery in step with the folder

A picture goes only when it came from this folder and from nowhere else, and when the folder says that its
file is gone: what cannot be seen is left as it was, and said (`Walk`). What a person deleted from the
gallery stays deleted while its file stays as it is: files seen before are known by salted hashes. Zips in the
folder are left alone. The folder's path is the one path that a gallery keeps; `unwatch` takes it out.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sugar.errors import GalleryError
from sugar.gallery import bin
from sugar.gallery.gallery import Gallery
from sugar.gallery.gathering import Walk, folder_origin, gather_folder
from sugar.gallery.items import clean_name
from sugar.gallery.sources import FileResult, IngestReport, Progress, Refusal, Source
from sugar.gallery.store import Store
from sugar.paths import existing, missing, shown

_KEY = "watched"  # folder -> hashes of the files that were seen
_DISKS = "watched disks"  # folder -> those below it that are roots of other disks


def watched(gallery: Gallery) -> list[str]:
    """The folders that the gallery follows, in the order in which they were named."""
    return list(_kept(gallery.store))


def watched_in(path: str | os.PathLike) -> list[str]:
    """The same for a gallery's folder that is not open, without a model. [] for one that cannot be read."""
    try:
        with closing(Store.open(Path(path) / "gallery.db", read_only=True)) as store:
            return list(_kept(store))
    except (GalleryError, ValueError):
        return []


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
    for key in (_KEY, _DISKS):
        kept = _kept(gallery.store, key)
        _keep(gallery, {path: values for path, values in kept.items() if path != folder}, key)


def look(folder: str | os.PathLike) -> str:
    """A hash of the names, sizes and times of the folder's files, and of what cannot be seen.

    Raises GalleryError: the folder is not there.
    """
    walk = Walk(folder)
    seen: list[object] = [*walk.stats(), *walk.unseen.items(), *walk.links, *walk.folders]
    return hashlib.sha256("\n".join(map(repr, seen)).encode("utf-8", "replace")).hexdigest()


def follow(
    gallery: Gallery,
    folder: str,
    *,
    progress: Callable[[Progress], Any] | None = None,
    cancel: threading.Event | None = None,
) -> tuple[IngestReport, int]:
    """Take in what is new or changed, and put into the bin what is gone.

    Returns:
        The report of what was taken in, with a row for each folder that was left as it was; and how many
        pictures were deleted.

    Raises:
        GalleryError: the folder is not there. BusyError: another run fills this gallery.
    """
    with gallery.run_lock().held():
        disks = _kept(gallery.store, _DISKS)
        walk = Walk(folder, set(disks.get(folder, [])))
        report = _take(gallery, walk, folder, progress, cancel)
        if report.cancelled:
            return report, 0
        absent = _absent(gallery, walk, folder)
        others = [path for path in _kept(gallery.store) if path != folder]
        if any(not walk.left(name)[1] for name in absent):
            for other in others:  # a picture that has moved there is taken in there before it goes here
                if os.path.isdir(other):
                    there = Walk(other, set(disks.get(other, [])))
                    also = _take(gallery, there, other, progress, cancel)
                    report.rows += [r for r in also.rows if r.status not in ("unchanged", "passed over")]
                    report.cancelled |= also.cancelled
            absent = _absent(gallery, walk, folder)
        left = Counter(walk.left(name) for name in absent if walk.left(name)[1])
        for (where, why), files in left.items():
            stay = f"{why} Its {files:,} pictures stay."
            report.rows.append(FileResult(where or Path(folder).name, "left as it was", stay, files=files))
        gone = 0
        if not report.cancelled:
            origin = folder_origin(gallery.store.meta("salt"), folder)
            gone = _forget(gallery, origin, [name for name in absent if not walk.left(name)[1]])
        if folder in _kept(gallery.store) and sorted(walk.disks) != disks.get(folder, []):
            _keep(gallery, {**disks, folder: sorted(walk.disks)}, _DISKS)
        return report, gone


def _take(
    gallery: Gallery,
    walk: Walk,
    folder: str,
    progress: Callable[[Progress], Any] | None,
    cancel: threading.Event | None,
) -> IngestReport:
    """Take in what is new or changed in a folder. The caller holds the run's lock."""
    salt, limits = gallery.store.meta("salt"), gallery.settings.upload_limits
    found = gather_folder(walk, salt, limits)
    files = [e for e in found if isinstance(e, Source)]
    kept = _kept(gallery.store)
    known, seen = _known(gallery, folder), set(kept.get(folder, []))
    rest = [e for e in found if isinstance(e, Refusal)]
    wanted = [e for e in files if e.name in known or _digest(salt, e) not in seen]
    report = gallery.take_in([*rest, *wanted], progress=progress, cancel=cancel)
    kept = _kept(gallery.store)
    if folder in kept and not report.cancelled:
        digests = {_digest(salt, e) for e in files}
        if walk.is_partial or any(not e.kind for e in rest):
            digests |= seen  # what was deleted here before stays deleted when its file is seen again
        _keep(gallery, {**kept, folder: sorted(digests)})
    return report


def _known(gallery: Gallery, folder: str) -> set[str]:
    """The names of the folder's files that pictures came from."""
    origin = folder_origin(gallery.store.meta("salt"), folder)
    return {name for (name,) in gallery.store.read("SELECT name FROM sources WHERE origin = ?", (origin,))}


def _absent(gallery: Gallery, walk: Walk, folder: str) -> list[str]:
    return sorted(_known(gallery, folder) - {clean_name(name) for name in walk.files})


def _forget(gallery: Gallery, origin: str, names: list[str]) -> int:
    """Put into the bin the pictures whose every file is one of these; how many."""
    if not names:
        return 0
    files = (origin, json.dumps(names))
    gone = "origin = ? AND name IN (SELECT value FROM json_each(?))"
    doomed = gallery.store.read(f"SELECT item FROM sources GROUP BY item HAVING sum(NOT ({gone})) = 0", files)
    count = bin.put(gallery, (item for (item,) in doomed))
    with gallery.changing(), gallery.store.write() as db:
        db.execute(f"DELETE FROM sources WHERE {gone}", files)
    return count


def _digest(salt: str, entry: Source) -> str:
    seen = f"{salt}|{entry.name}|{entry.size}|{entry.mtime}"
    return hashlib.sha256(seen.encode("utf-8", "replace")).hexdigest()[:12]


def _kept(store: Store, key: str = _KEY) -> dict[str, list[str]]:
    return json.loads(store.meta(key, "{}"))


def _keep(gallery: Gallery, folders: dict[str, list[str]], key: str = _KEY) -> None:
    with gallery.changing(), gallery.store.write() as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(folders)))
