"""Search by meaning and by keywords at once: two rankings, fused by reciprocal rank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from sugar.errors import InputError
from sugar.fusion import reciprocal_rank
from sugar.gallery import EmbeddingModel, Filters, Gallery
from sugar.images import near_duplicate
from sugar.retrieval.ranking import Plan, Ranking, as_hits, ranked
from sugar.retrieval.scoring import alignment_scores
from sugar.retrieval.terms import EmbeddedQuery, Term, embed_query
from sugar.sequence import Hit

__all__ = ["keyword_ids", "search_hybrid"]

SHARE_OF_BEST = 0.5
"""A picture is found by its words when its BM25 score is at least this share of the best one's."""


def search_hybrid(
    gallery: Gallery,
    model: EmbeddingModel,
    terms: Sequence[Term],
    words: str,
    *,
    k: int = 12,
    rerank: bool = True,
    shortlist: int = 100,
    filters: Filters | None = None,
    exclude: Iterable[int] = (),
) -> list[Hit]:
    """Find the k best pictures by meaning and by the words of names, captions and dates.

    Args:
        gallery: an open gallery whose vectors come from `model`.
        terms: what is meant.
        words: what is looked up as keywords; without any, the order is that of `search`.
        k, rerank, shortlist, filters, exclude: as in `search`.
    Returns:
        Hits, best first. hit.meta["found_by"] is "words", "meaning" or "both": a picture that holds the words
        counts as found by meaning too when its own margin is not weak.
    Raises:
        InputError: k or shortlist is below 1, or the terms cancel each other out.
    """
    plan = Plan(k, rerank, max(shortlist, k), filters, frozenset(int(i) for i in exclude))
    embedded = embed_query(model, terms, True)
    with gallery.lock:
        meaning = ranked(gallery, embedded, plan)
        found = [i for i in keyword_ids(gallery, words, k, filters) if i not in plan.exclude]
        hits = as_hits(gallery, embedded, _fused(gallery, embedded, meaning, found, plan))
    named = set(found)
    return [replace(hit, meta={**hit.meta, "found_by": _found_by(hit, named)}) for hit in hits]


def keyword_ids(gallery: Gallery, words: str, k: int, filters: Filters | None = None) -> list[int]:
    """Ids of the pictures whose name, caption or date holds the words, best first, without weak matches."""
    if k < 1:
        raise InputError(f"k is {k}; ask for at least one picture.")
    if not words.strip():
        return []
    only = gallery.matching(filters or Filters()).tolist()
    found = gallery.by_words(words, k, only)
    least = SHARE_OF_BEST * found[0][1] if found else 0.0
    return [item for item, score in found if score >= least]


def _fused(
    gallery: Gallery, query: EmbeddedQuery, meaning: Ranking, found: Sequence[int], plan: Plan
) -> Ranking:
    """One ranking of both, with cosines and scores for the pictures that the words alone found."""
    if not found:
        return meaning
    shown = {i for others in meaning.duplicates.values() for i in others}
    extra = [i for i in found if i not in set(meaning.ids) | shown]
    if extra and len(query.own_pictures):
        own = np.asarray(near_duplicate(gallery.signatures(extra)[:, None], query.own_pictures[None])).any(1)
        extra = [extra[int(n)] for n in np.flatnonzero(~own)]
    slices = gallery.slices(extra)
    cosines = [float(rows[0] @ query.vector) for rows in slices]
    scores = alignment_scores(query, slices, plan.delta, align=plan.rerank).tolist() if extra else []
    after = len(meaning.ids)
    known = {
        item: (cosine, before, score)
        for item, cosine, before, score in zip(
            [*meaning.ids, *extra],
            [*meaning.cosines, *cosines],
            [*meaning.before, *range(after, after + len(extra))],
            [*meaning.scores, *scores],
            strict=True,
        )
    }
    fused = reciprocal_rank({"meaning": meaning.ids, "words": [i for i in found if i in known]})
    order = [f.item for f in fused][: plan.k]
    return Ranking(
        ids=order,
        cosines=[known[i][0] for i in order],
        before=[known[i][1] for i in order],
        scores=[float(np.clip(known[i][2], 0, 1)) for i in order],
        duplicates=meaning.duplicates,
    )


def _found_by(hit: Hit, named: set[int]) -> str:
    if hit.item not in named:
        return "meaning"
    return "words" if hit.meta["relevance"] == "weak" else "both"
