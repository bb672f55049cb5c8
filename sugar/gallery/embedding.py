"""What a gallery asks of a model, and how a batch is embedded so that a bad picture costs only itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sugar.sequence import Embeddings, Sample

__all__ = ["EmbeddingModel", "Vectors", "embed_each"]

Vectors = tuple[np.ndarray, np.ndarray]
"""(slices (n, D) float32, is_image (n,) bool) of one item; row 0 is the pooled vector."""


class EmbeddingModel(Protocol):
    """A model as a gallery sees it."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings: ...


def embed_each(model: Any, samples: Sequence[Sample]) -> tuple[list[Vectors | None], list[str]]:
    """Vectors, or None and the reason, for every sample. A batch that fails is tried again one by one.

    When more than one was given and every one fails, it is the model's fault and its error is raised.
    """

    def rows(e: Embeddings) -> list[Vectors | None]:
        return list(zip(e.slices, e.is_image, strict=True))

    if not samples:
        return [], []
    try:
        return rows(model.embed(samples)), [""] * len(samples)
    except Exception as whole:
        vectors: list[Vectors | None] = []
        faults = []
        for sample in samples:
            try:
                vectors += rows(model.embed([sample]))
                faults.append("")
            except Exception as error:
                vectors.append(None)
                faults.append(f"The model could not embed it ({error}). It is kept; re-index to try again.")
        if len(samples) > 1 and all(faults):
            raise whole
        return vectors, faults
