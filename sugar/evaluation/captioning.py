"""Describe the picture: F1 over the objects named with their colour (repeats counted), and ROUGE-L against
the plain caption.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sugar.core import Sugar
from sugar.evaluation.figures import BLANK, Figure, picture, test_rng
from sugar.evaluation.loops import generate
from sugar.metrics import caption_f1, rouge_l
from sugar.scenes import plain_caption, sample_scene
from sugar.scenes.words import DESCRIBE
from sugar.scenes.world import COLORS, KINDS
from sugar.sequence import Sample

_NAMED = re.compile(rf"\b({'|'.join(COLORS)}) ({'|'.join(KINDS)})\b")


def named(text: str) -> list[tuple[str, ...]]:
    """The (colour, kind) pairs that a text names, in order.

    >>> named("a red star and a big blue cat by the lake")
    [('red', 'star'), ('blue', 'cat')]
    """
    return [m.groups() for m in _NAMED.finditer(text.lower())]


def measure(model: Sugar, seed: int, size: int) -> dict[str, Figure]:
    """`size` scenes, asked in every wording.

    chance: the right caption of another scene; language: the caption of a blank picture.
    """
    rng = test_rng(seed, "caption")
    scenes = [sample_scene(rng) for _ in range(size)]
    words = [DESCRIBE[i % len(DESCRIBE)] for i in range(size)]
    said = generate(model, [Sample([picture(s), w]) for s, w in zip(scenes, words, strict=True)])
    blind = (generate(model, [Sample([BLANK, w]) for w in DESCRIBE]) * (size // len(DESCRIBE) + 1))[:size]
    right = [plain_caption(s) for s in scenes]
    strangers = right[1:] + right[:1]

    def f1(texts: Sequence[str]) -> float:
        return caption_f1([named(t) for t in texts], [[(t.color, t.kind) for t in s.objects] for s in scenes])

    def rouge(texts: Sequence[str]) -> float:
        return float(np.mean([rouge_l(t, r) for t, r in zip(texts, right, strict=True)]))

    return {
        "caption_f1": Figure(f1(said), f1(strangers), f1(blind)),
        "caption_rouge_l": Figure(rouge(said), rouge(strangers), rouge(blind)),
    }
