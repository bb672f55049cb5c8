"""The drawn world's teachers: exact functions of the scene graph (sugar/scenes/encoders.py).

SceneEncoders("bag").encode([scene_slice])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sugar.errors import InputError
from sugar.scenes.encoders import DIMENSION, ROLES, encode_facts
from sugar.sequence import Slice
from sugar.training.data.drawn import SceneSlice
from sugar.training.data.example import Example

__all__ = ["SceneEncoders"]


class SceneEncoders:
    """across: what part 2 sees, "bag" of attributes as CLIP does, or "exact"."""

    widths = (DIMENSION, DIMENSION)
    cached = False

    def __init__(self, across: str = "exact") -> None:
        self.across, self.name = across, f"scenes-{across}"

    def learn(self, examples: Iterable[Example]) -> None:
        """Nothing: the facts travel with the slices."""

    def encode(self, slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows of drawn slices. Raises InputError for another data set's slice: it has no facts."""
        part1, part2 = [], []
        for s in slices:
            if not isinstance(s, SceneSlice):
                raise InputError("`--teachers scenes` labels the drawn world only. Use other teachers.")
            part1.append(_unit(encode_facts(s.facts, ROLES["image" if s.is_image else "text"])))
            part2.append(_unit(encode_facts(s.facts, ROLES[self.across])))
        return np.stack(part1), np.stack(part2)


def _unit(row: np.ndarray) -> np.ndarray:
    if not row.any():  # a text that states nothing, as "remove the star" does: a direction of its own
        row = row.copy()
        row[0] = 1.0
    return row
