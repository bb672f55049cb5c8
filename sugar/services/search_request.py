"""The request and the result of a search: what is asked, where and how; what was found."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Literal, get_args

from sugar.errors import InputError
from sugar.sequence import Hit, Sample
from sugar.services.query import Conditions, SearchQuery

__all__ = ["MAX_HITS", "MODES", "Mode", "SearchRequest", "SearchResult"]

Mode = Literal["pictures", "story", "positions"]
MODES: tuple[Mode, ...] = get_args(Mode)

MAX_HITS = 1_000
"""Hits of one search, at most. The page shows them a part at a time."""


@dataclass(frozen=True, eq=False)
class SearchRequest:
    """What is searched for, where, and how.

    Args:
        query: parts and conditions.
        gallery: the gallery's name.
        mode: pictures, story (runs of consecutive pictures) or positions (hits for every part of the query).
        limit: hits at most; for a story at most 12 runs, for positions at most 4 each.
        rerank: order by alignment; otherwise by the whole query's vector alone.
        confirm: let the model's yes or no order the first hits, where its profile allows that.
    Raises:
        InputError: an unknown mode, a limit out of range, weights in a mode without them, or an empty query.
    """

    query: SearchQuery
    gallery: str
    mode: Mode = "pictures"
    limit: int = 12
    rerank: bool = True
    confirm: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError(f"The mode is {str(self.mode)[:40]!r}; choose one of {', '.join(MODES)}.")
        if not 1 <= self.limit <= MAX_HITS:
            raise InputError(f"The number of hits is {self.limit}; it may be 1 to {MAX_HITS}.")
        if self.mode != "pictures" and any(p.weight != 1 for p in self.query.parts):
            raise InputError("Weights count when you look for pictures, and so do exclusions. Remove them.")
        if not self.query.parts and (self.mode != "pictures" or self.query.conditions == Conditions()):
            raise InputError("The query is empty. Type some words or choose a picture.")


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What was found, and what is to be said about it.

    Args:
        request: what was asked.
        groups: hits, best first: one group for pictures, one per run of a story, one per position.
        aligned: the slices that a hit's `similarity` and `path` speak of; None when nothing was embedded.
        unknown_words: words of the query that the model does not know; they were left out.
        close: how many of the first hits reach the cut-off below which a match is not close; None where the
            checkpoint has no cut-off for such a query.
        confirmed: whether the model was asked about the best hits.
        without_vectors: pictures of the gallery that could not be searched.
        key: tells this result from every other.
    """

    request: SearchRequest
    groups: tuple[tuple[Hit, ...], ...]
    aligned: Sample | None = None
    unknown_words: tuple[str, ...] = ()
    close: int | None = None
    confirmed: bool = False
    without_vectors: int = 0
    key: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def hits(self) -> list[Hit]:
        """All hits, in the order in which they are shown."""
        return [hit for group in self.groups for hit in group]

    @property
    def shown(self) -> list[tuple[Hit, int]]:
        """(hit, picture) of every picture in the order on the page, which names one by its place here."""
        return [(hit, item) for hit in self.hits for item in hit.items or (hit.item,)]
