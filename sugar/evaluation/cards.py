"""Knowledge cards with invented facts: find the card by picture and question, read it, answer (method.md A5).

A card's key is its picture and question, its value question and answer; the asker shows another picture of
the object.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from sugar.core import Sugar
from sugar.evaluation.figures import Figure, picture, test_rng
from sugar.evaluation.loops import generate, retrieve
from sugar.metrics import recall_at_k, vqa_accuracy
from sugar.scenes import meet_again, split_rng
from sugar.scenes.words import card_for, sample_card
from sugar.scenes.world import COLORS, HELD_OUT_PAIRS, KINDS, SceneObject
from sugar.sequence import Sample


def measure(model: Sugar, seed: int, size: int) -> dict[str, Figure]:
    """One card for each of up to `size` (object, colour) pairs, all in one knowledge base, and one asker per
    card.

    `card_answer` answers with the card that is retrieved, `card_answer_given` with the right one,
    `card_answer_without` with none. A question is in the words of its card: `evaluate ask` asks in other
    words. language: the commonest answer of the tuning split to the wording; chance: answering from a card
    drawn blindly.
    """
    rng = test_rng(seed, "rag")
    pairs = [(k, c) for k in KINDS for c in COLORS if (k, c) not in HELD_OUT_PAIRS]
    pairs = [pairs[i] for i in rng.permutation(len(pairs))[:size]]
    cards = [card_for(SceneObject(kind, color, "big", "plain", 1, 1), rng) for kind, color in pairs]
    shown, seen = [picture(c.scene) for c in cards], [picture(meet_again(c, rng)) for c in cards]
    similarity = retrieve(
        model,
        [Sample([image, c.question]) for image, c in zip(seen, cards, strict=True)],
        [Sample([image, c.question]) for image, c in zip(shown, cards, strict=True)],
    )
    truth = [c.answer for c in cards]

    def read(chosen: np.ndarray) -> float:
        prompts = [
            Sample([shown[j], cards[j].question, cards[j].answer, seen[i], cards[i].question])
            for i, j in enumerate(chosen)
        ]
        return vqa_accuracy(generate(model, prompts, max_new_tokens=8), truth)

    own = np.arange(len(cards))
    without = vqa_accuracy(
        generate(
            model, [Sample([p, c.question]) for p, c in zip(seen, cards, strict=True)], max_new_tokens=8
        ),
        truth,
    )
    tuning = split_rng("tuning", 2)
    counts: dict[str, Counter[str]] = {}
    for card in (sample_card(tuning) for _ in range(1500)):
        counts.setdefault(card.question.split(" the ")[0], Counter())[card.answer] += 1
    common = vqa_accuracy([counts[c.question.split(" the ")[0]].most_common(1)[0][0] for c in cards], truth)
    blind = float(np.mean([[a == b for a in truth] for b in truth]))
    found = Figure(recall_at_k(similarity, own), 1 / len(cards))
    return {
        "card_answer": Figure(read(similarity.argmax(1)), blind, max(common, without)),
        "card_answer_given": Figure(read(own), blind, max(common, without)),
        "card_found_r1": found,
        "card_answer_without": Figure(without, 0.0, common),
    }
