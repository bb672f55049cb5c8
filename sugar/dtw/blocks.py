"""The values of one block, segment against segment: kernel sums in logarithms, least costs, and cached
self-kernels.

Not covered: which blocks a matrix has (matrix.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from . import reference
from .concatenation import rows_of, to_type
from .crossed import Recursion, cross
from .paths import count
from .segment import MAX_SELF_KERNELS, Segment, zipped_phi
from .slices import slice_distance
from .windows import Window
from .zipped import certified, certified_log_sums, local_log_kernel, log_kernel_sums


def log_sums(a: Segment, b: Segment, recursion: Recursion, path: str, max_bytes: int) -> torch.Tensor:
    """log M (A, B) in sorted positions by the chosen path, every pair certified or redone in logs."""
    if path == "reference":
        return by_reference(
            a, b, lambda phi, n, m: reference.log_kernel_sum(reference_kernel(phi, recursion, n, m))
        )
    sums, logs_already = sums_by(path)(a, b, recursion, max_bytes)
    logs = sums if logs_already else torch.log(sums)
    single = path == "triton" and a.parts[0].dtype == torch.float32
    bad = (
        torch.zeros(0, 2)
        if logs_already
        else (~certified(logs, a.lengths[:, None], b.lengths, single)).nonzero()
    )
    if len(bad):
        redo_in_logs(logs, bad, a, b, recursion, max_bytes)
    count(logs.numel(), len(bad))
    return logs


def least_costs(a: Segment, b: Segment, recursion: Recursion, path: str, max_bytes: int) -> torch.Tensor:
    """Least summed costs (A, B) in sorted positions by the chosen path."""
    if path == "reference":
        return by_reference(
            a, b, lambda phi, n, m: reference.accumulate(masked(phi, recursion.window))[-1][-1]
        )
    result, _ = sums_by(path)(a, b, recursion, max_bytes)
    count(result.numel())
    return result


def sums_by(path: str) -> Any:
    """The segment-against-segment function of a path; its module is imported here and nowhere else."""
    if path == "numba":
        from .compiled import cross as compiled_cross

        return compiled_cross
    if path == "triton":
        from .kernels import cross as kernels_cross

        return kernels_cross
    return cross


def redo_in_logs(
    logs: torch.Tensor, bad: torch.Tensor, a: Segment, b: Segment, recursion: Recursion, max_bytes: int
) -> None:
    """Overwrite the uncertified entries `bad` (R, 2) of logs (A, B) by the log recursion, in chunks of
    `max_bytes`.
    """
    width = sum(p.shape[1] for p in a.parts)
    step = max(1, max_bytes // (8 * (4 * a.longest * b.longest + width * (a.longest + b.longest))))
    for chunk in bad.split(step):
        rows, columns = chunk[:, 0], chunk[:, 1]
        n, m = a.lengths[rows], b.lengths[columns]
        exponent = (zipped_phi(a, rows, b, columns).double() * -recursion.scales(n, m)).clamp_(max=0)
        logs[rows, columns] = log_kernel_sums(local_log_kernel(exponent, recursion.local), n, m)


def keep_diagonal(a: Segment, sums: torch.Tensor, recursion: Recursion) -> None:
    """Remember the self-kernels that stand on the diagonal of log M (A, A), where those lengths have the
    pair's own bandwidth.
    """
    if recursion.delta is None or a.longest == int(a.lengths[-1]):
        a.self_kernels[
            recursion.local, recursion.scale, recursion.delta, a.longest if recursion.delta else 0
        ] = sums.diagonal().clone()


def self_log_kernels(a: Segment, b: Segment, recursion: Recursion) -> torch.Tensor:
    """log K(x, x) (A, B), or (A, 1) under one sigma: each of a under the sigma it has against each of b.

    Cached in `a`.
    """
    values, inverse = (
        (torch.zeros(1).long(), torch.zeros(1).long())
        if recursion.delta is None
        else b.lengths.unique(return_inverse=True)
    )
    keys = [(recursion.local, recursion.scale, recursion.delta, m) for m in values.tolist()]
    fresh = [key for key in keys if key not in a.self_kernels]
    if fresh:
        a.self_kernels.update(
            zip(fresh, compute_self(a, recursion, [m for *_, m in fresh]).T.contiguous(), strict=True)
        )
    for key in keys:
        a.self_kernels.move_to_end(key)
    table = torch.stack([a.self_kernels[key] for key in keys], 1)
    while len(a.self_kernels) > MAX_SELF_KERNELS:
        a.self_kernels.popitem(last=False)
    return table[:, inverse.to(table.device)]


def compute_self(a: Segment, recursion: Recursion, others: list[int]) -> torch.Tensor:
    """log K(x, x) (A, S) under the scales that lengths n and each of `others` (S,) give.

    One distance matrix per sequence.
    """
    m = torch.tensor(others, device=a.device)
    out = torch.empty(a.count, len(others), dtype=torch.float64, device=a.device)
    width = sum(p.shape[1] for p in a.parts)
    low = 0
    while low < a.count:
        longest = int(a.lengths[low])  # longest first, so a chunk is nearly of one length
        high = min(a.count, low + max(1, (32 << 20) // (8 * longest * (3 * longest * len(others) + width))))
        positions, n = torch.arange(low, high, device=a.device), a.lengths[low:high]
        phi = zipped_phi(a, positions, a, positions)  # (L, L, P)
        phi[torch.arange(longest), torch.arange(longest)] = 0
        phi = phi[:, :, :, None].expand(-1, -1, -1, len(others)).reshape(longest, longest, -1)  # (L, L, P S)
        n_each = n.repeat_interleave(len(others))
        sums, _ = certified_log_sums(
            phi, n_each, n_each, recursion.scales(n[:, None], m).reshape(-1), recursion.local
        )
        out[low:high] = sums.view(-1, len(others))
        low = high
    return out


def by_reference(a: Segment, b: Segment, value: Any) -> torch.Tensor:
    """(A, B) of value(phi, n, m) by the float64 loops, one pair at a time."""
    out = torch.empty(a.count, b.count, dtype=torch.float64, device=a.device)
    for i in range(a.count):
        x = to_type(rows_of(a.data, a.rows_of(i)), torch.float64)
        for j in range(b.count):
            phi = slice_distance(x, to_type(rows_of(b.data, b.rows_of(j)), torch.float64))
            out[i, j] = value(phi.cpu().numpy(), len(x), phi.shape[1])
    count(out.numel())
    return out


def reference_kernel(phi: np.ndarray, recursion: Recursion, n: int, m: int) -> list[list[float]]:
    """log k (n, m) for the reference."""
    exponent = torch.from_numpy(phi) * -recursion.scales(n, torch.tensor(m))
    return local_log_kernel(exponent, recursion.local).tolist()


def masked(phi: np.ndarray, window: Window | None) -> Any:
    """phi with inf outside the window."""
    return phi if window is None else np.where(window.mask(*phi.shape).numpy(), phi, math.inf)
