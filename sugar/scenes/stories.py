"""What needs more than one picture: edits, differences, swapped pairs, stories, and knowledge cards.

    edit = sample_edit(scene, rng)           # edit.after, edit.instruction "make the star red", edit.difference "the star changed from ..."
    pair = sample_winoground(rng)            # two scenes, two captions of the same words in another order
    story = sample_story(rng)                # five scenes and five sentences, VIST's form
    card = sample_card(rng)                  # a thing with an invented name, for RAG

Nothing here draws or knows a model. The same operations make edits, differences and the events of stories, so each is learnt once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sugar.errors import InputError
from sugar.scenes.captions import CELLS, Fact, Text, article, cell_fact, other, pick, relation_fact, thing_facts
from sugar.scenes.questions import NUMBERS, name_of
from sugar.scenes.world import (
    COLORS,
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
    Thing,
    is_held_out,
    relation,
    sample_scene,
    sample_thing,
)  # fmt: skip

OPERATIONS = ("color", "kind", "size", "pattern", "move", "add", "remove", "time", "weather", "place")
DIFFERENCE_QUESTION = "what differs between these two?"
CELLS_QUESTION = "same or different?"
GO_TO = {"beach": "to the beach", "forest": "to the forest", "city": "to the city", "desert": "to the desert", "meadow": "to the meadow",
         "lake": "to the lake", "mountain": "to the mountains", "room": "to a room"}  # fmt: skip


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
    """The answer to CELLS_QUESTION: of each cell in reading order, whether it shows the same things. An exercise for finding differences.

    >>> compare_cells(scene, scene.with_thing(0, color="red"))          # the thing at the top left was blue
    'different same same same same same same same same'
    """

    def shown(scene: Scene, cell: tuple[int, int]) -> list[tuple[str, ...]]:
        return sorted((t.kind, t.color, t.size, t.pattern) for t in scene.things if (t.row, t.col) == cell)

    cells = [(r, c) for r in range(GRID) for c in range(GRID)]
    return " ".join("same" if shown(before, cell) == shown(after, cell) else "different" for cell in cells)


def _free(thing: Thing, scene: Scene, index: int) -> bool:
    """True if nothing is inside, on, or under this thing: it may move or go."""
    return thing.inside is None and thing.on is None and all(index not in (t.inside, t.on) for t in scene.things)


def _empty_cell(scene: Scene, rng: np.random.Generator) -> tuple[int, int] | None:
    taken = {(t.row, t.col) for t in scene.things}
    free = [(r, c) for r in range(GRID) for c in range(GRID) if (r, c) not in taken]
    return free[rng.integers(len(free))] if free else None


def _drop(scene: Scene, index: int) -> Scene:
    def shift(k: int | None) -> int | None:
        return k if k is None or k < index else k - 1

    things = [replace(t, inside=shift(t.inside), on=shift(t.on)) for i, t in enumerate(scene.things) if i != index]
    return replace(scene, things=tuple(things))


def _apply(scene: Scene, op: str, rng: np.random.Generator, who: int | None) -> Edit | None:
    """Try one operation, on thing `who` if given."""
    index = int(rng.integers(len(scene.things))) if who is None else who
    t = scene.things[index]
    name = name_of(scene, index, rng)
    if op in ("color", "kind", "size", "pattern", "move", "remove") and name is None:
        return None
    if op == "color":
        new = other(rng, COLORS, t.color)
        if any(u.inside == index and u.color == new for u in scene.things) or (
            t.inside is not None and scene.things[t.inside].color == new
        ):
            return None
        after = scene.with_thing(index, color=new)
        return Edit(op, scene, after, pick(rng, (f"make the {name} {new}", f"paint the {name} {new}")),
                    f"the {t.kind} changed from {t.color} to {new}", f"the {t.kind} turns {new}",
                    tuple(thing_facts(after.things[index])))  # fmt: skip
    if op == "kind":
        if not _free(t, scene, index):
            return None
        new = other(rng, KINDS, t.kind)
        after = scene.with_thing(index, kind=new)
        return Edit(op, scene, after, f"change the {name} to {article(new)}", f"the {t.phrase} changed to {article(new)}",
                    f"the {t.kind} becomes {article(new)}", tuple(thing_facts(after.things[index])))  # fmt: skip
    if op in ("size", "pattern"):
        if op == "size" and not _free(t, scene, index):
            return None
        if op == "pattern" and any(u.inside == index for u in scene.things):
            return None
        new = other(rng, SIZES if op == "size" else PATTERNS, getattr(t, op))
        after = scene.with_thing(index, **{op: new})
        facts = ((op, t.kind, t.color, new), *thing_facts(t))
        return Edit(op, scene, after, f"make the {name} {new}", f"the {t.phrase} changed from {getattr(t, op)} to {new}",
                    f"the {t.kind} becomes {new}", facts)  # fmt: skip
    if op == "move":
        cell = _empty_cell(scene, rng)
        if cell is None or not _free(t, scene, index):
            return None
        after = scene.with_thing(index, row=cell[0], col=cell[1])
        where = CELLS[cell[0]][cell[1]]
        return Edit(op, scene, after, f"move the {name} to the {where}",
                    f"the {t.phrase} moved from the {CELLS[t.row][t.col]} to the {where}",
                    f"the {t.kind} moves to the {where}", (cell_fact(after.things[index]), *thing_facts(t)))  # fmt: skip
    if op == "add":
        cell = _empty_cell(scene, rng)
        if cell is None or len(scene.things) >= 5:
            return None
        thing = sample_thing(rng, *cell)
        after = replace(scene, things=(*scene.things, thing))
        where = CELLS[cell[0]][cell[1]]
        return Edit(op, scene, after, f"add {article(thing.phrase)} at the {where}", f"{article(thing.phrase)} was added at the {where}",
                    f"the {scene.things[who or 0].kind} meets {article(thing.phrase)}",
                    (cell_fact(thing), *thing_facts(thing)))  # fmt: skip
    if op == "remove":
        if len(scene.things) < 2 or not _free(t, scene, index):
            return None
        return Edit(op, scene, _drop(scene, index), f"remove the {name}", f"the {t.phrase} was removed", f"the {t.phrase} goes away", ())
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
        instruction = pick(rng, (f"make it {new}", f"the same, but {'at night' if new == 'night' else 'by day'}"))
        sentence = "night falls" if new == "night" else "a new day begins"
        return Edit(op, scene, after, instruction, difference, sentence, facts)
    if op == "weather":
        return Edit(
            op, scene, after, pick(rng, (f"make it {new}", f"make the weather {new}")), difference, f"the weather becomes {new}", facts
        )
    return Edit(op, scene, after, f"move everything {GO_TO[new]}", difference, f"they all go {GO_TO[new]}", facts)


def sample_edit(scene: Scene, rng: np.random.Generator, operation: str | None = None, who: int | None = None) -> Edit:
    """One change of a scene that leaves everything else, jitter included, as it is. Never leads to a held-out combination.

    operation: one of OPERATIONS, or None for any; who: the thing to change. Raises InputError where the scene does not admit what is asked
    (moving a thing that holds another, the weather of a room).
    """
    held_out = is_held_out(scene)
    for _ in range(500):
        edit = _apply(scene, operation or pick(rng, OPERATIONS), rng, who)
        if edit and (held_out or not is_held_out(edit.after)):
            return edit
    raise InputError(f"This scene admits no change of the kind {operation!r} of thing {who}. Ask for another, or leave them open.")


# --- swapped pairs (Winoground) ---------------------------------------------------------------------------------------------------


def swap(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Text, Text] | None:
    """The scene with two things' colours or cells exchanged, and a caption of each: the same words in another order.
    None where nothing can be swapped."""
    n = len(scene.things)
    if n < 2:
        return None
    order = [int(i) for i in rng.permutation(n)[:2]]
    a, b = (scene.things[i] for i in order)
    if a.kind == b.kind or sum(t.kind in (a.kind, b.kind) for t in scene.things) > 2:
        return None
    names = sorted(relation(scene, *order))
    if rng.random() < 0.5 or not names:
        if a.color == b.color or (a.kind, b.color) in HELD_OUT_PAIRS or (b.kind, a.color) in HELD_OUT_PAIRS:
            return None
        swapped = scene.with_thing(order[0], color=b.color).with_thing(order[1], color=a.color)
        if is_held_out(swapped) and not is_held_out(scene):
            return None
        x, y = swapped.things[order[0]], swapped.things[order[1]]
        return swapped, _and(a, b), _and(x, y)
    if not (_free(a, scene, order[0]) and _free(b, scene, order[1])):
        return None
    name = names[int(rng.integers(len(names)))]
    swapped = scene.with_thing(order[0], row=b.row, col=b.col).with_thing(order[1], row=a.row, col=a.col)
    return swapped, _related(a, name, b), _related(b, name, a)


def _and(a: Thing, b: Thing) -> Text:
    return Text(f"{article(a.phrase)} and {article(b.phrase)}", (*thing_facts(a), *thing_facts(b)))


def _related(a: Thing, name: str, b: Thing) -> Text:
    return Text(f"{article(a.phrase)} {name} {article(b.phrase)}", (*thing_facts(a), *thing_facts(b), relation_fact(a, name, b)))


@dataclass(frozen=True)
class WinogroundPair:
    """Caption i fits scene i and not the other."""

    scenes: tuple[Scene, Scene]
    captions: tuple[Text, Text]
    kind: str  # "attribute" or "relation"


def sample_winoground(rng: np.random.Generator) -> WinogroundPair:
    """A swapped pair; half the time the second picture's setting is drawn anew, so that only the words tell."""
    while True:
        scene = sample_scene(rng, things=int(rng.integers(2, 4)), repeat=0.0, special=0.0)
        made = swap(scene, rng)
        if made is None:
            continue
        swapped, first, second = made
        if rng.random() < 0.5:
            setting = sample_scene(rng, things=1)
            swapped = replace(swapped, place=setting.place, time=setting.time, weather=setting.weather, seed=setting.seed)
        kind = "relation" if any(f[0] == "relation" for f in first.facts) else "attribute"
        return WinogroundPair((scene, swapped), (first, second), kind)


