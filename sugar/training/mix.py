"""One step's worth of the drawn world: rows of tokens, pictures, and what the similarity loss needs to know of them.

    step = draw_step(MixConfig(), tokens, rng)
    step.rows, step.scenes            # what to feed; scenes[i] is picture i of the step
    step.samples                      # the rows that are embedded, with the facts of each slice and the drawn positions
    step.referents, step.swaps        # queries with a known referent; swapped pairs

Every scene comes from the generator that is handed in, so a step is a function of its seed: training resumes anywhere by number.
Not covered: tensors and losses (loop.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sugar.scenes.captions import (
    Fact,
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
from sugar.scenes.questions import ask, match_question, questions
from sugar.scenes.stories import (
    CELLS_QUESTION,
    DIFFERENCE_QUESTION,
    UNKNOWN,
    Edit,
    card_for,
    compare_cells,
    invented_name,
    meet_again,
    sample_card,
    sample_edit,
    sample_story,
    sample_winoground,
)  # fmt: skip
from sugar.scenes.vocabulary import DESCRIBE, GREETINGS
from sugar.scenes.world import Scene, sample_scene, sample_thing
from sugar.training.rows import Row, RowBuilder, Tokens

LISTS = {
    "what color are these things?": list_colors,
    "where are these things?": list_cells,
    "tell me more about the picture.": full_caption,
}
NEXT_QUESTION = "what happened next?"


@dataclass(frozen=True)
class MixConfig:
    """How many of each a step holds. Answers teach language; captions, stories, edits and cards teach both."""

    answers: int = 28  # pictures with packed questions
    questions: int = 8  # a picture
    swapped: int = 8  # swapped pairs: 2 pictures and 2 captions each, asked and embedded
    captions: int = 7  # pictures embedded beside their captions
    stories: int = 3
    edits: int = 6  # picture + change -> picture
    differences: int = 16  # what differs between two pictures, asked only
    cards: int = 5
    copies: int = 8  # text-only copying exercises
    chats: int = 3  # several turns that see each other


@dataclass(frozen=True)
class Embedded:
    """A row whose slices are embedded: the facts of each slice, and the drawn positions (slice indices)."""

    row: int
    facts: list[tuple[Fact, ...]]
    is_image: list[bool]
    positions: list[int]


@dataclass
class Step:
    """referents: (query sample, referent sample); the query's last position against the referent's only one.
    swaps: (picture 0, picture 1, caption 0, caption 1) as sample numbers. pairs: (caption sample, picture sample) that belong together."""

    scenes: list[Scene] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    samples: list[Embedded] = field(default_factory=list)
    referents: list[tuple[int, int]] = field(default_factory=list)
    swaps: list[tuple[int, int, int, int]] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)


class StepBuilder:
    """Fills a Step. Pictures are shared: a scene that is asked about, embedded and edited is drawn and encoded once."""

    def __init__(self, tokens: Tokens, rng: np.random.Generator) -> None:
        self.tokens, self.rng = tokens, rng
        self.step = Step()

    def picture(self, scene: Scene) -> int:
        self.step.scenes.append(scene)
        return len(self.step.scenes) - 1

    def ask_about(self, pictures: list[int], turns: list[tuple[str, str, str]]) -> None:
        """Packed turns about the same pictures; each sees the pictures and itself only."""
        builder = RowBuilder(self.tokens).user()
        for p in pictures:
            builder.picture(p)
        for question, answer, skill in turns:
            builder.turn(question, answer, skill)
        self.step.rows.append(builder.row())

    def embed(self, parts: list[tuple[int, tuple[Fact, ...]] | Text], positions: list[int] | None = None) -> int:
        """A raw interleaved row to embed: (picture, its facts) and Texts in order. Returns the sample's number."""
        builder = RowBuilder(self.tokens).bos()
        for part in parts:
            if isinstance(part, Text):
                builder.text(part.words)
            else:
                builder.picture(part[0])
        self.step.rows.append(builder.row())
        facts = [part.facts if isinstance(part, Text) else part[1] for part in parts]
        flags = [not isinstance(part, Text) for part in parts]
        chosen = [len(parts) - 1] if positions is None else positions
        self.step.samples.append(Embedded(len(self.step.rows) - 1, facts, flags, chosen))
        return len(self.step.samples) - 1

    def embed_picture(self, picture: int) -> int:
        return self.embed([(picture, scene_facts(self.step.scenes[picture]))])


def draw_step(config: MixConfig, tokens: Tokens, rng: np.random.Generator, *, easy: float = 0.0) -> Step:
    """One step. easy (0 to 1) is the share of edits, differences and names kept simple: one or two things, one syllable."""
    b = StepBuilder(tokens, rng)
    for _ in range(config.answers):
        _answers(b, sample_scene(rng), config.questions)
    for _ in range(config.swapped):
        _swapped(b)
    for _ in range(config.captions):
        _captions(b, sample_scene(rng))
    for _ in range(config.stories):
        _story(b)
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
        turns = [(match_question(t.words), "yes" if i == j else "no", "match swapped") for j, t in enumerate(pair.captions)]
        for kind in ("relation yes/no", "relation open", "relation choice"):
            q = ask(scene, kind, b.rng)
            turns += [(q.text, q.answer, q.kind)] if q else []
        b.ask_about([p], turns)
    images = [b.embed_picture(p) for p in pictures]
    texts = [b.embed([t]) for t in pair.captions]
    b.step.swaps.append((images[0], images[1], texts[0], texts[1]))


