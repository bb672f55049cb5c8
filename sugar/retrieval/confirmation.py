"""Let the chat model confirm the best hits, where it is known to answer such questions well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sugar.gallery import Gallery
from sugar.sequence import Hit, Sample

__all__ = ["KINDS", "confirm", "kind_of"]

KINDS = ("caption", "change", "story")
"""What a query asks for. `model.profile.confirms` names the kinds that the model's yes or no may decide."""


def kind_of(query: Sample) -> str:
    """The kind of a query: "caption" for one text, "change" where it holds a picture, else "story"."""
    if query.images:
        return "change"
    return "caption" if len(query) == 1 else "story"


def confirm(hits: Sequence[Hit], gallery: Gallery, model: Any, query: Sample, *, top: int = 6) -> list[Hit]:
    """Order the best hits by how sure the chat model is of each; a kind it cannot judge stays as it is.

    It costs one answer of the model per hit: seconds, where the search costs milliseconds.

    Args:
        hits: what `search` found, best first.
        gallery: where their pictures are.
        model: has `agreement(query, candidates) -> (N,)`, the probability of "yes", and `profile.confirms`.
        query: what was searched for.
        top: how many hits are asked about.
    Returns:
        All hits: those asked about in their new order, then the others.
        hit.meta["agreement"] is p(yes), in [0, 1]. hit.rank is the new rank; hit.rank_before stays.
    """
    first = list(hits[:top])
    if not first or kind_of(query) not in model.profile.confirms:
        return list(hits)
    agreement = model.agreement(query, [Sample(gallery.picture(hit.item)) for hit in first])
    order = np.argsort(-np.asarray(agreement, float), kind="stable")
    asked = [replace(first[i], meta={**first[i].meta, "agreement": float(agreement[i])}) for i in order]
    return [replace(hit, rank=rank) for rank, hit in enumerate([*asked, *hits[top:]])]
