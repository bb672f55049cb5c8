"""Invented places with facts, as notes that a person could have written: a long text, and files with
headings.

The tuning and the test split share no kind of place, no syllable of a name, no fact and no wording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sugar.evaluation.ask.case import Base, Case
from sugar.passages import read_files

__all__ = ["PLACES_OF", "note_bases", "text_base"]

NOTE_PASSAGES = 50
FACTS = 4
"""Passages of one base of notes, and facts of one place."""


@dataclass(frozen=True)
class Fact:
    """A thing to say about a place. told: {it} is the place. asked: its words again. reworded: other
    words."""

    told: str
    asked: str
    reworded: tuple[str, ...]
    value: str


@dataclass(frozen=True)
class World:
    """The words of one split."""

    kinds: tuple[str, ...]
    syllables: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    facts: tuple[Fact, ...]


TUNING = World(
    ("mill", "bridge", "school", "tavern", "harbour", "tower"),
    ("bar", "dun", "fel", "gis", "hol", "kem", "lor", "mip", "nus", "pel", "rud", "sak", "tov", "wex", "zan"),
    ("Alma", "Bruno", "Clara", "Denis", "Edda", "Fritz", "Greta", "Horst"),
    ("Ackermann", "Bauer", "Conrad", "Dorn", "Engel", "Falk", "Grimm", "Hahn"),
    (
        Fact(
            "{it} opened in {v}.",
            "When did {x} open?",
            ("In which year was {x} inaugurated?", "Since which year has {x} been open?"),
            "year",
        ),
        Fact(
            "{v} founded {it}.",
            "Who founded {x}?",
            ("Who was the founder of {x}?", "Which person set up {x}?"),
            "person",
        ),
        Fact(
            "{it} is {v} metres long.",
            "How long is {x}?",
            ("What is the length of {x}?", "How many metres does {x} measure?"),
            "number",
        ),
        Fact(
            "{it} cost {v} crowns.",
            "How much did {x} cost?",
            ("What was the price of {x}?", "How many crowns were spent on {x}?"),
            "number",
        ),
        Fact(
            "{it} is made of {v}.",
            "What is {x} made of?",
            ("Which material was used for {x}?", "From what did they make {x}?"),
            "material",
        ),
        Fact(
            "A {v} lives under {it}.",
            "What lives under {x}?",
            ("Which animal has its home under {x}?", "What creature dwells below {x}?"),
            "animal",
        ),
    ),
)

TEST = World(
    ("lighthouse", "library", "chapel", "ferry", "orchard", "theatre"),
    (
        "ac",
        "bri",
        "cor",
        "dra",
        "eth",
        "fju",
        "gwy",
        "hul",
        "iri",
        "jol",
        "kva",
        "lum",
        "myr",
        "oth",
        "qui",
        "stra",
    ),
    ("Anna", "Bertil", "Cecil", "Dora", "Edwin", "Flora", "Gilbert", "Hedda", "Irma", "Jasper"),
    ("Abbott", "Brandt", "Carver", "Dalton", "Ellis", "Forster", "Gray", "Hale", "Ingram", "Jansen"),
    (
        Fact(
            "{it} was built in {v}.",
            "When was {x} built?",
            (
                "In which year did they put up {x}?",
                "What year was {x} erected?",
                "When did people construct {x}?",
            ),
            "year",
        ),
        Fact(
            "{v} designed {it}.",
            "Who designed {x}?",
            (
                "Which architect drew the plans of {x}?",
                "Whose design is {x}?",
                "Who was the designer of {x}?",
            ),
            "person",
        ),
        Fact(
            "{it} is {v} metres high.",
            "How high is {x}?",
            ("What is the height of {x}?", "How many metres does {x} rise?", "How tall is {x}?"),
            "number",
        ),
        Fact(
            "{it} belongs to the family of {v}.",
            "Who does {x} belong to?",
            ("Who is the owner of {x}?", "Whose property is {x}?", "Which family owns {x}?"),
            "person",
        ),
        Fact(
            "Every year {v} people visit {it}.",
            "How many people visit {x} every year?",
            ("What is the yearly number of guests at {x}?", "How many visitors does {x} have in a year?"),
            "number",
        ),
        Fact(
            "The roof of {it} is painted {v}.",
            "What color is the roof of {x} painted?",
            ("Which shade does the roof of {x} have?", "What is the colour of the roof of {x}?"),
            "color",
        ),
        Fact(
            "{it} stays closed on {v}.",
            "When does {x} stay closed?",
            ("On which day is {x} not open?", "Which weekday is {x} shut?"),
            "day",
        ),
        Fact(
            "The keeper of {it} is called {v}.",
            "What is the keeper of {x} called?",
            ("Who looks after {x}?", "What is the name of the keeper of {x}?", "Who is the keeper at {x}?"),
            "person",
        ),
    ),
)
PLACES_OF = {"tuning": TUNING, "test": TEST}
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


def _pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _value(kind: str, world: World, rng: np.random.Generator) -> str:
    if kind == "year":
        return str(int(rng.integers(1500, 2000)))
    if kind == "number":
        return str(int(rng.integers(11, 990)))
    if kind == "person":
        return f"{_pick(rng, world.first)} {_pick(rng, world.last)}"
    return str(_pick(rng, _VALUES[kind]))


def _places(world: World, count: int, rng: np.random.Generator) -> list[Place]:
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
            out.append(Place(kind, name, tuple((f, _value(f.value, world, rng)) for f in facts)))
    return out


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _questions(
    place: Place, fact: Fact, value: str, sources: frozenset[str], group: str, rng: np.random.Generator
) -> list[Case]:
    """The fact's own words and other words, about "the mill of Korvel" or "the Korvel mill"."""
    phrases = (place.phrase, f"the {place.name} {place.kind}")
    answer = value.lower()
    return [
        Case(f"{group}, exact wording", fact.asked.format(x=phrases[0]), answer, sources),
        Case(f"{group}, reworded", _pick(rng, fact.reworded).format(x=_pick(rng, phrases)), answer, sources),
    ]


