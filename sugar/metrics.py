"""The field's metrics: arrays and texts in, shares between 0 and 1 out. They know no model and no data set.

    recall_at_k(similarity, target, k=1)          # similarity (Q, C), target (Q,) the right candidate of each query
    winoground(scores).group                      # scores (P, 2, 2): [pair, caption, picture]
    vqa_accuracy(["Yes."], ["yes"])               # 1.0
    pope(said, truth).f1
    caption_f1(named, there)                      # multisets of (thing, colour), or of anything else
    rouge_l("a red star", "the red star")         # 0.667

Comparisons are strict: a tie with a wrong candidate is a miss, so a model that gives everything one score scores 0, not 1.
Not covered: CIDEr, judges, anything that needs a corpus.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sugar.errors import InputError

__all__ = [
    "Pope", "Winoground", "caption_f1", "normalise_answer", "pairwise_accuracy", "pope", "ranks", "recall_at_k", "rouge_l", "vqa_accuracy",
    "vqa_hits", "winoground",
]  # fmt: skip


def _same_length(left: Sequence | np.ndarray, right: Sequence | np.ndarray, what: str) -> None:
    if len(left) != len(right):
        raise InputError(f"{what}: {len(left)} against {len(right)}. Give as many of one as of the other.")


# --- retrieval ------------------------------------------------------------------------------------------------------------------------


def ranks(similarity: np.ndarray, target: np.ndarray) -> np.ndarray:
    """How many wrong candidates score at least as high as the best right one: (Q,) ints, 0 is a hit at 1.

    similarity: (Q, C). target: (Q,) int, the right candidate of each query, or (Q, C) bool, all right ones. nan never wins.
    Raises InputError when shapes do not fit or a query has no right candidate.

    >>> ranks(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0, 1]))
    array([0, 1])
    """
    similarity, target = np.asarray(similarity, np.float64), np.asarray(target)
    _same_length(similarity, target, "Queries and targets")
    if target.ndim == 1:
        chosen = np.zeros(similarity.shape, bool)
        chosen[np.arange(len(target)), target] = True
        target = chosen
    if target.shape != similarity.shape or not target.any(1).all():
        raise InputError(f"Targets of shape {target.shape} for similarities {similarity.shape}: every query needs a right candidate.")
    best = np.where(target & ~np.isnan(similarity), similarity, -np.inf).max(1, keepdims=True)  # (Q, 1)
    return (~target & ~(similarity < best)).sum(1)


def recall_at_k(similarity: np.ndarray, target: np.ndarray, k: int = 1) -> float:
    """Share of queries with a right candidate among the first k; ties count against it. Arguments as in `ranks`.

    >>> recall_at_k(np.array([[0.9, 0.1, 0.3], [0.8, 0.2, 0.4]]), np.array([0, 2]), k=1)
    0.5
    """
    return float((ranks(similarity, target) < k).mean())


def pairwise_accuracy(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of s(positive) > s(negative), strict (SugarCrepe). Both (N,)."""
    _same_length(positive, negative, "Positives and negatives")
    return float((np.asarray(positive) > np.asarray(negative)).mean())


# --- Winoground -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Winoground:
    """Shares of pairs whose right caption wins for both pictures, whose right picture wins for both captions, and both."""

    text: float
    image: float
    group: float


def winoground(scores: np.ndarray) -> Winoground:
    """Winoground's three scores, strict (Thrush et al. 2022). scores: (P, 2, 2), [pair, caption, picture]; caption i fits picture i.

    Guessing gives 1/4, 1/4 and 1/6.

    >>> winoground(np.array([[[0.9, 0.1], [0.8, 0.3]]]))          # caption 1 likes picture 0 better
    Winoground(text=1.0, image=0.0, group=0.0)
    """
    s = np.asarray(scores, np.float64)
    if s.ndim != 3 or s.shape[1:] != (2, 2):
        raise InputError(f"Winoground scores have shape {s.shape}; give (pairs, 2 captions, 2 pictures).")
    text = (s[:, 0, 0] > s[:, 1, 0]) & (s[:, 1, 1] > s[:, 0, 1])
    image = (s[:, 0, 0] > s[:, 0, 1]) & (s[:, 1, 1] > s[:, 1, 0])
    return Winoground(float(text.mean()), float(image.mean()), float((text & image).mean()))


