"""What is derived from a gallery's vectors: a FAISS index over pooled vectors and a packed container of slice vectors.

    index = Index.load(folder, state) or Index.build(rows, dimension)     # None: missing, damaged, stale beyond catching up
    scores, ids = index.search(queries, k=100, only=ids_or_none)          # inner products, best first, -1 where there are fewer
    index.slices(ids)                                                     # their slice vectors, a list of (n_i, D)
    index.append(ids, seqs, slices); index.remove(ids); index.save(folder, state)

Up to FLAT_LIMIT items the index is exact (flat inner product; 100k x 256 takes some 15 ms on one thread). Beyond, it becomes inverted lists
(IVF, flat storage) by itself: chosen over a graph (HNSW) because deletion must be true and a graph cannot remove. The number of lists
probed is the smallest power of two that finds RECALL of the exact top 10, measured at building time on stored vectors and on midpoints of
two (a text query lies between pictures, not on one); `recall` reports it.

Files are written beside their place, synced and swapped in; the stamp, written last, holds their sizes and check sums, so a torn or
foreign file is seen at opening and rebuilt. A flat index and the slices are mapped, not read: opening costs their check only.

Not covered: the truth (store.py); quantised storage for tens of millions of pictures.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sugar.errors import GalleryError

FLAT_LIMIT = 200_000
RECALL = 0.95
_FORMAT = 1
_CHECK_ALL = 512_000_000  # bytes: files up to this size are check-summed whole, larger ones at their ends and in between
_BLOCK = 1 << 22

log = logging.getLogger(__name__)


def _faiss() -> Any:
    """FAISS, imported at the first use (0.3 s); its type stubs do not know its own keyword arguments."""
    return importlib.import_module("faiss")


@dataclass(frozen=True)
class State:
    """What an index must agree with: the model, and how far the store is. The epoch grows when any vector goes."""

    fingerprint: str
    dimension: int
    epoch: int
    seq: int
    count: int


class Slices:
    """Ragged slice vectors, packed: item p's rows lie at starts[p]..starts[p + 1] of one long (total, D) array.

    What was saved stays mapped from its file; what is appended since lies behind it in memory, in an array that doubles as it fills.
    """

    def __init__(self, dimension: int, base: np.ndarray | None = None, starts: np.ndarray | None = None) -> None:
        self._base = np.zeros((0, dimension), np.float32) if base is None else base
        self._tail = np.zeros((0, dimension), np.float32)
        self.starts = np.zeros(1, np.int64) if starts is None else starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def append(self, rows: Sequence[np.ndarray]) -> None:
        used = int(self.starts[-1]) - len(self._base)
        ends = self.starts[-1] + np.cumsum([len(r) for r in rows])
        need = int(ends[-1]) - len(self._base)
        if need > len(self._tail):
            grown = np.empty((max(need, 2 * len(self._tail)), self._base.shape[1]), np.float32)
            grown[:used] = self._tail[:used]
            self._tail = grown
        np.concatenate(rows, out=self._tail[used:need])
        self.starts = np.concatenate([self.starts, ends])

    def keep(self, kept: np.ndarray) -> None:
        """kept: (N,) bool. The other items' rows are left out of a new copy."""
        lengths = np.diff(self.starts)
        rows = np.repeat(kept, lengths)
        split = len(self._base)
        used = int(self.starts[-1]) - split
        self._base = np.concatenate([self._base[rows[:split]], self._tail[:used][rows[split:]]])
        self._tail = self._tail[:0].copy()
        self.starts = np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64)

    def __getitem__(self, position: int) -> np.ndarray:
        """(n, D) float32."""
        start, stop = int(self.starts[position]), int(self.starts[position + 1])
        split = len(self._base)
        return self._base[start:stop] if stop <= split else self._tail[start - split : stop - split]

    def save(self, path: str) -> None:
        with open(path, "wb") as file:
            total = int(self.starts[-1])
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (total, self._base.shape[1])})
            for start in range(0, len(self._base), 65536):
                file.write(np.ascontiguousarray(self._base[start : start + 65536]).data)
            file.write(self._tail[: total - len(self._base)].data)


