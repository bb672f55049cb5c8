"""The files of an index: one folder for each model under `index/`, built again when missing or stale.

    save_index(index, folder, state)
    index = load_index(folder, state)          # None: build it anew

Files are written beside their place, synced and swapped in. The stamp, written last, holds their sizes and
check sums, so a torn or foreign file is seen at opening. A flat index and the slices are mapped, not read.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sugar.atomic import LEFT, replacing
from sugar.gallery.index import Index, faiss_library, log
from sugar.gallery.slices import Slices

__all__ = ["IndexState", "load_index", "save_index"]

_FORMAT = 1
_CHECK_ALL = 512_000_000  # bytes: files up to this size are check-summed whole, larger ones in part
_BLOCK = 1 << 22


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
