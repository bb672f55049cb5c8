"""A segment: ragged sequences packed once, longest first and time-major, so that every table cell is one
contiguous vector.

For lengths 3, 2, 1 the rows are  a0 b0 c0 | a1 b1 | a2 : block t holds slice t of every sequence that has
one, `alive[t]` of them from `offsets[t]` on (the layout of torch's PackedSequence). No padding anywhere. Not
covered: growth; that is `packed`.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict

import torch

from .slices import Sequence, TwoPart, row_squares

MAX_SELF_KERNELS = 64  # distinct bandwidths a segment remembers


class Segment:
    """Immutable packed sequences.

    data: the slices, time-major, a tensor (T, D) or a `TwoPart` of T slices
    lengths (B,): descending; order (B,): lengths[b] belongs to the order[b]-th sequence that went in
    alive, offsets: per time t, how many sequences have a slice t, and in which row those begin
    """

    def __init__(self, data: Sequence, lengths: torch.Tensor, order: torch.Tensor) -> None:
        self.data, self.lengths, self.order = data, lengths, order
        sizes = lengths.tolist()
        self.longest, self.count = sizes[0], len(sizes)
        ended = [0] * (self.longest + 1)
        for size in sizes:
            ended[size] += 1
        self.alive = list(itertools.accumulate(ended[:0:-1]))[::-1]  # alive[t] = sequences longer than t
        self.offsets = list(itertools.accumulate(self.alive, initial=0))
        device = data.part1.device if isinstance(data, TwoPart) else data.device
        self.device = device
        starts = torch.tensor(self.offsets, device=device)
        self.last = starts[lengths - 1] + torch.arange(
            self.count, device=device
        )  # (B,) row of each sequence's last slice
        self.parts = [data.part1, data.part2] if isinstance(data, TwoPart) else [data]
        self.squares = [row_squares(p) for p in self.parts]  # |y|^2 (T,) per part
        self.slice_lengths = torch.cat(
            [lengths[:a] for a in self.alive]
        )  # (T,) how long each slice's sequence is
        self.self_kernels: OrderedDict[tuple, torch.Tensor] = OrderedDict()

    @classmethod
    def pack(cls, flat: Sequence, lengths: torch.Tensor) -> Segment:
        """From slices one sequence after another (T, D) and lengths (B,) in order of insertion."""
        sizes, order = torch.sort(lengths, descending=True, stable=True)
        starts = (torch.cumsum(lengths, 0) - lengths)[order]
        return cls(take(flat, time_major_rows(starts, sizes)), sizes, order)

    def flat(self) -> tuple[Sequence, torch.Tensor]:
        """(slices one sequence after another in order of insertion, lengths): the inverse of `pack`."""
        lengths = torch.empty_like(self.lengths)
        lengths[self.order] = self.lengths
        starts = torch.cumsum(lengths, 0) - lengths
        rows = time_major_rows(starts[self.order], self.lengths)  # flat row of each packed row
        back = torch.empty_like(rows)
        back[rows] = torch.arange(len(rows), device=rows.device)
        return take(self.data, back), lengths

    def rows_of(self, position: int) -> torch.Tensor:
        """Rows of the sequence at sorted position b, in time order."""
        return torch.tensor(
            [self.offsets[t] + position for t in range(int(self.lengths[position]))], device=self.device
        )

    def nbytes(self) -> int:
        """Bytes of the slices."""
        return sum(p.numel() * p.element_size() for p in self.parts)

    def padded_rows(self, positions: torch.Tensor) -> torch.Tensor:
        """(P, L) rows of sequences at sorted `positions` (P,), L the longest of them.

        Beyond an end, its last row again.
        """
        lengths = self.lengths[positions]
        times = torch.arange(int(lengths.max()), device=self.device)
        times = torch.minimum(times, lengths[:, None] - 1)  # (P, L)
        return torch.tensor(self.offsets, device=self.device)[times] + positions[:, None]


def time_major_rows(starts: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Flat rows in packed order for sequences that begin at `starts` (B,) with descending `lengths` (B,)."""
    times = torch.arange(int(lengths[0]), device=lengths.device)[:, None]
    grid = starts + times  # (longest, B)
    return grid[lengths > times]