class Index:
    """Positions are in order of insertion; `ids[p]` is the item at position p. Not safe for two threads at once: the gallery locks."""

    threads = 1  # of FAISS; more than one was slower on a busy machine

    def __init__(self, dimension: int) -> None:
        faiss = _faiss()
        self.dimension = dimension
        self.ids = np.zeros(0, np.int64)
        self.seq = 0
        self.recall = 1.0
        self._faiss: Any = faiss.IndexFlatIP(dimension)
        self._mapped = False
        self._trained = 0
        self._slices = Slices(dimension)
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
            self._faiss.add(pooled)
        else:
            self._faiss.add_with_ids(pooled, np.asarray(ids, np.int64))
        self._slices.append(slices)
        self.ids = np.concatenate([self.ids, np.asarray(ids, np.int64)])
        self.seq = max(self.seq, max(seqs))
        self._order = self._spread = None

    def remove(self, ids: Sequence[int]) -> None:
        """Take items out; ids that are not there are ignored."""
        faiss = _faiss()
        gone = np.isin(self.ids, np.asarray(list(ids), np.int64))
        if not gone.any():
            return
        self._own()
        if self.kind == "flat":
            kept = np.ascontiguousarray(self._matrix()[~gone])
            self._faiss = faiss.IndexFlatIP(self.dimension)
            self._faiss.add(kept)
        else:
            self._faiss.remove_ids(self.ids[gone])
        self._slices.keep(~gone)
        self.ids = self.ids[~gone]
        self._order = self._spread = None

    def choose(self, flat_limit: int | None = None) -> None:
        """Exact up to `flat_limit` items, inverted lists beyond; trained again when four times as many items have come."""
        limit = FLAT_LIMIT if flat_limit is None else flat_limit
        if len(self) > limit and (self.kind == "flat" or len(self) > 4 * self._trained):
            self._to_lists()
        elif len(self) <= limit // 2 and self.kind != "flat":
            self._to_flat()

    def _to_lists(self) -> None:
        faiss = _faiss()
        flat = self._faiss  # held until the end: `rows` is a view of its memory
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
        self._faiss, self._mapped, self._trained = index, False, len(rows)
        stored, other = rows[rng.integers(len(rows), size=(2, 32))]
        middle = stored + other
        queries = np.concatenate([stored, middle / np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-9)])
        truth = self._exact(queries, rows, 10)
        index.nprobe = 1
        while True:
            found = index.search(queries, 10)[1]
            self.recall = float(np.mean([len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)]))
            if self.recall >= RECALL or index.nprobe >= lists:
                break
            index.nprobe = min(lists, index.nprobe * 2)
        del rows, flat
        log.info("index: %d lists, %d probed, recall@10 %.3f", lists, index.nprobe, self.recall)

    def _exact(self, queries: np.ndarray, rows: np.ndarray, k: int) -> list[np.ndarray]:
        scores = queries @ rows.T  # (Q, N)
        return [self.ids[np.argpartition(-s, min(k, len(s) - 1))[:k]] for s in scores]

    def _to_flat(self) -> None:
        faiss = _faiss()
        rows = self._matrix()
        self._faiss, self._mapped, self._trained, self.recall = faiss.IndexFlatIP(self.dimension), False, 0, 1.0
        self._faiss.add(rows)

    def _matrix(self) -> np.ndarray:
        """(N, D) pooled vectors by position: a view for the flat index, a copy for lists."""
        faiss = _faiss()
        if self.kind == "flat":
            return faiss.rev_swig_ptr(self._faiss.get_xb(), len(self) * self.dimension).reshape(len(self), self.dimension)
        return self._faiss.reconstruct_batch(self.ids)

    def _own(self) -> None:
        """A mapped index belongs to its file: copy it before the first change."""
        faiss = _faiss()
        if self._mapped:
            copy = faiss.IndexFlatIP(self.dimension)
            copy.add(self._matrix())
            self._faiss, self._mapped = copy, False

    # -- asking

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def kind(self) -> str:
        return "lists" if hasattr(self._faiss, "nprobe") else "flat"

    def search(self, queries: np.ndarray, k: int, only: np.ndarray | None = None, *, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """queries (Q, D) -> inner products (Q, k') and item ids (Q, k'), best first, k' = min(k, N); -1 ids where fewer match `only`.

        only: item ids to look among. exact: look at everything even where the index is approximate.
        """
        faiss = _faiss()
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
            nprobe = self._faiss.nlist if exact or only is not None else self._faiss.nprobe
            scores, ids = self._faiss.search(queries, k, params=faiss.SearchParametersIVF(sel=selector, nprobe=nprobe))
            return scores, ids
        scores, positions = self._faiss.search(queries, k, params=faiss.SearchParameters(sel=selector) if selector else None)
        return scores, np.where(positions < 0, -1, self.ids[positions])

    def positions(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Positions of items, which must all be there."""
        if self._order is None:
            self._order = np.argsort(self.ids)
        wanted = np.asarray(ids, np.int64)
        found = np.searchsorted(self.ids, wanted, sorter=self._order)
        places = self._order[np.minimum(found, len(self) - 1)] if len(self) else found
        if len(wanted) and (not len(self) or (self.ids[places] != wanted).any()):
            raise GalleryError("An item that was asked for has no vectors here. Search again; the gallery has changed.")
        return places

    def slices(self, ids: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """The slice vectors of items, (n_i, D) each, in the order given."""
        return [self._slices[int(p)] for p in self.positions(ids)]

    def pooled(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(ids), D) pooled vectors, in the order given."""
        if self.kind == "flat":
            return self._matrix()[self.positions(ids)]
        return self._faiss.reconstruct_batch(np.asarray(ids, np.int64))

    def spread(self, count: int = 2048) -> np.ndarray:
        """(at most count, D) pooled vectors, evenly spaced over the gallery: what its score distribution is estimated on."""
        if self._spread is None or len(self._spread) > count:
            step = max(1, -(-len(self) // count))
            self._spread = self._matrix()[::step].copy() if self.kind == "flat" else self.pooled(self.ids[::step])
        return self._spread

    # -- on disk

    def save(self, folder: Path, state: State) -> None:
        """Write the derived files. Raises OSError; whatever is torn then is seen at the next opening and rebuilt."""
        faiss = _faiss()
        folder.mkdir(exist_ok=True)
        if not len(self):
            for path in folder.iterdir():
                path.unlink()
            return
        files: dict[str, Callable[[str], Any]] = {
            "pooled.faiss": lambda path: faiss.write_index(self._faiss, path),
            "slices.npy": self._slices.save,
            "starts.npy": lambda path: _save_array(path, self._slices.starts),
            "ids.npy": lambda path: _save_array(path, self.ids),
        }
        sums = {}
        for name, write in files.items():
            temporary = folder / f"{name}.{os.getpid()}.{threading.get_ident()}.new"
            try:
                write(str(temporary))
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
                sums[name] = _sum(temporary)
                os.replace(temporary, folder / name)
            finally:
                temporary.unlink(missing_ok=True)
        stamp = {
            "format": _FORMAT, "fingerprint": state.fingerprint, "dimension": state.dimension, "epoch": state.epoch, "seq": state.seq,
            "count": len(self), "recall": self.recall, "trained": self._trained, "files": sums,
        }  # fmt: skip
        temporary = folder / f"stamp.json.{os.getpid()}.{threading.get_ident()}.new"
        temporary.write_text(json.dumps(stamp, indent=1, sort_keys=True) + "\n")
        os.replace(temporary, folder / "stamp.json")
        self.saved = (state.epoch, state.seq, len(self))

    @classmethod
    def load(cls, folder: Path, state: State) -> Index | None:
        """The saved index when it is whole, of this model and of this epoch; it may lag behind in seq. None: build it anew."""
        faiss = _faiss()
        try:
            stamp = json.loads((folder / "stamp.json").read_text())
            expected = {"format": _FORMAT, "fingerprint": state.fingerprint, "dimension": state.dimension, "epoch": state.epoch}
            if any(stamp[key] != value for key, value in expected.items()) or stamp["seq"] > state.seq:
                return None
            for name, seen in stamp["files"].items():
                if _sum(folder / name) != seen:
                    log.warning("index: %s is damaged and will be rebuilt", name)
                    return None
            index = cls(state.dimension)
            index._faiss = faiss.read_index(str(folder / "pooled.faiss"), faiss.IO_FLAG_MMAP_IFC)
            index._mapped = index.kind == "flat"
            if not index._mapped:
                index._faiss = faiss.read_index(str(folder / "pooled.faiss"))
            mapped = np.asarray(np.load(folder / "slices.npy", mmap_mode="r"))
            index._slices = Slices(state.dimension, mapped, np.load(folder / "starts.npy"))
            index.ids = np.load(folder / "ids.npy")
            index.seq, index.recall, index._trained = stamp["seq"], stamp["recall"], stamp["trained"]
            if not len(index.ids) == len(index._slices) == index._faiss.ntotal == stamp["count"]:
                return None
            index.saved = (state.epoch, index.seq, len(index))
            return index
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            log.warning("index: %s; it will be rebuilt", error)
            return None


def _save_array(path: str, array: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.save(file, array)


def _sum(path: Path) -> list[int]:
    """[size, CRC-32] of a file: of all of it, or for a very large one of a block in every hundred, the first and the last."""
    size = path.stat().st_size
    crc = 0
    with open(path, "rb") as file:
        if size <= _CHECK_ALL:
            while block := file.read(_BLOCK):
                crc = zlib.crc32(block, crc)
        else:
            for start in [*range(0, size - _BLOCK, _BLOCK * 100), size - _BLOCK]:
                file.seek(start)
                crc = zlib.crc32(file.read(_BLOCK), crc)
    return [size, crc]
