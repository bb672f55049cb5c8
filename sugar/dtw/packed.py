"""`PackedSequences`: ragged sequences packed once, so that a query against N of them pads nothing.

    gallery = PackedSequences.from_list(sequences)  # tensors (n_i, D), arrays, or TwoPart
    scores = cdist_gak([query], gallery, delta=0.7)  # (1, N), in the order of insertion

Longest first and time-major, so that every table cell is one contiguous vector. For lengths 3, 2, 1 the rows
are  a0 b0 c0 | a1 b1 | a2 : block t holds slice t of every sequence that has one (the layout of torch's
PackedSequence). It does not change after it was made. Not covered: scoring (scores.py).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch

from sugar.errors import AlignmentError

from .slices import Sequence, TwoPart, as_tensor, check_finite, dot, join, parts_of, row_squares


class PackedSequences:
    """N ragged sequences. len() is N.

    Attributes:
        data: the slices, time-major: a tensor (T, D) or a `TwoPart` of T slices.
        lengths: (N,), descending. order: (N,), lengths[b] belongs to the order[b]-th sequence that went in.
        alive, offsets: per time t, how many sequences have a slice t, and in which row those begin.
        squares: |y|^2 (T,) per part. self_kernels: log K(y, y) (N,) per bandwidth, kept by scores.py.
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
        self.parts = parts_of(data)
        self.device = self.parts[0].device
        self.squares = [row_squares(p) for p in self.parts]
        self.self_kernels: OrderedDict[tuple, torch.Tensor] = OrderedDict()

    @classmethod
    def from_list(cls, sequences: Iterable[Any]) -> PackedSequences:
        """Pack sequences, each (n, D) or `TwoPart`.

        Raises AlignmentError: nothing given, an empty sequence, nan or inf, differing dimensions or forms.
        """
        given = [
            s if isinstance(s, TwoPart) else as_tensor(s, f"sequence {i}") for i, s in enumerate(sequences)
        ]
        if not given:
            raise AlignmentError(
                "no sequences were given; give at least one (n, D) array, tensor or TwoPart."
            )
        empty = next((i for i, s in enumerate(given) if len(s) == 0), None)
        if empty is not None:
            raise AlignmentError(f"sequence {empty} is empty; give at least one slice.")
        flat = join(given)
        for part in parts_of(flat):
            check_finite(part, "the dataset (slices counted through)")
        lengths = torch.tensor([len(s) for s in given], device=parts_of(flat)[0].device)
        sizes, order = torch.sort(lengths, descending=True, stable=True)
        starts = (torch.cumsum(lengths, 0) - lengths)[order]
        times = torch.arange(int(sizes[0]), device=sizes.device)[:, None]
        return cls(flat[(starts + times)[sizes > times]], sizes, order)

    def __len__(self) -> int:
        return self.count

    @property
    def nbytes(self) -> int:
        """Bytes of the slices."""
        return sum(p.numel() * p.element_size() for p in self.parts)

    def to(self, where: torch.dtype | torch.device | str) -> PackedSequences:
        """In another float type, or on another device."""
        data = self.data.to(where)
        device = parts_of(data)[0].device
        return PackedSequences(data, self.lengths.to(device), self.order.to(device))

    def part(self, low: int, high: int) -> PackedSequences:
        """The sequences at sorted positions low..high."""
        lengths = self.lengths[low:high]
        positions = torch.arange(low, high, device=self.device)
        rows = [self.offsets[t] + positions[: int((lengths > t).sum())] for t in range(int(lengths[0]))]
        return PackedSequences(
            self.data[torch.cat(rows)], lengths, torch.arange(high - low, device=self.device)
        )

    def padded_rows(self, positions: torch.Tensor) -> torch.Tensor:
        """(P, L) rows of the sequences at sorted `positions` (P,); beyond an end, its last row again."""
        lengths = self.lengths[positions]
        times = torch.arange(int(lengths.max()), device=self.device)
        times = torch.minimum(times, lengths[:, None] - 1)  # (P, L)
        return torch.tensor(self.offsets, device=self.device)[times] + positions[:, None]


def pair_distances(
    a: PackedSequences, rows: torch.Tensor, b: PackedSequences, columns: torch.Tensor
) -> torch.Tensor:
    """phi (N, M, P) of the pairs of sorted positions (rows[p], columns[p]), padded to their longest."""
    rows_a, rows_b = a.padded_rows(rows), b.padded_rows(columns)  # (P, N), (P, M)
    grids = []
    for part_a, part_b, squares_a, squares_b in zip(a.parts, b.parts, a.squares, b.squares, strict=True):
        products = torch.bmm(part_a[rows_a], part_b[rows_b].transpose(1, 2))  # (P, N, M)
        grids.append(
            (squares_a[rows_a][:, :, None] + squares_b[rows_b][:, None] - 2 * products).clamp_(min=0)
        )
    phi = grids[0]
    if isinstance(a.data, TwoPart) and isinstance(b.data, TwoPart):
        same_kind = a.data.is_image[rows_a][:, :, None] == b.data.is_image[rows_b][:, None]
        phi = torch.where(same_kind, grids[0], grids[1])
    return phi.permute(1, 2, 0).contiguous()


def products_and_squares(
    a: PackedSequences, b: PackedSequences
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(dots (T_a, T_b), squares_a, squares_b) with phi = squares_a + squares_b - 2 dots: one GEMM per part.

    A slice with itself is at distance 0 exactly. Triple Kernels go into dots whole, with squares of 0.
    """
    dots = []
    for part_a, part_b, squares in zip(a.parts, b.parts, a.squares, strict=True):
        dots.append(dot(part_a, part_b).contiguous())
        if a is b:
            dots[-1].diagonal().copy_(squares)
    if not (isinstance(a.data, TwoPart) and isinstance(b.data, TwoPart)):
        return dots[0], a.squares[0], b.squares[0]
    first, second = (
        d.mul_(-2).add_(x[:, None]).add_(y).clamp_(min=0)
        for d, x, y in zip(dots, a.squares, b.squares, strict=True)
    )
    phi = torch.where(a.data.is_image[:, None] == b.data.is_image, first, second)
    return phi.mul_(-0.5), phi.new_zeros(phi.shape[0]), phi.new_zeros(phi.shape[1])
