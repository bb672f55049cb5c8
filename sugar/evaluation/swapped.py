"""Winoground on swapped pairs: the same words in another order, by embedding and by the probability of
"yes"."""

from __future__ import annotations

import numpy as np

from sugar.core import Sugar
from sugar.evaluation.figures import Figure, picture, test_rng
from sugar.evaluation.loops import log_odds, match
from sugar.metrics import winoground
from sugar.scenes import match_question, sample_winoground
from sugar.sequence import Sample

SCORER = "answer"
"""The way that `winoground_*` without a suffix reports, chosen before any test: the chat model's "yes".

Both are reported.
"""

CHANCE = {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6}


def measure(model: Sugar, seed: int, size: int) -> dict[str, Figure]:
    """`size` pairs, by embedding and by answer; `winoground_*` without a suffix is SCORER's.

    Words alone, and pictures alone, give every caption or picture the same score, so with strict comparisons
    their baseline is 0.
    """
    rng = test_rng(seed, "winoground")
    pairs = [sample_winoground(rng) for _ in range(size)]
    captions = [[Sample(t.words) for t in p.captions] for p in pairs]
    pictures = [[picture(s) for s in p.scenes] for p in pairs]
    asked = [
        Sample([image, match_question(t.words)])
        for p, two in zip(pairs, pictures, strict=True)
        for t in p.captions
        for image in two
    ]
    scores = {
        "answer": log_odds(model, asked).reshape(-1, 2, 2),  # [pair, caption, picture]
        "embedding": match(model, captions, [[Sample(image) for image in two] for two in pictures]),
    }
    attribute = np.array([p.kind == "attribute" for p in pairs])
    figures: dict[str, Figure] = {}
    for way, s in scores.items():
        whole = winoground(s)
        figures |= {
            f"winoground_{name}_{way}": Figure(getattr(whole, name), chance, 0.0, 0.0)
            for name, chance in CHANCE.items()
        }
        for kind, chosen in (("attribute", attribute), ("relation", ~attribute)):
            if chosen.any():
                figures[f"winoground_group_{way} {kind}"] = Figure(
                    winoground(s[chosen]).group, CHANCE["group"], 0.0, 0.0
                )
    return figures | {f"winoground_{name}": figures[f"winoground_{name}_{SCORER}"] for name in CHANCE}
