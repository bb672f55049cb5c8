"""Stories in VIST's form: five captions and four pictures call for the fifth picture.

The story's own earlier pictures are left out.
"""

from __future__ import annotations

import numpy as np

from sugar.core import Sugar
from sugar.evaluation.figures import Figure, picture, test_rng
from sugar.evaluation.loops import retrieve
from sugar.metrics import recall_at_k
from sugar.scenes import sample_story
from sugar.sequence import Sample


def measure(model: Sugar, seed: int, size: int) -> dict[str, Figure]:
    """`size` stories; candidates are the fifth pictures of all.

    language: the five captions alone; picture: the fourth picture alone.
    """
    rng = test_rng(seed, "story")
    stories = [sample_story(rng) for _ in range(size)]
    pictures = [[picture(s) for s in story.scenes] for story in stories]
    words = [[t.words for t in story.sentences] for story in stories]
    last = [Sample(p[4]) for p in pictures]
    own = np.arange(size)
    whole = [
        Sample([part for both in zip(w, p[:4], strict=False) for part in both] + [w[4]])
        for w, p in zip(words, pictures, strict=True)
    ]
    queries = {
        "whole": whole,
        "captions": [Sample(w) for w in words],
        "fourth": [Sample(p[3]) for p in pictures],
    }
    found = {name: retrieve(model, q, last) for name, q in queries.items()}

    def figure(name: str, k: int, **baselines: float) -> Figure:
        return Figure(recall_at_k(found[name], own, k), min(1.0, k / size), **baselines)

    figures = {}
    for k in (1, 5, 10):
        figures[f"story_5c_r{k}"] = figure("captions", k)
        figures[f"story_r{k}"] = figure(
            "whole", k, language=figures[f"story_5c_r{k}"].value, picture=figure("fourth", k).value
        )
    return figures
