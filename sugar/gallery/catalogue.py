"""Which galleries there are: named ones on one's own machine, nameless ones for visitors of a shared host.

    list_named("gallery_index"); open_named("gallery_index", "holiday", model)     # created when new
    gallery, token = open_visitor("gallery_index", model); ...; close_visitor("gallery_index", token)
    sweep_visitors("gallery_index", idle_seconds=3600)                              # call it now and then

A visitor's folder is named by 256 random bits. A token is checked for its form before it becomes part of a
path, and never listed. Not covered: who may see which page (the app).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from sugar.errors import GalleryError
from sugar.gallery.clearing import remove_folder
from sugar.gallery.embedding import EmbeddingModel
from sugar.gallery.lifecycle import Gallery
from sugar.gallery.options import VISITOR_SETTINGS, GallerySettings
from sugar.gallery.store import Store
from sugar.sequence import Embeddings, Sample

IDLE_SECONDS = 3600.0
_VISITORS = "visitors"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def list_named(root: str | os.PathLike) -> list[str]:
    """Names of the galleries under `root`, sorted; visitors' are not among them.

    One that cannot be looked at is among them: opening it says why.
    """
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
    """{id: SHA-256} of those of the items that the gallery in a folder has. Raises GalleryError."""
    with closing(Store.open(folder / "gallery.db", read_only=True)) as store:
        sql = "SELECT id, sha256 FROM items WHERE sha256 IN (SELECT value FROM json_each(?))"
        return dict(store.read(sql, (json.dumps(sorted(items)),)))


def erase(folder: Path, items: Iterable[str]) -> int:
    """Delete pictures, by their SHA-256, for good from a gallery that need not be open; how many went.

    Raises GalleryError, BusyError.
    """
    numbers = numbers_of(folder, items)
    with closing(Store.open(folder / "gallery.db", read_only=True)) as store:
        known = store.read("SELECT fingerprint, dimension FROM models LIMIT 1") or [("none", 1)]
    with Gallery.open(folder, _Absent(*known[0])) as gallery:
        return gallery.delete(numbers)


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
    bad = not plain or len(plain.encode()) > 200 or plain.startswith(".") or plain == _VISITORS
    if bad or re.search(r'[\x00-\x1f/\\:*?"<>|]', plain):
        raise GalleryError(f"{name!r} cannot name a gallery. Use letters, digits, spaces, dashes.")
    return Path(root) / plain


def open_named(
    root: str | os.PathLike, name: str, model: EmbeddingModel, settings: GallerySettings | None = None
) -> Gallery:
    """The gallery of that name, created when there is none. Raises GalleryError."""
    folder = named_folder(root, name)
    return Gallery.open(folder, model) if is_gallery(folder) else Gallery.create(folder, model, settings)


def open_visitor(
    root: str | os.PathLike,
    model: EmbeddingModel,
    token: str | None = None,
    settings: GallerySettings = VISITOR_SETTINGS,
) -> tuple[Gallery, str]:
    """(gallery, token) of one visitor: a new one without a token.

    Raises GalleryError for a token that is not one of ours or is gone.
    """
    if token is None:
        token = secrets.token_urlsafe(32)
        gallery = Gallery.create(_folder(root, token), model, replace(settings, keep_location=False))
        _folder(root, token).chmod(0o700)
    else:
        gallery = Gallery.open(_folder(root, token), model)
    touch_visitor(root, token)
    return gallery, token


def touch_visitor(root: str | os.PathLike, token: str) -> None:
    """This visitor is still there."""
    (_folder(root, token) / "seen").touch()


def close_visitor(root: str | os.PathLike, token: str) -> None:
    """The visitor has left: the gallery goes, whole.

    Close the Gallery object first. Gone already is no error.
    """
    remove_folder(_folder(root, token))


def sweep_visitors(root: str | os.PathLike, idle_seconds: float = IDLE_SECONDS) -> int:
    """Delete the galleries of visitors not seen for `idle_seconds`; returns how many went."""
    folder = Path(root) / _VISITORS
    gone = 0
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        stamp = path / "seen"
        seen = (stamp if stamp.exists() else path).stat().st_mtime
        if time.time() - seen > idle_seconds:
            remove_folder(path)
            gone += 1
    return gone


def _folder(root: str | os.PathLike, token: str) -> Path:
    if not _TOKEN.fullmatch(token):
        raise GalleryError("This visit is not known here. Reload the page to begin a new one.")
    return Path(root) / _VISITORS / token
