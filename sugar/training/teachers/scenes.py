"""The drawn world's teachers: exact functions of the scene graph in the place of the paper's frozen encoders.

    SceneEncoders("bag").encode([scene_slice])

Each slice gets two unit vectors (Triple Kernel, Sugar 3.3): part 1 is fine, within pictures or within texts
(DINOv2 and BGE in the paper); part 2 is read across (CLIP). `bag` keeps part 2 honest: nearly a bag of
attributes, as CLIP is, with a trace of cells and relations; `exact` lets it see what part 1 sees. A text's
vector holds only what its words state, or, where that has no weight, its words. Facts are hashed into
DIMENSION buckets.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from sugar.errors import InputError
from sugar.scenes.words import Fact
from sugar.scenes.world import COLORS, KINDS
from sugar.sequence import Slice
from sugar.training.data.drawn import SceneSlice
from sugar.training.data.example import Example

DIMENSION = 1024
FINE = {
    "pair": 1.0,
    "kind": 0.6,
    "color": 0.4,
    "cell": 0.9,
    "size": 0.45,
    "pattern": 0.45,
    "relation": 0.6,
    "place": 0.9,
    "time": 0.6,
    "weather": 0.6,
    "event": 1.0,
    "word": 0.3,
}
BAG = {
    "pair": 0.5,
    "kind": 1.0,
    "color": 0.7,
    "cell": 0.15,
    "relation": 0.3,
    "place": 1.0,
    "time": 0.5,
    "weather": 0.5,
    "word": 0.3,
}
ROLES = {"image": FINE, "text": FINE, "bag": BAG, "exact": FINE}


@lru_cache(maxsize=1 << 17)
def _bucket(fact: Fact) -> tuple[int, float]:
    """A fact's bucket and sign: two unrelated facts that meet in a bucket cancel as often as they add."""
    code = zlib.crc32(" ".join(fact).encode())
    return code % DIMENSION, 1.0 if code & (1 << 20) else -1.0


def encode_facts(facts: Iterable[Fact], weights: dict[str, float]) -> np.ndarray:
    """Unit vector of weighted facts, (DIMENSION,) float32. A fact stated twice counts sqrt(2) times.

    All zeros if no fact has weight.
    """
    counts: dict[Fact, int] = {}
    for fact in facts:
        if fact[0] in weights:
            counts[fact] = counts.get(fact, 0) + 1
    vector = np.zeros(DIMENSION, np.float32)
    for fact, count in counts.items():
        index, sign = _bucket(fact)
        vector[index] += sign * weights[fact[0]] * count**0.5
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm else vector


class SceneEncoders:
    """across: what part 2 sees, "bag" of attributes as CLIP does, or "exact"."""

    widths = (DIMENSION, DIMENSION)
    cached = False

    def __init__(self, across: str = "exact") -> None:
        self.across, self.name = across, f"scenes-{across}"

    def learn(self, examples: Iterable[Example]) -> None:
        """Nothing: the facts travel with the slices."""

    def encode(self, slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows of drawn slices. Raises InputError for another data set's picture: it has no facts."""
        part1, part2 = [], []
        for s in slices:
            if s.is_image and not isinstance(s, SceneSlice):
                raise InputError("`--teachers scenes` labels the drawn world only. Use other teachers.")
            part1.append(_row(s, ROLES["image" if s.is_image else "text"]))
            part2.append(_row(s, ROLES[self.across]))
        return np.stack(part1), np.stack(part2)


def _row(s: Slice, weights: dict[str, float]) -> np.ndarray:
    """A slice's facts; of a text that states none of weight, as a question or "make it bigger", its words."""
    row = encode_facts(s.facts if isinstance(s, SceneSlice) else (), weights)
    return row if row.any() or s.is_image else encode_facts(map(_word, re.findall(r"\w+", s.text)), weights)


def _word(word: str) -> Fact:
    return ("kind", word) if word in KINDS else ("color", word) if word in COLORS else ("word", word)
