"""The cut-off below which a search says "no close match": measured on queries with and without a match.

    found = measure_cut_off(present, absent, wrongly_refused=0.05)  # fitted on a half, measured on the other
    found.cut_off, found.refused, found.auroc
    drawn_cosines(model, seed=3, size=60)          # (present, absent) for the drawn world
    photo_cosines(model, Archive("DATA"), 300)     # the same for photos of the dev split

It stands in the metadata of the checkpoint as `profile.abstain["search"]`, a cosine of caption and picture.
For questions to photos without captions `half_cosine` fits `profile.evidence["half_cosine"]`
(sugar/rag/evidence.py): the balanced cut-off then answers a set share of the questions about absent things.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from sugar.core import Sugar
from sugar.evaluation.comparison import share_interval
from sugar.evaluation.tasks.photos import area
from sugar.everyday.archive import Archive
from sugar.everyday.facts import Facts
from sugar.scenes import draw, sample_scene, split_rng
from sugar.scenes.words import article
from sugar.sequence import Sample

QUESTIONS = ("what is the {} doing?", "what color is the {}?", "where is the {}?", "is there a {}?")
"""Wordings of a question about a thing in a photo."""


@dataclass(frozen=True)
class CutOff:
    """A cut-off and what it does to queries that it was not fitted on.

    Args:
        cut_off: the cosine that the best picture must reach.
        queries: with a match, and as many without, that the shares are of.
        wrongly_refused: share of the queries with a match that it refuses.
        refused: share of the queries without a match that it refuses.
        auroc: how well the best cosine tells the two kinds of query apart, whatever the cut-off.
        bounds: of the three, the 95 % interval over queries.
    """

    cut_off: float
    queries: int = 0
    wrongly_refused: float = 0.0
    refused: float = 0.0
    auroc: float = 0.0
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)


def halves(values: np.ndarray, wordings: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Every second object with all its wordings, and the others.

    >>> [half.tolist() for half in halves(np.array([1, 2, 3, 10, 20, 30]), wordings=2)]
    [[1, 3, 10, 30], [2, 20]]
    """
    rows = values.reshape(wordings, -1)
    return rows[:, ::2].ravel(), rows[:, 1::2].ravel()


def measure_cut_off(present: np.ndarray, absent: np.ndarray, wrongly_refused: float = 0.05) -> CutOff:
    """The largest cut-off that refuses at most a share of the queries with a match: of every second one.
    What it does is measured on the others.

    present, absent: the cosine of the best picture, per object with and without a match.

    >>> found = measure_cut_off(np.array([0.6, 0.7, 0.8, 0.9]), np.array([0.1, 0.2, 0.65, 0.75]), 0.0)
    >>> found.cut_off, found.queries, found.wrongly_refused, found.refused, found.auroc
    (0.6, 2, 0.0, 0.5, 0.75)
    """
    (fitted, own), (_, other) = halves(present), halves(absent)
    cut = float(np.quantile(fitted, wrongly_refused, method="lower"))
    rng = np.random.default_rng(0)
    drawn = [area(rng.choice(own, len(own)), rng.choice(other, len(other))) for _ in range(1000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    shares = float((own < cut).mean()), float((other < cut).mean())
    bounds = {
        name: share_interval(share, len(own))
        for name, share in zip(("wrongly_refused", "refused"), shares, strict=True)
    }
    bounds["auroc"] = float(low), float(high)
    return CutOff(cut, len(own), *shares, area(own, other), bounds)


def drawn_cosines(model: Sugar, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Best cosines in a gallery of `size` drawn scenes, for each object by colour and kind that occurs in it.

    Returns:
        (present, absent): with all pictures, and with those that show nothing of the kind.
    """
    rng = split_rng("tuning", seed)
    scenes = [sample_scene(rng) for _ in range(size)]
    kinds = {obj.phrase: obj.kind for scene in scenes for obj in scene.objects}
    named = sorted(kinds)
    queries = [Sample(article(phrase)) for phrase in named]
    similarity = _cosines(model, queries, [Sample(Image.fromarray(draw(s))) for s in scenes])
    shows = np.array([[any(t.kind == kinds[p] for t in s.objects) for s in scenes] for p in named])
    return similarity.max(1), np.where(shows, -np.inf, similarity).max(1)


def photo_cosines(
    model: Sugar, archive: Archive, size: int, wordings: Sequence[str] = ("a {}",)
) -> tuple[np.ndarray, np.ndarray]:
    """The same in a gallery of photos of the dev split, for each object that a photo's captions agree on.

    wordings: each with {} for the object.
    """
    names = archive.split("dev")[:size]
    facts = [Facts(archive.captions(name)) for name in names]
    objects = sorted({obj for photo in facts for obj in photo.agreed()})
    pictures = [Sample(image) for image in archive.photos("flickr8k", names)]
    queries = [Sample(wording.format(obj)) for wording in wordings for obj in objects]
    similarity = _cosines(model, queries, pictures)
    agreed = np.array([[obj in photo.agreed() for photo in facts] for obj in objects] * len(wordings))
    absent = np.array([[photo.absent(obj) for photo in facts] for obj in objects] * len(wordings))
    kept = absent.any(1) & agreed.any(1)
    return similarity.max(1)[kept], np.where(absent, similarity, -np.inf).max(1)[kept]


def _cosines(model: Sugar, queries: list[Sample], pictures: list[Sample]) -> np.ndarray:
    """(queries, pictures)"""
    return model.embed(queries).pooled @ model.embed(pictures).pooled.T


def half_cosine(absent: np.ndarray, balanced: float, answered: float = 0.2) -> float:
    """The scale at which c^2 / (c^2 + half^2) reaches `balanced` for at most a share of the absent things.

    absent: the cosine of the best picture, per question without a match.
    """
    return float(np.quantile(absent, 1 - answered)) * ((1 - balanced) / balanced) ** 0.5


def write_cut_off(folder: Path, found: CutOff, half: float | None = None) -> None:
    """Put the cut-off, and the scale of `half_cosine`, into the profile of the checkpoint's sugar.json."""
    path = folder / "sugar.json"
    settings = json.loads(path.read_text("utf-8"))
    profile = settings.setdefault("profile", {})
    profile.setdefault("abstain", {})["search"] = round(found.cut_off, 3)
    if half is not None:
        profile.setdefault("evidence", {})["half_cosine"] = round(half, 3)
    path.write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n", "utf-8")
