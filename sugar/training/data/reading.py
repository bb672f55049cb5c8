"""Opening rows while some of them are bad: skipped and counted, and too many of them end the run.

    reader = Reader(mixture); reader.examples(step, batch)
    reader.bad                                   # [BadRow(source, reason), ...]

A bad row's place is taken by the next row of its data set, the same in every run.
"""

from __future__ import annotations

import logging

from sugar.errors import InputError, SugarError
from sugar.training.data.example import BadRow, Dataset, Example
from sugar.training.data.mixture import Mixture

__all__ = ["MOST_BAD", "Reader", "read_row"]

MOST_BAD = 0.05
"""Share of bad rows above which a run stops."""

log = logging.getLogger("sugar")


def read_row(dataset: Dataset, index: int) -> Example | BadRow:
    """A row, or why it cannot be used."""
    try:
        return dataset[index]
    except (SugarError, OSError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}" if not isinstance(error, SugarError) else str(error)
        return BadRow(f"{dataset.name}: row {index}", reason)


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

    def example(self, d: int, row: int) -> Example:
        """A row, or the next good one after it."""
        rows = self.mixture.kept[d]
        start = int(rows.searchsorted(row))
        for shift in range(len(rows)):
            key = (d, int(rows[(start + shift) % len(rows)]))
            if key in self.bad:
                continue
            found = read_row(self.mixture.datasets[d], key[1])
            self.read.add(key)
            if isinstance(found, Example):
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
