"""Search a gallery with any order of words and pictures.

    search(gallery, model, Sample("a dog"))                                  # list[Hit], best first
    search(gallery, model, Sample([picture, "the same, but at night"]))      # a picture and a change; the picture itself is left out
    search(gallery, model, [Term(Sample("a dog"), 2.0), Term(Sample("snow"), -1.0)])      # weights and a minus sign
    search_story(gallery, model, Sample(["we arrived", picture, "it got dark"]))    # runs of consecutive pictures that tell that story
    search_positions(gallery, model, sample)                                 # hits for every position of the sequence

    search(gallery, model, query, *, k=12, rerank=True, shortlist=100, filters=Filters(), exclude=(), exclude_own=True, collapse=True,
           delta=0.7) -> list[Hit]
        query: a Sample, or Terms (sample, weight); exclude: item ids; exclude_own: leave out pictures that the query itself shows;
        collapse: of near-duplicates only the best is a hit, the others are in hit.meta["duplicates"] (ids)
    search_story(gallery, model, story, *, k=5, filters=Filters(), exclude_own=False) -> list[Hit]
        hit.items: the run's ids in order of time; hit.path: pairs (story slice, position in the run); hit.item: the run's first
    search_positions(gallery, model, query, *, k=1, ...as search) -> list[list[Hit]]      one list per slice of the query
    Filters(after=None, before=None, name="", caption="", min_side=0, max_side=None)      dates are date or datetime, both inclusive
    confirm(hits, gallery, model, query, *, top=6) -> list[Hit]      the best hits in order of the chat model's "yes", on request
    parse_terms(text) -> list[Term]              "a red star, dog^2, -night": commas part terms, ^ weighs, a leading minus subtracts
    approximate_recall(gallery, *, queries=100, k=10) -> float      share of flat search's top k that the index in use finds

Every Hit carries both scores, both ranks, path, similarity, margin; hit.meta has "taken", "width", "height", "camera", "duplicates" and
"relevance", a word from the margin. Items without vectors cannot be hits: `gallery.pending()` lists them.

**How the final order comes about.** Slice vectors are prefix vectors: the query's last one, q_n, has seen the whole query. The shortlist
is by its inner product with the items' pooled vectors p_0. The normalised kernel K over all slices collapses when lengths differ
(1 against 5 slices: about .02 even when matched), so sequences of equal length are compared: with l = min(n, m), the query's last l
slices (which lose nothing, being prefixes) against each window of l slices of the item, the best window counting, and

    score = sqrt( k(q_n, p_0) * max_window K(q_{n-l+1..n}, p_window) ),      both at sigma = delta * sqrt(l), in [0, 1]

the geometric mean of what the whole query says about the picture and what the alignment says about picture and caption. For an item
of one slice (a picture without caption) both factors are the slice kernel, so the order is that of the cosine, as the paper has it
for single slices, and re-ranking changes nothing; it acts on captioned items. `rerank=False` gives the first factor alone, so the
effect can be measured. Several terms: the product of score ** (weight / sum of |weight|), a term with a minus sign giving 1 - score
instead: all the wanted things at once, none of the unwanted (a sum would be content with one of them).

Not covered: generation from hits (sugar/rag.py), learned fusion of the two scores.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sugar.dtw import PackedSequences, dtw_path_from_phi, subsequence_dtw
from sugar.errors import InputError
from sugar.gallery import Embedder, Filters, Gallery
from sugar.images import near_duplicate, signature
from sugar.sequence import Hit, Sample

__all__ = ["Filters", "Term", "approximate_recall", "parse_terms", "search", "search_positions", "search_story"]

_FEW = 3  # items below which a gallery has no score distribution to speak of


@dataclass(frozen=True, eq=False)
class Term:
    """One part of a weighted query. A negative weight looks away from it."""

    sample: Sample
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight) or self.weight == 0:
            raise InputError(f"A term's weight is {self.weight}; give a number other than 0, negative to look away from the term.")


@dataclass(frozen=True, eq=False)
class _Query:
    """Embedded terms: weights (T,), slices T arrays (n_t, D), vector (D,) unit, marks (pictures, 192) of the query's own pictures."""

    weights: np.ndarray
    slices: list[np.ndarray]
    vector: np.ndarray
    marks: np.ndarray


