"""What a benchmark hands back: a share beside what can be had without understanding, and the scenes that it
was asked about.

Figure(0.91, chance=0.001)                       # a share of 1 and its baselines
Figure(0.91, chance=0.1, language=0.2).baseline  # the strongest of them: 0.2
rng = test_rng(seed, "vqa")                      # a stream of the test split that no other benchmark shares
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sugar.scenes.draw import draw
from sugar.scenes.world import Scene, split_rng


@dataclass(frozen=True)
class Figure:
    """value: the model's share, in [0, 1]. chance: of guessing.

    language: from words alone, the better of a habit learnt on the tuning
    split and, where measured, the model itself shown a blank picture. picture: from pictures alone. None:
    does not apply."""

    value: float
    chance: float | None = None
    language: float | None = None
    picture: float | None = None

    @property
    def baseline(self) -> float:
        """The strongest baseline that applies; 0 when none does."""
        known = [b for b in (self.chance, self.language, self.picture) if b is not None]
        return max(known, default=0.0)


def test_rng(seed: int, benchmark: str) -> np.random.Generator:
    """The test split's generator for one benchmark: adding a benchmark changes no other's scenes."""
    return split_rng("test", (int(seed) << 32) + zlib.crc32(benchmark.encode()))


def picture(scene: Scene) -> Image.Image:
    """The scene as the model sees it."""
    return Image.fromarray(draw(scene))


BLANK = Image.new("RGB", (96, 96), (128, 128, 128))
"""The picture that says nothing, for language-only baselines."""
