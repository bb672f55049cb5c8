"""What is derived from one model's vectors: a FAISS index over pooled vectors, and packed slice vectors.

    index = Index.build(rows, dimension)
    scores, ids = index.search(queries, k=100, only=ids_or_none)    # inner products, best first
    index.slices(ids)                                               # their slice vectors, a list of (n_i, D)
    index.append(ids, seqs, slices); index.remove(ids)

Exact up to FLAT_LIMIT items, inverted lists beyond. The choice is explained in this room's README.md. Not
covered: files (index_files.py), the truth (store.py), quantised storage.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sugar.errors import GalleryError
from sugar.gallery.slices import Slices

FLAT_LIMIT = 200_000
RECALL = 0.95

log = logging.getLogger(__name__)


def faiss_library() -> Any:
    """FAISS, imported at the first use (0.3 s); its type stubs do not know its own keyword arguments."""
    return importlib.import_module("faiss")


class Index:
    """`ids[p]` is the item at position p, in order of insertion. Not safe for two threads at once."""

    threads = 1  # of FAISS; more than one was slower on a busy machine

    def __init__(self, dimension: int) -> None:
        faiss = faiss_library()
        self.dimension = dimension
        self.ids = np.zeros(0, np.int64)
        self.seq = 0
        self.recall = 1.0
        self.faiss: Any = faiss.IndexFlatIP(dimension)
        self.mapped = False
        self.trained = 0
        self.packed = Slices(dimension)
        self._order: np.ndarray | None = None
        self._spread: np.ndarray | None = None
        self.saved: tuple[int, int, int] | None = None

    # -- building

    @classmethod
    def build(cls, rows: Iterable[tuple[int, int, np.ndarray]], dimension: int) -> Index:
        """From (seq, item, (n, D)) rows in order of seq."""
        index = cls(dimension)
        seqs: list[int] = []
        ids: list[int] = []
        slices: list[np.ndarray] = []
        for seq, item, rows_ in rows:
            seqs.append(seq)
            ids.append(item)
            slices.append(rows_)
            if len(ids) == 16384:
                index.append(ids, seqs, slices)
                seqs, ids, slices = [], [], []
        index.append(ids, seqs, slices)
        index.choose()
        return index

    def append(self, ids: Sequence[int], seqs: Sequence[int], slices: Sequence[np.ndarray]) -> None:
        """Add items with their slice vectors, (n_i, D) unit rows each; row 0 is the pooled one."""
        if not len(ids):
            return
        self._own()
        pooled = np.ascontiguousarray(np.stack([s[0] for s in slices]), np.float32)
        if self.kind == "flat":
            self.faiss.add(pooled)
        else:
            self.faiss.add_with_ids(pooled, np.asarray(ids, np.int64))
        self.packed.append(slices)
        self.ids = np.concatenate([self.ids, np.asarray(ids, np.int64)])
        self.seq = max(self.seq, max(seqs))
        self._order = self._spread = None

    def remove(self, ids: Sequence[int]) -> None:
        """Take items out; ids that are not there are ignored."""
        faiss = faiss_library()
        gone = np.isin(self.ids, np.asarray(list(ids), np.int64))
        if not gone.any():
            return
        self._own()
        if self.kind == "flat":
            kept = np.ascontiguousarray(self._matrix()[~gone])
            self.faiss = faiss.IndexFlatIP(self.dimension)
            self.faiss.add(kept)
        else:
            self.faiss.remove_ids(self.ids[gone])
        self.packed.keep(~gone)
        self.ids = self.ids[~gone]
        self._order = self._spread = None

    def choose(self, flat_limit: int | None = None) -> None:
        """Exact up to `flat_limit` items, inverted lists beyond.

        Trained again when four times as many items have come.
        """
        limit = FLAT_LIMIT if flat_limit is None else flat_limit
        if len(self) > limit and (self.kind == "flat" or len(self) > 4 * self.trained):
            self._to_lists()
        elif len(self) <= limit // 2 and self.kind != "flat":
            self._to_flat()

    def _to_lists(self) -> None:
        faiss = faiss_library()
        flat = self.faiss  # held until the end: `rows` is a view of its memory
        rows = self._matrix()
        lists = int(min(4096, max(16, 2 * len(rows) ** 0.5)))
        quantizer = faiss.IndexFlatIP(self.dimension)
        index = faiss.IndexIVFFlat(quantizer, self.dimension, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 5
        index.cp.seed = 0
        rng = np.random.default_rng(0)
        index.train(rows[np.sort(rng.choice(len(rows), min(len(rows), 50 * lists), replace=False))])
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        index.add_with_ids(np.ascontiguousarray(rows), self.ids)
        self.faiss, self.mapped, self.trained = index, False, len(rows)
        stored, other = rows[rng.integers(len(rows), size=(2, 32))]
        middle = stored + other
        queries = np.concatenate(
            [stored, middle / np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-9)]
        )
        truth = self._exact(queries, rows, 10)
        index.nprobe = 1
        while True:
            found = index.search(queries, 10)[1]
            self.recall = float(
                np.mean([len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)])
            )
            if self.recall >= RECALL or index.nprobe >= lists:
                break
            index.nprobe = min(lists, index.nprobe * 2)
        del rows, flat
        log.info("index: %d lists, %d probed, recall@10 %.3f", lists, index.nprobe, self.recall)

    def _exact(self, queries: np.ndarray, rows: np.ndarray, k: int) -> list[np.ndarray]:
        scores = queries @ rows.T  # (Q, N)
        return [self.ids[np.argpartition(-s, min(k, len(s) - 1))[:k]] for s in scores]

    def _to_flat(self) -> None:
        faiss = faiss_library()
        rows = self._matrix()
        self.faiss, self.mapped, self.trained, self.recall = (
            faiss.IndexFlatIP(self.dimension),
            False,
            0,
            1.0,
        )
        self.faiss.add(rows)

    def _matrix(self) -> np.ndarray:
        """(N, D) pooled vectors by position: a view for the flat index, a copy for lists."""
        faiss = faiss_library()
        if self.kind == "flat":
            return faiss.rev_swig_ptr(self.faiss.get_xb(), len(self) * self.dimension).reshape(
                len(self), self.dimension
            )
        return self.faiss.reconstruct_batch(self.ids)

    def _own(self) -> None:
        """A mapped index belongs to its file: copy it before the first change."""
        faiss = faiss_library()
        if self.mapped:
            copy = faiss.IndexFlatIP(self.dimension)
            copy.add(self._matrix())
            self.faiss, self.mapped = copy, False

    # -- asking

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def kind(self) -> str:
        return "lists" if hasattr(self.faiss, "nprobe") else "flat"

    def search(
        self, queries: np.ndarray, k: int, only: np.ndarray | None = None, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """queries (Q, D) -> inner products (Q, k') and item ids (Q, k'), best first, k' = min(k, N).

        only: item ids to look among; ids are -1 where fewer match. exact: look at everything, even where
        the index is approximate.
        """
        faiss = faiss_library()
        faiss.omp_set_num_threads(self.threads)
        queries = np.ascontiguousarray(queries, np.float32)
        k = min(k, len(self))
        if k == 0:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        lists = self.kind == "lists"
        selector = None
        if only is not None:
            chosen = np.isin(self.ids, only)
            where = self.ids[chosen] if lists else np.flatnonzero(chosen)
            bits = np.zeros(int(self.ids.max()) + 1 if lists else len(self), bool)
            bits[where] = True
            selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
        if lists:
            nprobe = self.faiss.nlist if exact or only is not None else self.faiss.nprobe
            scores, ids = self.faiss.search(
                queries, k, params=faiss.SearchParametersIVF(sel=selector, nprobe=nprobe)
            )
            return scores, ids
        scores, positions = self.faiss.search(
            queries, k, params=faiss.SearchParameters(sel=selector) if selector else None
        )
        return scores, np.where(positions < 0, -1, self.ids[positions])

    def positions(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Positions of items, which must all be there."""
        if self._order is None:
            self._order = np.argsort(self.ids)
        wanted = np.asarray(ids, np.int64)
        found = np.searchsorted(self.ids, wanted, sorter=self._order)
        positions = self._order[np.minimum(found, len(self) - 1)] if len(self) else found
        if len(wanted) and (not len(self) or (self.ids[positions] != wanted).any()):
            raise GalleryError(
                "An item that was asked for has no vectors here. Search again; the gallery has changed."
            )
        return positions

    def slices(self, ids: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """The slice vectors of items, (n_i, D) each, in the order given."""
        return [self.packed[int(p)] for p in self.positions(ids)]

    def pooled(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(ids), D) pooled vectors, in the order given."""
        if self.kind == "flat":
            return self._matrix()[self.positions(ids)]
        return self.faiss.reconstruct_batch(np.asarray(ids, np.int64))

    def spread(self, count: int = 2048) -> np.ndarray:
        """(at most count, D) pooled vectors, evenly spaced over the gallery, to estimate its scores on."""
        if self._spread is None or len(self._spread) > count:
            step = max(1, -(-len(self) // count))
            self._spread = (
                self._matrix()[::step].copy() if self.kind == "flat" else self.pooled(self.ids[::step])
            )
        return self._spread
