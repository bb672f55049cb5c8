"""What Ask is asked: bases of cards, captioned galleries and notes with invented facts, made by the program.

    for base in bases("test", seed=0, size=1000):
        base.cases, base.passages, base.pictures

The tuning and the test split share no kind of place, no syllable of a name, no fact and no wording. An object
has up to two cards with different facts, so that the predicate counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from PIL import Image

from sugar.passages import Passage, read_files
from sugar.scenes import draw, sample_scene, split_rng
from sugar.scenes.words import NUMBERS, invented_name
from sugar.scenes.world import COLORS, HELD_OUT_PAIRS, KINDS, PLACES, PLURALS

Split = Literal["tuning", "test"]
Rng = np.random.Generator
BASE = 100
"""Cards of a base, and pictures of a gallery."""
NOTE_PASSAGES, FACTS = 50, 4
"""Passages of one base of notes, and facts of one place."""
SENTENCES = 10_000


@dataclass(frozen=True)
class Case:
    """A question. answer: the words that a right answer holds; "" where the base holds none.

    group: the row of the table. sources: names of passages or pictures that hold the answer.
    """

    group: str
    question: str
    answer: str = ""
    sources: frozenset[str] = frozenset()
    key: str = ""


@dataclass(frozen=True, eq=False)
class Base:
    """Passages or captioned pictures (name, picture, caption), and the questions about them."""

    cases: Sequence[Case]
    passages: Sequence[Passage] = ()
    pictures: Sequence[tuple[str, Image.Image, str]] = ()


def bases(split: Split, seed: int, size: int) -> Iterator[Base]:
    """All knowledge bases of a split. size: cards; the other bases follow from it."""
    rng = split_rng(split, 7_000_000 + seed)

    def made() -> Iterator[Base]:
        yield from card_bases(split, size, rng)
        yield from gallery_bases(split, max(20, size // 4), rng)
        yield from note_bases(split, max(4, size // 10), rng)
        yield text_base(split, size, min(SENTENCES, 10 * size), rng)

    for number, base in enumerate(made()):
        cases = [replace(case, key=f"{number}/{n}") for n, case in enumerate(base.cases)]
        yield replace(base, cases=cases)


def _pick(rng: Rng, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


# -- cards, and galleries with captions ---------------------------------------------------------------------

EXACT = {
    "name": "what is the name of the {c} {k}?",
    "like": "what does the {c} {k} like?",
    "old": "how old is the {c} {k}?",
}
_REWORDED = """
tuning name | what is the {c} {k} called? | which name does the {c} {k} have? | say the name of the {c} {k}
tuning like | what does the {c} {k} enjoy? | which things does the {c} {k} prefer?
tuning old | what is the age of the {c} {k}? | how many years old is the {c} {k}?
test name | what is the {c} {k} called? | name of the {c} {k} | how do people call the {c} {k}?
    | do you know the {c} {k}'s name?
