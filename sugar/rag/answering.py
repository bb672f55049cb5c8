"""A question becomes an answer: find, decide whether anything is close enough, read or quote, cite.

    for reply in ask(model, base, Sample([picture, "what is the name of the red star?"])):
        print(reply.text)                            # grows; cites reply.hits as [1], [2]
    reply.by, reply.cited                            # "model", "quote" or "nobody"; (1,)

The model answers where it can read: a hub model always, a small one where it knows all the words. What a
small model says must stand in the pair or caption that it read, unless the caption lacks the number or colour
that is asked for. Else the sentence that fits the question best is quoted.
Not covered: who may ask what (sugar/services), follow-up questions (questions.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sugar.errors import InputError
from sugar.passages import Passage, sentences
from sugar.rag.base import KnowledgeBase
from sugar.rag.evidence import best_sentence, kind_asked, kind_fits, known_share
from sugar.rag.prompting import prompt
from sugar.rag.words import Terms, content
from sugar.search_words import tokens
from sugar.sequence import Answer, PassageHit, Sample

STRICTNESS = ("strict", "balanced", "always")
"""Names of the cut-offs that a checkpoint's profile holds."""

FILTERED = (("date",), ("place",))
"""What `found_by` says of pictures that only a time or a place has chosen."""

UNKNOWN = "I don't know: nothing in your notes or photos says so."
"""Every refusal, whether nothing was close enough or the model cannot tell."""

SHARE = 2 / 3
"""A passage supports a sentence when it holds this share of its content words that the question lacks."""

_MARK = re.compile(r" ?\[(\d{1,6})\]")
_UNKNOWN = re.compile(
    r"\b(?:do not|don't|does not|doesn't|cannot|can't) (?:know|say|tell|answer|find)\b", re.IGNORECASE
)


@dataclass(frozen=True, eq=False)
class Reply(Answer):
    """An answer with its sources.

    by: who answers: the model, a quotation, or nobody (nothing was close enough, or the model does not know).
    cited: numbers, from 1, of the hits that support the answer. nearest: the best hit, also when it was not
    used.
    """

    hits: Sequence[PassageHit] = ()
    by: Literal["model", "quote", "nobody"] = "nobody"
    cited: tuple[int, ...] = ()
    nearest: PassageHit | None = None

    @property
    def known(self) -> bool:
        """Is there an answer?"""
        return self.by != "nobody"


def ask(
    model: Any,
    base: KnowledgeBase,
    question: Sample,
    *,
    k: int = 1,
    cut_off: float | None = None,
    generate: Callable[[Sample], Iterator[str]] | None = None,
) -> Iterator[Reply]:
    """The answer as it grows; the last one carries the citations.

    Args:
        k: passages to read.
        cut_off: the score that a hit must reach to be read; the checkpoint's balanced one where None.
        generate: instead of `model.generate`; a page streams under its own limits.

    Raises InputError for a question without words.
    """
    if not question.text.strip():
        raise InputError("The question has no words. Type what you want to know.")
    cut_off = threshold(model) if cut_off is None else cut_off
    hits = base.search(question, k)
    known = [hit for hit in hits if hit.score >= cut_off]
    nearest = hits[0] if hits else None
    if not known:
        yield Reply(UNKNOWN, nearest=nearest)
        return
    passages = [base.passage(hit) for hit in known]
    if not _can_read(model, known, passages, question):
        yield _quotation(base, question, known, passages)
        return
    yield Reply("", known, "model", nearest=nearest)
    text, asked = "", prompt(model, passages, question)
    for piece in (generate or model.generate)(asked):
        text += piece
        yield Reply(text, known, "model", nearest=nearest)
    yield _judged(model, base, question, known, passages, text)


def threshold(model: Any, name: str = "balanced") -> float:
    """The checkpoint's cut-off of this name. Raises InputError for one that is not in STRICTNESS."""
    if name not in STRICTNESS:
        raise InputError(f"The strictness {name!r} is not known. Use {', '.join(STRICTNESS)}.")
    return float(model.profile.abstain[name])


def _can_read(model: Any, known: Sequence[PassageHit], passages: Sequence[Passage], question: Sample) -> bool:
    """An instructed model reads anything; another one pairs and pictures whose words it knows."""
    if model.profile.instructed:
        return True
    if known[0].found_by in FILTERED or any(p.kind == "passage" for p in passages):
        return False
    told = "\n".join([question.text, *(f"{p.text} {p.answer}" for p in passages)])
    return known_share(model, told) == 1.0


