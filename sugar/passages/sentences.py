"""Text is cut into sentences, and sentences are packed into passages of a bounded size. All in linear time.

    sentences("An oak is tall. A fir is green.")          # ["An oak is tall.", "A fir is green."]
    list(pack([Block("Trees", ["An oak is tall."])]))      # [("Trees", "An oak is tall.")]

Only `str.split`, `str.translate`, comparisons of single words and one expression that cannot backtrack are
used.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["MAX_CHARACTERS", "MAX_WORDS", "Block", "clean", "pack", "sentences", "told_row"]

MAX_WORDS = 80
MAX_CHARACTERS = 800
"""Limits of one passage."""

_CLOSING = "\"')]}»”’*_`」』）】》"
_STOPS = re.compile(r"([。！？｡।။។]+[」』）】》”’]*)")
_OPENING = "\"'([{«“‘*_`"
_ENDS = (".", "!", "?", "…", "。", "！", "？", "｡", "।", "။", "។", ":", ";")
_ABBREVIATIONS = frozenset(
    {"mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "no", "vs", "etc", "e.g", "i.e", "fig", "cf", "ca"}
    | {"approx", "dept", "est", "vol", "pp", "p", "ed", "eds", "al", "inc", "ltd", "co", "mt", "ave", "rd"}
    | {"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"}
)
_UNWANTED = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029], " ") | dict.fromkeys(
    [0xAD, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)]
)


@dataclass(frozen=True)
class Block:
    """A part of a text that stays together where it can: a paragraph, a list, a table row.

    title: the headings above it, joined by " › ". sentences: its sentences in order. page: 1-based, where
    known.
    """

    title: str
    sentences: list[str]
    page: int | None = None


def clean(text: str) -> str:
    """One line without control characters, invisible marks, or marks that turn the direction of writing.

    >>> clean("a\\tb \\u202e c")
    'a b c'
    """
    return " ".join(text.translate(_UNWANTED).split())


def sentences(text: str) -> list[str]:
    """The sentences of a text, each on one clean line.

    A sentence ends at a word that ends in . ! ? or …, unless it is an abbreviation, an initial, or the next
    word starts in lower case; and after the full stop of a script without spaces.

    >>> sentences("See Dr. Bell at 5 p.m. today. Bring a pen!")
    ['See Dr. Bell at 5 p.m. today.', 'Bring a pen!']
    >>> sentences("狗叫小白。「在哪里？」在北京")
    ['狗叫小白。', '「在哪里？」', '在北京']
    """
    return [told for part in _STOPS.sub(r"\1\n", clean(text)).split("\n") for told in _in_words(part)]


def _in_words(text: str) -> list[str]:
    out: list[str] = []
    words = text.strip().split(" ")
    start = 0
    for i in range(len(words)):
        if i + 1 == len(words) or _ends(words[i], words[i + 1]):
            if told := " ".join(words[start : i + 1]):
                out.append(told)
            start = i + 1
    return out


def pack(
    blocks: Iterable[Block], *, words: int = MAX_WORDS, characters: int = MAX_CHARACTERS
) -> Iterator[tuple[Block, str]]:
    """(block, passage) for every passage: the block's sentences, as many as fit into the limits.

    A sentence beyond the limits is cut between words; a word beyond the limits is cut between characters.
    Passages without a letter or digit are left out.
    """
    for block in blocks:
        part: list[str] = []
        count = length = 0
        for piece in (p for s in block.sentences for p in _pieces(s, words, characters)):
            size = piece.count(" ") + 1
            if part and (count + size > words or length + 1 + len(piece) > characters):
                yield block, _joined(part)
                part, count, length = [], 0, 0
            part.append(piece)
            count, length = count + size, length + len(piece) + bool(length)
        if part and any(c.isalnum() for c in "".join(part)):
            yield block, _joined(part)


def _joined(part: list[str]) -> str:
    """Sentences in one text. After one without a full stop (a list item) comes a line break, which keeps
    them apart; after the full stop of a script without spaces comes nothing."""
    ended = [p + _between(p) for p in part[:-1]]
    return "".join([*ended, part[-1]])


def _between(sentence: str) -> str:
    bare = sentence.rstrip(_CLOSING)
    return "\n" if not bare.endswith(_ENDS) else "" if bare[-1] in "。！？｡" else " "


def told_row(cells: Iterable[tuple[str, str]]) -> str:
    """The row of a table, as (heading, cell) pairs, as one sentence.

    >>> told_row([("Name", "oak"), ("", "old"), ("Height", "")])
    'Name: oak. old.'
    """
    return " ".join(f"{heading}: {cell}." if heading else f"{cell}." for heading, cell in cells if cell)


def _pieces(sentence: str, words: int, characters: int) -> Iterator[str]:
    """The sentence, or parts of it that fit into the limits."""
    if len(sentence) <= characters and sentence.count(" ") < words:
        yield sentence
        return
    part: list[str] = []
    length = 0
    for word in sentence.split(" "):
        for at in range(0, len(word), characters):
            bit = word[at : at + characters]
            if part and (len(part) >= words or length + 1 + len(bit) > characters):
                yield " ".join(part)
                part, length = [], 0
            part.append(bit)
            length += len(bit) + (len(part) > 1)
    if part:
        yield " ".join(part)


def _ends(word: str, following: str) -> bool:
    bare = word.rstrip(_CLOSING)
    if not bare.endswith(_ENDS[:-2]):
        return False
    next_letter = following.lstrip(_OPENING)[:1]
    if next_letter and unicodedata.category(next_letter) == "Ll":
        return False
    if bare[-1] != ".":
        return True
    stem = bare[:-1].lstrip(_OPENING)
    return not (stem.lower() in _ABBREVIATIONS or (len(stem) == 1 and stem.isalpha()))
