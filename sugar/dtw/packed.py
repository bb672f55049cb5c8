"""`PackedSequences`: a gallery's slice embeddings, packed once, so that one query against N sequences never
re-packs or pads them.

    gallery = PackedSequences.from_list(sequences)          # tensors (n_i, D), arrays, or TwoPart
    scores = gallery.gak(query, delta=0.7)                  # (N,), in the order of insertion
    gallery.append(more); gallery.remove([3, 17]); gallery[10:20]; gallery[[5, 1]]; gallery[4]
    gallery.save("slices.pt"); PackedSequences.load("slices.pt")

Positions, precision and cost: README.md of this folder. Not covered: concurrent writers (lock outside),
approximate search (shortlist outside).
"""

from __future__ import annotations

from typing import Any

from sugar.errors import AlignmentError

from .container import Container
from .pairwise import cdist_dtw, cdist_gak, cdist_soft_dtw


class PackedSequences(Container):
    """N ragged sequences in packed segments. len() is N; `lengths` (N,).

    `metric` "sqeuclidean" or "cosine".
    """

    def gak(
        self, query: Any, *, delta: float | None = None, sigma: float | None = None, **options: Any
    ) -> Any:
        """(N,) normalised GAK of one query (n, D) against every sequence, in the order of insertion.

        `cdist_gak` has the options.

        Give delta (sigma = delta * sqrt((n + m) / 2) per pair; 0.7 when neither is given) or one sigma for
        all. An array query gives an array, a tensor a tensor. Raises AlignmentError as `cdist_gak`.
        """
        if delta is not None and sigma is not None:
            raise AlignmentError(f"both delta ({delta}) and sigma ({sigma}) are given; give one.")
        delta = 0.7 if delta is None and sigma is None else delta
        return cdist_gak(
            [query], self, 1.0 if sigma is None else sigma, delta=delta, metric=self.metric, **options
        )[0]

    def soft_dtw(self, query: Any, gamma: float = 1.0, **options: Any) -> Any:
        """(N,) soft-DTW of one query (n, D) against every sequence; see `cdist_soft_dtw`."""
        return cdist_soft_dtw([query], self, gamma, metric=self.metric, **options)[0]

    def dtw(self, query: Any, **options: Any) -> Any:
        """(N,) DTW (root of the summed cost) of one query (n, D) against every sequence; see `cdist_dtw`."""
        return cdist_dtw([query], self, metric=self.metric, **options)[0]
