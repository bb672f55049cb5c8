"""The score of a picture for a query, and how far a score stands out from the gallery's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sugar.dtw import PackedSequences, cdist_gak
from sugar.gallery import Gallery
from sugar.retrieval.terms import EmbeddedQuery

__all__ = ["alignment_scores", "relevance", "score_distribution", "slice_kernel", "story_cost_distribution"]

FEW = 3
"""With fewer items a gallery has no distribution of scores."""


def alignment_scores(
    query: EmbeddedQuery, items: Sequence[np.ndarray], delta: float, *, align: bool
) -> np.ndarray:
    """Score every item for an embedded query; README.md in this folder has the formula.

    Args:
        query: T weighted terms.
        items: N arrays (m_i, D), the items' slices; the first row is the picture's own vector.
        delta: width of the kernel.
        align: include the alignment of items with several slices; otherwise the picture alone counts.
    Returns:
        (N,) scores in [0, 1].
    """
    pictures = np.array([slices[0] for slices in items])  # (N, D)
    captioned = [i for i, slices in enumerate(items) if len(slices) > 1]
    total = np.zeros(len(items))  # sum of weighted logarithms
    for weight, slices in zip(query.weights, query.slices, strict=True):
        whole = slice_kernel(pictures @ slices[-1], delta)  # (N,)
        score = whole.copy()
        if align and captioned:  # for an item of one slice, the alignment is the kernel `whole` itself
            aligned = _window_kernel(slices, [items[i] for i in captioned], delta)
            score[captioned] = np.sqrt(whole[captioned] * aligned)
        total += abs(weight) * np.log(np.clip(score if weight > 0 else 1 - score, 1e-12, 1))
    return np.exp(total / np.abs(query.weights).sum())


def slice_kernel(cosine: np.ndarray, delta: float) -> np.ndarray:
    """Cuturi's kernel of two unit slices, element by element.

    g / (2 - g) with g = exp(-phi / (2 delta^2)) and phi = 2 - 2 cos. Source: Cuturi 2011.
    """
    g = np.exp(-np.maximum(2 - 2 * cosine.astype(np.float64), 0) / (2 * delta * delta))
    return g / (2 - g)


def _window_kernel(query: np.ndarray, items: Sequence[np.ndarray], delta: float) -> np.ndarray:
    """The best normalised kernel of the query's last l slices over all windows of l slices of each item.

    query: (n, D). items: N arrays (m_i, D). l = min(n, m_i). Returns (N,).
    """
    best = np.zeros(len(items))
    windows: dict[int, list[tuple[int, np.ndarray]]] = {}
    for number, rows in enumerate(items):
        size = min(len(query), len(rows))
        windows.setdefault(size, []).extend((number, rows[j : j + size]) for j in range(len(rows) - size + 1))
    for size, chosen in windows.items():
        numbers = np.array([n for n, _ in chosen])
        if size == 1:
            values = slice_kernel(np.concatenate([w for _, w in chosen]) @ query[-1], delta)
        else:
            packed = PackedSequences.from_list([w for _, w in chosen])
            values = np.asarray(cdist_gak([query[-size:]], packed, delta=delta), np.float64)[0]
        np.maximum.at(best, numbers, values)
    return np.clip(best, 0, 1)


def score_distribution(gallery: Gallery, vector: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the inner products of a query vector (D,) with a spread of the gallery.

    (0, 0) for a gallery of fewer than three items.
    """
    scores = gallery.spread() @ vector
    return (float(scores.mean()), float(scores.std())) if len(scores) >= FEW else (0.0, 0.0)


def story_cost_distribution(similarity: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the cost of a story told with one picture per slice, from every start.

    similarity: (story slices, pictures) cosines. (0, 0) where fewer than three starts exist.
    """
    n, total = similarity.shape
    count = total - n + 1
    if count < FEW:
        return 0.0, 0.0
    costs = np.sum([2 - 2 * similarity[i, i : i + count].astype(np.float64) for i in range(n)], axis=0)
    return float(np.mean(costs)), float(np.std(costs))


def relevance(margin: float) -> Literal["clear", "likely", "weak"]:
    """A margin, in standard deviations, as a word: clear, likely or weak."""
    return "clear" if margin >= 3 else "likely" if margin >= 1.5 else "weak"
