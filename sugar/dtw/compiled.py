"""The numba path: the recursion compiled for the CPU, with the local kernel computed on the way.

One sequence of a runs against tiles of LANES neighbours of b, which lie side by side in the packed layout, so
the innermost loop is one SIMD loop over pairs: product -> distance -> exp -> kernel -> table cell, all in the
first-level cache. Only the GEMM is left to torch. exp is a polynomial (to 1e-16 for float64 input, 1e-9 for
float32), since the library's does not vectorise here.

Imported only when this path runs; the first call of a process costs 1 to 2 s (numba's import and its cache on
disk). One thread.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import float64, int64, njit
from numba.core import types
from numba.extending import intrinsic

from .packed import PackedSequences, products_and_squares
from .recursion import Recursion

LANES = 256  # a tile; up to so many sequences, a table row is one strip of memory and its kernels one loop
CACHED_BYTES = 16 << 20  # products at a time: a third-level cache's share
LOG2_E = 1 / math.log(2)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it leaves round(x) in the low bits of the sum
TAYLOR = tuple(1 / math.factorial(i) for i in range(14))
SETTINGS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
    "nogil": True,
    "cache": True,
}


@intrinsic
def bits_of(_context: Any, value: Any) -> Any:
    """The 64 bits of a float64 as an int64."""

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(int64))

    return types.int64(types.float64), build


@intrinsic
def float_of(_context: Any, bits: Any) -> Any:
    """The float64 that 64 bits spell."""

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(float64))

    return types.float64(types.int64), build


@njit(inline="always", **SETTINGS)
def power_of_e(x, p):
    """exp(x) from p, the series of exp at the remainder of x: p 2^round(x / ln 2)."""
    return p * float_of((bits_of(x * LOG2_E + ROUND) + 1023) << 52)  # type: ignore[call-arg]


@njit(inline="always", **SETTINGS)
def remainder(x):
    """x - ln 2 round(x / ln 2), in +-0.35."""
    whole = (x * LOG2_E + ROUND) - ROUND
    return (x - whole * LN2_HIGH) - whole * LN2_LOW


@njit(inline="always", **SETTINGS)
def tail(r, p):
    """The last terms of the series: p r^7 + r^6 / 6! + ... + 1."""
    p = p * r + TAYLOR[6]
    p = p * r + TAYLOR[5]
    p = p * r + TAYLOR[4]
    p = p * r + TAYLOR[3]
    p = p * r + TAYLOR[2]
    p = p * r + 1.0
    return p * r + 1.0


@njit(inline="always", **SETTINGS)
def head(r):
    """The terms that float64 input needs before `tail`."""
    p = TAYLOR[13]
    p = p * r + TAYLOR[12]
    p = p * r + TAYLOR[11]
    p = p * r + TAYLOR[10]
    p = p * r + TAYLOR[9]
    p = p * r + TAYLOR[8]
    return p * r + TAYLOR[7]


@njit(inline="always", **SETTINGS)
def exponent(square, squares, dots, factor):
    """-phi * scale of one cell, held at -708: exp(-708) is far below every cut of the certificate."""
    phi = square + squares - 2.0 * dots
    x = (phi if phi > 0.0 else 0.0) * factor
    return x if x > -708.0 else -708.0


@njit(**SETTINGS)
def local_kernels(kernel, square, squares, dots, factor, gak, fine):
    """kernel (w,) of one cell of w pairs.

    Exp without a branch or a table, so that the loops are SIMD loops.
    """
    if fine:
        for lane in range(len(dots)):
            x = exponent(square, squares[lane], dots[lane], factor[lane])
            r = remainder(x)
            kernel[lane] = power_of_e(x, tail(r, head(r)))
    else:
        for lane in range(len(dots)):
            x = exponent(square, squares[lane], dots[lane], factor[lane])
            kernel[lane] = power_of_e(x, tail(remainder(x), TAYLOR[7]))
    if gak:
        for lane in range(len(dots)):
            kernel[lane] = kernel[lane] / (2.0 - kernel[lane])


@njit(**SETTINGS)
def sum_kernels(
    dots,
    squares_a,
    squares_b,
    offsets_a,
    lengths_a,
    offsets_b,
    alive_b,
    lengths_b,
    scale,
    delta,
    gak,
    fine,
    out,
):
    """Fill out (A, B) with M[n,m] in sorted positions, from dots (T_a, T_b).

    Scale for all pairs, or delta > 0 for one per pair.
    """
    one_tile = len(lengths_b) <= LANES
    width = len(squares_b) if one_tile else LANES
    table, kernel, factor = np.empty((lengths_b[0], LANES)), np.empty(width), np.empty(width)
    diagonal, left = np.empty(LANES), np.empty(LANES)
    for a in range(len(lengths_a)):
        n = lengths_a[a]
        for b in range(0, len(lengths_b), LANES):
            lengths = lengths_b[b : b + LANES]
            for j in range(lengths[0] if one_tile else 1):
                for lane in range(alive_b[j] if one_tile else len(lengths)):
                    factor[lane + offsets_b[j]] = -(
                        1.0 / (delta * delta * (n + lengths[lane])) if delta > 0 else scale
                    )
            table[: lengths[0]] = 0.0
            for i in range(n):
                row = offsets_a[i] + a
                square = float(squares_a[row])
                diagonal[:] = 1.0 if i == 0 else 0.0
                left[:] = 0.0
                if one_tile:
                    local_kernels(kernel, square, squares_b, dots[row], factor, gak, fine)
                for j in range(lengths[0]):
                    base = offsets_b[j] + b
                    wide = min(LANES, alive_b[j] - b)
                    if not one_tile:
                        local_kernels(
                            kernel,
                            square,
                            squares_b[base : base + wide],
                            dots[row, base : base + wide],
                            factor,
                            gak,
                            fine,
                        )
                    k, cell = kernel[base : base + wide] if one_tile else kernel[:wide], table[j]
                    for lane in range(wide):
                        above = cell[lane]
                        value = k[lane] * (diagonal[lane] + above + left[lane])
                        diagonal[lane] = above
                        left[lane] = value
                        cell[lane] = value
            for lane in range(len(lengths)):
                out[a, b + lane] = table[lengths[lane] - 1, lane]


@njit(**SETTINGS)
def least_costs(dots, squares_a, squares_b, offsets_a, lengths_a, offsets_b, alive_b, lengths_b, out):
    """Fill out (A, B) with the least summed costs in sorted positions: the same walk with min for + and + for
    *.
    """
    table, diagonal, left = np.empty((lengths_b[0], LANES)), np.empty(LANES), np.empty(LANES)
    for a in range(len(lengths_a)):
        for b in range(0, len(lengths_b), LANES):
            lengths = lengths_b[b : b + LANES]
            table[: lengths[0]] = np.inf
            for i in range(lengths_a[a]):
                row = offsets_a[i] + a
                square = float(squares_a[row])
                diagonal[:] = 0.0 if i == 0 else np.inf
                left[:] = np.inf
                for j in range(lengths[0]):
                    base = offsets_b[j] + b
                    wide = min(LANES, alive_b[j] - b)
                    squares, products_row, cell = (
                        squares_b[base : base + wide],
                        dots[row, base : base + wide],
                        table[j],
                    )
                    for lane in range(wide):
                        phi = square + squares[lane] - 2.0 * products_row[lane]
                        phi = phi if phi > 0.0 else 0.0
                        above = cell[lane]
                        least = diagonal[lane] if diagonal[lane] < above else above
                        least = least if least < left[lane] else left[lane]
                        diagonal[lane] = above
                        left[lane] = phi + least
                        cell[lane] = phi + least
            for lane in range(len(lengths)):
                out[a, b + lane] = table[lengths[lane] - 1, lane]


@njit(**SETTINGS)
def log_sums(exponents, n, m, gak, floors, out):
    """Fill out (P,) with log M[n,m], the recursion in logs, from exponents -phi * scale (N, M, P).

    Where no row can lead to more than floors (P,) any more, -inf: the sum will be 0 in a float.
    """
    for p in range(len(n)):
        row = np.full(m[p] + 1, -np.inf)
        row[0] = 0.0
        for i in range(n[p]):
            diagonal, best = row[0], -np.inf
            row[0] = -np.inf
            for j in range(m[p]):
                x = exponents[i, j, p]
                above, left = row[j + 1], row[j]
                top = max(diagonal, above, left)
                value = -np.inf
                if top > -np.inf:
                    k = x - math.log(2.0 - math.exp(x)) if gak else x
                    sums = math.exp(diagonal - top) + math.exp(above - top) + math.exp(left - top)
                    value = k + top + math.log(sums)
                diagonal = above
                row[j + 1] = value
                best = max(best, value)
            if best < floors[p]:
                row[m[p]] = -np.inf
                break
        out[p] = row[m[p]]


def cross(
    a: PackedSequences, b: PackedSequences, recursion: Recursion, max_bytes: int
) -> tuple[torch.Tensor, bool]:
    """((A, B) float64 in sorted positions, False): kernel sums M, which may be 0, inf or nan, or least costs.

    Some sequences of a at a time, so that products stay in the cache: at most max_bytes of them, or those of
    one sequence. Of a data set with itself, each pair is computed once.
    """
    out = torch.empty(a.count, b.count, dtype=torch.float64)
    per_sequence = b.offsets[-1] * a.parts[0].element_size() * a.longest
    step = min(a.count, max(1, min(max_bytes, CACHED_BYTES) // per_sequence))
    for low in range(0, a.count, step):
        high = min(a.count, low + step)
        rows = a if step == a.count else a.part(low, high)
        columns = b.part(low, b.count) if a is b and low else b
        values = run(rows, columns, recursion, a is b)
        if a is b:
            out[low:, low:high] = values.T
            out[low:high, low:] = values
        else:
            out[low:high] = values
    return out, False


def run(a: PackedSequences, b: PackedSequences, recursion: Recursion, same: bool) -> torch.Tensor:
    """(A, B) by one GEMM and one compiled call.

    `same`: the first sequences of b are those of a, at distance 0 slice by slice.
    """
    dots, squares_a, squares_b = products_and_squares(a, b)
    if same:
        twins = torch.cat([b.offsets[t] + torch.arange(alive) for t, alive in enumerate(a.alive)])
        dots[torch.arange(len(twins)), twins] = squares_a
    out = torch.empty(a.count, b.count, dtype=torch.float64)
    arrays = (dots.numpy(), squares_a.numpy(), squares_b.numpy())
    shapes = (
        np.array(a.offsets),
        a.lengths.numpy(),
        np.array(b.offsets),
        np.array(b.alive),
        b.lengths.numpy(),
    )
    if recursion.local == "cost":
        least_costs(*arrays, *shapes, out.numpy())
    else:
        gak, fine = recursion.local == "gak", dots.dtype == torch.float64
        sum_kernels(*arrays, *shapes, recursion.scale, recursion.delta or 0.0, gak, fine, out.numpy())
    return out


@njit(**SETTINGS)
def search_table(phi):
    """R (n, N) with a free start for phi (n, N): row by row."""
    n, width = phi.shape
    table = np.empty((n, width))
    for j in range(width):
        table[0, j] = phi[0, j]
    for i in range(1, n):
        before = table[i - 1, 0] + phi[i, 0]
        table[i, 0] = before
        for j in range(1, width):
            least = min(table[i - 1, j - 1], table[i - 1, j])
            before = phi[i, j] + min(least, before)
            table[i, j] = before
    return table
