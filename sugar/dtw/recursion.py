"""The recursions over a batch of pairs side by side, in plain torch: pair p aligns its own (n_p, m_p) corner
of phi[:, :, p].

One table row is one (M, P) tensor, one cell one contiguous vector over pairs, so padding costs time and never
touches a valid cell. Used for small matrices, self-kernels, label matrices and the redo in logs, on any
device.

The linear recursion is certified: with k <= 1 no term can overflow before Delannoy(n, m) does, and what
underflow loses is at most tiny * n * m * (1 + sqrt 2)^(n + m) (Delannoy numbers obey D(n, m) <= (1 + sqrt
2)^(n + m)). A pair whose M is not 1e13 times above that, or not finite, is redone in logs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

LOG_SILVER = math.log(1 + math.sqrt(2))
DIGITS = {torch.float64: 13, torch.float32: 7}  # decimal digits that must stand above the lost mass


@dataclass(frozen=True)
class Recursion:
    """What is summed over paths: local "gak" or "exp" kernels under a bandwidth, or local "cost" minimised.

    scale: k = k(-phi * scale), one for all pairs; delta: per pair instead, scale = 1 / (delta^2 (n + m)).
    """

    local: str
    scale: float = 1.0
    delta: float | None = None

    def scales(self, n: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        """The scale of pairs of lengths n and m, broadcast, float64."""
        if self.delta is None:
            return torch.full_like((n + m).double(), self.scale)
        return 1 / (self.delta * self.delta * (n + m).double())


def log_delannoy(longest: int) -> torch.Tensor:
    """log D(n, m) (longest + 1, longest + 1) float64: how many alignments n slices have with m.

    >>> log_delannoy(4).exp().diagonal()[1:].tolist()
    [1.0, 3.0, 13.0, 63.0]
    """
    table = torch.full((longest + 1, longest + 1), -math.inf, dtype=torch.float64)
    table[1, 1:] = 0.0
    for i in range(2, longest + 1):
        table[i, 1:] = torch.logcumsumexp(torch.logaddexp(table[i - 1, :-1], table[i - 1, 1:]), 0)
    return table


def certified(logs: torch.Tensor, n: torch.Tensor, m: torch.Tensor, single: bool = False) -> torch.Tensor:
    """Where log M is finite and above the cut for lengths n, m (broadcast).

    `single`: M was summed in float32.
    """
    dtype = torch.float32 if single else torch.float64
    cut = (
        math.log(torch.finfo(dtype).tiny)
        + DIGITS[dtype] * math.log(10)
        + torch.log((n * m).double())
        + LOG_SILVER * (n + m)
    )
    return (logs >= cut) & torch.isfinite(logs)


def local_log_kernel(exponent: torch.Tensor, local: str) -> torch.Tensor:
    """log k from exponent = -phi * scale <= 0: "gak" gives log(g / (2 - g)), "exp" the exponent itself."""
    return exponent - torch.log(2 - torch.exp(exponent)) if local == "gak" else exponent


def local_kernel_(exponent: torch.Tensor, local: str) -> torch.Tensor:
    """k from exponent = -phi * scale <= 0, overwriting it: "gak" gives g / (2 - g), "exp" gives g."""
    g = exponent.exp_()
    return g.div_(2 - g) if local == "gak" else g


def kernel_sums(k: torch.Tensor, n: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    """M[n,m] (P,) of M[i,j] = k[i,j] (M[i-1,j-1] + M[i-1,j] + M[i,j-1]) for k (N, M, P) float64.

    May be 0 or inf.
    """
    return corners(k, n, m, 1.0, 0.0, lambda x, y, k: (x + y).mul_(k), torch.addcmul)


def log_kernel_sums(log_k: torch.Tensor, n: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    """log M[n,m] (P,), the same recursion in logs: never 0, inf or nan for finite log_k (N, M, P)."""

    def then(above: torch.Tensor, k: torch.Tensor, left: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        return torch.logaddexp(above, k + left, out=out)

    return corners(log_k, n, m, 0.0, -math.inf, lambda x, y, k: torch.logaddexp(x, y).add_(k), then)


def path_costs(phi: torch.Tensor, n: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    """The least summed cost (P,) from (0, 0) to (n-1, m-1) for phi (N, M, P).

    Inf where forbidden cells (inf) leave no path.
    """

    def then(above: torch.Tensor, c: torch.Tensor, left: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        return torch.minimum(above, c + left, out=out)

    return corners(phi, n, m, 0.0, math.inf, lambda x, y, c: torch.minimum(x, y).add_(c), then)


def corners(
    cells: torch.Tensor,
    n: torch.Tensor,
    m: torch.Tensor,
    start: float,
    nothing: float,
    from_above: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    then: Callable[..., torch.Tensor],
) -> torch.Tensor:
    """The value (P,) at the corner (n-1, m-1) of each pair of cells (N, M, P), row by row.

    start, nothing: the value before the first cell, and of no path. from_above(x, y, cell): what a whole row
    gets from the row above. then(above, cell, left, out=): that and the cell to the left.
    """
    rows, columns, pairs = cells.shape
    previous = cells.new_full((columns + 1, pairs), nothing)
    current = previous.clone()
    previous[0] = start
    result = cells.new_empty(pairs)
    ends = {
        int(length) - 1: (n == length).nonzero()[:, 0] for length in n.unique()
    }  # row -> pairs ending there
    for i in range(rows):
        above = from_above(previous[1:], previous[:-1], cells[i]).unbind()  # M of (P,)
        row, own = current.unbind(), cells[i].unbind()
        row[1].copy_(above[0])
        for j in range(1, columns):
            then(above[j], own[j], row[j], out=row[j + 1])
        if i in ends:
            result[ends[i]] = current[m[ends[i]], ends[i]]
        previous[0] = nothing
        previous, current = current, previous
    return result


def certified_log_sums(
    phi: torch.Tensor, n: torch.Tensor, m: torch.Tensor, scale: torch.Tensor, local: str
) -> tuple[torch.Tensor, int]:
    """(log M (P,), how many pairs were redone in logs) for phi (N, M, P), lengths n, m (P,), scale (P,) in k
    = k(-phi * scale).
    """
    exponent = (phi.double() * -scale).clamp_(max=0)  # (N, M, P)
    log_sums = torch.log(kernel_sums(local_kernel_(exponent, local), n, m))
    redo = (~certified(log_sums, n, m)).nonzero()[:, 0]
    if len(redo):
        exponent = phi[:, :, redo].double() * -scale[redo]
        log_sums[redo] = log_kernel_sums(local_log_kernel(exponent.clamp_(max=0), local), n[redo], m[redo])
    return log_sums, len(redo)
