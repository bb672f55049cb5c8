"""The drawn world on fresh test scenes: the table that `sugar-tiny` is judged by.

    found = measure(model, seed=0, size=1000)            # percent by key
    python -m sugar evaluate drawn --seed 0 --size 1000 --json --out runs/evaluation

`ROWS` says what each row must reach. Each of `PARTS` makes its items from a stream of its own, and scores
them. Words alone: the better of a habit learnt on the tuning split (`Habit`) and the model shown a blank
picture. Pictures alone: the same search with the picture only.
"""

from __future__ import annotations

import io
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sugar.errors import SettingsError
from sugar.evaluation import runner
from sugar.evaluation.benchmark import Benchmark, Match, Pool, Query, Question, content
from sugar.evaluation.report import FigureRow
from sugar.evaluation.tasks.scores import asked_once, beside, by_group, of_blank
from sugar.metrics.answers import pope, vqa_accuracy
from sugar.metrics.captions import caption_f1, rouge_l
from sugar.metrics.retrieval import winoground
from sugar.scenes import (
    Scene,
    ask,
    draw,
    is_held_out,
    long_caption,
    match_question,
    meet_again,
    plain_caption,
    sample_card,
    sample_edit,
    sample_scene,
    sample_story,
    sample_winoground,
    short_caption,
    split_rng,
)
from sugar.scenes.questions import ASKERS, RELATION_KINDS, existence
from sugar.scenes.questions import Question as Asking
from sugar.scenes.words import (
    CELLS,
    DESCRIBE,
    DIFFERENCE_QUESTION,
    NUMBERS,
    OPERATIONS,
    Card,
    Edit,
    article,
    card_for,
)
from sugar.scenes.world import (
    COLORS,
    HELD_OUT_PAIRS,
    KINDS,
    PATTERNS,
    PLACES,
    PLURALS,
    WEATHERS,
    SceneObject,
    is_held_out_relation,
)

Groups = dict[str, list[tuple[Any, Any]]]
Figures = dict[str, float]

ROWS = (
    FigureRow("t2i_r1", "text -> image R@1, long captions", 88, 98),
    FigureRow("i2t_r1", "image -> text R@1, long captions", 88, 98),
    FigureRow("vqa", "VQA, mean over kinds", 90, 98),
    FigureRow("pope_adversarial", "POPE adversarial, accuracy", 85, 97),
    FigureRow("relation", "relation questions, yes/no included", 82, 97),
    FigureRow("caption_f1", "caption: F1 over objects with colour", 85, 98),
    FigureRow("winoground_text", "Winoground text"),
    FigureRow("winoground_image", "Winoground image"),
    FigureRow("winoground_group", "Winoground group", 65, 92),
    FigureRow("winoground_group_embedding", "Winoground group, by embedding alone", 30, 80),
    FigureRow("story_r1", "story (5 captions + 4 pictures) -> 5th picture R@1", 75, 92),
    FigureRow("composed_r1", "picture + change -> picture R@1, sources among them", 70, 92),
    FigureRow("difference", "what differs between these two: exact", 50, 92),
    FigureRow("card_answer", "card found by picture and its own question, then read", 50, 92),
    FigureRow("card_answer_without", "the same question without a card", 5, 5, at_most=True),
    FigureRow("composition_gap", "held-out combinations: loss against seen ones", 10, 3, at_most=True),
)


def stream(seed: int, part: str) -> np.random.Generator:
    """The test split's generator for one part: adding a part changes no other's scenes."""
    return split_rng("test", (int(seed) << 32) + zlib.crc32(part.encode()))


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def picture(scene: Scene) -> bytes:
    """The scene as the model sees it."""
    return png(Image.fromarray(draw(scene)))


BLANK = png(Image.new("RGB", (96, 96), (128, 128, 128)))
"""The picture that says nothing, for language-only baselines."""


# -- what can be said without looking -----------------------------------------------------------------------

_OBJECTS = {w: "kind" for w in (*KINDS, *PLURALS.values())} | {c: "color" for c in COLORS}


