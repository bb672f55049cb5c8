"""Search by shortlist and re-ranking: the candidates of a query, their scores, and the hits made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sugar.dtw import dtw_path_from_phi
from sugar.errors import InputError
from sugar.gallery import EmbeddingModel, Filters, Gallery
from sugar.images import near_duplicate
from sugar.retrieval.relevance import relevance, score_distribution
from sugar.retrieval.scoring import alignment_scores
from sugar.retrieval.terms import EmbeddedQuery, Term, embed_query, signatures_of
from sugar.sequence import Hit, Sample

__all__ = ["search", "search_positions"]


@dataclass(frozen=True, eq=False)
class Plan:
    """How a gallery is searched; the options of `search`, checked. `exclude` are item ids."""

    k: int = 12
    rerank: bool = True
    shortlist: int = 100
    filters: Filters | None = None
    exclude: frozenset[int] = frozenset()
    collapse: bool = True
    delta: float = 0.7

    def __post_init__(self) -> None:
        if self.k < 1 or self.shortlist < 1:
            raise InputError(f"k is {self.k} and shortlist {self.shortlist}; both must be at least 1.")


@dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates of one query, best first.

    ids, cosines, before: per candidate its item id, its cosine with the query and its rank in the shortlist.
    scores: final scores. duplicates: item id -> ids of near-duplicates that were left out.
    """

    ids: list[int] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    duplicates: dict[int, list[int]] = field(default_factory=dict)


def search(
    gallery: Gallery,
    model: EmbeddingModel,
    query: Sample | Sequence[Term],
    *,
    k: int = 12,
    rerank: bool = True,
    shortlist: int = 100,
    filters: Filters | None = None,
    exclude: Iterable[int] = (),
    exclude_own: bool = True,
    collapse: bool = True,
    delta: float = 0.7,
) -> list[Hit]:
    """Find the k best pictures for a query. README.md in this folder explains the score.

    Args:
        gallery: an open gallery whose vectors come from `model`.
        model: embeds the query.
        query: a Sample, or Terms with weights.
        k: how many hits.
        rerank: order the shortlist by alignment; otherwise by the pooled vector alone.
        shortlist: how many candidates are re-ranked.
        filters: look among these pictures only.
        exclude: item ids that cannot be hits.
        exclude_own: leave out the pictures that the query itself shows.
        collapse: of near-duplicates only the best is a hit; hit.meta["duplicates"] lists the others.
        delta: width of the slice kernel.
    Returns:
        Hits, best first. hit.meta holds taken, day_from_name, width, height, camera, duplicates and
        relevance.
    Raises:
        InputError: k or shortlist is below 1, or the terms cancel each other out.
    """
    plan = Plan(k, rerank, shortlist, filters, frozenset(int(i) for i in exclude), collapse, delta)
    terms = [Term(query)] if isinstance(query, Sample) else list(query)
    embedded = embed_query(model, terms, exclude_own)
    with gallery.lock:
        return found(gallery, embedded, plan)


def search_positions(
    gallery: Gallery,
    model: EmbeddingModel,
    query: Sample,
    *,
    k: int = 1,
    rerank: bool = True,
    shortlist: int = 100,
    filters: Filters | None = None,
    exclude: Iterable[int] = (),
    exclude_own: bool = True,
    collapse: bool = True,
    delta: float = 0.7,
) -> list[list[Hit]]:
    """Find the k best pictures for every prefix of the query, in one call of the model.

    Each slice vector stands for its prefix, so slice i asks for the hits of slices 1..i.

    Args:
        query: an ordered query of n slices. The other arguments are those of `search`.
    Returns:
        n lists of hits.
    """
    plan = Plan(k, rerank, shortlist, filters, frozenset(int(i) for i in exclude), collapse, delta)
    slices = model.embed([query]).slices[0]  # (n, D)
    own = signatures_of([query] if exclude_own else [])
    prefixes = [EmbeddedQuery(np.ones(1), [slices[: i + 1]], slices[i], own) for i in range(len(slices))]
    with gallery.lock:
        return [found(gallery, prefix, plan) for prefix in prefixes]


def found(gallery: Gallery, query: EmbeddedQuery, plan: Plan) -> list[Hit]:
    """The hits of an embedded query. Hold the gallery's lock."""
    return as_hits(gallery, query, ranked(gallery, query, plan))


