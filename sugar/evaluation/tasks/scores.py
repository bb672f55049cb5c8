"""Scores that several tasks share: predictions in, percent out.

`said(predictions)` are the generated texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sugar.evaluation.benchmark import Pool, Question
from sugar.metrics import bleu, cider_d, coco_rouge_l, normalise_answer, vqa_score

SHORT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."


def said(predictions: Sequence[Any]) -> list[str]:
    return [p["text"] for p in predictions]


def percent(values: Sequence[float] | Sequence[bool]) -> float:
    return 100 * float(np.mean(np.asarray(values, float))) if len(values) else float("nan")


def vqa(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """VQA accuracy over ten answers a question."""
    scores = [vqa_score(text, item.answers) for text, item in zip(said(predictions), items, strict=True)]
    return {"accuracy": percent(scores)}


def exact(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """Share of answers that equal their one reference after lower-casing and dropping the full stop (GQA's
    rule).
    """
    pairs = zip(said(predictions), items, strict=True)
    return {"accuracy": percent([t.strip().rstrip(".").lower() == i.answers[0].lower() for t, i in pairs])}


def captions(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """BLEU-4, ROUGE-L and CIDEr-D of captions against all references of a picture."""
    texts, references = said(predictions), [item.answers for item in items]
    return {
        "bleu4": 100 * bleu(texts, references)[3],
        "cider": 100 * cider_d(texts, references),
        "rouge_l": 100 * coco_rouge_l(texts, references),
    }


def recall(pools: Sequence[Pool], predictions: Sequence[Any]) -> dict[str, float]:
    """R@1, R@5, R@10 by group of queries, the pool's size, and how many queries had a tie."""
    queries = [q for pool in pools for q in pool.queries]
    out: dict[str, float] = {}
    for group in dict.fromkeys(q.group for q in queries):
        own = [p for p, q in zip(predictions, queries, strict=True) if q.group == group]
        name = f"{group}_" if group else ""
        out |= {f"{name}r{k}": percent([p["rank"] < k for p in own]) for k in (1, 5, 10)}
        out |= {
            f"{name}pool": float(max(p["pool"] for p in own)),
            f"{name}ties": float(sum(p["ties"] > 0 for p in own)),
        }
    return out


def contains(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """Share of answers that hold the reference as words."""
    pairs = zip(said(predictions), items, strict=True)
    return {
        "contains": percent(
            [f" {normalise_answer(i.answers[0])} " in f" {normalise_answer(t)} " for t, i in pairs]
        )
    }