def _absent(world: World, group: str, there: set[str], rng: np.random.Generator) -> Case:
    """A question about a place that is not among the phrases `there`, in either wording."""
    place = _places(world, 1, rng)[0]
    while place.phrase in there:
        place = _places(world, 1, rng)[0]
    fact = _pick(rng, world.facts)
    wording = _pick(rng, (fact.asked, *fact.reworded))
    return Case(f"{group}, absent thing", wording.format(x=place.phrase))


def text_base(split: str, questions: int, sentences: int, rng: np.random.Generator) -> Base:
    """One text file: a paragraph of `FACTS` sentences for each place."""
    world = PLACES_OF[split]
    places = _places(world, max(1, sentences // FACTS), rng)
    told = [
        " ".join(_upper(f.told.format(it=p.phrase, v=v)) for f, v in p.facts) for p in places
    ]  # every sentence names its place
    passages = read_files([("places.txt", "\n\n".join(told).encode())]).passages
    cases: list[Case] = []
    for i in rng.permutation(len(places))[:questions].tolist():
        place = places[i]
        fact, value = _pick(rng, place.facts)
        cases += _questions(place, fact, value, frozenset({f"{i}"}), "text base", rng)
        missing = [f for f in world.facts if f not in {own for own, _ in place.facts}]
        if rng.random() < 0.25:
            cases.append(Case("text base, absent fact", _pick(rng, missing).asked.format(x=place.phrase)))
    there = {p.phrase for p in places}
    cases += [_absent(world, "text base", there, rng) for _ in range(questions)]
    numbered = [_renamed(p, str(n)) for n, p in enumerate(passages)]
    return Base(cases, numbered)


def _renamed(passage: Any, name: str) -> Any:
    from dataclasses import replace

    return replace(passage, name=name)


def note_bases(split: str, count: int, rng: np.random.Generator) -> Iterator[Base]:
    """Markdown files of `NOTE_PASSAGES` sections each; a section names its place in the heading only."""
    world = PLACES_OF[split]
    for _ in range(count):
        places = _places(world, NOTE_PASSAGES, rng)
        lines = ["# Places that we saw", ""]
        for p in places:
            lines += [f"## {_upper(p.phrase)}", ""]
            lines += [" ".join(_upper(f.told.format(it="it", v=v)) for f, v in p.facts), ""]
        passages = read_files([("notes.md", "\n".join(lines).encode())]).passages
        place = _pick(rng, places)
        fact, value = _pick(rng, place.facts)
        source = frozenset({f"notes.md › Places that we saw › {_upper(place.phrase)}"})
        cases = _questions(place, fact, value, source, "long notes", rng)
        yield Base([*cases, _absent(world, "long notes", {p.phrase for p in places}, rng)], passages)
