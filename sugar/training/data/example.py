"""What a data set yields: examples of samples to embed and conversations to answer.

    Example(samples=(Target(Sample(picture)), Target(Sample("a red star"))), pairs=((1, 0),))

Every data set of this room, the drawn world included, yields these; recipes decide what they learn from
them. Not covered: token ids (training/sample_rows.py), labels (training/teachers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from PIL import Image

from sugar.sequence import Sample, Slice, Turn

DESCRIBE = "Describe the picture."


@dataclass(frozen=True, eq=False)
class Target:
    """A sample to embed. positions: the slice ends that may be drawn as targets, None for all of them.
    language: its texts are learnt as a language model learns them, as in an interleaved document."""

    sample: Sample
    positions: tuple[int, ...] | None = None
    language: bool = False

    @property
    def allowed(self) -> tuple[int, ...]:
        return tuple(range(len(self.sample))) if self.positions is None else self.positions


@dataclass(frozen=True, eq=False)
class Conversation:
    """Turns that end with the assistant's.

    What the assistant says is learnt; `skill` is what it is counted under.
    """

    turns: tuple[Turn, ...]
    skill: str = "answer"

    @property
    def sample(self) -> Sample:
        """Its slices in order, system prompts left out: what its slice ends stand for."""
        return Sample([s for turn in self.turns if turn.role != "system" for s in turn.sample])


@dataclass(frozen=True, eq=False)
class Example:
    """What belongs together. Numbers in `pairs`, `referents`, `swaps` and `retold` are numbers of `samples`.

    pairs: (text, picture) of one meaning. referents: (query, the picture that it leads to). swaps: (picture
    0, picture 1, caption 0, caption 1) of a swapped pair. retold: (story, the same told again). source: where
    the row stands, for messages.
    """

    samples: tuple[Target, ...] = ()
    conversations: tuple[Conversation, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    referents: tuple[tuple[int, int], ...] = ()
    swaps: tuple[tuple[int, int, int, int], ...] = ()
    retold: tuple[tuple[int, int], ...] = ()
    source: str = ""

    @property
    def sequences(self) -> list[Sample]:
        """What slice ends are drawn from: the samples, then the conversations."""
        return [*(t.sample for t in self.samples), *(c.sample for c in self.conversations)]

    @property
    def slices(self) -> list[Slice]:
        """All slices of all samples, in order."""
        return [s for target in self.samples for s in target.sample]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    source: str
    reason: str


class Dataset(Protocol):
    """Rows by number. Opening one reads its pictures; `len` and the texts are known before.

    captions(i): the texts of row i without opening a picture, for duplicates and overlap; none of a bad row.
    A data set may have `notes`.
    """

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...

    def captions(self, index: int) -> list[str]: ...


def notes_of(dataset: Dataset) -> list[str]:
    """What was guessed or passed over when a data set was opened, a sentence each."""
    return list(getattr(dataset, "notes", ()))


def captioned(
    picture: Image.Image, captions: Sequence[str], *, source: str = "", question: str = DESCRIBE
) -> Example:
    """A picture with one or more captions: picture and captions embedded apart, and the first caption as an
    answer.

    They are never one sample: a caption behind its picture has seen it already (Sugar 3.4).
    """
    samples = (Target(Sample(picture)), *(Target(Sample(c)) for c in captions))
    asked = Conversation(
        (Turn("user", Sample([picture, question])), Turn("assistant", Sample(captions[0]))), "caption"
    )
    pairs = tuple((i + 1, 0) for i in range(len(captions)))
    return Example(samples, (asked,), pairs, source=source)


def join(examples: Iterable[Example]) -> Example:
    """One example of several: what a batch is made of."""
    samples: list[Target] = []
    conversations: list[Conversation] = []
    links: dict[str, list[tuple[int, ...]]] = {"pairs": [], "referents": [], "swaps": [], "retold": []}
    for example in examples:
        for name, found in links.items():
            found += [tuple(i + len(samples) for i in link) for link in getattr(example, name)]
        samples += example.samples
        conversations += example.conversations
    return replace(
        Example(tuple(samples), tuple(conversations)),
        **{name: tuple(found) for name, found in links.items()},  # type: ignore[arg-type]
    )


def texts_of(example: Example) -> Iterator[str]:
    """Every text of an example, questions and answers included."""
    yield from (s.text for s in example.slices if not s.is_image)
    for conversation in example.conversations:
        for turn in conversation.turns:
            yield from (s.text for s in turn.sample if not s.is_image)
