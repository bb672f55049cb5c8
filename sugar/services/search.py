"""An ordered query over a gallery in three modes, and each hit explained.

    service = SearchService(workspace)
    request = SearchRequest(SearchQuery.of_text("two dogs -snow 2025-08"), gallery="holiday")
    result = service.search(page, request)               # groups of hits, and what is to be said about them
    service.explain(page, next(iter(result.shown)))      # why the first one was found, as data

The page, the endpoint /search and the command line call this.
Not covered: the query (query.py), how a gallery is searched (sugar/retrieval).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from sugar.errors import InputError
from sugar.sequence import PictureHit, Sample
from sugar.services.query import Conditions, SearchQuery

if TYPE_CHECKING:
    from sugar.gallery import Filters, Gallery
    from sugar.services.visitors import Page
    from sugar.services.workspace import Workspace

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
            raise InputError("Weights and exclusions work only in Photos. Remove them, or look for photos.")
        if not self.query.parts and (self.mode != "pictures" or self.query.conditions == Conditions()):
            raise InputError(
                " ".join(self.query.unread) or "The query is empty. Type some words or choose a picture."
            )


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
    groups: tuple[tuple[PictureHit, ...], ...]
    aligned: Sample | None = None
    unknown_words: tuple[str, ...] = ()
    close: int | None = None
    confirmed: bool = False
    without_vectors: int = 0
    key: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def hits(self) -> list[PictureHit]:
        """All hits, in the order in which they are shown."""
        return [hit for group in self.groups for hit in group]

    @property
    def shown(self) -> dict[int, PictureHit]:
        """{number on the page: hit} of every picture in order.

        A picture's number is its item's. One that was found again, for another part or in another run, has a
        number of its own, from which `item_of` tells the item.
        """
        out: dict[int, PictureHit] = {}
        for hit in self.hits:
            for item in hit.items or (hit.item,):
                number = item
                while number in out:
                    number += AGAIN
                out[number] = hit
        return out


@dataclass
class SearchDraft:
    """The ordered parts of the search box: pictures, and None where the words stand."""

    parts: list[Image.Image | None] = field(default_factory=lambda: [None])

    @property
    def pictures(self) -> list[Image.Image]:
        """The pictures, in order."""
        return [p for p in self.parts if p is not None]

    @property
    def words_at(self) -> int:
        """How many pictures stand before the words."""
        return self.parts.index(None)

    def add(self, picture: Image.Image, most: int) -> None:
        """Put a picture before the words. Raises InputError when there are `most` parts already."""
        if len(self.parts) >= most:
            raise InputError(f"A query has {most} parts at most. Remove some.")
        self.parts.insert(self.words_at, picture)

    def remove(self, number: int) -> None:
        """Take part `number` away when it is a picture."""
        if 0 <= number < len(self.parts) and self.parts[number] is not None:
            del self.parts[number]

    def move(self, number: int, to: int) -> None:
        """Put part `number` at the place `to`; places outside the list change nothing."""
        if 0 <= number < len(self.parts) and 0 <= to < len(self.parts):
            self.parts.insert(to, self.parts.pop(number))

    def fill(self, pictures: list[Image.Image]) -> None:
        """Start again with these pictures before the words."""
        self.parts = [*pictures, None]


@dataclass
class SearchState:
    """What is kept for one page.

    Args:
        result: the last one; None where the whole gallery is shown.
        draft: the query's pictures.
        linked: SHA-256 of pictures of the gallery that a link asked for, and how many stand before the words.
    """

    result: SearchResult | None = None
    draft: SearchDraft = field(default_factory=SearchDraft)
    linked: tuple[list[str], int] | None = None


AGAIN = 2**48
"""Between the numbers of a picture that a result shows twice."""


def item_of(number: int) -> int:
    """The item behind a picture's number on the page (`SearchResult.shown`)."""
    return number % AGAIN


MAX_RUNS, MAX_PER_POSITION = 12, 4

