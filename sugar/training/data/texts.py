"""Texts without pictures, a line each: sentences, single words, names.

    open_texts(Path("sentences.txt"))        # --data texts=sentences.txt

Every line is embedded; lines of several words are learnt as language too. Not covered: documents, which the
formats of interleaved data read.
"""

from __future__ import annotations

from pathlib import Path

from sugar.errors import InputError
from sugar.sequence import Sample
from sugar.training.data.example import Example, Target
from sugar.training.data.files import no_split, read_lines

SENTENCE = 3
"""Words from which a line is learnt as language: a lone word says nothing about what follows it."""


class Texts:
    """The lines of a file that are not empty."""

    def __init__(self, name: str, lines: list[str], notes: list[str]) -> None:
        self.name, self.lines, self.notes = name, lines, notes

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> Example:
        line = self.lines[index]
        target = Target(Sample(line), language=len(line.split()) >= SENTENCE)
        return Example((target,), source=f"{self.name}: {line[:40]}")

    def captions(self, index: int) -> list[str]:
        return [self.lines[index]]


def open_texts(path: Path, split: str = "") -> Texts:
    """A text file, a text a line. Raises InputError when it holds none."""
    lines = [line.strip() for line in read_lines(path) if line.strip()]
    if not lines:
        raise InputError(f"{path} holds no text. Write one a line.")
    return Texts(path.stem, lines, no_split(path, split))
