"""Questions about one scene, each with the answer that the scene graph gives.

    for q in questions(scene, rng, 7):
        q.kind, q.text, q.answer         # "relation", "is the red star left of the heart?", "yes"

Every kind that the paper's benchmarks ask: attributes, kind, count, place, existence (random, popular,
adversarial as in POPE), relations, comparison, choosing A or B, and whether a caption is true. Exactly one
object is meant. Not covered: what differs between two scenes (words.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sugar.scenes.words import CELLS, NUMBERS, article, name_of, negative, other, pick, short_caption, swap
from sugar.scenes.world import (
    BASES,
    COLORS,
    CONTAINERS,
    HELD_OUT_PAIRS,
    KINDS,
    PLURALS,
    RELATIONS,
    Scene,
    SceneObject,
    is_held_out_relation,
    relation,
)

POPULAR = tuple(dict.fromkeys((*CONTAINERS, *BASES)))  # the kinds that occur most often


@dataclass(frozen=True)
class Question:
    """A question about a scene with its only right answer. kind: which skill it asks."""

    kind: str
    text: str
    answer: str


def any_object(scene: Scene, rng: np.random.Generator) -> SceneObject:
    return scene.objects[rng.integers(len(scene.objects))]


def names(scene: Scene, rng: np.random.Generator) -> Iterator[tuple[int, str]]:
    """The objects that a name means, in any order: (number, name)."""
    for i in rng.permutation(len(scene.objects)):
        if name := name_of(scene, int(i), rng):
            yield int(i), name


def named(scene: Scene, rng: np.random.Generator) -> tuple[int, SceneObject, str] | None:
    return next(((i, scene.objects[i], name) for i, name in names(scene, rng)), None)


def named_pair(scene: Scene, rng: np.random.Generator) -> tuple[int, int, str, str] | None:
    found = list(names(scene, rng))
    return (found[0][0], found[1][0], found[0][1], found[1][1]) if len(found) > 1 else None


def yes_no(truth: bool) -> str:
    return "yes" if truth else "no"


# --- one object, or all -------------------------------------------------------------------------------------


def ask_color(scene: Scene, rng: np.random.Generator) -> Question | None:
    kinds = [t.kind for t in scene.objects]
    single = [t for t in scene.objects if kinds.count(t.kind) == 1]
    if not single:
        return None
    t = single[rng.integers(len(single))]
    return Question("color", f"what color is the {t.kind}?", t.color)


def ask_kind(scene: Scene, rng: np.random.Generator) -> Question | None:
    t = any_object(scene, rng)
    if rng.random() < 0.5:
        same = [u for u in scene.objects if u.color == t.color]
        return Question("kind", f"what is the {t.color} thing?", t.kind) if len(same) == 1 else None
    if sum((u.row, u.col) == (t.row, t.col) for u in scene.objects) > 1:
        return None
    return Question("kind", f"what is at the {CELLS[t.row][t.col]}?", t.kind)


def ask_size(scene: Scene, rng: np.random.Generator) -> Question | None:
    found = named(scene, rng)
    return found and Question("size", f"is the {found[2]} small or big?", found[1].size)


def ask_pattern(scene: Scene, rng: np.random.Generator) -> Question | None:
    found = named(scene, rng)
    return found and Question("pattern", f"is the {found[2]} plain, striped or dotted?", found[1].pattern)


def ask_count(scene: Scene, rng: np.random.Generator) -> Question:
    draw = rng.random()
    if draw < 0.4:
        kind = any_object(scene, rng).kind if rng.random() < 0.85 else pick(rng, KINDS)
        n = sum(t.kind == kind for t in scene.objects)
        return Question("count", f"how many {PLURALS[kind]} are there?", NUMBERS[n])
    if draw < 0.7:
        color = any_object(scene, rng).color if rng.random() < 0.85 else pick(rng, COLORS)
        n = sum(t.color == color for t in scene.objects)
        return Question("count", f"how many {color} things are there?", NUMBERS[n])
    return Question("count", "how many things are there?", NUMBERS[len(scene.objects)])


def ask_place(scene: Scene, rng: np.random.Generator) -> Question:
    return Question("place", pick(rng, ("where is this?", "what place is this?")), scene.place)


def ask_time(scene: Scene, rng: np.random.Generator) -> Question:
    return Question("time", pick(rng, ("is it day or night?", "what time is it?")), scene.time)


def ask_weather(scene: Scene, rng: np.random.Generator) -> Question | None:
    if scene.place == "room":
        return None
    return Question("weather", pick(rng, ("what is the weather like?", "how is the weather?")), scene.weather)


def ask_where(scene: Scene, rng: np.random.Generator) -> Question | None:
    found = named(scene, rng)
    return found and Question("where", f"where is the {found[2]}?", CELLS[found[1].row][found[1].col])


def existence(scene: Scene, rng: np.random.Generator, how: str) -> Question | None:
    """One POPE question with the answer no.

    how: "random": any absent object; "popular": one of a frequent kind; "adversarial": its kind and its
    colour are both in the picture (or its colour is one step off), but not together.
    """
    present = {(t.kind, t.color) for t in scene.objects}
    if how == "adversarial":
        t = any_object(scene, rng)
        colors = [u.color for u in scene.objects if u.color != t.color]
        color = colors[rng.integers(len(colors))] if colors else other(rng, COLORS, t.color)
        kind = t.kind
    else:
        kind, color = pick(rng, POPULAR if how == "popular" else KINDS), pick(rng, COLORS)
    if (kind, color) in present or (kind, color) in HELD_OUT_PAIRS:
        return None
    return Question(f"exist {how}", f"is there {article(f'{color} {kind}')}?", "no")


def ask_exist(scene: Scene, rng: np.random.Generator) -> Question | None:
    how = pick(rng, ("random", "popular", "adversarial", "adversarial"))
    if rng.random() < 0.5:
        t = any_object(scene, rng)
        return Question(f"exist {how}", f"is there {article(t.phrase)}?", "yes")
    return existence(scene, rng, how)


def match_question(words: str) -> str:
    """The question whose "yes" tells how well a caption fits: discrimination by answer probability."""
    return f"does this show {words}?"


def ask_match(scene: Scene, rng: np.random.Generator) -> Question:
    """Is a short caption true? Half the captions are false: wrong in one fact, or of the same scene with two
    objects swapped.
    """
    seed = int(rng.integers(1 << 31))
    truth, how = rng.random() < 0.5, rng.random()
    swapped = swap(scene, rng) if how < 0.6 else None
    if swapped is not None:
        _, right, wrong = swapped
        words = (right if truth else wrong).words
    elif truth:
        words = short_caption(scene, np.random.default_rng(seed), opening=False).words
    else:
        words = negative(scene, seed, rng, long=False, opening=False)[1].words
    return Question("match", match_question(words), yes_no(truth))


# --- two objects --------------------------------------------------------------------------------------------


def ask_relation_open(scene: Scene, rng: np.random.Generator) -> Question | None:
    found = named(scene, rng)
    if not found:
        return None
    index, _, name = found
    options = []
    for r in RELATIONS:
        held = [i for i in range(len(scene.objects)) if i != index and r in relation(scene, i, index)]
        if len(held) == 1:
            options.append((r, scene.objects[held[0]]))
    if not options:
        return None
    r, t = options[rng.integers(len(options))]
    return Question("relation open", f"what is {r} the {name}?", t.phrase)


def ask_relation_yes_no(scene: Scene, rng: np.random.Generator) -> Question | None:
    pair = named_pair(scene, rng)
    if not pair:
        return None
    a, b, name_a, name_b = pair
    held = relation(scene, a, b)
    truth = rng.random() < 0.5
    special = [r for r in held if r in ("inside", "on")]
    options = [r for r in RELATIONS[:4] if (r in held) == truth]
    if special and truth:
        options = special
    if not truth and rng.random() < 0.15:
        options = [r for r in ("inside", "on") if r not in held]
    if not truth and (special or relation(scene, b, a) & {"inside", "on"}) and rng.random() < 0.5:
        options = [r for r in ("inside", "on") if r not in held]
    if not truth:  # a question that is always answered "no" would teach the held-out relations
        x, y = scene.objects[a].kind, scene.objects[b].kind
        options = [r for r in options if not is_held_out_relation(x, r, y)]
    if not options:
        return None
    r = options[rng.integers(len(options))]
    return Question("relation yes/no", f"is the {name_a} {r} the {name_b}?", yes_no(truth))


def ask_relation_choice(scene: Scene, rng: np.random.Generator) -> Question | None:
    pair = named_pair(scene, rng)
    if not pair:
        return None
    a, b, name_a, name_b = pair
    held = relation(scene, a, b)
    options = [(x, y) for x, y in (("left of", "right of"), ("above", "below")) if held & {x, y}]
    if not options:
        return None
    x, y = options[rng.integers(len(options))]
    return Question("relation choice", f"is the {name_a} {x} or {y} the {name_b}?", x if x in held else y)


def ask_compare(scene: Scene, rng: np.random.Generator) -> Question | None:
    pair = named_pair(scene, rng)
    if not pair:
        return None
    a, b, name_a, name_b = pair
    x, y = scene.objects[a], scene.objects[b]
    form = rng.integers(3)
    if form == 0:
        if " " in name_a or " " in name_b:  # a colour in the name would give the answer away
            name_a, name_b = x.kind, y.kind
        kinds = [t.kind for t in scene.objects]
        if kinds.count(x.kind) > 1 or kinds.count(y.kind) > 1:
            return None
        if x.color != y.color and rng.random() < 0.5:
            return None  # keeps yes and no nearer to balance
        same = yes_no(x.color == y.color)
        return Question("compare", f"are the {name_a} and the {name_b} the same color?", same)
    if form == 1 and x.size != y.size:
        word = pick(rng, ("bigger", "smaller"))
        answer = x if (x.size == "big") == (word == "bigger") else y
        return Question("compare", f"which is {word}, the {x.phrase} or the {y.phrase}?", answer.phrase)
    return Question("compare", f"are the {name_a} and the {name_b} the same size?", yes_no(x.size == y.size))


def ask_choose(scene: Scene, rng: np.random.Generator) -> Question | None:
    t = any_object(scene, rng)
    recolored = rng.random() < 0.5
    kind = t.kind if recolored else other(rng, KINDS, t.kind)
    color = other(rng, COLORS, t.color) if recolored else t.color
    if any((u.kind, u.color) == (kind, color) for u in scene.objects) or (kind, color) in HELD_OUT_PAIRS:
        return None
    options = [t.phrase, f"{color} {kind}"]
    if rng.random() < 0.5:
        options.reverse()
    return Question("choose", f"is there {article(options[0])} or {article(options[1])}?", t.phrase)


# --- any kind -----------------------------------------------------------------------------------------------


ASKERS: dict[str, Callable[[Scene, np.random.Generator], Question | None]] = {
    "color": ask_color,
    "kind": ask_kind,
    "size": ask_size,
    "pattern": ask_pattern,
    "count": ask_count,
    "place": ask_place,
    "time": ask_time,
    "weather": ask_weather,
    "where": ask_where,
    "exist": ask_exist,
    "relation open": ask_relation_open,
    "relation yes/no": ask_relation_yes_no,
    "relation choice": ask_relation_choice,
    "compare": ask_compare,
    "choose": ask_choose,
    "match": ask_match,
}
RELATION_KINDS = ("relation open", "relation yes/no", "relation choice")
_WEIGHTS = np.array([3, 1.5, 0.8, 0.9, 1.4, 0.4, 0.2, 0.4, 1.5, 3, 1.2, 3, 1.2, 2, 0.6, 2])
_WEIGHTS /= _WEIGHTS.sum()
_NAMES = tuple(ASKERS)


def ask(scene: Scene, kind: str, rng: np.random.Generator, tries: int = 20) -> Question | None:
    """One question of a kind of ASKERS, or None where the scene admits none."""
    for _ in range(tries):
        q = ASKERS[kind](scene, rng)
        if q:
            return q
    return None


def questions(scene: Scene, rng: np.random.Generator, n: int) -> Iterator[Question]:
    """n questions, hard kinds more often, none asked twice of the same scene."""
    asked: set[str] = set()
    while len(asked) < n:
        q = ASKERS[_NAMES[rng.choice(len(_NAMES), p=_WEIGHTS)]](scene, rng)
        if q and q.text not in asked:
            asked.add(q.text)
            yield q
