"""A Lance table as a gallery for reading: the same calls as `Gallery`, for the same search, page and Ask.

    collection = Collection.open("s3://sets/museum.lance", model, name="museum")
    search(collection, model, Sample("two dogs")); collection.items(order="newest", limit=50)
    collection.thumbnail(id)                      # from the source, cached

The table's vector index gives the shortlist, its filters the conditions, its full-text index the keywords.
Pictures come from where they were indexed and count only with the bytes of then. Not covered: changing one.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sugar.cluster.sources import Source, library
from sugar.cluster.table import (
    PICTURES,
    Facts,
    existing_table,
    facts_of,
    matrix,
    neighbours,
    quoted,
    tuned,
)
from sugar.errors import FingerprintError, GalleryError, ImageError
from sugar.gallery import EmbeddingModel, Filters, Item
from sugar.images import GALLERY_ITEM, open_image, thumbnail
from sugar.search_words import content, fold, phrases

MOST_LISTED = 2_000
"""Pictures that the page lists; all others are found by searching."""

MOST_READ = 50_000
"""Pictures whose vectors a story may read."""

SIDE = 1024
_KEPT_ROWS, _KEPT_THUMBNAILS, _LOOK_EVERY = 4_096, 2_048, 2.0
_SAME = ["name", "caption", "width", "height", "format", "bytes", "camera", "taken", "day_from_name"]
_MORE = ["id", "source", "place", "latitude", "longitude", "vector", "slices", "signature", "_rowid"]
_ORDERS = {"oldest": ("taken", "name_folded"), "newest": ("taken", "name_folded"), "name": ("name_folded",)}


class Collection:
    """See the module docstring. Safe for threads. Ids are the table's row ids, which stay.

    fingerprint, dimension: of the model whose vectors it holds. lock: hold it where several questions must
    see one and the same set. facts: what holds for all rows.
    """

    read_only, whole = True, False

    def __init__(self, uri: str, table: Any, model: EmbeddingModel, name: str) -> None:
        self.uri, self.table, self.model, self.folder = uri, table, model, Path(name)
        self.facts: Facts = facts_of(table)
        self.quality = tuned(table)
        self.fingerprint, self.dimension = self.facts.fingerprint, self.facts.dimension
        self.lock = threading.RLock()
        self.after_delete: Callable[[], None] = lambda: None
        self.indexed_names = {index.name for index in table.describe_indices()}
        self._source = Source(self.facts.source)
        self._count = int(table.count_rows(PICTURES))
        self._rows: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._counts: dict[tuple[str, ...], int] = {}
        self._small = lru_cache(_KEPT_THUMBNAILS)(lambda item: thumbnail(self.picture(item)))
        self._spread: np.ndarray | None = None
        self._looked = time.monotonic()

    @classmethod
    def open(cls, uri: str, model: EmbeddingModel, *, name: str = "") -> Collection:
        """The collection at an address, as it is now.

        Raises SettingsError: Lance is not installed; GalleryError: none is there; FingerprintError: another
        model made it.
        """
        collection = cls(uri, existing_table(uri), model, name or uri.rstrip("/").rpartition("/")[2])
        collection.check_model()
        if "vector" in collection.indexed_names:
            collection.table.prewarm_index("vector")
        return collection

    def check_model(self) -> None:
        """Raises FingerprintError: the model is not the one that made the collection."""
        if self.model.fingerprint != self.fingerprint:
            raise FingerprintError(
                f"The collection {self.folder.name!r} was made by the model {self.facts.model!r}; another "
                "one is loaded. Load that one, or index its source for this one into another --out."
            )

    def is_current(self) -> bool:
        """Whether nothing was added or deleted since it was opened; looked up every two seconds at most."""
        if time.monotonic() - self._looked < _LOOK_EVERY:
            return True
        self._looked = time.monotonic()
        try:
            return bool(self.table.latest_version == self.table.version)
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Let go of what is kept in memory."""
        with self.lock:
            self._rows.clear()
            self._small.cache_clear()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- items and pictures

    def __len__(self) -> int:
        return self._count

    def size(self) -> int:
        """Bytes of the source files of all items."""
        scan = self.table.to_table(columns={"total": "bytes"}, filter=PICTURES)
        return int(library("pyarrow.compute").sum(scan["total"]).as_py() or 0)

    def item(self, item: int) -> Item:
        """Raises GalleryError when there is no such item."""
        if not (found := self.items(ids=[item])):
            raise GalleryError(f"There is no picture {item} in this collection. It may have been deleted.")
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
        """Items in an order of time or name; only those of `ids`, or that pass the filters, where given."""
        if ids is not None:
            rows = self._of([int(i) for i in ids])
            found = [self._item(number, row) for number, row in rows.items()]
            found.sort(key=lambda i: (i.taken is None, i.taken or datetime.min, i.name, i.id))
            return found
        scan = self._scan([], filters, order, MOST_READ if limit < 0 else limit, offset)
        numbers = scan["_rowid"].to_pylist()
        rows = self._of(numbers)
        return [self._item(n, rows[n]) for n in numbers if n in rows]

    def listing(self, *, order: str = "newest", filters: Filters | None = None) -> list[tuple[int, str]]:
        """(id, month) of the first 2,000 items in an order; month is "2025-08", or "" without a time."""
        if filters is not None and filters.favourite:
            return []
        scan = self._scan(["taken"], filters, order, MOST_LISTED)
        months = [f"{t:%Y-%m}" if t is not None else "" for t in scan["taken"].to_pylist()]
        return list(zip(scan["_rowid"].to_pylist(), months, strict=True))

    def shapes(self, ids: Iterable[int]) -> dict[int, float]:
        """{item: width / height} of those that are still there."""
        columns = ["_rowid", "width", "height"]
        read = self.table._take_rows([int(i) for i in ids], columns=columns).to_pylist()
        return {row["_rowid"]: row["width"] / row["height"] for row in read if row["height"]}

    def by_content(self, sha256: Iterable[str]) -> dict[str, int]:
        """{SHA-256: item} of those contents that are here."""
        wanted = ", ".join(quoted(one) for one in sha256)
        if not wanted:
            return {}
        found = self.table.scanner(columns=["id", "_rowid"], filter=f"id IN ({wanted}) AND {PICTURES}")
        return {row["id"]: row["_rowid"] for row in found.to_table().to_pylist()}

    def pending(self) -> list[Item]:
        """Items without vectors: none, as a picture that could not be embedded is no item."""
        return []

    def notes(self) -> list[Any]:
        """None: notes belong to a gallery of one's own."""
        return []

    def keep_notes(self, notes: Iterable[tuple[str, str, str]]) -> int:
        """Raises GalleryError: nothing is kept here."""
        raise GalleryError(
            f"The collection {self.folder.name!r} is for reading. Choose a gallery of your own."
        )

    def picture(self, item: int) -> Any:
        """The source's picture, RGB, at most 1024 pixels long, marked with its item.

        Raises GalleryError: the item is gone, its source cannot be read, or is another file now.
        """
        row = self._row(item)
        data = self._source.bytes_of(row["source"], row["place"], row["bytes"])
        try:
            picture = open_image(data, max_side=SIDE)
        except ImageError as error:
            raise GalleryError(f"The source of {row['name']!r} is no picture any more. {error}") from error
        if picture.sha256 != row["id"]:
            raise GalleryError(
                f"The source of {row['name']!r} is another file than was indexed. Index it again."
            )
        picture.image.info[GALLERY_ITEM] = row["id"]
        return picture.image

    def original(self, item: int) -> bytes | None:
        """None: what is handed out is a copy without metadata."""
        return None

    def copy(self, item: Item) -> bytes:
        """The picture as a JPEG without metadata. Raises GalleryError as `picture` does."""
        return thumbnail(self.picture(item.id), SIDE, quality=90)

    def thumbnail(self, item: int) -> bytes:
        """JPEG bytes, at most 256 pixels long; the picture's mean colours where its source cannot be read."""
        try:
            return self._small(item)
        except GalleryError:
            return thumbnail(Image.fromarray(self.signatures([item]).reshape(8, 8, 3)))

    def signatures(self, ids: Sequence[int]) -> np.ndarray:
        """(len(ids), 192) uint8, the 8 x 8 colours of items in the order given."""
        rows = self._of(ids)
        data = b"".join(rows[int(i)]["signature"] if int(i) in rows else bytes(192) for i in ids)
        return np.frombuffer(data, np.uint8).reshape(-1, 192)

    # -- for searching

    def nearest(
        self, queries: np.ndarray, k: int, filters: Filters | None = None, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """queries (Q, D) -> (inner products, item ids), (Q, k') each, best first.

        Ids are -1 where fewer pass the filters. Raises FingerprintError when the model has changed.
        """
        self.check_model()
        where = condition(filters)
        k = min(k, max(1, len(self)))
        scores, ids = np.full((len(queries), k), -1.0, np.float32), np.full((len(queries), k), -1, np.int64)
        for number, query in enumerate(queries):
            found = neighbours(self.table, query, k, self.quality, where, exact)
            own = [i for i in found["_rowid"].to_pylist() if i is not None]
            rows = self._of(own)
            own = [i for i in own if i in rows]
            if own:
                near = np.array([rows[i]["vector"] @ query for i in own])
                order = np.argsort(-near, kind="stable")
                scores[number, : len(own)], ids[number, : len(own)] = near[order], np.array(own)[order]
        return scores, ids

    def pooled(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(ids), D) pooled vectors. Raises GalleryError for an item that is gone."""
        if len(ids) > _KEPT_ROWS:
            numbers = [int(i) for i in ids]
            found = self.table._take_rows(numbers, columns=["vector"])
            if found.num_rows == len(numbers):
                return matrix(found["vector"].combine_chunks())
        return np.stack([self._row(int(i), rows)["vector"] for rows in [self._of(ids)] for i in ids])

    def slices(self, ids: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Slice vectors, (n_i, D) each, the pooled one first. Raises GalleryError: an item is gone."""
        rows = self._of(ids)
        return [self._row(int(i), rows)["slices"] for i in ids]

    def spread(self) -> np.ndarray:
        """(at most 2,048, D) pooled vectors, evenly spaced: the collection's own distribution."""
        with self.lock:
            if self._spread is None:
                total = self.table.count_rows()
                at = np.unique(np.linspace(0, max(0, total - 1), min(total, 2_048)).astype(int)).tolist()
                found = self.table.take(at, columns=["vector"])["vector"].combine_chunks().drop_null()
                self._spread = matrix(found) if len(found) else np.zeros((0, self.dimension), np.float32)
            return self._spread

    def matching(self, filters: Filters) -> np.ndarray:
        """(n,) int64 ids of the items that pass, in order of time, then name.

        Raises GalleryError: more than a story may read.
        """
        if self.table.count_rows(f"{condition(filters)}") > MOST_READ:
            raise GalleryError(
                f"A story reads the vectors of all pictures it may be told with, and these are more than "
                f"{MOST_READ:,}. Name a time or a word of the caption, or look for photos."
            )
        return self._scan([], filters, "oldest", MOST_READ)["_rowid"].to_numpy().astype(np.int64)

    def by_words(
        self,
        text: str,
        k: int,
        filters: Filters | None = None,
        *,
        embedded: bool = True,
        people: bool = True,
    ) -> list[tuple[int, float]]:
        """(item, BM25 score) of the k pictures whose name, caption or date fits the words best.

        Nothing is found by words before the first run of `index` has ended. All items have vectors, and their
        captions came with them.
        """
        if (query := _word_query(text)) is None or "words" not in self.indexed_names or k < 1:
            return []
        found = self._having(query, condition(filters), k)
        return list(zip(found["_rowid"].to_pylist(), found["_score"].to_pylist(), strict=True))

    def shares(self, text: str, ids: Iterable[int]) -> dict[int, float]:
        """{item: how much of the text's content its name, caption and date say}, as in a gallery, 0 to 1."""
        found, total = {int(i): 0.0 for i in ids}, 0.0
        if not found or "words" not in self.indexed_names:
            return found
        among = f"_rowid IN ({', '.join(map(str, found))})"
        for words in {tuple(words) for words in phrases(content(text))[:40]}:
            if words not in self._counts:
                self._counts[words] = self._having(_phrase(words)).num_rows
            weight = math.log(1 + len(self) / (self._counts[words] + 0.5))
            total += weight
            for item in self._having(_phrase(words), among)["_rowid"].to_pylist():
                found[item] += weight
        return {item: value / total if total else 0.0 for item, value in found.items()}

    def count_word(self, word: str) -> int:
        """How many pictures have a word, or another form of it, in name, caption or date."""
        if (query := _word_query(word)) is None or "words" not in self.indexed_names:
            return 0
        return int(self._having(query).num_rows)

    @property
    def index_info(self) -> dict[str, Any]:
        """kind ("flat": exact, "lists": approximate), items, recall@10 as measured when it was built."""
        kind = "lists" if self.quality.lists else "flat"
        return {"kind": kind, "items": len(self), "recall": self.quality.recall}

    # -- inside

    def _having(self, query: Any, where: str = "", k: int | None = None) -> Any:
        """An Arrow table of _rowid and _score of the rows that a full-text query finds, the best k first."""
        how = {"filter": where, "prefilter": True} if where else {}
        scan = self.table.scanner(columns=["_rowid", "_score"], full_text_query=query, limit=k, **how)
        return scan.to_table()

    def _of(self, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        """{id: row} of those that are still there; what was read last stays in memory."""
        wanted = [int(i) for i in ids]
        with self.lock:
            if new := [i for i in dict.fromkeys(wanted) if i not in self._rows]:
                self._read(new)
            found = {i: self._rows[i] for i in wanted if i in self._rows}
            while len(self._rows) > max(_KEPT_ROWS, len(found)):
                self._rows.popitem(last=False)
        return found

    def _read(self, ids: list[int]) -> None:
        read = self.table._take_rows(ids, columns=[*_SAME, *_MORE, *(["text"] if self.facts.ocr else [])])
        keep = [i for i, v in enumerate(read["vector"]) if v.is_valid]
        read = read.take(keep)
        if not keep:
            return
        vectors = matrix(read["vector"].combine_chunks())
        for vector, row in zip(vectors, read.drop_columns(["vector"]).to_pylist(), strict=True):
            more = np.frombuffer(row["slices"] or b"", "<f2").reshape(-1, self.dimension).astype(np.float32)
            slices = np.concatenate([vector[None], more])
            self._rows[row["_rowid"]] = row | {"vector": vector, "slices": slices}

    def _row(self, item: int, rows: dict[int, dict[str, Any]] | None = None) -> dict[str, Any]:
        rows = self._of([item]) if rows is None else rows
        if item not in rows:
            raise GalleryError(f"There is no picture {item} in this collection. It may have been deleted.")
        return rows[item]

    def _scan(
        self, columns: list[str], filters: Filters | None, order: str, limit: int, offset: int = 0
    ) -> Any:
        by = library("lance.dataset").ColumnOrdering
        up = [(c, c != "taken" or order == "oldest") for c in _ORDERS[order]]
        keys = [by(column, ascending=ascending, nulls_first=False) for column, ascending in up]
        how = {"filter": condition(filters), "order_by": keys, "limit": limit, "offset": offset or None}
        return self.table.scanner(columns=[*columns, "_rowid"], **how).to_table()

    def _item(self, number: int, row: dict[str, Any]) -> Item:
        place = (row["latitude"], row["longitude"]) if row["latitude"] is not None else None
        same = {key: row[key] for key in _SAME}
        more = {"sha256": row["id"], "location": place, "added": datetime.fromtimestamp(0, UTC)}
        return Item(number, **same, **more, has_vectors=True, suffix=".jpg", text=row.get("text") or "")


def condition(filters: Filters | None) -> str:
    """Conditions as an SQL text of Lance's engine: the rows that are pictures and pass."""
    f, terms = filters or Filters(), [PICTURES]
    if f.after is not None:
        terms.append(f"taken >= {_moment(f.after, '00:00:00')}")
    if f.before is not None:
        terms.append(f"taken <= {_moment(f.before, '23:59:59')}")
    terms += [f"date_part('{part}', taken) = {n}" for part, n in (("month", f.month), ("day", f.day)) if n]
    terms += _holds("name_folded", f.name)
    terms += [term for word in fold(f.caption).split() for term in _holds("caption_folded", word)]
    if f.camera.strip():
        terms.append(f"contains(lower(camera), {quoted(fold(f.camera.strip()))})")
    if f.min_side:
        terms.append(f"width >= {int(f.min_side)} AND height >= {int(f.min_side)}")
    if f.max_side is not None:
        terms.append(f"width <= {int(f.max_side)} AND height <= {int(f.max_side)}")
    if f.favourite:
        terms.append("false")  # favourites are kept in galleries of one's own
    if f.captioned is not None:
        terms.append(f"caption {'<>' if f.captioned else '='} ''")
    if f.near is not None:
        terms.append(_near(*map(float, f.near)))
    for text in filter(None, (fold(part).strip() for part in f.excluded)):
        words = " AND ".join(term for word in text.split() for term in _holds("caption_folded", word))
        terms.append(f"NOT ({_holds('name_folded', text)[0]} OR ({words}))")
    return " AND ".join(terms)


def _holds(column: str, text: str) -> list[str]:
    return [f"contains({column}, {quoted(fold(text.strip()))})"] if text.strip() else []


def _moment(day: date, time_of_day: str) -> str:
    text = day.isoformat(" ", "seconds") if isinstance(day, datetime) else f"{day.isoformat()} {time_of_day}"
    return f"timestamp '{text}'"


def _near(latitude: float, longitude: float, kilometres: float) -> str:
    """Great-circle distance by the haversine formula, mean Earth radius."""
    half = "power(sin(radians({0} - {1}) / 2), 2)"
    turn = half.format("latitude", latitude) + f" + cos(radians({latitude})) * cos(radians(latitude)) * "
    turn += half.format("longitude", longitude)
    return f"latitude IS NOT NULL AND 2 * 6371.0 * asin(sqrt({turn})) <= {kilometres}"


def _word_query(text: str) -> Any | None:
    """A full-text query: any of the words, words with marks between them (IMG_2041) as phrases."""
    if not (found := phrases(text)[:40]):
        return None
    query = library("lance.query")
    return query.BooleanQuery([(query.Occur.SHOULD, _phrase(words)) for words in found])


def _phrase(words: Sequence[str]) -> Any:
    query = library("lance.query")
    return (query.PhraseQuery if len(words) > 1 else query.MatchQuery)(" ".join(words), "words")
