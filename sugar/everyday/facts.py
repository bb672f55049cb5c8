"""What the captions of one photo agree on, and the questions that follow from it.

    facts = Facts(["A brown dog runs .", "The brown dog is running on grass ."])
    facts.colors["dog"]                         # Counter({"brown": 2})
    corpus = Corpus(all_facts)
    questions(facts, rng)                       # [Question("what color is the dog?", "brown", ...), ...]
    existence(facts, corpus, rng, "popular")    # one thing that is there and one that is not

Only what at least two captions say is asked. A thing is absent when no caption names it or a related one.
Not covered: what the captions leave out, so that a "no" may be wrong now and then.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from sugar.everyday.words import (
    ACTION_OF,
    ANIMALS,
    COLOR_OF,
    NUMBERS,
    PEOPLE,
    PLACE_OF,
    PLURALS,
    PREPOSITIONS,
    RELATED,
    SUBJECTS,
    THING_OF,
    THINGS,
    UNCOUNTED,
    article,
    plural,
)

WHO = ("who is in the picture?", "who is this?", "who is there?")
WHERE = ("where is this?", "where are they?", "where was this taken?")
EXISTS = ("is there {}?", "do you see {}?", "can you see {} in the picture?", "is there {} in the photo?")
ENOUGH = 5
"""Photos of the training split in which a thing must occur to be asked about."""


class Question(NamedTuple):
    """A question, its answer, and its kind."""

    text: str
    answer: str
    kind: str


def _counter() -> defaultdict[str, Counter[str]]:
    return defaultdict(Counter)


class Facts:
    """Counts over the captions of one photo: in how many of them something is said.

    things: of things. colors, numbers, actions: by thing. places, subjects: of phrases. words: all words.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self.things: Counter[str] = Counter()
        self.colors, self.numbers, self.actions = _counter(), _counter(), _counter()
        self.places: Counter[str] = Counter()
        self.subjects: Counter[str] = Counter()
        self.words: set[str] = set()
        for caption in captions:
            self._read(re.findall(r"[a-z][a-z\-']*", caption.lower()))

    def _read(self, words: list[str]) -> None:
        self.words |= set(words)
        things, places = set(), set()
        about: dict[str, set[tuple[str, str]]] = {"color": set(), "number": set(), "action": set()}
        subject = None
        for i, word in enumerate(words):
            thing = THING_OF.get(word)
            if thing:
                things.add(thing)
                if subject is None and i < 7 and thing in SUBJECTS:
                    subject = _phrase(words, i, thing)
                if color := _color(words, i):
                    about["color"].add((thing, color))
                if number := _number(words, i):
                    about["number"].add((thing, number))
            if word in ACTION_OF and (actor := _actor(words, i)):
                about["action"].add((actor, ACTION_OF[word]))
            if word in PREPOSITIONS and (place := _place(words, i)):
                places.add(place)
        self.things.update(sorted(things))  # in one order, whatever the hash seed of the process
        self.places.update(sorted(places))
        for table, kind in ((self.colors, "color"), (self.numbers, "number"), (self.actions, "action")):
            for thing, value in sorted(about[kind]):
                table[thing][value] += 1
        if subject:
            self.subjects[subject] += 1

    def agreed(self) -> list[str]:
        """Things that at least two captions name."""
        return [thing for thing, n in self.things.items() if n >= 2]

    def absent(self, thing: str) -> bool:
        """Does no caption name the thing, nor one that may stand for it?"""
        named = set(self.things)
        if thing in named or RELATED.get(thing, set()) & named:
            return False
        if any(thing in RELATED.get(other, ()) for other in named):
            return False
        return not any(word in self.words for group in THINGS if group[0] == thing for word in group)


def _phrase(words: list[str], i: int, thing: str) -> str:
    word = {"guys": "men", "ladies": "women", "kids": "children"}.get(words[i], words[i])
    count = next((words[i - j] for j in (1, 2, 3) if i - j >= 0 and words[i - j] in NUMBERS), None)
    if count and words[i] in PLURALS:
        return f"{count} {word}"
    if words[i] in PLURALS or words[i] == "crowd":
        return "a group of people" if thing in PEOPLE else words[i]
    return f"a {thing}"


def _color(words: list[str], i: int) -> str | None:
    """The colour right before word i: "brown", or "black and white"."""
    if i == 0 or words[i - 1] not in COLOR_OF:
        return None
    color = COLOR_OF[words[i - 1]]
    if i > 2 and words[i - 2] == "and" and words[i - 3] in COLOR_OF:
        return f"{COLOR_OF[words[i - 3]]} and {color}"
    return color


