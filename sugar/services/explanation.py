"""Why a hit was found, as data: which part of the query agrees with which part of the hit.

    explanation = explain(gallery, model, aligned, hit)
    explanation.similarity                # (query slices, hit slices) cosines
    explanation.strongest                 # the pair (row, column) that agrees best
    explanation.picture_heat              # (h, w) in [0, 1] over the photo, or None

Not covered: drawing it (sugar/ui/explained.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from sugar.sequence import Hit, Sample

__all__ = ["Explanation", "explain"]

Content = str | Image.Image


@dataclass(frozen=True, eq=False)
class Explanation:
    """One hit and its alignment with the query.

    Args:
        hit: the hit itself.
        pictures: its picture, or those of a run, in order.
        names: their file names. caption: of a single picture.
        rows: the query's slices. columns: the hit's: picture and caption, or the pictures of a run.
        similarity: (rows, columns) cosines; None when nothing was embedded.
        path: the alignment, pairs (row, column).
        picture_heat: (h, w) in [0, 1], from the region that agrees least with the whole query to the one that
            agrees most; None where the model has no regions.
    """

    hit: Hit
    pictures: tuple[Image.Image, ...]
    names: tuple[str, ...]
    caption: str
    rows: tuple[Content, ...] = ()
    columns: tuple[Content, ...] = ()
    similarity: np.ndarray | None = None
    path: tuple[tuple[int, int], ...] = ()
    picture_heat: np.ndarray | None = None

    @property
    def strongest(self) -> tuple[int, int] | None:
        """The (row, column) on the path that agrees best; None without an alignment."""
        if self.similarity is None or not self.path:
            return None
        scores = self.similarity
        return max(self.path, key=lambda pair: float(scores[pair]))


def explain(gallery: Any, model: Any, aligned: Sample | None, hit: Hit) -> Explanation:
    """Explain a hit.

    Args:
        gallery: where the hit's pictures are.
        model: has `picture_heat(query, image)`, (h, w) cosines or None.
        aligned: the sample that `hit.similarity` speaks of; None when nothing was embedded.
        hit: what a search found.
    Raises:
        GalleryError: the picture was deleted meanwhile.
    """
    ids = list(hit.items) or [hit.item]
    pictures = tuple(gallery.picture(i) for i in ids)
    names = {item.id: item.name for item in gallery.items(ids=ids)}
    shown = tuple(names[i] for i in ids)
    caption = "" if hit.items else hit.caption
    if aligned is None or hit.similarity is None:
        return Explanation(hit, pictures, shown, caption)
    similarity = np.asarray(hit.similarity, float)  # (n, m)
    columns: tuple[Content, ...] = pictures
    if not hit.items and similarity.shape[1] > 1:
        columns = (pictures[0], hit.caption)
    return Explanation(
        hit,
        pictures,
        shown,
        caption,
        rows=tuple(s.content for s in aligned)[: similarity.shape[0]],
        columns=columns,
        similarity=similarity,
        path=hit.path,
        picture_heat=None if hit.items else _scaled(model.picture_heat(aligned, pictures[0])),
    )


def _scaled(cosines: np.ndarray | None) -> np.ndarray | None:
    """Cosines from 0 to 1, least to most; None where there are none, or where all are the same."""
    if cosines is None or not np.ptp(cosines) > 0:
        return None
    return (cosines - cosines.min()) / np.ptp(cosines)
