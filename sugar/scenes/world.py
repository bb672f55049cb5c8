"""The drawn world: objects with attributes on a 3 x 3 grid, in a place, at a time, in some weather.

    rng = split_rng("train", 0)
    scene = sample_scene(rng)                       # a Scene: the scene graph, exact and complete
    scene.objects[0].phrase                          # "red star"
    relation(scene, 0, 1)                           # {"left of", "above"}: what holds between objects 0 and 1

Factors are independent except for what the eye needs: two objects never share a cell unless one is inside the
other, and an object inside another has another colour. `HELD_OUT_PAIRS` (object, colour) and
`is_held_out_relation` are never sampled unless asked for: they are the composition test. Not covered here:
pixels (draw.py), words (words.py, questions.py).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

KINDS = (
    "star", "heart", "circle", "box", "triangle", "moon", "house", "tree", "car", "boat", "fish",
    "cat", "flower", "umbrella", "bird", "cup", "mushroom", "key", "hat", "apple", "balloon", "kite", "table",
    "bell",
)  # fmt: skip
PLURALS = {k: k + "s" for k in KINDS} | {"box": "boxes", "fish": "fish"}
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
SIZES = ("small", "big")
PATTERNS = ("plain", "striped", "dotted")
PLACES = ("beach", "forest", "city", "desert", "meadow", "lake", "mountain", "room")
TIMES = ("day", "night")
WEATHERS = ("clear", "cloudy", "rainy", "snowy")
CONTAINERS = ("box", "circle", "heart")  # big and plain enough to hold an object
BASES = ("table", "box", "car")  # flat enough to stand on
RELATIONS = ("left of", "right of", "above", "below", "inside", "on")
CONVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
GRID = 3

# Every kind but one of each pair of ten keeps all its colours; no colour loses more than two kinds.
HELD_OUT_PAIRS = frozenset({
    ("star", "green"), ("heart", "blue"), ("house", "purple"), ("tree", "pink"), ("car", "yellow"),
    ("boat", "white"), ("fish", "brown"), ("cat", "red"), ("flower", "black"), ("umbrella", "orange"),
    ("apple", "purple"), ("kite", "green"),
})  # fmt: skip

Split = Literal["train", "tuning", "test"]
_SPLIT_KEYS = {"train": 1, "tuning": 2, "test": 3}


def split_rng(split: Split, seed: int) -> np.random.Generator:
    """A generator whose stream no other split can reach, whatever the seeds.

    The split is part of the SeedSequence key, so `split_rng("train", 7)` and `split_rng("test", 7)` are
    unrelated.
    """
    return np.random.default_rng(np.random.SeedSequence(entropy=(_SPLIT_KEYS[split], int(seed))))


def is_held_out_relation(kind_a: str, relation_name: str, kind_b: str) -> bool:
    """True for about one in twelve (object, inside / on, object) triples: kept out of training for the
    composition test.
    """
    return (
        relation_name in ("inside", "on")
        and zlib.crc32(f"{kind_a} {relation_name} {kind_b}".encode()) % 12 == 0
    )


@dataclass(frozen=True)
class SceneObject:
    """One object. `row` and `col` are grid cells (0 = top, left).

    `dx`, `dy` jitter its centre, in cells (-0.1 to 0.1).

    `inside` / `on` name the index of the object that holds or carries it.
    """

    kind: str
    color: str
    size: str
    pattern: str
    row: int
    col: int
    dx: float = 0.0
    dy: float = 0.0
    inside: int | None = None
    on: int | None = None

    @property
    def phrase(self) -> str:
        """Colour and kind, the way captions name it: "red star"."""
        return f"{self.color} {self.kind}"


@dataclass(frozen=True)
class Scene:
    """A scene graph: 1 to 5 objects, a place, a time of day, the weather.

    `seed` varies the decoration only.
    """

    objects: tuple[SceneObject, ...]
    place: str
    time: str
    weather: str
    seed: int = 0

    def with_object(self, index: int, **changes: object) -> Scene:
        """The same scene with one object changed."""
        objects = list(self.objects)
        objects[index] = replace(objects[index], **changes)  # type: ignore[arg-type]
        return replace(self, objects=tuple(objects))

    def with_setting(self, **changes: str) -> Scene:
        """The same objects in another place, at another time, or in other weather."""
        return replace(self, **changes)  # type: ignore[arg-type]


def relation(scene: Scene, a: int, b: int) -> set[str]:
    """What holds of object `a` with respect to object `b`: a subset of RELATIONS, computed from the graph."""
    x, y = scene.objects[a], scene.objects[b]
    if x.inside == b:
        return {"inside"}
    if y.inside == a:
        return set()
    held = set()
    if x.on == b:
        held.add("on")
    if x.col != y.col:
        held.add("left of" if x.col < y.col else "right of")
    if x.row != y.row:
        held.add("above" if x.row < y.row else "below")
    return held


def is_held_out(scene: Scene) -> bool:
    """True if a held-out (object, colour) pair or a held-out relation occurs anywhere in the scene."""
    if any((t.kind, t.color) in HELD_OUT_PAIRS for t in scene.objects):
        return True
    t = scene.objects
    return any(
        (x.inside is not None and is_held_out_relation(x.kind, "inside", t[x.inside].kind))
        or (x.on is not None and is_held_out_relation(x.kind, "on", t[x.on].kind))
        for x in t
    )


def sample_object(rng: np.random.Generator, row: int, col: int, *, held_out: bool = False) -> SceneObject:
    """An object for a cell. With `held_out` its (kind, colour) is one of the held-out pairs, otherwise
    never.
    """
    if held_out:
        pairs = sorted(HELD_OUT_PAIRS)
        kind, color = pairs[rng.integers(len(pairs))]
    else:
        while True:
            kind, color = KINDS[rng.integers(len(KINDS))], COLORS[rng.integers(len(COLORS))]
            if (kind, color) not in HELD_OUT_PAIRS:
                break
    pattern = PATTERNS[rng.choice(3, p=(0.6, 0.2, 0.2))]
    dx, dy = rng.uniform(-0.1, 0.1, 2)
    return SceneObject(
        kind, color, SIZES[rng.integers(2)], pattern, row, col, round(float(dx), 3), round(float(dy), 3)
    )


def sample_scene(
    rng: np.random.Generator,
    *,
    objects: int | None = None,
    held_out: bool = False,
    repeat: float = 0.25,
    special: float = 0.3,
) -> Scene:
    """Draw a scene.

    objects: how many (1 to 5); drawn if None. held_out: one object is a held-out pair (composition test).
    repeat: chance that an object repeats an earlier one's kind, so that counting is asked of something.
    special: chance that an object is placed inside or on another, when there are two or more.
    """
    n = int(rng.choice(5, p=(0.15, 0.27, 0.27, 0.18, 0.13))) + 1 if objects is None else objects
    while True:
        scene = _propose(rng, n, held_out, repeat, special)
        if is_held_out(scene) == held_out:
            return scene


def _propose(rng: np.random.Generator, n: int, held_out: bool, repeat: float, special: float) -> Scene:
    cells = [(int(c) // GRID, int(c) % GRID) for c in rng.permutation(GRID * GRID)[:n]]
    made: list[SceneObject] = []
    for i, (row, col) in enumerate(cells):
        obj = sample_object(rng, row, col, held_out=held_out and i == 0)
        if made and not (held_out and i == 0) and rng.random() < repeat:
            obj = replace(obj, kind=made[rng.integers(len(made))].kind)
        made.append(obj)
    if n >= 2 and rng.random() < special:
        made = _place_inside(rng, made) if rng.random() < 0.5 else _place_on(rng, made)
    place = PLACES[rng.integers(len(PLACES))]
    weather = "clear" if place == "room" else WEATHERS[rng.integers(len(WEATHERS))]
    return Scene(tuple(made), place, TIMES[rng.integers(2)], weather, int(rng.integers(1 << 16)))


def _place_inside(rng: np.random.Generator, made: list[SceneObject]) -> list[SceneObject]:
    """Put the last object inside the first, which becomes a big plain container of another colour."""
    container = replace(made[0], kind=CONTAINERS[rng.integers(len(CONTAINERS))], size="big", pattern="plain")
    obj = made[-1]
    if obj.color == container.color:
        return made
    obj = replace(
        obj, row=container.row, col=container.col, dx=container.dx, dy=container.dy, size="small", inside=0
    )
    return [container, *made[1:-1], obj]


def _place_on(rng: np.random.Generator, made: list[SceneObject]) -> list[SceneObject]:
    """Stand the last object on the first, which becomes a table, a box or a car in the row below."""
    base = replace(made[0], kind=BASES[rng.integers(len(BASES))], size="big")
    taken = {(t.row, t.col) for t in made[1:-1]}
    if base.row == 0 or (base.row - 1, base.col) in taken:
        return made
    obj = replace(made[-1], row=base.row - 1, col=base.col, dx=base.dx, dy=base.dy, on=0)
    return [base, *made[1:-1], obj]
