"""The numba path: the recursion of `crossed`, compiled for the CPU, with the local kernel computed on the way.

One sequence of a runs against tiles of LANES neighbours of b, which lie side by side in the packed layout, so the innermost loop
is one SIMD loop over pairs: product -> distance -> exp -> kernel -> table cell, all in the first-level cache. Only the GEMM is left to
torch. exp is a polynomial (to 1e-16 for float64 input, 1e-9 for float32), since the library's does not vectorise here.

Imported only when this path runs; the first call of a process costs 1 to 2 s (numba's import and its cache on disk). One thread.
Not covered: the certificate's redo (`pairwise`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import float64, int64, njit
from numba.core import types
from numba.extending import intrinsic

from .crossed import Recursion
from .segment import Segment, phi_rows, products, take
from .slices import TwoPart

LANES = 64
LOG2_E = 1 / math.log(2)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it leaves round(x) in the low bits of the sum
TAYLOR = tuple(1 / math.factorial(i) for i in range(14))
SETTINGS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz"}, "nogil": True, "cache": True}


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
def exp_of(x, fine):
    """exp(x) for x <= 0 without a branch; below -708 it stays at exp(-708), which the certificate's cut is far above."""
    x = max(x, -708.0)
    shifted = x * LOG2_E + ROUND
    whole = shifted - ROUND
    r = (x - whole * LN2_HIGH) - whole * LN2_LOW
    power = float_of((bits_of(shifted) + 1023) << 52)  # type: ignore[call-arg,var-annotated]
    p = 0.0
    if fine:
        p = TAYLOR[13]
        p = p * r + TAYLOR[12]
        p = p * r + TAYLOR[11]
        p = p * r + TAYLOR[10]
        p = p * r + TAYLOR[9]
        p = p * r + TAYLOR[8]
        p = p * r + TAYLOR[7]
    else:
        p = TAYLOR[7]
    p = p * r + TAYLOR[6]
    p = p * r + TAYLOR[5]
    p = p * r + TAYLOR[4]
    p = p * r + TAYLOR[3]
    p = p * r + TAYLOR[2]
    p = p * r + 1.0
    p = p * r + 1.0
    return p * power