def ranked(gallery: Gallery, query: EmbeddedQuery, plan: Plan) -> Ranking:
    """The best candidates for an embedded query. Hold the gallery's lock.

    Fetches more of the index while filters, exclusions and near-duplicates leave fewer than k.
    """
    filters = plan.filters
    only = gallery.matching(filters) if filters is not None and filters != Filters() else None
    fetch = max(plan.shortlist, plan.k) + len(plan.exclude)
    while True:
        cosines, ids = gallery.nearest(query.vector[None], fetch, only)  # (1, fetch) each
        kept = [
            (int(i), float(c))
            for i, c in zip(ids[0], cosines[0], strict=True)
            if i >= 0 and int(i) not in plan.exclude
        ]
        ranking = _ordered(gallery, query, plan, kept)
        if len(ranking.ids) >= plan.k or ids.shape[1] < fetch or (ids[0] < 0).any():
            return ranking
        fetch *= 4


def _ordered(
    gallery: Gallery, query: EmbeddedQuery, plan: Plan, kept: Sequence[tuple[int, float]]
) -> Ranking:
    """Candidates (item id, cosine) -> the best k by final score, without the query's own pictures."""
    signatures = signatures_of([])
    if kept and (plan.collapse or len(query.own_pictures)):
        signatures = gallery.signatures([i for i, _ in kept])
    if kept and len(query.own_pictures):
        others = np.flatnonzero(~near_duplicate(signatures[:, None], query.own_pictures[None]).any(1))
        kept, signatures = [kept[int(p)] for p in others], signatures[others]
    if not kept:
        return Ranking()
    scores = alignment_scores(query, gallery.slices([i for i, _ in kept]), plan.delta, align=plan.rerank)
    order = np.argsort(-scores, kind="stable").tolist() if plan.rerank else list(range(len(kept)))
    followers: dict[int, list[int]] = {}
    if plan.collapse:
        order, followers = _collapsed(order, signatures, plan.k)
    order = order[: plan.k]
    return Ranking(
        ids=[kept[p][0] for p in order],
        cosines=[kept[p][1] for p in order],
        before=order,
        scores=[float(scores[p]) for p in order],
        duplicates={kept[p][0]: [kept[f][0] for f in followers.get(p, [])] for p in order},
    )


def as_hits(gallery: Gallery, query: EmbeddedQuery, ranking: Ranking) -> list[Hit]:
    """A ranking as hits, each with what is known of the picture and its alignment with the query."""
    if not ranking.ids:
        return []
    mean, deviation = score_distribution(gallery, query.vector)
    items = {i.id: i for i in gallery.items(ids=ranking.ids)}
    strongest = query.slices[int(np.argmax(query.weights))]  # (n, D)
    hits = []
    for rank, slices in enumerate(gallery.slices(ranking.ids)):
        item, cosine = items[ranking.ids[rank]], ranking.cosines[rank]
        similarity = strongest @ slices.T  # (n, m)
        margin = (cosine - mean) / deviation if deviation > 0 else 0.0
        hits.append(
            Hit(
                item=item.id,
                name=item.name,
                caption=item.caption,
                score=ranking.scores[rank],
                rank=rank,
                shortlist_score=cosine,
                rank_before=ranking.before[rank],
                path=_path(similarity),
                similarity=similarity,
                margin=margin,
                meta={
                    "taken": item.taken,
                    "day_from_name": item.day_from_name,
                    "width": item.width,
                    "height": item.height,
                    "camera": item.camera,
                    "duplicates": ranking.duplicates.get(item.id, []),
                    "relevance": relevance(margin),
                },
            )
        )
    return hits


def _collapsed(
    order: Sequence[int], signatures: np.ndarray, k: int
) -> tuple[list[int], dict[int, list[int]]]:
    """The first k positions that show different pictures, and the near-duplicates of each.

    signatures: (N, 192), by position.
    """
    leaders: list[int] = []
    followers: dict[int, list[int]] = {}
    left = np.array(order)
    while len(left) and len(leaders) < k:
        leader, left = int(left[0]), left[1:]
        same = near_duplicate(signatures[left], signatures[leader])
        leaders.append(leader)
        followers[leader] = left[same].tolist()
        left = left[~same]
    return leaders, followers


def _path(similarity: np.ndarray) -> tuple[tuple[int, int], ...]:
    """The DTW path through (n, m) cosines."""
    n, m = similarity.shape
    if m == 1:
        return tuple((i, 0) for i in range(n))
    if n == 1:
        return tuple((0, j) for j in range(m))
    path, _ = dtw_path_from_phi(np.maximum(2 - 2 * similarity.astype(np.float64), 0))
    return tuple((int(i), int(j)) for i, j in path)
