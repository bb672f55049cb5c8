"""Citations that hold: a number stands only where the passage supports the sentence, or where the model set
it.

    text, cited = cite("The mill was built in 1874.", question, hits)       # ("The mill was built in 1874.
    [1]", (1,))

A passage supports a sentence when it holds at least two thirds of the content words that the sentence adds
to the question; of several the one with the highest score is cited.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sugar.passages import sentences
from sugar.rag.words import content
from sugar.sequence import PassageHit

__all__ = ["cite", "does_not_know", "supports"]

SHARE = 2 / 3
_MARK = re.compile(r" ?\[(\d{1,6})\]")
_UNKNOWN = re.compile(
    r"\b(?:do not|don't|does not|doesn't|cannot|can't) (?:know|say|tell|answer|find)\b", re.IGNORECASE
)


def cite(text: str, question: str, hits: Sequence[PassageHit]) -> tuple[str, tuple[int, ...]]:
    """The answer with the citations that hold, and their numbers from 1.

    The model's own marks that name a hit stay, others go. A sentence without one gets the number of the
    first hit that supports it; where none does, it gets none.
    """
    marked = _MARK.sub(lambda m: m.group() if 1 <= int(m.group(1)) <= len(hits) else "", text).strip()
    if not hits or not marked or does_not_know(marked):
        return _MARK.sub("", marked) if does_not_know(marked) else marked, ()
    if not _MARK.search(marked):
        told = [_with_number(sentence, question, hits) for sentence in sentences(marked)]
        marked = " ".join(told)
    return marked, tuple(dict.fromkeys(int(n) for n in _MARK.findall(marked)))


def supports(hit: PassageHit, sentence: str, question: str) -> bool:
    """Does what was read hold the words that the sentence adds to the question?"""
    added = content(sentence) - content(question)
    if not added:
        return False
    there = content(f"{hit.text} {hit.answer}")
    return len(added & there) >= SHARE * len(added)


def does_not_know(text: str) -> bool:
    """Does the answer say that it does not know?"""
    return bool(_UNKNOWN.search(text))


def _with_number(sentence: str, question: str, hits: Sequence[PassageHit]) -> str:
    for number, hit in enumerate(hits, 1):
        if supports(hit, sentence, question):
            return f"{sentence} [{number}]"
    return sentence
