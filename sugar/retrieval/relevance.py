"""How far a score stands out from the gallery's own scores, as a number and as a word."""

from __future__ import annotations

import numpy as np

from sugar.gallery import Gallery

__all__ = ["relevance", "score_distribution", "story_cost_distribution"]

_FEW = 3  # with fewer items a gallery has no distribution of scores


def score_distribution(gallery: Gallery, vector: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the inner products of a query vector (D,) with a spread of the gallery.

    (0, 0) for a gallery of fewer than three items.
    """
    scores = gallery.spread() @ vector
    return (float(scores.mean()), float(scores.std())) if len(scores) >= _FEW else (0.0, 0.0)


def story_cost_distribution(similarity: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the cost of a story told with one picture per slice, from every start.

    similarity: (story slices, pictures) cosines. (0, 0) where fewer than three starts exist.
    """
    n, total = similarity.shape
    count = total - n + 1
    if count < _FEW:
        return 0.0, 0.0
    costs = np.sum([2 - 2 * similarity[i, i : i + count].astype(np.float64) for i in range(n)], axis=0)
    return float(np.mean(costs)), float(np.std(costs))


def relevance(margin: float) -> str:
    """A margin, in standard deviations, as a word: clear, likely or weak."""
    return "clear" if margin >= 3 else "likely" if margin >= 1.5 else "weak"
