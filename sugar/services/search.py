"""What the Search tab does: an ordered query over a gallery in three modes, and each hit explained.

    service = SearchService(workspace)
    request = SearchRequest(SearchQuery.of_text("two dogs -snow 2025-08"), gallery="holiday")
    result = service.search(page, request)               # groups of hits, and what is to be said about them
    service.open(page, 0)                                # why the first one was found, as data

The page, the endpoint /search and the command line call this.
Not covered: the query (query.py), how a gallery is searched (sugar/retrieval).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from sugar.errors import InputError
from sugar.sequence import PictureHit, Sample
from sugar.services.gallery import as_file
from sugar.services.query import Conditions, SearchQuery

if TYPE_CHECKING:
    from sugar.gallery import Filters, Gallery
    from sugar.services.visitors import Page
    from sugar.services.workspace import Workspace

__all__ = [
    "CUT_OFF",
    "MAX_HITS",
    "MODES",
    "Explanation",
    "Mode",
    "SearchDraft",
    "SearchRequest",
    "SearchResult",
    "SearchService",
    "SearchState",
    "search_gallery",
]

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
    def shown(self) -> list[tuple[PictureHit, int]]:
        """(hit, picture) of every picture in the order on the page, which names one by its place here."""
        return [(hit, item) for hit in self.hits for item in hit.items or (hit.item,)]


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
    """What is kept for one visitor.

    Args:
        result: the last one.
        opened: the hit that is open, and which of its pictures.
        selected: places in `result.shown`.
        draft: the query's pictures.
        gallery: where the next query of another tab is to be searched; "" for the one that is chosen.
    """

    result: SearchResult | None = None
    opened: tuple[PictureHit, int] | None = None
    selected: list[int] = field(default_factory=list)
    draft: SearchDraft = field(default_factory=SearchDraft)
    gallery: str = ""

    def found(self, result: SearchResult | None) -> None:
        """Keep a new result; what was open or selected belonged to the one before."""
        self.result, self.opened, self.selected = result, None, []

    def at(self, place: int) -> tuple[PictureHit, int]:
        """The (hit, picture) at a place of the last result. Raises InputError when there is none."""
        shown = self.shown().shown
        if not 0 <= place < len(shown):
            raise InputError("That picture is no longer on the page. Search again.")
        return shown[place]

    def shown(self) -> SearchResult:
        """The last result. Raises InputError when there is none."""
        if self.result is None:
            raise InputError("These results are no longer kept. Search again.")
        return self.result

    def open_hit(self) -> tuple[PictureHit, int]:
        """The (hit, picture) that is open. Raises InputError when none is."""
        if self.opened is None:
            raise InputError("Open a hit first.")
        return self.opened


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
        page.state.of(SearchState).found(result)
        return result

    def open(self, page: Page, place: int) -> Explanation:
        """Open a picture of the visitor's last result, by its place there, and explain why it was found."""
        state = page.state.of(SearchState)
        state.opened = hit, _ = state.at(place)
        result = state.shown()
        gallery = self.workspace.gallery(page, result.request.gallery)
        return _explain(gallery, self.workspace.model(), result.aligned, hit)

    def download(self, page: Page, places: Sequence[int]) -> str:
        """The path of a file with these pictures of the last result: one, or a zip of several."""
        state = page.state.of(SearchState)
        gallery = self.workspace.gallery(page, state.shown().request.gallery)
        return as_file(page, gallery, [state.at(place)[1] for place in places])

    def chosen(self, page: Page, most: int) -> list[Image.Image]:
        """The selected pictures, else those of the open hit: one, or those of a run."""
        state = page.state.of(SearchState)
        ids = [state.at(place)[1] for place in state.selected]
        if not ids:
            hit, item = state.open_hit()
            ids = list(hit.items) or [item]
        gallery = self.workspace.gallery(page, state.shown().request.gallery)
        return [gallery.picture(i) for i in ids[:most]]

    def chosen_to_compare(self, page: Page) -> list[str | Image.Image]:
        """The selected pictures, or the open hit and the best two others, and the query's words."""
        state = page.state.of(SearchState)
        result = state.shown()
        words = result.request.query.texts[:6]
        if len(state.selected) > 1:
            return [*self.chosen(page, 6), *words]
        hit, item = state.open_hit()
        others = [h.item for h in result.hits if h.item != item and not h.items][:2]
        gallery = self.workspace.gallery(page, result.request.gallery)
        ids = list(hit.items) or [item, *others]
        return [*[gallery.picture(i) for i in ids[:6]], *words]

    def similar(self, page: Page) -> Image.Image:
        """The open picture, to be searched for in the gallery where it was found."""
        state = page.state.of(SearchState)
        _, item = state.open_hit()
        state.gallery = state.shown().request.gallery
        return self.workspace.gallery(page, state.gallery).picture(item)


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
