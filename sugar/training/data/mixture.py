"""Which rows a step holds: every data set in its share, every row once before any comes again.

    mixture = Mixture([coco, holiday], weights=[2, 1], seed=0)
    mixture.rows(step, batch)  # [(data set, row number), ...], a function of seed and step alone

A held-out part never enters: rows are split by their number, the same in every run with one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from sugar.errors import SettingsError
from sugar.training.data.example import Dataset

__all__ = ["Mixture"]


class Mixture:
    """Data sets with weights.

    held_out: share of each that is kept for validation, at most `most_held_out` rows.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        weights: Sequence[float] | None = None,
        *,
        seed: int = 0,
        held_out: float = 0.0,
        most_held_out: int = 200,
    ) -> None:
        weights = [1.0] * len(datasets) if weights is None else list(weights)
        if not datasets or len(datasets) != len(weights) or min(weights) <= 0:
            raise SettingsError("A mixture needs at least one data set, and a weight above 0 for each.")
        self.datasets, self.seed = list(datasets), seed
        self.shares = np.array(weights) / sum(weights)
        self.kept: list[np.ndarray] = []
        self._known = {0: np.zeros(len(datasets), dtype=np.int64)}
        self.validation: list[tuple[int, int]] = []
        for d, dataset in enumerate(datasets):
            order = self._shuffled(len(dataset), d, -1)
            aside = min(int(len(order) * held_out), most_held_out)
            self.validation += [(d, int(i)) for i in np.sort(order[:aside])]
            self.kept.append(np.sort(order[aside:]))
            if not len(self.kept[-1]):
                raise SettingsError(f"{dataset.name} has {len(dataset)} rows, none of them left to train on.")

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.kept)

    def rows(self, step: int, batch: int) -> list[tuple[int, int]]:
        """The (data set, row) pairs of a step."""
        first = step * batch
        before = self._drawn(first)
        found = []
        for n in range(first, first + batch):
            d = int(
                np.argmax((n + 1) * self.shares - before)
            )  # the data set that is furthest behind its share
            found.append((d, self._row(d, int(before[d]))))
            before[d] += 1
        return found

    def _drawn(self, total: int) -> np.ndarray:
        """How many rows of each data set the first `total` draws hold."""
        if len(self.shares) == 1:
            return np.array([total])
        known = max((n for n in self._known if n <= total), default=0)
        counts = self._known.get(known, np.zeros(len(self.shares), dtype=np.int64)).copy()
        for n in range(known, total):
            counts[int(np.argmax((n + 1) * self.shares - counts))] += 1
        self._known = {total: counts.copy()}
        return counts

    def _row(self, dataset: int, draw: int) -> int:
        rows = self.kept[dataset]
        epoch, offset = divmod(draw, len(rows))
        return int(rows[self._shuffled(len(rows), dataset, epoch)[offset]])

    def _shuffled(self, size: int, dataset: int, epoch: int) -> np.ndarray:
        return _permutation(size, self.seed, dataset, epoch)


@lru_cache(maxsize=16)
def _permutation(size: int, seed: int, dataset: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, dataset, epoch + 1]).permutation(size)
