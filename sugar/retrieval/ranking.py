"""Search by shortlist and re-ranking, by meaning and by keywords: candidates, their scores, and the hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from sugar.dtw import dtw_path_from_phi
from sugar.errors import InputError
from sugar.fusion import reciprocal_rank
from sugar.gallery import EmbeddingModel, Filters, Gallery
from sugar.images import near_duplicate
from sugar.retrieval.scoring import alignment_scores, relevance, score_distribution
from sugar.retrieval.terms import EmbeddedQuery, Term, device_of, embed_query, signatures_of
from sugar.search_words import content
from sugar.sequence import PictureHit, Sample

LEAST_SHARE, WHOLE_SHARE = 1 / 3, 1 / 2
"""A picture counts by its words when they are at least this share of the query's content; from the second on
it is called found by words."""

KINDS = ("caption", "change", "story")
"""What a query asks for. `model.profile.confirms` names the kinds that the model's yes or no may decide."""


@dataclass(frozen=True)
class SearchOptions:
    """How a gallery is searched. Raises InputError when k or shortlist is below 1.

    k: how many hits.
    rerank: order the shortlist by alignment; otherwise by the pooled vector alone.
    shortlist: how many candidates are re-ranked.
    filters: look among these pictures only.
    exclude_own: leave out the pictures that the query itself shows.
    collapse: of near-duplicates only the best is a hit; `hit.duplicates` has the others.
    delta: width of the slice kernel.
    """

    k: int = 12
    rerank: bool = True
    shortlist: int = 100
    filters: Filters = Filters()
    exclude_own: bool = True
    collapse: bool = True
    delta: float = 0.7

    def __post_init__(self) -> None:
        if self.k < 1 or self.shortlist < 1:
            raise InputError(f"k is {self.k} and shortlist {self.shortlist}; both must be at least 1.")


class Candidate(NamedTuple):
    """One picture for a query: its cosine with it, its rank in the shortlist, its final score.

    duplicates: ids of near-duplicates that it stands for.
    """

    item: int
    cosine: float
    before: int
    score: float
    duplicates: tuple[int, ...] = ()


def search(
    gallery: Gallery,
    model: EmbeddingModel,
    query: Sample | Sequence[Term],
    options: SearchOptions = SearchOptions(),
    *,
    keywords: str = "",
) -> list[PictureHit]:
    """The best pictures for a query, best first. README.md in this folder explains the score.

    Args:
        gallery: an open gallery whose vectors come from `model`.
        model: embeds the query.
        query: a Sample, or Terms with weights.
        keywords: words looked up in names, captions and dates; both rankings become one by reciprocal rank.
    Raises:
        InputError: the terms cancel each other out.
    """
    embedded = embed_query(model, [Term(query)] if isinstance(query, Sample) else query, options.exclude_own)
    with gallery.lock:
        meaning = _ranked(gallery, embedded, options)
        named = by_words(gallery, keywords, options)
        hits = _as_hits(gallery, embedded, _fused(gallery, embedded, meaning, named, options))
    return [replace(hit, found_by=_found_by(hit, named.get(hit.item, 0.0) >= WHOLE_SHARE)) for hit in hits]


def search_positions(
    gallery: Gallery, model: EmbeddingModel, query: Sample, options: SearchOptions = SearchOptions(k=1)
) -> list[list[PictureHit]]:
    """The best pictures for every prefix of a query of n slices, in one call of the model: n lists of hits.

    Each slice vector stands for its prefix, so slice i asks for the hits of slices 1..i.
    """
    slices = model.embed([query]).slices[0]  # (n, D)
    own = signatures_of([query] if options.exclude_own else [])
    device = device_of(model)
    prefixes = [
        EmbeddedQuery(np.ones(1), [slices[: i + 1]], slices[i], own, device) for i in range(len(slices))
    ]
    with gallery.lock:
        return [_as_hits(gallery, prefix, _ranked(gallery, prefix, options)) for prefix in prefixes]


def by_words(gallery: Gallery, words: str, options: SearchOptions) -> dict[int, float]:
    """{picture whose name, caption or date holds enough of the words: its share of them}, best first.

    What a model wrote does not count.
    """
    if not words.strip():
        return {}
    sought = content(words)
    rows = gallery.by_words(sought, options.k, options.filters, embedded=True, people=True)
    found = [item for item, _ in rows]
    shares = gallery.shares(words, found)
    return {item: shares[item] for item in found if shares[item] >= LEAST_SHARE}


def kind_of(query: Sample) -> str:
    """The kind of a query: "caption" for one text, "change" where it holds a picture, else "story"."""
    if query.images:
        return "change"
    return "caption" if len(query) == 1 else "story"


def confirm(
    hits: Sequence[PictureHit], gallery: Gallery, model: Any, query: Sample, *, top: int = 6
) -> list[PictureHit]:
    """Order the best hits by how sure the chat model is of each; a kind it cannot judge stays as it is.

    It costs one answer of the model per hit: seconds, where the search costs milliseconds.

    Args:
        hits: what `search` found, best first.
        gallery: where their pictures are.
        model: has `agreement(query, candidates) -> (N,)`, the probability of "yes", and `profile.confirms`.
        query: what was searched for.
        top: how many hits are asked about.
    Returns:
        All hits: those asked about in their new order, with `agreement`, then the others. hit.rank is the new
        rank; hit.rank_before stays.
    """
    first = list(hits[:top])
    if not first or kind_of(query) not in model.profile.confirms:
        return list(hits)
    agreement = model.agreement(query, [Sample(gallery.picture(hit.item)) for hit in first])
    order = np.argsort(-np.asarray(agreement, float), kind="stable")
    asked = [replace(first[i], agreement=float(agreement[i])) for i in order]
    return [replace(hit, rank=rank) for rank, hit in enumerate([*asked, *hits[top:]])]


