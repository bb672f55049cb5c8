"""A passage, and how text becomes passages: sentences are cut, and packed into parts of a bounded size.

    sentences("An oak is tall. A fir is green.")          # ["An oak is tall.", "A fir is green."]
    list(pack([Block("Trees", ["An oak is tall."])]))      # [(Block, "An oak is tall.")]

All in linear time: only `str.split`, `str.translate`, comparisons of single words and expressions that cannot
backtrack are used.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image

from sugar.sequence import Sample
from sugar.text_files import lines as lines_of

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

_PARTED = re.compile(r"(?<=[^\W\d_])[-\u2010\u00ad]\n[ \t]{0,40}([^\W\d_]{1,40})")
_AFTER_A_HYPHEN = frozenset(
    ("and", "or", "to", "und", "oder", "bis", "et", "ou", "y", "o", "e", "en", "of", "och")
)
"""Words before which a hyphen at the end of a line stays: "pre- and post-war"."""


@dataclass(frozen=True)
class PassageLimits:
    """Caps on one knowledge base.

    max_files, max_passages: counts. max_text_bytes: of a text, csv or JSON file. max_office_bytes: of a PDF
    or docx. max_pages: of a PDF. office_seconds: time to read one PDF or docx. all_seconds: to read all
    files. picture_side: pixels.
    """

    max_files: int = 200
    max_passages: int = 10_000
    max_text_bytes: int = 2_000_000
    max_office_bytes: int = 20_000_000
    max_pages: int = 500
    office_seconds: int = 30
    all_seconds: int = 120
    picture_side: int = 1024


@dataclass(frozen=True, eq=False)
class Passage:
    """One piece of text, question/answer pair, or picture with its caption.

    name: where it comes from: file, title path, page or row. text: the passage, the caption, or the
    question of a pair; may be empty beside a picture. answer: of a pair. item: the id of the gallery
    picture that it is.
    """

    name: str
    text: str = ""
    answer: str = ""
    image: Image.Image | None = None
    item: int | None = None

    @property
    def kind(self) -> Literal["pair", "picture", "passage"]:
        """ "pair", "picture" or "passage"."""
        return "pair" if self.answer else "picture" if self.image is not None else "passage"

    @property
    def sentences(self) -> list[str]:
        """The sentences of the text, each on one line."""
        return [told for line in self.text.split("\n") for told in sentences(line)]

    @property
    def key(self) -> Sample:
        """What is embedded: the picture, then the text. The answer of a pair is not part of it (Sugar,
        A5)."""
        return Sample([part for part in (self.image, self.text) if part])


@dataclass
class Reading:
    """The result of reading files: passages in order, and (name, words) of two kinds.

    refused: files and rows that were not read, with the reason. notes: what was guessed in a file that was
    read, and the parts of it that were not.
    """

    passages: list[Passage] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, name: str, reason: str) -> None:
        self.refused.append((name, reason))

    def note(self, name: str, *told: str) -> None:
        self.notes += [(name, words) for words in told if words]

    def __str__(self) -> str:
        kinds = [p.kind for p in self.passages]
        words = {"passage": "passages", "pair": "question/answer pairs", "picture": "pictures"}
        counts = ", ".join(f"{kinds.count(k)} {name}" for k, name in words.items() if k in kinds)
        return f"{counts or 'nothing'} to read" + (f"; {len(self.refused)} refused" if self.refused else "")


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
    out: list[str] = []
    for part in _STOPS.sub(r"\1\n", clean(text)).split("\n"):
        words = part.strip().split(" ")
        start = 0
        for i in range(len(words)):
            if i + 1 == len(words) or _ends(words[i], words[i + 1]):
                out.append(" ".join(words[start : i + 1]))
                start = i + 1
    return list(filter(None, out))


def pack(blocks: Iterable[Block]) -> Iterator[tuple[Block, str]]:
    """(block, passage) for every passage: the block's sentences, as many as fit into its limits.

    A sentence beyond the limits is cut between words; a word beyond the limits is cut between characters.
    Passages without a letter or digit are left out.
    """
    for block in blocks:
        part: list[str] = []
        count = length = 0
        for piece in (p for s in block.sentences for p in _pieces(s)):
            size = piece.count(" ") + 1
            if part and (count + size > MAX_WORDS or length + 1 + len(piece) > MAX_CHARACTERS):
                yield block, _joined(part)
                part, count, length = [], 0, 0
            part.append(piece)
            count, length = count + size, length + len(piece) + bool(length)
        if part and any(c.isalnum() for c in "".join(part)):
            yield block, _joined(part)


def _joined(part: list[str]) -> str:
    """Sentences in one text. After one without a full stop (a list item) comes a line break, which keeps
    them apart; after the full stop of a script without spaces comes nothing."""
    return "".join([*(sentence + _between(sentence) for sentence in part[:-1]), part[-1]])


def _between(sentence: str) -> str:
    bare = sentence.rstrip(_CLOSING)
    return "\n" if not bare.endswith(_ENDS) else "" if bare[-1] in "。！？｡" else " "


def told_row(cells: Iterable[tuple[str, str]]) -> str:
    """The row of a table, as (heading, cell) pairs, as one sentence.

    >>> told_row([("Name", "oak"), ("", "old"), ("Height", "")])
    'Name: oak. old.'
    """
    return " ".join(f"{heading}: {cell}." if heading else f"{cell}." for heading, cell in cells if cell)


def _pieces(sentence: str) -> Iterator[str]:
    """The sentence, or parts of it that fit into the limits."""
    if len(sentence) <= MAX_CHARACTERS and sentence.count(" ") < MAX_WORDS:
        yield sentence
        return
    part: list[str] = []
    length = 0
    for word in sentence.split(" "):
        for at in range(0, len(word), MAX_CHARACTERS):
            bit = word[at : at + MAX_CHARACTERS]
            if part and (len(part) >= MAX_WORDS or length + 1 + len(bit) > MAX_CHARACTERS):
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


def read_plain(text: str) -> Iterator[Block]:
    """One block for each paragraph; words that were parted at the end of a line are put together again.

    >>> [block.sentences for block in read_plain("One. Two.\\n\\nThree.")]
    [['One.', 'Two.'], ['Three.']]
    >>> [block.sentences for block in read_plain("An exam-\\nple of pre-\\nand post-war life.")]
    [['An example of pre- and post-war life.']]
    """
    lines: list[str] = []
    for line in [*lines_of(_PARTED.sub(_together, text)), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            if told := sentences(" ".join(lines)):
                yield Block("", told)
            lines = []


def _together(parted: re.Match[str]) -> str:
    follows = parted[1]
    whole = parted[0][0] == "\u00ad" or (follows.islower() and follows not in _AFTER_A_HYPHEN)
    return follows if whole else parted[0]
