"""Swapped pairs, Winoground's form: two scenes, and two captions of the same words in another order.

pair = sample_winoground(rng)       # caption i fits scene i and not the other
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sugar.scenes.captions import Text, article, object_facts, relation_fact
from sugar.scenes.edits import is_free
from sugar.scenes.world import HELD_OUT_PAIRS, Scene, SceneObject, is_held_out, relation, sample_scene


def swap(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Text, Text] | None:
    """The scene with two objects' colours or cells exchanged, and a caption of each: the same words in
    another order. None where nothing can be swapped.
    """
    n = len(scene.objects)
    if n < 2:
        return None
    order = [int(i) for i in rng.permutation(n)[:2]]
    a, b = (scene.objects[i] for i in order)
    if a.kind == b.kind or sum(t.kind in (a.kind, b.kind) for t in scene.objects) > 2:
        return None
    names = sorted(relation(scene, *order))
    if rng.random() < 0.5 or not names:
        if a.color == b.color or (a.kind, b.color) in HELD_OUT_PAIRS or (b.kind, a.color) in HELD_OUT_PAIRS:
            return None
        swapped = scene.with_object(order[0], color=b.color).with_object(order[1], color=a.color)
        if is_held_out(swapped) and not is_held_out(scene):
            return None
        x, y = swapped.objects[order[0]], swapped.objects[order[1]]
        return swapped, _and(a, b), _and(x, y)
    if not (is_free(a, scene, order[0]) and is_free(b, scene, order[1])):
        return None
    name = names[int(rng.integers(len(names)))]
    swapped = scene.with_object(order[0], row=b.row, col=b.col).with_object(order[1], row=a.row, col=a.col)
    return swapped, _related(a, name, b), _related(b, name, a)


def _and(a: SceneObject, b: SceneObject) -> Text:
    return Text(f"{article(a.phrase)} and {article(b.phrase)}", (*object_facts(a), *object_facts(b)))


def _related(a: SceneObject, name: str, b: SceneObject) -> Text:
    return Text(
        f"{article(a.phrase)} {name} {article(b.phrase)}",
        (*object_facts(a), *object_facts(b), relation_fact(a, name, b)),
    )


@dataclass(frozen=True)
class WinogroundPair:
    """Caption i fits scene i and not the other."""

    scenes: tuple[Scene, Scene]
    captions: tuple[Text, Text]
    kind: str  # "attribute" or "relation"


def sample_winoground(rng: np.random.Generator) -> WinogroundPair:
    """A swapped pair; half the time the second picture's setting is drawn anew, so that only the words
    tell.
    """
    while True:
        scene = sample_scene(rng, objects=int(rng.integers(2, 4)), repeat=0.0, special=0.0)
        made = swap(scene, rng)
        if made is None:
            continue
        swapped, first, second = made
        if rng.random() < 0.5:
            setting = sample_scene(rng, objects=1)
            swapped = replace(
                swapped, place=setting.place, time=setting.time, weather=setting.weather, seed=setting.seed
            )
        kind = "relation" if any(f[0] == "relation" for f in first.facts) else "attribute"
        return WinogroundPair((scene, swapped), (first, second), kind)
