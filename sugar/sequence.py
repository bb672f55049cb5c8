"""The values that flow through Sugar: slices, samples, embeddings, hits and answers.

    >>> Sample(["a red star", picture, "at night"])          # any order of texts and PIL pictures
    >>> [s.is_image for s in Sample(["a red star", picture])]
    [False, True]

All are frozen. They know nothing of models, galleries or pages; identity and storage live elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from PIL import Image

from sugar.errors import InputError


@dataclass(frozen=True, eq=False)
class Slice:
    """One image (PIL, any mode) or one text segment: the unit of alignment (Sugar, section 3)."""

    content: str | Image.Image

    def __post_init__(self) -> None:
        if isinstance(self.content, str):
            if not self.content.strip():
                raise InputError("A text slice is empty. Type some words, or leave the row out.")
        elif not isinstance(self.content, Image.Image):
            raise InputError(
                f"A slice is a text or a PIL picture, not {type(self.content).__name__}. Open files with "
                "sugar.images.open_image first."
            )

    @property
    def is_image(self) -> bool:
        return not isinstance(self.content, str)

    @property
    def text(self) -> str:
        """The words of a text slice. Raises InputError on a picture."""
        if not isinstance(self.content, str):
            raise InputError("This slice is a picture and has no text.")
        return self.content

    @property
    def image(self) -> Image.Image:
        """The picture of an image slice. Raises InputError on a text."""
        if isinstance(self.content, str):
            raise InputError("This slice is a text and has no picture.")
        return self.content


@dataclass(frozen=True, eq=False)
class Sample:
    """An ordered, interleaved sequence of slices, from a plain list of strings and PIL pictures.

    Raises InputError when empty, or when an element is neither a text nor a picture.
    """

    slices: tuple[Slice, ...]

    def __init__(self, content: str | Image.Image | Slice | Iterable[str | Image.Image | Slice]) -> None:
        if isinstance(content, (str, Image.Image, Slice)):
            content = [content]
        slices = tuple(c if isinstance(c, Slice) else Slice(c) for c in content)
        if not slices:
            raise InputError("A sample needs at least one text or picture.")
        object.__setattr__(self, "slices", slices)

    def __len__(self) -> int:
        return len(self.slices)

    def __iter__(self) -> Iterator[Slice]:
        return iter(self.slices)

    def __getitem__(self, index: int) -> Slice:
        return self.slices[index]

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.slices + other.slices)

    @property
    def images(self) -> list[Image.Image]:
        return [s.image for s in self.slices if s.is_image]

    @property
    def text(self) -> str:
        """All texts, joined by newlines; empty when there are only pictures."""
        return "\n".join(s.text for s in self.slices if not s.is_image)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What a model makes of N samples: unit vectors at slice ends, each standing for the prefix up to there
    (Sugar, 3.1).

    pooled: (N, D) float32, the vector at the last slice end, which has seen the whole sample.
    slices: N arrays (n_i, D) float32, one row per slice; the last row of each equals its pooled row.
    is_image: N bool arrays (n_i,), which slices are pictures.
    """

    pooled: np.ndarray
    slices: list[np.ndarray]
    is_image: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.pooled)


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. Raises InputError for values out of range.

    Attributes:
        temperature: 0 always takes the most likely token.
        top_p: tokens are drawn from the most likely ones up to this share of the probability.
        max_new_tokens: the longest answer.
        seed: the same seed draws the same answer; None draws anew.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 128
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise InputError(
                f"max_new_tokens {self.max_new_tokens}, temperature {self.temperature}, top_p {self.top_p}: "
                "use >= 1, >= 0 and in (0, 1]."
            )


@dataclass(frozen=True, eq=False)
class Turn:
    """One message of a conversation. A conversation is a sequence of turns that ends with the person's."""

    role: Literal["user", "assistant", "system"]
    sample: Sample

    def __post_init__(self) -> None:
        if self.role not in ("user", "assistant", "system"):
            raise InputError(f"A turn's role is user, assistant or system, not {self.role!r}.")


@dataclass(frozen=True, eq=False, kw_only=True)
class Hit:
    """One thing that a search found: a `PictureHit` or a `PassageHit`. rank: its place, from 0."""

    name: str
    score: float
    rank: int


@dataclass(frozen=True, eq=False, kw_only=True)
class PictureHit(Hit):
    """A picture of a gallery, or a run of pictures that tells a story.

    score: alignment score after re-ranking, in [0, 1] for the normalised kernel.
    item: the picture's id; of a run the first one's. items, names, until: of a run, its ids and file names in
        order of time, and when its last picture was taken.
    shortlist_score: inner product of pooled vectors, in [-1, 1]; rank_before: its rank (0 = best) in the
        shortlist.
    path: the alignment, pairs (query slice, hit slice), from (0, 0) to the last ones.
    similarity: (query slices, hit slices) cosines, for the heat map; None when nothing was embedded.
    margin: how far the score stands out from the gallery's own score distribution, in standard deviations;
        relevance: the same as a word.
    found_by: words of name, caption or date, the meaning, or both; "" where only one way was tried.
    agreement: the chat model's probability of "yes", in [0, 1]; None where it was not asked.
    day_from_name: only the file's name says when it was taken. duplicates: ids of near-duplicates that were
        left out.
    """

    item: int
    caption: str = ""
    shortlist_score: float = 0.0
    rank_before: int
    path: tuple[tuple[int, int], ...] = ()
    similarity: np.ndarray | None = None
    margin: float = 0.0
    relevance: Literal["", "clear", "likely", "weak"] = ""
    found_by: Literal["", "words", "meaning", "both"] = ""
    agreement: float | None = None
    taken: datetime | None = None
    day_from_name: bool = False
    width: int = 0
    height: int = 0
    camera: str = ""
    duplicates: tuple[int, ...] = ()
    items: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class PassageHit(Hit):
    """A passage of a knowledge base: a note, a question with its answer, or a picture with its caption.

    score: in [0, 1]; words, vector: the parts of it.
    passage: its number in the base; None for a picture of the gallery, whose id is `item`.
    found_by: the rankings that hold it, "words" and "vectors"; ("date",) or ("place",) where the question
        names nothing else.
    when: the question's words for the time; day_from_name: only the picture's name says its day.
    where: "near" and degrees, of a picture with a place. caption_by: the model that wrote the caption.
    """

    kind: Literal["picture", "pair", "passage"]
    text: str
    answer: str = ""
    passage: int | None = None
    item: int | None = None
    found_by: tuple[str, ...] = ()
    words: float = 0.0
    vector: float = 0.0
    day_from_name: bool = False
    when: str = ""
    where: str = ""
    caption_by: str = ""


@dataclass(frozen=True, eq=False)
class Answer:
    """A generated text and the hits that it was given to read, numbered from 1 as the text cites them."""

    text: str
    hits: Sequence[Hit] = ()
