"""The CUDA path: Triton kernels over the packed layout; the products of the slices stay with cuBLAS.

`short_rows`, for columns of at most 16 slices: a lane is a pair, the table row a tuple of registers, every
load coalesced since the pairs of one cell lie side by side. Linear domain, so the certificate applies with
the smallest number of the float type. `long_rows`: M[j] = k[j] (u[j] + M[j-1]) is a first-order recurrence
along j, so an associative scan does a whole row of some pairs at once, in logs (kernels) or min-plus (costs):
nothing can underflow, nothing is redone.

Both compute in the type of the products (float32 or float64). Imported only when this path runs: on CUDA, or
in tests under TRITON_INTERPRET=1. Not covered: rows beyond LONGEST_ROW slices (path "torch" takes them); a
fused GEMM.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl

from .packed import PackedSequences, products_and_squares
from .recursion import Recursion

SHORT_ROW = 16
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
PAIRS = 4 if INTERPRETED else 128  # pairs per program of short_rows
TILE = 64 if INTERPRETED else 1024  # numbers per program of long_rows; the interpreter scans one by one
GRID_Y = 65_535  # programs along a grid's second axis, and so sequences of a in one launch
LOCALS = {"gak": 0, "exp": 1, "cost": 2}
FAR = tl.constexpr(1e30)  # stands for infinity: inf - inf would be nan


@triton.jit
def slice_distance(dots, squares_b, at, column, square, inside):
    """phi = |a|^2 + |b|^2 - 2ab of one cell, clamped at 0; 0 outside."""
    dot = tl.load(dots + at + column, mask=inside, other=0.0)
    return tl.maximum(square + tl.load(squares_b + column, mask=inside, other=0.0) - 2.0 * dot, 0.0)


@triton.jit
def pair_scale(settings, n, m, PER_PAIR: tl.constexpr):
    """1 / (2 sigma^2) from settings (scale, delta): one for all pairs, or 1 / (delta^2 (n + m))."""
    delta = tl.load(settings + 1)
    per_pair = 1.0 / (delta * delta * (n + m).to(delta.dtype))
    return per_pair if PER_PAIR else tl.zeros_like(per_pair) + tl.load(settings)


@triton.jit
def short_rows(
    dots,
    squares_a,
    squares_b,
    offsets_a,
    lengths_a,
    offsets_b,
    lengths_b,
    out,
    settings,
    width,
    count_b,
    LOCAL: tl.constexpr,
    PER_PAIR: tl.constexpr,
    COLUMNS: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """out (A, B): M[n,m] (LOCAL 0, 1) or the least cost (2) of sequence program_id(1) of a against PAIRS
    sequences of b.
    """
    a = tl.program_id(1)
    b = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    n = tl.load(lengths_a + a)
    m = tl.load(lengths_b + b, mask=b < count_b, other=0)
    factor = pair_scale(settings, n, m, PER_PAIR)
    kind = dots.dtype.element_ty
    nothing = tl.full((PAIRS,), FAR if LOCAL == 2 else 0.0, kind)
    row = (nothing,)
    for _ in tl.static_range(COLUMNS - 1):
        row = row + (nothing,)  # type: ignore[assignment]
    diagonal = tl.full((PAIRS,), 0.0 if LOCAL == 2 else 1.0, kind)
    for i in range(n):
        line = tl.load(offsets_a + i).to(tl.int64) + a
        square = tl.load(squares_a + line)
        left = nothing
        new = ()
        for j in tl.static_range(COLUMNS):
            phi = slice_distance(dots, squares_b, line * width, tl.load(offsets_b + j) + b, square, j < m)
            if LOCAL == 2:
                value = phi + tl.minimum(tl.minimum(diagonal, row[j]), left)
            else:
                k = tl.exp(-phi * factor).to(kind)
                if LOCAL == 0:
                    k = k / (2.0 - k)
                value = k * (diagonal + row[j] + left)
            diagonal = row[j]
            left = value
            new = new + (value,)  # type: ignore[assignment]
        row = new  # type: ignore[assignment]
        diagonal = nothing
    result = row[0]
    for j in tl.static_range(1, COLUMNS):
        result = tl.where(m == j + 1, row[j], result)
    tl.store(out + a.to(tl.int64) * count_b + b, result, mask=b < count_b)


@triton.jit
def log_add(x, y):
    """log(exp x + exp y)."""
    top = tl.maximum(x, y)
    return top + tl.log(1.0 + tl.exp(tl.minimum(x, y) - top))


@triton.jit
def then_log(k1, u1, k2, u2):
    """Two steps L -> log(exp(k + L) + exp u), one after the other, as one."""
    return k1 + k2, log_add(k2 + u1, u2)


@triton.jit
def then_least(c1, u1, c2, u2):
    """Two steps R -> min(c + R, u), one after the other, as one."""
    return c1 + c2, tl.minimum(c2 + u1, u2)


@triton.jit
def long_rows(
    dots,
    squares_a,
    squares_b,
    offsets_a,
    lengths_a,
    offsets_b,
    lengths_b,
    out,
    settings,
    width,
    count_b,
    LOCAL: tl.constexpr,
    PER_PAIR: tl.constexpr,
    COLUMNS: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """out (A, B): log M[n,m] (LOCAL 0, 1) or the least cost (2) of sequence program_id(1) of a against PAIRS
    sequences of b.
    """
    a = tl.program_id(1)
    b = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    j = tl.arange(0, COLUMNS)
    n = tl.load(lengths_a + a)
    m = tl.load(lengths_b + b, mask=b < count_b, other=0)
    factor = pair_scale(settings, n, m, PER_PAIR)
    kind = dots.dtype.element_ty
    far = FAR if LOCAL == 2 else -FAR
    inside = j[None, :] < m[:, None]  # (PAIRS, COLUMNS)
    column = tl.load(offsets_b + j)[None, :] + b[:, None]
    before = tl.broadcast_to(tl.maximum(j - 1, 0)[None, :], (PAIRS, COLUMNS))
    row = tl.full((PAIRS, COLUMNS), far, kind)
    for i in range(n):
        line = tl.load(offsets_a + i).to(tl.int64) + a
        phi = slice_distance(dots, squares_b, line * width, column, tl.load(squares_a + line), inside)
        border = tl.where(i == 0, 0.0, far).to(kind)
        diagonal = tl.where(j[None, :] == 0, border, tl.gather(row, before, 1))
        if LOCAL == 2:
            _, row = tl.associative_scan((phi, phi + tl.minimum(diagonal, row)), 1, then_least)
        else:
            log_k = (-phi * factor[:, None]).to(kind)
            if LOCAL == 0:
                log_k = log_k - tl.log(2.0 - tl.exp(log_k))
            _, row = tl.associative_scan((log_k, log_k + log_add(diagonal, row)), 1, then_log)
    result = tl.sum(tl.where(j[None, :] == m[:, None] - 1, row, 0.0), 1)
    tl.store(out + a.to(tl.int64) * count_b + b, result, mask=b < count_b)


def launch_plan(longest: int) -> tuple[Any, int, int]:
    """(kernel, COLUMNS, PAIRS) for columns of at most `longest` slices."""
    columns = max(2, triton.next_power_of_2(longest))
    return (
        (short_rows, columns, PAIRS)
        if columns <= SHORT_ROW
        else (long_rows, columns, max(1, TILE // columns))
    )


def cross(
    a: PackedSequences, b: PackedSequences, recursion: Recursion, max_bytes: int
) -> tuple[torch.Tensor, bool]:
    """((A, B) float64 in sorted positions, whether they are logs already): kernel sums or least costs."""
    out = torch.empty(a.count, b.count, dtype=a.parts[0].dtype, device=a.device)
    settings = torch.tensor(
        [recursion.scale, recursion.delta or 1.0], dtype=out.dtype, device=a.device
    )  # a number would pass as float32
    kernel, columns, pairs = launch_plan(b.longest)
    step = min(a.count, GRID_Y, max(1, max_bytes // (b.offsets[-1] * a.parts[0].element_size() * a.longest)))
    offsets_b = torch.tensor(b.offsets[:-1] + [0] * (columns - b.longest), device=a.device)
    with torch.cuda.device(a.device) if a.device.type == "cuda" else nullcontext():
        for low in range(0, a.count, step):
            part = a if step == a.count else a.part(low, min(a.count, low + step))
            dots, squares_a, squares_b = products_and_squares(part, b)
            kernel[triton.cdiv(b.count, pairs), part.count](
                dots,
                squares_a,
                squares_b,
                torch.tensor(part.offsets, device=a.device),
                part.lengths,
                offsets_b,
                b.lengths,
                out[low : low + step],
                settings,
                dots.shape[1],
                b.count,
                LOCAL=LOCALS[recursion.local],
                PER_PAIR=recursion.delta is not None,
                COLUMNS=columns,
                PAIRS=pairs,
            )
    return out.double(), kernel is long_rows and recursion.local != "cost"
