"""Several rankings of the same items become one, by reciprocal rank.

    fused = reciprocal_rank({"vectors": [7, 3, 9], "words": [3, 4]})
    fused[0]                     # Fused(item=3, score=0.0325..., found_by=("vectors", "words"))

Source: Cormack, Clarke and Buettcher, Reciprocal Rank Fusion outperforms Condorcet, SIGIR 2009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DAMPING = 60
"""The constant of the source: how little the first ranks stand out from the next ones."""


@dataclass(frozen=True)
class Fused:
    """One item of the fused ranking. found_by: the names of the rankings that hold it, in their order."""

    item: int
    score: float
    found_by: tuple[str, ...]


def reciprocal_rank(
    rankings: Mapping[str, Sequence[int]], weights: Mapping[str, Mapping[int, float]] | None = None
) -> list[Fused]:
    """All items of all rankings (name -> ids, best first): score = sum of w / (DAMPING + rank), ranks from 1.

    weights: name of a ranking -> {item: w}; 1 where none is given.

    >>> [f.item for f in reciprocal_rank({"a": [1, 2], "b": [2, 3]})]
    [2, 1, 3]
    """
    scores: dict[int, float] = {}
    found: dict[int, list[str]] = {}
    for name, items in rankings.items():
        weight = (weights or {}).get(name, {})
        for rank, item in enumerate(dict.fromkeys(items), 1):
            scores[item] = scores.get(item, 0.0) + weight.get(item, 1.0) / (DAMPING + rank)
            found.setdefault(item, []).append(name)
    order = sorted(scores, key=lambda item: (-scores[item], item))
    return [Fused(item, scores[item], tuple(found[item])) for item in order]
