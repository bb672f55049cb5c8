"""One call over two datasets: packing, choosing a path, and filling the matrix block by block.

Not covered: the public functions (pairwise.py), the values of one block (blocks.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from sugar.errors import AlignmentError

from .blocks import keep_diagonal, least_costs, log_sums, self_log_kernels
from .concatenation import to_type
from .container import Container
from .crossed import Recursion
from .paths import choose_path, start_report
from .segment import Segment
from .slices import TwoPart


class MatrixCall:
    """One call: two packed datasets, a recursion, a path and a memory bound."""

    def __init__(
        self,
        dataset1: Any,
        dataset2: Any,
        recursion: Recursion,
        metric: str,
        path: str | None,
        max_bytes: int,
    ) -> None:
        self.recursion, self.max_bytes = recursion, max_bytes
        self.same = dataset2 is None or dataset2 is dataset1
        self.tensors = any(holds_tensors(d) for d in (dataset1, dataset2))
        self.x = packed(dataset1, metric, self.side_limit(dataset1, dataset2))
        self.y = self.x if self.same else packed(dataset2, metric, None)
        first, second = self.x.segments[0], self.y.segments[0]
        if [(p.shape[1], p.device) for p in first.parts] != [
            (p.shape[1], p.device) for p in second.parts
        ] or self.x.metric != self.y.metric:
            raise AlignmentError(
                f"the datasets do not fit: slices of {[p.shape[1] for p in first.parts]} numbers on "
                f"{first.device} ({self.x.metric}) "
                f"against {[p.shape[1] for p in second.parts]} on {second.device} ({self.y.metric}); use "
                "one embedder, device and metric."
            )
        x, y = promoted(self.x, self.y), promoted(self.y, self.x)
        self.x, self.y = x, x if self.same else y
        cells = sum(s.offsets[-1] for s in self.x.segments) * sum(s.offsets[-1] for s in self.y.segments)
        self.path = choose_path(path, self.x.device, cells, max(s.longest for s in self.y.segments))
        start_report(self.path, self.x.device)

    def side_limit(self, dataset1: Any, dataset2: Any) -> int | None:
        """How many sequences of the first dataset go side by side, so that two table rows per pair fit the
        bound.
        """
        if isinstance(dataset1, Container):
            return None
        if self.same and len(dataset1) > 128:
            return max(64, -(-len(dataset1) // 4))  # blocks, of which those below the diagonal are mirrored
        return 512

    def blocks(self) -> Iterator[tuple[Segment, Segment, slice, slice]]:
        """Segment against segment, with where they stand in the result.

        For one dataset only on and above the diagonal.
        """
        xs, ys = spans(self.x), spans(self.y)
        if self.same:
            yield from ((a, a, rows, rows) for a, rows in xs)  # first, since they bring the self-kernels
        for i, (a, rows) in enumerate(xs):
            yield from ((a, b, rows, columns) for b, columns in (ys[i + 1 :] if self.same else ys))

    def fill(self, diagonal: float, block: Any) -> torch.Tensor:
        """The result (N, M) from block(a, b) -> (A, B) in sorted positions.

        Its diagonal is `diagonal` for one dataset unless nan.
        """
        result = torch.empty(len(self.x), len(self.y), dtype=torch.float64, device=self.x.device)
        for a, b, rows, columns in self.blocks():
            values = block(a, b)
            placed = torch.empty_like(values)
            placed[a.order[:, None], b.order] = values
            result[rows, columns] = placed
            if self.same and rows != columns:
                result[columns, rows] = placed.T
        if self.same and not math.isnan(diagonal):
            result.fill_diagonal_(diagonal)
        return result

    def kernel(self, normalized: bool, log: bool) -> torch.Tensor:
        """GAK, normalised or not, itself or its log."""

        def block(a: Segment, b: Segment) -> torch.Tensor:
            sums = log_sums(a, b, self.recursion, self.path, self.max_bytes)
            if a is b:
                keep_diagonal(a, sums, self.recursion)
            if normalized:
                sums -= (
                    self_log_kernels(a, b, self.recursion) + self_log_kernels(b, a, self.recursion).T
                ) / 2
            return sums if log else sums.exp_()

        return self.fill((0.0 if log else 1.0) if normalized else math.nan, block)

    def soft(self, gamma: float) -> torch.Tensor:
        """soft-DTW; the added 0 turns -0.0 into 0.0."""
        return self.fill(
            math.nan,
            lambda a, b: log_sums(a, b, self.recursion, self.path, self.max_bytes).mul_(-gamma).add_(0.0),
        )

    def costs(self) -> torch.Tensor:
        """DTW, a root."""
        return self.fill(
            0.0, lambda a, b: least_costs(a, b, self.recursion, self.path, self.max_bytes).sqrt_()
        )


def holds_tensors(dataset: Any) -> bool:
    """Whether the answer to this dataset should be a tensor."""
    if dataset is None or isinstance(dataset, Container):
        return False
    if isinstance(dataset, torch.Tensor):
        return True
    try:
        return any(isinstance(s, (torch.Tensor, TwoPart)) for s in dataset)
    except TypeError as error:
        raise AlignmentError(
            f"a dataset is a list of sequences (n, D); got {type(dataset).__name__}."
        ) from error


def packed(dataset: Any, metric: str, limit: int | None) -> Container:
    """The dataset packed, unless it is."""
    if isinstance(dataset, Container):
        return dataset
    return Container.from_list(unpadded(dataset), metric=metric, limit=limit)


def unpadded(dataset: Any) -> list[Any]:
    """The sequences of a dataset; those of one array (N, L, D) or (N, L) without the all-nan rows at their
    ends.

    A nan before the end, in a row with numbers, or throughout a sequence stays, for the checks to refuse; so
    does any in a list.
    """
    whole = isinstance(dataset, torch.Tensor) or (
        isinstance(dataset, np.ndarray) and dataset.dtype.kind == "f"
    )
    if not whole or dataset.ndim not in (2, 3) or 0 in dataset.shape:
        return list(dataset)
    nan = torch.isnan(dataset).cpu().numpy() if isinstance(dataset, torch.Tensor) else np.isnan(dataset)
    padding: np.ndarray = np.all(nan.reshape(*nan.shape[:2], -1), axis=2)
    ends = nan.shape[1] - padding[:, ::-1].argmin(1)
    return [sequence[:end] for sequence, end in zip(dataset, ends.tolist(), strict=True)]


def promoted(mine: Container, other: Container) -> Container:
    """`mine` in the wider float type of the two."""
    dtype = torch.promote_types(mine.segments[0].parts[0].dtype, other.segments[0].parts[0].dtype)
    if mine.segments[0].parts[0].dtype == dtype:
        return mine
    return Container(
        [Segment(to_type(s.data, dtype), s.lengths, s.order) for s in mine.segments], mine.metric
    )


def spans(container: Container) -> list[tuple[Segment, slice]]:
    """The segments with the positions that they hold."""
    ends = list(itertools.accumulate((s.count for s in container.segments), initial=0))
    return [(s, slice(low, low + s.count)) for s, low in zip(container.segments, ends, strict=False)]
