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
import math
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
    LOG_SILVER,
    Recursion,
    certified,
    certified_log_sums,
    local_log_kernel,
    log_delannoy,
    log_kernel_sums,
    path_costs,
)
from .slices import Sequence, TwoPart, as_sequence, bandwidth, join, positive

log = logging.getLogger("sugar")

PATHS = ("torch", "numba", "triton")
LONGEST_ROW = 1024  # slices of a column that the Triton kernels take; 4,096 take a minute to compile
NUMBA_FROM = 200_000  # table cells; below, importing numba costs more than it saves
STEP_COST = 20  # a step of torch's loop over the cells of a table, in cells of numba's
MAX_BYTES = 256 << 20  # working memory of one call, beyond its inputs, their packed copies and its result
UNDERFLOW = -746.0  # exp of it is 0 in float64
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
    n_jobs: Any = None,
    verbose: int = 0,
    be: Any = None,
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
        n_jobs, verbose, be: tslearn's, accepted and without effect; what comes back is what came in.
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
        recursion = Recursion("gak", delta=bandwidth("delta", delta))
    else:
        recursion = Recursion("gak", scale=1 / (2 * bandwidth("sigma", sigma) ** 2))

    if normalized not in (True, False, "paths"):
        raise AlignmentError(f"normalized is {normalized!r}; use True, False or 'paths'.")

    def finish(a: PackedSequences, b: PackedSequences, values: torch.Tensor, path: str) -> torch.Tensor:
        if normalized == "paths":
            table = log_delannoy(max(a.longest, b.longest)).to(values.device)
            values -= table[a.lengths[:, None], b.lengths]
        elif normalized:
            if a is b:
                _keep_diagonal(a, values, recursion)
            own, other = _self_log_kernels(a, b, recursion, path), _self_log_kernels(b, a, recursion, path)
            values -= (own + other.T) / 2
            if a is b:
                values.fill_diagonal_(0.0)
        return values if log else values.exp_()

    # a self-kernel is at least 1 and D at least 1, so below this every kind of K is 0 in a float
    return _matrix(dataset1, dataset2, recursion, path, max_bytes, finish, -math.inf if log else UNDERFLOW)


def cdist_soft_dtw(
    dataset1: Any,
    dataset2: Any = None,
    gamma: float = 1.0,
    *,
    path: str | None = None,
    max_bytes: int = MAX_BYTES,
    n_jobs: Any = None,
    verbose: int = 0,
    be: Any = None,
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
        dataset1, dataset2, recursion, path, max_bytes, lambda a, b, logs, _: logs.mul_(-gamma).add_(0.0)
    )


def cdist_dtw(
    dataset1: Any,
    dataset2: Any = None,
    *,
    path: str | None = None,
    max_bytes: int = MAX_BYTES,
    n_jobs: Any = None,
    verbose: int = 0,
    be: Any = None,
) -> Any:
    """DTW (N, M): the root of the least summed slice distance over warping paths; tslearn's `cdist_dtw`.

    Without windows. Inputs and errors as `cdist_gak`.

    >>> cdist_dtw([[1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0]])
    array([[0., 1.],
           [1., 0.]])
    """

    def finish(a: PackedSequences, b: PackedSequences, costs: torch.Tensor, _: str) -> torch.Tensor:
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


def soft_dtw(s1: Any, s2: Any, gamma: float = 1.0, **options: Any) -> float:
    """soft-DTW of two sequences (n, D), (m, D), in float64; tslearn's `soft_dtw`. See `cdist_soft_dtw`.

    >>> round(soft_dtw([1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0], gamma=1.0), 6)
    -0.895444
    """
    return float(cdist_soft_dtw([double(s1)], [double(s2)], gamma, **options)[0, 0])


def dtw(s1: Any, s2: Any, **options: Any) -> float:
    """DTW of two sequences (n, D), (m, D), in float64, a root; tslearn's `dtw`. See `cdist_dtw`.

    >>> dtw([1, 2, 3], [1.0, 2.0, 2.0, 3.0])
    0.0
    """
    return float(cdist_dtw([double(s1)], [double(s2)], **options)[0, 0])


