"""What a step of the drawn world holds, and the builder that fills it.

    builder = StepBuilder(tokens, rng)
    p = builder.picture(scene); builder.embed_picture(p); builder.step.samples

Pictures are shared: a scene that is asked about, embedded and edited is drawn and encoded once. Not covered:
which exercises a step has (mix.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sugar.scenes.captions import Fact, Text, scene_facts
from sugar.scenes.world import Scene
from sugar.training.rows import Row, RowBuilder, Tokens

__all__ = ["Embedded", "MixConfig", "Step", "StepBuilder", "draw_positions"]


@dataclass(frozen=True)
class MixConfig:
    """How many of each a step holds.

    Answers teach language; captions, stories, edits and cards teach both.
    """

    answers: int = 28  # pictures with packed questions
    questions: int = 8  # a picture
    swapped: int = 8  # swapped pairs: 2 pictures and 2 captions each, asked and embedded
    captions: int = 7  # pictures embedded beside their captions
    stories: int = 3
    albums: int = 6  # two interleaved samples of like length that share parts
    edits: int = 6  # picture + change -> picture
    differences: int = 16  # what differs between two pictures, asked only
    cards: int = 5
    copies: int = 8  # text-only copying exercises
    chats: int = 3  # several turns that see each other


@dataclass(frozen=True)
class Embedded:
    """A row whose slices are embedded: the facts of each slice, and the drawn positions (slice
    indices, the last one last)."""

    row: int
    facts: list[tuple[Fact, ...]]
    is_image: list[bool]
    positions: list[int]


@dataclass
class Step:
    """referents: (query sample, referent sample); the query's last position against the referent's only one.
    swaps: (picture 0, picture 1, caption 0, caption 1) as sample numbers. pairs: (caption sample, picture
    sample) that belong together."""

    scenes: list[Scene] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    samples: list[Embedded] = field(default_factory=list)
    referents: list[tuple[int, int]] = field(default_factory=list)
    swaps: list[tuple[int, int, int, int]] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)


def draw_positions(slices: int, rng: np.random.Generator) -> list[int]:
    """Two to four slice ends of a sample of several slices, the last one always among them."""
    others = min(slices - 1, int(rng.integers(1, 4)))
    return [*sorted(int(i) for i in rng.permutation(slices - 1)[:others]), slices - 1]


class StepBuilder:
    """Fills a Step.

    Pictures are shared: a scene that is asked about, embedded and edited is drawn and encoded once.
    """

    def __init__(self, tokens: Tokens, rng: np.random.Generator) -> None:
        self.tokens, self.rng = tokens, rng
        self.step = Step()

    def picture(self, scene: Scene) -> int:
        self.step.scenes.append(scene)
        return len(self.step.scenes) - 1

    def ask_about(self, pictures: list[int], turns: list[tuple[str, str, str]]) -> None:
        """Packed turns about the same pictures; each sees the pictures and itself only."""
        builder = RowBuilder(self.tokens).user()
        for p in pictures:
            builder.picture(p)
        for question, answer, skill in turns:
            builder.turn(question, answer, skill)
        self.step.rows.append(builder.row())

    def embed(
        self, parts: list[tuple[int, tuple[Fact, ...]] | Text], positions: list[int] | None = None
    ) -> int:
        """A raw interleaved row to embed: (picture, its facts) and Texts in order.

        Returns the sample's number.
        """
        builder = RowBuilder(self.tokens).bos()
        for part in parts:
            if isinstance(part, Text):
                builder.text(part.words)
            else:
                builder.picture(part[0])
        self.step.rows.append(builder.row())
        facts = [part.facts if isinstance(part, Text) else part[1] for part in parts]
        flags = [not isinstance(part, Text) for part in parts]
        chosen = draw_positions(len(parts), self.rng) if positions is None else positions
        self.step.samples.append(Embedded(len(self.step.rows) - 1, facts, flags, chosen))
        return len(self.step.samples) - 1

    def embed_picture(self, picture: int) -> int:
        return self.embed([(picture, scene_facts(self.step.scenes[picture]))])
