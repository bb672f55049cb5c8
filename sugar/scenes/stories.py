"""Stories, VIST's form: five scenes and the sentence that tells each.

story = sample_story(rng)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sugar.scenes.captions import Text, article, object_facts, pick
from sugar.scenes.edits import apply_operation
from sugar.scenes.world import Scene, is_held_out, sample_scene


@dataclass(frozen=True)
class Story:
    """Five scenes and the sentence that tells each. Sentence k says what changed since scene k - 1."""

    scenes: tuple[Scene, ...]
    sentences: tuple[Text, ...]


def sample_story(rng: np.random.Generator, length: int = 5) -> Story:
    """An object that moves, changes, meets others, and travels."""
    scene = sample_scene(rng, objects=int(rng.integers(1, 3)), repeat=0.0, special=0.1)
    hero = scene.objects[0]
    scenes = [scene]
    sentences = [Text(f"once there was {article(hero.phrase)}", tuple(object_facts(hero)))]
    last = ""
    while len(scenes) < length:
        operation = pick(
            rng,
            ("color", "size", "move", "move", "add", "add", "remove", "time", "weather", "place", "place"),
        )
        if operation == last:
            continue
        who = 0 if operation != "remove" else None
        if operation == "remove" and len(scenes[-1].objects) < 2:
            continue
        edit = apply_operation(scenes[-1], operation, rng, who)
        if (
            edit is None
            or is_held_out(edit.after)
            or (operation == "remove" and edit.after.objects[0].kind != edit.before.objects[0].kind)
        ):
            continue
        last = operation
        opening = pick(rng, ("", "then ", "next "))
        scenes.append(edit.after)
        sentences.append(Text(opening + edit.sentence, edit.facts))
    return Story(tuple(scenes), tuple(sentences))
