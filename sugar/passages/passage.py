"""The values of this room: a passage, the limits of a knowledge base, and the result of reading files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from PIL import Image

from sugar.passages.sentences import sentences
from sugar.sequence import Sample

__all__ = ["PassageLimits", "Passage", "Reading"]


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
    picture that it is. note: the id under which a gallery keeps it.
    """

    name: str
    text: str = ""
    answer: str = ""
    image: Image.Image | None = None
    item: int | None = None
    note: int | None = None

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
