"""What is derived from the vectors of one model: a FAISS index over pooled vectors, and packed slice vectors.

    index = Index.build(rows, dimension)
    scores, ids = index.search(queries, k=100, only=ids_or_none)    # inner products, best first
    index.slices(ids)                                               # their slice vectors, a list of (n_i, D)
    index.append(ids, seqs, slices); index.remove(ids)
    save_index(index, folder, state); load_index(folder, state)     # None: build it anew
    LiveIndex(store, folder, fingerprint, dimension).get()          # the index of an open gallery

Exact up to FLAT_LIMIT items, inverted lists beyond. The choice is explained in this room's README.md. Not
covered: the truth (store.py), quantised storage.
"""

from __future__ import annotations

import importlib
import json
import logging
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sugar.atomic import LEFT, replacing
from sugar.errors import GalleryError
from sugar.gallery.store import Store

FLAT_LIMIT = 200_000
RECALL = 0.95

_FORMAT = 1
_CHECK_ALL = 512_000_000  # bytes: files up to this size are check-summed whole, larger ones in part
_BLOCK = 1 << 22

log = logging.getLogger(__name__)


def faiss_library() -> Any:
    """FAISS, imported at the first use (0.3 s); its type stubs do not know its own keyword arguments."""
    return importlib.import_module("faiss")


class Slices:
    """Ragged slice vectors, packed: item p's rows are starts[p]..starts[p + 1] of one (total, D) array.

    What was saved stays mapped from its file; what is appended since lies behind it in memory, in an array
    that doubles as it fills.
    """

    def __init__(
        self, dimension: int, base: np.ndarray | None = None, starts: np.ndarray | None = None
    ) -> None:
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
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": (total, self._base.shape[1])}
            )
            for start in range(0, len(self._base), 65536):
                file.write(np.ascontiguousarray(self._base[start : start + 65536]).data)
            file.write(self._tail[: total - len(self._base)].data)


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


# -- files, one folder a model. Each is written beside its place, synced and swapped in. The stamp, written
# last, holds their sizes and check sums, so that a torn or foreign file is seen.


@dataclass(frozen=True)
class IndexState:
    """What an index must agree with: the model, and how far the store is.

    The epoch grows when any vector goes.
    """

    fingerprint: str
    dimension: int
    epoch: int
    seq: int
    count: int


def save_index(index: Index, folder: Path, state: IndexState) -> None:
    """Write the files. Raises OSError; whatever is torn then is seen at the next opening and built anew."""
    faiss = faiss_library()
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"*{LEFT}"):  # of a program that was killed while it wrote
        left.unlink(missing_ok=True)
    if not len(index):
        for path in folder.iterdir():
            path.unlink()
        return
    files: dict[str, Callable[[str], Any]] = {
        "pooled.faiss": lambda path: faiss.write_index(index.faiss, path),
        "slices.npy": index.packed.save,
        "starts.npy": lambda path: _save_array(path, index.packed.starts),
        "ids.npy": lambda path: _save_array(path, index.ids),
    }
    sums = {}
    for name, write in files.items():
        with replacing(folder / name) as beside:
            write(str(beside))
            sums[name] = _sum(beside)
    stamp = {
        "format": _FORMAT,
        "fingerprint": state.fingerprint,
        "dimension": state.dimension,
        "epoch": state.epoch,
        "seq": state.seq,
        "count": len(index),
        "recall": index.recall,
        "trained": index.trained,
        "files": sums,
    }
    with replacing(folder / "stamp.json") as beside:
        beside.write_text(json.dumps(stamp, indent=1, sort_keys=True) + "\n")
    index.saved = (state.epoch, state.seq, len(index))


def load_index(folder: Path, state: IndexState) -> Index | None:
    """The saved index when it is whole, of this model and of this epoch; it may lag behind in seq."""
    try:
        stamp = json.loads((folder / "stamp.json").read_text())
        known = (stamp["format"], stamp["fingerprint"], stamp["dimension"], stamp["epoch"])
        if known != (_FORMAT, state.fingerprint, state.dimension, state.epoch) or stamp["seq"] > state.seq:
            return None
        for name, seen in stamp["files"].items():
            if _sum(folder / name) != seen:
                log.warning("index: %s is damaged and will be rebuilt", name)
                return None
        index = _read(folder, state.dimension)
        index.seq, index.recall, index.trained = stamp["seq"], stamp["recall"], stamp["trained"]
        if not len(index.ids) == len(index.packed) == index.faiss.ntotal == stamp["count"]:
            return None
        index.saved = (state.epoch, index.seq, len(index))
        return index
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        log.warning("index: %s; it will be rebuilt", error)
        return None


