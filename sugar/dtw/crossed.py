"""The torch path: every sequence of one segment against every sequence of another, one table row at a time.

A table row of all pairs is a matrix (A_i, T_b) in the packed layout of the columns: column block j holds the
cell (i, j) of every pair that has one. Per block of rows one GEMM and a few passes over the block, then per
cell

    above = previous[j] + previous[j-1]       (gathered for the whole row)
    M[j]  = k[j] * above + k[j] * M[j-1]      (a first-order linear recurrence along j)

in float64. min-plus (DTW) is the same with min for + and + for *. Works on any device. Not covered: the
certificate's redo, which `pairwise` does pair by pair in logs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .segment import Segment, phi_rows
from .windows import Window
from .zipped import local_kernel_

BYTES_PER_CELL = 40  # phi in its own type, exponent and kernel in float64, their temporaries
Cells = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Recursion:
    """What is summed over paths: local "gak" or "exp" kernels under a bandwidth, or local "cost" minimised.

    scale: k = k(-phi * scale), one for all pairs; delta: per pair instead, scale = 1 / (delta^2 (n + m)).
    window: for "cost".
    """

    local: str
    scale: float = 1.0
    delta: float | None = None
    window: Window | None = None

    def scales(self, n: torch.Tensor | int, m: torch.Tensor) -> torch.Tensor:
        """Scale for pairs of lengths n and m, broadcast, float64."""
        if self.delta is None:
            return torch.full(
                torch.broadcast_shapes(torch.as_tensor(n).shape, m.shape),
                self.scale,
                dtype=torch.float64,
                device=m.device,
            )
        return 1 / (self.delta * self.delta * (n + m).double())


def cross(a: Segment, b: Segment, recursion: Recursion, max_bytes: int) -> tuple[torch.Tensor, bool]:
    """((A, B) float64 in sorted positions, False): kernel sums M (may be 0, inf or nan: certify them), or
    least summed costs.
    """
    costs = recursion.local == "cost"
    result = torch.empty(a.count, b.count, dtype=torch.float64, device=a.device)
    width = b.offsets[-1]
    spare = [torch.empty(a.count, width, dtype=torch.float64, device=a.device) for _ in range(2)]
    previous: torch.Tensor | None = None
    row_limit = max(1, max_bytes // (BYTES_PER_CELL * width))
    low = 0
    while low < a.longest:
        high = low + 1
        while high < a.longest and a.offsets[high + 1] - a.offsets[low] <= row_limit:
            high += 1
        block = local_block(a, low, high, b, recursion)  # (rows of times low..high, T_b) float64
        for i in range(low, high):
            alive = a.alive[i]
            start = a.offsets[i] - a.offsets[low]
            current = spare[i % 2][:alive]
            (cost_row if costs else kernel_row)(block[start : start + alive], previous, current, b)
            ended = a.alive[i + 1] if i + 1 < a.longest else 0
            if ended < alive:
                result[ended:alive] = current[ended:, b.last]
            previous = current
        low = high
    return result, False


def local_block(a: Segment, low: int, high: int, b: Segment, recursion: Recursion) -> torch.Tensor:
    """Local kernels k (or costs) of times low..high of a against all of b, float64, (rows, T_b)."""
    phi = phi_rows(a, a.offsets[low], a.offsets[high], b)
    if recursion.local == "cost":
        block = phi.double()
        if recursion.window is not None:
            recursion.window.forbid_(block, a, low, high, b)
        return block
    exponent = torch.empty(phi.shape, dtype=torch.float64, device=phi.device)
    if recursion.delta is None:
        torch.mul(phi, -recursion.scale, out=exponent)
    else:
        for rows, n in length_runs(a, low, high):
            torch.mul(phi[rows], -recursion.scales(n, b.slice_lengths), out=exponent[rows])
    return local_kernel_(exponent, recursion.local)


def length_runs(a: Segment, low: int, high: int) -> list[tuple[slice, int]]:
    """Runs of packed rows (counted from the first row of time low) whose sequences have equal length n."""
    lengths = a.slice_lengths[a.offsets[low] : a.offsets[high]]
    values, counts = torch.unique_consecutive(lengths, return_counts=True)
    runs, start = [], 0
    for n, size in zip(values.tolist(), counts.tolist(), strict=True):
        runs.append((slice(start, start + size), n))
        start += size
    return runs


def kernel_row(k: torch.Tensor, previous: torch.Tensor | None, current: torch.Tensor, b: Segment) -> None:
    """One row of the kernel recursion for k (A, T_b): reads the row above (None: the first row), fills
    `current`.
    """
    if previous is not None:
        above = torch.empty_like(current)
        add_shifted(previous[: len(k)].split(b.alive, 1), above.split(b.alive, 1), b, torch.add)
        torch.mul(above, k, out=current)
    cells, k_cells = current.split(b.alive, 1), k.split(b.alive, 1)
    if previous is None:
        cells[0].copy_(k_cells[0])
    for j in range(1, b.longest):
        left = cells[j - 1] if b.alive[j] == b.alive[j - 1] else cells[j - 1][:, : b.alive[j]]
        if previous is None:
            torch.mul(k_cells[j], left, out=cells[j])
        else:
            cells[j].addcmul_(k_cells[j], left)


def cost_row(cost: torch.Tensor, previous: torch.Tensor | None, current: torch.Tensor, b: Segment) -> None:
    """One row of the least-cost recursion for cost (A, T_b): the same walk with min for + and + for *."""
    cells, costs = current.split(b.alive, 1), cost.split(b.alive, 1)
    if previous is None:
        cells[0].copy_(costs[0])
    else:
        add_shifted(previous[: len(cost)].split(b.alive, 1), cells, b, torch.minimum)
        cells[0].add_(costs[0])
    for j in range(1, b.longest):
        left = cells[j - 1] if b.alive[j] == b.alive[j - 1] else cells[j - 1][:, : b.alive[j]]
        if previous is None:
            torch.add(left, costs[j], out=cells[j])
        else:
            torch.minimum(cells[j], left, out=cells[j]).add_(costs[j])


def add_shifted(previous: Cells, out: Cells, b: Segment, join: Callable[..., torch.Tensor]) -> None:
    """out[j] = join(previous[j], previous[j-1]) for every column block; out[0] = previous[0]."""
    out[0].copy_(previous[0])
    for j in range(1, b.longest):
        join(previous[j], previous[j - 1][:, : b.alive[j]], out=out[j])