@njit(**SETTINGS)
def sum_kernels(dots, squares_a, squares_b, offsets_a, lengths_a, offsets_b, alive_b, lengths_b, scale, delta, gak, fine, upper, out):
    """Fill out (A, B) with M[n,m] in sorted places, from dots (T_a, T_b). scale for all pairs, or delta > 0 for one per pair."""
    count_b = len(lengths_b)
    table = np.empty((lengths_b[0], LANES))
    factor, diagonal, left, kernel = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for a in range(len(lengths_a)):
        n = lengths_a[a]
        first = (a // LANES) * LANES if upper else 0
        for b in range(first, count_b, LANES):
            lanes = min(LANES, count_b - b)
            m = lengths_b[b]
            for lane in range(lanes):
                factor[lane] = -(1.0 / (delta * delta * (n + lengths_b[b + lane])) if delta > 0 else scale)
            for i in range(n):
                row = offsets_a[i] + a
                square = float(squares_a[row])
                for lane in range(lanes):
                    diagonal[lane] = 1.0 if i == 0 else 0.0
                    left[lane] = 0.0
                for j in range(m):
                    base = offsets_b[j] + b
                    wide = min(LANES, alive_b[j] - b)
                    for lane in range(wide):
                        phi = max(square + squares_b[base + lane] - 2.0 * dots[row, base + lane], 0.0)
                        kernel[lane] = exp_of(phi * factor[lane], fine)
                    if gak:
                        for lane in range(wide):
                            kernel[lane] = kernel[lane] / (2.0 - kernel[lane])
                    if i == 0:
                        for lane in range(wide):
                            value = kernel[lane] * (diagonal[lane] + left[lane])
                            diagonal[lane] = 0.0
                            left[lane] = value
                            table[j, lane] = value
                    else:
                        for lane in range(wide):
                            above = table[j, lane]
                            value = kernel[lane] * (diagonal[lane] + above + left[lane])
                            diagonal[lane] = above
                            left[lane] = value
                            table[j, lane] = value
            for lane in range(lanes):
                out[a, b + lane] = table[lengths_b[b + lane] - 1, lane]


@njit(**SETTINGS)
def least_costs(dots, squares_a, squares_b, offsets_a, lengths_a, offsets_b, alive_b, lengths_b, upper, out):
    """Fill out (A, B) with the least summed costs in sorted places: the same walk with min for + and + for *."""
    count_b = len(lengths_b)
    table = np.empty((lengths_b[0], LANES))
    diagonal, left = np.empty(LANES), np.empty(LANES)
    for a in range(len(lengths_a)):
        n = lengths_a[a]
        first = (a // LANES) * LANES if upper else 0
        for b in range(first, count_b, LANES):
            lanes = min(LANES, count_b - b)
            m = lengths_b[b]
            table[:m] = np.inf
            for i in range(n):
                row = offsets_a[i] + a
                square = float(squares_a[row])
                for lane in range(lanes):
                    diagonal[lane] = 0.0 if i == 0 else np.inf
                    left[lane] = np.inf
                for j in range(m):
                    base = offsets_b[j] + b
                    wide = min(LANES, alive_b[j] - b)
                    for lane in range(wide):
                        phi = square + squares_b[base + lane] - 2.0 * dots[row, base + lane]
                        phi = phi if phi > 0.0 else 0.0
                        above = table[j, lane]
                        least = diagonal[lane] if diagonal[lane] < above else above
                        least = least if least < left[lane] else left[lane]
                        value = phi + least
                        diagonal[lane] = above
                        left[lane] = value
                        table[j, lane] = value
            for lane in range(lanes):
                out[a, b + lane] = table[lengths_b[b + lane] - 1, lane]


def cross(a: Segment, b: Segment, recursion: Recursion, max_bytes: int) -> torch.Tensor:
    """(A, B) float64 in sorted places, as `crossed.cross`. Of a segment with itself only tiles on and above the diagonal run."""
    out = torch.empty(a.count, b.count, dtype=torch.float64)
    upper = a is b
    size = a.parts[0].element_size()
    per_sequence = b.offsets[-1] * size * a.longest
    step = max(1, max_bytes // per_sequence)
    step = a.count if step >= a.count else max(LANES, step // LANES * LANES)
    for low in range(0, a.count, step):
        part = a if step >= a.count else part_of(a, low, min(a.count, low + step))
        run(part, b, recursion, upper and part is a, out[low : low + step])
    if upper and step >= a.count:
        lower = torch.tril_indices(a.count, a.count, -1)
        out[lower[0], lower[1]] = out[lower[1], lower[0]]
    return out


def run(a: Segment, b: Segment, recursion: Recursion, upper: bool, out: torch.Tensor) -> None:
    """One GEMM, one compiled call."""
    if isinstance(a.data, TwoPart) or recursion.window is not None:
        phi = phi_rows(a, 0, a.offsets[-1], b)
        if recursion.window is not None:
            recursion.window.forbid_(phi, a, 0, a.longest, b)
        dots, squares_a, squares_b = phi.mul_(-0.5), phi.new_zeros(phi.shape[0]), phi.new_zeros(phi.shape[1])
    else:
        dots, squares_a, squares_b = products(a.parts[0], b.parts[0]), a.squares[0], b.squares[0]
    arrays = (dots.numpy(), squares_a.numpy(), squares_b.numpy())
    shapes = (np.array(a.offsets), a.lengths.numpy(), np.array(b.offsets), np.array(b.alive), b.lengths.numpy())
    if recursion.local == "cost":
        least_costs(*arrays, *shapes, upper, out.numpy())
    else:
        gak, fine = recursion.local == "gak", dots.dtype == torch.float64
        sum_kernels(*arrays, *shapes, recursion.scale, recursion.delta or 0.0, gak, fine, upper, out.numpy())


def part_of(segment: Segment, low: int, high: int) -> Segment:
    """The sequences at sorted places low..high as a segment of their own."""
    lengths = segment.lengths[low:high]
    places = torch.arange(low, high)
    longest_first = [segment.offsets[t] + places[: int((lengths > t).sum())] for t in range(int(lengths[0]))]
    return Segment(take(segment.data, torch.cat(longest_first)), lengths, torch.arange(high - low))


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