test like | what is the {c} {k} fond of? | which things make the {c} {k} happy? | what pleases the {c} {k}?
test old | how many years has the {c} {k} lived? | tell me the age of the {c} {k} | what age is the {c} {k}?
"""
_REORDERED = """
tuning name | the {c} {k}, what is its name?
tuning like | the {c} {k}, what does it like?
tuning old | the {c} {k}, how old is it?
test name | the {k} that is {c}: what is its name? | {c} {k} name
test like | the {k} that is {c}, what does it like? | {c} {k} likes what?
test old | the {k} that is {c}, how old is it? | {c} {k} how old
"""
_GALLERY = """
tuning who | who stands beside the {c} {k}? | who is near the {c} {k}?
test who | who is with the {c} {k}? | which person is in the picture with the {c} {k}?
tuning where | where is the {c} {k}? | where do we find the {c} {k}?
test where | where is the {c} {k}? | in which place can the {c} {k} be seen?
tuning caption | a {c} {k} in the {p}, {n} stands beside it
test caption | {n} with a {c} {k} at the {p}
tuning names | Carla | Dieter | Emil | Franz | Gudrun | Helga | Ivo | Jutta | Klaus | Lena
test names | Ann | Boris | Chloe | Dan | Elif | Femi | Grace | Hugo | Ines | Jonas | Kira | Liam
"""


def _rows(text: str) -> list[list[str]]:
    """The cells of each line; a line that begins with | goes on with the line before."""
    return [line.split(" | ") for line in re.sub(r"\n +\|", " |", text).strip().split("\n")]


def _table(text: str) -> dict[str, tuple[str, ...]]:
    return {key: tuple(values) for key, *values in _rows(text)}


REWORDED, REORDERED, GALLERY = map(_table, (_REWORDED, _REORDERED, _GALLERY))


def card_bases(split: Split, count: int, rng: Rng) -> Iterator[Base]:
    """Bases with `count` cards in all, asked in four wordings, and about absent things and facts."""
    for start in range(0, count, BASE):
        yield _card_base(split, min(BASE, count - start), rng)


def _pairs(rng: Rng) -> list[tuple[str, str]]:
    pairs = [(k, c) for k in KINDS for c in COLORS if (k, c) not in HELD_OUT_PAIRS]
    return [pairs[i] for i in rng.permutation(len(pairs))]


def _picture(rng: Rng, kind: str, color: str) -> Image.Image:
    return Image.fromarray(draw(sample_scene(rng, objects=1).with_object(0, kind=kind, color=color)))


def _card_base(split: Split, count: int, rng: Rng) -> Base:
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
        shown = _picture(rng, kind, color)
        answers: dict[str, str] = {
            "name": invented_name(rng),
            "like": PLURALS[_pick(rng, KINDS)],
            "old": _pick(rng, NUMBERS[1:]),
        }
        name, asked = f"card-{number:03d}", EXACT[fact].format(**words)
        passages.append(Passage(name, asked, answers[fact], shown))
        told = {
            "card, exact wording": asked,
            "card, no punctuation": asked.rstrip("?"),
            "card, reworded": _pick(rng, REWORDED[f"{split} {fact}"]).format(**words),
            "card, other word order": _pick(rng, REORDERED[f"{split} {fact}"]).format(**words),
        }
        cases += [Case(group, q, answers[fact], frozenset({name})) for group, q in told.items()]
    for kind, color in pairs[: max(1, count // 2)]:
        fact = _pick(rng, facts)
        for wording in (EXACT[fact], _pick(rng, REWORDED[f"{split} {fact}"])):
            cases.append(Case("card, absent thing", wording.format(c=color, k=kind)))
    for kind, color, _ in chosen[: max(1, count // 4)]:
        if missing := [f for f in facts if (kind, color, f) not in chosen]:
            cases.append(Case("card, absent fact", EXACT[_pick(rng, missing)].format(c=color, k=kind)))
    return Base(cases, passages)


def gallery_bases(split: Split, count: int, rng: Rng) -> Iterator[Base]:
    """Galleries with `count` captioned pictures in all."""
    told = {name: GALLERY[f"{split} {name}"] for name in ("who", "where", "names")}
    [caption] = GALLERY[f"{split} caption"]
    for start in range(0, count, BASE):
        pairs, size = _pairs(rng), min(BASE, count - start)
        pictures, cases = [], []
        for number, (kind, color) in enumerate(pairs[:size]):
            place, name = _pick(rng, PLACES), _pick(rng, told["names"])
            words = {"c": color, "k": kind, "p": place, "n": name}
            file = f"photo{number:03d}.jpg"
            pictures.append((file, _picture(rng, kind, color), caption.format(**words)))
            for fact, answer in (("who", name), ("where", place)):
                asked = _pick(rng, told[fact]).format(**words)
                cases.append(Case("captioned gallery", asked, answer.lower(), frozenset({file})))
        for kind, color in pairs[size : 2 * size]:
            fact = ("who", "where")[int(rng.integers(2))]
            asked = _pick(rng, told[fact]).format(c=color, k=kind)
            cases.append(Case("captioned gallery, absent", asked))
        yield Base(cases, pictures=pictures)


# -- notes about invented places: a long text, and files with headings --------------------------------------


@dataclass(frozen=True)
class Fact:
    """A thing to say about a place. told: {it} is the place. asked: its words again."""

    kind: str
    told: str
    asked: str
    reworded: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """The words of one split."""

    kinds: tuple[str, ...]
    syllables: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    facts: tuple[Fact, ...]

    @classmethod
    def of(cls, words: str, facts: str) -> World:
        kinds, syllables, first, last = (tuple(line.split()) for line in words.strip().split("\n"))
        made = [Fact(kind, told, asked, tuple(other)) for kind, told, asked, *other in _rows(facts)]
        return cls(kinds, syllables, first, last, tuple(made))


TUNING = World.of(
    """