# --- stories (VIST's form) --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """Five scenes and the sentence that tells each. Sentence k says what changed since scene k - 1."""

    scenes: tuple[Scene, ...]
    sentences: tuple[Text, ...]


def sample_story(rng: np.random.Generator, length: int = 5) -> Story:
    """A thing that moves, changes, meets others, and travels."""
    scene = sample_scene(rng, things=int(rng.integers(1, 3)), repeat=0.0, special=0.1)
    hero = scene.things[0]
    scenes = [scene]
    sentences = [Text(f"once there was {article(hero.phrase)}", tuple(thing_facts(hero)))]
    last = ""
    while len(scenes) < length:
        operation = pick(rng, ("color", "size", "move", "move", "add", "add", "remove", "time", "weather", "place", "place"))
        if operation == last:
            continue
        who = 0 if operation != "remove" else None
        if operation == "remove" and len(scenes[-1].things) < 2:
            continue
        edit = _apply(scenes[-1], operation, rng, who)
        if edit is None or is_held_out(edit.after) or (operation == "remove" and edit.after.things[0].kind != edit.before.things[0].kind):
            continue
        last = operation
        opening = pick(rng, ("", "then ", "next "))
        scenes.append(edit.after)
        sentences.append(Text(opening + edit.sentence, edit.facts))
    return Story(tuple(scenes), tuple(sentences))


