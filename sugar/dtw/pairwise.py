"""Pairs and matrices of pairs: `gak`, `soft_dtw`, `dtw` and their `cdist_` forms, over whichever path runs.

A matrix is computed segment against segment (`packed`); a pair in float64 by the batch recursion (`zipped`). The matrices keep the
GEMM in the type of the input and the recursion in float64. Not covered: gradients; paths are in `warping`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from sugar.errors import AlignmentError

from . import reference
from .checks import positive
from .crossed import Recursion, cross
from .packed import PackedSequences, rows_of
from .paths import choose_path, count, start_report
from .segment import MAX_SELF_KERNELS, Segment, zipped_phi
from .slices import Sequence, TwoPart, as_sequence, slice_distance
from .windows import Window, window_from
from .zipped import certified, certified_log_sums, local_log_kernel, log_kernel_sums

MAX_BYTES = 256 << 20  # working memory of one call, beyond its inputs, their packed copies and its result


def cdist_gak(
    dataset1: Any,
    dataset2: Any = None,
    sigma: float = 1.0,
    *,
    delta: float | None = None,
    normalized: bool = True,
    log: bool = False,
    metric: str = "sqeuclidean",
    path: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """Global Alignment Kernels (N, M) of two datasets, or (N, N) of one with itself; tslearn's `cdist_gak`.

    M[i,j] = k(x_i, y_j) (M[i-1,j-1] + M[i-1,j] + M[i,j-1]), K = M[n,m], k = g / (2 - g), g = exp(-phi(x_i, y_j) / (2 sigma^2));
    normalised: K(x,y) / sqrt(K(x,x) K(y,y)), in [0, 1], 1 for equal sequences. Normalised values fall when lengths differ much.

    dataset1, dataset2: lists of (n_i, D) or `TwoPart`, or `PackedSequences` (then their metric counts); or one array or tensor
        (N, L, D) or (N, L), whose rows of nothing but nan at the end of a sequence are padding (tslearn's `to_time_series_dataset`)
    sigma: one bandwidth for all pairs; delta: instead, per pair, sigma = delta * sqrt((n + m) / 2) (the paper's)
    log: return log K, exact where K itself is too large or too small for a float
    path, max_bytes: see `sugar.dtw`; the result is float64, an array or a tensor as the input was

    Raises AlignmentError: empty, nan, inf, mismatched dimensions, sigma or delta <= 0, a path that is not there.
    Source: Cuturi, Fast Global Alignment Kernels, ICML 2011.

    >>> cdist_gak([[1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0]], sigma=2.0).round(8)
    array([[1.        , 0.65629661],
           [0.65629661, 1.        ]])
    """
    recursion = gak_recursion(sigma, delta)
    return matrix(dataset1, dataset2, recursion, metric, path, max_bytes, lambda run: run.kernel(normalized, log))


def cdist_soft_dtw(
    dataset1: Any,
    dataset2: Any = None,
    gamma: float = 1.0,
    *,
    metric: str = "sqeuclidean",
    path: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """soft-DTW (N, M): -gamma log sum over paths of exp(-cost / gamma), costs squared; tslearn's `cdist_soft_dtw`. May be negative.

    gamma > 0 (tslearn's gamma = 0 is `cdist_dtw` squared). Inputs, paths and errors as `cdist_gak`. Source: Cuturi and Blondel 2017.

    >>> cdist_soft_dtw([[1, 2, 2, 3]], [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0]]).round(6)
    array([[-0.895444, -1.58128 ]])
    """
    recursion = Recursion("exp", scale=1 / positive("gamma", gamma))
    return matrix(dataset1, dataset2, recursion, metric, path, max_bytes, lambda run: run.soft(gamma))


def cdist_dtw(
    dataset1: Any,
    dataset2: Any = None,
    global_constraint: str | None = None,
    sakoe_chiba_radius: int | None = None,
    itakura_max_slope: float | None = None,
    *,
    metric: str = "sqeuclidean",
    path: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """DTW (N, M): the root of the least summed slice distance over warping paths; tslearn's `cdist_dtw`.

    The window arguments are tslearn's (`windows`). Inputs, paths and errors as `cdist_gak`; AlignmentError too for a window that
    admits no path.

    >>> cdist_dtw([[1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0]])
    array([[0., 1.],
           [1., 0.]])
    """
    recursion = Recursion("cost", window=window_from(global_constraint, sakoe_chiba_radius, itakura_max_slope))
    return matrix(dataset1, dataset2, recursion, metric, path, max_bytes, lambda run: run.costs())


def gak(
    s1: Any,
    s2: Any,
    sigma: float = 1.0,
    *,
    delta: float | None = None,
    normalized: bool = True,
    log: bool = False,
    metric: str = "sqeuclidean",
    path: str | None = None,
) -> float:
    """Global Alignment Kernel of two sequences (n, D), (m, D), in float64; tslearn's `gak`. See `cdist_gak`.

    >>> round(gak([1, 2, 3], [1.0, 2.0, 2.0, 3.0], sigma=2.0), 6)
    0.839337
    """
    return float(cdist_gak([double(s1)], [double(s2)], sigma, delta=delta, normalized=normalized, log=log, metric=metric, path=path)[0, 0])


def unnormalized_gak(s1: Any, s2: Any, sigma: float = 1.0, **options: Any) -> float:
    """K(x, y) as it is, which grows with the number of paths: 1, 3, 13, 63 for equal sequences; tslearn's `unnormalized_gak`.

    >>> round(unnormalized_gak([1, 2, 3], [1.0, 2.0, 2.0, 3.0], sigma=2.0), 6)
    15.35819
    """
    return gak(s1, s2, sigma, normalized=False, **options)


def soft_dtw(ts1: Any, ts2: Any, gamma: float = 1.0, **options: Any) -> float:
    """soft-DTW of two sequences (n, D), (m, D), in float64; tslearn's `soft_dtw`. See `cdist_soft_dtw`.

    >>> round(soft_dtw([1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0], gamma=1.0), 6)
    -0.895444
    """
    return float(cdist_soft_dtw([double(ts1)], [double(ts2)], gamma, **options)[0, 0])


def dtw(
    s1: Any,
    s2: Any,
    global_constraint: str | None = None,
    sakoe_chiba_radius: int | None = None,
    itakura_max_slope: float | None = None,
    **options: Any,
) -> float:
    """DTW of two sequences (n, D), (m, D), in float64, a root; tslearn's `dtw`. See `cdist_dtw`.

    >>> dtw([1, 2, 3], [1.0, 2.0, 2.0, 3.0])
    0.0
    """
    return float(cdist_dtw([double(s1)], [double(s2)], global_constraint, sakoe_chiba_radius, itakura_max_slope, **options)[0, 0])


def double(values: Any) -> Sequence:
    """A checked sequence in float64."""
    sequence = as_sequence(values)
    return (
        TwoPart(sequence.part1.double(), sequence.part2.double(), sequence.is_image) if isinstance(sequence, TwoPart) else sequence.double()
    )


def gak_recursion(sigma: float, delta: float | None) -> Recursion:
    """The GAK recursion under one sigma, or under a sigma per pair when delta is given."""
    if delta is not None:
        return Recursion("gak", delta=positive("delta", delta))
    return Recursion("gak", scale=1 / (2 * positive("sigma", sigma) ** 2))


def matrix(dataset1: Any, dataset2: Any, recursion: Recursion, metric: str, path: str | None, max_bytes: int, finish: Any) -> Any:
    """Pack what is not packed, choose the path, run, and give back the kind that came in."""
    run = Run(dataset1, dataset2, recursion, metric, path, int(positive("max_bytes", max_bytes)))
    result = finish(run)
    return result if run.tensors else result.numpy()


class Run:
    """One call: two packed datasets, a recursion, a path and a memory bound."""

    def __init__(self, dataset1: Any, dataset2: Any, recursion: Recursion, metric: str, path: str | None, max_bytes: int) -> None:
        self.recursion, self.max_bytes = recursion, max_bytes
        self.same = dataset2 is None or dataset2 is dataset1
        self.tensors = any(holds_tensors(d) for d in (dataset1, dataset2))
        self.x = packed(dataset1, metric, self.side_limit(dataset1, dataset2))
        self.y = self.x if self.same else packed(dataset2, metric, None)
        first, second = self.x.segments[0], self.y.segments[0]
        if [(p.shape[1], p.device) for p in first.parts] != [
            (p.shape[1], p.device) for p in second.parts
        ] or self.x.metric != self.y.metric:
            raise AlignmentError(
                f"the datasets do not fit: slices of {[p.shape[1] for p in first.parts]} numbers on {first.device} ({self.x.metric}) "
                f"against {[p.shape[1] for p in second.parts]} on {second.device} ({self.y.metric}); use one embedder, device and metric."
            )
        x, y = promoted(self.x, self.y), promoted(self.y, self.x)
        self.x, self.y = x, x if self.same else y
        cells = sum(s.offsets[-1] for s in self.x.segments) * sum(s.offsets[-1] for s in self.y.segments)
        self.path = choose_path(path, self.x.device, cells, max(s.longest for s in self.y.segments))
        start_report(self.path, self.x.device)

    def side_limit(self, dataset1: Any, dataset2: Any) -> int | None:
        """How many sequences of the first dataset go side by side, so that two table rows per pair fit the bound."""
        if isinstance(dataset1, PackedSequences):
            return None
        if self.same and len(dataset1) > 128:
            return max(64, -(-len(dataset1) // 4))  # blocks, of which those below the diagonal are mirrored
        return 512

    def blocks(self) -> Iterator[tuple[Segment, Segment, slice, slice]]:
        """Segment against segment, with where they stand in the result; for one dataset only on and above the diagonal."""
        xs, ys = spans(self.x), spans(self.y)
        if self.same:
            yield from ((a, a, rows, rows) for a, rows in xs)  # first, since they bring the self-kernels
        for i, (a, rows) in enumerate(xs):
            yield from ((a, b, rows, columns) for b, columns in (ys[i + 1 :] if self.same else ys))

    def fill(self, diagonal: float, block: Any) -> torch.Tensor:
        """The result (N, M) from block(a, b) -> (A, B) in sorted places; its diagonal is `diagonal` for one dataset unless nan."""
        result = torch.empty(len(self.x), len(self.y), dtype=torch.float64, device=self.x.device)
        for a, b, rows, columns in self.blocks():
            values = block(a, b)
            placed = torch.empty_like(values)
            placed[a.order[:, None], b.order] = values
            result[rows, columns] = placed
            if self.same and rows != columns:
                result[columns, rows] = placed.T
        if self.same and not math.isnan(diagonal):
            result.fill_diagonal_(diagonal)
        return result

    def kernel(self, normalized: bool, log: bool) -> torch.Tensor:
        """GAK, normalised or not, itself or its log."""

        def block(a: Segment, b: Segment) -> torch.Tensor:
            sums = log_sums(a, b, self.recursion, self.path, self.max_bytes)
            if a is b:
                keep_diagonal(a, sums, self.recursion)
            if normalized:
                sums -= (self_log_kernels(a, b, self.recursion) + self_log_kernels(b, a, self.recursion).T) / 2
            return sums if log else sums.exp_()

        return self.fill((0.0 if log else 1.0) if normalized else math.nan, block)

    def soft(self, gamma: float) -> torch.Tensor:
        """soft-DTW; the added 0 turns -0.0 into 0.0."""
        return self.fill(math.nan, lambda a, b: log_sums(a, b, self.recursion, self.path, self.max_bytes).mul_(-gamma).add_(0.0))

    def costs(self) -> torch.Tensor:
        """DTW, a root."""
        return self.fill(0.0, lambda a, b: least_costs(a, b, self.recursion, self.path, self.max_bytes).sqrt_())


def holds_tensors(dataset: Any) -> bool:
    """Whether the answer to this dataset should be a tensor."""
    if dataset is None or isinstance(dataset, PackedSequences):
        return False
    if isinstance(dataset, torch.Tensor):
        return True
    try:
        return any(isinstance(s, (torch.Tensor, TwoPart)) for s in dataset)
    except TypeError as error:
        raise AlignmentError(f"a dataset is a list of sequences (n, D); got {type(dataset).__name__}.") from error


def packed(dataset: Any, metric: str, limit: int | None) -> PackedSequences:
    """The dataset packed, unless it is."""
    if isinstance(dataset, PackedSequences):
        return dataset
    return PackedSequences.from_list(unpadded(dataset), metric=metric, limit=limit)


def unpadded(dataset: Any) -> list[Any]:
    """The sequences of a dataset; those of one array (N, L, D) or (N, L) without the all-nan rows at their ends.

    A nan before the end, in a row with numbers, or throughout a sequence stays, for the checks to refuse; so does any in a list.
    """
    whole = isinstance(dataset, torch.Tensor) or (isinstance(dataset, np.ndarray) and dataset.dtype.kind == "f")
    if not whole or dataset.ndim not in (2, 3) or 0 in dataset.shape:
        return list(dataset)
    nan = torch.isnan(dataset).cpu().numpy() if isinstance(dataset, torch.Tensor) else np.isnan(dataset)
    padding: np.ndarray = np.all(nan.reshape(*nan.shape[:2], -1), axis=2)
    ends = nan.shape[1] - padding[:, ::-1].argmin(1)
    return [sequence[:end] for sequence, end in zip(dataset, ends.tolist(), strict=True)]


def promoted(mine: PackedSequences, other: PackedSequences) -> PackedSequences:
    """`mine` in the wider float type of the two."""
    dtype = torch.promote_types(mine.segments[0].parts[0].dtype, other.segments[0].parts[0].dtype)
    if mine.segments[0].parts[0].dtype == dtype:
        return mine
    return PackedSequences([Segment(to_type(s.data, dtype), s.lengths, s.order) for s in mine.segments], mine.metric)


def to_type(data: Sequence, dtype: torch.dtype) -> Sequence:
    """The slices in another float type."""
    return TwoPart(data.part1.to(dtype), data.part2.to(dtype), data.is_image) if isinstance(data, TwoPart) else data.to(dtype)


def log_sums(a: Segment, b: Segment, recursion: Recursion, path: str, max_bytes: int) -> torch.Tensor:
    """log M (A, B) in sorted places by the chosen path, every pair certified or redone in logs."""
    if path == "reference":
        return by_reference(a, b, lambda phi, n, m: reference.log_kernel_sum(reference_kernel(phi, recursion, n, m)))
    sums, logs_already = sums_by(path)(a, b, recursion, max_bytes)
    logs = sums if logs_already else torch.log(sums)
    single = path == "triton" and a.parts[0].dtype == torch.float32
    bad = torch.zeros(0, 2) if logs_already else (~certified(logs, a.lengths[:, None], b.lengths, single)).nonzero()
    if len(bad):
        redo_in_logs(logs, bad, a, b, recursion, max_bytes)
    count(logs.numel(), len(bad))
    return logs


def least_costs(a: Segment, b: Segment, recursion: Recursion, path: str, max_bytes: int) -> torch.Tensor:
    """Least summed costs (A, B) in sorted places by the chosen path."""
    if path == "reference":
        return by_reference(a, b, lambda phi, n, m: reference.accumulate(masked(phi, recursion.window))[-1][-1])
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


def redo_in_logs(logs: torch.Tensor, bad: torch.Tensor, a: Segment, b: Segment, recursion: Recursion, max_bytes: int) -> None:
    """Overwrite the uncertified entries `bad` (R, 2) of logs (A, B) by the log recursion, in chunks of `max_bytes`."""
    width = sum(p.shape[1] for p in a.parts)
    step = max(1, max_bytes // (8 * (4 * a.longest * b.longest + width * (a.longest + b.longest))))
    for chunk in bad.split(step):
        rows, columns = chunk[:, 0], chunk[:, 1]
        n, m = a.lengths[rows], b.lengths[columns]
        exponent = (zipped_phi(a, rows, b, columns).double() * -recursion.scales(n, m)).clamp_(max=0)
        logs[rows, columns] = log_kernel_sums(local_log_kernel(exponent, recursion.local), n, m)


def spans(container: PackedSequences) -> list[tuple[Segment, slice]]:
    """The segments with the positions that they hold."""
    ends = list(itertools.accumulate((s.count for s in container.segments), initial=0))
    return [(s, slice(low, low + s.count)) for s, low in zip(container.segments, ends, strict=False)]


def keep_diagonal(a: Segment, sums: torch.Tensor, recursion: Recursion) -> None:
    """Remember the self-kernels that stand on the diagonal of log M (A, A), where those lengths have the pair's own bandwidth."""
    if recursion.delta is None or a.longest == int(a.lengths[-1]):
        a.self_kernels[recursion.local, recursion.scale, recursion.delta, a.longest if recursion.delta else 0] = sums.diagonal().clone()


def self_log_kernels(a: Segment, b: Segment, recursion: Recursion) -> torch.Tensor:
    """log K(x, x) (A, B), or (A, 1) under one sigma: each of a under the sigma it has against each of b. Cached in `a`."""
    values, inverse = (torch.zeros(1).long(), torch.zeros(1).long()) if recursion.delta is None else b.lengths.unique(return_inverse=True)
    keys = [(recursion.local, recursion.scale, recursion.delta, m) for m in values.tolist()]
    fresh = [key for key in keys if key not in a.self_kernels]
    if fresh:
        a.self_kernels.update(zip(fresh, compute_self(a, recursion, [m for *_, m in fresh]).T.contiguous(), strict=True))
    for key in keys:
        a.self_kernels.move_to_end(key)
    table = torch.stack([a.self_kernels[key] for key in keys], 1)
    while len(a.self_kernels) > MAX_SELF_KERNELS:
        a.self_kernels.popitem(last=False)
    return table[:, inverse.to(table.device)]


def compute_self(a: Segment, recursion: Recursion, others: list[int]) -> torch.Tensor:
    """log K(x, x) (A, S) under the scales that lengths n and each of `others` (S,) give; one distance matrix per sequence."""
    m = torch.tensor(others, device=a.device)
    out = torch.empty(a.count, len(others), dtype=torch.float64, device=a.device)
    width = sum(p.shape[1] for p in a.parts)
    low = 0
    while low < a.count:
        longest = int(a.lengths[low])  # longest first, so a chunk is nearly of one length
        high = min(a.count, low + max(1, (32 << 20) // (8 * longest * (3 * longest * len(others) + width))))
        places, n = torch.arange(low, high, device=a.device), a.lengths[low:high]
        phi = zipped_phi(a, places, a, places)  # (L, L, P)
        phi[torch.arange(longest), torch.arange(longest)] = 0
        phi = phi[:, :, :, None].expand(-1, -1, -1, len(others)).reshape(longest, longest, -1)  # (L, L, P S)
        n_each = n.repeat_interleave(len(others))
        sums, _ = certified_log_sums(phi, n_each, n_each, recursion.scales(n[:, None], m).reshape(-1), recursion.local)
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
