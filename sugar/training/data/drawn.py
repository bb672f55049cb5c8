"""The drawn world as one data set among others: row n is drawn from the `train` seeds, endlessly and the
same each time.

    world = DrawnWorld(); world[7].samples

Its slices carry the facts of the scene graph, which its teachers read (training/teachers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sugar.scenes.draw import draw
from sugar.scenes.questions import questions
from sugar.scenes.words import (
    DESCRIBE,
    Fact,
    Text,
    long_caption,
    sample_edit,
    sample_story,
    sample_winoground,
    scene_facts,
    short_caption,
)
from sugar.scenes.world import Scene, sample_scene, split_rng
from sugar.sequence import Sample, Slice, Turn
from sugar.training.data.example import Conversation, Example, Target

ROWS = 1_000_000


@dataclass(frozen=True, eq=False)
class SceneSlice(Slice):
    """A slice with the facts that it shows or states."""

    facts: tuple[Fact, ...] = ()


def shown(scene: Scene) -> SceneSlice:
    """The picture of a scene."""
    return SceneSlice(Image.fromarray(draw(scene)), scene_facts(scene))


def said(text: Text) -> SceneSlice:
    return SceneSlice(text.words, text.facts)


class DrawnWorld:
    """Rows of four kinds in turn: a captioned scene with questions, a swapped pair, an edit, a story."""

    name = "drawn"

    def __init__(self, split: str = "train") -> None:
        self.split = split

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Example:
        rng = split_rng(self.split, index)  # type: ignore[arg-type]
        make = (_captioned, _swapped, _captioned, _edit, _captioned, _story)[index % 6]
        return make(rng, f"drawn: {self.split} seed {index}")

    def captions(self, index: int) -> list[str]:
        return [s.text for s in self[index].slices if not s.is_image]


def _asked(picture: SceneSlice, scene: Scene, rng: np.random.Generator, count: int) -> list[Conversation]:
    return [
        Conversation((Turn("user", Sample([picture, q.text])), Turn("assistant", Sample(q.answer))), q.kind)
        for q in questions(scene, rng, count)
    ]


def _captioned(rng: np.random.Generator, source: str) -> Example:
    scene = sample_scene(rng)
    picture, words = shown(scene), long_caption(scene, rng, opening=False)
    described = (Turn("user", Sample([picture, DESCRIBE[0]])), Turn("assistant", Sample(words.words)))
    samples = (
        Target(Sample(picture)),
        Target(Sample(said(words))),
        Target(Sample(said(short_caption(scene, rng)))),
    )
    talks = (*_asked(picture, scene, rng, 2), Conversation(described, "caption"))
    return Example(samples, talks, pairs=((1, 0),), source=source)


def _swapped(rng: np.random.Generator, source: str) -> Example:
    pair = sample_winoground(rng)
    slices = [*map(shown, pair.scenes), *map(said, pair.captions)]
    samples = tuple(Target(Sample(s)) for s in slices)
    return Example(samples, pairs=((2, 0), (3, 1)), swaps=((0, 1, 2, 3),), source=source)


def _edit(rng: np.random.Generator, source: str) -> Example:
    edit = sample_edit(sample_scene(rng), rng)
    before, after = shown(edit.before), shown(edit.after)
    query = Sample([before, SceneSlice(edit.instruction, edit.facts)])
    samples = (Target(query, (1,)), Target(Sample(after)), Target(Sample(before)))
    return Example(samples, referents=((0, 1),), source=source)


def _story(rng: np.random.Generator, source: str) -> Example:
    story = sample_story(rng)
    parts: list[Any] = []
    pictures = [shown(s) for s in story.scenes]
    for n, sentence in enumerate(story.sentences):
        parts += [said(sentence), pictures[n]] if n < 4 else [said(sentence)]
    inner: Sequence[int] = range(1, len(parts))
    again = Sample([said(long_caption(s, rng, opening=False)) for s in story.scenes])
    samples = (Target(Sample(parts), tuple(inner)), Target(Sample(pictures[-1])), Target(again))
    return Example(samples, referents=((0, 1),), retold=((0, 2),), source=source)


def open_drawn(path: Path, split: str = "") -> DrawnWorld:
    """The drawn world; the path is not used. split: train or tuning, never test."""
    return DrawnWorld(split or "train")
