"""The loops that every benchmark is made of, batched over a `Sugar`:

    generate(model, samples)                    # N greedy answers, as `model.generate` gives them
    choose(model, samples, ["yes", "no"])       # (N, 2) log p(answer | sample)
    match(model, pairs_of_samples, ...)         # (P, 2, 2) cosines of swapped pairs, Winoground's form
    retrieve(model, queries, candidates)        # (Q, C) cosines of pooled embeddings

All run without gradients in batches of like length under the model's own token bound. Not covered: sampling,
several turns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sugar.core import Sugar
from sugar.sequence import Sample


def generate(model: Sugar, samples: Sequence[Sample], *, max_new_tokens: int = 48) -> list[str]:
    """The greedy answer to each sample, as `model.generate` at temperature 0 gives it. N texts."""
    return model.generator.answers(samples, max_new_tokens=max_new_tokens, adapter=model.adapter)


def choose(
    model: Sugar, samples: Sequence[Sample], answers: Sequence[str], *, end: bool = False
) -> np.ndarray:
    """(N, answers) log p(answer | sample), summed over the answer's tokens.

    end: the token that ends the answer counts.
    """
    return model.scorer.score_many(samples, answers, end=end, adapter=model.adapter)


def log_odds(model: Sugar, questions: Sequence[Sample]) -> np.ndarray:
    """(N,) log p(yes) - log p(no), by the model's one yes-or-no scorer."""
    return model.log_odds(questions)


def retrieve(model: Sugar, queries: Sequence[Sample], candidates: Sequence[Sample]) -> np.ndarray:
    """(Q, C) cosines of the pooled embeddings: one vector per query and candidate."""
    return model.embed(queries).pooled @ model.embed(candidates).pooled.T


def match(
    model: Sugar, captions: Sequence[Sequence[Sample]], pictures: Sequence[Sequence[Sample]]
) -> np.ndarray:
    """(P, 2, 2) cosines [pair, caption, picture] of P pairs of captions and pairs of pictures."""
    sides = [
        model.embed([s for pair in pairs for s in pair]).pooled.reshape(len(pairs), 2, -1)
        for pairs in (captions, pictures)
    ]
    return np.einsum("pcd,pid->pci", *sides)
