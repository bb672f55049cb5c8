"""`PackedSequences`: a gallery's slice embeddings, packed once, so that one query against N sequences never re-packs or pads them.

    gallery = PackedSequences.from_list(sequences)          # tensors (n_i, D), arrays, or TwoPart
    scores = gallery.gak(query, delta=0.7)                  # (N,), in the order of insertion
    gallery.append(more); gallery.remove([3, 17]); gallery[10:20]; gallery[[5, 1]]; gallery[4]
    gallery.save("slices.pt"); PackedSequences.load("slices.pt")

Positions behave like those of a Python list: `append` adds at the end, `remove` closes the gaps and leaves no copy of what it took.
Self-kernels K(y, y) are cached per bandwidth. Appending merges small segments, so n appends cost n log n copies, not n^2.
float16 and bfloat16 are kept as float32. Not covered: concurrent writers (lock outside), approximate search (shortlist outside).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Sequence as Rows
from pathlib import Path
from typing import Any

import torch

from sugar.errors import AlignmentError

from .segment import Segment
from .slices import METRICS, Sequence, TwoPart, as_tensor, check_finite, unit_rows

SEGMENT_SLICES = 131_072  # bounds the work of one query against one segment: n_query x 131072 cells
FORMAT = "sugar-packed-sequences-1"


class PackedSequences:
    """N ragged sequences in packed segments. len() is N; `lengths` (N,); `metric` "sqeuclidean" or "cosine"."""

    def __init__(self, segments: list[Segment], metric: str = "sqeuclidean") -> None:
        self.segments, self.metric = segments, metric

    @classmethod
    def from_list(cls, sequences: Iterable[Any], *, metric: str = "sqeuclidean", limit: int | None = None) -> PackedSequences:
        """Pack sequences, each (n, D) or `TwoPart`. `limit`: at most so many sequences per segment (None: as many as fit).

        Raises AlignmentError: nothing given, an empty sequence, nan or inf, differing dimensions or forms, an unknown metric,
        a slice of zeros under "cosine".
        """
        if metric not in METRICS:
            raise AlignmentError(f"metric {metric!r} is unknown; choose one of {', '.join(METRICS)}, or give TwoPart sequences.")
        flat, lengths = flatten(list(sequences))
        if metric == "cosine":
            if isinstance(flat, TwoPart):
                raise AlignmentError("two-part sequences bring their own distance; leave metric at 'sqeuclidean'.")
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
        return torch.cat([s.flat()[1] if s.count == 1 else unsorted(s.lengths, s.order) for s in self.segments])

    @property
    def nbytes(self) -> int:
        """Bytes of the packed slices."""
        return sum(s.nbytes() for s in self.segments)

    def to(self, device: str | torch.device) -> PackedSequences:
        """A copy on another device."""
        moved = [Segment(move(s.data, device), s.lengths.to(device), s.order.to(device)) for s in self.segments]
        return PackedSequences(moved, self.metric)

    def __getitem__(self, index: int | slice | Rows[int] | torch.Tensor) -> Sequence | PackedSequences:
        """An int gives that sequence; a slice or list of positions gives new `PackedSequences` in that order (copies)."""
        if isinstance(index, int):
            [place] = self._positions([index])
            for segment in self.segments:
                if place < segment.count:
                    rows = segment.rows_of(int((segment.order == place).nonzero()[0]))
                    return rows_of(segment.data, rows)
                place -= segment.count
        wanted = list(range(len(self)))[index] if isinstance(index, slice) else self._positions(torch.as_tensor(index).reshape(-1).tolist())
        if not wanted:
            raise AlignmentError("the selection is empty; a packed container holds at least one sequence.")
        flat, lengths = self._flat()
        chosen = torch.tensor(wanted, device=lengths.device)
        starts = (torch.cumsum(lengths, 0) - lengths)[chosen]
        sizes = lengths[chosen]
        ends = torch.cumsum(sizes, 0)
        rows = torch.arange(int(ends[-1]), device=sizes.device) + torch.repeat_interleave(starts - (ends - sizes), sizes)
        return PackedSequences(segments_of(rows_of(flat, rows), sizes, None), self.metric)

    def append(self, sequences: Iterable[Any]) -> None:
        """Add sequences at the end, in place. Raises AlignmentError as `from_list`, and for another form, dimension or device."""
        more = PackedSequences.from_list(sequences, metric=self.metric)
        mine, theirs = self.segments[0], more.segments[0]
        if [(p.shape[1], p.device) for p in mine.parts] != [(p.shape[1], p.device) for p in theirs.parts]:
            raise AlignmentError(
                f"the container holds slices of {[p.shape[1] for p in mine.parts]} numbers on {mine.device}, the new ones "
                f"{[p.shape[1] for p in theirs.parts]} on {theirs.device}; both must come from one embedder, on one device."
            )
        for segment in more.segments:
            self.segments.append(segment)
            while len(self.segments) > 1 and self._mergeable(self.segments[-2], self.segments[-1]):
                newer, older = self.segments.pop(), self.segments.pop()
                self.segments.append(merge(older, newer))

    @staticmethod
    def _mergeable(older: Segment, newer: Segment) -> bool:
        return older.offsets[-1] <= 2 * newer.offsets[-1] and older.offsets[-1] + newer.offsets[-1] <= SEGMENT_SLICES

    def remove(self, positions: Iterable[int]) -> None:
        """Take sequences out for good, in place; later ones move up. Raises AlignmentError: out of range, or nothing would be left."""
        gone = set(self._positions(list(positions)))
        if len(gone) == len(self):
            raise AlignmentError("removing every sequence leaves an empty container; drop the container instead.")
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
                kept.append(Segment.pack(rows_of(flat, torch.repeat_interleave(stay, lengths).nonzero()[:, 0]), lengths[stay]))
        self.segments = kept

    def gak(self, query: Any, *, delta: float | None = None, sigma: float | None = None, **options: Any) -> Any:
        """(N,) normalised GAK of one query (n, D) against every sequence, in the order of insertion; `cdist_gak` has the options.

        Give delta (sigma = delta * sqrt((n + m) / 2) per pair; 0.7 when neither is given) or one sigma for all. An array query
        gives an array, a tensor a tensor. Raises AlignmentError as `cdist_gak`.
        """
        from .pairwise import cdist_gak

        if delta is not None and sigma is not None:
            raise AlignmentError(f"both delta ({delta}) and sigma ({sigma}) are given; give one.")
        delta = 0.7 if delta is None and sigma is None else delta
        return cdist_gak([query], self, 1.0 if sigma is None else sigma, delta=delta, metric=self.metric, **options)[0]

    def soft_dtw(self, query: Any, gamma: float = 1.0, **options: Any) -> Any:
        """(N,) soft-DTW of one query (n, D) against every sequence; see `cdist_soft_dtw`."""
        from .pairwise import cdist_soft_dtw

        return cdist_soft_dtw([query], self, gamma, metric=self.metric, **options)[0]

    def dtw(self, query: Any, **options: Any) -> Any:
        """(N,) DTW (root of the summed cost) of one query (n, D) against every sequence; see `cdist_dtw`."""
        from .pairwise import cdist_dtw

        return cdist_dtw([query], self, metric=self.metric, **options)[0]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, whole or not at all (a temporary file beside it, then a rename)."""
        target = Path(path)
        segments = [{"data": parts_of(s.data), "lengths": s.lengths.cpu(), "order": s.order.cpu()} for s in self.segments]
        temporary = target.with_name(target.name + ".part")
        with open(temporary, "wb") as file:
            torch.save({"format": FORMAT, "metric": self.metric, "segments": segments}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> PackedSequences:
        """Read what `save` wrote. Tensors only are unpickled. Raises AlignmentError for a missing, foreign or damaged file."""
        try:
            stored = torch.load(path, map_location=device, weights_only=True)
            if stored["format"] != FORMAT:
                raise AlignmentError(f"{path} has format {stored['format']!r}, this version reads {FORMAT!r}; pack the gallery again.")
            segments = [Segment(whole_of(s["data"]), s["lengths"], s["order"]) for s in stored["segments"]]
            return cls(segments, stored["metric"])
        except AlignmentError:
            raise
        except Exception as error:
            raise AlignmentError(f"{path} is no file of packed sequences ({error}); pack the gallery again and save it.") from error

    def _positions(self, positions: list[int]) -> list[int]:
        count = len(self)
        for position in positions:
            if not -count <= position < count:
                raise AlignmentError(f"position {position} is out of range; the container holds {count} sequences.")
        return [int(p) % count for p in positions]

    def _flat(self) -> tuple[Sequence, torch.Tensor]:
        flats = [s.flat() for s in self.segments]
        return join([f for f, _ in flats]), torch.cat([n for _, n in flats])


def flatten(sequences: list[Any]) -> tuple[Sequence, torch.Tensor]:
    """(all slices one sequence after another, lengths (N,)), checked. Raises AlignmentError (see `PackedSequences.from_list`)."""
    if not sequences:
        raise AlignmentError("no sequences were given; give a list of at least one (n, D) array, tensor or TwoPart.")
    checked = [s if isinstance(s, TwoPart) else as_tensor(s, f"sequence {i}") for i, s in enumerate(sequences)]
    empty = next((i for i, s in enumerate(checked) if len(s) == 0), None)
    if empty is not None:
        raise AlignmentError(f"sequence {empty} is empty; give at least one slice.")
    flat = join(checked)
    for part in [flat.part1, flat.part2] if isinstance(flat, TwoPart) else [flat]:
        check_finite(part, "the dataset (slices counted through)")
    device = flat.part1.device if isinstance(flat, TwoPart) else flat.device
    return flat, torch.tensor([len(s) for s in checked], device=device)


def join(sequences: list[Sequence]) -> Sequence:
    """All slices as one sequence. AlignmentError when forms, dimensions or devices differ."""
    two = [s for s in sequences if isinstance(s, TwoPart)]
    plain = [s for s in sequences if not isinstance(s, TwoPart)]
    if two and plain:
        raise AlignmentError("two-part and plain sequences are mixed; give all in one form.")
    if two:
        return TwoPart(join_tensors([s.part1 for s in two]), join_tensors([s.part2 for s in two]), torch.cat([s.is_image for s in two]))
    return join_tensors(plain)


def join_tensors(tensors: list[torch.Tensor]) -> torch.Tensor:
    """torch.cat of (n_i, D), in the widest of their types. AlignmentError when D or device differ."""
    first = tensors[0]
    for index, tensor in enumerate(tensors):
        if tensor.shape[1] != first.shape[1] or tensor.device != first.device:
            raise AlignmentError(
                f"sequence {index} has slices of {tensor.shape[1]} numbers on {tensor.device}, sequence 0 of {first.shape[1]} on "
                f"{first.device}; all must come from one embedder, on one device."
            )
    return first if len(tensors) == 1 else torch.cat(tensors)


def segments_of(flat: Sequence, lengths: torch.Tensor, limit: int | None) -> list[Segment]:
    """Cut into segments of at most SEGMENT_SLICES slices and `limit` sequences (always at least one sequence each)."""
    segments, start, row = [], 0, 0
    sizes = lengths.tolist()
    while start < len(sizes):
        stop, taken = start, 0
        while stop < len(sizes) and (stop == start or (taken + sizes[stop] <= SEGMENT_SLICES and stop - start < (limit or len(sizes)))):
            taken += sizes[stop]
            stop += 1
        segments.append(Segment.pack(flat[row : row + taken], lengths[start:stop]))
        start, row = stop, row + taken
    return segments


def merge(older: Segment, newer: Segment) -> Segment:
    """One segment of both, in order."""
    (flat_a, lengths_a), (flat_b, lengths_b) = older.flat(), newer.flat()
    return Segment.pack(join([flat_a, flat_b]), torch.cat([lengths_a, lengths_b]))


def unsorted(values: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """values (B,) of the sorted places, back in the order of insertion."""
    out = torch.empty_like(values)
    out[order] = values
    return out


def rows_of(data: Sequence, rows: torch.Tensor) -> Sequence:
    """The chosen slices, copied."""
    return TwoPart(data.part1[rows], data.part2[rows], data.is_image[rows]) if isinstance(data, TwoPart) else data[rows]


def move(data: Sequence, device: str | torch.device) -> Sequence:
    """The slices on another device."""
    if isinstance(data, TwoPart):
        return TwoPart(data.part1.to(device), data.part2.to(device), data.is_image.to(device))
    return data.to(device)


def parts_of(data: Sequence) -> list[torch.Tensor]:
    """The tensors of a sequence, for storage."""
    return [data.part1.cpu(), data.part2.cpu(), data.is_image.cpu()] if isinstance(data, TwoPart) else [data.cpu()]


def whole_of(parts: list[torch.Tensor]) -> Sequence:
    """The inverse of `parts_of`."""
    return TwoPart(*parts) if len(parts) == 3 else parts[0]
