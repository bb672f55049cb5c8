"""Paths: which slice of one sequence answers which slice of another (`dtw_path`), and where in a long one a
short one lies (`subsequence_dtw`).

Tie order, everywhere: among equal predecessors the diagonal, then (i-1, j), then (i, j-1); among equal ends
the earliest. In the search, sums of up to a million distances count as equal within 1e-9 of their size.
Memory: two float64 numbers per cell. Not covered: many pairs at once with paths; costs of many pairs are
`scores.cdist_dtw`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sugar.errors import AlignmentError

from .scores import choose_path, count, double, start_report
from .slices import as_sequence, real, slice_distance

Path = list[tuple[int, int]]
SEARCH_SLACK = 1e-9


@dataclass(frozen=True)
class Run:
    """A stretch of the long sequence: slices start..stop-1 answer the query.

    Attributes:
        cost: summed slice distance along `path`.
        path: (i, j) per step, i a slice of the query, j a slice of the long sequence.
    """

    start: int
    stop: int
    cost: float
    path: Path


def dtw_path(s1: Any, s2: Any) -> tuple[Path, float]:
    """The cheapest warping path of (n, D) against (m, D), in float64, and its DTW, a root.

    It is tslearn's `dtw_path`, without windows. Raises AlignmentError: empty, nan, inf, other dimensions.

    >>> dtw_path([1, 2, 3], [1.0, 2.0, 2.0, 3.0])
    ([(0, 0), (1, 1), (1, 2), (2, 3)], 0.0)
    """
    path, cost = dtw_path_from_phi(slice_distance(double(s1), double(s2)))
    return path, cost**0.5


def dtw_path_from_phi(phi: Any) -> tuple[Path, float]:
    """The cheapest path through slice distances phi (n, m) that the caller has, and its SUMMED cost.

    inf forbids a cell.

    Raises AlignmentError for an empty phi, nan, a negative distance, or no path.

    >>> dtw_path_from_phi([[0.0, 1.0], [1.0, 0.5]])
    ([(0, 0), (1, 1)], 0.5)
    """
    grid = np.asarray(phi.detach().cpu() if isinstance(phi, torch.Tensor) else phi, dtype=np.float64)
    if grid.ndim != 2 or grid.size == 0 or not (grid >= 0).all():
        raise AlignmentError(
            f"phi has shape {grid.shape}; give (n, m) slice distances, none negative, none nan."
        )
    table = cost_table(grid)
    if not math.isfinite(table[-1, -1]):
        raise AlignmentError(
            "the infinite distances of phi leave no path from corner to corner; allow more cells."
        )
    return trace(table, table.shape[1] - 1), float(table[-1, -1])


def subsequence_dtw(
    query: Any,
    sequence: Any,
    k: int = 1,
    *,
    max_cost: float | None = None,
    path: str | None = None,
) -> list[Run]:
    """The k cheapest runs of a long sequence (N, D) that answer a query (n, D), cheapest first, none
    touching another's slices.

    R[i,j] = phi[i,j] + min(R[i-1,j-1], R[i-1,j], R[i,j-1]) with R[0,j] = phi[0,j]: a run may begin and end
    anywhere. Greedy: the best run is taken, then the best that avoids it, and so on; fewer than k come back
    when no slice, or none under `max_cost`, is left. A query longer than the sequence is allowed: several of
    its slices then share one. Costs are summed, not rooted.

    path: "torch" or "numba"; None takes numba when it is installed. Raises AlignmentError: bad
    input, k < 1.

    >>> story = [[0.0], [9.0], [1.0], [2.0], [9.0], [1.0], [2.5]]
    >>> [(run.start, run.stop, run.cost) for run in subsequence_dtw([[1.0], [2.0]], story, k=2)]
    [(2, 4, 0.0), (5, 7, 0.25)]
    """
    if k < 1:
        raise AlignmentError(f"k is {k}; ask for at least one run.")
    ceiling = math.inf if max_cost is None else real("max_cost", max_cost)
    if math.isnan(ceiling):
        raise AlignmentError("max_cost is nan; give a number or None.")
    phi = (
        slice_distance(as_sequence(query, "query"), as_sequence(sequence)).double().cpu().contiguous()
    )  # (n, N)
    chosen = choose_path(path, phi.device, cells=phi.numel())
    if chosen == "triton":
        raise AlignmentError("path 'triton' has no subsequence search; ask for 'torch' or 'numba', or None.")
    start_report(chosen, phi.device)
    spans = [Span.of(phi, 0, phi.shape[1], chosen)]
    runs: list[Run] = []
    while spans and len(runs) < k:
        best = min(spans, key=lambda span: (span.cost, span.end))
        if best.cost > ceiling:
            break
        way = [(i, j + best.low) for i, j in trace(best.table, best.end, free_start=True, slack=SEARCH_SLACK)]
        start, stop = way[0][1], way[-1][1] + 1
        runs.append(Run(start, stop, float(sum(phi[i, j] for i, j in way)), way))
        spans.remove(best)
        if best.low < start:
            spans.append(
                Span(best.table[:, : start - best.low], best.low)
            )  # paths never run backwards: its table still holds
        if stop < best.low + best.table.shape[1]:
            spans.append(Span.of(phi, stop, best.low + best.table.shape[1], chosen))
    count(len(runs))
    return runs


class Span:
    """An untouched stretch of the long sequence from column `low`, with its table (n, width) and cheapest
    end.
    """

    def __init__(self, table: np.ndarray, low: int) -> None:
        self.table, self.low = table, low
        self.end = int(table[-1].argmin())
        self.cost = float(table[-1, self.end])

    @classmethod
    def of(cls, phi: torch.Tensor, low: int, high: int, path: str) -> Span:
        """A fresh table for columns low..high."""
        return cls(search_table(phi[:, low:high], path), low)


def search_table(phi: torch.Tensor, path: str) -> np.ndarray:
    """R (n, N) with a free start, by the chosen path. torch solves a whole row at once:

    R[j] = phi[j] + min(U[j], R[j-1])  =>  R[j] - S[j] = min over l <= j of U[l] - S[l-1],  S = cumsum(phi), U
    from the row above. A row waits for the one above, so it runs on the host.
    """
    phi = phi.cpu()
    if path == "numba":
        from .compiled import search_table as compiled_search_table

        return compiled_search_table(phi.numpy())
    table = torch.empty(phi.shape, dtype=torch.float64)
    table[0] = phi[0]
    for i in range(1, len(phi)):
        above = table[i - 1].clone()
        torch.minimum(above[1:], table[i - 1, :-1], out=above[1:])
        sums = torch.cumsum(phi[i], 0)
        table[i] = sums + torch.cummin(above - sums + phi[i], 0).values
    return table.numpy()


def cost_table(phi: np.ndarray) -> np.ndarray:
    """R (n, m) from corner to corner for phi (n, m), one anti-diagonal at a time: exactly the reference's
    sums.
    """
    n, m = phi.shape
    table = np.full((n + 1, m + 1), math.inf)
    table[0, 0] = 0.0
    flat, width = table.reshape(-1), m + 1
    for diagonal in range(n + m - 1):
        i = np.arange(max(0, diagonal - m + 1), min(n, diagonal + 1))
        j = diagonal - i
        here = (i + 1) * width + j + 1
        flat[here] = phi[i, j] + np.minimum(
            np.minimum(flat[here - width - 1], flat[here - width]), flat[here - 1]
        )
    return table[1:, 1:]


def trace(table: np.ndarray, end: int, free_start: bool = False, slack: float = 0.0) -> Path:
    """The path to column `end` of the last row, by the tie order of the module.

    Predecessors within `slack` of the least are equal.
    """
    i, j = len(table) - 1, end
    path = [(i, j)]
    while i > 0 or (j > 0 and not free_start):
        steps = [s for s in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if s[0] >= 0 and s[1] >= 0]
        least = min(table[s] for s in steps)
        bound = least + slack * (1 + abs(least))
        i, j = next(s for s in steps if table[s] <= bound)
        path.append((i, j))
    return path[::-1]