# -- the candidates of an embedded query; hold the gallery's lock


def _ranked(gallery: Gallery, query: EmbeddedQuery, options: SearchOptions) -> list[Candidate]:
    """The best candidates by meaning, best first.

    Fetches more of the index while the query's own pictures and near-duplicates leave fewer than k.
    """
    fetch = max(options.shortlist, options.k)
    while True:
        cosines, ids = gallery.nearest(query.vector[None], fetch, options.filters)  # (1, fetch) each
        kept = [(int(i), float(c)) for i, c in zip(ids[0], cosines[0], strict=True) if i >= 0]
        best = _ordered(gallery, query, options, kept)
        if len(best) >= options.k or ids.shape[1] < fetch or (ids[0] < 0).any():
            return best
        fetch *= 4


def _ordered(
    gallery: Gallery, query: EmbeddedQuery, options: SearchOptions, kept: Sequence[tuple[int, float]]
) -> list[Candidate]:
    """Candidates (item id, cosine) -> the best k by final score, without the query's own pictures."""
    signatures = signatures_of([])
    if kept and (options.collapse or len(query.own_pictures)):
        signatures = gallery.signatures([i for i, _ in kept])
    if kept and len(query.own_pictures):
        others = np.flatnonzero(~near_duplicate(signatures[:, None], query.own_pictures[None]).any(1))
        kept, signatures = [kept[int(p)] for p in others], signatures[others]
    if not kept:
        return []
    slices = gallery.slices([i for i, _ in kept])
    scores = alignment_scores(query, slices, options.delta, align=options.rerank)
    order = np.argsort(-scores, kind="stable").tolist() if options.rerank else list(range(len(kept)))
    followers: dict[int, list[int]] = {}
    if options.collapse:
        order, followers = _collapsed(order, signatures, options.k)
    return [
        Candidate(*kept[p], p, float(scores[p]), tuple(kept[f][0] for f in followers.get(p, ())))
        for p in order[: options.k]
    ]


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


def _fused(
    gallery: Gallery,
    query: EmbeddedQuery,
    meaning: list[Candidate],
    named: Mapping[int, float],
    options: SearchOptions,
) -> list[Candidate]:
    """Meaning and keywords in one ranking; what the words alone found gets its cosine and score here."""
    if not named:
        return meaning
    known = {c.item: c for c in meaning}
    shown = {*known, *(i for c in meaning for i in c.duplicates)}
    extra = [i for i in named if i not in shown]
    if extra and len(query.own_pictures):
        own = near_duplicate(gallery.signatures(extra)[:, None], query.own_pictures[None]).any(1)
        extra = [extra[int(n)] for n in np.flatnonzero(~own)]
    if extra:
        slices = gallery.slices(extra)
        scores = alignment_scores(query, slices, options.delta, align=options.rerank)
        for item, rows, score in zip(extra, slices, scores, strict=True):
            known[item] = Candidate(item, float(rows[0] @ query.vector), len(known), float(score))
    rankings = {"meaning": [c.item for c in meaning], "words": [i for i in named if i in known]}
    fused = reciprocal_rank(rankings, {"words": named})
    return [known[f.item] for f in fused[: options.k]]


def _as_hits(gallery: Gallery, query: EmbeddedQuery, ranking: list[Candidate]) -> list[PictureHit]:
    """A ranking as hits, each with what is known of the picture and its alignment with the query."""
    if not ranking:
        return []
    mean, deviation = score_distribution(gallery, query.vector)
    ids = [candidate.item for candidate in ranking]
    items = {i.id: i for i in gallery.items(ids=ids)}
    strongest = query.slices[int(np.argmax(query.weights))]  # (n, D)
    hits = []
    for rank, (candidate, slices) in enumerate(zip(ranking, gallery.slices(ids), strict=True)):
        item = items[candidate.item]
        similarity = strongest @ slices.T  # (n, m)
        margin = (candidate.cosine - mean) / deviation if deviation > 0 else 0.0
        hits.append(
            PictureHit(
                item=item.id,
                name=item.name,
                caption=item.caption,
                score=candidate.score,
                rank=rank,
                shortlist_score=candidate.cosine,
                rank_before=candidate.before,
                path=_path(similarity),
                similarity=similarity,
                margin=margin,
                relevance=relevance(margin),
                taken=item.taken,
                day_from_name=item.day_from_name,
                width=item.width,
                height=item.height,
                camera=item.camera,
                duplicates=candidate.duplicates,
            )
        )
    return hits


def _found_by(hit: PictureHit, named: bool) -> Literal["words", "meaning", "both"]:
    """A picture that holds the words counts as found by meaning too when its own margin is not weak."""
    if not named:
        return "meaning"
    return "words" if hit.relevance == "weak" else "both"


def _path(similarity: np.ndarray) -> tuple[tuple[int, int], ...]:
    """The DTW path through (n, m) cosines."""
    n, m = similarity.shape
    if m == 1:
        return tuple((i, 0) for i in range(n))
    if n == 1:
        return tuple((0, j) for j in range(m))
    path, _ = dtw_path_from_phi(np.maximum(2 - 2 * similarity.astype(np.float64), 0))
    return tuple((int(i), int(j)) for i, j in path)