def sigma_gak(dataset: Any, n_samples: int = 100, random_state: Any = None, be: Any = None) -> float:
    """A bandwidth for `cdist_gak`: the median distance of sampled slices, times the root of the longest
    length (Cuturi 2011); tslearn's `sigma_gak`, with its draws for one `random_state`.

    >>> round(sigma_gak([[1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0]], n_samples=200, random_state=0), 6)
    2.0
    """
    sequences = [double(s) for s in _unpadded(dataset)]
    rows = join(sequences)
    if isinstance(rows, TwoPart):
        raise AlignmentError("sigma_gak takes plain sequences; a two-part one has distances of three kinds.")
    state = random_state if hasattr(random_state, "choice") else np.random.RandomState(random_state)
    chosen = torch.from_numpy(state.choice(len(rows), size=n_samples, replace=len(rows) < n_samples))
    distances = torch.pdist(rows.cpu()[chosen])
    return float(np.median(distances.numpy())) * max(len(s) for s in sequences) ** 0.5


def gamma_soft_dtw(dataset: Any, n_samples: int = 100, random_state: Any = None, be: Any = None) -> float:
    """A gamma for `cdist_soft_dtw`: 2 sigma^2 of `sigma_gak`; tslearn's `gamma_soft_dtw`.

    >>> round(gamma_soft_dtw([[1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0]], n_samples=200, random_state=0), 6)
    8.0
    """
    return 2 * sigma_gak(dataset, n_samples, random_state) ** 2


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
    finish: Callable[[PackedSequences, PackedSequences, torch.Tensor, str], torch.Tensor],
    floor: float = -math.inf,
) -> Any:
    """Pack what is not packed, choose the path, run, and give back the kind that came in.

    finish(a, b, values (A, B), path) makes the result from log M (least costs for "cost"), in sorted
    positions.
    floor: log M below it may come as -inf.
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
    cells = max(a.offsets[-1] * b.offsets[-1], STEP_COST * a.longest * b.longest)
    chosen = choose_path(path, a.device, cells, b.longest)
    start_report(chosen, a.device)
    values = finish(a, b, _values(a, b, recursion, chosen, max_bytes, floor), chosen)
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
    a: PackedSequences, b: PackedSequences, recursion: Recursion, path: str, max_bytes: int, floor: float
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
        logs[rows, columns] = _pairs(a, rows, b, columns, recursion, max_bytes, path, floor)
    return logs


def _pairs(
    a: PackedSequences,
    rows: torch.Tensor,
    b: PackedSequences,
    columns: torch.Tensor,
    recursion: Recursion,
    max_bytes: int,
    failed: str = "",
    floor: float = -math.inf,
) -> torch.Tensor:
    """log M (Q,), or least costs, of the pairs (rows[q], columns[q]), in chunks of about `max_bytes`.

    failed: the path by whose sums they failed the certificate; then by the log recursion at once.
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
        elif failed:
            exponent = (phi.double() * -recursion.scales(n, m)).clamp_(max=0)
            out[part] = _sums_in_logs(exponent, n, m, recursion.local, failed, floor)
            redone = len(n)
        else:
            out[part], redone = certified_log_sums(phi, n, m, recursion.scales(n, m), recursion.local)
        count(len(n), redone)
    return out


def _sums_in_logs(
    exponent: torch.Tensor,
    n: torch.Tensor,
    m: torch.Tensor,
    local: str,
    path: str,
    floor: float = -math.inf,
) -> torch.Tensor:
    """log M (P,) by the log recursion, from exponents -phi * scale <= 0 (N, M, P); -inf where below
    `floor`, if that ends the work early."""
    if path != "numba":
        return log_kernel_sums(local_log_kernel(exponent, local), n, m)
    from .compiled import log_sums

    out = torch.empty(len(n), dtype=torch.float64)
    floors = (floor - LOG_SILVER * (n + m)).double()  # a row's sums may still grow by Delannoy's number
    log_sums(exponent.numpy(), n.numpy(), m.numpy(), local == "gak", floors.numpy(), out.numpy())
    return out


