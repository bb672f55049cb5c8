"""Knowledge cards: an object with an invented name, or what it likes, for retrieval-augmented answers.

card = sample_card(rng)  # card.question is asked by others too; card.answer stands on the card only
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sugar.scenes.captions import pick
from sugar.scenes.naming import NUMBERS
from sugar.scenes.world import KINDS, PLURALS, Scene, SceneObject, sample_object, sample_scene

SYLLABLES = tuple(c + v for c in "bdfgklmnprstvz" for v in "aeiou")  # 70: "ba", "mi", ...


@dataclass(frozen=True)
class Card:
    """An object and what only the card knows of it: its invented name, or what it likes or holds.

    `question` is what both the card and a later asker say; `answer` stands only on the card.
    """

    scene: Scene
    question: str
    answer: str


def invented_name(rng: np.random.Generator, syllables: int = 2) -> str:
    return " ".join(pick(rng, SYLLABLES) for _ in range(syllables))


def card_for(obj: SceneObject, rng: np.random.Generator, syllables: int = 2) -> Card:
    """A card about an object (its kind and colour) alone in a scene of its own."""
    scene = sample_scene(rng, objects=1)
    scene = scene.with_object(0, kind=obj.kind, color=obj.color)
    draw = rng.random()
    if draw < 0.6:
        return Card(scene, f"what is the name of the {obj.phrase}?", invented_name(rng, syllables))
    if draw < 0.8:
        return Card(scene, f"what does the {obj.phrase} like?", PLURALS[pick(rng, KINDS)])
    return Card(scene, f"how old is the {obj.phrase}?", pick(rng, NUMBERS[1:]))


def sample_card(rng: np.random.Generator, syllables: int = 2) -> Card:
    return card_for(sample_object(rng, 1, 1), rng, syllables)


def meet_again(card: Card, rng: np.random.Generator) -> Scene:
    """Another picture of the card's object, elsewhere, at another time: what the asker sees."""
    obj = card.scene.objects[0]
    scene = sample_scene(rng, objects=1)
    return scene.with_object(0, kind=obj.kind, color=obj.color, pattern=obj.pattern)


UNKNOWN = "i do not know"
