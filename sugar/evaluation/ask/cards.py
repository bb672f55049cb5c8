"""Bases of drawn cards with invented facts, asked in four wordings; and galleries of drawn pictures with
captions.

A base holds `CARDS` cards. An object has up to two cards with different facts, so that the predicate counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from sugar.evaluation.ask.case import Base, Case
from sugar.evaluation.figures import picture
from sugar.passages import Passage
from sugar.scenes import sample_scene
from sugar.scenes.words import NUMBERS, invented_name
from sugar.scenes.world import COLORS, HELD_OUT_PAIRS, KINDS, PLACES, PLURALS

__all__ = ["CARDS", "card_bases", "gallery_bases"]

CARDS = 100
PICTURES = 100
"""Cards of a base, and pictures of a gallery."""

Split = Literal["tuning", "test"]
EXACT = {
    "name": "what is the name of the {c} {k}?",
    "like": "what does the {c} {k} like?",
    "old": "how old is the {c} {k}?",
}
REWORDED: dict[str, dict[str, tuple[str, ...]]] = {
    "tuning": {
        "name": (
            "what is the {c} {k} called?",
            "which name does the {c} {k} have?",
            "say the name of the {c} {k}",
        ),
        "like": ("what does the {c} {k} enjoy?", "which things does the {c} {k} prefer?"),
        "old": ("what is the age of the {c} {k}?", "how many years old is the {c} {k}?"),
    },
    "test": {
        "name": (
            "what is the {c} {k} called?",
            "name of the {c} {k}",
            "how do people call the {c} {k}?",
            "do you know the {c} {k}'s name?",
        ),
        "like": (
            "what is the {c} {k} fond of?",
            "which things make the {c} {k} happy?",
            "what pleases the {c} {k}?",
        ),
        "old": (
            "how many years has the {c} {k} lived?",
            "tell me the age of the {c} {k}",
            "what age is the {c} {k}?",
        ),
    },
}
REORDERED: dict[str, dict[str, tuple[str, ...]]] = {
    "tuning": {
        "name": ("the {c} {k}, what is its name?",),
        "like": ("the {c} {k}, what does it like?",),
        "old": ("the {c} {k}, how old is it?",),
    },
    "test": {
        "name": ("the {k} that is {c}: what is its name?", "{c} {k} name"),
        "like": ("the {k} that is {c}, what does it like?", "{c} {k} likes what?"),
        "old": ("the {k} that is {c}, how old is it?", "{c} {k} how old"),
    },
}
WHO = {
    "tuning": ("who stands beside the {c} {k}?", "who is near the {c} {k}?"),
    "test": ("who is with the {c} {k}?", "which person is in the picture with the {c} {k}?"),
}
WHERE = {
    "tuning": ("where is the {c} {k}?", "where do we find the {c} {k}?"),
    "test": ("where is the {c} {k}?", "in which place can the {c} {k} be seen?"),
}
CAPTION = {
    "tuning": "a {c} {k} in the {p}, {n} stands beside it",
    "test": "{n} with a {c} {k} at the {p}",
}
NAMES = {
    "tuning": ("Carla", "Dieter", "Emil", "Franz", "Gudrun", "Helga", "Ivo", "Jutta", "Klaus", "Lena"),
    "test": (
        "Ann",
        "Boris",
        "Chloe",
        "Dan",
        "Elif",
        "Femi",
        "Grace",
        "Hugo",
        "Ines",
        "Jonas",
        "Kira",
        "Liam",
    ),
}


def card_bases(split: Split, count: int, rng: np.random.Generator) -> Iterator[Base]:
    """Bases with `count` cards in all. Groups: exact, unpunctuated, reworded, reordered, absent object,
    absent fact."""
    while count > 0:
        yield _card_base(split, min(CARDS, count), rng)
        count -= CARDS


def _pairs(rng: np.random.Generator) -> list[tuple[str, str]]:
    pairs = [(k, c) for k in KINDS for c in COLORS if (k, c) not in HELD_OUT_PAIRS]
    return [pairs[i] for i in rng.permutation(len(pairs))]


def _pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _card_base(split: Split, count: int, rng: np.random.Generator) -> Base:
    pairs = _pairs(rng)
    facts = list(EXACT)
    chosen: list[tuple[str, str, str]] = []
    while len(chosen) < count:
        kind, color = pairs.pop()
        for i in rng.permutation(3)[: 1 + int(rng.random() < 0.3)]:
            chosen.append((kind, color, facts[i]))
    chosen = chosen[:count]
    passages, cases = [], []
    for number, (kind, color, fact) in enumerate(chosen):
        words = {"c": color, "k": kind}
        scene = sample_scene(rng, objects=1).with_object(0, kind=kind, color=color)
        answers: dict[str, str] = {
            "name": invented_name(rng, 2),
            "like": PLURALS[_pick(rng, KINDS)],
            "old": _pick(rng, NUMBERS[1:]),
        }
        answer = answers[fact]
        name, asked = f"card-{number:03d}", EXACT[fact].format(**words)
        passages.append(Passage(name, asked, answer, picture(scene)))
        told = {
            "card, exact wording": asked,
            "card, no punctuation": asked.rstrip("?"),
            "card, reworded": _pick(rng, REWORDED[split][fact]).format(**words),
            "card, other word order": _pick(rng, REORDERED[split][fact]).format(**words),
        }
        cases += [Case(group, q, answer, frozenset({name})) for group, q in told.items()]
    known = {(k, c, f) for k, c, f in chosen}
    for kind, color in pairs[: max(1, count // 2)]:
        fact = _pick(rng, facts)
        for wording in (EXACT[fact], _pick(rng, REWORDED[split][fact])):
            cases.append(Case("card, absent thing", wording.format(c=color, k=kind)))
    for kind, color, _ in chosen[: max(1, count // 4)]:
        missing = [f for f in facts if (kind, color, f) not in known]
        if missing:
            cases.append(Case("card, absent fact", EXACT[_pick(rng, missing)].format(c=color, k=kind)))
    return Base(cases, passages)


def gallery_bases(split: Split, count: int, rng: np.random.Generator) -> Iterator[Base]:
    """Galleries with `count` captioned pictures in all. Groups: captioned gallery, captioned gallery,
    absent."""
    while count > 0:
        pairs = _pairs(rng)
        size = min(PICTURES, count)
        pictures, cases = [], []
        for number, (kind, color) in enumerate(pairs[:size]):
            place, name = _pick(rng, PLACES), _pick(rng, NAMES[split])
            words = {"c": color, "k": kind, "p": place, "n": name}
            scene = sample_scene(rng, objects=1).with_object(0, kind=kind, color=color)
            file = f"photo{number:03d}.jpg"
            pictures.append((file, picture(scene), CAPTION[split].format(**words)))
            for told, answer in ((WHO, name), (WHERE, place)):
                asked = _pick(rng, told[split]).format(**words)
                cases.append(Case("captioned gallery", asked, answer.lower(), frozenset({file})))
        for kind, color in pairs[size : 2 * size]:
            asked = _pick(rng, (WHO, WHERE)[int(rng.integers(2))][split]).format(c=color, k=kind)
            cases.append(Case("captioned gallery, absent", asked))
        yield Base(cases, pictures=pictures)
        count -= size