# --- answers --------------------------------------------------------------------------------------------------------------------------

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {w: str(n) for n, w in enumerate(_WORDS)}


def normalise_answer(text: str) -> str:
    """An answer as VQA compares it: lower case, no punctuation, no articles, number words as digits, single spaces.

    >>> normalise_answer("Yes."), normalise_answer("A  red star!"), normalise_answer("three")
    ('yes', 'red star', '3')
    """
    words = re.findall(r"\w+(?:[.,]\d+)*", text.casefold().replace("'", ""))
    return " ".join(_NUMBERS.get(w, w) for w in words if w not in ("a", "an", "the"))


def vqa_hits(predictions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """(N,) bool: which predictions equal their answer after `normalise_answer`."""
    _same_length(predictions, answers, "Predictions and answers")
    return np.array([normalise_answer(p) == normalise_answer(a) for p, a in zip(predictions, answers, strict=True)], bool)


def vqa_accuracy(predictions: Sequence[str], answers: Sequence[str]) -> float:
    """Share of exact answers after `normalise_answer`. nan without questions."""
    hits = vqa_hits(predictions, answers)
    return float(hits.mean()) if len(hits) else float("nan")


@dataclass(frozen=True)
class Pope:
    """POPE's figures for yes/no answers, yes being the positive class. precision, recall and f1 are 0 where undefined."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    yes_ratio: float


def pope(predictions: Sequence[str], answers: Sequence[str]) -> Pope:
    """POPE (Li et al. 2023). The first word decides; a prediction that says neither yes nor no is wrong, and no yes.

    >>> pope(["Yes.", "yes", "no", "well"], ["yes", "no", "no", "no"])
    Pope(accuracy=0.5, precision=0.5, recall=1.0, f1=0.6666666666666666, yes_ratio=0.5)
    """
    _same_length(predictions, answers, "Predictions and answers")
    said = [(normalise_answer(p).split() or [""])[0] for p in predictions]
    truth = [normalise_answer(a) for a in answers]
    yes = np.array([s == "yes" for s in said])
    wanted = np.array([t == "yes" for t in truth])
    right = np.array([s == t for s, t in zip(said, truth, strict=True)])
    hits = float((yes & wanted).sum())
    precision = hits / yes.sum() if yes.any() else 0.0
    recall = hits / wanted.sum() if wanted.any() else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return Pope(float(right.mean()), float(precision), float(recall), float(f1), float(yes.mean()))


# --- texts ----------------------------------------------------------------------------------------------------------------------------


def caption_f1(predicted: Iterable[Iterable[Hashable]], reference: Iterable[Iterable[Hashable]]) -> float:
    """F1 over all captions together of what they name, counted with repeats. 0 when nothing is right.

    >>> caption_f1([["red star", "red star"]], [["red star", "blue cat"]])       # one of two named, one of two there
    0.5
    """
    named = [Counter(p) for p in predicted]
    there = [Counter(r) for r in reference]
    _same_length(named, there, "Captions and references")
    hits = sum((n & t).total() for n, t in zip(named, there, strict=True))
    both = sum(n.total() for n in named) + sum(t.total() for t in there)
    return 2 * hits / both if hits else 0.0


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L, F1 of the longest common subsequence of words (Lin 2004, beta 1). 0 when either has no words.

    >>> round(rouge_l("a red star", "the red star"), 3)
    0.667
    """
    a, b = re.findall(r"\w+", prediction.casefold()), re.findall(r"\w+", reference.casefold())
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for j, other in enumerate(b):
            diagonal, row[j + 1] = row[j + 1], diagonal + 1 if word == other else max(row[j + 1], row[j])
    return 2 * row[-1] / (len(a) + len(b)) if row[-1] else 0.0
