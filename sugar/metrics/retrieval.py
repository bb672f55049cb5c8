"""Ranks, recall and the matching scores, from arrays of similarities.

    recall_at_k(similarity, target, k=1)     # similarity (Q, C), target (Q,): the right candidates
    winoground(scores).group                 # scores (P, 2, 2): [pair, caption, picture]

Comparisons are strict: a tie with a wrong candidate is a miss, so a constant scorer gets 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sugar.errors import InputError


def same_length(left: Sequence | np.ndarray, right: Sequence | np.ndarray, what: str) -> None:
    """Raises InputError when there are not as many of one as of the other."""
    if len(left) != len(right):
        raise InputError(f"{what}: {len(left)} against {len(right)}. Give as many of one as of the other.")


def ranks(similarity: np.ndarray, target: np.ndarray) -> np.ndarray:
    """How many wrong candidates score at least as high as the best right one: (Q,) ints, 0 is a hit at 1.

    similarity: (Q, C). target: (Q,) int, the right candidate of each query, or (Q, C) bool, all right ones.
    nan never wins.
    Raises InputError when shapes do not fit or a query has no right candidate.

    >>> ranks(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0, 1]))
    array([0, 1])
    """
    similarity, target = np.asarray(similarity, np.float64), np.asarray(target)
    same_length(similarity, target, "Queries and targets")
    if target.ndim == 1:
        chosen = np.zeros(similarity.shape, bool)
        chosen[np.arange(len(target)), target] = True
        target = chosen
    if target.shape != similarity.shape or not target.any(1).all():
        raise InputError(
            f"Targets of shape {target.shape} for similarities {similarity.shape}: "
            "every query needs a right candidate."
        )
    best = np.where(target & ~np.isnan(similarity), similarity, -np.inf).max(1, keepdims=True)  # (Q, 1)
    return (~target & ~(similarity < best)).sum(1)


def recall_at_k(similarity: np.ndarray, target: np.ndarray, k: int = 1) -> float:
    """Share of queries with a right candidate among the first k; ties count against it. Arguments as in
    `ranks`.

    >>> recall_at_k(np.array([[0.9, 0.1, 0.3], [0.8, 0.2, 0.4]]), np.array([0, 2]), k=1)
    0.5
    """
    return float((ranks(similarity, target) < k).mean())


def average_precision(scores: np.ndarray, right: np.ndarray) -> float:
    """Mean precision at the place of each right candidate, ties against them; nan without right ones.

    scores: (N,). right: (N,) bool.

    >>> round(average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, False, True])), 3)
    0.833
    """
    same_length(scores, right, "Scores and labels")
    order = np.lexsort((right, -np.asarray(scores)))  # of equal scores the wrong ones first
    found = np.asarray(right, bool)[order]
    at = np.flatnonzero(found) + 1  # places from 1
    return float(np.mean(np.arange(1, len(at) + 1) / at)) if len(at) else float("nan")


def pairwise_accuracy(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of s(positive) > s(negative), strict (SugarCrepe). Both (N,)."""
    same_length(positive, negative, "Positives and negatives")
    return float((np.asarray(positive) > np.asarray(negative)).mean())


@dataclass(frozen=True)
class SugarCrepePlus:
    """Shares of items that pass the image-to-text test and the text-only test."""

    itt: float
    tot: float


def sugarcrepe_plus(image: np.ndarray, text: np.ndarray) -> SugarCrepePlus:
    """SugarCrepe++ (Dumpala et al. 2024): two positive captions P1, P2 and a negative N per picture, strict.

    Args:
        image: (N, 3) s(I, P1), s(I, P2), s(I, N).
        text: (N, 3) s(P1, P2), s(P1, N), s(P2, N).

    Returns:
        ITT: both positives beat the negative. TOT: the positives are nearer to each other than to the
        negative.

    >>> sugarcrepe_plus(np.array([[0.9, 0.8, 0.7]]), np.array([[0.9, 0.95, 0.1]]))
    SugarCrepePlus(itt=1.0, tot=0.0)
    """
    image, text = np.asarray(image, np.float64), np.asarray(text, np.float64)
    same_length(image, text, "Image scores and text scores")
    itt = (image[:, 0] > image[:, 2]) & (image[:, 1] > image[:, 2])
    tot = (text[:, 0] > text[:, 1]) & (text[:, 0] > text[:, 2])
    return SugarCrepePlus(float(itt.mean()), float(tot.mean()))


@dataclass(frozen=True)
class Winoground:
    """Shares of pairs whose right caption wins for both pictures, whose right picture wins for both captions,
    and both.
    """

    text: float
    image: float
    group: float


def winoground(scores: np.ndarray) -> Winoground:
    """Winoground's three scores, strict (Thrush et al. 2022). scores: (P, 2, 2), [pair, caption, picture];
    caption i fits picture i.

    Guessing gives 1/4, 1/4 and 1/6.

    >>> winoground(np.array([[[0.9, 0.1], [0.8, 0.3]]]))          # caption 1 likes picture 0 better
    Winoground(text=1.0, image=0.0, group=0.0)
    """
    s = np.asarray(scores, np.float64)
    if s.ndim != 3 or s.shape[1:] != (2, 2):
        raise InputError(f"Winoground scores have shape {s.shape}; give (pairs, 2 captions, 2 pictures).")
    text = (s[:, 0, 0] > s[:, 1, 0]) & (s[:, 1, 1] > s[:, 0, 1])
    image = (s[:, 0, 0] > s[:, 0, 1]) & (s[:, 1, 1] > s[:, 1, 0])
    return Winoground(float(text.mean()), float(image.mean()), float((text & image).mean()))