mill bridge school tavern harbour tower
bar dun fel gis hol kem lor mip nus pel rud sak tov wex zan
Alma Bruno Clara Denis Edda Fritz Greta Horst
Ackermann Bauer Conrad Dorn Engel Falk Grimm Hahn
""",
    """
year | {it} opened in {v}. | When did {x} open? | In which year was {x} inaugurated?
    | Since which year has {x} been open?
person | {v} founded {it}. | Who founded {x}? | Who was the founder of {x}? | Which person set up {x}?
number | {it} is {v} metres long. | How long is {x}? | What is the length of {x}?
    | How many metres does {x} measure?
number | {it} cost {v} crowns. | How much did {x} cost? | What was the price of {x}?
    | How many crowns were spent on {x}?
material | {it} is made of {v}. | What is {x} made of? | Which material was used for {x}?
    | From what did they make {x}?
animal | A {v} lives under {it}. | What lives under {x}? | Which animal has its home under {x}?
    | What creature dwells below {x}?
""",
)
TEST = World.of(
    """
lighthouse library chapel ferry orchard theatre
ac bri cor dra eth fju gwy hul iri jol kva lum myr oth qui stra
Anna Bertil Cecil Dora Edwin Flora Gilbert Hedda Irma Jasper
Abbott Brandt Carver Dalton Ellis Forster Gray Hale Ingram Jansen
""",
    """
year | {it} was built in {v}. | When was {x} built? | In which year did they put up {x}?
    | What year was {x} erected? | When did people construct {x}?
person | {v} designed {it}. | Who designed {x}? | Which architect drew the plans of {x}?
    | Whose design is {x}? | Who was the designer of {x}?
number | {it} is {v} metres high. | How high is {x}? | What is the height of {x}?
    | How many metres does {x} rise? | How tall is {x}?
person | {it} belongs to the family of {v}. | Who does {x} belong to? | Who is the owner of {x}?
    | Whose property is {x}? | Which family owns {x}?
number | Every year {v} people visit {it}. | How many people visit {x} every year?
    | What is the yearly number of guests at {x}? | How many visitors does {x} have in a year?
color | The roof of {it} is painted {v}. | What color is the roof of {x} painted?
    | Which shade does the roof of {x} have? | What is the colour of the roof of {x}?
day | {it} stays closed on {v}. | When does {x} stay closed? | On which day is {x} not open?
    | Which weekday is {x} shut?
person | The keeper of {it} is called {v}. | What is the keeper of {x} called? | Who looks after {x}?
    | What is the name of the keeper of {x}? | Who is the keeper at {x}?
