"""Ragged sequences in packed segments: a list that can be cut, extended, saved and loaded.

Not covered: scoring a query against them (packed.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Sequence as Rows
from pathlib import Path
from typing import Any, Self

import torch

from sugar.errors import AlignmentError

from .concatenation import (
    SEGMENT_SLICES,
    flatten,
    join,
    merge,
    move,
    parts_of,
    rows_of,
    segments_of,
    unsorted,
    whole_of,
)
from .segment import Segment
from .slices import METRICS, Sequence, TwoPart, unit_rows

FORMAT = "sugar-packed-sequences-1"


class Container:
    """N ragged sequences in packed segments. len() is N; `lengths` (N,).

    `metric` "sqeuclidean" or "cosine".
    """

    def __init__(self, segments: list[Segment], metric: str = "sqeuclidean") -> None:
        self.segments, self.metric = segments, metric

    @classmethod
    def from_list(
        cls, sequences: Iterable[Any], *, metric: str = "sqeuclidean", limit: int | None = None
    ) -> Self:
        """Pack sequences, each (n, D) or `TwoPart`.

        `limit`: at most so many sequences per segment (None: as many as fit).

        Raises AlignmentError: nothing given, an empty sequence, nan or inf, differing dimensions or forms, an
        unknown metric, a slice of zeros under "cosine".
        """
        if metric not in METRICS:
            raise AlignmentError(
                f"metric {metric!r} is unknown; choose one of {', '.join(METRICS)}, or give TwoPart "
                "sequences."
            )
        flat, lengths = flatten(list(sequences))
        if metric == "cosine":
            if isinstance(flat, TwoPart):
                raise AlignmentError(
                    "two-part sequences bring their own distance; leave metric at 'sqeuclidean'."
                )
            flat = unit_rows(flat) * 0.5**0.5  # then |a - b|^2 = 1 - cos
        return cls(segments_of(flat, lengths, limit), metric)

    def __len__(self) -> int:
        return sum(s.count for s in self.segments)

    @property
    def device(self) -> torch.device:
        """Where the slices lie."""
        return self.segments[0].device

    @property
    def lengths(self) -> torch.Tensor:
        """(N,) slices per sequence, in the order of insertion."""
        return torch.cat(
            [s.flat()[1] if s.count == 1 else unsorted(s.lengths, s.order) for s in self.segments]
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the packed slices."""
        return sum(s.nbytes() for s in self.segments)

    def to(self, device: str | torch.device) -> Self:
        """A copy on another device."""
        moved = [
            Segment(move(s.data, device), s.lengths.to(device), s.order.to(device)) for s in self.segments
        ]
        return type(self)(moved, self.metric)

    def __getitem__(self, index: int | slice | Rows[int] | torch.Tensor) -> Sequence | Self:
        """An int gives that sequence; a slice or list of positions gives new containers in that order
        (copies).
        """
        if isinstance(index, int):
            [position] = self._positions([index])
            for segment in self.segments:
                if position < segment.count:
                    rows = segment.rows_of(int((segment.order == position).nonzero()[0]))
                    return rows_of(segment.data, rows)
                position -= segment.count
        wanted = (
            list(range(len(self)))[index]
            if isinstance(index, slice)
            else self._positions(torch.as_tensor(index).reshape(-1).tolist())
        )
        if not wanted:
            raise AlignmentError("the selection is empty; a packed container holds at least one sequence.")
        flat, lengths = self._flat()
        chosen = torch.tensor(wanted, device=lengths.device)
        starts = (torch.cumsum(lengths, 0) - lengths)[chosen]
        sizes = lengths[chosen]
        ends = torch.cumsum(sizes, 0)
        rows = torch.arange(int(ends[-1]), device=sizes.device) + torch.repeat_interleave(
            starts - (ends - sizes), sizes
        )
        return type(self)(segments_of(rows_of(flat, rows), sizes, None), self.metric)

    def append(self, sequences: Iterable[Any]) -> None:
        """Add sequences at the end, in place.

        Raises AlignmentError as `from_list`, and for another form, dimension or device.
        """
        more = self.from_list(sequences, metric=self.metric)
        mine, theirs = self.segments[0], more.segments[0]
        if [(p.shape[1], p.device) for p in mine.parts] != [(p.shape[1], p.device) for p in theirs.parts]:
            raise AlignmentError(
                f"the container holds slices of {[p.shape[1] for p in mine.parts]} numbers on "
                f"{mine.device}, the new ones "
                f"{[p.shape[1] for p in theirs.parts]} on {theirs.device}; both must come from one "
                "embedder, on one device."
            )
        for segment in more.segments:
            self.segments.append(segment)
            while len(self.segments) > 1 and self._mergeable(self.segments[-2], self.segments[-1]):
                newer, older = self.segments.pop(), self.segments.pop()
                self.segments.append(merge(older, newer))

    @staticmethod
    def _mergeable(older: Segment, newer: Segment) -> bool:
        return (
            older.offsets[-1] <= 2 * newer.offsets[-1]
            and older.offsets[-1] + newer.offsets[-1] <= SEGMENT_SLICES
        )

    def remove(self, positions: Iterable[int]) -> None:
        """Take sequences out for good, in place; later ones move up.

        Raises AlignmentError: out of range, or nothing would be left.
        """
        gone = set(self._positions(list(positions)))
        if len(gone) == len(self):
            raise AlignmentError(
                "removing every sequence leaves an empty container; drop the container instead."
            )
        base, kept = 0, []
        for segment in self.segments:
            mine = [p - base for p in gone if base <= p < base + segment.count]
            base += segment.count
            if not mine:
                kept.append(segment)
            elif len(mine) < segment.count:
                flat, lengths = segment.flat()
                stay = torch.ones(segment.count, dtype=torch.bool, device=lengths.device)
                stay[mine] = False
                kept.append(
                    Segment.pack(
                        rows_of(flat, torch.repeat_interleave(stay, lengths).nonzero()[:, 0]), lengths[stay]
                    )
                )
        self.segments = kept

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, whole or not at all (a temporary file beside it, then a rename)."""
        target = Path(path)
        segments = [
            {"data": parts_of(s.data), "lengths": s.lengths.cpu(), "order": s.order.cpu()}
            for s in self.segments
        ]
        temporary = target.with_name(target.name + ".part")
        with open(temporary, "wb") as file:
            torch.save({"format": FORMAT, "metric": self.metric, "segments": segments}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Self:
        """Read what `save` wrote. Tensors only are unpickled.

        Raises AlignmentError for a missing, foreign or damaged file.
        """
        try:
            stored = torch.load(path, map_location=device, weights_only=True)
            if stored["format"] != FORMAT:
                raise AlignmentError(
                    f"{path} has format {stored['format']!r}, this version reads {FORMAT!r}; pack the "
                    "gallery again."
                )
            segments = [Segment(whole_of(s["data"]), s["lengths"], s["order"]) for s in stored["segments"]]
            return cls(segments, stored["metric"])
        except AlignmentError:
            raise
        except Exception as error:
            raise AlignmentError(
                f"{path} is no file of packed sequences ({error}); pack the gallery again and save it."
            ) from error

    def _positions(self, positions: list[int]) -> list[int]:
        count = len(self)
        for position in positions:
            if not -count <= position < count:
                raise AlignmentError(
                    f"position {position} is out of range; the container holds {count} sequences."
                )
        return [int(p) % count for p in positions]

    def _flat(self) -> tuple[Sequence, torch.Tensor]:
        flats = [s.flat() for s in self.segments]
        return join([f for f, _ in flats]), torch.cat([n for _, n in flats])