CUT_OFF = "search"
"""The key of `profile.abstain` with the cosine below which a picture is no close match for a caption."""


class SearchService:
    """See the module docstring."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def search(self, page: Page, request: SearchRequest) -> SearchResult:
        """Search, and keep the result as the visitor's last one.

        Raises:
            InputError: too many parts, or terms that cancel each other out.
            GalleryError, FingerprintError: no such gallery for this visitor, or another model made it.
        """
        most = self.workspace.settings.max_pictures
        if len(request.query.parts) > most:
            raise InputError(f"A query has {most} parts at most. Remove some.")
        model = self.workspace.model()
        gallery = self.workspace.gallery(page, request.gallery)
        result = search_gallery(gallery, model, request)
        page.state.of(SearchState).result = result
        return result

    def follow_link(self, page: Page, gallery: str) -> None:
        """Put the pictures that a link asked for into the query; those that are gone are left out."""
        state = page.state.of(SearchState)
        if state.linked is None:
            return
        (wanted, before), state.linked = state.linked, None
        found = self.workspace.gallery(page, gallery)
        known = found.by_content(wanted)
        state.draft.fill([found.picture(known[sha256]) for sha256 in wanted if sha256 in known])
        state.draft.move(state.draft.words_at, before)

    def explain(self, page: Page, number: int) -> Explanation:
        """Why a picture of the page's last result was found, by its number there. Raises InputError."""
        result = page.state.of(SearchState).result
        hit = result.shown.get(number) if result is not None else None
        if result is None or hit is None:
            raise InputError("That picture is no longer on the page. Search again.")
        gallery = self.workspace.gallery(page, result.request.gallery)
        return _explain(gallery, self.workspace.model(), result.aligned, hit)


def search_gallery(gallery: Gallery, model: Any, request: SearchRequest) -> SearchResult:
    """The result of a request on an open gallery."""
    from sugar.retrieval import (  # brings torch: not when the page is built
        SearchOptions,
        confirm,
        kind_of,
        search,
        search_positions,
        search_story,
    )

    query, unknown = request.query.known_to(model)
    filters = query.conditions.filters()
    result = partial(SearchResult, request, unknown_words=unknown, without_vectors=len(gallery.pending()))
    if not query.parts:
        hits: tuple[PictureHit, ...] = ()
        if (
            request.query.parts and request.mode == "pictures"
        ):  # the model knows no word; a caption may hold it
            hits = _with_words(gallery, query.keywords, filters, request.limit)
        elif not request.query.parts:
            hits = _listed(gallery, filters, request.limit)
        return result((hits,))
    if request.mode == "story":
        sample = query.sample()
        runs = search_story(gallery, model, sample, k=min(request.limit, MAX_RUNS), filters=filters)
        return result(tuple((run,) for run in runs), sample)
    if request.mode == "positions":
        sample = query.sample()
        limit = min(request.limit, MAX_PER_POSITION)
        options = SearchOptions(k=limit, rerank=request.rerank, filters=filters)
        groups = search_positions(gallery, model, sample, options)
        return result(tuple(tuple(group) for group in groups), sample)
    terms = query.terms()
    strongest = max(terms, key=lambda term: term.weight).sample
    kind = kind_of(strongest)
    options = SearchOptions(request.limit, request.rerank, filters=filters)
    found = search(gallery, model, terms, options, keywords=query.keywords)
    confirmed = request.confirm and kind in model.profile.confirms
    if confirmed:
        found = confirm(found, gallery, model, strongest)
    cut = model.profile.abstain.get(CUT_OFF) if kind == "caption" and len(terms) == 1 else None
    if cut is None:
        return result((tuple(found),), strongest, confirmed=confirmed)
    near = [hit for hit in found if _is_close(hit, cut)]
    far = [hit for hit in found if not _is_close(hit, cut)]
    return result(((*near, *far),), strongest, close=len(near), confirmed=confirmed)


