"""The one score of a passage for a question, in [0, 1]. It orders the hits, decides the cut-off and ranks
the citations.

    score = (1 - w) * words + w * vector        with text; w = vector_weight * the share of words it knows
    score = vector                              for a picture without words

words: the share of the question's content words that the best sentence and the whole passage cover, lowered
where neighbours of the question stand apart, where the answer's kind (a number, a person) is missing, and
where a pair asks something else or a word is said elsewhere only. vector: x^2 / (x^2 + half^2), with x the
standard deviations by which the passage is closer to the question than strangers are; for pictures the
cosine itself, where the checkpoint says at which cosine a picture fits (`Scales.half_cosine`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sugar.passages import Passage
from sugar.rag.words import STOP, Terms, stems
from sugar.search_words import tokens

_NUMBERS = frozenset(
    str.split("""
    one two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty thirty
    forty fifty sixty hundred thousand million dozen
    """)
)
_TIMES = frozenset(
    str.split("""
    january february march april may june july august september october november december monday
    tuesday wednesday thursday friday saturday sunday today yesterday morning evening noon midnight
    """)
)
_COLORS = frozenset(
    str.split("""
    red green blue yellow orange purple pink brown black white gray grey silver golden gold violet
    turquoise beige scarlet ivory emerald ochre crimson maroon teal navy cream dark light
    """)
)
_ASKED = {
    "time": ("when", "what year", "which year", "what date", "which day"),
    "number": (
        *("how many", "how much", "how old", "how tall", "how long", "how far", "how high", "how big"),
    ),
    "color": ("color", "colour"),
    "person": ("who", "whom", "whose"),
}
"""What a question asks for, and the words that say so; the first that fits counts."""

_SENTENCE, _WHOLE = 0.6, 0.4
_APART, _KIND, _OTHER, _ELSE, _LACKS = 0.35, 0.25, 0.3, 0.3, 0.5


@dataclass(frozen=True)
class Scales:
    """Numbers that belong to a checkpoint. vector_weight: how much its vectors count beside words.

    half_text, half_picture: the deviations at which the vector's part is one half. half_cosine: the cosine at
    which a picture's is, instead of deviations; 0 where nobody has measured it.
    """

    vector_weight: float = 0.25
    half_text: float = 6.0
    half_picture: float = 6.0
    half_cosine: float = 0.0

    def of_picture(self, cosine: float, deviations: float) -> float:
        """The vector's part of the score of a picture, in [0, 1)."""
        if self.half_cosine:
            return saturating(cosine, self.half_cosine)
        return saturating(deviations, self.half_picture)


@dataclass(frozen=True)
class Stemmed:
    """A passage as stems, made once: of its name, of text and answer, and each sentence with its stems."""

    title: tuple[str, ...]
    text: tuple[str, ...]
    sentences: tuple[tuple[str, tuple[str, ...]], ...]
    pair_question: str

    @classmethod
    def of(cls, passage: Passage) -> Stemmed:
        told = tuple((sentence, tuple(stems(sentence))) for sentence in passage.sentences)
        text = tuple(stems(f"{passage.text} {passage.answer}"))
        return cls(tuple(stems(passage.name)), text, told, passage.text if passage.answer else "")


def by_words(asked: Terms, kind: str, passage: Stemmed) -> float:
    """The part of the score that words give, in [0, 1]; 0 for a passage without words.

    kind: what the question asks for (`kind_asked`).
    """
    if not passage.text and not passage.title:
        return 0.0
    there = {*passage.title, *passage.text}
    whole = best = asked.coverage(there, strict=bool(passage.pair_question))
    fitting = True
    if not passage.pair_question and passage.sentences:
        fits = [_fit(asked, kind, told, passage.title) for told in passage.sentences]
        sentence, own = passage.sentences[int(np.argmax(fits))]
        best, fitting = asked.coverage({*passage.title, *own}), kind_fits(kind, asked, sentence)
    score = _SENTENCE * best + _WHOLE * whole
    score *= 1 - _APART * asked.apart([*passage.title, "|", *passage.text])
    score *= 1 - _KIND * (not fitting)
    score *= 1 - _ELSE * asked.asks_else(there)
    score *= 1 - _LACKS * asked.lacks(there)
    if passage.pair_question:
        own_terms = Terms.of(passage.pair_question)
        score *= 1 - _OTHER * (1 - own_terms.coverage({*asked.stems, *passage.title}))
    return float(score)


def best_sentence(asked: Terms, question: str, passage: Passage) -> str:
    """The sentence that fits the question best; the answer of a pair; the caption of a picture."""
    if passage.answer:
        return passage.answer
    told = passage.sentences
    if passage.image is not None or passage.item is not None or len(told) < 2:
        return " ".join(told)
    title, kind = stems(passage.name), kind_asked(question)
    return max(told, key=lambda sentence: _fit(asked, kind, (sentence, stems(sentence)), title))


def _fit(asked: Terms, kind: str, told: tuple[str, Sequence[str]], title: Sequence[str]) -> float:
    """How well a sentence, with its stems, fits the question, under its title."""
    sentence, own = told
    near = 1 - _APART * asked.apart(own)
    return asked.coverage({*title, *own}) * near + 0.1 * kind_fits(kind, asked, sentence)


def kind_asked(question: str) -> str:
    """What a question asks for: "time", "number", "color", "person", or "" for anything."""
    asked = f" {' '.join(tokens(question))} "
    return next((kind for kind, said in _ASKED.items() if any(f" {w} " in asked for w in said)), "")


def kind_fits(kind: str, asked: Terms, sentence: str) -> bool:
    """Does the sentence hold a number, a time, a color or a name, where the question asks for one?"""
    if not kind:
        return True
    if kind == "person":
        named = [word for w in sentence.split() if w[:1].isupper() for word in tokens(w)]
        return any(word not in asked.words and word not in STOP for word in named)
    words = tokens(sentence)
    if kind == "color":
        return not _COLORS.isdisjoint(words)
    if kind == "time":
        return any(len(w) == 4 and w.isdigit() for w in words) or not _TIMES.isdisjoint(words)
    return any(w[0].isdigit() or w in _NUMBERS for w in words)


def closeness(whole: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Mean of -log |a - b| over two cosines: of the whole question, and of its words alone.

    Of the distance, not the cosine: questions of one form are much alike, and one that is the same must
    stand out.
    """
    pair = [-0.5 * np.log(np.maximum(2 - 2 * np.asarray(c, np.float64), 1e-4)) for c in (whole, words)]
    return (pair[0] + pair[1]) / 2


def saturating(value: float, half: float) -> float:
    """A closeness as a part of the score, in [0, 1): one half at `half`."""
    above = max(0.0, value)
    return above**2 / (above**2 + half**2)


def combined(words: float, vector: float, has_words: bool, known: float, scales: Scales) -> float:
    """The score. known: share of the question's words that the model knows, in [0, 1]."""
    if not has_words:
        return vector * known
    return words + scales.vector_weight * known * max(0.0, vector - words)


def known_share(model: Any, text: str) -> float:
    """The share of a text's words that the model knows, in [0, 1]."""
    words = text.split()
    return 1.0 - len(model.unknown_words(text)) / len(words) if words else 1.0
