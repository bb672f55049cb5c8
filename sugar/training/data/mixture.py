"""Which rows a step reads, and opening them while some are bad: skipped and counted, too many end the run.

    mixture = Mixture([holiday, coco], [1, 2], seed=0, held_out=0.05)
    mixture.rows(step, batch)  # [(data set, row number), ...], a function of seed and step alone
    reader = Reader(mixture); reader.example(0, 17)
    reader.example(0, 17, use=rows_of_tokens)    # a row that cannot be laid out as tokens is bad as well
    reader.bad                                   # {(data set, row): BadRow(source, reason), ...}

Rows kept aside never enter: they are split off by number, the same in every run with one seed. A bad row's
place is taken by the next row of its data set, the same in every run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

from sugar.errors import InputError, SettingsError, SugarError
from sugar.training.data.example import BadRow, Dataset, Example


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


# --- rows that cannot be used -------------------------------------------------------------------------------

MOST_BAD = 0.05
"""Share of bad rows above which a run stops."""

log = logging.getLogger("sugar")

T = TypeVar("T")


def as_it_is(example: Example) -> Example:
    return example


def read_row(
    dataset: Dataset,
    index: int,
    use: Callable[[Example], T] = as_it_is,  # type: ignore[assignment]
) -> T | BadRow:
    """What is used of a row, or why it cannot be used."""
    try:
        return use(dataset[index])
    # Files of people: decoders, archives and image processors raise what they like, and no row ends a run
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if not isinstance(error, SugarError) else str(error)
        return BadRow(f"{dataset.name}: row {index}", reason)


def read_captions(dataset: Dataset, index: int) -> list[str]:
    """The texts of a row, none of one that cannot be read; `read_row` says why."""
    try:
        return [text for text in dataset.captions(index) if text and text.strip()]
    except Exception:
        return []


class Reader:
    """Examples of steps, bad rows left out.

    Raises InputError above MOST_BAD, once 100 rows have been read.
    """

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.bad: dict[tuple[int, int], BadRow] = {}
        self.read: set[tuple[int, int]] = set()

    def examples(self, step: int, batch: int) -> list[Example]:
        """The examples of a step."""
        return [self.example(d, row) for d, row in self.mixture.rows(step, batch)]

    def example(self, d: int, row: int, use: Callable[[Example], T] = as_it_is) -> T:  # type: ignore[assignment]
        """What is used of a row, or of the next good one after it."""
        rows = self.mixture.kept[d]
        start = int(rows.searchsorted(row))
        for shift in range(len(rows)):
            key = (d, int(rows[(start + shift) % len(rows)]))
            if key in self.bad:
                continue
            found = read_row(self.mixture.datasets[d], key[1], use)
            self.read.add(key)
            if not isinstance(found, BadRow):
                return found
            self._count(key, found)
        raise InputError(f"{self.mixture.datasets[d].name} has no row that can be used.")

    def _count(self, key: tuple[int, int], found: BadRow) -> None:
        self.bad[key] = found
        log.warning("skipped %s: %s", found.source, found.reason)
        if len(self.bad) > max(5, MOST_BAD * max(100, len(self.read))):
            raise InputError(
                f"{len(self.bad)} of {len(self.read)} rows cannot be used, more than {MOST_BAD:.0%}; "
                "the last was "
                f"{found.source}: {found.reason} `python -m sugar data check` lists them."
            )
