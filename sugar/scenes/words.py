"""Words for scenes: captions, one change of a scene, stories, swapped pairs, knowledge cards.

    text = long_caption(scene, rng)
    # "a small red star at the top left and a big blue cat at the right, by the lake at night in the rain"
    text.words
    text.facts          # exactly the facts that the words state: what the drawn world's teachers see

One seed gives one wording: captioning two scenes with two generators of the same seed differs only where the
scenes differ, which is how `negative` makes a caption that is wrong in a single fact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sugar.errors import InputError
from sugar.scenes.world import (
    COLORS,
    CONVERSE,
    GRID,
    HELD_OUT_PAIRS,
    KINDS,
    PATTERNS,
    PLACES,
    PLURALS,
    SIZES,
    TIMES,
    WEATHERS,
    Scene,
    SceneObject,
    is_held_out,
    relation,
    sample_object,
    sample_scene,
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

NUMBERS = ("no", "one", "two", "three", "four", "five")
DESCRIBE = (
    "describe the picture.",
    "what is in the picture?",
    "describe this.",
    "what do you see?",
    "tell me about the picture.",
)

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
    seeds = rng.random(4)
    order = [int(i) for i in rng.permutation(len(scene.objects))]
    start = pick(rng, OPENINGS) if opening else ""
    a = scene.objects[order[0]]
    told = Text(article(a.phrase), tuple(object_facts(a)))
    if len(order) > 1:
        b, names = scene.objects[order[1]], sorted(relation(scene, order[0], order[1]))
        related = names and seeds[0] < 0.5
        told = _related(a, names[int(seeds[1] * len(names))], b) if related else _and(a, b)
    words, facts = told.words, list(told.facts)
    if seeds[2] < 0.4:
        words += " " + pick(rng, PLACE_WORDS[scene.place])
        facts.append(("place", scene.place))
    if seeds[3] < 0.2:
        words += " " + pick(rng, TIME_WORDS[scene.time])
        facts.append(("time", scene.time))
    return Text(start + words, tuple(facts))


def describe(obj: SceneObject, rng: np.random.Generator, facts: list[Fact]) -> str:
    """ "a small red striped star": appends the stated facts to `facts`."""
    facts += [*object_facts(obj), ("size", obj.kind, obj.color, obj.size)]
    size = pick(rng, SIZE_WORDS[obj.size])
    if obj.pattern == "plain":
        rng.integers(2)  # one seed stays one wording when the pattern is what differs
        return article(f"{size} {obj.phrase}")
    facts.append(("pattern", obj.kind, obj.color, obj.pattern))
    pattern = pick(rng, PATTERN_WORDS[obj.pattern])
    if pattern.startswith("with"):
        return article(f"{size} {obj.phrase}") + " " + pattern
    return article(f"{size} {obj.color} {pattern} {obj.kind}")


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


def other(rng: np.random.Generator, options: tuple[str, ...], not_this: str) -> str:
    """One of the options that is not `not_this`."""
    rest = [o for o in options if o != not_this]
    return rest[int(rng.integers(len(rest)))]


def change_one_fact(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same scene but for one fact (kind, colour, size, pattern, place, time or weather)."""
    while True:
        factor = pick(rng, ("kind", "color", "size", "pattern", "place", "time", "weather"))
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
        changed = scene.with_setting(**{factor: new_value})
        return changed.with_setting(weather="clear") if new_value == "room" else changed


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


def name_of(scene: Scene, index: int, rng: np.random.Generator) -> str | None:
    """Words that mean exactly this object: its kind, or its colour and kind.

    None if another looks the same.
    """
    obj = scene.objects[index]
    same_kind = [t for t in scene.objects if t.kind == obj.kind]
    if len(same_kind) == 1:
        return obj.kind if rng.random() < 0.5 else obj.phrase
    return obj.phrase if sum(t.color == obj.color for t in same_kind) == 1 else None


# --- one change of a scene ----------------------------------------------------------------------------------


OPERATIONS = ("color", "kind", "size", "pattern", "move", "add", "remove", "time", "weather", "place")
DIFFERENCE_QUESTION = "what differs between these two?"
GO_TO = {p: f"to the {p}" for p in PLACES} | {"mountain": "to the mountains", "room": "to a room"}


@dataclass(frozen=True)
class Edit:
    """A change from one scene to the next. `facts` are those that the instruction states of the result."""

    operation: str
    before: Scene
    after: Scene
    instruction: str
    difference: str
    sentence: str
    facts: tuple[Fact, ...]


