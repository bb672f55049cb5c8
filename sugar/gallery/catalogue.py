"""Which galleries there are, by name; pictures of galleries that are not open; the gallery that ships.

    list_named("gallery_index"); open_named("gallery_index", "holiday", model)     # created when new
    erase(folder, shas); sweep_bin(folder, days=30)                                 # need no model
    build_sample("photos", "gallery_index/sample", model)                           # a gallery to ship

Not covered: who may see which (sugar/services/galleries.py).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sugar.errors import GalleryError
from sugar.gallery.bin import empty
from sugar.gallery.gallery import Gallery
from sugar.gallery.ingest import EmbeddingModel
from sugar.gallery.items import GallerySettings
from sugar.gallery.store import Store
from sugar.sequence import Embeddings, Sample
from sugar.text_files import read_json

_PROMISED = "leaving.json"
"""What programs before had promised to delete: {SHA-256: when}."""


def list_named(root: str | os.PathLike) -> list[str]:
    """Names of the galleries under `root`, sorted; those that cannot be opened too, which say why then."""
    try:
        folders = list(Path(root).iterdir())
    except OSError:
        return []
    return sorted(p.name for p in folders if not p.name.startswith(".") and is_gallery(p))


def is_gallery(folder: Path) -> bool:
    """Whether there is a gallery in a folder, whole or not; also when nobody may look."""
    try:
        (folder / "gallery.db").lstat()
    except (NotADirectoryError, ValueError):
        return False
    except FileNotFoundError:
        return folder.is_symlink() and not folder.exists()  # to a disk that is not there
    except OSError:
        return True
    return True


def holding(folders: Iterable[Path], items: Iterable[str]) -> set[str]:
    """Those of the items, by their SHA-256, that a gallery in one of the folders has.

    All of them when a gallery cannot be read: what may still be there is not gone.
    """
    wanted, found = sorted(set(items)), set()
    for folder in filter(is_gallery, folders) if wanted else ():
        try:
            found |= set(numbers_of(folder, wanted).values())
        except GalleryError:
            return set(wanted)
    return found


def numbers_of(folder: Path, items: Iterable[str]) -> dict[int, str]:
    """{id: SHA-256} of those of the items that the gallery in a folder has, also in its bin.

    Raises GalleryError.
    """
    with closing(Store.open(folder / "gallery.db", read_only=True)) as store:
        wanted, found = (json.dumps(sorted(items)),), dict[int, str]()
        for table, key in (("items", "id"), *([("bin", "item")] if store.has("bin") else [])):
            sql = f"SELECT {key}, sha256 FROM {table} WHERE sha256 IN (SELECT value FROM json_each(?))"
            found |= dict(store.read(sql, wanted))
        return found


def erase(folder: Path, items: Iterable[str]) -> int:
    """Delete pictures, by their SHA-256, for good from a gallery that need not be open; how many went.

    Raises GalleryError, BusyError.
    """
    numbers = numbers_of(folder, items)
    with open_without_model(folder) as gallery:
        return gallery.delete(numbers) + empty(gallery, numbers)


def sweep_bin(folder: Path, days: float) -> int:
    """Delete for good what has lain in the bin of a gallery that is not open; how many. Raises GalleryError.

    What a program before had promised to delete goes too.
    """
    gone = 0
    promised: Any = None
    with suppress(OSError, ValueError):
        promised = read_json((folder / _PROMISED).read_bytes())
    if isinstance(promised, dict):
        gone += erase(folder, map(str, promised))
        (folder / _PROMISED).unlink(missing_ok=True)
    before = datetime.now(UTC) - timedelta(days=days)
    with closing(Store.open(folder / "gallery.db", read_only=True)) as store:
        due = store.has("bin") and store.read("SELECT 1 FROM bin WHERE since < ?", (before.isoformat(),))
    if due:
        with open_without_model(folder) as gallery:
            gone += empty(gallery, before=before)
    return gone


def open_without_model(folder: Path) -> Gallery:
    """A gallery to which nothing can be added. Raises GalleryError."""
    with closing(Store.open(folder / "gallery.db", read_only=True)) as store:
        known = store.read("SELECT fingerprint, dimension FROM models LIMIT 1") or [("none", 1)]
    return Gallery.open(folder, _Absent(*known[0]))


@dataclass(frozen=True)
class _Absent:
    """A model that is not loaded: nothing can be embedded."""

    fingerprint: str
    dimension: int

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings:
        raise GalleryError("No model is loaded, so nothing can be added.")


def named_folder(root: str | os.PathLike, name: str) -> Path:
    """Where a gallery of that name lies. Raises GalleryError for a name that is not a plain folder name."""
    plain = name.strip()
    bad = not plain or len(plain.encode()) > 200 or plain.startswith(".")
    if bad or re.search(r'[\x00-\x1f/\\:*?"<>|]', plain):
        raise GalleryError(f"{name!r} cannot name a gallery. Use letters, digits, spaces, dashes.")
    return Path(root) / plain


def open_named(
    root: str | os.PathLike, name: str, model: EmbeddingModel, settings: GallerySettings | None = None
) -> Gallery:
    """The gallery of that name, created when there is none. Raises GalleryError."""
    folder = named_folder(root, name)
    return Gallery.open(folder, model) if is_gallery(folder) else Gallery.create(folder, model, settings)


def build_sample(
    pictures: str | os.PathLike,
    path: str | os.PathLike,
    model: EmbeddingModel,
    settings: GallerySettings | None = None,
) -> Gallery:
    """Build a gallery to ship of the folder `pictures` in the folder `path`; returns it open.

    The same pictures, captions and model give the same files: nothing of the machine or the moment is kept
    (no folders, no file times, a fixed salt and date). It is one plain database file, not in WAL mode, with
    its index beside it: opening and searching it writes nothing.

    Raises:
        GalleryError: a picture is refused, or a gallery is there already: it may be the pictures' only copy.
    """
    gallery = Gallery.create(path, model, settings)
    with gallery.store.write() as db:
        db.execute("UPDATE meta SET value = 'sample' WHERE key = 'salt'")
    report = gallery.add(pictures, workers=1)
    if bad := [r for r in report.rows if r.status not in ("added", "duplicate")]:
        raise GalleryError(
            f"{len(bad)} pictures of the sample were not taken in, first {bad[0].name!r}: {bad[0].reason}"
        )
    with gallery.store.write() as db:
        db.execute("UPDATE items SET added = '2026-01-01T00:00:00+00:00'")
    gallery.settle()
    return gallery
