"""Teachers without a download: a caption is its words, and a picture is the words that its captions use.

    words = WordEncoders(); words.learn(examples)
    words.encode([picture_slice])                    # the mean of its captions' vectors

Rare words weigh more (inverse document frequency). This is a stand-in for real encoders where none are at
hand: it knows no synonyms, and a picture without a caption has no vector and is refused.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from sugar.errors import InputError
from sugar.model.processor import image_key
from sugar.sequence import Slice
from sugar.training.data.example import Example

DIMENSION = 1024
WORD = re.compile(r"\w+")


class WordEncoders:
    """Hashed bags of words. Both parts are the same vector."""

    widths = (DIMENSION, DIMENSION)
    cached = False

    def __init__(self) -> None:
        self.documents = 0
        self.counts: Counter[str] = Counter()
        self.shown: dict[str, list[str]] = {}

    @property
    def name(self) -> str:
        seen = hashlib.sha256(repr(sorted(self.counts.items())).encode()).hexdigest()[:16]
        return f"words-{self.documents}-{seen}"

    def learn(self, examples: Iterable[Example]) -> None:
        """Count words, and remember which captions belong to which picture."""
        for example in examples:
            for text, picture in example.pairs:
                words = example.samples[text].sample.text
                key = image_key(example.samples[picture].sample.images[0])
                said = self.shown.setdefault(key, [])
                if words not in said:
                    said.append(words)
                    self.documents += 1
                    self.counts.update(set(_words(words)))

    def encode(self, slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows (n, 1024), twice. Raises InputError for a picture whose captions were never seen."""
        rows = np.stack([self._picture(s) if s.is_image else self._text(s.text) for s in slices])
        return rows, rows

    def _picture(self, s: Slice) -> np.ndarray:
        said = self.shown.get(image_key(s.image))
        if not said:
            raise InputError(
                "A picture has no caption, so `--teachers words` cannot label it. Use real encoders."
            )
        return _unit(sum((self._text(words) for words in said), np.zeros(DIMENSION, np.float32)))

    def _text(self, text: str) -> np.ndarray:
        row = np.zeros(DIMENSION, np.float32)
        for word in _words(text):
            code = zlib.crc32(word.encode())
            rarity = math.log((1 + self.documents) / (1 + self.counts[word])) + 0.1
            row[code % DIMENSION] += rarity * (1.0 if code & (1 << 20) else -1.0)
        return _unit(row)


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _unit(row: np.ndarray) -> np.ndarray:
    norm = float(np.linalg.norm(row))
    if norm == 0:  # no letters at all: a direction of its own
        row = row.copy()
        row[0] = norm = 1.0
    return (row / norm).astype(np.float32)
