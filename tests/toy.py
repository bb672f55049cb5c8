"""A toy embedder and a toy model that a reader can compute by hand, for tests of everything above the core.

    model = ToyModel()
    model.embed([Sample("a red star")]).pooled         # red and star each count 1 -> both 1/sqrt(2) = 0.7071
    "".join(model.generate(Sample([picture, "what color is it?"])))

The space has one axis per entry of `AXES`. A text adds 1 on the axis of each word that is an axis name; a
picture adds its mean colour / 255 on red, green, blue and, where it is dark (mean below 1/4), 1 on night. The
vector at slice i is the sum over slices 1..i plus 0.1 on the axis `any` (nothing is a zero vector), made
unit: the prefix rule of the real model (Sugar, section 3.1) in one line. Not covered: meaning, order within a
prefix, learning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from sugar.model.checkpoint import Profile
from sugar.sequence import Embeddings, Sample, Turn

AXES = ("any", "red", "green", "blue", "night", "star", "circle", "dog")


def features(content: str | Image.Image) -> np.ndarray:
    """(len(AXES),) float32: word counts of a text, or the mean colour of a picture."""
    out = np.zeros(len(AXES), np.float32)
    if isinstance(content, str):
        for word in re.findall(r"\w+", content.lower()):
            if word in AXES[1:]:
                out[AXES.index(word)] += 1
        return out
    red, green, blue = np.asarray(content.convert("RGB"), np.float32).reshape(-1, 3).mean(0) / 255
    out[1:4] = red, green, blue
    out[4] = float((red + green + blue) / 3 < 0.25)
    return out


class ToyEmbedder:
    """`embed`, `fingerprint`, `dimension`: all that a gallery or a search needs.

    `calls` counts the samples of every call.
    """

    dimension = len(AXES)

    def __init__(self, fingerprint: str = "toy-1") -> None:
        self.fingerprint = fingerprint
        self.calls: list[int] = []

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings:
        """pooled (N, 8); slices: N arrays (n_i, 8).

        Raises ValueError for a picture one pixel wide that is magenta (a model's crash).
        """
        self.calls.append(len(samples))
        slices, is_image = [], []
        for sample in samples:
            if any(
                i.size == (1, 1) and i.convert("RGB").getpixel((0, 0)) == (255, 0, 255) for i in sample.images
            ):
                raise ValueError("the toy model cannot read a 1x1 magenta picture")
            rows = np.cumsum([features(s.content) for s in sample], axis=0, dtype=np.float32)  # (n_i, 8)
            rows[:, 0] = 0.1
            slices.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
            is_image.append(np.array([s.is_image for s in sample]))
        pooled = np.stack([s[-1] for s in slices]) if slices else np.zeros((0, self.dimension), np.float32)
        return Embeddings(pooled, slices, is_image)


class ToyModel(ToyEmbedder):
    """Adds the generative half: it says what it was given, and scores an answer by the words it shares with
    the question.
    """

    name = "toy"
    device = "cpu"
    precision = "fp32"
    profile = Profile(
        yes_no="does this show {caption}?",
        difference="what differs between these two?",
        reading="{passages}{question}",
    )
    card = "# toy\nA model for tests: words and mean colours, nothing learned."
    adapter: str | None = None
    adapters: tuple[str, ...] = ()
    forgotten = 0
    """How often `forget` was called."""

    def forget(self) -> None:
        self.forgotten += 1

    def agreement(self, query: Sample, candidates: Sequence[Sample]) -> np.ndarray:
        """(N,) in [0, 1]: half of one plus the cosine of candidate and query."""
        return (1 + self.embed(candidates).pooled @ self.embed([query]).pooled[0]) / 2

    def picture_heat(self, query: Sample, image: Image.Image) -> np.ndarray | None:
        """The toy has no cells."""
        return None

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Words that begin with "zz"; the toy knows all others."""
        return tuple(word for word in text.split() if word.startswith("zz"))

    def generate(self, conversation: Sample | Sequence[Turn], **settings: Any) -> Iterator[str]:
        """Yield word by word: `I see N pictures and the words ...`, with the words of the last turn."""
        longest, stop = settings.get("max_new_tokens", 128), settings.get("stop")
        sample = conversation if isinstance(conversation, Sample) else conversation[-1].sample
        words = f"I see {len(sample.images)} pictures and the words {sample.text}".split()
        for i, word in enumerate(words[:longest]):
            if stop is not None and stop.is_set():
                return
            yield word if i == 0 else " " + word

    def score(self, sample: Sample, answers: Sequence[str]) -> np.ndarray:
        """(len(answers),) float32, minus the number of words of the answer that the sample's vector does not
        point to.
        """
        known = self.embed([sample]).pooled[0] > 0.05
        return np.array(
            [-sum(w not in AXES or not known[AXES.index(w)] for w in a.lower().split()) for a in answers],
            np.float32,
        )

    def log_odds(self, questions: Sequence[Sample]) -> np.ndarray:
        """(N,) log p(yes) - log p(no), by the words of `score`."""
        return np.array([yes - no for yes, no in (self.score(q, ["yes", "no"]) for q in questions)])

    def probability_of_yes(self, questions: Sequence[Sample]) -> np.ndarray:
        """(N,) in [0, 1]."""
        return 1 / (1 + np.exp(-self.log_odds(questions)))
