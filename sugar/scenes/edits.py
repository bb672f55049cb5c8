"""One change of a scene, told as an instruction, as a difference and as a sentence of a story.

edit = sample_edit(scene, rng)      # edit.after, edit.instruction "make the star red", edit.difference
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sugar.errors import InputError
from sugar.scenes.captions import CELLS, Fact, article, cell_fact, object_facts, other, pick
from sugar.scenes.naming import name_of
from sugar.scenes.world import (
    COLORS,
    GRID,
    KINDS,
    PATTERNS,
    PLACES,
    SIZES,
    TIMES,
    WEATHERS,
    Scene,
    SceneObject,
    is_held_out,
    sample_object,
)

OPERATIONS = ("color", "kind", "size", "pattern", "move", "add", "remove", "time", "weather", "place")
DIFFERENCE_QUESTION = "what differs between these two?"
CELLS_QUESTION = "same or different?"
GO_TO = {
    "beach": "to the beach",
    "forest": "to the forest",
    "city": "to the city",
    "desert": "to the desert",
    "meadow": "to the meadow",
    "lake": "to the lake",
    "mountain": "to the mountains",
    "room": "to a room",
}


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


def compare_cells(before: Scene, after: Scene) -> str:
    """The answer to CELLS_QUESTION: of each cell in reading order, whether it shows the same objects.

    An exercise for finding differences.

    >>> compare_cells(scene, scene.with_thing(0, color="red"))          # the object at the top left was blue
    'different same same same same same same same same'
    """

    def shown(scene: Scene, cell: tuple[int, int]) -> list[tuple[str, ...]]:
        return sorted((t.kind, t.color, t.size, t.pattern) for t in scene.objects if (t.row, t.col) == cell)

    cells = [(r, c) for r in range(GRID) for c in range(GRID)]
    return " ".join("same" if shown(before, cell) == shown(after, cell) else "different" for cell in cells)


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
    if op in ("color", "kind", "size", "pattern", "move", "remove") and name is None:
        return None
    if op == "color":
        new = other(rng, COLORS, t.color)
        if any(u.inside == index and u.color == new for u in scene.objects) or (
            t.inside is not None and scene.objects[t.inside].color == new
        ):
            return None
        after = scene.with_object(index, color=new)
        return Edit(
            op,
            scene,
            after,
            pick(rng, (f"make the {name} {new}", f"paint the {name} {new}")),
            f"the {t.kind} changed from {t.color} to {new}",
            f"the {t.kind} turns {new}",
            tuple(object_facts(after.objects[index])),
        )
    if op == "kind":
        if not is_free(t, scene, index):
            return None
        new = other(rng, KINDS, t.kind)
        after = scene.with_object(index, kind=new)
        return Edit(
            op,
            scene,
            after,
            f"change the {name} to {article(new)}",
            f"the {t.phrase} changed to {article(new)}",
            f"the {t.kind} becomes {article(new)}",
            tuple(object_facts(after.objects[index])),
        )
    if op in ("size", "pattern"):
        if op == "size" and not is_free(t, scene, index):
            return None
        if op == "pattern" and any(u.inside == index for u in scene.objects):
            return None
        new = other(rng, SIZES if op == "size" else PATTERNS, getattr(t, op))
        after = scene.with_object(index, **{op: new})
        facts = ((op, t.kind, t.color, new), *object_facts(t))
        return Edit(
            op,
            scene,
            after,
            f"make the {name} {new}",
            f"the {t.phrase} changed from {getattr(t, op)} to {new}",
            f"the {t.kind} becomes {new}",
            facts,
        )
    if op == "move":
        cell = _empty_cell(scene, rng)
        if cell is None or not is_free(t, scene, index):
            return None
        after = scene.with_object(index, row=cell[0], col=cell[1])
        where = CELLS[cell[0]][cell[1]]
        return Edit(
            op,
            scene,
            after,
            f"move the {name} to the {where}",
            f"the {t.phrase} moved from the {CELLS[t.row][t.col]} to the {where}",
            f"the {t.kind} moves to the {where}",
            (cell_fact(after.objects[index]), *object_facts(t)),
        )
    if op == "add":
        cell = _empty_cell(scene, rng)
        if cell is None or len(scene.objects) >= 5:
            return None
        obj = sample_object(rng, *cell)
        after = replace(scene, objects=(*scene.objects, obj))
        where = CELLS[cell[0]][cell[1]]
        return Edit(
            op,
            scene,
            after,
            f"add {article(obj.phrase)} at the {where}",
            f"{article(obj.phrase)} was added at the {where}",
            f"the {scene.objects[who or 0].kind} meets {article(obj.phrase)}",
            (cell_fact(obj), *object_facts(obj)),
        )
    if op == "remove":
        if len(scene.objects) < 2 or not is_free(t, scene, index):
            return None
        return Edit(
            op,
            scene,
            _drop(scene, index),
            f"remove the {name}",
            f"the {t.phrase} was removed",
            f"the {t.phrase} goes away",
            (),
        )
    if op == "weather" and scene.place == "room":
        return None
    options = {"time": TIMES, "weather": WEATHERS, "place": PLACES}[op]
    old = getattr(scene, op)
    new = other(rng, options, old)
    if op == "place" and "room" in (new, old):
        return None  # a room has no weather: two facts would change
    after = scene.with_setting(**{op: new})
    difference = f"the {op} changed from {old} to {new}"
    facts = ((op, new),)
    if op == "time":
        instruction = pick(
            rng, (f"make it {new}", f"the same, but {'at night' if new == 'night' else 'by day'}")
        )
        sentence = "night falls" if new == "night" else "a new day begins"
        return Edit(op, scene, after, instruction, difference, sentence, facts)
    if op == "weather":
        return Edit(
            op,
            scene,
            after,
            pick(rng, (f"make it {new}", f"make the weather {new}")),
            difference,
            f"the weather becomes {new}",
            facts,
        )
    return Edit(
        op, scene, after, f"move everything {GO_TO[new]}", difference, f"they all go {GO_TO[new]}", facts
    )


def sample_edit(
    scene: Scene, rng: np.random.Generator, operation: str | None = None, who: int | None = None
) -> Edit:
    """One change of a scene that leaves everything else, jitter included, as it is.

    Never leads to a held-out combination.

    operation: one of OPERATIONS, or None for any; who: the object to change. Raises InputError where the
    scene does not admit what is asked (moving an object that holds another, the weather of a room).
    """
    held_out = is_held_out(scene)
    for _ in range(500):
        edit = apply_operation(scene, operation or pick(rng, OPERATIONS), rng, who)
        if edit and (held_out or not is_held_out(edit.after)):
            return edit
    raise InputError(
        f"This scene admits no change of the kind {operation!r} of thing {who}. Ask for another, or leave "
        "them open."
    )
