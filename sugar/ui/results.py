"""The results of a search on the wall: what is to be said first, then the pictures in their sections.

    results_message(result)                      # notices and all ids; an id is a place in result.shown
    result_cells(gallery, result, ids)           # the cells that the browser asks for
    as_json(hit, gallery, thumbnails)            # a hit for programs

Not covered: one opened hit (explained.py), searching (sugar/services/search.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sugar.sequence import PictureHit
from sugar.services.search import MAX_HITS, SearchResult
from sugar.ui import wall
from sugar.ui.components import jpeg_uri
from sugar.ui.text import search as words

__all__ = ["as_json", "hit_cell", "result_cells", "results_message"]

Section = tuple[str, Sequence[int], bool]


def results_message(result: SearchResult | None) -> str:
    """All that a search found; None empties the wall."""
    if result is None:
        return wall.listing_message("search", "", [])
    notes = [("sugar-notice", line) for line in notices_of(result)]
    if result.hits:
        exact, many = (
            (words.COUNT_RUNS, words.COUNT_RUNS_MANY)
            if result.request.mode == "story"
            else (words.COUNT, words.COUNT_MANY)
        )
        best = result.request.mode == "pictures" and len(result.hits) >= MAX_HITS
        said = words.COUNT_BEST.format(n=MAX_HITS) if best else _counted(len(result.hits), exact, many)
        notes.append(("sugar-count", said))
    elif not result.unknown_words:
        notes.append(("sugar-empty", words.NOTHING))
    return wall.listing_message(
        "search", result.key, _sections(result), notes=notes, can=("select", "download")
    )


def _sections(result: SearchResult) -> list[Section]:
    count = len(result.shown)
    if result.request.mode == "pictures":
        close = count if result.close is None else result.close
        near, far = range(close), range(close, count)
        sections: list[Section] = [("", near, False), (words.LESS_CLOSE if close else "", far, False)]
        return [section for section in sections if section[1]]
    sections, start = [], 0
    for place, group in enumerate(result.groups):
        stop = start + sum(len(hit.items) or 1 for hit in group)
        if result.request.mode == "story":
            sections.append((words.RUN.format(n=place + 1), range(start, stop), True))
        else:
            part = result.aligned[place] if result.aligned is not None else None
            name = words.A_PICTURE if part is None or part.is_image else part.text[:80]
            sections.append((words.AFTER.format(n=place + 1, name=name), range(start, stop), False))
        start = stop
    return sections


def result_cells(gallery: Any, result: SearchResult, ids: Sequence[int]) -> str:
    """The cells of these places in the result; those that were deleted meanwhile are left out."""
    shown = result.shown
    wanted = {i: shown[i] for i in ids if i < len(shown)}
    items = {item.id: item for item in gallery.items(ids=[item for _, item in wanted.values()])}
    cells = [
        (hit_cell(place, hit, items[item]), gallery.thumbnail(item))
        for place, (hit, item) in wanted.items()
        if item in items
    ]
    return wall.cells_message(result.key, cells)


def hit_cell(place: int, hit: PictureHit, item: Any) -> dict[str, Any]:
    """One picture of a hit, with what found it; the score is there when it is asked for."""
    found_by = words.FOUND_BY.get(hit.found_by, "")
    score = ""
    if hit.similarity is not None:
        score = words.SCORE.format(score=hit.score)
        if hit.rank_before != hit.rank:
            score += " · " + words.MOVED.format(rank=hit.rank_before + 1)
    favourite = item.favourite
    return wall.cell_data(place, item.name, item.caption, line=found_by, score=score, favourite=favourite)


def notices_of(result: SearchResult) -> list[str]:
    """What is to be said about a result, in the order of weight."""
    out = []
    unknown = result.unknown_words
    if unknown:
        alone = not result.hits
        single = words.ONE_UNKNOWN if alone else words.SOME_UNKNOWN_ONE
        several = words.ALL_UNKNOWN if alone else words.SOME_UNKNOWN
        listed = ", ".join(f"“{w}”" for w in unknown)
        out.append((single if len(unknown) == 1 else several).format(words=listed))
    if result.close == 0 and result.hits:
        out.append(words.NO_CLOSE_MATCH)
    if result.request.confirm and not result.confirmed:
        out.append(words.NOT_CONFIRMED)
    if result.without_vectors:
        out.append(_counted(result.without_vectors, words.WITHOUT_VECTORS, words.WITHOUT_VECTORS_MANY))
    return out


def _counted(n: int, exact: dict[int, str], many: str) -> str:
    return exact.get(n) or many.format(n=n)


def as_json(hit: PictureHit, gallery: Any, thumbnails: bool) -> dict[str, Any]:
    """A hit for programs."""
    out: dict[str, Any] = {
        "item": hit.item,
        "name": hit.name,
        "caption": hit.caption,
        "score": hit.score,
        "rank": hit.rank,
        "margin": hit.margin,
        "shortlist_score": hit.shortlist_score,
        "rank_before": hit.rank_before,
        "relevance": hit.relevance,
        "found_by": hit.found_by,
        "path": [list(p) for p in hit.path],
        "similarity": [] if hit.similarity is None else hit.similarity.tolist(),
    }
    if hit.agreement is not None:
        out["agreement"] = hit.agreement
    if hit.items:
        out["items"] = list(hit.items)
    if thumbnails:
        out["thumbnail"] = jpeg_uri(gallery.thumbnail(hit.item))
    return out