""",
)
WORLDS = {"tuning": TUNING, "test": TEST}
_VALUES = {
    "material": ("oak", "granite", "brick", "slate", "iron", "clay", "marble"),
    "animal": ("badger", "heron", "otter", "fox", "owl", "toad", "marten"),
    "color": ("scarlet", "ivory", "emerald", "ochre", "violet", "turquoise", "silver"),
    "day": ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays"),
}


@dataclass(frozen=True)
class Place:
    """An invented place. facts: (fact, its value)."""

    kind: str
    name: str
    facts: tuple[tuple[Fact, str], ...]

    @property
    def phrase(self) -> str:
        return f"the {self.kind} of {self.name}"

    def told(self, it: str) -> str:
        """All facts, in sentences about `it`."""
        return " ".join(_upper(f.told.format(it=it, v=v)) for f, v in self.facts)


def _value(kind: str, world: World, rng: Rng) -> str:
    if kind == "year":
        return str(int(rng.integers(1500, 2000)))
    if kind == "number":
        return str(int(rng.integers(11, 990)))
    if kind == "person":
        return f"{_pick(rng, world.first)} {_pick(rng, world.last)}"
    return str(_pick(rng, _VALUES[kind]))


def _places(world: World, count: int, rng: Rng) -> list[Place]:
    """Places with different (kind, name); every fourth shares its name with the one before."""
    out: list[Place] = []
    used: set[tuple[str, str]] = set()
    while len(out) < count:
        syllables = "".join(_pick(rng, world.syllables) for _ in range(3)).capitalize()
        name = out[-1].name if out and rng.random() < 0.25 else syllables
        kind = _pick(rng, world.kinds)
        if (kind, name) not in used:
            used.add((kind, name))
            facts = [world.facts[i] for i in rng.permutation(len(world.facts))[:FACTS]]
            out.append(Place(kind, name, tuple((f, _value(f.kind, world, rng)) for f in facts)))
    return out


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _questions(place: Place, source: str, group: str, rng: Rng) -> list[Case]:
    """One fact in its own words and in others, about "the mill of Korvel" or "the Korvel mill"."""
    fact, value = _pick(rng, place.facts)
    phrases = (place.phrase, f"the {place.name} {place.kind}")
    answer, sources = value.lower(), frozenset({source})
    return [
        Case(f"{group}, exact wording", fact.asked.format(x=phrases[0]), answer, sources),
        Case(f"{group}, reworded", _pick(rng, fact.reworded).format(x=_pick(rng, phrases)), answer, sources),
    ]


def _absent(world: World, group: str, places: Sequence[Place], rng: Rng) -> Case:
    """A question about another place, in either wording."""
    there = {p.phrase for p in places}
    place = _places(world, 1, rng)[0]
    while place.phrase in there:
        place = _places(world, 1, rng)[0]
    fact = _pick(rng, world.facts)
    wording = _pick(rng, (fact.asked, *fact.reworded))
    return Case(f"{group}, absent thing", wording.format(x=place.phrase))


def text_base(split: Split, questions: int, sentences: int, rng: Rng) -> Base:
    """One text file: a paragraph of `FACTS` sentences, each with the name of its place, for each place."""
    world = WORLDS[split]
    places = _places(world, max(1, sentences // FACTS), rng)
    told = "\n\n".join(place.told(place.phrase) for place in places)
    passages = read_files([("places.txt", told.encode())]).passages
    cases: list[Case] = []
    for i in rng.permutation(len(places))[:questions].tolist():
        place = places[i]
        cases += _questions(place, f"{i}", "text base", rng)
        missing = [f for f in world.facts if f not in {own for own, _ in place.facts}]
        if rng.random() < 0.25:
            cases.append(Case("text base, absent fact", _pick(rng, missing).asked.format(x=place.phrase)))
    cases += [_absent(world, "text base", places, rng) for _ in range(questions)]
    return Base(cases, [replace(p, name=str(n)) for n, p in enumerate(passages)])


def note_bases(split: Split, count: int, rng: Rng) -> Iterator[Base]:
    """Markdown files of `NOTE_PASSAGES` sections each; a section names its place in the heading only."""
    world = WORLDS[split]
    for _ in range(count):
        places = _places(world, NOTE_PASSAGES, rng)
        sections = [f"## {_upper(p.phrase)}\n\n{p.told('it')}\n" for p in places]
        told = "\n".join(["# Places that we saw", "", *sections])
        passages = read_files([("notes.md", told.encode())]).passages
        place = _pick(rng, places)
        source = f"notes.md › Places that we saw › {_upper(place.phrase)}"
        cases = _questions(place, source, "long notes", rng)
        yield Base([*cases, _absent(world, "long notes", places, rng)], passages)
