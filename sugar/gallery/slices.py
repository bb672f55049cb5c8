"""Slice vectors of many items, packed into one array, partly mapped from a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Slices"]


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
