"""Weighted queries: terms, and a query after embedding.

embed_query(model, terms, leave_out_own_pictures=True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sugar.errors import InputError
from sugar.gallery import EmbeddingModel
from sugar.images import signature
from sugar.sequence import Sample

SIGNATURE = 192
"""Bytes of a picture's signature, by which near-duplicates are recognised."""


@dataclass(frozen=True, eq=False)
class Term:
    """One part of a weighted query. A negative weight excludes what the part describes."""

    sample: Sample
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight) or self.weight == 0:
            raise InputError(
                f"A term's weight is {self.weight}. Give a number other than 0; a negative weight excludes."
            )


@dataclass(frozen=True, eq=False)
class EmbeddedQuery:
    """The terms of a query as vectors.

    weights: (T,) one number per term.
    slices: T arrays (n_t, D), unit rows; the last row of each has seen the whole term.
    vector: (D,) unit, the weighted sum of the terms' pooled vectors; the shortlist is made with it.
    own_pictures: (pictures, 192) signatures of the query's own pictures, which are left out of the hits.
    device: the model's, where slices are aligned.
    """

    weights: np.ndarray
    slices: list[np.ndarray]
    vector: np.ndarray
    own_pictures: np.ndarray
    device: str = "cpu"


def embed_query(model: EmbeddingModel, terms: Sequence[Term], leave_out_own_pictures: bool) -> EmbeddedQuery:
    """Embed all terms in one call of the model.

    Raises:
        InputError: there is no term, or the terms cancel each other out.
    """
    if not terms:
        raise InputError("The query is empty. Type some words or choose a picture.")
    embeddings = model.embed([t.sample for t in terms])
    weights = np.array([t.weight for t in terms])
    vector = (weights[:, None] * embeddings.pooled).sum(0)  # (D,)
    length = float(np.linalg.norm(vector))
    if length < 1e-6:
        raise InputError("The terms cancel each other out. Change a weight, or remove one of them.")
    own = signatures_of([t.sample for t in terms] if leave_out_own_pictures else [])
    unit = (vector / length).astype(np.float32)
    return EmbeddedQuery(weights, embeddings.slices, unit, own, device_of(model))


def device_of(model: EmbeddingModel) -> str:
    """Where a model computes; a model that says nothing computes on the CPU."""
    return str(getattr(model, "device", "cpu"))


def signatures_of(samples: Sequence[Sample]) -> np.ndarray:
    """The signatures of all pictures in the samples: (pictures, 192) uint8."""
    found = [np.frombuffer(signature(image), np.uint8) for sample in samples for image in sample.images]
    return np.stack(found) if found else np.zeros((0, SIGNATURE), np.uint8)