def lift(question: str, answer: str = "") -> tuple[str, str, list[str]]:
    """(question with objects and colours as <kind>, <color>; answer with what it repeats as <0>, <1> ...; the
    words lifted out).

    >>> lift("is the red star small or big?", "small")
    ('is the <color> <kind> small or big?', 'small', ['red', 'star'])
    >>> lift("is there a red star or a blue cat?", "blue cat")[1]
    '<2> <3>'
    """
    words: list[str] = []

    def out(found: re.Match[str]) -> str:
        if found.group() not in _OBJECTS:
            return found.group()
        words.append(found.group())
        return f"<{_OBJECTS[found.group()]}>"

    pattern = re.sub(r"\ban? (?=<)", "a ", re.sub(r"\w+", out, question))
    last = {word: f"<{n}>" for n, word in enumerate(words)}
    return pattern, re.sub(r"\w+", lambda m: last.get(m.group(), m.group()), answer), words


class Habit:
    """The commonest answer to a question's wording, and to its kind for wordings never met."""

    def __init__(self, asked: Iterable[Asking]) -> None:
        by_pattern: dict[str, Counter[str]] = defaultdict(Counter)
        by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        for q in asked:
            pattern, said, _ = lift(q.text, q.answer)
            by_pattern[pattern][said] += 1
            by_kind[q.kind][q.answer] += 1
        self.patterns = {p: c.most_common(1)[0][0] for p, c in by_pattern.items()}
        self.kinds = {k: c.most_common(1)[0][0] for k, c in by_kind.items()}

    def answer(self, question: str, kind: str) -> str:
        pattern, _, words = lift(question)
        said = self.patterns.get(pattern, self.kinds.get(kind, "yes"))
        return re.sub(r"<(\d+)>", lambda m: dict(enumerate(words)).get(int(m.group(1)), ""), said)


@lru_cache(maxsize=1)
def habit() -> Habit:
    """What can be learnt without looking from 1,500 tuning scenes, each asked every kind of question."""
    rng = split_rng("tuning", 0)
    scenes = [sample_scene(rng) for _ in range(1500)]
    return Habit(q for scene in scenes for kind in ASKERS if (q := ask(scene, kind, rng)))


def said(rows: Sequence[tuple[Question, Any]]) -> list[str]:
    return [prediction["text"] for _, prediction in rows]


def truth(rows: Sequence[tuple[Question, Any]]) -> list[str]:
    return [question.answers[0] for question, _ in rows]


def exact(rows: Sequence[tuple[Question, Any]]) -> float:
    """Share of answers that are exactly right (VQA's measure of one reference)."""
    return vqa_accuracy(said(rows), truth(rows))


def blind(groups: Groups, asked: Sequence[Question]) -> list[str]:
    """What was said to these questions about a blank picture."""
    answers = {(q.parts[-1], q.tokens): p["text"] for q, p in groups["blank"]}
    return [answers[q.parts[-1], q.tokens] for q in asked]


# -- questions: every kind, and what is not there -----------------------------------------------------------

CHOICES = {
    "color": len(COLORS),
    "kind": len(KINDS),
    "size": 2,
    "pattern": len(PATTERNS),
    "count": len(NUMBERS),
    "place": len(PLACES),
    "time": 2,
    "weather": len(WEATHERS),
    "where": sum(map(len, CELLS)),
    "exist": 2,
    "relation open": len(COLORS) * len(KINDS),
    "relation yes/no": 2,
    "relation choice": 2,
    "compare": 2,
    "choose": 2,
    "match": 2,
}
"""How many answers a question of each kind has: chance is one of them."""
SPLITS = ("random", "popular", "adversarial")


def vqa_items(seed: int, size: int) -> Iterator[Any]:
    """One question of each kind about each of `size` scenes that admit it. A quarter of them, 100 at least,
    is asked of a blank picture too.
    """
    rng = stream(seed, "vqa")
    scenes = [sample_scene(rng) for _ in range(size)]
    pictures = [picture(s) for s in scenes]
    for kind in ASKERS:
        asked = [
            Question(f"vqa {kind}/{n}", (p, q.text), (q.answer,), f"vqa {kind}", options=(q.kind,), tokens=8)
            for n, (scene, p) in enumerate(zip(scenes, pictures, strict=True))
            if (q := ask(scene, kind, rng))
        ]
        yield from asked
        yield from of_blank(asked[: _quarter(asked)], BLANK)


