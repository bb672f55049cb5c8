"""Tell apart: which caption fits which picture, and what differs between two pictures.

    compare = CompareService(workspace)
    result = compare.compare(visitor, pictures, captions)
    result.fit.by("similarity"), result.best_captions("similarity")
    for answer in compare.difference(visitor, first, second): answer.text

The last result is kept for the visitor, so that another score can be shown without a new run. Not covered:
the scores themselves (sugar/discrimination.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sugar.discrimination import WAYS, Fit, ask_difference, compare, verdict
from sugar.errors import InputError
from sugar.metrics import Winoground
from sugar.sequence import Sampling
from sugar.services.visitors import Page
from sugar.services.workspace import Generated, Workspace

__all__ = ["Best", "CompareResult", "CompareService"]

DIFFERENCE_TOKENS = 128


@dataclass(frozen=True)
class Best:
    """What fits one picture, or one caption, best.

    Attributes:
        number: of the picture or caption, from 0.
        best: numbers of what fits it best; several when they tie.
        score: the highest score.
        second: the highest of the other scores; None when there is no other.
    """

    number: int
    best: tuple[int, ...]
    score: float
    second: float | None


@dataclass(frozen=True, eq=False)
class CompareResult:
    """Pictures against captions: `fit.by(way)` is a matrix (pictures, captions)."""

    pictures: tuple[Image.Image, ...]
    captions: tuple[str, ...]
    fit: Fit

    @property
    def ways(self) -> tuple[str, ...]:
        """The scores that were computed."""
        return tuple(way for way in WAYS if getattr(self.fit, way) is not None)

    def best_captions(self, way: str) -> list[Best]:
        """For each picture, the caption that fits it best."""
        return [_best(i, row) for i, row in enumerate(np.asarray(self.fit.by(way)))]

    def best_pictures(self, way: str) -> list[Best]:
        """For each caption, the picture that fits it best."""
        return [_best(j, column) for j, column in enumerate(np.asarray(self.fit.by(way)).T)]

    def winoground(self, way: str) -> Winoground:
        """Winoground's three scores, where caption i belongs to picture i. Raises InputError unless 2 x 2."""
        return verdict(self.fit.by(way))


def _best(number: int, scores: np.ndarray) -> Best:
    """The highest of `scores` (n,)."""
    best = tuple(int(i) for i in np.flatnonzero(scores == scores.max()))
    others = np.delete(scores, best)
    return Best(number, best, float(scores.max()), float(others.max()) if len(others) else None)


@dataclass
class CompareState:
    """The visitor's last result."""

    result: CompareResult | None = None


class CompareService:
    """See the module docstring."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def compare(
        self,
        visitor: Page,
        pictures: Sequence[Image.Image],
        captions: Sequence[str],
        *,
        ask: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> CompareResult:
        """Score every picture (2 to 6) against every caption (1 to 6); the result becomes the visitor's last.

        ask: also ask the model about every pair; stopping the visitor's answer ends the questions. progress:
        called with the pairs done, and with all. Raises InputError: too few or too many, or stopped.
        """
        if len(pictures) < 2:
            raise InputError(f"Choose 2 to 6 pictures to compare (now {len(pictures)}).")
        model = self.workspace.model()
        with visitor.answering() as stop:
            fit = compare(model, pictures, captions, ask=ask, progress=progress, stop=stop)
        if ask and fit.yes is None:
            raise InputError("Stopped before the model was asked about every pair.")
        result = CompareResult(tuple(pictures), tuple(captions), fit)
        visitor.state.of(CompareState).result = result
        return result

    def last(self, visitor: Page) -> CompareResult | None:
        """The visitor's last result."""
        return visitor.state.of(CompareState).result

    def forget(self, visitor: Page) -> None:
        """Forget the visitor's last result."""
        visitor.state.of(CompareState).result = None

    def difference(self, visitor: Page, first: Image.Image, second: Image.Image) -> Iterator[Generated]:
        """What differs between two pictures, in the model's words, asked as its profile says."""
        question = ask_difference(self.workspace.model(), first, second)
        most = min(DIFFERENCE_TOKENS, self.workspace.settings.max_tokens)
        yield from self.workspace.generate(visitor, question, Sampling(max_new_tokens=most))