# K(x, x), kept beside packed sequences for the next search


def _keep_diagonal(a: PackedSequences, logs: torch.Tensor, recursion: Recursion) -> None:
    """Remember the self-kernels on the diagonal of log M (A, A), where they have the pair's own bandwidth."""
    if recursion.delta is None or a.longest == int(a.lengths[-1]):
        key = (recursion.scale, recursion.delta, a.longest if recursion.delta else 0)
        a.self_kernels[key] = logs.diagonal().clone()


def _self_log_kernels(
    a: PackedSequences, b: PackedSequences, recursion: Recursion, path: str
) -> torch.Tensor:
    """log K(x, x) (A, B), or (A, 1) under one sigma: each of a under the sigma it has against each of b."""
    nothing = torch.zeros(1, dtype=torch.long)
    values, inverse = (nothing, nothing) if recursion.delta is None else b.lengths.unique(return_inverse=True)
    keys = [(recursion.scale, recursion.delta, m) for m in values.tolist()]
    fresh = [key for key in keys if key not in a.self_kernels]
    if fresh:
        computed = _compute_self(a, recursion, [m for *_, m in fresh], path)
        a.self_kernels.update(zip(fresh, computed.T.contiguous(), strict=True))
    for key in keys:
        a.self_kernels.move_to_end(key)
    table = torch.stack([a.self_kernels[key] for key in keys], 1)
    while len(a.self_kernels) > MAX_SELF_KERNELS:
        a.self_kernels.popitem(last=False)
    return table[:, inverse.to(table.device)]


def _compute_self(a: PackedSequences, recursion: Recursion, others: list[int], path: str) -> torch.Tensor:
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
        if path == "numba":
            sums = _sums_in_logs(
                (phi.double() * -scales).clamp_(max=0), n_each, n_each, recursion.local, path
            )
        else:
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
        reason = _missing(asked, device, longest)
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
    return "torch" if _missing(fastest, device, longest) else fastest


def _missing(path: str, device: torch.device, longest: int = 1) -> str:
    """Why `path` cannot run on tensors of `device`, or "" when it can."""
    if path == "torch":
        return ""
    if importlib.util.find_spec(path) is None:
        return f"the package {path} is not installed (pip install {path})"
    if path == "numba":
        return "" if device.type == "cpu" else f"it works on the CPU and the tensors are on {device}"
    if device.type == "cuda":
        return _fault_of_triton(device, longest > 16)
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return "" if interpreted else f"it works on CUDA and the tensors are on {device}"


_faults: dict[bool, str] = {}
"""By whether rows are long: what is wrong with the Triton kernels on this machine, "" for nothing."""


def path_fault() -> str:
    """Why the Triton kernels are not used although the card is there, for the page; "" where nothing is
    wrong."""
    return next((reason for reason in _faults.values() if reason), "")


def _fault_of_triton(device: torch.device, long: bool) -> str:
    """What is wrong with a Triton kernel, found at its first use in a process: 64 pairs against torch."""
    if long not in _faults:
        rng = np.random.default_rng(0)
        sides = []
        for _ in range(2):
            rows = [rng.normal(size=(n + 12 * long, 8)) for n in range(1, 9)]
            unit = [torch.from_numpy(r / np.linalg.norm(r, axis=1, keepdims=True)).float() for r in rows]
            sides.append(PackedSequences.from_list([r.to(device) for r in unit]))
        recursion = Recursion("gak", delta=0.7)
        try:
            from .kernels import cross

            one, other = sides
            found, are_logs = cross(one, other, recursion, MAX_BYTES)
            wanted = _values(one, other, recursion, "torch", MAX_BYTES, -math.inf)
            worst = float(((found if are_logs else found.log()) - wanted).abs().max())
            reason = "" if worst < 1e-3 else f"its kernels differ from torch by {worst:.3g} in the logarithm"
        except Exception as error:  # a compiler and a driver raise what they like
            reason = f"its kernels do not run ({type(error).__name__}: {str(error)[:200]})"
        _faults[long] = reason
        if reason:
            log.warning("alignment runs on torch, not on triton: %s", reason)
    return _faults[long]


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
