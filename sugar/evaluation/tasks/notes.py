"""Questions to notes, half of them without an answer there: what the photo benchmark asks of Ask's reader.

    for item in questions(): item.paragraphs, item.question, item.wanted
    is_read(answer, item.wanted)

One to three paragraphs that are made here, of other matters and names than those of any training data of this
project. Not covered: asking and scoring (photos.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sugar.passages import Passage
from sugar.rag.evidence import best_sentence
from sugar.rag.words import Terms
from sugar.search_words import tokens

QUESTIONS = 200
MOST_WORDS = 15
TOKENS = 64

FACTS = """
{he} repaired {tool} on {weekday}.|Who repaired {tool}?|{he}
{he} repaired {tool} on {weekday}.|When was {tool} repaired?|{weekday}
The plumber comes on {weekday} at {hour}.|At what time does the plumber come?|{hour}
The plumber asked {price} dollars for {tool}.|How many dollars did the plumber ask for?|{price}
{he} borrowed {book} from the library.|Which book did {he} borrow?|{book}
{book} has to be back by the {day}th.|By which day does {book} have to be back?|{day}
Room {number} is where {subject} is taught.|In which room is {subject} taught?|{number}
{he} teaches {subject} since {year}.|Since when does {he} teach {subject}?|{year}
The recipe takes {count} eggs and {weight} grams of {stuff}.|How many eggs does the recipe take?|{count}
The recipe takes {count} eggs and {weight} grams of {stuff}.|How many grams of {stuff} are needed?|{weight}
The cake bakes for {minutes} minutes.|How long does the cake bake?|{minutes}
{he} is allergic to {stuff}.|What is {he} allergic to?|{stuff}
The password for the shed hangs behind {tool}.|Behind what does the password for the shed hang?|{tool}
Our team beat {club} by {count} goals.|Whom did our team beat?|{club}
{he} scored in minute {minutes} against {club}.|In which minute did {he} score?|{minutes}
Bus {number} stops in front of the surgery.|Which bus stops in front of the surgery?|{number}
The doctor told {he} to take {medicine} twice a day.|What should {he} take twice a day?|{medicine}
The heating was set to {degrees} degrees by {he}.|To how many degrees was the heating set?|{degrees}
{he} sold the {colour} sofa to a neighbour.|What colour was the sofa?|{colour}
The meeting was moved to {weekday} because {he} is ill.|Who is ill?|{he}
"""
"""A sentence, a question that it answers, and the words that the answer must hold, a line each."""

WORDS = """
he|Arthur|Bianca|Cedric|Dorothea|Edgar|Fiona|Gustav|Harriet|Ivan|Judith|Kamil|Lydia|Marek|Nora|Otto|Petra
tool|the lawn mower|the drill|the ladder|the washing machine|the garden hose|the toaster
weekday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday
hour|half past eight|noon|three in the afternoon|a quarter to six
book|Moby Dick|Emma|The Odyssey|Dracula|Middlemarch|The Trial
subject|chemistry|Latin|geometry|drawing|biology
stuff|almonds|flour|butter|honey|walnuts|rye
club|Rovers|United|the Tigers|the Wanderers|Harbour Athletic
medicine|ibuprofen|cough syrup|vitamin D|eye drops
colour|green|purple|brown|orange|grey
"""
NUMBERS = {
    "price": (20, 400),
    "day": (4, 20),
    "number": (2, 480),
    "year": (1987, 2023),
    "count": (2, 9),
    "weight": (60, 750),
    "minutes": (4, 89),
    "degrees": (15, 25),
}
FILLERS = [
    "Nobody minded.",
    "It took longer than planned.",
    "The rest can wait until next week.",
    "Please remember the key.",
    "That was a relief.",
    "More about this another time.",
]


@dataclass(frozen=True)
class NoteQuestion:
    """A question to paragraphs. wanted: the words of its answer; empty where they do not hold it."""

    key: str
    paragraphs: tuple[str, ...]
    question: str
    wanted: str


def questions(seed: int = 0, count: int = QUESTIONS) -> list[NoteQuestion]:
    """`count` that the paragraphs answer, then as many that they do not."""
    rng = np.random.default_rng(seed)
    facts = [tuple(line.split("|")) for line in FACTS.strip().split("\n")]
    choices = {name: words for name, *words in (line.split("|") for line in WORDS.strip().split("\n"))}

    def slots() -> dict[str, str]:
        words = {name: str(rng.choice(given)) for name, given in choices.items()}
        return words | {name: str(rng.integers(low, high + 1)) for name, (low, high) in NUMBERS.items()}

    found = []
    for n in range(2 * count):
        told, question, wanted = facts[int(rng.integers(len(facts)))]
        own = slots()
        others = rng.choice(
            sorted({f[0] for f in facts} - {told}), size=int(rng.integers(2, 6)), replace=False
        )
        sentences = [filled(str(s), slots()) for s in [*others, *rng.choice(FILLERS, size=2, replace=False)]]
        sentences += [filled(told, own)] * (n < count)
        rng.shuffle(sentences)
        parts = np.array_split(np.array(sentences), int(rng.integers(1, 4)))
        answer = filled(wanted, own) if n < count else ""
        paragraphs = tuple(" ".join(part) for part in parts)
        found.append(NoteQuestion(str(n), paragraphs, filled(question, own), answer))
    return found


def filled(text: str, slots: dict[str, str]) -> str:
    """A sentence with its slots filled, beginning with a capital."""
    told = text.format_map(slots)
    return told[:1].upper() + told[1:]


def passages(paragraphs: Sequence[str]) -> list[Passage]:
    """Paragraphs as Ask hands them to the model."""
    return [Passage(f"note {n}", text) for n, text in enumerate(paragraphs, 1)]


def is_read(answer: str, wanted: str) -> bool:
    """Are the words that were asked for in an answer of at most `MOST_WORDS` words?

    >>> is_read("It was repaired on Monday.", "monday"), is_read("On Tuesday.", "Monday")
    (True, False)
    """
    said = f" {' '.join(tokens(answer))} "
    return f" {' '.join(tokens(wanted))} " in said and len(answer.split()) <= MOST_WORDS


def looked_up(*parts: str) -> str:
    """The sentence of the paragraphs that shares most words with the question, which comes last."""
    *paragraphs, question = parts
    whole = Passage("notes", " ".join(s for p in passages(paragraphs) for s in p.sentences))
    return best_sentence(Terms.of(question), question, whole)