def parse_terms(text: str) -> list[Term]:
    """`a red star, dog^2, -night` -> three terms with weights 1, 2, -1. Raises InputError when nothing is left or a weight is no number."""
    terms = []
    for part in filter(str.strip, text.split(",")):
        words, caret, number = part.strip().rpartition("^")
        words, weight = (words, number) if caret and words else (part.strip(), "1")
        if re.fullmatch(r"\s*\d*\.?\d+\s*", weight) is None:
            raise InputError(f"{weight!r} is not a weight. Write a number after ^, as in: dog^2")
        sign, words = (-1.0, words[1:]) if words.startswith("-") else (1.0, words)
        terms.append(Term(Sample(words.strip()), sign * float(weight)))
    if not terms:
        raise InputError("The query is empty. Type some words.")
    return terms


def search(
    gallery: Gallery,
    model: Embedder,
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
    """The k best pictures for a query; see the module's docstring. Raises InputError: k or shortlist below 1, terms that cancel out."""
    embedded = _embed(model, [Term(query)] if isinstance(query, Sample) else list(query), exclude_own)
    with gallery.lock:
        return _search(gallery, embedded, k, rerank, shortlist, filters, exclude, collapse, delta)


def confirm(hits: Sequence[Hit], gallery: Gallery, model: Any, query: Sample, *, top: int = 6) -> list[Hit]:
    """The `top` best hits in order of the chat model's own "yes" to whether the picture fits the query, then the others as they were.

    One answer of the model per hit, so it costs seconds where the search costs milliseconds. hit.meta["agreement"] is p(yes), in
    [0, 1]; `rank` is the new one, `rank_before` stays that of the shortlist. model: has `agreement(query, candidates)`.
    """
    first = list(hits[:top])
    if not first:
        return []
    sure = model.agreement(query, [Sample(gallery.picture(hit.item)) for hit in first])
    order = sorted(range(len(first)), key=lambda i: -float(sure[i]))
    asked = [replace(first[i], meta={**first[i].meta, "agreement": float(sure[i])}) for i in order]
    return [replace(hit, rank=rank) for rank, hit in enumerate([*asked, *hits[top:]])]


def search_positions(
    gallery: Gallery,
    model: Embedder,
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
    """For every slice i of the query, the hits for its prefix 1..i: one model call, as each slice vector stands for its prefix."""
    slices = model.embed([query]).slices[0]
    marks = _marks([query]) if exclude_own else np.zeros((0, 192), np.uint8)
    prefixes = [_Query(np.ones(1), [slices[: i + 1]], slices[i], marks) for i in range(len(slices))]
    with gallery.lock:
        return [_search(gallery, p, k, rerank, shortlist, filters, exclude, collapse, delta) for p in prefixes]


def search_story(
    gallery: Gallery,
    model: Embedder,
    story: Sample,
    *,
    k: int = 5,
    filters: Filters | None = None,
    exclude_own: bool = False,
) -> list[Hit]:
    """The k best runs of consecutive pictures (by time taken, then name) that tell the story, best first, never overlapping.

    Each story slice is embedded alone, as the pictures are; the run is found by subsequence DTW over phi = |a - b|^2, every slice
    matching one or more pictures in a row and no step backwards. score = 1 - cost / (2 * slices), clipped to [0, 1]: the mean cosine along
    the path, where a slice that takes more than one picture pays for each. shortlist_score: the mean cosine along the path;
    rank_before: the rank by it. margin: against all straight runs of the gallery.
    """
    if k < 1:
        raise InputError(f"k is {k}; ask for at least one run.")
    rows = model.embed([Sample(s) for s in story]).pooled  # (n, D)
    with gallery.lock:
        return _stories(gallery, rows, _marks([story]) if exclude_own else _marks([]), k, filters or Filters())


def approximate_recall(gallery: Gallery, *, queries: int = 100, k: int = 10) -> float:
    """recall@k of the index in use against exact search, over `queries` stored vectors spread over the gallery. 1.0 for a flat index."""
    rows = gallery.spread()
    rows = rows[:: max(1, len(rows) // queries)][:queries]
    if not len(rows) or gallery.index_info["kind"] == "flat":
        return 1.0
    found, truth = gallery.nearest(rows, k)[1], gallery.nearest(rows, k, exact=True)[1]
    return float(np.mean([len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)]))


def _embed(model: Embedder, terms: Sequence[Term], own: bool) -> _Query:
    if not terms:
        raise InputError("The query is empty. Type some words or choose a picture.")
    embeddings = model.embed([t.sample for t in terms])
    weights = np.array([t.weight for t in terms])
    vector = (weights[:, None] * embeddings.pooled).sum(0)  # (D,)
    length = float(np.linalg.norm(vector))
    if length < 1e-6:
        raise InputError("The terms cancel each other out. Change a weight, or leave one of them away.")
    marks = _marks([t.sample for t in terms]) if own else np.zeros((0, 192), np.uint8)
    return _Query(weights, embeddings.slices, (vector / length).astype(np.float32), marks)


def _stories(gallery: Gallery, rows: np.ndarray, marks: np.ndarray, k: int, filters: Filters) -> list[Hit]:
    """rows (n, D), one per story slice; marks (pictures, 192) of pictures to leave out."""
    ids = gallery.matching(filters)
    if len(ids) and len(marks):
        ids = ids[~near_duplicate(gallery.signatures(ids.tolist())[:, None], marks[None]).any(1)]
    if not len(ids):
        return []
    pictures = gallery.pooled(ids)  # (N, D)
    similarity = rows @ pictures.T  # (n, N)
    runs = subsequence_dtw(rows, pictures, k)
    mean, deviation = _straight(similarity)
    means = [float(np.mean([similarity[i, j] for i, j in run.path])) for run in runs]
    before = np.argsort(np.argsort([-m for m in means], kind="stable"), kind="stable")
    items = {i.id: i for i in gallery.items(ids=[int(i) for run in runs for i in ids[run.start : run.stop]])}
    hits: list[Hit] = []
    for rank, (run, average) in enumerate(zip(runs, means, strict=True)):
        told = tuple(int(i) for i in ids[run.start : run.stop])
        first, last = items[told[0]], items[told[-1]]
        margin = float((mean - run.cost) / deviation) if deviation > 0 else 0.0
        meta = {"taken": first.taken, "until": last.taken, "names": [items[i].name for i in told], "relevance": _word(margin)}
        hits.append(
            Hit(
                item=first.id, name=first.name, caption=first.caption, score=float(np.clip(1 - run.cost / (2 * len(rows)), 0, 1)),
                rank=len(hits), shortlist_score=average, rank_before=int(before[rank]),
                path=tuple((int(i), int(j) - run.start) for i, j in run.path), similarity=similarity[:, run.start : run.stop],
                margin=margin, items=told, meta=meta,
            )
        )  # fmt: skip
    return hits


def _marks(samples: Sequence[Sample]) -> np.ndarray:
    """(pictures, 192) uint8 signatures of all pictures in the samples."""
    found = [np.frombuffer(signature(image), np.uint8) for sample in samples for image in sample.images]
    return np.stack(found) if found else np.zeros((0, 192), np.uint8)


def _search(
    gallery: Gallery, query: _Query, k: int, rerank: bool, shortlist: int, filters: Filters | None, exclude: Iterable[int],
    collapse: bool, delta: float,
) -> list[Hit]:  # fmt: skip
    if k < 1 or shortlist < 1:
        raise InputError(f"k is {k} and shortlist {shortlist}; both must be at least 1.")
    only = gallery.matching(filters) if filters is not None and filters != Filters() else None
    unwanted = {int(i) for i in exclude}
    want = max(shortlist, k)
    fetch = want + len(unwanted)
    while True:
        scores, found = gallery.nearest(query.vector[None], fetch, only)
        kept = [(int(i), float(s)) for i, s in zip(found[0], scores[0], strict=True) if i >= 0 and int(i) not in unwanted]
        ids, marks = [i for i, _ in kept], np.zeros((0, 192), np.uint8)
        if (collapse or len(query.marks)) and kept:
            marks = gallery.signatures(ids)
        if len(query.marks) and kept:
            other = np.flatnonzero(~near_duplicate(marks[:, None], query.marks[None]).any(1))
            kept, marks = [kept[p] for p in other], marks[other]
        final = _scores(gallery, query, kept, delta, rerank) if kept else np.zeros(0)
        places = np.argsort(-final, kind="stable").tolist() if rerank else list(range(len(kept)))
        leaders, followers = _collapsed(places, marks, k) if collapse and kept else (places[:k], {})
        if len(leaders) >= k or found.shape[1] < fetch or (found[0] < 0).any():
            break
        fetch *= 4
    if not kept:
        return []
    mean, deviation = _distribution(gallery, query.vector)
    chosen = [kept[p][0] for p in leaders]
    items = {i.id: i for i in gallery.items(ids=chosen)}
    main = query.slices[int(np.argmax(query.weights))]
    hits: list[Hit] = []
    for place, slices in zip(leaders, gallery.slices(chosen), strict=True):
        ident, pooled = kept[place]
        item = items[ident]
        similarity = main @ slices.T  # (n, m)
        margin = (pooled - mean) / deviation if deviation > 0 else 0.0
        meta: dict[str, Any] = {
            "taken": item.taken, "width": item.width, "height": item.height, "camera": item.camera,
            "duplicates": [kept[p][0] for p in followers.get(place, [])], "relevance": _word(margin),
        }  # fmt: skip
        hits.append(
            Hit(
                item=item.id, name=item.name, caption=item.caption, score=float(final[place]), rank=len(hits), shortlist_score=pooled,
                rank_before=place, path=_path(similarity), similarity=similarity, margin=margin, meta=meta,
            )
        )  # fmt: skip
    return hits


def _scores(gallery: Gallery, query: _Query, kept: Sequence[tuple[int, float]], delta: float, rerank: bool) -> np.ndarray:
    """(N,) the module docstring's score of every (item, inner product)."""
    items = gallery.slices([i for i, _ in kept])
    pooled = np.array([s[0] for s in items])  # (N, D)
    more = [p for p, rows in enumerate(items) if len(rows) > 1]
    total = np.zeros(len(items))  # of logarithms
    for weight, slices in zip(query.weights, query.slices, strict=True):
        whole = _slice_kernel(pooled @ slices[-1], delta)  # (N,)
        score = whole.copy()
        if rerank and more:  # for an item of one slice the alignment is that very kernel
            score[more] = np.sqrt(whole[more] * _aligned(slices, [items[p] for p in more], delta))
        total += abs(weight) * np.log(np.clip(score if weight > 0 else 1 - score, 1e-12, 1))
    return np.exp(total / np.abs(query.weights).sum())


def _slice_kernel(cosine: np.ndarray, delta: float) -> np.ndarray:
    """Cuturi's kernel of two unit slices: g / (2 - g), g = exp(-phi / (2 delta^2)), phi = 2 - 2 cos."""
    g = np.exp(-np.maximum(2 - 2 * cosine.astype(np.float64), 0) / (2 * delta * delta))
    return g / (2 - g)


def _aligned(query: np.ndarray, items: Sequence[np.ndarray], delta: float) -> np.ndarray:
    """(N,) best normalised kernel of the query's last l slices over windows of l item slices, l = min(n, m) per item."""
    best = np.zeros(len(items))
    windows: dict[int, list[tuple[int, np.ndarray]]] = {}
    for place, rows in enumerate(items):
        size = min(len(query), len(rows))
        windows.setdefault(size, []).extend((place, rows[j : j + size]) for j in range(len(rows) - size + 1))
    for size, chosen in windows.items():
        places = np.array([p for p, _ in chosen])
        if size == 1:
            values = _slice_kernel(np.concatenate([w for _, w in chosen]) @ query[-1], delta)
        else:
            values = np.asarray(PackedSequences.from_list([w for _, w in chosen]).gak(query[-size:], delta=delta), np.float64)
        np.maximum.at(best, places, values)
    return np.clip(best, 0, 1)


def _collapsed(places: Sequence[int], marks: np.ndarray, k: int) -> tuple[list[int], dict[int, list[int]]]:
    """(the first k leaders in order, {leader: places that show the same picture}); marks (N, 192) by place."""
    leaders: list[int] = []
    followers: dict[int, list[int]] = {}
    left = np.array(places)
    while len(left) and len(leaders) < k:
        leader, left = int(left[0]), left[1:]
        same = near_duplicate(marks[left], marks[leader])
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


def _distribution(gallery: Gallery, vector: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the gallery's own inner products with the query; (0, 0) for a gallery of a few."""
    scores = gallery.spread() @ vector
    return (float(scores.mean()), float(scores.std())) if len(scores) >= _FEW else (0.0, 0.0)


def _straight(similarity: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the cost of telling the story one picture per slice from every place; (0, 0) for a few places."""
    n, total = similarity.shape
    count = total - n + 1
    if count < _FEW:
        return 0.0, 0.0
    costs = np.sum([2 - 2 * similarity[i, i : i + count].astype(np.float64) for i in range(n)], axis=0)
    return float(np.mean(costs)), float(np.std(costs))


def _word(margin: float) -> str:
    """A margin in standard deviations over the gallery's own scores, in a word."""
    return "clear" if margin >= 3 else "likely" if margin >= 1.5 else "weak"
