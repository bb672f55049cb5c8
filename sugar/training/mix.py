"""One step's worth of the drawn world: the exercises and how many of each.

    step = draw_step(MixConfig(), tokens, rng)

Every scene comes from the generator that is handed in, so a step is a function of its seed: training resumes
anywhere by number. Not covered: tensors and losses (loop.py).
"""

from __future__ import annotations

import numpy as np

from sugar.scenes.captions import (
    Text,
    full_caption,
    list_cells,
    list_colors,
    negative,
    pick,
    plain_caption,
    scene_facts,
    short_caption,
)
from sugar.scenes.cards import UNKNOWN, card_for, invented_name, meet_again, sample_card
from sugar.scenes.edits import CELLS_QUESTION, DIFFERENCE_QUESTION, Edit, compare_cells, sample_edit
from sugar.scenes.questions import ask, match_question, questions
from sugar.scenes.stories import sample_story
from sugar.scenes.swaps import sample_winoground
from sugar.scenes.vocabulary import DESCRIBE, GREETINGS
from sugar.scenes.world import Scene, sample_object, sample_scene
from sugar.training.rows import Row, RowBuilder, Tokens
from sugar.training.steps import MixConfig, Step, StepBuilder

LISTS = {
    "what color are these things?": list_colors,
    "where are these things?": list_cells,
    "tell me more about the picture.": full_caption,
}
NEXT_QUESTION = "what happened next?"


def draw_step(config: MixConfig, tokens: Tokens, rng: np.random.Generator, *, easy: float = 0.0) -> Step:
    """One step.

    easy (0 to 1) is the share of edits, differences and names kept simple: one or two objects, one
    syllable.
    """
    b = StepBuilder(tokens, rng)
    for _ in range(config.answers):
        _answers(b, sample_scene(rng), config.questions)
    for _ in range(config.swapped):
        _swapped(b)
    for _ in range(config.captions):
        _captions(b, sample_scene(rng))
    for _ in range(config.stories):
        _story(b)
    for _ in range(config.albums):
        _album(b)
    for _ in range(config.edits):
        _edit(b, simple=rng.random() < easy)
    for _ in range(config.differences):
        _difference(b, simple=rng.random() < easy)
    for _ in range(config.cards):
        _card(b, syllables=1 if rng.random() < easy else 2)
    for _ in range(config.copies):
        _copy(b, syllables=1 if rng.random() < easy else 2)
    for _ in range(config.chats):
        _chat(b)
    return b.step


def _answers(b: StepBuilder, scene: Scene, n: int) -> None:
    turns = [(q.text, q.answer, q.kind) for q in questions(scene, b.rng, n)]
    if b.rng.random() < 0.5:
        turns.append((pick(b.rng, DESCRIBE), plain_caption(scene), "describe"))
    for question, answer in LISTS.items():
        if b.rng.random() < 0.3:
            turns.append((question, answer(scene), "list"))
    b.ask_about([b.picture(scene)], turns)


def _swapped(b: StepBuilder) -> None:
    """A swapped pair: each picture is asked whether it shows either caption, and all four are embedded."""
    pair = sample_winoground(b.rng)
    pictures = [b.picture(s) for s in pair.scenes]
    for i, (p, scene) in enumerate(zip(pictures, pair.scenes, strict=True)):
        turns = [
            (match_question(t.words), "yes" if i == j else "no", "match swapped")
            for j, t in enumerate(pair.captions)
        ]
        for kind in ("relation yes/no", "relation open", "relation choice"):
            q = ask(scene, kind, b.rng)
            turns += [(q.text, q.answer, q.kind)] if q else []
        b.ask_about([p], turns)
    images = [b.embed_picture(p) for p in pictures]
    texts = [b.embed([t]) for t in pair.captions]
    b.step.swaps.append((images[0], images[1], texts[0], texts[1]))


