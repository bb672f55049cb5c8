"""Pairs and matrices of pairs: `gak`, `soft_dtw`, `dtw` and their `cdist_` forms, over whichever path runs.

A matrix is computed segment against segment (`packed`); a pair in float64 by the batch recursion (`zipped`).
The matrices keep the GEMM in the type of the input and the recursion in float64. Not covered: gradients;
paths are in `warping`.
"""

from __future__ import annotations

from typing import Any

from .checks import positive
from .crossed import Recursion
from .matrix import MatrixCall
from .slices import Sequence, TwoPart, as_sequence
from .windows import window_from

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

    M[i,j] = k(x_i, y_j) (M[i-1,j-1] + M[i-1,j] + M[i,j-1]), K = M[n,m], k = g / (2 - g), g = exp(-phi(x_i,
    y_j) / (2 sigma^2));
    normalised: K(x,y) / sqrt(K(x,x) K(y,y)), in [0, 1], 1 for equal sequences. Normalised values fall when
    lengths differ much.

    dataset1, dataset2: lists of (n_i, D) or `TwoPart`, or `PackedSequences` (then their metric counts); or
    one array or tensor
        (N, L, D) or (N, L), whose rows of nothing but nan at the end of a sequence are padding (tslearn's
        `to_time_series_dataset`)
    sigma: one bandwidth for all pairs; delta: instead, per pair, sigma = delta * sqrt((n + m) / 2) (the
    paper's)
    log: return log K, exact where K itself is too large or too small for a float
    path, max_bytes: see `sugar.dtw`; the result is float64, an array or a tensor as the input was

    Raises AlignmentError: empty, nan, inf, mismatched dimensions, sigma or delta <= 0, a path that is not
    there.
    Source: Cuturi, Fast Global Alignment Kernels, ICML 2011.

    >>> cdist_gak([[1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0]], sigma=2.0).round(8)
    array([[1.        , 0.65629661],
           [0.65629661, 1.        ]])
    """
    recursion = gak_recursion(sigma, delta)
    return matrix(
        dataset1, dataset2, recursion, metric, path, max_bytes, lambda run: run.kernel(normalized, log)
    )


def cdist_soft_dtw(
    dataset1: Any,
    dataset2: Any = None,
    gamma: float = 1.0,
    *,
    metric: str = "sqeuclidean",
    path: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """soft-DTW (N, M): -gamma log sum over paths of exp(-cost / gamma), costs squared.

    It is tslearn's `cdist_soft_dtw`. May be negative.

    gamma > 0 (tslearn's gamma = 0 is `cdist_dtw` squared). Inputs, paths and errors as `cdist_gak`. Source:
    Cuturi and Blondel 2017.

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

    The window arguments are tslearn's (`windows`). Inputs, paths and errors as `cdist_gak`; AlignmentError
    too for a window that admits no path.

    >>> cdist_dtw([[1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0]])
    array([[0., 1.],
           [1., 0.]])
    """
    recursion = Recursion(
        "cost", window=window_from(global_constraint, sakoe_chiba_radius, itakura_max_slope)
    )
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
    return float(
        cdist_gak(
            [double(s1)],
            [double(s2)],
            sigma,
            delta=delta,
            normalized=normalized,
            log=log,
            metric=metric,
            path=path,
        )[0, 0]
    )


def unnormalized_gak(s1: Any, s2: Any, sigma: float = 1.0, **options: Any) -> float:
    """K(x, y) as it is, which grows with the number of paths: 1, 3, 13, 63 for equal sequences.

    It is tslearn's `unnormalized_gak`.

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
    return float(
        cdist_dtw(
            [double(s1)], [double(s2)], global_constraint, sakoe_chiba_radius, itakura_max_slope, **options
        )[0, 0]
    )


def double(values: Any) -> Sequence:
    """A checked sequence in float64."""
    sequence = as_sequence(values)
    return (
        TwoPart(sequence.part1.double(), sequence.part2.double(), sequence.is_image)
        if isinstance(sequence, TwoPart)
        else sequence.double()
    )


def gak_recursion(sigma: float, delta: float | None) -> Recursion:
    """The GAK recursion under one sigma, or under a sigma per pair when delta is given."""
    if delta is not None:
        return Recursion("gak", delta=positive("delta", delta))
    return Recursion("gak", scale=1 / (2 * positive("sigma", sigma) ** 2))


def matrix(
    dataset1: Any,
    dataset2: Any,
    recursion: Recursion,
    metric: str,
    path: str | None,
    max_bytes: int,
    finish: Any,
) -> Any:
    """Pack what is not packed, choose the path, run, and give back the kind that came in."""
    run = MatrixCall(dataset1, dataset2, recursion, metric, path, int(positive("max_bytes", max_bytes)))
    result = finish(run)
    return result if run.tensors else result.cpu().numpy()
