"""What the Ask tab does: questions to one's own pictures and notes, answered with sources, follow-ups
included.

    service = AskService(workspace)
    service.take_notes(visitor, [("notes.md", data)])
    service.notes(visitor, "holiday"); service.forget_notes(visitor, "holiday", "notes.md")
    for result in service.ask(visitor, AskRequest(Sample("and in winter?"), follow_up=True)):
        result.reply.text, result.query                # grows; the question as it was asked
    service.source(visitor, 1)                         # the passage behind citation [1]

The page, the endpoint /ask and the command line call this.
Not covered: finding and answering (sugar/rag), reading files (sugar/passages).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sugar.errors import InputError
from sugar.passages import Passage, PassageLimits, Reading, read_files
from sugar.rag import STRICTNESS, KnowledgeBase, Reply, ask, quoted, quoted_sample, standalone, threshold
from sugar.sequence import Sample, Sampling
from sugar.services.galleries import SAMPLE
from sugar.services.model_slot import low_priority
from sugar.services.workspace import Generated

if TYPE_CHECKING:
    from sugar.services.visitors import Page
    from sugar.services.workspace import Workspace

MAX_READ = 6
"""Passages that one question may read."""

MAX_ANSWER = 256
"""Tokens of an answer."""

OUTSTANDING = 2.0
"""Standard deviations above the mean of a picture's cells from which one of them is pointed at."""


@dataclass(frozen=True, eq=False)
class AskRequest:
    """A question.

    Args:
        question: words, with pictures or without.
        gallery: the name of a gallery to ask; "" for none.
        read: passages to read.
        strictness: strict, balanced or always: how sure it must be to answer.
        follow_up: put in what the question refers to, from the question before.
        examples: ask the sample gallery and its notes, and not one's own, this time.
    Raises:
        InputError: no words, an unknown strictness, or a number out of range.
    """

    question: Sample
    gallery: str = ""
    read: int = 1
    strictness: str = "balanced"
    follow_up: bool = False
    examples: bool = False

    def __post_init__(self) -> None:
        if not self.question.text.strip():
            raise InputError("The question is empty. Type what you want to know.")
        if not 1 <= self.read <= MAX_READ:
            raise InputError(f"The number of passages is {self.read}; it may be 1 to {MAX_READ}.")
        if self.strictness not in STRICTNESS:
            raise InputError(
                f"The strictness is {str(self.strictness)[:40]!r}; choose one of {', '.join(STRICTNESS)}."
            )


@dataclass(frozen=True, eq=False)
class AskResult:
    """An answer as far as it is. query: the question as it was asked. how: how it was generated, if it
    was."""

    request: AskRequest
    query: str
    reply: Reply
    base: KnowledgeBase
    how: Generated | None = None


@dataclass(frozen=True, eq=False)
class NoteFile:
    """Passages of one file. gallery: which keeps them; "" for notes of this visit."""

    name: str
    passages: tuple[Passage, ...]
    gallery: str = ""


@dataclass(frozen=True)
class PictureCell:
    """One cell of a picture's grid: its row and column from 0, and how many of each there are."""

    row: int
    column: int
    rows: int
    columns: int


@dataclass
class AskState:
    """What is kept for one visitor: their notes, the base made of them, and the last answer."""

    notes: list[Passage] = field(default_factory=list)
    made_of: tuple[Any, ...] = ()
    base: KnowledgeBase | None = None
    last: AskResult | None = None