def _captions(b: StepBuilder, scene: Scene) -> None:
    """A picture alone, its captions alone (the known weak spot of label 1), and now and
    then both in one sample."""
    rng = b.rng
    p = b.picture(scene)
    image = b.embed_picture(p)
    seed = int(rng.integers(1 << 31))
    right, wrong = negative(scene, seed, rng, long=True)
    b.step.pairs.append((b.embed([right]), image))
    if rng.random() < 0.5:
        b.embed([wrong])
    short = short_caption(scene, rng)
    b.embed([short])
    if rng.random() < 0.25:
        order: list = [(p, scene_facts(scene)), short]
        b.embed(order if rng.random() < 0.5 else order[::-1])


def _story(b: StepBuilder) -> None:
    """Captions and pictures in turn, the fifth picture as the referent."""
    story = sample_story(b.rng)
    pictures = [b.picture(s) for s in story.scenes]
    last = b.embed_picture(pictures[-1])
    parts: list = []
    for i, text in enumerate(story.sentences):
        parts.append(text)
        if i < 4:
            parts.append((pictures[i], scene_facts(story.scenes[i])))
    query = b.embed(parts)
    b.step.referents.append((query, last))
    if b.rng.random() < 0.4:
        b.step.referents.append((b.embed(list(story.sentences)), last))
    k = int(b.rng.integers(1, 5))
    b.ask_about(
        [pictures[k - 1], pictures[k]],
        [(NEXT_QUESTION, story.sentences[k].words.removeprefix("then ").removeprefix("next "), "next")],
    )


def _album(b: StepBuilder) -> None:
    """Two interleaved samples of like length that share parts, so that the alignment kernel between them
    says something.

    One of: two tellings of one story, an album with one picture swapped, one question asked of two pictures.
    """
    rng, form = b.rng, int(b.rng.integers(3))
    if form == 2:
        edit = sample_edit(sample_scene(rng), rng)
        q = next(iter(questions(edit.before, rng, 1)))
        for scene in (edit.before, edit.after):
            asked = Text(q.text, (("event", "asks", *q.text.strip("?").split()),))
            b.embed([(b.picture(scene), scene_facts(scene)), asked])
        return
    scenes = sample_story(rng, int(rng.integers(3, 5))).scenes
    pictures = [b.picture(s) for s in scenes]
    first = [short_caption(s, rng) for s in scenes]
    second, shown, seen = first, list(pictures), list(scenes)
    if form == 0:
        second = [short_caption(s, rng) for s in scenes]
    else:
        k = int(rng.integers(len(scenes)))
        seen[k] = sample_scene(rng)
        shown[k], second = b.picture(seen[k]), list(first)
        second[k] = short_caption(seen[k], rng)
    for texts, chosen, facts in ((first, pictures, scenes), (second, shown, seen)):
        parts: list = []
        for text, p, scene in zip(texts, chosen, facts, strict=True):
            parts += [(p, scene_facts(scene)), text]
        b.embed(parts)


def _edit(b: StepBuilder, *, simple: bool) -> None:
    """Picture and instruction lead to the changed picture."""
    edit = _sample_edit(b, simple)
    before, after = b.picture(edit.before), b.picture(edit.after)
    b.embed_picture(before)  # a candidate that must lose against the target
    target = b.embed_picture(after)
    query = b.embed([(before, scene_facts(edit.before)), Text(edit.instruction, edit.facts)])
    b.step.referents.append((query, target))


def _sample_edit(b: StepBuilder, simple: bool) -> Edit:
    return sample_edit(
        sample_scene(b.rng, objects=int(b.rng.integers(1, 3))) if simple else sample_scene(b.rng), b.rng
    )


def _difference(b: StepBuilder, *, simple: bool) -> None:
    """What differs between two pictures, cell by cell too, and questions that only one of the two answers."""
    edit = _sample_edit(b, simple)
    turns = [
        (DIFFERENCE_QUESTION, edit.difference, "difference"),
        (CELLS_QUESTION, compare_cells(edit.before, edit.after), "compare cells"),
    ]
    for scene, ordinal in ((edit.before, "first"), (edit.after, "second")):
        for q in questions(scene, b.rng, 1):
            turns.append((q.text.replace("?", f" in the {ordinal} picture?"), q.answer, "of two"))
    b.ask_about([b.picture(edit.before), b.picture(edit.after)], turns)