def _captions(b: StepBuilder, scene: Scene) -> None:
    """A picture alone, its captions alone (the known weak spot of label 1, method.md A4), and now and then both in one sample."""
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
        b.embed(order if rng.random() < 0.5 else order[::-1], [int(rng.integers(2))])


def _story(b: StepBuilder) -> None:
    """Captions and pictures in turn, the fifth picture as the referent; earlier ends are drawn as positions too."""
    story = sample_story(b.rng)
    pictures = [b.picture(s) for s in story.scenes]
    last = b.embed_picture(pictures[-1])
    parts: list = []
    for i, text in enumerate(story.sentences):
        parts.append(text)
        if i < 4:
            parts.append((pictures[i], scene_facts(story.scenes[i])))
    query = b.embed(parts, sorted({int(b.rng.integers(8)), 8}))
    b.step.referents.append((query, last))
    if b.rng.random() < 0.4:
        b.step.referents.append((b.embed(list(story.sentences)), last))
    k = int(b.rng.integers(1, 5))
    b.ask_about(
        [pictures[k - 1], pictures[k]], [(NEXT_QUESTION, story.sentences[k].words.removeprefix("then ").removeprefix("next "), "next")]
    )


def _edit(b: StepBuilder, *, simple: bool) -> None:
    """Picture and instruction lead to the changed picture."""
    edit = _sample_edit(b, simple)
    before, after = b.picture(edit.before), b.picture(edit.after)
    b.embed_picture(before)  # a candidate that must lose against the target
    target = b.embed_picture(after)
    query = b.embed([(before, scene_facts(edit.before)), Text(edit.instruction, edit.facts)])
    b.step.referents.append((query, target))


def _sample_edit(b: StepBuilder, simple: bool) -> Edit:
    return sample_edit(sample_scene(b.rng, things=int(b.rng.integers(1, 3))) if simple else sample_scene(b.rng), b.rng)


def _difference(b: StepBuilder, *, simple: bool) -> None:
    """What differs between two pictures, cell by cell too, and questions that only one of the two answers."""
    edit = _sample_edit(b, simple)
    turns = [
        (DIFFERENCE_QUESTION, edit.difference, "difference"),
        (CELLS_QUESTION, compare_cells(edit.before, edit.after), "compare cells"),
    ]
    for scene, which in ((edit.before, "first"), (edit.after, "second")):
        for q in questions(scene, b.rng, 1):
            turns.append((q.text.replace("?", f" in the {which} picture?"), q.answer, "of two"))
    b.ask_about([b.picture(edit.before), b.picture(edit.after)], turns)


def _card(b: StepBuilder, *, syllables: int) -> None:
    """Read a card about the thing in the picture and answer from it; say so when the card is about something else or missing."""
    rng = b.rng
    card = sample_card(rng, syllables)
    shown, seen = b.picture(card.scene), b.picture(meet_again(card, rng))
    fate = rng.random()
    if fate < 0.8:
        b.step.rows.append(_card_row(b, shown, card.question, card.answer, seen, card.question, card.answer))
    elif fate < 0.9:
        stranger = card_for(sample_thing(rng, 1, 1), rng, syllables)
        same = stranger.scene.things[0].phrase == card.scene.things[0].phrase
        answer = card.answer if same and stranger.question == card.question else UNKNOWN
        if not same:
            b.step.rows.append(_card_row(b, b.picture(stranger.scene), stranger.question, stranger.answer, seen, card.question, answer))
    else:
        b.ask_about([seen], [(card.question, UNKNOWN, "card missing")])
    thing = card.scene.things[0]
    fact = ("event", "asks", card.question.split(" the ")[0], thing.kind, thing.color)
    asked = Text(card.question, (("kind", thing.kind), ("color", thing.color), ("pair", thing.kind, thing.color), fact))
    key = b.embed([(shown, scene_facts(card.scene)), asked])
    query = b.embed([(seen, scene_facts(b.step.scenes[seen])), asked])
    b.step.pairs.append((query, key))


def _card_row(b: StepBuilder, shown: int, question_r: str, answer_r: str, seen: int, question: str, answer: str) -> Row:
    """`USER: <image> q_r a_r <image> q ASSISTANT: a`, the paper's RAG prompt (method.md A5)."""
    return (
        RowBuilder(b.tokens).user().picture(shown).text(question_r).text(answer_r).picture(seen).text(question).answer(answer, "card").row()
    )


def _copy(b: StepBuilder, *, syllables: int) -> None:
    """Text only: two or three names are told, one is asked back. Cheap, and teaches the copying that cards need."""
    rng = b.rng
    things = list(dict.fromkeys(sample_thing(rng, 1, 1).phrase for _ in range(int(rng.integers(1, 4)))))
    names = [invented_name(rng, syllables) for _ in things]
    builder = RowBuilder(b.tokens).user()
    for thing, name in zip(things, names, strict=True):
        builder.text(f"what is the name of the {thing}?").text(name)
    k = int(rng.integers(len(things)))
    if rng.random() < 0.1:
        stranger = sample_thing(rng, 1, 1).phrase
        answer = names[things.index(stranger)] if stranger in things else UNKNOWN
        b.step.rows.append(builder.text(f"what is the name of the {stranger}?").answer(answer, "copy").row())
    else:
        b.step.rows.append(builder.text(f"what is the name of the {things[k]}?").answer(names[k], "copy").row())


def _chat(b: StepBuilder) -> None:
    """Three turns that see each other, as in a real chat; sometimes small talk, sometimes a second picture."""
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
