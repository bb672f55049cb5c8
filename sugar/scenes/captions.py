"""Words for scenes: short and long captions, paraphrases, and negatives that differ in one fact.

    text = long_caption(scene, rng)
    # "a small red star at the top left and a big blue cat at the right, by the lake at night in the rain"
    text.words
    text.facts          # exactly the facts that the words state: what the text encoders of encoders.py see

One seed gives one wording: captioning two scenes with two generators of the same seed differs only where the
scenes differ, which is how `negative` makes a caption that is wrong in a single fact. Not covered: questions
(questions.py), edits and stories (stories.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sugar.scenes.world import (
    COLORS,
    CONVERSE,
    HELD_OUT_PAIRS,
    KINDS,
    PATTERNS,
    PLACES,
    SIZES,
    TIMES,
    WEATHERS,
    Scene,
    SceneObject,
    is_held_out,
    relation,
)

CELLS = (
    ("top left", "top", "top right"),
    ("left", "center", "right"),
    ("bottom left", "bottom", "bottom right"),
)
PLACE_WORDS = {
    "beach": ("at the beach", "on a beach"),
    "forest": ("in the forest", "in a forest"),
    "city": ("in the city", "in a city"),
    "desert": ("in the desert", "in a desert"),
    "meadow": ("in the meadow", "in a meadow"),
    "lake": ("by the lake", "at a lake"),
    "mountain": ("in the mountains", "on a mountain"),
    "room": ("in a room", "in the room"),
}
TIME_WORDS = {"day": ("by day", "during the day"), "night": ("at night", "in the dark")}
WEATHER_WORDS = {
    "clear": ("under a clear sky", "in clear weather"),
    "cloudy": ("under clouds", "in cloudy weather"),
    "rainy": ("in the rain", "in rainy weather"),
    "snowy": ("in the snow", "in snowy weather"),
}
SIZE_WORDS = {"small": ("small", "little"), "big": ("big", "large")}
PATTERN_WORDS = {"striped": ("striped", "with stripes"), "dotted": ("dotted", "with dots")}
OPENINGS = ("", "", "there is ", "we see ", "a picture of ")

Fact = tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """Words and the facts that they state, each fact a tuple such as ("pair", "star", "red")."""

    words: str
    facts: tuple[Fact, ...]


def object_facts(obj: SceneObject) -> list[Fact]:
    """What naming an object by colour and kind states."""
    return [("kind", obj.kind), ("color", obj.color), ("pair", obj.kind, obj.color)]


def cell_fact(obj: SceneObject) -> Fact:
    return ("cell", str(obj.row), str(obj.col), obj.kind, obj.color)


def relation_fact(a: SceneObject, name: str, b: SceneObject) -> Fact:
    """One fact for a relation and its converse, so that "x left of y" and "y right of x" state the same."""
    if name in ("right of", "below"):
        a, name, b = b, CONVERSE[name], a
    return ("relation", a.kind, a.color, name, b.kind, b.color)


def setting_facts(scene: Scene) -> list[Fact]:
    return [("place", scene.place), ("time", scene.time), ("weather", scene.weather)]


def scene_facts(scene: Scene) -> tuple[Fact, ...]:
    """Every fact of a scene: what the fine picture encoder sees."""
    facts: list[Fact] = setting_facts(scene)
    for i, t in enumerate(scene.objects):
        facts += object_facts(t)
        facts += [cell_fact(t), ("size", t.kind, t.color, t.size), ("pattern", t.kind, t.color, t.pattern)]
        for j, u in enumerate(scene.objects):
            if i != j:
                facts += [
                    relation_fact(t, r, u) for r in relation(scene, i, j) if r not in ("right of", "below")
                ]
    return tuple(facts)


def pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def raster(scene: Scene) -> list[int]:
    """Object indices in reading order; an object inside another right after its container."""
    return sorted(
        range(len(scene.objects)),
        key=lambda i: (scene.objects[i].row, scene.objects[i].col, scene.objects[i].inside is not None),
    )


def short_caption(scene: Scene, rng: np.random.Generator, *, opening: bool = True) -> Text:
    """One or two objects by colour and kind, a relation between two, now and then the place: at most 20
    words.
    """
    facts: list[Fact] = []
    seeds = rng.random(4)
    n = len(scene.objects)
    order = [int(i) for i in rng.permutation(n)]
    start = pick(rng, OPENINGS) if opening else ""
    a = scene.objects[order[0]]
    facts += object_facts(a)
    if n == 1:
        words = article(a.phrase)
    else:
        b = scene.objects[order[1]]
        facts += object_facts(b)
        names = sorted(relation(scene, order[0], order[1]))
        if names and seeds[0] < 0.5:
            name = names[int(seeds[1] * len(names))]
            words = f"{article(a.phrase)} {name} {article(b.phrase)}"
            facts.append(relation_fact(a, name, b))
        else:
            words = f"{article(a.phrase)} and {article(b.phrase)}"
    if seeds[2] < 0.4:
        words += " " + pick(rng, PLACE_WORDS[scene.place])
        facts.append(("place", scene.place))
    if seeds[3] < 0.2:
        words += " " + pick(rng, TIME_WORDS[scene.time])
        facts.append(("time", scene.time))
    return Text(start + words, tuple(facts))


def describe(
    obj: SceneObject, rng: np.random.Generator, facts: list[Fact], *, size: bool = True, pattern: bool = True
) -> str:
    """ "a small red striped star": appends the stated facts to `facts`."""
    facts += object_facts(obj)
    words = obj.phrase
    before = after = ""
    size_word = pick(rng, SIZE_WORDS[obj.size])
    pattern_word = pick(rng, PATTERN_WORDS[obj.pattern]) if obj.pattern != "plain" else str(rng.integers(2))
    if size:
        before = size_word + " "
        facts.append(("size", obj.kind, obj.color, obj.size))
    if pattern and obj.pattern != "plain":
        facts.append(("pattern", obj.kind, obj.color, obj.pattern))
        if pattern_word.startswith("with"):
            after = " " + pattern_word
        else:
            words = f"{obj.color} {pattern_word} {obj.kind}"
    return article(before + words) + after


def long_caption(scene: Scene, rng: np.random.Generator, *, opening: bool = True) -> Text:
    """Every object in reading order with size, pattern and cell, then place, time and weather."""
    facts: list[Fact] = []
    start = pick(rng, OPENINGS) if opening else ""
    parts = []
    for i in raster(scene):
        t = scene.objects[i]
        words = describe(t, rng, facts)
        if t.inside is not None:
            container = scene.objects[t.inside]
            parts.append(f"{words} inside the {container.phrase}")
            facts += [relation_fact(t, "inside", container), cell_fact(t)]
        elif t.on is not None:
            base = scene.objects[t.on]
            parts.append(f"{words} on the {base.phrase}")
            facts += [relation_fact(t, "on", base), cell_fact(t)]
        else:
            parts.append(f"{words} at the {CELLS[t.row][t.col]}")
            facts.append(cell_fact(t))
    setting = [pick(rng, PLACE_WORDS[scene.place]), pick(rng, TIME_WORDS[scene.time])]
    if scene.place != "room":
        setting.append(pick(rng, WEATHER_WORDS[scene.weather]))
    facts += setting_facts(scene)
    return Text(f"{start}{join(parts)}, {' '.join(setting)}", tuple(facts))


def plain_caption(scene: Scene) -> str:
    """The answer to "describe the picture": objects with colour in reading order and the place.

    One wording, for exact scoring.
    """
    return join([article(scene.objects[i].phrase) for i in raster(scene)]) + " " + PLACE_WORDS[scene.place][0]


def list_colors(scene: Scene) -> str:
    """The answer to "what color are these things?", in reading order."""
    return join([f"the {scene.objects[i].kind} is {scene.objects[i].color}" for i in raster(scene)])


def list_cells(scene: Scene) -> str:
    """The answer to "where are these things?", in reading order."""
    return join(
        [f"the {t.phrase} is at the {CELLS[t.row][t.col]}" for t in (scene.objects[i] for i in raster(scene))]
    )


def full_caption(scene: Scene) -> str:
    """The answer to "tell me more about the picture.": size, colour, pattern, kind and cell of everything.

    One wording.
    """
    parts = []
    for i in raster(scene):
        t = scene.objects[i]
        pattern = "" if t.pattern == "plain" else t.pattern + " "
        parts.append(f"a {t.size} {t.color} {pattern}{t.kind} at the {CELLS[t.row][t.col]}")
    return join(parts)


def other(rng: np.random.Generator, options: tuple[str, ...], not_this: str) -> str:
    """One of the options that is not `not_this`."""
    rest = [o for o in options if o != not_this]
    return rest[int(rng.integers(len(rest)))]


def change_one_fact(scene: Scene, rng: np.random.Generator, seen: tuple[str, ...] = ()) -> Scene:
    """The same scene but for one fact (kind, colour, size, pattern, place, time or weather).

    `seen` restricts which one.
    """
    while True:
        factor = pick(rng, seen or ("kind", "color", "size", "pattern", "place", "time", "weather"))
        i = int(rng.integers(len(scene.objects)))
        t = scene.objects[i]
        if factor in ("kind", "color", "size", "pattern"):
            options = {"kind": KINDS, "color": COLORS, "size": SIZES, "pattern": PATTERNS}[factor]
            new = scene.with_object(i, **{factor: other(rng, options, getattr(t, factor))})
            pair = (new.objects[i].kind, new.objects[i].color)
            if pair in HELD_OUT_PAIRS or (is_held_out(new) and not is_held_out(scene)):
                continue
            return new
        if factor == "weather" and scene.place == "room":
            continue
        options = {"place": PLACES, "time": TIMES, "weather": WEATHERS}[factor]
        new_value = other(rng, options, getattr(scene, factor))
        return scene.with_setting(
            **{factor: new_value}, **({"weather": "clear"} if new_value == "room" else {})
        )


def negative(
    scene: Scene, seed: int, rng: np.random.Generator, *, long: bool, opening: bool = True
) -> tuple[Text, Text]:
    """A caption in the wording of `seed`, and the same wording of a scene that differs in one fact which the
    words state.
    """
    make = long_caption if long else short_caption
    positive = make(scene, np.random.default_rng(seed), opening=opening)
    while True:
        wrong = make(change_one_fact(scene, rng), np.random.default_rng(seed), opening=opening)
        if wrong.words != positive.words and set(wrong.facts) - set(scene_facts(scene)):
            return positive, wrong
