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
from sugar.metrics.retrieval import Winoground
from sugar.sequence import Sampling
from sugar.services.search import CUT_OFF
from sugar.services.visitors import Page
from sugar.services.workspace import Generated, Workspace

DIFFERENCE_TOKENS = 128


@dataclass(frozen=True)
class Best:
    """What fits one picture, or one caption, best.

    Attributes:
        number: of the picture or caption, from 0.
        best: numbers of what fits it best; several when they tie.
        well: whether that fits at all, or is only the least bad.
        margin: how far the highest score is above the next, in standard deviations of the whole table; None
            when there is no other.
    """

    number: int
    best: tuple[int, ...]
    well: bool
    margin: float | None


@dataclass(frozen=True, eq=False)
class CompareResult:
    """Pictures against captions: `fit.by(way)` is a matrix (pictures, captions).

    cut: the cosine below which a caption does not fit a picture, where the checkpoint's was measured. Without
    one the model's p(yes) decides, from a half on; without that either, everything counts as fitting.
    """

    pictures: tuple[Image.Image, ...]
    captions: tuple[str, ...]
    fit: Fit
    cut: float | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        """The scores that were computed."""
        return tuple(way for way in WAYS if getattr(self.fit, way) is not None)

    @property
    def well(self) -> np.ndarray:
        """(pictures, captions) whether the caption fits the picture at all."""
        if self.cut is not None:
            return np.asarray(self.fit.similarity) >= self.cut
        return np.ones_like(self.fit.similarity, bool) if self.fit.yes is None else self.fit.yes >= 0.5

    def best_captions(self, way: str) -> list[Best]:
        """For each picture, the caption that fits it best."""
        return _best(np.asarray(self.fit.by(way)), self.well)

    def best_pictures(self, way: str) -> list[Best]:
        """For each caption, the picture that fits it best."""
        return _best(np.asarray(self.fit.by(way)).T, self.well.T)

    def winoground(self, way: str) -> Winoground:
        """Winoground's three scores, where caption i belongs to picture i. Raises InputError unless 2 x 2."""
        return verdict(self.fit.by(way))


def _best(scores: np.ndarray, well: np.ndarray) -> list[Best]:
    """The highest of each row of `scores` (n, m)."""
    spread, out = max(float(scores.std()), 1e-9), []
    for number, row in enumerate(scores):
        best = tuple(int(i) for i in np.flatnonzero(row == row.max()))
        others = np.delete(row, best)
        margin = float(row.max() - others.max()) / spread if len(others) else None
        out.append(Best(number, best, bool(well[number, list(best)].any()), margin))
    return out


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
        result = CompareResult(tuple(pictures), tuple(captions), fit, model.profile.abstain.get(CUT_OFF))
        visitor.state.of(CompareState).result = result
        return result

    def last(self, visitor: Page) -> CompareResult | None:
        """The visitor's last result."""
        return visitor.state.of(CompareState).result

    def forget(self, visitor: Page) -> None:
        """Forget the visitor's last result."""
        visitor.state.of(CompareState).result = None

    def difference(self, visitor: Page, first: Image.Image, second: Image.Image) -> Iterator[Generated]:
        """What differs between two pictures, in the model's words, asked as its profile says.

        Raises InputError: the profile has no question, since the model was not measured to tell.
        """
        model = self.workspace.model()
        if not model.profile.difference:
            raise InputError(f"{model.name} cannot tell what differs between pictures. Load another model.")
        question = ask_difference(model, first, second)
        most = min(DIFFERENCE_TOKENS, self.workspace.settings.max_tokens)
        yield from self.workspace.generate(visitor, question, Sampling(max_new_tokens=most))
