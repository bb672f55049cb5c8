"""Scores that several tasks share: predictions in, percent out.

`said(predictions)` are the generated texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sugar.evaluation.benchmark import Part, Pool, Question, flat
from sugar.metrics.answers import vqa_score
from sugar.metrics.captions import bleu, cider_d, coco_rouge_l

SHORT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."


def said(predictions: Sequence[Any]) -> list[str]:
    return [p["text"] for p in predictions]


def percent(values: Sequence[float] | Sequence[bool]) -> float:
    return 100 * float(np.mean(np.asarray(values, float))) if len(values) else float("nan")


def by_group(items: Sequence[Any], predictions: Sequence[Any]) -> dict[str, list[tuple[Any, Any]]]:
    """Group -> its items or queries, each with its prediction."""
    out: dict[str, list[tuple[Any, Any]]] = {}
    for item, prediction in zip(flat(items), predictions, strict=True):
        out.setdefault(item.group, []).append((item, prediction))
    return out


def beside(
    key: str,
    value: float,
    chance: float | None = None,
    language: float | None = None,
    picture: float | None = None,
) -> dict[str, float]:
    """A share as a figure in percent, beside what guessing, words alone and pictures alone give."""
    known = {"chance": chance, "language": language, "picture": picture}
    floors = {f"{key}_{name}": 100 * float(v) for name, v in known.items() if v is not None}
    baseline = {f"{key}_baseline": max(floors.values())} if floors else {}
    return {key: 100 * float(value), **floors, **baseline}


def of_blank(questions: Sequence[Question], blank: Part) -> list[Question]:
    """Each distinct question once, of a picture that says nothing: what words alone give."""
    asked = {(text, q.tokens) for q in questions if isinstance(text := q.parts[-1], str)}
    return [
        Question(f"blank/{tokens}/{text}", (blank, text), group="blank", tokens=tokens)
        for text, tokens in sorted(asked)
    ]


def asked_once(items: Iterable[Any]) -> list[Any]:
    """The items without repeats: parts ask a blank picture the same things."""
    return list({next(flat([i])).key: i for i in items}.values())


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
