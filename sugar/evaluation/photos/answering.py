"""Answering: yes/no about things, open questions from the captions, and refusals of what no photo answers."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from PIL import Image

from sugar.core import Sugar
from sugar.evaluation.figures import Figure
from sugar.evaluation.loops import generate
from sugar.evaluation.photos.asked import BLANK, Asked, drawn_questions
from sugar.metrics import pope
from sugar.sequence import Sample
from sugar.training.photos.facts import Question, existence
from sugar.training.photos.scope import OUT_OF_SCOPE_TEST, REFUSAL
from sugar.training.photos.words import article

__all__ = ["existing", "open_questions", "refused"]

KINDS = ("who", "how many", "what color", "what doing", "where")


def _key(kind: str) -> str:
    return kind.replace(" ", "_")


def existing(model: Sugar, asked: Asked) -> dict[str, Figure]:
    """Is there a dog? As many "yes" as "no" answers, for each way to choose the absent thing; `photo_pope`
    is the adversarial one. In `photo_pope_even` each thing is there as often as it is not, so that its name
    says nothing.
    """
    figures = {}
    for kind in ("random", "popular", "adversarial", "even"):
        rng = asked.rng(f"exists {kind}")
        pairs = _even(asked, rng) if kind == "even" else _pairs(asked, rng, kind)
        wanted = [q for _, q in pairs]
        truth = [q.answer for q in wanted]
        result = pope(generate(model, [Sample([p, q.text]) for p, q in pairs], max_new_tokens=4), truth)
        blind = max(
            pope([asked.habits.answer(q) for q in wanted], truth).accuracy,
            pope(generate(model, _blank(wanted), max_new_tokens=4), truth).accuracy,
        )
        name = "photo_pope" if kind == "adversarial" else f"photo_pope_{kind}"
        figures[name] = Figure(result.accuracy, 0.5, blind)
        figures[f"{name}_yes_ratio"] = Figure(result.yes_ratio)
    return figures


def _pairs(asked: Asked, rng: np.random.Generator, kind: str) -> list[tuple[Image.Image, Question]]:
    """One thing that is there and one that is not, about each photo."""
    return [
        (photo, q)
        for photo, facts in zip(asked.photos, asked.facts, strict=True)
        for q in existence(facts, asked.corpus, rng, kind)
    ]


def _even(asked: Asked, rng: np.random.Generator) -> list[tuple[Image.Image, Question]]:
    """Adversarial questions, drawn so that each thing is there in half of those about it."""
    there, absent = defaultdict(list), defaultdict(list)
    for photo, facts in zip(asked.photos, asked.facts, strict=True):
        for thing in facts.agreed():
            there[thing].append(photo)
        for thing in asked.corpus.likely_absent(facts):
            absent[thing].append(photo)
    pairs = []
    for thing in sorted(there):
        n = min(len(there[thing]), len(absent[thing]), 40)
        for answer, photos in (("yes", there[thing]), ("no", absent[thing])):
            for i in rng.choice(len(photos), n, replace=False):
                pairs.append((photos[i], Question(f"is there {article(thing)}?", answer, "exists")))
    return pairs


def _blank(wanted: list[Question]) -> list[Sample]:
    return [Sample([BLANK, q.text]) for q in wanted]


def open_questions(model: Sugar, asked: Asked) -> dict[str, Figure]:
    """Exact answers by kind, and their mean. Blind: the better of habit and the model on a blank."""
    rng = asked.rng("questions")
    drawn = [drawn_questions(facts, rng) for facts in asked.facts]
    wanted = [q for own in drawn for q in own]
    samples = [Sample([photo, q.text]) for photo, own in zip(asked.photos, drawn, strict=True) for q in own]
    right: dict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
    said = generate(model, samples, max_new_tokens=12)
    unseen = generate(model, _blank(wanted), max_new_tokens=12)
    for q, answer, blank in zip(wanted, said, unseen, strict=True):
        habit = asked.habits.answer(q)
        right[q.kind].append((answer == q.answer, habit == q.answer, blank == q.answer))
    figures = {}
    for kind in KINDS:
        if right[kind]:
            seen, habit, blank = np.array(right[kind]).mean(0)
            figures[f"photo_{_key(kind)}"] = Figure(float(seen), None, float(max(habit, blank)))
    means = [(f.value, f.baseline) for f in figures.values()]
    value, blind = np.mean(means, axis=0) if means else (0.0, 0.0)
    figures["photo_vqa"] = Figure(float(value), None, float(blind))
    wrongly = float(np.mean([answer == REFUSAL for answer in said])) if said else 0.0
    figures["photo_refused_wrongly"] = Figure(wrongly)
    return figures


def refused(model: Sugar, asked: Asked) -> dict[str, Figure]:
    """Unseen out-of-scope requests, half of them beside a photo: the share answered by the refusal."""
    samples = [Sample(text) for text in OUT_OF_SCOPE_TEST]
    samples += [Sample([photo, text]) for photo, text in zip(asked.photos, OUT_OF_SCOPE_TEST, strict=False)]
    said = generate(model, samples, max_new_tokens=24)
    return {"photo_refused": Figure(float(np.mean([_same(answer) for answer in said])))}


def _same(answer: str) -> bool:
    return answer.strip() == REFUSAL
