"""A question about a scene, and names that mean exactly one of its objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sugar.scenes.world import Scene, SceneObject

NUMBERS = ("no", "one", "two", "three", "four", "five")


@dataclass(frozen=True)
class Question:
    """A question about a scene with its answer.

    Attributes:
        kind: which skill it asks.
        answer: the only right one.
        negative_of: for yes/no existence, POPE's way of choosing the absent object.
    """

    kind: str
    text: str
    answer: str


def name_of(scene: Scene, index: int, rng: np.random.Generator) -> str | None:
    """Words that mean exactly this object: its kind, or its colour and kind.

    None if another looks the same.
    """
    obj = scene.objects[index]
    same_kind = [t for t in scene.objects if t.kind == obj.kind]
    if len(same_kind) == 1:
        return obj.kind if rng.random() < 0.5 else obj.phrase
    return obj.phrase if sum(t.color == obj.color for t in same_kind) == 1 else None


def named(scene: Scene, rng: np.random.Generator) -> tuple[int, SceneObject, str] | None:
    for i in rng.permutation(len(scene.objects)):
        name = name_of(scene, int(i), rng)
        if name:
            return int(i), scene.objects[int(i)], name
    return None


def named_pair(scene: Scene, rng: np.random.Generator) -> tuple[int, int, str, str] | None:
    named = [
        (int(i), name) for i in rng.permutation(len(scene.objects)) if (name := name_of(scene, int(i), rng))
    ]
    if len(named) < 2:
        return None
    return named[0][0], named[1][0], named[0][1], named[1][1]


def yes_no(truth: bool) -> str:
    return "yes" if truth else "no"