def _card(b: StepBuilder, *, syllables: int) -> None:
    """Read a card about the object in the picture and answer from it; say so when the card is about
    something else or missing."""
    rng = b.rng
    card = sample_card(rng, syllables)
    shown, seen = b.picture(card.scene), b.picture(meet_again(card, rng))
    kind = rng.random()
    if kind < 0.8:
        b.step.rows.append(_card_row(b, shown, card.question, card.answer, seen, card.question, card.answer))
    elif kind < 0.9:
        stranger = card_for(sample_object(rng, 1, 1), rng, syllables)
        same = stranger.scene.objects[0].phrase == card.scene.objects[0].phrase
        answer = card.answer if same and stranger.question == card.question else UNKNOWN
        if not same:
            b.step.rows.append(
                _card_row(
                    b,
                    b.picture(stranger.scene),
                    stranger.question,
                    stranger.answer,
                    seen,
                    card.question,
                    answer,
                )
            )
    else:
        b.ask_about([seen], [(card.question, UNKNOWN, "card missing")])
    obj = card.scene.objects[0]
    fact = ("event", "asks", card.question.split(" the ")[0], obj.kind, obj.color)
    asked = Text(
        card.question, (("kind", obj.kind), ("color", obj.color), ("pair", obj.kind, obj.color), fact)
    )
    key = b.embed([(shown, scene_facts(card.scene)), asked])
    query = b.embed([(seen, scene_facts(b.step.scenes[seen])), asked])
    b.step.pairs.append((query, key))


def _card_row(
    b: StepBuilder, shown: int, question_r: str, answer_r: str, seen: int, question: str, answer: str
) -> Row:
    """`USER: <image> q_r a_r <image> q ASSISTANT: a`, the paper's RAG prompt."""
    return (
        RowBuilder(b.tokens)
        .user()
        .picture(shown)
        .text(question_r)
        .text(answer_r)
        .picture(seen)
        .text(question)
        .answer(answer, "card")
        .row()
    )


def _copy(b: StepBuilder, *, syllables: int) -> None:
    """Text only: two or three names are told, one is asked back.

    Cheap, and teaches the copying that cards need.
    """
    rng = b.rng
    objects = list(dict.fromkeys(sample_object(rng, 1, 1).phrase for _ in range(int(rng.integers(1, 4)))))
    names = [invented_name(rng, syllables) for _ in objects]
    builder = RowBuilder(b.tokens).user()
    for obj, name in zip(objects, names, strict=True):
        builder.text(f"what is the name of the {obj}?").text(name)
    k = int(rng.integers(len(objects)))
    if rng.random() < 0.1:
        stranger = sample_object(rng, 1, 1).phrase
        answer = names[objects.index(stranger)] if stranger in objects else UNKNOWN
        b.step.rows.append(builder.text(f"what is the name of the {stranger}?").answer(answer, "copy").row())
    else:
        b.step.rows.append(
            builder.text(f"what is the name of the {objects[k]}?").answer(names[k], "copy").row()
        )


def _chat(b: StepBuilder) -> None:
    """Three turns that see each other, as in a real chat; sometimes small talk, sometimes a second
    picture."""
    rng = b.rng
    builder = RowBuilder(b.tokens)
    if rng.random() < 0.3:
        said = pick(rng, tuple(GREETINGS))
        builder.user().text(said).answer(GREETINGS[said], "small talk")
    for turn in range(3):
        builder.user()
        if turn == 0 or rng.random() < 0.25:
            scene = sample_scene(rng)
            builder.picture(b.picture(scene))
        q = next(iter(questions(scene, rng, 1)))
        builder.text(q.text).answer(q.answer, "chat")
    b.step.rows.append(builder.row())
