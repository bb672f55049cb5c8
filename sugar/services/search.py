"""What the Search tab does: an ordered query over a gallery in three modes, and each hit explained.

    service = SearchService(workspace)
    request = SearchRequest(SearchQuery.of_text("two dogs -snow 2025-08"), gallery="holiday")
    result = service.search(visitor, request)            # groups of hits, and what is to be said about them
    service.explain(visitor, result.hits[0])             # data for the heat maps

The page, the endpoint /search and the command line call this.
Not covered: how a gallery is searched (sugar/retrieval).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from sugar.errors import InputError
from sugar.sequence import Hit
from sugar.services.explanation import Explanation, explain
from sugar.services.gallery import as_file
from sugar.services.listing import listed, with_words
from sugar.services.query import SearchQuery
from sugar.services.search_request import SearchRequest, SearchResult
from sugar.services.search_state import SearchState

if TYPE_CHECKING:
    from sugar.services.workspace import VisitorSession, Workspace

__all__ = ["SearchService", "found"]

MAX_RUNS, MAX_PER_POSITION = 12, 4

CUT_OFF = "search"
"""The key of `profile.abstain` with the cosine below which a picture is no close match for a caption."""


class SearchService:
    """See the module docstring."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def search(self, visitor: VisitorSession, request: SearchRequest) -> SearchResult:
        """Search, and keep the result as the visitor's last one.

        Raises:
            InputError: too many parts, or terms that cancel each other out.
            GalleryError, FingerprintError: no such gallery for this visitor, or another model made it.
        """
        most = self.workspace.settings.max_pictures
        if len(request.query.parts) > most:
            raise InputError(f"A query has {most} parts at most. Remove some.")
        model = self.workspace.model()
        gallery = self.workspace.gallery(visitor, request.gallery)
        result = found(gallery, model, request)
        visitor.state.of(SearchState).found(result)
        return result

    def open(self, visitor: VisitorSession, place: int) -> Explanation:
        """Open a picture of the visitor's last result, by its place there, and explain why it was found."""
        state = visitor.state.of(SearchState)
        state.opened = state.at(place)
        return self.explain(visitor, state.opened[0])

    def select(self, visitor: VisitorSession, places: Sequence[int]) -> None:
        """Keep which pictures of the last result are selected."""
        visitor.state.of(SearchState).selected = list(places)

    def download(self, visitor: VisitorSession, places: Sequence[int]) -> str:
        """The path of a file with these pictures of the last result: one, or a zip of several."""
        state = visitor.state.of(SearchState)
        gallery = self.workspace.gallery(visitor, state.shown().request.gallery)
        return as_file(visitor, gallery, [state.at(place)[1] for place in places])

    def explain(self, visitor: VisitorSession, hit: Hit) -> Explanation:
        """Why a hit of the visitor's last result was found, as data."""
        result = visitor.state.of(SearchState).shown()
        gallery = self.workspace.gallery(visitor, result.request.gallery)
        return explain(gallery, self.workspace.model(), result.aligned, hit)

    def chosen(self, visitor: VisitorSession, most: int) -> list[Image.Image]:
        """The selected pictures, else those of the open hit: one, or those of a run."""
        state = visitor.state.of(SearchState)
        ids = [state.at(place)[1] for place in state.selected]
        if not ids:
            hit, item = state.open_hit()
            ids = list(hit.items) or [item]
        gallery = self.workspace.gallery(visitor, state.shown().request.gallery)
        return [gallery.picture(i) for i in ids[:most]]

    def chosen_to_compare(self, visitor: VisitorSession) -> list[str | Image.Image]:
        """The selected pictures, or the open hit and the best two others, and the query's words."""
        state = visitor.state.of(SearchState)
        result = state.shown()
        words = result.request.query.texts[:6]
        if len(state.selected) > 1:
            return [*self.chosen(visitor, 6), *words]
        hit, item = state.open_hit()
        others = [h.item for h in result.hits if h.item != item and not h.items][:2]
        gallery = self.workspace.gallery(visitor, result.request.gallery)
        ids = list(hit.items) or [item, *others]
        return [*[gallery.picture(i) for i in ids[:6]], *words]

    def similar(self, visitor: VisitorSession) -> Image.Image:
        """The open picture, to be searched for in the gallery where it was found."""
        state = visitor.state.of(SearchState)
        _, item = state.open_hit()
        state.gallery = state.shown().request.gallery
        return self.workspace.gallery(visitor, state.gallery).picture(item)


def found(gallery: Any, model: Any, request: SearchRequest) -> SearchResult:
    """The result of a request on an open gallery."""
    from sugar.retrieval import search_positions, search_story  # brings torch: not when the page is built

    query, unknown = request.query.known_to(model)
    filters = query.conditions.filters()
    pending = len(gallery.pending())
    if request.query.parts and not query.parts:  # the model knows none of the words; a caption may hold them
        hits = (
            with_words(gallery, query.keywords, filters, request.limit) if request.mode == "pictures" else ()
        )
        return SearchResult(request, (hits,), unknown_words=unknown, without_vectors=pending)
    if request.mode == "story":
        sample = query.sample()
        runs = search_story(gallery, model, sample, k=min(request.limit, MAX_RUNS), filters=filters)
        groups: Sequence[Sequence[Hit]] = [[hit] for hit in runs]
    elif request.mode == "positions":
        sample = query.sample()
        limit = min(request.limit, MAX_PER_POSITION)
        groups = search_positions(gallery, model, sample, k=limit, rerank=request.rerank, filters=filters)
    else:
        return _pictures(gallery, model, request, query, unknown, pending)
    return SearchResult(
        request, tuple(tuple(g) for g in groups), sample, unknown_words=unknown, without_vectors=pending
    )


def _pictures(
    gallery: Any,
    model: Any,
    request: SearchRequest,
    query: SearchQuery,
    unknown: tuple[str, ...],
    pending: int,
) -> SearchResult:
    from sugar.retrieval import confirm, kind_of, search_hybrid

    filters = query.conditions.filters()
    if not query.parts:
        hits = listed(gallery, filters, request.limit)
        return SearchResult(request, (hits,), unknown_words=unknown, without_vectors=pending)
    terms = query.terms()
    strongest = max(terms, key=lambda term: term.weight).sample
    kind = kind_of(strongest)
    found = search_hybrid(
        gallery,
        model,
        terms,
        query.keywords,
        k=request.limit,
        rerank=request.rerank,
        filters=filters,
        exclude=query.conditions.excluded_ids(gallery),
    )
    confirmed = request.confirm and kind in model.profile.confirms
    if confirmed:
        found = confirm(found, gallery, model, strongest)
    cut = model.profile.abstain.get(CUT_OFF) if kind == "caption" and len(terms) == 1 else None
    near = [hit for hit in found if cut is None or is_close(hit, cut)]
    far = [hit for hit in found if cut is not None and not is_close(hit, cut)]
    return SearchResult(
        request,
        ((*near, *far),),
        strongest,
        unknown_words=unknown,
        close=None if cut is None else len(near),
        confirmed=confirmed,
        without_vectors=pending,
    )


def is_close(hit: Hit, cut: float) -> bool:
    """Whether a hit is a close match: its words fit, or its cosine with the query reaches the cut-off."""
    return hit.meta.get("found_by") in ("words", "both") or hit.shortlist_score >= cut
