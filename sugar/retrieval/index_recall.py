"""How much an approximate index loses against exact search."""

from __future__ import annotations

import numpy as np

from sugar.gallery import Gallery

__all__ = ["approximate_recall"]


def approximate_recall(gallery: Gallery, *, queries: int = 100, k: int = 10) -> float:
    """Recall@k of the index in use against exact search, over stored vectors spread over the gallery.

    Args:
        gallery: an open gallery.
        queries: how many stored vectors are used as queries.
        k: neighbours per query.
    Returns:
        The mean share of the exact top k that the index finds; 1.0 for a flat index.
    """
    rows = gallery.spread()
    rows = rows[:: max(1, len(rows) // queries)][:queries]
    if not len(rows) or gallery.index_info["kind"] == "flat":
        return 1.0
    found, truth = gallery.nearest(rows, k)[1], gallery.nearest(rows, k, exact=True)[1]
    return float(np.mean([len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)]))