def is_free(obj: SceneObject, scene: Scene, index: int) -> bool:
    """True if nothing is inside, on, or under this object: it may move or go."""
    return obj.inside is None and obj.on is None and all(index not in (t.inside, t.on) for t in scene.objects)


def _empty_cell(scene: Scene, rng: np.random.Generator) -> tuple[int, int] | None:
    taken = {(t.row, t.col) for t in scene.objects}
    free = [(r, c) for r in range(GRID) for c in range(GRID) if (r, c) not in taken]
    return free[rng.integers(len(free))] if free else None


def _drop(scene: Scene, index: int) -> Scene:
    def shift(k: int | None) -> int | None:
        return k if k is None or k < index else k - 1

    objects = [
        replace(t, inside=shift(t.inside), on=shift(t.on)) for i, t in enumerate(scene.objects) if i != index
    ]
    return replace(scene, objects=tuple(objects))


def apply_operation(scene: Scene, op: str, rng: np.random.Generator, who: int | None) -> Edit | None:
    """Try one operation, on object `who` if given."""
    index = int(rng.integers(len(scene.objects))) if who is None else who
    t = scene.objects[index]
    name = name_of(scene, index, rng)
    held = any(u.inside == index for u in scene.objects)

    def edit(after: Scene, instruction: str, difference: str, sentence: str, *facts: Fact) -> Edit:
        return Edit(op, scene, after, instruction, difference, sentence, facts)

    if op in ("color", "kind", "size", "pattern", "move", "remove") and name is None:
        return None
    if op in ("kind", "size", "remove") and not is_free(t, scene, index):
        return None
    if op == "color":
        new = other(rng, COLORS, t.color)
        if any(u.inside == index and u.color == new for u in scene.objects) or (
            t.inside is not None and scene.objects[t.inside].color == new
        ):
            return None
        after = scene.with_object(index, color=new)
        told = pick(rng, (f"make the {name} {new}", f"paint the {name} {new}"))
        difference = f"the {t.kind} changed from {t.color} to {new}"
        return edit(after, told, difference, f"the {t.kind} turns {new}", *object_facts(after.objects[index]))
    if op == "kind":
        new = other(rng, KINDS, t.kind)
        after, a_new = scene.with_object(index, kind=new), article(new)
        difference, sentence = f"the {t.phrase} changed to {a_new}", f"the {t.kind} becomes {a_new}"
        facts = object_facts(after.objects[index])
        return edit(after, f"change the {name} to {a_new}", difference, sentence, *facts)
    if op in ("size", "pattern"):
        if op == "pattern" and held:
            return None
        old, new = getattr(t, op), other(rng, SIZES if op == "size" else PATTERNS, getattr(t, op))
        difference, sentence = f"the {t.phrase} changed from {old} to {new}", f"the {t.kind} becomes {new}"
        after, facts = scene.with_object(index, **{op: new}), [(op, t.kind, t.color, new), *object_facts(t)]
        return edit(after, f"make the {name} {new}", difference, sentence, *facts)
    if op == "move":
        cell = _empty_cell(scene, rng)
        if cell is None or not is_free(t, scene, index):
            return None
        after, where = scene.with_object(index, row=cell[0], col=cell[1]), CELLS[cell[0]][cell[1]]
        difference = f"the {t.phrase} moved from the {CELLS[t.row][t.col]} to the {where}"
        facts = [cell_fact(after.objects[index]), *object_facts(t)]
        told, sentence = f"move the {name} to the {where}", f"the {t.kind} moves to the {where}"
        return edit(after, told, difference, sentence, *facts)
    if op == "add":
        cell = _empty_cell(scene, rng)
        if cell is None or len(scene.objects) >= 5:
            return None
        obj, where = sample_object(rng, *cell), CELLS[cell[0]][cell[1]]
        after, a_new = replace(scene, objects=(*scene.objects, obj)), article(obj.phrase)
        sentence = f"the {scene.objects[who or 0].kind} meets {a_new}"
        told, difference = f"add {a_new} at the {where}", f"{a_new} was added at the {where}"
        return edit(after, told, difference, sentence, cell_fact(obj), *object_facts(obj))
    if op == "remove":
        if len(scene.objects) < 2:
            return None
        difference, sentence = f"the {t.phrase} was removed", f"the {t.phrase} goes away"
        return edit(_drop(scene, index), f"remove the {name}", difference, sentence)
    if op == "weather" and scene.place == "room":
        return None
    old = getattr(scene, op)
    new = other(rng, {"time": TIMES, "weather": WEATHERS, "place": PLACES}[op], old)
    if op == "place" and "room" in (new, old):
        return None  # a room has no weather: two facts would change
    if op == "time":
        told = pick(rng, (f"make it {new}", f"the same, but {'at night' if new == 'night' else 'by day'}"))
        sentence = "night falls" if new == "night" else "a new day begins"
    elif op == "weather":
        told = pick(rng, (f"make it {new}", f"make the weather {new}"))
        sentence = f"the weather becomes {new}"
    else:
        told, sentence = f"move everything {GO_TO[new]}", f"they all go {GO_TO[new]}"
    return edit(
        scene.with_setting(**{op: new}), told, f"the {op} changed from {old} to {new}", sentence, (op, new)
    )


