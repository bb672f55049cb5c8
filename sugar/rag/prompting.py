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
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from PIL import Image

from sugar.passages import Passage
from sugar.sequence import Sample

BUDGET = 1500
"""Tokens of all passages together."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
_ROLE = re.compile(r"\b(user|assistant|system|human|model)\s*:", re.IGNORECASE)
_CITATION = re.compile(r"\[(\d{1,9})\]")
_LOOK = 60
"""Characters after a bracket that decide about it: no special token is longer."""

_Part: TypeAlias = str | Image.Image


def prompt(model: Any, passages: Sequence[Passage], question: Sample, *, budget: int = BUDGET) -> Sample:
    """The sample to answer. Raises InputError when nothing is left of the question."""
    instructed = model.profile.instructed
    template = model.profile.reading if instructed else "{passages}{question}"
    kept = within_budget(passages, lambda text: _count_tokens(model, text), budget)
    told: list[_Part] = []
    for number, passage in reversed(list(enumerate(kept, 1))):
        told += [f"[{number}]"] if instructed else []
        told += [part for part in (passage.image, quoted(passage.text), quoted(passage.answer)) if part]
    asked: list[_Part] = [s.content if s.is_image else quoted(s.text) for s in question]
    parts: list[_Part] = []
    for piece in re.split(r"(\{passages\}|\{question\})", template):
        named = {"{passages}": told, "{question}": asked}
        for part in filter(None, named.get(piece, [piece.strip()])):
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += f"\n{part}"  # neighbouring texts are one text, a line each
            else:
                parts.append(part)
    return Sample(parts)


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
    fit = bisect_right(range(1, len(words) + 1), budget, key=lambda n: count(" ".join(words[:n])))
    part = words[:fit]
    ends = [i for i, word in enumerate(part) if word.endswith((".", "!", "?"))]
    return " ".join(part[: ends[-1] + 1] if ends else part)


def _count_tokens(model: Any, text: str) -> int:
    """How many tokens a text has; its words where the model shows no tokenizer."""
    tokenizer = getattr(getattr(model, "processor", None), "tokenizer", None)
    if tokenizer is None:
        return len(text.split())
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


# -- text by others, made fit to stand in a prompt


def quoted(text: str) -> str:
    """The text without special tokens, roles and citation marks; linear in its length.

    >>> quoted("see [2] <image> </s> ASSISTANT: yes")
    'see (2) image /s assistant - yes'
    >>> quoted("3 < 4 and 5 > 2")
    '3 < 4 and 5 > 2'
    """
    text = _opened(_opened(_CONTROL.sub(" ", text), "<"), "[")
    text = _ROLE.sub(lambda m: f"{m.group(1).lower()} -", text)
    return _CITATION.sub(r"(\1)", text).strip()


def quoted_sample(sample: Sample) -> Sample:
    """The sample with its texts `quoted`, "?" where nothing is left of one."""
    return Sample([s.content if s.is_image else quoted(s.text) or "?" for s in sample])


def _opened(text: str, bracket: str) -> str:
    """The text without those opening brackets that begin a token, taken from the last to the first.

    From the last: when a bracket goes, the one before it stands before what is left.
    """
    *before, last = text.split(bracket)
    pieces, head = [last], last[:_LOOK]
    for part in reversed(before):
        if not _begins(bracket, head):
            pieces.append(bracket if bracket == "[" or head[:1].isspace() else f"{bracket} ")
        elif bracket == "<" and ">" in head:
            pieces[-1], head = _without_end(pieces[-1]), _without_end(head)
        head = (part[:_LOOK] + ("" if _begins(bracket, head) else bracket) + head)[:_LOOK]
        pieces.append(part)
    return "".join(reversed(pieces))


def _begins(bracket: str, head: str) -> bool:
    bare = head.lstrip(" \t\n|/")
    if bracket == "<":
        return not bare or bare[0].isalpha() or bare[0] in "_<"
    return bare[:4].upper() == "INST" or bare[:3].upper() == "SYS"


def _without_end(text: str) -> str:
    """The text without the first closing mark and the bars before it."""
    token, _, rest = text.partition(">")
    return token.replace("|", " ") + rest if len(token) < _LOOK else text
