"""The oracle: every alignment in plain float64 loops, a few lines each, in logs where numbers could vanish.

Used by the tests. It takes a matrix phi (n, m) of
slice distances as nested lists or an array, so that the slice distance and the recursion are checked apart.
Not covered: speed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Matrix = Sequence[Sequence[float]]
INF = math.inf


def log_add(*terms: float) -> float:
    """log(sum(exp(terms))), with log(0) = -inf.

    >>> round(log_add(0.0, 0.0, -INF), 6)
    0.693147
    """
    top = max(terms)
    return top if math.isinf(top) else top + math.log(sum(math.exp(t - top) for t in terms))


def log_kernel_sum(log_k: Matrix) -> float:
    """log M[n,m] of M[i,j] = k[i,j] (M[i-1,j-1] + M[i-1,j] + M[i,j-1]), M[0,0] = 1, other borders 0.

    Log_k is (n, m).
    """
    m = len(log_k[0])
    previous = [0.0] + [-INF] * m
    for row in log_k:
        current = [-INF] * (m + 1)
        for j in range(1, m + 1):
            current[j] = row[j - 1] + log_add(previous[j - 1], previous[j], current[j - 1])
        previous = current
    return previous[m]


def log_gak(phi: Matrix, sigma: float) -> float:
    """log of the unnormalised Global Alignment Kernel (Cuturi 2011): k = g / (2 - g), g = exp(-phi / (2
    sigma^2)).

    >>> round(log_gak([[0.0]], 1.0), 6)
    0.0
    """
    log_g = [[-p / (2 * sigma * sigma) for p in row] for row in phi]
    return log_kernel_sum([[lg - math.log(2 - math.exp(lg)) for lg in row] for row in log_g])


def gak(phi_xy: Matrix, phi_xx: Matrix, phi_yy: Matrix, sigma: float) -> float:
    """K(x,y) / sqrt(K(x,x) K(y,y)), all three with one sigma; 1 for equal sequences."""
    return math.exp(log_gak(phi_xy, sigma) - (log_gak(phi_xx, sigma) + log_gak(phi_yy, sigma)) / 2)


def soft_dtw(phi: Matrix, gamma: float) -> float:
    """-gamma log sum over paths of exp(-cost / gamma) (Cuturi and Blondel 2017). May be negative."""
    return -gamma * log_kernel_sum([[-p / gamma for p in row] for row in phi])


def accumulate(phi: Matrix, free_start: bool = False) -> list[list[float]]:
    """R[i][j] = phi[i][j] + min(R[i-1][j-1], R[i-1][j], R[i][j-1]).

    With `free_start` the first row is phi[0] itself.
    """
    table: list[list[float]] = []
    for i, row in enumerate(phi):
        line: list[float] = []
        for j, cost in enumerate(row):
            if i == 0:
                before = 0.0 if (j == 0 or free_start) else line[j - 1]
            else:
                above = table[i - 1]
                before = min(above[j - 1], above[j], line[j - 1]) if j else above[0]
            line.append(cost + before)
        table.append(line)
    return table


def trace(table: Matrix, end: int, free_start: bool = False) -> list[tuple[int, int]]:
    """The path that ends in column `end` of the last row.

    Among equal predecessors: diagonal, then (i-1, j), then (i, j-1).
    """
    i, j = len(table) - 1, end
    path = [(i, j)]
    while i > 0 or (j > 0 and not free_start):
        steps = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        i, j = min((s for s in steps if s[0] >= 0 and s[1] >= 0), key=lambda s: table[s[0]][s[1]])
        path.append((i, j))
    return path[::-1]


def dtw_path(phi: Matrix) -> tuple[list[tuple[int, int]], float]:
    """The cheapest path from (0, 0) to (n-1, m-1) and its SUMMED cost (no root).

    >>> dtw_path([[0.0, 1.0], [1.0, 0.0]])
    ([(0, 0), (1, 1)], 0.0)
    """
    table = accumulate(phi)
    return trace(table, len(phi[0]) - 1), table[-1][-1]


def subsequence_dtw(phi: Matrix, k: int = 1) -> list[tuple[float, list[tuple[int, int]]]]:
    """The k cheapest runs inside the columns, taken greedily, none touching another's columns: (summed cost,
    path) each.
    """
    width = len(phi[0])
    spans = [(0, width)]
    runs: list[tuple[float, list[tuple[int, int]]]] = []
    while spans and len(runs) < k:
        found = []
        for low, high in spans:
            table = accumulate([row[low:high] for row in phi], free_start=True)
            end = min(range(high - low), key=lambda j: table[-1][j])
            found.append(
                (table[-1][end], low, high, [(i, j + low) for i, j in trace(table, end, free_start=True)])
            )
        cost, low, high, path = min(found, key=lambda f: (f[0], f[3][-1][1]))
        runs.append((cost, path))
        spans.remove((low, high))
        spans += [s for s in ((low, path[0][1]), (path[-1][1] + 1, high)) if s[0] < s[1]]
    return runs
