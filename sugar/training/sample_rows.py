"""Examples to rows of tokens, and a step's rows by number: the part of a run that other processes may do.

    rows = SampleRows(processor).rows(example, positions)
    data = StepReader(reader, rows, teachers, seed=0, batch=32, micro_batch=8)(step)

Rows come from the same functions of the processor that inference calls. Not covered: passes over them
(adapter.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sugar.model.processor import Layout, PreparedImage, Processor, Span, image_key
from sugar.sequence import Sample
from sugar.training import parallel
from sugar.training.data.example import Example, Target
from sugar.training.data.mixture import Reader
from sugar.training.losses import Terms
from sugar.training.teachers.cache import CachedEncoders
from sugar.training.teachers.labels import BatchFacts, batch_facts, draw_positions, merge

DEFAULT = Terms()


@dataclass(frozen=True, eq=False)
class TrainRow:
    """One sequence. spans: whose pooled states become embeddings. indices: where those stand among the
    process's positions. What is learnt as language stands in `layout.answers`, and is counted under
    `skill`."""

    layout: Layout
    spans: list[Span] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    skill: str = "answer"

    def weight(self, power: float) -> float:
        """Its share of the language loss's denominator: its tokens, each of an answer of n tokens
        counting n^-power."""
        return sum((b - a) ** (1 - power) for a, b in self.layout.answers)


@dataclass(frozen=True, eq=False)
class StepRows:
    """What one process reads in a step. bad: rows skipped so far."""

    rows: list[TrainRow]
    facts: BatchFacts
    micro_batch: int
    bad: int = 0

    def parts(self) -> list[list[TrainRow]]:
        """Micro-batches of rows of like length; those with embeddings first, so that the first
        pass may skip the others."""
        order = sorted(self.rows, key=lambda row: (not row.indices, len(row.layout)))
        return [order[i : i + self.micro_batch] for i in range(0, len(order), self.micro_batch)]


class SampleRows:
    """Sugar's rows: each sample embedded as it stands, each conversation as the chat would write it.

    Slice ends within a conversation are embedded in the row that its answers are learnt from, if
    `terms.conversations`. Where no loss is taken over embeddings, only what is learnt as language is a row.
    """

    def __init__(self, processor: Processor, terms: Terms = DEFAULT) -> None:
        self.processor, self.terms = processor, terms

    def draw(self, example: Example, rng: np.random.Generator) -> list[list[int]]:
        """The slice ends that are embedded, by sequence."""
        terms = self.terms
        if not terms.embeds:
            return [[] for _ in example.samples]
        return draw_positions(example, rng, conversations=terms.labelled and terms.conversations)

    def rows(self, example: Example, positions: Sequence[Sequence[int]]) -> list[TrainRow]:
        """The rows of an example. positions: per sample, and then per conversation, the drawn slice ends."""
        pictures: dict[str, PreparedImage] = {}
        found, at = [], 0
        own, spoken = positions[: len(example.samples)], positions[len(example.samples) :]
        for target, drawn in zip(example.samples, own, strict=True):
            if not (drawn or target.language):
                continue
            layout = self.processor.embedding_layout(target.sample, self.prepared(target.sample, pictures))
            if target.language:
                layout = replace(layout, answers=_texts(layout))
            spans = [layout.slices[p] for p in drawn]
            found.append(TrainRow(layout, spans, list(range(at, at + len(drawn))), "next word"))
            at += len(drawn)
        spoken = spoken or [[]] * len(example.conversations)
        for conversation, drawn in zip(example.conversations, spoken, strict=True):
            images = [i for turn in conversation.turns for i in self.prepared(turn.sample, pictures)]
            layout = self.processor.training_layout(conversation.turns, images=images, texts=bool(drawn))
            spans = [layout.slices[p] for p in drawn]
            found.append(TrainRow(layout, spans, list(range(at, at + len(drawn))), conversation.skill))
            at += len(drawn)
        return found

    def prepared(self, sample: Sample, pictures: dict[str, PreparedImage]) -> list[PreparedImage]:
        """The pictures of a sample, each distinct one prepared once."""
        found = []
        for image in sample.images:
            key = image_key(image)
            if key not in pictures:
                pictures[key] = self.processor.prepare_image(image, key)
            found.append(pictures[key])
        return found

    def choose(self, example: Example, rng: np.random.Generator) -> Example:
        """What of an example is used this time."""
        return one_caption(example, rng)


def _texts(layout: Layout) -> tuple[tuple[int, int], ...]:
    """The spans of texts that have something before them, which a language model can predict."""
    spans = [(int(where[0]), int(where[-1]) + 1) for where, is_image in layout.slices if not is_image]
    return tuple((max(1, a), b) for a, b in spans if b > max(1, a))


def one_caption(example: Example, rng: np.random.Generator) -> Example:
    """Of several captions of one picture a random one, embedded and answered; other examples as they are."""
    owners = {picture for _, picture in example.pairs}
    if len(example.pairs) < 2 or len(owners) != 1 or example.referents or example.swaps:
        return example
    text, picture = example.pairs[int(rng.integers(len(example.pairs)))]
    words = example.samples[text].sample
    talks = tuple(
        replace(c, turns=(*c.turns[:-1], replace(c.turns[-1], sample=words))) if c.skill == "caption" else c
        for c in example.conversations
    )
    samples: tuple[Target, ...] = (example.samples[picture], example.samples[text])
    return replace(example, samples=samples, conversations=talks, pairs=((1, 0),))


class StepReader:
    """The rows of a step that this process reads: a function of (seed, step, process) alone.

    Can be pickled.
    """

    def __init__(
        self,
        reader: Reader,
        rows: SampleRows,
        teachers: CachedEncoders | None,
        seed: int,
        batch: int,
        micro_batch: int,
    ) -> None:
        self.reader, self.rows, self.teachers = reader, rows, teachers
        self.seed, self.batch, self.micro_batch = seed, batch, micro_batch
        self.rank, self.world = parallel.rank(), parallel.world()

    @property
    def bad(self) -> int:
        return len(self.reader.bad)

    def __call__(self, step: int) -> StepRows:
        chosen = list(enumerate(self.reader.mixture.rows(step, self.batch)))[self.rank :: self.world]
        facts: list[BatchFacts] = []
        rows: list[TrainRow] = []
        for n, (d, row) in chosen:

            def drawn(example: Example, n: int = n) -> tuple[Example, list[list[int]], list[TrainRow]]:
                rng = np.random.default_rng([self.seed, step, n])
                example = self.rows.choose(example, rng)
                ends = self.rows.draw(example, rng)
                return example, ends, self.rows.rows(example, ends)

            example, ends, made = self.reader.example(d, row, drawn)
            before = sum(f.count for f in facts)
            rows += [replace(row, indices=[before + i for i in row.indices]) for row in made]
            facts.append(batch_facts(example, ends, self.teachers))
        return StepRows(rows, merge(facts), self.micro_batch, self.bad)
