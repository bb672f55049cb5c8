"""What is searched for: ordered parts with weights, and conditions on the pictures.

    SearchQuery.of_text("two dogs -snow 2025-08")                        # the language of the search box
    SearchQuery.of_text("the same at night", pictures=[photo])           # the picture first, then the words
    SearchQuery((QueryPart("a dog", 2.0), QueryPart(photo, -1.0)))       # parts with weights

Not covered: the language itself (query_language.py), searching (search.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sugar.errors import InputError
from sugar.place import Place
from sugar.sequence import Sample
from sugar.services.query_language import ParsedQuery, parse

if TYPE_CHECKING:
    from sugar.gallery import Filters
    from sugar.retrieval import Term

__all__ = ["Conditions", "QueryPart", "SearchQuery", "day"]

MAX_WEIGHT = 5.0
_PUNCTUATION = ".,;:!?\"'()[]"


@dataclass(frozen=True, eq=False)
class QueryPart:
    """Words or a picture, and its weight from -5 to 5. A negative weight excludes what the part describes."""

    content: str | Image.Image
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < abs(self.weight) <= MAX_WEIGHT:
            raise InputError(
                f"A weight is {self.weight:g}. Give a number from -5 to 5 other than 0; below 0 excludes."
            )


@dataclass(frozen=True)
class Conditions:
    """What hits must fulfil. A field at its default asks nothing.

    Args:
        after, before: the first and last day; a picture without a date does not match.
        name, camera: part of the file name, of the camera's name.
        caption: words that must all be in the caption.
        min_side, max_side: pixels of the shorter side at least, of the longer side at most.
        near: (latitude, longitude, kilometres); a picture without a place does not match.
        favourite, captioned: must (True), must not (False), or may (None).
        excluded: words or phrases; a picture with one of them in its caption or name is left out.
    """

    after: date | None = None
    before: date | None = None
    name: str = ""
    camera: str = ""
    caption: str = ""
    min_side: int = 0
    max_side: int | None = None
    near: Place | None = None
    favourite: bool | None = None
    captioned: bool | None = None
    excluded: tuple[str, ...] = ()

    def filters(self) -> Filters:
        """The gallery's own filters; `excluded` is not among them."""
        from sugar.gallery import Filters

        stated = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name != "excluded" and getattr(self, f.name) != f.default
        }
        return Filters(**stated)

    def excluded_ids(self, gallery: Any) -> list[int]:
        """The ids of pictures that hold an excluded text in caption or name."""
        if not self.excluded:
            return []
        from sugar.gallery import Filters

        found = [
            gallery.matching(filters)
            for text in self.excluded
            for filters in (Filters(caption=text), Filters(name=text))
        ]
        return [int(i) for i in np.unique(np.concatenate(found))]


@dataclass(frozen=True, eq=False)
class SearchQuery:
    """Parts in order, and conditions. Parts of weight 1 are read together; others are terms of their own.

    keywords: words to look up in names, captions and dates; words joined by `_` must stand together.
    """

    parts: tuple[QueryPart, ...] = ()
    conditions: Conditions = Conditions()
    keywords: str = ""

    @classmethod
    def of_text(
        cls, text: str, *, pictures: Sequence[Image.Image] = (), words_at: int | None = None
    ) -> SearchQuery:
        """Read the search box.

        Args:
            text: in the language of query_language.py.
            pictures: pictures beside the words, in order.
            words_at: how many of the pictures stand before the words; all of them where left out.
        """
        return cls.of_parsed(parse(text), pictures=pictures, words_at=words_at)

    @classmethod
    def of_parsed(
        cls, parsed: ParsedQuery, *, pictures: Sequence[Image.Image] = (), words_at: int | None = None
    ) -> SearchQuery:
        """The same, from a query that was read already."""
        at = len(pictures) if words_at is None else max(0, min(words_at, len(pictures)))
        contents: list[str | Image.Image] = [*pictures[:at], *parsed.lines, *pictures[at:]]
        excluded = [QueryPart(text, -1.0) for text in parsed.excluded]
        conditions = Conditions(
            after=parsed.after,
            before=parsed.before,
            name=parsed.names[-1] if parsed.names else "",
            camera=parsed.cameras[-1] if parsed.cameras else "",
            caption=" ".join(parsed.captions),
            min_side=parsed.min_side,
            near=parsed.near,
            favourite=parsed.favourite,
            captioned=parsed.has_caption,
            excluded=parsed.excluded,
        )
        keywords = " ".join("_".join(t.text.split()) for t in parsed.tokens if t.kind in ("word", "phrase"))
        # words beside a picture ask for a change; captions do not hold them
        return cls((*[QueryPart(c) for c in contents], *excluded), conditions, "" if pictures else keywords)

    @property
    def texts(self) -> list[str]:
        """The words of the parts that are wanted."""
        return [p.content for p in self.parts if isinstance(p.content, str) and p.weight > 0]

    def sample(self) -> Sample:
        """All parts as one sample."""
        return Sample([p.content for p in self.parts])

    def terms(self) -> list[Term]:
        """The parts as the terms of a search. Raises InputError when there is no part."""
        from sugar.retrieval import Term  # brings torch: not when the page is built

        if not self.parts:
            raise InputError("The query is empty. Type some words or choose a picture.")
        together = [p.content for p in self.parts if p.weight == 1]
        terms = [Term(Sample(together))] if together else []
        return terms + [Term(Sample(p.content), p.weight) for p in self.parts if p.weight != 1]

    def known_to(self, model: Any) -> tuple[SearchQuery, tuple[str, ...]]:
        """The query without the words that the model does not know, and those words, each once.

        model: has `unknown_words(text)`, the words of a text (as spaces separate them) that it does not know.
        """
        parts: list[QueryPart] = []
        unknown: dict[str, None] = {}
        for part in self.parts:
            if isinstance(part.content, str) and (strange := set(model.unknown_words(part.content))):
                words = part.content.split()
                unknown |= {w.strip(_PUNCTUATION): None for w in words if w in strange}
                left = " ".join(w for w in words if w not in strange)
                parts += [replace(part, content=left)] if left else []
            else:
                parts.append(part)
        return replace(self, parts=tuple(parts)), tuple(unknown)


def day(value: Any, what: str = "The date") -> date | None:
    """`2025-01-31` -> a date; an empty value -> None. Raises InputError."""
    if value in (None, ""):
        return None
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise InputError(f"{what} {str(value)[:40]!r} is not a day. Write it as 2025-01-31.") from None