class AskService:
    """See the module docstring."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._sampling = Sampling(max_new_tokens=min(MAX_ANSWER, workspace.settings.max_tokens))

    # -- notes

    def take_notes(
        self, visitor: Page, files: Sequence[tuple[str, bytes]], *, beside: bool = False
    ) -> Reading:
        """Read files as the visitor's notes, in place of those before; the result says what was refused.

        beside: keep those of other files.
        """
        reading = read_files(files, PassageLimits())
        state, names = visitor.state.of(AskState), {name for name, _ in files}
        kept = [p for p in state.notes if beside and _file_of(p.name) not in names]
        state.notes = [*kept, *reading.passages]
        return reading

    def notes(self, visitor: Page, gallery: str) -> list[NoteFile]:
        """The visitor's notes by their files, then those that the gallery keeps, where one is named."""
        own = [NoteFile(n, tuple(g)) for n, g in _by_file(visitor.state.of(AskState).notes).items()]
        kept = self.workspace.gallery(visitor, gallery).notes() if gallery else []
        told = [Passage(note.name, note.text, note.answer) for note in kept]
        return [*own, *(NoteFile(n, tuple(g), gallery) for n, g in _by_file(told).items())]

    def forget_notes(self, visitor: Page, gallery: str, name: str) -> None:
        """Delete the notes of one file: the visitor's own, or, where a gallery is named, those it keeps."""
        if not gallery:
            state = visitor.state.of(AskState)
            state.notes = [p for p in state.notes if _file_of(p.name) != name]
            return
        opened = self.workspace.gallery(visitor, gallery)
        opened.forget_notes(note.id for note in opened.notes() if _file_of(note.name) == name)

    def keep_notes(self, visitor: Page, gallery: str) -> int:
        """Keep the visitor's notes with a gallery; they are deleted with it. Returns how many were added.

        Pairs with a picture are not kept. Raises InputError without notes, GalleryError for a gallery of
        others.
        """
        told = [p for p in visitor.state.of(AskState).notes if p.image is None]
        if not told:
            raise InputError("There are no notes to keep. Add a text, PDF, docx or csv first.")
        if not gallery:
            raise InputError("Choose the gallery that shall keep the notes.")
        opened = self.workspace.gallery(visitor, gallery)
        return opened.keep_notes((p.name, p.text, p.answer) for p in told)

    # -- questions

    def ask(self, visitor: Page, request: AskRequest) -> Iterator[AskResult]:
        """The answer as it grows. The last result is kept for `source`, `handed_on` and follow-ups.

        Raises:
            InputError: there is nothing to read.
            GalleryError, FingerprintError: no such gallery for this visitor, or another model made it.
        """
        base = self._base(visitor, request)
        state, model = visitor.state.of(AskState), self.workspace.model()
        query = request.question.text
        if request.follow_up and state.last is not None:
            query = standalone(query, state.last.query)
        question = Sample([*request.question.images, query])
        how: list[Generated] = []
        replies = ask(
            model,
            base,
            question,
            k=request.read,
            cut_off=threshold(model, request.strictness),
            generate=lambda asked: self._generate(visitor, asked, how),
        )
        for reply in replies:
            state.last = AskResult(request, query, reply, base, how[-1] if how else None)
            yield state.last

    def without_sources(self, visitor: Page, request: AskRequest) -> Iterator[Generated]:
        """The same question to the model alone, as it grows."""
        yield from self.workspace.generate(visitor, quoted_sample(request.question), self._sampling)

    def last(self, visitor: Page) -> AskResult:
        """The visitor's last answer. Raises InputError when there is none."""
        last = visitor.state.of(AskState).last
        if last is None:
            raise InputError("Ask something first.")
        return last

    def source(self, visitor: Page, number: int) -> Passage:
        """What stands behind citation `number`, from 1, of the visitor's last answer."""
        result = self.last(visitor)
        if not 1 <= number <= len(result.reply.hits):
            raise InputError("That source is no longer on the page. Ask again.")
        return result.base.passage(result.reply.hits[number - 1])

    def cell(self, visitor: Page, source: Passage) -> PictureCell | None:
        """The part of a source's picture that agrees most with the question.

        None where the source has no picture, the model has no grid of cells, or no cell stands out.
        """
        if source.image is None:
            return None
        query = quoted(self.last(visitor).query) or "?"
        heat = self.workspace.model().picture_heat(Sample(query), source.image)
        return None if heat is None else outstanding_cell(heat)

    def start_again(self, visitor: Page) -> None:
        """Forget the last question, so that the next one stands alone."""
        visitor.state.of(AskState).last = None

    def handed_on(self, visitor: Page) -> list[Any]:
        """The sources and the question of the last answer, as parts of a message."""
        result = self.last(visitor)
        read = [result.base.passage(hit) for hit in result.reply.hits]
        parts = [part for p in read for part in (p.image, p.text, p.answer) if part]
        return [*parts, *result.request.question.images, result.query]

    # -- inside

    def _base(self, visitor: Page, request: AskRequest) -> KnowledgeBase:
        """The visitor's knowledge base: made when first asked, and again when notes, gallery or model
        changed."""
        state, model = visitor.state.of(AskState), self.workspace.model()
        notes: Sequence[Passage] = [] if request.examples else state.notes
        gallery = None
        if name := SAMPLE if request.examples else request.gallery:
            gallery = self.workspace.gallery(visitor, name)
            kept = [Passage(n.name, n.text, n.answer) for n in gallery.notes()]
            notes = [*notes, *(k for k in kept if (k.name, k.text) not in {(p.name, p.text) for p in notes})]
        made_of = (
            model.fingerprint,
            id(gallery),
            tuple((p.name, p.text, p.answer, id(p.image)) for p in notes),
        )
        if state.base is None or state.made_of != made_of:
            with visitor.answering() as stop, low_priority():  # a long reading gives way to everybody
                state.base = KnowledgeBase(model, passages=notes, gallery=gallery, stop=stop)
            state.made_of = made_of
        return state.base

    def _generate(self, visitor: Page, asked: Sample, how: list[Generated]) -> Iterator[str]:
        before = ""
        for said in self.workspace.generate(visitor, asked, self._sampling):
            how[:] = [said]
            yield said.text[len(before) :]
            before = said.text


def _file_of(name: str) -> str:
    """The file that a passage's name begins with: "notes.md › Garden" and "facts.csv, row 2" name one."""
    return re.sub(r"(?:, (?:page|row|line) \d+)?(?: › .*)?$", "", name, flags=re.DOTALL)


def _by_file(passages: Sequence[Passage]) -> dict[str, list[Passage]]:
    out: dict[str, list[Passage]] = {}
    for passage in passages:
        out.setdefault(_file_of(passage.name), []).append(passage)
    return out


def outstanding_cell(heat: np.ndarray) -> PictureCell | None:
    """The best cell of a (rows, columns) grid of cosines, where it is `OUTSTANDING` deviations above the
    mean."""
    spread = float(heat.std())
    if spread <= 0 or float(heat.max() - heat.mean()) < OUTSTANDING * spread:
        return None
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    return PictureCell(row, column, *heat.shape)
