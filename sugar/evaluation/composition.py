"""Held-out combinations: questions about objects whose (kind, colour), or relation, training never showed,
against twins that it did.

A twin is the same scene with the one object in a colour, or of a kind, that was seen; the same question is
asked of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sugar.core import Sugar
from sugar.evaluation.figures import Figure, picture, test_rng
from sugar.evaluation.loops import generate
from sugar.metrics import vqa_accuracy
from sugar.scenes.questions import ASKERS, Question
from sugar.scenes.world import (
    COLORS,
    HELD_OUT_PAIRS,
    KINDS,
    Scene,
    is_held_out,
    is_held_out_relation,
    sample_scene,
)
from sugar.sequence import Sample

ABOUT_OBJECTS = (
    "color",
    "kind",
    "size",
    "pattern",
    "where",
    "exist",
    "relation open",
    "relation yes/no",
    "relation choice",
    "choose",
)
ABOUT_RELATIONS = ("relation open", "relation yes/no")
Twins = tuple[Scene, Scene, tuple[str, str]]


def measure(model: Sugar, seed: int, size: int) -> dict[str, Figure]:
    """`size` twin questions about held-out pairs and up to size / 4 about held-out relations.

    `composition_gap` is the loss, in shares,
    of the pairs; its baseline is 0: guessing loses nothing."""
    rng = test_rng(seed, "composition")
    figures: dict[str, Figure] = {}
    for suffix, make, kinds, n in (
        ("", _pair, ABOUT_OBJECTS, size),
        ("_relations", _relation, ABOUT_RELATIONS, max(2, size // 4)),
    ):
        asked: tuple[list[tuple[Scene, Question]], list[tuple[Scene, Question]]] = ([], [])
        while len(asked[0]) < n:
            held, seen, names = make(rng)
            both = _ask_both(held, seen, names, kinds[int(rng.integers(len(kinds)))], rng)
            if both:
                asked[0].append((held, both[0]))
                asked[1].append((seen, both[1]))
        scores = []
        for questions in asked:
            said = generate(model, [Sample([picture(s), q.text]) for s, q in questions], max_new_tokens=8)
            scores.append(vqa_accuracy(said, [q.answer for _, q in questions]))
        figures[f"composition_held_out{suffix}"] = Figure(scores[0])
        figures[f"composition_seen{suffix}"] = Figure(scores[1])
        figures[f"composition_gap{suffix}"] = Figure(scores[1] - scores[0], 0.0)
    return figures


def _pair(rng: np.random.Generator) -> Twins:
    """A scene with a held-out pair, its twin in a seen colour, and the names that a question must hold to be
    about it.
    """
    while True:
        held = sample_scene(rng, held_out=True, special=0.0)
        index = next(i for i, t in enumerate(held.objects) if (t.kind, t.color) in HELD_OUT_PAIRS)
        obj = held.objects[index]
        taken = {t.color for t in held.objects if t.kind == obj.kind} | {
            c for k, c in HELD_OUT_PAIRS if k == obj.kind
        }
        colors = [c for c in COLORS if c not in taken]
        seen = held.with_object(index, color=colors[int(rng.integers(len(colors)))])
        if not is_held_out(seen) and sum(t.kind == obj.kind for t in held.objects) == 1:
            return held, seen, (obj.kind, obj.kind)


def _relation(rng: np.random.Generator) -> Twins:
    """A scene with a held-out object inside or on another, and its twin with another kind of object there."""
    while True:
        scene = sample_scene(rng, objects=int(rng.integers(2, 5)), repeat=0.0, special=1.0)
        index = next(
            (i for i, t in enumerate(scene.objects) if t.inside is not None or t.on is not None), None
        )
        if index is None:
            continue
        obj = scene.objects[index]
        name, holder = ("inside", obj.inside) if obj.inside is not None else ("on", obj.on)
        base = scene.objects[holder or 0].kind
        there = {t.kind for t in scene.objects}
        options = [k for k in KINDS if k not in there and (k, obj.color) not in HELD_OUT_PAIRS]
        unseen = [k for k in options if is_held_out_relation(k, name, base)]
        if unseen and not is_held_out(scene):
            kind = unseen[int(rng.integers(len(unseen)))]
            return scene.with_object(index, kind=kind), scene, (kind, obj.kind)


def _ask_both(
    held: Scene, seen: Scene, names: tuple[str, str], kind: str, rng: np.random.Generator
) -> tuple[Question, Question] | None:
    """The same question of both scenes, if it names the object in question or answers with it."""
    asker: Callable[[Scene, np.random.Generator], Question | None] = ASKERS[kind]
    for _ in range(8):
        dice = int(rng.integers(1 << 31))
        a, b = asker(held, np.random.default_rng(dice)), asker(seen, np.random.default_rng(dice))
        if a and b and all(_about(q, n) for q, n in zip((a, b), names, strict=True)):
            return a, replace(b, kind=a.kind)
    return None


def _about(question: Question, name: str) -> bool:
    return name in question.text.rstrip("?").split() or name in question.answer.split()
