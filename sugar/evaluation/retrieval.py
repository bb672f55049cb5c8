"""Text -> image and image -> text among as many candidates as queries, long and short captions (MSCOCO's
form).
"""

from __future__ import annotations

import numpy as np

from sugar.core import Sugar
from sugar.evaluation.figures import Figure, picture, test_rng
from sugar.evaluation.loops import retrieve
from sugar.metrics import recall_at_k
from sugar.scenes import long_caption, sample_scene, short_caption
from sugar.sequence import Sample


def measure(model: Sugar, seed: int, size: int) -> dict[str, Figure]:
    """`size` scenes, each with a long and a short caption.

    Short ones fit several scenes by nature; they are reported, not judged.
    """
    rng = test_rng(seed, "retrieval")
    scenes = [sample_scene(rng) for _ in range(size)]
    pictures = [Sample(picture(s)) for s in scenes]
    own = np.arange(size)
    figures = {}
    for name, make in (("", long_caption), ("_short", short_caption)):
        similarity = retrieve(
            model, [Sample(make(s, rng).words) for s in scenes], pictures
        )  # (texts, pictures)
        for k in (1, 5, 10):
            chance = min(1.0, k / size)
            figures[f"t2i_r{k}{name}"] = Figure(recall_at_k(similarity, own, k), chance)
            figures[f"i2t_r{k}{name}"] = Figure(recall_at_k(similarity.T, own, k), chance)
    return figures
