"""What the model reads: passages and a question, by the checkpoint's own template, within a budget of tokens.

    sample = prompt(model, passages, question)          # passages ranked best first; the best stands next
    to the question

The template is `model.profile.reading`. A template of `{passages}{question}` alone is the paper's form
(Sugar, A5: picture, question, answer, then the question); one with instructions gets numbered passages.
Passages that do not fit are dropped from the lowest rank; the best one alone is shortened at a sentence or
a word, never inside a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from PIL import Image

from sugar.passages import Passage
from sugar.rag.knowing import count_tokens
from sugar.rag.quoting import quoted
from sugar.sequence import Sample

__all__ = ["BUDGET", "alone", "is_instructed", "prompt", "within_budget"]

BUDGET = 1500
"""Tokens of all passages together."""

_Part: TypeAlias = str | Image.Image


def alone(question: Sample) -> Sample:
    """A question as the model gets it without anything to read."""
    return Sample([s.content if s.is_image else quoted(s.text) or "?" for s in question])


def is_instructed(model: Any) -> bool:
    """Does the checkpoint's reading prompt hold instructions? Then the model can cite by itself."""
    return bool(model.profile.instructed)


def prompt(model: Any, passages: Sequence[Passage], question: Sample, *, budget: int = BUDGET) -> Sample:
    """The sample to answer. Raises InputError when nothing is left of the question."""
    instructed = is_instructed(model)
    template = model.profile.reading if instructed else "{passages}{question}"
    kept = within_budget(passages, lambda text: count_tokens(model, text), budget)
    told: list[_Part] = []
    for number, passage in reversed(list(enumerate(kept, 1))):
        told += [f"[{number}]"] if instructed else []
        told += [part for part in (passage.image, quoted(passage.text), quoted(passage.answer)) if part]
    asked: list[_Part] = [s.content if s.is_image else quoted(s.text) for s in question]
    parts: list[_Part] = []
    for piece in re.split(r"(\{passages\}|\{question\})", template):
        parts += told if piece == "{passages}" else asked if piece == "{question}" else [piece.strip()]
    return Sample(_merged(part for part in parts if part))


def within_budget(passages: Sequence[Passage], count: Callable[[str], int], budget: int) -> list[Passage]:
    """The first passages whose texts fit into the budget together; the first one always, shortened if it
    must be."""
    kept: list[Passage] = []
    left = budget
    for passage in passages:
        size = count(f"{passage.text} {passage.answer}".strip())
        if size <= left:
            kept.append(passage)
            left -= size
        elif not kept:
            short = _shortened(passage.text, count, left - count(passage.answer))
            kept.append(Passage(passage.name, short, passage.answer, passage.image, passage.item))
            break
        else:
            break
    return kept


def _shortened(text: str, count: Callable[[str], int], budget: int) -> str:
    """The first words of a text that fit; whole sentences where at least one fits."""
    words = text.split()
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if count(" ".join(words[:middle])) <= budget:
            low = middle
        else:
            high = middle - 1
    part = words[:low]
    ends = [i for i, word in enumerate(part) if word.endswith((".", "!", "?"))]
    return " ".join(part[: ends[-1] + 1] if ends else part)


def _merged(parts: Any) -> list[_Part]:
    """Neighbouring texts in one text, a line each."""
    merged: list[_Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += f"\n{part}"
        else:
            merged.append(part)
    return merged
