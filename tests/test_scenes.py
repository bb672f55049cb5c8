"""The drawn world's words: same seed same scenes, splits apart, nothing held out in training, and every
answer worked out a second time.

`answer_of` and `shows` read the words of a question or caption and look at the scene graph with code of their
own. Not covered: pixels (test_draw.py).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sugar.errors import InputError
from sugar.scenes import (
    Scene,
    SceneObject,
    ask,
    is_held_out,
    long_caption,
    meet_again,
    negative,
    plain_caption,
    questions,
    sample_card,
    sample_edit,
    sample_scene,
    sample_story,
    sample_winoground,
    scene_facts,
    short_caption,
    split_rng,
)
from sugar.scenes.questions import ASKERS, existence
from sugar.scenes.words import DESCRIBE, OPERATIONS, object_facts
from sugar.scenes.world import BASES, COLORS, CONTAINERS, HELD_OUT_PAIRS, KINDS, is_held_out_relation
from sugar.sequence import Slice
from sugar.training.data.drawn import DrawnWorld
from sugar.training.data.example import texts_of
from sugar.training.teachers.scenes import ROLES, SceneEncoders, encode_facts

# --- a second opinion on every answer

PLACE_OF = {
    (row, col): f"{y} {x}".strip() or "center"
    for row, y in enumerate(("top", "", "bottom"))
    for col, x in enumerate(("left", "", "right"))
}
ONE = {k: k for k in KINDS} | {k + "s": k for k in KINDS} | {"boxes": "box"}
WORDS_FOR_NUMBERS = ["no", "one", "two", "three", "four", "five"]
NAME = r"(?:\w+ )?\w+"
REL = r"left of|right of|above|below|inside|on"


def objects_called(scene: Scene, name: str) -> list[int]:
    """Numbers of the objects that a name such as "star" or "red star" fits."""
    *color, kind = name.split()
    return [i for i, t in enumerate(scene.objects) if t.kind == kind and (not color or t.color == color[0])]


def the(scene: Scene, name: str) -> SceneObject:
    (index,) = objects_called(scene, name)
    return scene.objects[index]


def stands(scene: Scene, a: int, relation: str, b: int) -> bool:
    """Does object a stand in a relation to object b, by the cells?"""
    x, y = scene.objects[a], scene.objects[b]
    if relation == "inside":
        return x.inside == b
    if relation == "on":
        return x.on == b
    if (x.row, x.col) == (y.row, y.col):
        return False
    return {
        "left of": x.col < y.col,
        "right of": x.col > y.col,
        "above": x.row < y.row,
        "below": x.row > y.row,
    }[relation]


def yes(truth: bool) -> str:
    return "yes" if truth else "no"


def shows(scene: Scene, words: str) -> bool:
    """Is a short caption true? Things, at most one relation, place and time."""
    words = re.sub(r"^(there is|we see|a picture of) ", "", words)
    settings = {place: f"in the {place}|in a {place}" for place in ("forest", "city", "desert", "meadow")}
    settings |= {"beach": "at the beach|on a beach", "lake": "by the lake|at a lake"}
    settings |= {"mountain": "in the mountains|on a mountain", "room": "in a room|in the room"}
    times = {"day": "by day|during the day", "night": "at night|in the dark"}
    stated = [(k, v, scene.time) for k, v in times.items()]
    for value, options, there in stated + [(k, v, scene.place) for k, v in settings.items()]:
        shorter = re.sub(rf" ({options})$", "", words)
        if shorter != words:
            if value != there:
                return False
            words = shorter
    found = re.fullmatch(rf"an? (\w+ \w+)(?: (and|{REL}) an? (\w+ \w+))?", words)
    assert found, words
    first, link, second = found.groups()
    if link is None:
        return bool(objects_called(scene, first))
    both = [(i, j) for i in objects_called(scene, first) for j in objects_called(scene, second) if i != j]
    return any(link == "and" or stands(scene, i, link, j) for i, j in both)


def answer_of(scene: Scene, text: str) -> str:
    """The answer to a question, from its words and the scene graph."""
    if m := re.fullmatch(r"does this show (.*)\?", text):
        return yes(shows(scene, m[1]))
    if m := re.fullmatch(r"what color is the (\w+)\?", text):
        return the(scene, m[1]).color
    if m := re.fullmatch(r"what is the (\w+) thing\?", text):
        (obj,) = [t for t in scene.objects if t.color == m[1]]
        return obj.kind
    if m := re.fullmatch(r"what is at the ([\w ]+)\?", text):
        (obj,) = [t for t in scene.objects if PLACE_OF[t.row, t.col] == m[1]]
        return obj.kind
    if m := re.fullmatch(rf"is the ({NAME}) small or big\?", text):
        return the(scene, m[1]).size
    if m := re.fullmatch(rf"is the ({NAME}) plain, striped or dotted\?", text):
        return the(scene, m[1]).pattern
    if text == "how many things are there?":
        return WORDS_FOR_NUMBERS[len(scene.objects)]
    if m := re.fullmatch(r"how many (\w+) things are there\?", text):
        return WORDS_FOR_NUMBERS[sum(t.color == m[1] for t in scene.objects)]
    if m := re.fullmatch(r"how many (\w+) are there\?", text):
        return WORDS_FOR_NUMBERS[sum(t.kind == ONE[m[1]] for t in scene.objects)]
    if text in ("where is this?", "what place is this?"):
        return scene.place
    if text in ("is it day or night?", "what time is it?"):
        return scene.time
    if text in ("what is the weather like?", "how is the weather?"):
        assert scene.place != "room"
        return scene.weather
    if m := re.fullmatch(rf"where is the ({NAME})\?", text):
        obj = the(scene, m[1])
        return PLACE_OF[obj.row, obj.col]
    if m := re.fullmatch(r"is there an? (\w+ \w+) or an? (\w+ \w+)\?", text):
        (there,) = [name for name in m.groups() if objects_called(scene, name)]
        return there
    if m := re.fullmatch(r"is there an? (\w+ \w+)\?", text):
        return yes(bool(objects_called(scene, m[1])))
    if m := re.fullmatch(rf"what is ({REL}) the ({NAME})\?", text):
        (index,) = objects_called(scene, m[2])
        (obj,) = [t for i, t in enumerate(scene.objects) if i != index and stands(scene, i, m[1], index)]
        return f"{obj.color} {obj.kind}"
    if m := re.fullmatch(rf"is the ({NAME}?) (left of|above) or (right of|below) the ({NAME})\?", text):
        (a,), (b,) = objects_called(scene, m[1]), objects_called(scene, m[4])
        (holds,) = [r for r in (m[2], m[3]) if stands(scene, a, r, b)]
        return holds
    if m := re.fullmatch(rf"is the ({NAME}?) ({REL}) the ({NAME})\?", text):
        (a,), (b,) = objects_called(scene, m[1]), objects_called(scene, m[3])
        return yes(stands(scene, a, m[2], b))
    if m := re.fullmatch(rf"are the ({NAME}) and the ({NAME}) the same (color|size)\?", text):
        x, y = the(scene, m[1]), the(scene, m[2])
        return yes(getattr(x, m[3]) == getattr(y, m[3]))
    if m := re.fullmatch(r"which is (bigger|smaller), the (\w+ \w+) or the (\w+ \w+)\?", text):
        x, y = the(scene, m[2]), the(scene, m[3])
        assert x.size != y.size
        return m[2] if (x.size == "big") == (m[1] == "bigger") else m[3]
    raise AssertionError(f"no second opinion on {text!r}")


@pytest.mark.parametrize("kind", ASKERS)
def test_every_answer_is_worked_out_again(kind: str) -> None:
    rng = split_rng("test", 11)
    answers: Counter[str] = Counter()
    for n in range(160):
        scene = sample_scene(rng, held_out=n % 8 == 0)
        q = ask(scene, kind, rng)
        if q:
            assert q.answer == answer_of(scene, q.text), (scene, q)
            answers[q.answer] += 1
    assert answers.total() > 80
    assert answers.most_common(1)[0][1] < 0.8 * answers.total()  # no answer is right nearly always


@pytest.mark.parametrize("how", ["random", "popular", "adversarial"])
def test_absent_things_are_absent(how: str) -> None:
    rng = split_rng("test", 3)
    for _ in range(200):
        scene = sample_scene(rng)
        q = existence(scene, rng, how)
        if q:
            assert q.answer == "no" == answer_of(scene, q.text)
            color, kind = re.findall(r"\w+", q.text)[-2:]
            if how == "popular":
                assert kind in CONTAINERS + BASES
            if how == "adversarial":
                assert kind in {t.kind for t in scene.objects}
                assert color in {t.color for t in scene.objects} or len({t.color for t in scene.objects}) == 1


def test_a_scene_is_asked_nothing_twice() -> None:
    rng = split_rng("test", 4)
    for _ in range(50):
        texts = [q.text for q in questions(sample_scene(rng), rng, 7)]
        assert len(texts) == len(set(texts)) == 7


# --- seeds and splits ---------------------------------------------------------------------------------------


def told(rng: np.random.Generator) -> list:
    """Some of everything that a generator yields."""
    scene = sample_scene(rng)
    return [
        scene,
        long_caption(scene, rng),
        short_caption(scene, rng),
        list(questions(scene, rng, 5)),
        sample_edit(scene, rng),
        sample_winoground(rng),
        sample_story(rng),
        (card := sample_card(rng)),
        meet_again(card, rng),
        negative(scene, 5, rng, long=True),
    ]


def test_same_seed_same_everything() -> None:
    for split in ("train", "tuning", "test"):
        assert told(split_rng(split, 7)) == told(split_rng(split, 7))
        assert told(split_rng(split, 7)) != told(split_rng(split, 8))


def test_splits_never_meet() -> None:
    drawn = {
        split: {sample_scene(split_rng(split, seed)) for seed in range(300)}
        for split in ("train", "tuning", "test")
    }
    assert all(len(scenes) == 300 for scenes in drawn.values())
    assert (
        not drawn["train"] & drawn["test"]
        and not drawn["train"] & drawn["tuning"]
        and not drawn["tuning"] & drawn["test"]
    )
    states = {
        str(split_rng(split, seed).bit_generator.state)
        for split in ("train", "tuning", "test")
        for seed in (0, 1, 2**40, 2**70)
    }
    assert len(states) == 12


# --- the graph ----------------------------------------------------------------------------------------------


def test_graphs_are_what_the_eye_needs() -> None:
    rng = split_rng("train", 5)
    counts: Counter[int] = Counter()
    for _ in range(600):
        scene = sample_scene(rng)
        counts[len(scene.objects)] += 1
        cells = Counter((t.row, t.col) for t in scene.objects if t.inside is None)
        assert max(cells.values()) == 1
        for t in scene.objects:
            assert abs(t.dx) <= 0.1 and abs(t.dy) <= 0.1
            if t.inside is not None:
                holder = scene.objects[t.inside]
                assert (
                    (t.row, t.col) == (holder.row, holder.col)
                    and t.color != holder.color
                    and holder.kind in CONTAINERS
                )
            if t.on is not None:
                base = scene.objects[t.on]
                assert (t.row + 1, t.col) == (base.row, base.col) and base.kind in BASES
        assert scene.weather == "clear" or scene.place != "room"
    assert set(counts) == {1, 2, 3, 4, 5}


def test_held_out_scenes_hold_the_pair() -> None:
    rng = split_rng("test", 6)
    for _ in range(100):
        assert is_held_out(sample_scene(rng, held_out=True)) and not is_held_out(sample_scene(rng))
    kinds, colors = Counter(k for k, _ in HELD_OUT_PAIRS), Counter(c for _, c in HELD_OUT_PAIRS)
    assert max(kinds.values()) == 1 and max(colors.values()) <= 2  # every kind and colour is met in training


def test_nothing_held_out_in_training() -> None:
    """No row of the data set shows or names a held-out pair or relation, answers of "no" included."""
    pair = rf"\b({'|'.join(COLORS)}) (?:striped |dotted )?({'|'.join(KINDS)})\b"
    related = rf"\b({'|'.join(KINDS)})(?: with (?:stripes|dots))? (inside|on) "
    related += rf"(?:the|a|an) (?:\w+ )*?({'|'.join(KINDS)})\b"
    world, seen = DrawnWorld(), Counter[str]()
    for n in range(240):
        example = world[n]
        for s in example.slices:
            assert not any(f[0] == "pair" and f[1:] in HELD_OUT_PAIRS for f in s.facts)  # type: ignore[attr-defined]
        for text in texts_of(example):
            for color, kind in re.findall(pair, text):
                assert (kind, color) not in HELD_OUT_PAIRS, text
                seen["pair"] += 1
            for a, name, b in re.findall(related, text):
                assert not is_held_out_relation(a, name, b), text
                seen["relation"] += 1
    assert seen["pair"] > 500 and seen["relation"] > 20


# --- captions -----------------------------------------------------------------------------------------------


def differences(a: Scene, b: Scene) -> list[str]:
    """What differs between two scenes with as many objects."""
    out = [k for k in ("place", "time", "weather") if getattr(a, k) != getattr(b, k)]
    for x, y in zip(a.objects, b.objects, strict=True):
        out += [k for k, v in asdict(x).items() if asdict(y)[k] != v]
    return out


@pytest.mark.parametrize("long", [True, False])
def test_negatives_keep_the_wording_and_state_something_false(long: bool) -> None:
    rng = split_rng("test", 9)
    for _ in range(150):
        scene = sample_scene(rng)
        right, wrong = negative(scene, int(rng.integers(1 << 30)), rng, long=long)
        true = set(scene_facts(scene))
        assert set(right.facts) <= true and not set(wrong.facts) <= true
        a, b = Counter(right.words.replace(",", "").split()), Counter(wrong.words.replace(",", "").split())
        assert 1 <= max((a - b).total(), (b - a).total()) <= 8, (right.words, wrong.words)
        if not long:
            assert shows(scene, right.words) and not shows(scene, wrong.words)


def test_captions_state_only_what_is_there_and_long_ones_everything() -> None:
    rng = split_rng("test", 10)
    for _ in range(150):
        scene = sample_scene(rng)
        short, long = short_caption(scene, rng), long_caption(scene, rng)
        assert set(short.facts) <= set(scene_facts(scene)) and set(long.facts) <= set(scene_facts(scene))
        assert shows(scene, short.words) and len(short.words.split()) <= 20
        for t in scene.objects:
            assert {*object_facts(t), ("size", t.kind, t.color, t.size)} <= set(long.facts)
        named = re.findall(rf"({'|'.join(COLORS)}) ({'|'.join(KINDS)})", plain_caption(scene))
        assert Counter(named) == Counter((t.color, t.kind) for t in scene.objects)


# --- more than one picture


def test_winoground_pairs_use_the_same_words_and_fit_one_scene_each() -> None:
    rng = split_rng("test", 13)
    seen: Counter[str] = Counter()
    for _ in range(150):
        pair = sample_winoground(rng)
        seen[pair.kind] += 1
        first, second = (c.words.split() for c in pair.captions)
        assert Counter(first) == Counter(second) and first != second
        for i in (0, 1):
            assert not is_held_out(pair.scenes[i])
            for j in (0, 1):
                assert shows(pair.scenes[i], pair.captions[j].words) == (i == j)
    assert min(seen["attribute"], seen["relation"]) > 40


def expected_difference(operation: str, a: Scene, b: Scene) -> str:
    """What differs, worked out from the two scenes."""
    if operation in ("time", "weather", "place"):
        assert differences(a, b) == [operation]
        return f"the {operation} changed from {getattr(a, operation)} to {getattr(b, operation)}"
    x, y = set(a.objects), set(b.objects)
    if operation == "add":
        assert b.objects[:-1] == a.objects
        t = b.objects[-1]
        article = "an" if t.color[0] in "aeiou" else "a"
        return f"{article} {t.color} {t.kind} was added at the {PLACE_OF[t.row, t.col]}"
    if operation == "remove":
        assert len(b.objects) == len(a.objects) - 1
        (gone,) = (
            Counter((t.color, t.kind) for t in a.objects) - Counter((t.color, t.kind) for t in b.objects)
        ).elements()
        return f"the {gone[0]} {gone[1]} was removed"
    (old,), (new,) = x - y, y - x
    changed = [k for k, v in asdict(old).items() if asdict(new)[k] != v]
    if operation == "move":
        assert set(changed) <= {"row", "col"}
        start, end = PLACE_OF[old.row, old.col], PLACE_OF[new.row, new.col]
        return f"the {old.color} {old.kind} moved from the {start} to the {end}"
    assert changed == [operation]
    if operation == "color":
        return f"the {old.kind} changed from {old.color} to {new.color}"
    if operation == "kind":
        return f"the {old.color} {old.kind} changed to {'an' if new.kind[0] in 'aeiou' else 'a'} {new.kind}"
    return f"the {old.color} {old.kind} changed from {getattr(old, operation)} to {getattr(new, operation)}"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_edit_changes_one_thing_and_says_so(operation: str) -> None:
    rng, refused = split_rng("test", 14), 0
    for _ in range(40):
        scene = sample_scene(rng, objects=int(rng.integers(2, 5)), repeat=0.1, special=0.2)
        try:
            edit = sample_edit(scene, rng, operation)
        except InputError:
            refused += 1
            continue
        assert edit.before == scene and not is_held_out(edit.after)
        assert edit.difference == expected_difference(operation, edit.before, edit.after)
        assert set(edit.facts) <= set(scene_facts(edit.after))
    assert refused < 15


def test_impossible_edits_are_refused() -> None:
    room = Scene((SceneObject("star", "red", "big", "plain", 0, 0),), "room", "day", "clear")
    for operation in ("weather", "place", "remove"):
        with pytest.raises(InputError, match="admits no change"):
            sample_edit(room, split_rng("test", 0), operation)


def test_stories_are_five_scenes_each_told_from_the_one_before() -> None:
    rng = split_rng("test", 15)
    for _ in range(60):
        story = sample_story(rng)
        assert len(story.scenes) == len(story.sentences) == 5
        for before, after in zip(story.scenes, story.scenes[1:], strict=False):
            assert before != after and not is_held_out(after)
            assert after.objects[0].kind == story.scenes[0].objects[0].kind  # the hero stays
        for scene, text in zip(story.scenes, story.sentences, strict=True):
            assert set(text.facts) <= set(scene_facts(scene))


def test_cards_and_their_second_pictures() -> None:
    rng = split_rng("test", 16)
    for _ in range(100):
        card = sample_card(rng)
        again = meet_again(card, rng)
        (a,), (b,) = card.scene.objects, again.objects
        assert (a.kind, a.color, a.pattern) == (b.kind, b.color, b.pattern) and again != card.scene
        assert f"{a.color} {a.kind}" in card.question and (a.kind, a.color) not in HELD_OUT_PAIRS
        if "name" in card.question:
            assert len(card.answer.split()) == 2


# --- encoders and words -------------------------------------------------------------------------------------


def test_the_bag_hardly_knows_places_and_the_fine_one_does() -> None:
    obj = SceneObject("star", "red", "big", "plain", 0, 0)
    cat = SceneObject("cat", "blue", "big", "plain", 2, 2)
    scene = Scene((obj, cat), "beach", "day", "clear")
    turned = scene.with_object(0, row=2, col=2).with_object(1, row=0, col=0)
    three = [scene_facts(s) for s in (scene, turned, scene.with_object(0, color="green"))]
    bag, exact = ([encode_facts(facts, ROLES[role]) for facts in three] for role in ("bag", "exact"))
    for vectors in (bag, exact):
        assert [np.linalg.norm(v) for v in vectors] == pytest.approx([1, 1, 1], abs=1e-5)
    assert 0.94 < bag[0] @ bag[1] < 0.99 and bag[0] @ bag[2] < 0.93
    assert exact[0] @ exact[1] < 0.9
    assert not encode_facts([], ROLES["bag"]).any()
    with pytest.raises(InputError, match="drawn world only"):
        SceneEncoders().encode([Slice(Image.new("RGB", (8, 8)))])


def test_every_word_of_the_test_split_is_known() -> None:
    """The shipped model's tokenizer has them all."""
    shipped = Path(__file__).resolve().parents[1] / "assets" / "sugar-tiny" / "tokenizer.json"
    known = json.loads(shipped.read_text("utf-8"))["model"]["vocab"]
    rng = split_rng("test", 17)
    texts = [*DESCRIBE]
    for n in range(300):
        scene = sample_scene(rng, held_out=n % 5 == 0)
        edit, card = sample_edit(scene, rng), sample_card(rng)
        captions = [long_caption(scene, rng), short_caption(scene, rng)]
        captions += [*sample_story(rng).sentences, *sample_winoground(rng).captions]
        texts += [edit.instruction, edit.difference, card.question, card.answer, plain_caption(scene)]
        texts += [t.words for t in captions]
        texts += [t for q in questions(scene, rng, 4) for t in (q.text, q.answer)]
    assert not {w for t in texts for w in re.findall(r"\w+|[^\w\s]", t.lower())} - set(known)
