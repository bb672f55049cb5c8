"""The drawn world: scene graphs, their pictures, and everything that can be said and asked about them.

    from sugar.scenes import draw, long_caption, questions, sample_scene, split_rng
    rng = split_rng("train", 0)
    scene = sample_scene(rng)
    pixels = draw(scene)                              # (96, 96, 3) uint8
    long_caption(scene, rng).words, list(questions(scene, rng, 7))

world.py factors and the graph; draw.py pixels; words.py captions, edits, stories, swaps, cards; questions.py.
The room knows no model.
"""

from sugar.scenes.draw import draw
from sugar.scenes.questions import ask, match_question, questions
from sugar.scenes.words import (
    long_caption,
    meet_again,
    negative,
    plain_caption,
    sample_card,
    sample_edit,
    sample_story,
    sample_winoground,
    scene_facts,
    short_caption,
)
from sugar.scenes.world import Scene, SceneObject, is_held_out, sample_scene, split_rng

__all__ = [
    "Scene",
    "SceneObject",
    "ask",
    "draw",
    "is_held_out",
    "long_caption",
    "match_question",
    "meet_again",
    "negative",
    "plain_caption",
    "questions",
    "sample_card",
    "sample_edit",
    "sample_scene",
    "sample_story",
    "sample_winoground",
    "scene_facts",
    "short_caption",
    "split_rng",
]