def sample_edit(scene: Scene, rng: np.random.Generator, operation: str | None = None) -> Edit:
    """One change of a scene that leaves everything else, jitter included, as it is.

    Never leads to a held-out combination.

    operation: one of OPERATIONS, or None for any. Raises InputError where the scene does not admit it (the
    weather of a room).
    """
    held_out = is_held_out(scene)
    for _ in range(500):
        edit = apply_operation(scene, operation or pick(rng, OPERATIONS), rng, None)
        if edit and (held_out or not is_held_out(edit.after)):
            return edit
    raise InputError(
        f"This scene admits no change of the kind {operation!r}. Ask for another, or leave it open."
    )


# --- stories, VIST's form -----------------------------------------------------------------------------------


STORY_OPERATIONS = (
    "color", "size", "move", "move", "add", "add", "remove", "time", "weather", "place", "place"
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """Five scenes and the sentence that tells each. Sentence k says what changed since scene k - 1."""

    scenes: tuple[Scene, ...]
    sentences: tuple[Text, ...]


def sample_story(rng: np.random.Generator) -> Story:
    """An object that moves, changes, meets others, and travels."""
    scene = sample_scene(rng, objects=int(rng.integers(1, 3)), repeat=0.0, special=0.1)
    hero = scene.objects[0]
    scenes = [scene]
    sentences = [Text(f"once there was {article(hero.phrase)}", tuple(object_facts(hero)))]
    last = ""
    while len(scenes) < 5:
        operation = pick(rng, STORY_OPERATIONS)
        if operation == last or (operation == "remove" and len(scenes[-1].objects) < 2):
            continue
        edit = apply_operation(scenes[-1], operation, rng, None if operation == "remove" else 0)
        if edit is None or is_held_out(edit.after):
            continue
        if operation == "remove" and edit.after.objects[0].kind != edit.before.objects[0].kind:
            continue
        last = operation
        opening = pick(rng, ("", "then ", "next "))
        scenes.append(edit.after)
        sentences.append(Text(opening + edit.sentence, edit.facts))
    return Story(tuple(scenes), tuple(sentences))


# --- swapped pairs, Winoground's form -----------------------------------------------------------------------


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


# --- knowledge cards ----------------------------------------------------------------------------------------


SYLLABLES = tuple(c + v for c in "bdfgklmnprstvz" for v in "aeiou")  # 70: "ba", "mi", ...


@dataclass(frozen=True)
class Card:
    """An object and what only the card knows of it: its invented name, or what it likes or holds.

    `question` is what both the card and a later asker say; `answer` stands only on the card.
    """

    scene: Scene
    question: str
    answer: str


def invented_name(rng: np.random.Generator) -> str:
    return " ".join(pick(rng, SYLLABLES) for _ in range(2))


def card_for(obj: SceneObject, rng: np.random.Generator) -> Card:
    """A card about an object (its kind and colour) alone in a scene of its own."""
    scene = sample_scene(rng, objects=1)
    scene = scene.with_object(0, kind=obj.kind, color=obj.color)
    draw = rng.random()
    if draw < 0.6:
        return Card(scene, f"what is the name of the {obj.phrase}?", invented_name(rng))
    if draw < 0.8:
        return Card(scene, f"what does the {obj.phrase} like?", PLURALS[pick(rng, KINDS)])
    return Card(scene, f"how old is the {obj.phrase}?", pick(rng, NUMBERS[1:]))


def sample_card(rng: np.random.Generator) -> Card:
    return card_for(sample_object(rng, 1, 1), rng)


def meet_again(card: Card, rng: np.random.Generator) -> Scene:
    """Another picture of the card's object, elsewhere, at another time: what the asker sees."""
    obj = card.scene.objects[0]
    scene = sample_scene(rng, objects=1)
    return scene.with_object(0, kind=obj.kind, color=obj.color, pattern=obj.pattern)
