"""What a step is: how much of everything it holds, its rows, and what the frozen encoders say of its slices.

    StepConfig(photos=32, plain=24)          # counts and chances
    step.slices["photo", 3].vector           # what the embedding of picture 3 is drawn to

Not covered: drawing a step (`steps.py`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sugar.training.photos.material import Material
from sugar.training.photos.packed import PackedRow

__all__ = ["Known", "PhotoStep", "StepConfig", "push"]


@dataclass(frozen=True)
class StepConfig:
    """How many of each a step holds, and how often a photo is asked what."""

    photos: int = 32
    plain: int = 24
    named: int = 8
    made: int = 10
    sentences: int = 48
    words: int = 48
    albums: int = 5
    differences: int = 4
    refusals: int = 3
    chats: int = 2
    captions: int = 5
    questions: int = 2
    matched: float = 0.35
    refused: float = 0.15
    sure_kind: float = 0.6
    sure_word: float = 0.5
    sure_plain: float = 0.4


@dataclass(frozen=True)
class Known:
    """A slice as the frozen encoders see it. own: part 1, of one modality. vector: part 2, across."""

    own: Tensor
    vector: Tensor
    is_image: bool


@dataclass
class PhotoStep:
    """pairs: (text, picture) that belong together. foils: (wrong text, right text, picture). albums:
    interleaved samples, their slices in order. slices: by key, what the encoders say; a foil is not in it."""

    rows: list[PackedRow] = field(default_factory=list)
    pictures: list[tuple[str, int]] = field(default_factory=list)
    slices: dict[Hashable, Known] = field(default_factory=dict)
    pairs: list[tuple[int, int]] = field(default_factory=list)
    foils: list[tuple[int, int, int]] = field(default_factory=list)
    albums: list[list[Hashable]] = field(default_factory=list)
    made: list[tuple[np.ndarray, int]] = field(default_factory=list)


def push(
    material: Material, x: Tensor, kinds: np.ndarray, rng: np.random.Generator, *, alike: bool = False
) -> Tensor:
    """Feature vectors weakened and pushed towards the classifier's rows. x: (N, F), kinds: (N,). alike: all
    as far.
    """
    rows = F.normalize(material.tower.classifier.weight[torch.from_numpy(kinds)], dim=1)
    count = 1 if alike else len(x)
    kept = torch.from_numpy(rng.random((count, 1))).float()
    far = torch.from_numpy(10 + 20 * rng.random((count, 1))).float()
    return (x * kept + rows * far).clamp(0, 6)