def _judged(
    model: Any,
    base: KnowledgeBase,
    question: Sample,
    known: list[PassageHit],
    passages: Sequence[Passage],
    text: str,
) -> Reply:
    """The model's answer with its citations; a quotation where no text that it read supports the answer."""
    answer = passages[0].answer
    if not model.profile.instructed:
        unsaid = bool(answer) and not _says(text, answer)
        if unsaid or (_caption_answers(question, known[0]) and not supports(known[0], text, question.text)):
            return _quotation(base, question, known, passages)
    cited_text, cited = cite(text, question.text, known)
    if answer and not cited and _says(text, answer):
        cited_text, cited = f"{cited_text} [1]", (1,)
    if says_unknown(cited_text) or not cited_text:
        return Reply(UNKNOWN, known, "nobody", nearest=known[0])
    return Reply(cited_text, known, "model", cited, nearest=known[0])


def says_unknown(text: str) -> bool:
    """Does a model say that what it read holds no answer?

    >>> says_unknown("The notes do not say."), says_unknown("On Monday.")
    (True, False)
    """
    return bool(_UNKNOWN.search(text))


def _caption_answers(question: Sample, hit: PassageHit) -> bool:
    """Was a picture found by its caption, and does the caption hold the kind of answer that is asked for?"""
    if hit.kind != "picture" or not hit.text or hit.words < hit.vector:
        return False
    return kind_fits(kind_asked(question.text), Terms.of(question.text), hit.text)


def _says(text: str, answer: str) -> bool:
    """Are the words of the answer in the text, in order?"""
    return f" {' '.join(tokens(answer))} " in f" {' '.join(tokens(text))} "


def _quotation(
    base: KnowledgeBase, question: Sample, known: list[PassageHit], passages: Sequence[Passage]
) -> Reply:
    """The best sentence of the best passage; for a time or a place, the captions of its pictures."""
    if known[0].found_by in FILTERED:
        return _of_a_time_or_place(known)
    sentence = best_sentence(base.terms(question.text), question.text, passages[0])
    if not sentence:
        return Reply(f"The closest picture is {known[0].name}. [1]", known, "quote", (1,), known[0])
    return Reply(f"“{sentence}” [1]", known, "quote", (1,), known[0])


def _of_a_time_or_place(known: list[PassageHit]) -> Reply:
    by_time = known[0].found_by == ("date",)
    guessed = [" (its day is from its name)" * (by_time and hit.day_from_name) for hit in known]
    told = [f"“{h.text or h.name}” [{n}]{g}" for n, (h, g) in enumerate(zip(known, guessed, strict=True), 1)]
    count = f"{len(known)} picture{'s' * (len(known) > 1)}"
    numbers = tuple(range(1, len(known) + 1))
    told_of = f"from the time {known[0].when!r}" if by_time else f"taken {known[0].where}"
    return Reply(f"{count} {told_of}: {', '.join(told)}", known, "quote", numbers, known[0])


# -- citations


def cite(text: str, question: str, hits: Sequence[PassageHit]) -> tuple[str, tuple[int, ...]]:
    """The answer with the citations that hold, and their numbers from 1.

    The model's own marks that name a hit stay, others go. A sentence without one gets the number of the
    first hit that supports it; where none does, it gets none.
    """
    marked = _MARK.sub(lambda m: m.group() if 1 <= int(m.group(1)) <= len(hits) else "", text).strip()
    if not hits or not marked:
        return marked, ()
    if _UNKNOWN.search(marked):
        return _MARK.sub("", marked), ()
    if not _MARK.search(marked):
        told = []
        for sentence in sentences(marked):
            number = next((n for n, hit in enumerate(hits, 1) if supports(hit, sentence, question)), 0)
            told.append(f"{sentence} [{number}]" if number else sentence)
        marked = " ".join(told)
    return marked, tuple(dict.fromkeys(int(n) for n in _MARK.findall(marked)))


def supports(hit: PassageHit, sentence: str, question: str) -> bool:
    """Does what was read hold the words that the sentence adds to the question?"""
    added = content(sentence) - content(question)
    if not added:
        return False
    there = content(f"{hit.text} {hit.answer}")
    return len(added & there) >= SHARE * len(added)
