"""Pictures that are listed without an embedded query, as hits: by conditions alone, or by keywords alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sugar.sequence import Hit

if TYPE_CHECKING:
    from sugar.gallery import Filters

__all__ = ["listed", "with_words"]


def listed(gallery: Any, filters: Filters, limit: int) -> tuple[Hit, ...]:
    """The newest pictures that pass the filters; those without a date last."""
    ids = [int(i) for i in gallery.matching(filters)]
    taken = {item.id: item.taken for item in gallery.items(ids=ids)}
    dated = [i for i in ids if taken[i] is not None]
    return _as_hits(gallery, [*reversed(dated), *(i for i in ids if taken[i] is None)][:limit], {})


def with_words(gallery: Any, words: str, filters: Filters, limit: int) -> tuple[Hit, ...]:
    """The pictures whose name, caption or date holds the words, best first."""
    from sugar.retrieval import keyword_ids  # brings torch: not when the page is built

    return _as_hits(gallery, keyword_ids(gallery, words, limit, filters), {"found_by": "words"})


def _as_hits(gallery: Any, ids: list[int], meta: dict[str, Any]) -> tuple[Hit, ...]:
    items = {item.id: item for item in gallery.items(ids=ids)}
    return tuple(
        Hit(
            item=i,
            name=items[i].name,
            caption=items[i].caption,
            score=0.0,
            rank=rank,
            shortlist_score=0.0,
            rank_before=rank,
            meta={
                "taken": items[i].taken,
                "day_from_name": items[i].day_from_name,
                "width": items[i].width,
                "height": items[i].height,
                **meta,
            },
        )
        for rank, i in enumerate(ids)
    )