def _read(folder: Path, dimension: int) -> Index:
    faiss = faiss_library()
    index = Index(dimension)
    index.faiss = faiss.read_index(str(folder / "pooled.faiss"), faiss.IO_FLAG_MMAP_IFC)
    index.mapped = index.kind == "flat"
    if not index.mapped:
        index.faiss = faiss.read_index(str(folder / "pooled.faiss"))
    mapped = np.asarray(np.load(folder / "slices.npy", mmap_mode="r"))
    index.packed = Slices(dimension, mapped, np.load(folder / "starts.npy"))
    index.ids = np.load(folder / "ids.npy")
    return index


def _save_array(path: str, array: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.save(file, array)


def _sum(path: Path) -> list[int]:
    """[size, CRC-32] of a file.

    A very large file is summed over its first and last block and one block in every hundred.
    """
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


# -- the index of an open gallery


class LiveIndex:
    """One model's index, kept in step with a gallery's store. The gallery's lock guards every call."""

    def __init__(self, store: Store, folder: Path, fingerprint: str, dimension: int) -> None:
        self.all_folders = folder / "index"
        self.folder = self.all_folders / fingerprint[:16]
        self._store, self._fingerprint, self._dimension = store, fingerprint, dimension
        self._index: Index | None = None
        self._version = self._epoch = -1

    def state(self) -> IndexState:
        """How far the store is for this model."""
        return IndexState(self._fingerprint, self._dimension, *self._store.state(self._fingerprint))

    def get(self) -> Index:
        """The index, in step with the store: loaded, caught up with what came since, or built anew."""
        version = self._store.version()
        if self._index is not None and version == self._version:
            return self._index
        state = self.state()
        index = self._index
        if index is None or self._epoch != state.epoch:
            index = load_index(self.folder, state)
        if index is not None and index.seq < state.seq:
            rows = list(self._store.vectors(self._fingerprint, self._dimension, index.seq))
            index.append([r[1] for r in rows], [r[0] for r in rows], [r[2] for r in rows])
        if index is None or len(index) != state.count:
            log.info("index: built from %d stored vectors", state.count)
            index = Index.build(self._store.vectors(self._fingerprint, self._dimension), self._dimension)
        self._index, self._version, self._epoch = index, version, state.epoch
        return index

    def mark_current(self) -> None:
        """Under the writer's lock, after a change: the index in memory holds what the store holds."""
        self._epoch = self.state().epoch

    def close(self) -> None:
        self._index = None

    @property
    def is_open(self) -> bool:
        return self._index is not None

    def lags(self, always: bool) -> bool:
        """Whether the files lag behind: at all, or without `always` by more than a fiftieth of the items."""
        index, state = self.get(), self.state()
        if index.saved == (state.epoch, state.seq, len(index)):
            return False
        if always or index.saved is None or index.saved[0] != state.epoch:
            return bool(len(index)) or self.folder.is_dir()
        return 50 * (len(index) - index.saved[2]) > len(index)

    def save(self) -> None:
        """Write the files, under the writer's lock. A full disk costs only time at the next opening."""
        index = self.get()
        index.choose()
        try:
            save_index(index, self.folder, self.state())
        except (OSError, RuntimeError) as error:  # FAISS raises RuntimeError on a full disk
            shutil.rmtree(self.folder, ignore_errors=True)  # an older one may hold what is deleted
            log.warning("index: not saved (%s); it will be rebuilt at the next opening", error)

    def drop_others(self) -> None:
        """Remove the files of other models' indexes, which may hold vectors of deleted pictures.

        They are built again when used.
        """
        for folder in self.all_folders.glob("*"):
            if folder != self.folder:
                shutil.rmtree(folder, ignore_errors=True)
