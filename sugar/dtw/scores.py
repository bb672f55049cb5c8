"""Matrices and single values of GAK, soft-DTW and DTW, over whichever path runs.

The GEMM runs in the type of the input, the recursion in float64. The device of the tensors and the amount of
work choose the path, or `path=` asks for one; nothing is imported until it is used, and what ran is kept in
`last_report()`.

    torch    vectorised over pairs, any device (recursion.py)
    numba    compiled loops on the CPU (compiled.py)
    triton   kernels on CUDA (kernels.py); under TRITON_INTERPRET=1 on the CPU too, slowly, for tests

Not covered: gradients; alignment paths (warping.py); several GPUs.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sugar.errors import AlignmentError

from .packed import PackedSequences, pair_distances
from .recursion import (
    Recursion,
    certified,
    certified_log_sums,
    local_log_kernel,
    log_delannoy,
    log_kernel_sums,
    path_costs,
)
from .slices import Sequence, TwoPart, as_sequence, positive

log = logging.getLogger("sugar")

PATHS = ("torch", "numba", "triton")
LONGEST_ROW = 4096  # slices of a column that the Triton kernels take
NUMBA_FROM = 200_000  # table cells; below, importing numba costs more than it saves
MAX_BYTES = 256 << 20  # working memory of one call, beyond its inputs, their packed copies and its result
MAX_SELF_KERNELS = 64  # distinct bandwidths that packed sequences remember


def cdist_gak(
    dataset1: Any,
    dataset2: Any = None,
    sigma: float = 1.0,
    *,
    delta: float | None = None,
    normalized: bool | str = True,
    log: bool = False,
    path: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """Global Alignment Kernels (N, M) of two datasets, or (N, N) of one with itself; tslearn's `cdist_gak`.

    M[i,j] = k(x_i, y_j) (M[i-1,j-1] + M[i-1,j] + M[i,j-1]), K = M[n,m], k = g / (2 - g), g = exp(-phi(x_i,
    y_j) / (2 sigma^2));
    normalised: K(x,y) / sqrt(K(x,x) K(y,y)), in [0, 1], 1 for equal sequences. n equal slices against one of
    them get at most 1 / sqrt(D(n, n)), .28 for 3 and .0019 for 9; "paths", K(x,y) / D(n, m), the mean over
    alignments, keeps its range over lengths, and is below 1 for a sequence with itself.

    Args:
        dataset1, dataset2: lists of (n_i, D) or `TwoPart`, or `PackedSequences`; or one array or tensor
            (N, L, D) or (N, L), whose rows of nothing but nan at the end of a sequence are padding
            (tslearn's `to_time_series_dataset`).
        normalized: True, "paths", or False for K itself.
        sigma: one bandwidth for all pairs.
        delta: instead, per pair, sigma = delta * sqrt((n + m) / 2) (the paper's).
        log: return log K, exact where K itself is too large or too small for a float.
        path: one of `PATHS`. max_bytes: working memory.
    Returns:
        float64, an array or a tensor as the input was.
    Raises:
        AlignmentError: empty, nan, inf, mismatched dimensions, sigma or delta <= 0, a path that is not there.

    Source: Cuturi, Fast Global Alignment Kernels, ICML 2011.

    >>> cdist_gak([[1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0]], sigma=2.0).round(8)
    array([[1.        , 0.65629661],
           [0.65629661, 1.        ]])
    """
    if delta is not None:
        recursion = Recursion("gak", delta=positive("delta", delta))
    else:
        recursion = Recursion("gak", scale=1 / (2 * positive("sigma", sigma) ** 2))

    if normalized not in (True, False, "paths"):
        raise AlignmentError(f"normalized is {normalized!r}; use True, False or 'paths'.")

    def finish(a: PackedSequences, b: PackedSequences, values: torch.Tensor) -> torch.Tensor:
        if normalized == "paths":
            table = log_delannoy(max(a.longest, b.longest)).to(values.device)
            values -= table[a.lengths[:, None], b.lengths]
        elif normalized:
            if a is b:
                _keep_diagonal(a, values, recursion)
            values -= (_self_log_kernels(a, b, recursion) + _self_log_kernels(b, a, recursion).T) / 2
            if a is b:
                values.fill_diagonal_(0.0)
        return values if log else values.exp_()

    return _matrix(dataset1, dataset2, recursion, path, max_bytes, finish)


def cdist_soft_dtw(
    dataset1: Any,
    dataset2: Any = None,
    gamma: float = 1.0,
    *,
    path: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """soft-DTW (N, M): -gamma log sum over paths of exp(-cost / gamma), costs squared. May be negative.

    It is tslearn's `cdist_soft_dtw` for gamma > 0 (gamma = 0 is `cdist_dtw` squared). Inputs and errors as
    `cdist_gak`. Source: Cuturi and Blondel 2017.

    >>> cdist_soft_dtw([[1, 2, 2, 3]], [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0]]).round(6)
    array([[-0.895444, -1.58128 ]])
    """
    recursion = Recursion("exp", scale=1 / positive("gamma", gamma))
    # the added 0 turns -0.0 into 0.0
    return _matrix(
        dataset1, dataset2, recursion, path, max_bytes, lambda a, b, logs: logs.mul_(-gamma).add_(0.0)
    )


def cdist_dtw(
    dataset1: Any, dataset2: Any = None, *, path: str | None = None, max_bytes: int = MAX_BYTES
) -> Any:
    """DTW (N, M): the root of the least summed slice distance over warping paths; tslearn's `cdist_dtw`.

    Without windows. Inputs and errors as `cdist_gak`.

    >>> cdist_dtw([[1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0]])
    array([[0., 1.],
           [1., 0.]])
    """

    def finish(a: PackedSequences, b: PackedSequences, costs: torch.Tensor) -> torch.Tensor:
        costs.sqrt_()
        return costs.fill_diagonal_(0.0) if a is b else costs

    return _matrix(dataset1, dataset2, Recursion("cost"), path, max_bytes, finish)


def gak(s1: Any, s2: Any, sigma: float = 1.0, **options: Any) -> float:
    """Global Alignment Kernel of two sequences (n, D), (m, D), in float64; tslearn's `gak`. See `cdist_gak`.

    With normalized=False it is tslearn's `unnormalized_gak`.

    >>> round(gak([1, 2, 3], [1.0, 2.0, 2.0, 3.0], sigma=2.0), 6)
    0.839337
    """
    return float(cdist_gak([double(s1)], [double(s2)], sigma, **options)[0, 0])


def soft_dtw(ts1: Any, ts2: Any, gamma: float = 1.0, **options: Any) -> float:
    """soft-DTW of two sequences (n, D), (m, D), in float64; tslearn's `soft_dtw`. See `cdist_soft_dtw`.

    >>> round(soft_dtw([1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0], gamma=1.0), 6)
    -0.895444
    """
    return float(cdist_soft_dtw([double(ts1)], [double(ts2)], gamma, **options)[0, 0])


def dtw(s1: Any, s2: Any, **options: Any) -> float:
    """DTW of two sequences (n, D), (m, D), in float64, a root; tslearn's `dtw`. See `cdist_dtw`.

    >>> dtw([1, 2, 3], [1.0, 2.0, 2.0, 3.0])
    0.0
    """
    return float(cdist_dtw([double(s1)], [double(s2)], **options)[0, 0])


def double(values: Any) -> Sequence:
    """A checked sequence in float64."""
    return as_sequence(values).to(torch.float64)


# Filling a matrix


def _matrix(
    dataset1: Any,
    dataset2: Any,
    recursion: Recursion,
    path: str | None,
    max_bytes: int,
    finish: Callable[[PackedSequences, PackedSequences, torch.Tensor], torch.Tensor],
) -> Any:
    """Pack what is not packed, choose the path, run, and give back the kind that came in.

    finish(a, b, values (A, B)) makes the result from log M (least costs for "cost"), in sorted positions.
    """
    max_bytes = int(positive("max_bytes", max_bytes))
    tensors = any(_holds_tensors(d) for d in (dataset1, dataset2))
    a = _packed(dataset1)
    b = a if dataset2 is None or dataset2 is dataset1 else _packed(dataset2)
    widths = [[p.shape[1] for p in side.parts] for side in (a, b)]
    if widths[0] != widths[1] or a.device != b.device:
        raise AlignmentError(
            f"the datasets do not fit: slices of {widths[0]} numbers on {a.device} against {widths[1]} on "
            f"{b.device}; use one embedder and one device."
        )
    if a is not b and a.parts[0].dtype != b.parts[0].dtype:
        widest = torch.promote_types(a.parts[0].dtype, b.parts[0].dtype)
        a, b = (side if side.parts[0].dtype == widest else side.to(widest) for side in (a, b))
    chosen = choose_path(path, a.device, a.offsets[-1] * b.offsets[-1], b.longest)
    start_report(chosen, a.device)
    values = finish(a, b, _values(a, b, recursion, chosen, max_bytes))
    result = torch.empty_like(values)
    result[a.order[:, None], b.order] = values
    return result if tensors else result.cpu().numpy()


def _holds_tensors(dataset: Any) -> bool:
    """Whether the answer to this dataset should be a tensor."""
    if dataset is None or isinstance(dataset, PackedSequences):
        return False
    if isinstance(dataset, torch.Tensor):
        return True
    try:
        return any(isinstance(s, (torch.Tensor, TwoPart)) for s in dataset)
    except TypeError as error:
        raise AlignmentError(
            f"a dataset is a list of sequences (n, D); got {type(dataset).__name__}."
        ) from error


def _packed(dataset: Any) -> PackedSequences:
    if isinstance(dataset, PackedSequences):
        return dataset
    return PackedSequences.from_list(_unpadded(dataset))


def _unpadded(dataset: Any) -> list[Any]:
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


def _values(
    a: PackedSequences, b: PackedSequences, recursion: Recursion, path: str, max_bytes: int
) -> torch.Tensor:
    """log M (A, B), or least costs for "cost", in sorted positions; each certified or redone in logs."""
    if path == "torch":
        rows, columns = (
            torch.triu_indices(a.count, a.count, device=a.device)
            if a is b
            else torch.cartesian_prod(
                torch.arange(a.count, device=a.device), torch.arange(b.count, device=a.device)
            ).T
        )
        out = torch.empty(a.count, b.count, dtype=torch.float64, device=a.device)
        out[rows, columns] = found = _pairs(a, rows, b, columns, recursion, max_bytes)
        if a is b:
            out[columns, rows] = found
        return out
    if path == "numba":
        from .compiled import cross
    else:
        from .kernels import cross
    values, are_logs = cross(a, b, recursion, max_bytes)
    if recursion.local == "cost" or are_logs:
        count(values.numel())
        return values
    logs = torch.log(values)
    single = path == "triton" and a.parts[0].dtype == torch.float32
    rows, columns = (~certified(logs, a.lengths[:, None], b.lengths, single)).nonzero().T
    count(logs.numel() - len(rows))
    if len(rows):
        logs[rows, columns] = _pairs(a, rows, b, columns, recursion, max_bytes, in_logs=True)
    return logs


def _pairs(
    a: PackedSequences,
    rows: torch.Tensor,
    b: PackedSequences,
    columns: torch.Tensor,
    recursion: Recursion,
    max_bytes: int,
    in_logs: bool = False,
) -> torch.Tensor:
    """log M (Q,), or least costs, of the pairs (rows[q], columns[q]), in chunks of about `max_bytes`.

    in_logs: by the log recursion at once, for pairs that failed the certificate.
    """
    out = torch.empty(len(rows), dtype=torch.float64, device=a.device)
    width = sum(p.shape[1] for p in a.parts)
    step = max(1, max_bytes // (8 * (4 * a.longest * b.longest + width * (a.longest + b.longest))))
    for low in range(0, len(rows), step):
        part = slice(low, low + step)
        n, m = a.lengths[rows[part]], b.lengths[columns[part]]
        phi = pair_distances(a, rows[part], b, columns[part])
        redone = 0
        if recursion.local == "cost":
            out[part] = path_costs(phi.double(), n, m)
        elif in_logs:
            exponent = (phi.double() * -recursion.scales(n, m)).clamp_(max=0)
            out[part] = log_kernel_sums(local_log_kernel(exponent, recursion.local), n, m)
            redone = len(n)
        else:
            out[part], redone = certified_log_sums(phi, n, m, recursion.scales(n, m), recursion.local)
        count(len(n), redone)
    return out


# K(x, x), kept beside packed sequences for the next search


def _keep_diagonal(a: PackedSequences, logs: torch.Tensor, recursion: Recursion) -> None:
    """Remember the self-kernels on the diagonal of log M (A, A), where they have the pair's own bandwidth."""
    if recursion.delta is None or a.longest == int(a.lengths[-1]):
        key = (recursion.scale, recursion.delta, a.longest if recursion.delta else 0)
        a.self_kernels[key] = logs.diagonal().clone()


def _self_log_kernels(a: PackedSequences, b: PackedSequences, recursion: Recursion) -> torch.Tensor:
    """log K(x, x) (A, B), or (A, 1) under one sigma: each of a under the sigma it has against each of b."""
    nothing = torch.zeros(1, dtype=torch.long)
    values, inverse = (nothing, nothing) if recursion.delta is None else b.lengths.unique(return_inverse=True)
    keys = [(recursion.scale, recursion.delta, m) for m in values.tolist()]
    fresh = [key for key in keys if key not in a.self_kernels]
    if fresh:
        computed = _compute_self(a, recursion, [m for *_, m in fresh])
        a.self_kernels.update(zip(fresh, computed.T.contiguous(), strict=True))
    for key in keys:
        a.self_kernels.move_to_end(key)
    table = torch.stack([a.self_kernels[key] for key in keys], 1)
    while len(a.self_kernels) > MAX_SELF_KERNELS:
        a.self_kernels.popitem(last=False)
    return table[:, inverse.to(table.device)]


def _compute_self(a: PackedSequences, recursion: Recursion, others: list[int]) -> torch.Tensor:
    """log K(x, x) (A, S) under the scales that lengths n and each of `others` (S,) give."""
    m = torch.tensor(others, device=a.device)
    out = torch.empty(a.count, len(others), dtype=torch.float64, device=a.device)
    width = sum(p.shape[1] for p in a.parts)
    low = 0
    while low < a.count:
        longest = int(a.lengths[low])  # longest first, so a chunk is nearly of one length
        high = min(a.count, low + max(1, (32 << 20) // (8 * longest * (3 * longest * len(others) + width))))
        positions, n = torch.arange(low, high, device=a.device), a.lengths[low:high]
        phi = pair_distances(a, positions, a, positions)  # (L, L, P)
        phi[torch.arange(longest), torch.arange(longest)] = 0
        phi = phi[:, :, :, None].expand(-1, -1, -1, len(others)).reshape(longest, longest, -1)  # (L, L, P S)
        n_each = n.repeat_interleave(len(others))
        scales = recursion.scales(n[:, None], m).reshape(-1)
        sums, _ = certified_log_sums(phi, n_each, n_each, scales, recursion.local)
        out[low:high] = sums.view(-1, len(others))
        low = high
    return out


# Which path runs


def choose_path(asked: str | None, device: torch.device, cells: int = NUMBA_FROM, longest: int = 1) -> str:
    """The path for tensors of `device`: what was asked for, else triton on CUDA, else numba where it is
    installed and the work is at least NUMBA_FROM table cells, else torch. Columns longer than LONGEST_ROW are
    torch's.

    Raises AlignmentError for an unknown path and for an asked-for path that is not there.
    """
    if asked is not None:
        if asked not in PATHS:
            raise AlignmentError(
                f"path {asked!r} is unknown; choose one of {', '.join(PATHS)}, or None to choose by device."
            )
        reason = _missing(asked, device)
        if asked == "triton" and not reason and longest > LONGEST_ROW:
            reason = f"its rows hold {LONGEST_ROW} slices and the longest sequence has {longest}"
        if reason:
            raise AlignmentError(
                f"path {asked!r} is not there: {reason}; ask for path='torch', or path=None to choose by "
                "device."
            )
        return asked
    if (device.type == "cpu" and cells < NUMBA_FROM) or (device.type == "cuda" and longest > LONGEST_ROW):
        return "torch"
    fastest = "triton" if device.type == "cuda" else "numba"
    return "torch" if _missing(fastest, device) else fastest


def _missing(path: str, device: torch.device) -> str:
    """Why `path` cannot run on tensors of `device`, or "" when it can."""
    if path == "torch":
        return ""
    if importlib.util.find_spec(path) is None:
        return f"the package {path} is not installed (pip install {path})"
    if path == "numba":
        return "" if device.type == "cpu" else f"it works on the CPU and the tensors are on {device}"
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return "" if device.type == "cuda" or interpreted else f"it works on CUDA and the tensors are on {device}"


@dataclass(frozen=True)
class PathReport:
    """What the last call did: path, device, pairs, chunks, and how many pairs were redone in logs."""

    path: str
    device: str
    pairs: int = 0
    chunks: int = 0
    redone: int = 0

    def __str__(self) -> str:
        done = f"{self.pairs} pairs in {self.chunks} chunks, {self.redone} redone in logs"
        return f"{self.path} on {self.device}: {done}"


class _Last(threading.local):
    report: PathReport | None = None


_last = _Last()
_logged: set[tuple[str, str]] = set()


def last_report() -> PathReport:
    """The `PathReport` of this thread's last alignment. Raises AlignmentError before the first."""
    if _last.report is None:
        raise AlignmentError("nothing was aligned in this thread yet; call gak, dtw or another scorer first.")
    return _last.report


def start_report(path: str, device: torch.device) -> None:
    """Begin a call's report; a path that runs for the first time is logged."""
    if (path, str(device)) not in _logged:
        _logged.add((path, str(device)))
        log.info("alignment by %s on %s", path, device)
    _last.report = PathReport(path, str(device))


def count(pairs: int, redone: int = 0) -> None:
    """Add one finished chunk to the report of the call that runs."""
    if _last.report is not None:
        now = _last.report
        _last.report = replace(
            now, pairs=now.pairs + pairs, chunks=now.chunks + 1, redone=now.redone + redone
        )