def _number(words: list[str], i: int) -> str | None:
    """The number before word i, at most three words away; "one" after an article."""
    before = [words[i - j] for j in (1, 2, 3) if i - j >= 0]
    if words[i] in PLURALS:
        for j, word in enumerate(before):
            if word in NUMBERS and not any(w in THING_OF for w in before[:j]):
                return word
        return None
    return "one" if any(word in ("a", "an", "one") for word in before) else None


def _actor(words: list[str], i: int) -> str | None:
    """Who does the action at word i: the nearest person or animal, at most four words before."""
    for j in range(1, 5):
        thing = THING_OF.get(words[i - j]) if i - j >= 0 else None
        if thing in PEOPLE or thing in ANIMALS:
            return thing
    return None


def _place(words: list[str], i: int) -> str | None:
    """The place that the preposition at word i leads to."""
    for word in words[i + 1 : i + 4]:
        if word in PREPOSITIONS:
            return None
        place = PLACE_OF.get(word) or PLACE_OF.get(THING_OF.get(word, ""))
        if place:
            return place
    return None


class Corpus:
    """Over the training photos: how often things occur, alone and together."""

    def __init__(self, photos: Iterable[Facts]) -> None:
        self.count: Counter[str] = Counter()
        self.together: defaultdict[str, Counter[str]] = _counter()
        for facts in photos:
            agreed = facts.agreed()
            self.count.update(agreed)
            for thing in agreed:
                self.together[thing].update(other for other in agreed if other != thing)

    def absent_thing(self, facts: Facts, rng: np.random.Generator, kind: str) -> str | None:
        """A thing that the photo lacks, or None.

        Args:
            kind: "random"; "popular", of the commonest; "even", as often as the thing is there elsewhere, so
            that
                its name gives no answer away; "adversarial", of those that are likely beside what is there.
        """
        if kind == "adversarial":
            pool = self.likely_absent(facts)
        elif kind == "popular":
            pool = [thing for thing, _ in self.count.most_common(40) if facts.absent(thing)][:8]
        else:
            pool = [thing for thing in self.count if facts.absent(thing)]
        if not pool:
            return None
        if kind == "even":
            weights = np.array([self.count[thing] for thing in pool], float)
            return pool[int(rng.choice(len(pool), p=weights / weights.sum()))]
        return pool[int(rng.integers(len(pool)))]

    def likely_absent(self, facts: Facts) -> list[str]:
        """The five absent things that occur most beside what is there, the likeliest first."""
        likely: defaultdict[str, float] = defaultdict(float)
        for thing in facts.agreed():
            for other, n in self.together[thing].items():
                likely[other] += n / self.count[other] ** 0.5
        order = sorted(likely, key=lambda thing: -likely[thing])[:60]
        return [thing for thing in order if facts.absent(thing)][:5]


def existence(facts: Facts, corpus: Corpus, rng: np.random.Generator, kind: str) -> list[Question]:
    """Two questions, one to be answered yes and one no; none where the photo gives no such pair."""
    there = [thing for thing in facts.agreed() if corpus.count[thing] >= ENOUGH]
    absent = corpus.absent_thing(facts, rng, kind)
    if not there or absent is None:
        return []
    text = EXISTS[0] if rng.random() < 0.6 else EXISTS[int(rng.integers(1, len(EXISTS)))]
    chosen = there[int(rng.integers(len(there)))]
    return [
        Question(text.format(article(chosen)), "yes", "exists"),
        Question(text.format(article(absent)), "no", "exists"),
    ]


def questions(facts: Facts, rng: np.random.Generator) -> list[Question]:
    """All open questions that the captions answer alike: who, how many, what color, what doing, where."""
    found = []
    for subject, n in facts.subjects.most_common(1):
        if n >= 2:
            found.append(Question(WHO[int(rng.integers(len(WHO)))], subject, "who"))
    for thing, counts in facts.numbers.items():
        number, n = counts.most_common(1)[0]
        others = sum(counts.values()) - n
        if thing in UNCOUNTED or facts.things[thing] < 2 or n < 2 or others >= n:
            continue
        if number != "one" or (n >= 3 and not others):
            found.append(Question(f"how many {plural(thing)} are there?", number, "how many"))
    for thing, counts in facts.colors.items():
        color, n = counts.most_common(1)[0]
        if n >= 2:
            verb = "are" if thing in ("pants", "shorts") else "is"
            found.append(Question(f"what color {verb} the {thing}?", color, "what color"))
    for thing, counts in facts.actions.items():
        action, n = counts.most_common(1)[0]
        if n >= 2 and thing in facts.things:
            found.append(Question(f"what is the {thing} doing?", action, "what doing"))
    for place, n in facts.places.most_common(1):
        if n >= 2:
            found.append(Question(WHERE[int(rng.integers(len(WHERE)))], place, "where"))
    return found
