"""A foil: a caption made wrong by exchanging one noun, colour, number or action for another of its kind.

all_foils("a brown dog runs", facts)     # [Foil("a brown horse runs", "noun"), ...]
"""

from __future__ import annotations

from typing import NamedTuple

from sugar.everyday.facts import Facts
from sugar.everyday.words import (
    ACTION_OF,
    EXCHANGE_KINDS,
    EXCHANGE_OF,
    EXCHANGES,
    PEOPLE,
    RELATED,
    THING_OF,
)


class Foil(NamedTuple):
    """The wrong caption, and the kind of word that was exchanged: noun, color, number or action."""

    caption: str
    kind: str


def all_foils(caption: str, facts: Facts) -> list[Foil]:
    """Every foil of a caption."""
    words = caption.split()
    places = [i for i, word in enumerate(words) if word.strip(",") in EXCHANGE_OF]
    return [one for i in places for one in _foils_at(words, i, facts)]


def _foils_at(words: list[str], i: int, facts: Facts) -> list[Foil]:
    old = words[i].strip(",")
    group = EXCHANGE_OF[old]
    found = []
    for new in EXCHANGES[group]:
        if not _wrong(new, old, group, facts):
            continue
        changed = [*words[:i], new + ("," if words[i].endswith(",") else ""), *words[i + 1 :]]
        if i and changed[i - 1] in ("a", "an"):
            changed[i - 1] = "an" if new[0] in "aeiou" else "a"
        found.append(Foil(" ".join(changed), EXCHANGE_KINDS[group]))
    return found


def _wrong(new: str, old: str, group: int, facts: Facts) -> bool:
    """Is `new` surely not what the photo shows?"""
    if new in facts.words or (new in THING_OF and not facts.absent(THING_OF[new])):
        return False
    if new in ACTION_OF:
        said = {ACTION_OF[word] for word in facts.words if word in ACTION_OF}
        if ACTION_OF[new] in said:
            return False
    if group < 2:
        thing, other = THING_OF.get(new), THING_OF.get(old)
        if thing in PEOPLE and other in PEOPLE and thing in RELATED.get(other or "", ()):
            return False
    return True
