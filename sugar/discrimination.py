"""Which caption fits which picture, and what differs between two pictures.

    fit = compare(model, [picture_a, picture_b], ["a red star in a box", "a box in a red star"])
    fit.similarity, fit.yes, fit.both      # (pictures, captions) each; fit.by("yes")
    verdict(fit.similarity)                # Winoground(text=1.0, image=0.0, group=0.0) of a 2 x 2 matrix
    model.generate(ask_difference(model, picture_a, picture_b))

`similarity` is the cosine of the pooled vectors, `yes` the model's p(yes) for its own yes/no question
(VQAScore, Lin et al. 2024). Comparisons are strict: a tie decides nothing (Thrush et al. 2022).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from sugar.errors import InputError
from sugar.metrics.retrieval import Winoground, winoground
from sugar.sequence import Sample

WAYS = ("similarity", "yes", "both")
MAX_PICTURES, MAX_CAPTIONS, MAX_WORDS = 6, 6, 80


@dataclass(frozen=True, eq=False)
class Fit:
    """How well each caption fits each picture.

    Attributes:
        similarity: (P, C) cosines.
        yes: (P, C) probabilities; None where the model was not asked.
        both: (P, C) in standard deviations, 0 = the matrix's mean; None likewise.
    """

    similarity: np.ndarray
    yes: np.ndarray | None = None
    both: np.ndarray | None = None

    def by(self, way: str) -> np.ndarray:
        """The matrix of one of WAYS. Raises InputError for another name, or one that was not computed."""
        matrix = getattr(self, way, None) if way in WAYS else None
        if matrix is None:
            raise InputError(
                f"There is no matrix by {way!r}. Choose one of "
                f"{', '.join(w for w in WAYS if getattr(self, w) is not None)}."
            )
        return matrix


def compare(
    model: Any,
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    *,
    ask: bool = True,
    progress: Callable[[int, int], Any] | None = None,
    stop: threading.Event | None = None,
) -> Fit:
    """Every picture against every caption, P x C with 1 to 6 of each.

    ask: also ask the model about each pair (P x C short forward passes). progress: called with (pairs done,
    pairs). stop: set it, and the asking ends: only `similarity` comes back. Raises InputError for too many or
    too few, or for a caption that is empty or long.
    """
    captions = [_checked(c) for c in captions]
    if not 1 <= len(pictures) <= MAX_PICTURES or not 1 <= len(captions) <= MAX_CAPTIONS:
        raise InputError(
            f"{len(pictures)} pictures and {len(captions)} captions: give 1 to {MAX_PICTURES} and 1 to "
            f"{MAX_CAPTIONS}."
        )
    vectors = model.embed([Sample(p) for p in pictures] + [Sample(c) for c in captions]).pooled  # (P + C, D)
    similarity = vectors[: len(pictures)] @ vectors[len(pictures) :].T  # (P, C)
    if not ask:
        return Fit(similarity)
    odds = np.zeros_like(similarity, dtype=np.float64)
    for done, (i, j) in enumerate(np.ndindex(odds.shape)):
        if stop is not None and stop.is_set():
            return Fit(similarity)
        if progress is not None:
            progress(done, odds.size)
        odds[i, j] = model.log_odds([Sample([pictures[i], model.profile.match_question(captions[j])])])[0]
    return Fit(similarity, 1 / (1 + np.exp(-odds)), (_standard(similarity) + _standard(odds)) / 2)


def ask_difference(model: Any, first: Image.Image, second: Image.Image) -> Sample:
    """Two pictures and the model's own question about what differs between them."""
    return Sample([first, second, model.profile.difference])


def verdict(matrix: np.ndarray) -> Winoground:
    """Winoground's three scores, 0 or 1, of a (2, 2) matrix, caption i belonging to picture i.

    Raises InputError for another shape.

    >>> verdict(np.array([[0.9, 0.1], [0.8, 0.85]])).group
    1.0
    >>> verdict(np.array([[0.9, 0.1], [0.9, 0.95]])).image
    0.0
    """
    s = np.asarray(matrix)
    if s.shape != (2, 2):
        raise InputError(
            f"Winoground's verdict needs 2 pictures and 2 captions, not {' x '.join(map(str, s.shape))}."
        )
    return winoground(s.T[None])


def _checked(caption: str) -> str:
    """A caption as the question takes it: one line, no closing full stop."""
    words = re.sub(r"\s+", " ", caption).strip().rstrip(".").rstrip()
    if not words:
        raise InputError("A caption is empty. Type some words, or take the row away.")
    if len(words.split()) > MAX_WORDS:
        raise InputError(
            f"A caption has {len(words.split())} words; {MAX_WORDS} are read at most. Shorten it."
        )
    return words


def _standard(matrix: np.ndarray) -> np.ndarray:
    spread = float(matrix.std())
    return (matrix - matrix.mean()) / spread if spread > 1e-9 else np.zeros_like(matrix)