# --- knowledge cards (RAG) --------------------------------------------------------------------------------------------------------

SYLLABLES = tuple(c + v for c in "bdfgklmnprstvz" for v in "aeiou")  # 70: "ba", "mi", ...


@dataclass(frozen=True)
class Card:
    """A thing and what only the card knows of it: its invented name, or what it likes or holds.

    `question` is what both the card and a later asker say; `answer` stands only on the card.
    """

    scene: Scene
    question: str
    answer: str


def invented_name(rng: np.random.Generator, syllables: int = 2) -> str:
    return " ".join(pick(rng, SYLLABLES) for _ in range(syllables))


def card_for(thing: Thing, rng: np.random.Generator, syllables: int = 2) -> Card:
    """A card about a thing (its kind and colour) alone in a scene of its own."""
    scene = sample_scene(rng, things=1)
    scene = scene.with_thing(0, kind=thing.kind, color=thing.color)
    which = rng.random()
    if which < 0.6:
        return Card(scene, f"what is the name of the {thing.phrase}?", invented_name(rng, syllables))
    if which < 0.8:
        return Card(scene, f"what does the {thing.phrase} like?", PLURALS[pick(rng, KINDS)])
    return Card(scene, f"how old is the {thing.phrase}?", pick(rng, NUMBERS[1:]))


def sample_card(rng: np.random.Generator, syllables: int = 2) -> Card:
    return card_for(sample_thing(rng, 1, 1), rng, syllables)


def meet_again(card: Card, rng: np.random.Generator) -> Scene:
    """Another picture of the card's thing, elsewhere, at another time: what the asker sees."""
    thing = card.scene.things[0]
    scene = sample_scene(rng, things=1)
    return scene.with_thing(0, kind=thing.kind, color=thing.color, pattern=thing.pattern)


UNKNOWN = "i do not know"
