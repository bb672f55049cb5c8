"""Opening rows while some of them are bad: skipped and counted, and too many of them end the run.

    reader = Reader(mixture); reader.example(0, 17)
    reader.example(0, 17, use=rows_of_tokens)    # a row that cannot be laid out as tokens is bad as well
    reader.bad                                   # [BadRow(source, reason), ...]

A bad row's place is taken by the next row of its data set, the same in every run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from sugar.errors import InputError, SugarError
from sugar.training.data.example import BadRow, Dataset, Example
from sugar.training.data.mixture import Mixture

__all__ = ["MOST_BAD", "Reader", "read_captions", "read_row"]

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
