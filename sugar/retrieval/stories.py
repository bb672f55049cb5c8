"""Find runs of consecutive pictures that tell a story."""

from __future__ import annotations

import numpy as np

from sugar.dtw import subsequence_dtw
from sugar.errors import InputError
from sugar.gallery import EmbeddingModel, Filters, Gallery
from sugar.retrieval.scoring import relevance, story_cost_distribution
from sugar.sequence import PictureHit, Sample


def search_story(
    gallery: Gallery,
    model: EmbeddingModel,
    story: Sample,
    *,
    k: int = 5,
    filters: Filters | None = None,
) -> list[PictureHit]:
    """Find the k best runs of pictures, in order of time taken, then name; runs never overlap.

    Each story slice is embedded alone, as the pictures are. Subsequence DTW over phi = |a - b|^2 finds a run:
    every slice matches one or more pictures in a row, and no step goes backwards.

    Args:
        gallery: an open gallery whose vectors come from `model`.
        story: n slices, in order.
        k: how many runs.
        filters: look among these pictures only.
    Returns:
        Hits, best first. hit.items: the run's ids in order of time; hit.item: its first.
        hit.path: pairs (story slice, position in the run).
        hit.score = 1 - cost / (2 n), clipped to [0, 1]: the mean cosine along the path;
        a slice that takes more than one picture pays for each.
        hit.shortlist_score: the mean cosine along the path; hit.rank_before: the rank by it.
        hit.margin: against all runs that take one picture per slice.
    Raises:
        InputError: k is below 1.
    """
    if k < 1:
        raise InputError(f"k is {k}; ask for at least one run.")
    rows = model.embed([Sample(s) for s in story]).pooled  # (n, D)
    with gallery.lock:
        return _runs(gallery, rows, k, filters or Filters())


def _runs(gallery: Gallery, rows: np.ndarray, k: int, filters: Filters) -> list[PictureHit]:
    """rows: (n, D), one per story slice."""
    ids = gallery.matching(filters)
    if not len(ids):
        return []
    pictures = gallery.pooled(ids)  # (N, D)
    similarity = rows @ pictures.T  # (n, N)
    runs = subsequence_dtw(rows, pictures, k)
    mean, deviation = story_cost_distribution(similarity)
    cosines = [float(np.mean([similarity[i, j] for i, j in run.path])) for run in runs]
    before = np.argsort(np.argsort([-c for c in cosines], kind="stable"), kind="stable")
    items = {i.id: i for i in gallery.items(ids=[int(i) for run in runs for i in ids[run.start : run.stop]])}
    hits = []
    for rank, (run, cosine) in enumerate(zip(runs, cosines, strict=True)):
        told = tuple(int(i) for i in ids[run.start : run.stop])
        first, last = items[told[0]], items[told[-1]]
        margin = float((mean - run.cost) / deviation) if deviation > 0 else 0.0
        hits.append(
            PictureHit(
                item=first.id,
                name=first.name,
                caption=first.caption,
                score=float(np.clip(1 - run.cost / (2 * len(rows)), 0, 1)),
                rank=rank,
                shortlist_score=cosine,
                rank_before=int(before[rank]),
                path=tuple((int(i), int(j) - run.start) for i, j in run.path),
                similarity=similarity[:, run.start : run.stop],
                margin=margin,
                relevance=relevance(margin),
                taken=first.taken,
                day_from_name=first.day_from_name,
                items=told,
                names=tuple(items[i].name for i in told),
                until=last.taken,
            )
        )
    return hits