def _quarter(asked: Sequence[Any]) -> int:
    return max(min(len(asked), 100), len(asked) // 4)


def vqa_score(groups: Groups) -> Figures:
    """`vqa` is the mean over kinds, `relation` over the three relation kinds."""
    shares = {}
    for kind in ASKERS:
        rows = groups[f"vqa {kind}"]
        first = rows[: _quarter(rows)]
        unseen = vqa_accuracy(blind(groups, [q for q, _ in first]), truth(first))
        known = vqa_accuracy([habit().answer(q.parts[-1], q.options[0]) for q, _ in rows], truth(rows))
        shares[kind] = (exact(rows), 1 / CHOICES[kind], max(unseen, known))
    out = {k: v for kind in ASKERS for k, v in beside(f"vqa {kind}", *shares[kind]).items()}
    for name, kinds in (("vqa", ASKERS), ("relation", RELATION_KINDS)):
        out |= beside(name, *np.mean([shares[kind] for kind in kinds], axis=0))
    return out


def existence_items(seed: int, size: int) -> Iterator[Any]:
    """POPE: as many questions with the answer no as with yes, one of each about every scene that admits both.

    The absent objects are random, of popular kinds, or adversarial: kind and colour are there, not together.
    """
    rng = stream(seed, "pope")
    scenes = [sample_scene(rng) for _ in range(size)]
    for split in SPLITS:
        asked: list[Question] = []
        for scene in scenes:
            absent = next((q for _ in range(20) if (q := existence(scene, rng, split))), None)
            there = scene.objects[int(rng.integers(len(scene.objects)))]
            if absent is not None:
                shown = picture(scene)
                for text, answer in ((f"is there {article(there.phrase)}?", "yes"), (absent.text, "no")):
                    key, group = f"pope_{split}/{len(asked)}", f"pope_{split}"
                    asked.append(Question(key, (shown, text), (answer,), group, tokens=4))
        yield from asked
        yield from of_blank(asked[: _eighth(asked)], BLANK)


def _eighth(asked: Sequence[Any]) -> int:
    return max(2, len(asked) // 8 * 2)


def existence_score(groups: Groups) -> Figures:
    out: Figures = {}
    for split in SPLITS:
        rows = groups[f"pope_{split}"]
        found, first = pope(said(rows), truth(rows)), rows[: _eighth(rows)]
        unseen = pope(blind(groups, [q for q, _ in first]), truth(first)).accuracy
        known = pope([habit().answer(q.parts[-1], "exist") for q, _ in rows], truth(rows)).accuracy
        out |= beside(f"pope_{split}", found.accuracy, 0.5, max(unseen, known))
        for name in ("precision", "recall", "f1", "yes_ratio"):
            out |= beside(f"pope_{split}_{name}", getattr(found, name))
    return out


# -- captions -----------------------------------------------------------------------------------------------

_NAMED = re.compile(rf"\b({'|'.join(COLORS)}) ({'|'.join(KINDS)})\b")


def named(text: str) -> list[tuple[str, ...]]:
    """The (colour, kind) pairs that a text names, in order.

    >>> named("a red star and a big blue cat by the lake")
    [('red', 'star'), ('blue', 'cat')]
    """
    return [m.groups() for m in _NAMED.finditer(text.lower())]


def caption_items(seed: int, size: int) -> Iterator[Any]:
    """`size` scenes, asked in every wording. Answers: the plain caption, then each object with its colour."""
    rng = stream(seed, "caption")
    for n in range(size):
        scene, wording = sample_scene(rng), DESCRIBE[n % len(DESCRIBE)]
        answers = (plain_caption(scene), *(f"{t.color} {t.kind}" for t in scene.objects))
        yield Question(f"caption/{n}", (picture(scene), wording), answers, "caption", tokens=48)
    yield from of_blank([Question("", (BLANK, w), tokens=48) for w in DESCRIBE], BLANK)


def caption_score(groups: Groups) -> Figures:
    """F1 over the objects named with their colour, repeats counted, and ROUGE-L against the plain caption.

    chance: the right caption of another scene; words alone: the caption of a blank picture.
    """
    rows = groups["caption"]
    right = truth(rows)
    objects = [[tuple(phrase.split()) for phrase in q.answers[1:]] for q, _ in rows]
    texts = (said(rows), right[1:] + right[:1], blind(groups, [q for q, _ in rows]))
    f1 = [caption_f1([named(t) for t in own], objects) for own in texts]
    rouge = [float(np.mean([rouge_l(t, r) for t, r in zip(own, right, strict=True)])) for own in texts]
    return beside("caption_f1", *f1) | beside("caption_rouge_l", *rouge)


# -- finding: by captions, by stories, by a picture and its change ------------------------------------------


def _pool(group: str, queries: Sequence[Any], candidates: Sequence[Any], left_out: int = 0) -> Pool:
    """Query n finds candidate n. left_out: query n leaves out candidate n + left_out."""
    asked = []
    for n, parts in enumerate(queries):
        without = frozenset({str(n + left_out)} if left_out else ())
        asked.append(Query(f"{group}/{n}", tuple(parts), frozenset({str(n)}), without, group))
    return Pool(tuple(asked), {str(n): (tuple(parts),) for n, parts in enumerate(candidates)})


def _recall(groups: Groups, group: str, k: int) -> float:
    return float(np.mean([p["rank"] < k for _, p in groups[group]]))


def _chance(groups: Groups, group: str, k: int) -> float:
    return min(1.0, k / groups[group][0][1]["pool"])


def retrieval_items(seed: int, size: int) -> Iterator[Any]:
    """`size` scenes, each with a long and a short caption. Short ones fit several scenes by nature; they are
    reported, not judged.
    """
    rng = stream(seed, "retrieval")
    scenes = [sample_scene(rng) for _ in range(size)]
    shown = [(picture(s),) for s in scenes]
    for suffix, make in (("", long_caption), ("_short", short_caption)):
        texts = [(make(s, rng).words,) for s in scenes]
        yield _pool(f"t2i{suffix}", texts, shown)
        yield _pool(f"i2t{suffix}", shown, texts)


def retrieval_score(groups: Groups) -> Figures:
    out: Figures = {}
    for suffix in ("", "_short"):
        for k in (1, 5, 10):
            for way in ("t2i", "i2t"):
                group = f"{way}{suffix}"
                out |= beside(f"{way}_r{k}{suffix}", _recall(groups, group, k), _chance(groups, group, k))
    return out


def story_items(seed: int, size: int) -> Iterator[Any]:
    """VIST's form: five captions and four pictures call for the fifth picture, among the fifths of all."""
    rng = stream(seed, "story")
    told: dict[str, list[Any]] = {"story": [], "story captions": [], "story fourth": []}
    last = []
    for _ in range(size):
        story = sample_story(rng)
        pictures, words = [picture(s) for s in story.scenes], [t.words for t in story.sentences]
        pairs = zip(words, pictures, strict=True)
        told["story"].append([part for pair in pairs for part in pair][:9])
        told["story captions"].append(words)
        told["story fourth"].append([pictures[3]])
        last.append([pictures[4]])
    for group, queries in told.items():
        yield _pool(group, queries, last)


def story_score(groups: Groups) -> Figures:
    """Words alone: the five captions; pictures alone: the fourth picture."""
    out: Figures = {}
    for k in (1, 5, 10):
        chance, words = _chance(groups, "story", k), _recall(groups, "story captions", k)
        out |= beside(f"story_5c_r{k}", words, chance)
        fourth = _recall(groups, "story fourth", k)
        out |= beside(f"story_r{k}", _recall(groups, "story", k), chance, words, fourth)
    return out


SIBLINGS = 4


def change_items(seed: int, size: int) -> Iterator[Any]:
    """Picture + change -> picture, in three pools; and "what differs between these two?".

    `composed`: size / 2 targets, and their sources as decoys. `composed_targets`: the targets only.
    `composed_siblings`: the source, the target and four other changes of the same source, so that only who
    reads the change finds it.
    """
    rng = stream(seed, "change")
    count = max(2, size // 2)
    edits = [sample_edit(sample_scene(rng), rng) for _ in range(count)]
    before, after = [(picture(e.before),) for e in edits], [(picture(e.after),) for e in edits]
    words = [(e.instruction,) for e in edits]
    for name, candidates in (("composed", after + before), ("composed_targets", after)):
        yield _pool(name, [b + w for b, w in zip(before, words, strict=True)], candidates)
        yield _pool(f"{name} words", words, candidates)
        # as a query a source meets itself first: the picture-only baseline may leave it out
        yield _pool(f"{name} picture", before, candidates, left_out=count)
    rng = stream(seed, "siblings")
    for n in range(count):
        family = _family(sample_scene(rng), 1 + SIBLINGS, rng)
        source, text = picture(family[0].before), family[0].instruction
        others = {str(i): ((picture(e.after),),) for i, e in enumerate(family)}
        asked = []
        for name, own in (("", (source, text)), (" words", (text,)), (" picture", (source,))):
            group, without = f"composed_siblings{name}", frozenset({"source"} if name == " picture" else ())
            asked.append(Query(f"{group}/{n}", own, frozenset({"0"}), without, group))
        yield Pool(tuple(asked), {**others, "source": ((source,),)})
    rng = stream(seed, "difference")
    for n in range(size):
        e = sample_edit(sample_scene(rng), rng)
        parts = (picture(e.before), picture(e.after), DIFFERENCE_QUESTION)
        yield Question(
            f"difference/{n}", parts, (e.difference,), "difference", options=(e.operation,), tokens=24
        )
    yield Question(
        "difference blank", (BLANK, BLANK, DIFFERENCE_QUESTION), group="difference blank", tokens=24
    )


def _family(scene: Scene, count: int, rng: np.random.Generator) -> list[Edit]:
    """`count` changes of one scene with different outcomes."""
    found: list[Edit] = []
    while len(found) < count:
        edit = sample_edit(scene, rng)
        if all(edit.after != e.after for e in found):
            found.append(edit)
    return found


@lru_cache(maxsize=1)
def _common_difference() -> str:
    tuning = split_rng("tuning", 1)
    counts = Counter(sample_edit(sample_scene(tuning), tuning).difference for _ in range(1500))
    return counts.most_common(1)[0][0]


def change_score(groups: Groups) -> Figures:
    """Words alone: the instruction; of differences the commonest one, and what is said of two blanks."""
    out: Figures = {}
    for k in (1, 5):
        for name in ("composed", "composed_targets"):
            shares = [_recall(groups, f"{name}{way}", k) for way in ("", " words", " picture")]
            out |= beside(f"{name}_r{k}", shares[0], _chance(groups, name, k), *shares[1:])
    shares = [_recall(groups, f"composed_siblings{way}", 1) for way in ("", " words", " picture")]
    out |= beside("composed_siblings_r1", shares[0], 1 / (2 + SIBLINGS), *shares[1:])
    rows = groups["difference"]
    [(_, unseen)] = groups["difference blank"]
    alone = [vqa_accuracy([text] * len(rows), truth(rows)) for text in (_common_difference(), unseen["text"])]
    out |= beside("difference", exact(rows), 0.0, max(alone))
    for operation in OPERATIONS:
        if chosen := [row for row in rows if row[0].options == (operation,)]:
            out |= beside(f"difference {operation}", exact(chosen))
    return out


# -- knowledge cards: find the card by picture and question, read it, answer (METHOD.md A5) ----------------


def _cards(seed: int, size: int) -> list[tuple[Card, bytes, bytes]]:
    """A card for each of up to `size` (object, colour) pairs, its picture, and another one of its object."""
    rng = stream(seed, "rag")
    pairs = [(k, c) for k in KINDS for c in COLORS if (k, c) not in HELD_OUT_PAIRS]
    pairs = [pairs[i] for i in rng.permutation(len(pairs))[:size]]
    cards = [card_for(SceneObject(kind, color, "big", "plain", 1, 1), rng) for kind, color in pairs]
    return [(c, picture(c.scene), picture(meet_again(c, rng))) for c in cards]


def card_items(seed: int, size: int) -> Iterator[Any]:
    """Each question with the card that is retrieved (`augmented`), with the right one, and with none.

    A question is in the words of its card: `evaluate ask` asks in other words.
    """
    cards = _cards(seed, size)
    seen = [(again, card.question) for card, _, again in cards]
    keys = [(shown, card.question) for card, shown, _ in cards]
    yield _pool("card_found", seen, keys)
    for n, (card, *_) in enumerate(cards):
        read = {"": seen[n], "_given": (*keys[n], card.answer, *seen[n]), "_without": seen[n]}
        for name, parts in read.items():
            group = f"card_answer{name}"
            yield Question(f"{group}/{n}", parts, (card.answer,), group, tokens=8)


def augmented(model: Any, asked: Sequence[Question], seed: int, size: int) -> list[Question]:
    """The questions of `card_answer` with the nearest card before them."""
    waiting = [q for q in asked if q.group == "card_answer"]
    if not waiting:
        return list(asked)
    cards = [(shown, card.question, card.answer) for card, shown, _ in _cards(seed, size)]
    keys = model.embed([content(parts[:2]) for parts in cards]).pooled
    own = model.embed([content(q.parts) for q in waiting]).pooled
    read = {q.key: cards[i] for q, i in zip(waiting, (own @ keys.T).argmax(1), strict=True)}
    return [replace(q, parts=(*read[q.key], *q.parts)) if q.key in read else q for q in asked]


def card_score(groups: Groups) -> Figures:
    """Words alone: the commonest answer of the tuning split to the wording; chance: a card drawn blindly."""
    rows = groups["card_answer"]
    answers = truth(rows)
    wording = [q.parts[-1].split(" the ")[0] for q, _ in rows]
    common = vqa_accuracy([_common_answers().get(w, "") for w in wording], answers)
    chance = float(np.mean([[a == b for a in answers] for b in answers]))
    without = exact(groups["card_answer_without"])
    return (
        beside("card_answer", exact(rows), chance, max(common, without))
        | beside("card_answer_given", exact(groups["card_answer_given"]), chance, max(common, without))
        | beside("card_found_r1", _recall(groups, "card_found", 1), _chance(groups, "card_found", 1))
        | beside("card_answer_without", without, 0.0, common)
    )


@lru_cache(maxsize=1)
def _common_answers() -> dict[str, str]:
    tuning = split_rng("tuning", 2)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for card in (sample_card(tuning) for _ in range(1500)):
        counts[card.question.split(" the ")[0]][card.answer] += 1
    return {wording: counted.most_common(1)[0][0] for wording, counted in counts.items()}


# -- held-out combinations, against twins that training showed ----------------------------------------------

ABOUT_OBJECTS = (
    *("color", "kind", "size", "pattern", "where", "exist"),
    *("relation open", "relation yes/no", "relation choice", "choose"),
)
ABOUT_RELATIONS = ("relation open", "relation yes/no")
Twins = tuple[Scene, Scene, tuple[str, str]]


def composition_items(seed: int, size: int) -> Iterator[Any]:
    """`size` twin questions about held-out pairs and up to size / 4 about held-out relations.

    A twin is the same scene with the one object in a colour, or of a kind, that was seen.
    """
    rng = stream(seed, "composition")
    for suffix, make, kinds, count in (
        ("", held_out_pair, ABOUT_OBJECTS, size),
        ("_relations", held_out_relation, ABOUT_RELATIONS, max(2, size // 4)),
    ):
        n = 0
        while n < count:
            held, seen, names = make(rng)
            if both := _ask_both(held, seen, names, kinds[int(rng.integers(len(kinds)))], rng):
                for name, scene, q in zip(("held_out", "seen"), (held, seen), both, strict=True):
                    group = f"composition_{name}{suffix}"
                    yield Question(f"{group}/{n}", (picture(scene), q.text), (q.answer,), group, tokens=8)
                n += 1


def composition_score(groups: Groups) -> Figures:
    """`composition_gap` is the loss of the held-out pairs; its baseline is 0: guessing loses nothing."""
    out: Figures = {}
    for suffix in ("", "_relations"):
        held, seen = (exact(groups[f"composition_{name}{suffix}"]) for name in ("held_out", "seen"))
        out |= beside(f"composition_held_out{suffix}", held) | beside(f"composition_seen{suffix}", seen)
        out |= beside(f"composition_gap{suffix}", seen - held, 0.0)
    return out


def held_out_pair(rng: np.random.Generator) -> Twins:
    """A scene with a held-out pair, its twin in a seen colour, and the names that a question must hold to be
    about it.
    """
    while True:
        held = sample_scene(rng, held_out=True, special=0.0)
        index = next(i for i, t in enumerate(held.objects) if (t.kind, t.color) in HELD_OUT_PAIRS)
        obj = held.objects[index]
        taken = {t.color for t in held.objects if t.kind == obj.kind}
        taken |= {c for k, c in HELD_OUT_PAIRS if k == obj.kind}
        colors = [c for c in COLORS if c not in taken]
        seen = held.with_object(index, color=colors[int(rng.integers(len(colors)))])
        if not is_held_out(seen) and sum(t.kind == obj.kind for t in held.objects) == 1:
            return held, seen, (obj.kind, obj.kind)


def held_out_relation(rng: np.random.Generator) -> Twins:
    """A scene with a held-out object inside or on another, and its twin with another kind of object there."""
    while True:
        scene = sample_scene(rng, objects=int(rng.integers(2, 5)), repeat=0.0, special=1.0)
        placed = (i for i, t in enumerate(scene.objects) if t.inside is not None or t.on is not None)
        if (index := next(placed, None)) is None:
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
) -> tuple[Asking, Asking] | None:
    """The same question of both scenes, if it names the object in question or answers with it."""
    asker: Callable[[Scene, np.random.Generator], Asking | None] = ASKERS[kind]
    for _ in range(8):
        dice = int(rng.integers(1 << 31))
        a, b = asker(held, np.random.default_rng(dice)), asker(seen, np.random.default_rng(dice))
        if a and b and all(_about(q, n) for q, n in zip((a, b), names, strict=True)):
            return a, b
    return None


def _about(question: Asking, name: str) -> bool:
    return name in question.text.rstrip("?").split() or name in question.answer.split()


# -- Winoground: the same words in another order ------------------------------------------------------------

SCORER = "answer"
"""The way that `winoground_*` without a suffix reports, chosen before any test: the chat model's "yes".

Both are reported.
"""
CHANCE = {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6}


def swapped_items(seed: int, size: int) -> Iterator[Any]:
    """`size` pairs, by embedding and by the probability of "yes"."""
    rng = stream(seed, "winoground")
    for n in range(size):
        pair = sample_winoground(rng)
        pictures = tuple(picture(s) for s in pair.scenes)
        captions = tuple(t.words for t in pair.captions)
        for way, yes_no in (("answer", match_question("{caption}")), ("embedding", "")):
            yield Match(f"winoground {way}/{n}", pictures, captions, f"winoground {way} {pair.kind}", yes_no)


def swapped_score(groups: Groups) -> Figures:
    """Words alone, and pictures alone, give every caption or picture the same score, so with strict
    comparisons their baseline is 0. `winoground_*` without a suffix is SCORER's.
    """
    out: Figures = {}
    for way in ("answer", "embedding"):
        kinds = {kind: groups.get(f"winoground {way} {kind}", []) for kind in ("attribute", "relation")}
        scores = {k: np.array([p["scores"] for _, p in rows]) for k, rows in kinds.items() if rows}
        whole = winoground(np.concatenate(list(scores.values())))
        for name, chance in CHANCE.items():
            out |= beside(f"winoground_{name}_{way}", getattr(whole, name), chance, 0.0, 0.0)
            if way == SCORER:
                out |= beside(f"winoground_{name}", getattr(whole, name), chance, 0.0, 0.0)
        for kind, s in scores.items():
            share = winoground(s).group
            out |= beside(f"winoground_group_{way} {kind}", share, CHANCE["group"], 0.0, 0.0)
    return out


# -- the benchmark ------------------------------------------------------------------------------------------


Items = Callable[[int, int], Iterator[Any]]
Score = Callable[[Groups], Figures]
PARTS: dict[str, tuple[Items, Score]] = {
    "vqa": (vqa_items, vqa_score),
    "retrieval": (retrieval_items, retrieval_score),
    "existence": (existence_items, existence_score),
    "captions": (caption_items, caption_score),
    "story": (story_items, story_score),
    "change": (change_items, change_score),
    "cards": (card_items, card_score),
    "composition": (composition_items, composition_score),
    "swapped": (swapped_items, swapped_score),
}
"""Of each part what is asked, of (seed, size), and its figures in percent, of the predictions by group."""


def benchmark(seed: int = 0, size: int = 1000, only: Sequence[str] = tuple(PARTS)) -> Benchmark:
    """size: scenes, candidates or questions of each part. Raises SettingsError below 10."""
    if size < 10:
        raise SettingsError(
            f"size is {size}; a share of fewer than 10 says nothing. Use 100 for a look, 1000 for a report."
        )

    def read(_: Path) -> list[Any]:
        return asked_once(i for part in only for i in PARTS[part][0](seed, size))

    def score(items: Sequence[Any], predictions: Sequence[Any]) -> Figures:
        groups = by_group(items, predictions)
        found = {k: v for part in only for k, v in PARTS[part][1](groups).items()}
        rows = [row.key for row in ROWS if row.key in found]
        first = {k: found[k] for key in rows for k in found if k == key or k.startswith(f"{key}_")}
        return first | found

    return Benchmark(
        "drawn",
        f"the drawn world, seed {seed}, size {size}",
        "Fresh test scenes of the drawn world.",
        read,
        score,
        augment=lambda model, _, asked: augmented(model, asked, seed, size),
    )


def measure(model: Any, seed: int = 0, size: int = 1000, only: Sequence[str] = tuple(PARTS)) -> Figures:
    """The figures of these parts in percent, by key."""
    return runner.measure(benchmark(seed, size, only), model).figures


def confusion(truth: list[str], said: list[str], names: tuple[str, ...]) -> np.ndarray:
    """(names, names + 1) counts: rows are what is there, columns what was said, the last is anything else."""
    counts = np.zeros((len(names), len(names) + 1), int)
    position = {n: i for i, n in enumerate(names)}
    for t, s in zip(truth, said, strict=True):
        counts[position[t], position.get(s, len(names))] += 1
    return counts


def plot_confusion(found: runner.Measured, title: str, path: Path) -> None:
    """Kinds and colours, what is there against what was said, as shares of what is there."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = by_group(found.items, found.predictions)
    figure, axes = plt.subplots(1, 2, figsize=(15, 7), width_ratios=(1.5, 1))
    for axis, kind, names in zip(axes, ("kind", "color"), (KINDS, COLORS), strict=True):
        counts = confusion(truth(groups[f"vqa {kind}"]), said(groups[f"vqa {kind}"]), names)
        share = counts / np.maximum(1, counts.sum(1, keepdims=True))
        axis.imshow(share, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        axis.set_xticks(range(len(names) + 1), [*names, "other"], rotation=90, fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        for i, j in zip(*np.nonzero(counts), strict=True):
            ink = "white" if share[i, j] > 0.5 else "black"
            axis.text(j, i, counts[i, j], ha="center", va="center", fontsize=6, color=ink)
        right = 100 * np.trace(counts) / max(1, counts.sum())
        axis.set(xlabel="said", ylabel="there", title=f"{kind}: {right:.1f} % right")
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