def _is_close(hit: PictureHit, cut: float) -> bool:
    """Whether a hit is a close match: its words fit, or its cosine with the query reaches the cut-off."""
    return hit.found_by in ("words", "both") or hit.shortlist_score >= cut


def _listed(gallery: Gallery, filters: Filters, limit: int) -> tuple[PictureHit, ...]:
    """The newest pictures that pass the filters; those without a date last."""
    newest = gallery.items(filters=filters, order="newest", limit=limit)
    return _as_hits(gallery, [item.id for item in newest])


def _with_words(gallery: Gallery, words: str, filters: Filters, limit: int) -> tuple[PictureHit, ...]:
    """The pictures whose name, caption or date holds the words, best first."""
    from sugar.retrieval import SearchOptions, by_words  # brings torch: not when the page is built

    found = by_words(gallery, words, SearchOptions(k=limit, filters=filters))
    return _as_hits(gallery, list(found), "words")


def _as_hits(gallery: Gallery, ids: list[int], found_by: Literal["", "words"] = "") -> tuple[PictureHit, ...]:
    items = {item.id: item for item in gallery.items(ids=ids)}
    return tuple(
        PictureHit(
            item=i,
            name=items[i].name,
            caption=items[i].caption,
            score=0.0,
            rank=rank,
            rank_before=rank,
            found_by=found_by,
            taken=items[i].taken,
            day_from_name=items[i].day_from_name,
            width=items[i].width,
            height=items[i].height,
        )
        for rank, i in enumerate(ids)
    )


Content = str | Image.Image


@dataclass(frozen=True, eq=False)
class Explanation:
    """One hit and its alignment with the query.

    Args:
        hit: the hit itself.
        pictures: its picture, or those of a run, in order.
        rows: the query's slices. columns: the hit's: picture and caption, or the pictures of a run.
        similarity: (rows, columns) cosines; None when nothing was embedded.
        path: the alignment, pairs (row, column).
        picture_heat: (h, w) in [0, 1], from the region that agrees least with the whole query to the one that
            agrees most; None where the model has no regions.
    """

    hit: PictureHit
    pictures: tuple[Image.Image, ...]
    rows: tuple[Content, ...] = ()
    columns: tuple[Content, ...] = ()
    similarity: np.ndarray | None = None
    path: tuple[tuple[int, int], ...] = ()
    picture_heat: np.ndarray | None = None

    @property
    def strongest(self) -> tuple[int, int] | None:
        """The (row, column) on the path that agrees best; None without an alignment."""
        if self.similarity is None or not self.path:
            return None
        scores = self.similarity
        return max(self.path, key=lambda pair: float(scores[pair]))


def _explain(gallery: Gallery, model: Any, aligned: Sample | None, hit: PictureHit) -> Explanation:
    """Explain a hit. aligned: the sample that `hit.similarity` speaks of; None when nothing was embedded.

    Raises GalleryError: the picture was deleted meanwhile.
    """
    ids = list(hit.items) or [hit.item]
    pictures = tuple(gallery.picture(i) for i in ids)
    if aligned is None or hit.similarity is None:
        return Explanation(hit, pictures)
    similarity = np.asarray(hit.similarity, float)  # (n, m)
    columns: tuple[Content, ...] = pictures
    if not hit.items and similarity.shape[1] > 1:
        columns = (pictures[0], hit.caption)
    return Explanation(
        hit,
        pictures,
        rows=tuple(s.content for s in aligned)[: similarity.shape[0]],
        columns=columns,
        similarity=similarity,
        path=hit.path,
        picture_heat=None if hit.items else _scaled(model.picture_heat(aligned, pictures[0])),
    )


def _scaled(cosines: np.ndarray | None) -> np.ndarray | None:
    """Cosines from 0 to 1, least to most; None where there are none, or where all are the same."""
    if cosines is None or not np.ptp(cosines) > 0:
        return None
    return (cosines - cosines.min()) / np.ptp(cosines)
