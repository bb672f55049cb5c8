"""What is asked: photos of one split, their captions and facts, and the habits of the training split.

    asked = Asked(Archive("DATA"), split="test", size=1000)
    asked.photos[3], asked.captions[3], asked.facts[3]

A habit is what a program could say without looking: the commonest answer to a question, the likelier of two
words.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from sugar.training.photos.archive import Archive, clean
from sugar.training.photos.facts import Corpus, Facts, Question, existence, questions

__all__ = ["BLANK", "Asked", "Habits", "drawn_questions"]

BLANK = Image.new("RGB", (224, 224), (128, 128, 128))
"""The picture that says nothing."""

ONES = 0.25
"""Share of the questions with the answer "one" that is asked; they would drown the other numbers."""


def drawn_questions(facts: Facts, rng: np.random.Generator) -> list[Question]:
    """The open questions about a photo, with few of the answer "one"."""
    return [q for q in questions(facts, rng) if q.answer != "one" or rng.random() < ONES]


class Habits:
    """Language-only answers, learnt from the training captions."""

    def __init__(self, photos: Sequence[Facts], captions: Sequence[str], corpus: Corpus) -> None:
        rng = np.random.default_rng(0)
        self._answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._words: Counter[str] = Counter()
        for facts in photos:
            for q in [*drawn_questions(facts, rng), *existence(facts, corpus, rng, "adversarial")]:
                thing = q.text.rstrip("?").split()
                for key in (q.text, f"{q.kind}/{' '.join(thing[-2:])}", q.kind):
                    self._answers[key][q.answer] += 1
        for caption in captions:
            words = ["", *caption.split(), ""]
            self._words.update(words)
            self._pairs.update(zip(words, words[1:], strict=False))

    def answer(self, question: Question) -> str:
        """The commonest answer to the question, or to its last two words, or to its kind."""
        thing = question.text.rstrip("?").split()
        for key in (question.text, f"{question.kind}/{' '.join(thing[-2:])}"):
            if sum(self._answers[key].values()) >= 5:
                return self._answers[key].most_common(1)[0][0]
        return self._answers[question.kind].most_common(1)[0][0]

    def likelihood(self, caption: str) -> float:
        """The mean log probability of a caption's words under word pairs, smoothed by single words."""
        words = ["", *clean(caption).split(), ""]
        total, known = sum(self._words.values()), len(self._words)
        scores = []
        for a, b in zip(words, words[1:], strict=False):
            single = (self._words[b] + 1) / (total + known)
            scores.append(math.log((self._pairs[a, b] + 5 * single) / (self._words[a] + 5)))
        return sum(scores) / len(scores)


class Asked:
    """The first `size` photos of a split. `rng(name)` is a stream of its own for each benchmark."""

    def __init__(self, archive: Archive, *, split: str = "test", size: int = 1000, seed: int = 0) -> None:
        self.archive, self.seed = archive, seed
        self.names = archive.split(split)[:size]
        self.photos = list(archive.photos("flickr8k", self.names))
        self.captions = [archive.captions(name)[:5] for name in self.names]
        self.facts = [Facts([clean(c) for c in captions]) for captions in self.captions]

    @cached_property
    def _training(self) -> tuple[list[Facts], list[str], Corpus]:
        captions = [[clean(c) for c in self.archive.captions(n)] for n in self.archive.split("train")]
        facts = [Facts(c) for c in captions]
        return facts, [c for own in captions for c in own], Corpus(facts)

    @property
    def corpus(self) -> Corpus:
        """Counts over the training split."""
        return self._training[2]

    @cached_property
    def habits(self) -> Habits:
        """What can be said without looking."""
        return Habits(*self._training)

    def rng(self, benchmark: str) -> np.random.Generator:
        """A generator that no other benchmark shares."""
        return np.random.default_rng([self.seed, *benchmark.encode()])
