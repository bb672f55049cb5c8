"""Questions of every kind, exact answers (VQA's measure), and confusion of kinds and of colours."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sugar.core import Sugar
from sugar.evaluation.baselines import habit
from sugar.evaluation.figures import BLANK, Figure, picture, test_rng
from sugar.evaluation.loops import generate
from sugar.metrics import vqa_accuracy
from sugar.scenes import ask, sample_scene
from sugar.scenes.questions import ASKERS, RELATION_KINDS, Question
from sugar.scenes.words import CELLS, NUMBERS
from sugar.scenes.world import COLORS, KINDS, PATTERNS, PLACES, WEATHERS
from sugar.sequence import Sample

CHOICES = {
    "color": len(COLORS),
    "kind": len(KINDS),
    "size": 2,
    "pattern": len(PATTERNS),
    "count": len(NUMBERS),
    "place": len(PLACES),
    "time": 2,
    "weather": len(WEATHERS),
    "where": sum(map(len, CELLS)),
    "exist": 2,
    "relation open": len(COLORS) * len(KINDS),
    "relation yes/no": 2,
    "relation choice": 2,
    "compare": 2,
    "choose": 2,
    "match": 2,
}
"""How many answers a question of each kind has: chance is one of them."""


@dataclass
class Asked:
    """What was asked and what was said, kept for the confusion picture."""

    truth: dict[str, list[str]] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)


def measure(model: Sugar, seed: int, size: int, asked: Asked | None = None) -> dict[str, Figure]:
    """One question of each kind about each of `size` scenes that admit it.

    `vqa` is the mean over kinds, `relation` over the three
    relation kinds. A quarter of the questions, 100 at least, is asked of a blank picture too."""
    rng = test_rng(seed, "vqa")
    scenes = [sample_scene(rng) for _ in range(size)]
    pictures = [picture(s) for s in scenes]
    known = habit()
    figures: dict[str, Figure] = {}
    for kind in ASKERS:
        pairs = [(p, q) for s, p in zip(scenes, pictures, strict=True) if (q := ask(s, kind, rng))]
        wanted: list[Question] = [q for _, q in pairs]
        truth = [q.answer for q in wanted]
        said = generate(model, [Sample([p, q.text]) for p, q in pairs], max_new_tokens=8)
        blind = slice(0, max(min(len(pairs), 100), len(pairs) // 4))
        unseen = vqa_accuracy(
            generate(model, [Sample([BLANK, q.text]) for q in wanted[blind]], max_new_tokens=8), truth[blind]
        )
        language = max(unseen, vqa_accuracy(known.answers(wanted), truth))
        figures[f"vqa {kind}"] = Figure(vqa_accuracy(said, truth), 1 / CHOICES[kind], language)
        if asked is not None:
            asked.truth[kind], asked.said[kind] = truth, said
    figures["vqa"] = mean([figures[f"vqa {kind}"] for kind in ASKERS])
    figures["relation"] = mean([figures[f"vqa {kind}"] for kind in RELATION_KINDS])
    return figures


def mean(figures: list[Figure]) -> Figure:
    """The mean of figures that all have chance and language-only baselines."""
    return Figure(
        *(float(np.mean([getattr(f, name) for f in figures])) for name in ("value", "chance", "language"))
    )
