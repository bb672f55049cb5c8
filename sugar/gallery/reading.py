"""Reading a gallery: items, pictures, and what a search needs. Nothing here changes a gallery's contents."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sugar.errors import FingerprintError, GalleryError, ImageError
from sugar.gallery.duplicates import near_duplicate_groups
from sugar.gallery.embedding import EmbeddingModel
from sugar.gallery.index import Index, log
from sugar.gallery.index_files import IndexState, load_index
from sugar.gallery.items import Filters, Item
from sugar.gallery.keywords import search_items
from sugar.gallery.notes import Note, read_notes
from sugar.gallery.options import GallerySettings
from sugar.gallery.store import Store
from sugar.images import GALLERY_ITEM, Picture, open_image
from sugar.sequence import Sample

__all__ = ["GalleryReader"]

ORDERS = {
    "oldest": "i.taken IS NULL, i.taken, i.name, i.id",
    "newest": "i.taken IS NULL, i.taken DESC, i.name, i.id",
    "name": "fold(i.name), i.id",
}


class GalleryReader:
    """A gallery as one model sees it. Every method may be called from any thread.

    fingerprint: the model's when the gallery was opened; only vectors of that fingerprint are read or
    written. lock: hold it where several questions must see one and the same gallery. after_delete: called
    when pictures are gone for good.
    """

    def __init__(self, folder: Path, store: Store, model: EmbeddingModel, settings: GallerySettings) -> None:
        self.folder = folder
        self.store = store
        self.model = model
        self.settings = settings
        self.fingerprint = model.fingerprint
        self.dimension = model.dimension
        self.lock = threading.RLock()
        self.after_delete: Callable[[], None] = lambda: None
        self._index: Index | None = None
        self._version = self._epoch = -1
        self._inode = store.path.stat().st_ino

    def __len__(self) -> int:
        return int(self.store.read("SELECT count(*) FROM items")[0][0])

    def is_current(self) -> bool:
        """Whether the folder still holds the file that is open: another program may have made it anew."""
        try:
            return self.store.path.stat().st_ino == self._inode
        except OSError:
            return False

    # -- items and pictures

    def item(self, item: int) -> Item:
        """Raises GalleryError when there is no such item."""
        found = self.store.items(self.fingerprint, "i.id = ?", (item,))
        if not found:
            raise GalleryError(_no_picture(item))
        return found[0]

    def items(
        self,
        *,
        limit: int = -1,
        offset: int = 0,
        ids: Iterable[int] | None = None,
        filters: Filters | None = None,
        order: str = "oldest",
    ) -> list[Item]:
        """Items in an order of ORDERS; only those of `ids`, or that pass the filters, where given."""
        where, values = filters.where() if filters is not None else ("1", [])
        if ids is not None:
            where += " AND i.id IN (SELECT value FROM json_each(?))"
            values = [*values, json.dumps([int(i) for i in ids])]
        return self.store.items(
            self.fingerprint, where, values, order=ORDERS[order], limit=limit, offset=offset
        )

    def listing(self, *, order: str = "newest", filters: Filters | None = None) -> list[tuple[int, str]]:
        """(id, month) of all items in an order of ORDERS; month is "2025-08", or "" without a time."""
        where, values = filters.where() if filters is not None else ("1", [])
        return self.store.read(
            f"SELECT i.id, coalesce(substr(i.taken, 1, 7), '') FROM items i WHERE {where} "
            f"ORDER BY {ORDERS[order]}",
            values,
        )

    def pending(self) -> list[Item]:
        """Items without vectors of this model: not indexed for it yet, or the model could not embed them."""
        return self.store.items(self.fingerprint, "v.item IS NULL")

    def indexed(self) -> dict[str, int]:
        """{model fingerprint: number of items that have its vectors}."""
        return dict(self.store.read("SELECT fingerprint, count(*) FROM vectors GROUP BY fingerprint"))

    def picture(self, item: int) -> Any:
        """The kept copy, RGB, at most `settings.picture_side` pixels long, marked with its item.

        Raises GalleryError when the item or its file is missing.
        """
        found = self.item(item)
        image = self.open_kept(found).image
        image.info[GALLERY_ITEM] = found.sha256
        return image

    def picture_path(self, item: int) -> Path:
        """The kept copy's file. Raises GalleryError when the item is missing."""
        found = self.item(item)
        return self.kept(f"{found.sha256}{found.suffix}")

    def kept(self, file: str) -> Path:
        """Where the kept copy SHA256.suffix lies."""
        return self.folder / "pictures" / file[:2] / file

    def open_kept(self, item: Item) -> Picture:
        """The kept copy, decoded. Raises GalleryError: the item is gone, or its file missing or damaged."""
        name = f"{item.sha256}{item.suffix}"
        path = self.kept(name)
        try:
            return open_image(path if path.exists() else self.folder / "incoming" / name)
        except ImageError as error:
            if not self.store.read("SELECT 1 FROM items WHERE id = ?", (item.id,)):
                raise GalleryError(_no_picture(item.id)) from None  # deleted a moment ago
            found = "damaged" if path.exists() else "missing"
            raise GalleryError(
                f"The kept copy of {item.name!r} is {found}. Delete the picture and add it again."
            ) from error

    def thumbnail(self, item: int) -> bytes:
        """JPEG bytes, at most 256 pixels long. Raises GalleryError when there is no such item."""
        rows = self.store.read("SELECT jpeg FROM thumbnails WHERE item = ?", (item,))
        if not rows:
            raise GalleryError(_no_picture(item))
        return rows[0][0]

    def near_duplicates(self, tolerance: int = 5) -> list[list[int]]:
        """Groups of two or more ids that show the same picture (resized, saved again), oldest id first."""
        return near_duplicate_groups(
            self.store.read("SELECT id, signature FROM items ORDER BY id"), tolerance
        )

    def signatures(self, ids: Sequence[int]) -> np.ndarray:
        """(len(ids), 192) uint8, the 8 x 8 colours of items in the order given (sugar.images.signature)."""
        wanted = json.dumps([int(i) for i in ids])
        rows = dict(
            self.store.read(
                "SELECT id, signature FROM items WHERE id IN (SELECT value FROM json_each(?))", (wanted,)
            )
        )
        return np.frombuffer(b"".join(rows.get(int(i), bytes(192)) for i in ids), np.uint8).reshape(-1, 192)

    # -- for searching

    def sample(self, image: Any, caption: str) -> Sample:
        """What is embedded for an item: [picture], or [picture, caption].

        Slice 0 is the pooled vector either way.
        """
        return Sample([image, caption] if caption.strip() and self.settings.caption_vectors else [image])

    def check_model(self) -> None:
        """Raises FingerprintError when the model is not the one that the gallery was opened with any more."""
        if self.model.fingerprint != self.fingerprint:
            raise FingerprintError(
                f"The model has changed since the gallery {self.folder.name!r} was opened: another "
                "adapter, or other weights. Open the gallery again."
            )

    def nearest(
        self, queries: np.ndarray, k: int, only: np.ndarray | None = None, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """queries (Q, D) -> (inner products, item ids), (Q, k') each, best first.

        Ids are -1 where fewer match `only` (item ids). Raises FingerprintError when the model has changed.
        """
        self.check_model()
        with self.lock:
            return self.index().search(queries, k, only, exact=exact)

    def slices(self, ids: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Slice vectors of items, (n_i, D) each. Raises GalleryError for an item without vectors."""
        with self.lock:
            return self.index().slices(ids)

    def pooled(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(ids), D) pooled vectors of items. Raises GalleryError for an item without vectors."""
        with self.lock:
            return self.index().pooled(ids)

    def spread(self, count: int = 2048) -> np.ndarray:
        """(at most count, D) pooled vectors, evenly spaced: the gallery's own distribution."""
        with self.lock:
            return self.index().spread(count)

    def matching(self, filters: Filters) -> np.ndarray:
        """(n,) int64 ids of the items with vectors that pass, in order of time taken, then name."""
        where, values = filters.where()
        rows = self.store.read(
            f"SELECT i.id FROM items i JOIN vectors v ON v.item = i.id WHERE v.fingerprint = ? AND {where} "
            f"ORDER BY {ORDERS['oldest']}",
            (self.fingerprint, *values),
        )
        return np.array([r[0] for r in rows], np.int64)

    def notes(self) -> list[Note]:
        """The notes that are kept with the gallery."""
        return read_notes(self.store)

    def by_words(self, text: str, k: int, only: Iterable[int] | None = None) -> list[tuple[int, float]]:
        """(item, BM25 score) of the k pictures whose name, caption or date fits the words best."""
        return search_items(self.store, text, k, only)

    @property
    def index_info(self) -> dict[str, Any]:
        """kind ("flat": exact, "lists": approximate), items, recall (of the exact top 10, as measured)."""
        with self.lock:
            index = self.index()
            return {"kind": index.kind, "items": len(index), "recall": index.recall}

    # -- the index

    @property
    def index_folder(self) -> Path:
        """Where this model's index files lie."""
        return self.folder / "index" / self.fingerprint[:16]

    def index_state(self) -> IndexState:
        """How far the store is for this model."""
        epoch, seq, count = self.store.state(self.fingerprint)
        return IndexState(self.fingerprint, self.dimension, epoch, seq, count)

    def index(self) -> Index:
        """The index, in step with the store: loaded, caught up with what came since, or built anew."""
        with self.lock:
            version = self.store.version()
            if self._index is not None and version == self._version:
                return self._index
            state = self.index_state()
            index = self._index
            if index is None or self._epoch != state.epoch:
                index = load_index(self.index_folder, state)
            if index is not None and index.seq < state.seq:
                rows = list(self.store.vectors(self.fingerprint, self.dimension, index.seq))
                index.append([r[1] for r in rows], [r[0] for r in rows], [r[2] for r in rows])
            if index is None or len(index) != state.count:
                log.info("index: built from %d stored vectors", state.count)
                index = Index.build(self.store.vectors(self.fingerprint, self.dimension), self.dimension)
            self._index, self._version, self._epoch = index, version, state.epoch
            return index


def _no_picture(item: int) -> str:
    return f"There is no picture {item} in this gallery. It may have been deleted; search again."