def take(data: Sequence, rows: torch.Tensor) -> Sequence:
    """The chosen slices of a sequence, copied."""
    if isinstance(data, TwoPart):
        return TwoPart(data.part1[rows], data.part2[rows], data.is_image[rows])
    return data[rows]


def part_of(segment: Segment, low: int, high: int) -> Segment:
    """The sequences at sorted positions low..high as a segment of their own."""
    lengths = segment.lengths[low:high]
    positions = torch.arange(low, high, device=segment.device)
    longest_first = [
        segment.offsets[t] + positions[: int((lengths > t).sum())] for t in range(int(lengths[0]))
    ]
    return Segment(
        take(segment.data, torch.cat(longest_first)), lengths, torch.arange(high - low, device=segment.device)
    )


def zipped_phi(a: Segment, positions_a: torch.Tensor, b: Segment, positions_b: torch.Tensor) -> torch.Tensor:
    """phi (N, M, P) of the pairs (positions_a[p], positions_b[p]), padded to their longest.

    Padding repeats an end.
    """
    rows_a, rows_b = a.padded_rows(positions_a), b.padded_rows(positions_b)  # (P, N), (P, M)
    grids = []
    for part_a, part_b, squares_a, squares_b in zip(a.parts, b.parts, a.squares, b.squares, strict=True):
        products = torch.bmm(part_a[rows_a], part_b[rows_b].transpose(1, 2))  # (P, N, M)
        grids.append(
            (squares_a[rows_a][:, :, None] + squares_b[rows_b][:, None] - 2 * products).clamp_(min=0)
        )
    if isinstance(a.data, TwoPart) and isinstance(b.data, TwoPart):
        same_kind = a.data.is_image[rows_a][:, :, None] == b.data.is_image[rows_b][:, None]
        return torch.where(same_kind, grids[0], grids[1]).permute(1, 2, 0).contiguous()
    return grids[0].permute(1, 2, 0).contiguous()


def phi_rows(a: Segment, low: int, high: int, b: Segment) -> torch.Tensor:
    """phi (high - low, T_b) of the packed rows low..high of a against all slices of b: one GEMM per part."""
    grids = []
    for part in range(len(a.parts)):
        grids.append(
            distances_from(slice_products(a, low, high, b, part), a.squares[part][low:high], b.squares[part])
        )
    if isinstance(a.data, TwoPart) and isinstance(b.data, TwoPart):
        return torch.where(a.data.is_image[low:high, None] == b.data.is_image, grids[0], grids[1])
    return grids[0]


def slice_products(a: Segment, low: int, high: int, b: Segment, part: int = 0) -> torch.Tensor:
    """Products (high - low, T_b), contiguous, of rows low..high of a with all slices of b.

    A slice with itself exactly |x|^2.
    """
    dots = products(a.parts[part][low:high], b.parts[part]).contiguous()
    if a is b:
        dots.diagonal(low).copy_(a.squares[part][low:high])
    return dots


def products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a (n, D), b (m, D) -> a b^T (n, m).

    Few rows against many run as b a^T, twice as fast, and come back as its transpose.
    """
    return (b @ a.T).T if len(a) < 64 < len(b) else a @ b.T


def distances_from(dots: torch.Tensor, squares_a: torch.Tensor, squares_b: torch.Tensor) -> torch.Tensor:
    """|a|^2 + |b|^2 - 2ab from dots (n, m), overwriting it, clamped at 0."""
    return dots.mul_(-2).add_(squares_a[:, None]).add_(squares_b).clamp_(min=0)
