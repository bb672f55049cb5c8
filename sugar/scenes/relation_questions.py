"""Questions about two objects of one scene: how they stand to each other, which is bigger, which is there."""

from __future__ import annotations

import numpy as np

from sugar.scenes.captions import article, other, pick
from sugar.scenes.naming import Question, named, named_pair, yes_no
from sugar.scenes.world import COLORS, HELD_OUT_PAIRS, KINDS, RELATIONS, Scene, is_held_out_relation, relation


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
        options = [
            r for r in options if not is_held_out_relation(scene.objects[a].kind, r, scene.objects[b].kind)
        ]
    if not options:
        return None
    return Question(
        "relation yes/no",
        f"is the {name_a} {options[rng.integers(len(options))]} the {name_b}?",
        yes_no(truth),
    )


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
        return Question(
            "compare", f"are the {name_a} and the {name_b} the same color?", yes_no(x.color == y.color)
        )
    if form == 1 and x.size != y.size:
        word = pick(rng, ("bigger", "smaller"))
        first = (x.size == "big") == (word == "bigger")
        return Question(
            "compare", f"which is {word}, the {x.phrase} or the {y.phrase}?", (x if first else y).phrase
        )
    return Question("compare", f"are the {name_a} and the {name_b} the same size?", yes_no(x.size == y.size))


def ask_choose(scene: Scene, rng: np.random.Generator) -> Question | None:
    t = scene.objects[rng.integers(len(scene.objects))]
    kind, color = (
        (t.kind, other(rng, COLORS, t.color)) if rng.random() < 0.5 else (other(rng, KINDS, t.kind), t.color)
    )
    if any((u.kind, u.color) == (kind, color) for u in scene.objects) or (kind, color) in HELD_OUT_PAIRS:
        return None
    options = [t.phrase, f"{color} {kind}"]
    if rng.random() < 0.5:
        options.reverse()
    return Question("choose", f"is there {article(options[0])} or {article(options[1])}?", t.phrase)
