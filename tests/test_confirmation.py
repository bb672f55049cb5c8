"""A profile names only kinds of query for which asking the model does not lower recall@1."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from sugar.core import Sugar
from sugar.retrieval import KINDS, confirm, kind_of
from sugar.scenes import long_caption, picture, sample_edit, sample_scene, split_rng
from sugar.sequence import PictureHit, Sample

TRIALS = 16


@dataclass(frozen=True)
class Trial:
    """A query and three pictures: the target, another change of the same scene, and any scene."""

    query: Sample
    pictures: tuple[Image.Image, ...]


class Pictures:
    """What `confirm` needs of a gallery."""

    def __init__(self, pictures: tuple[Image.Image, ...]) -> None:
        self.pictures = pictures

    def picture(self, item: int) -> Image.Image:
        return self.pictures[item]


class Asked:
    """The model, asked about one kind of query whatever its profile says."""

    def __init__(self, model: Sugar, kind: str) -> None:
        self.agreement, self.profile = model.agreement, replace(model.profile, confirms=(kind,))


def trials(kind: str) -> list[Trial]:
    rng = split_rng("tuning", 11)
    made = []
    for _ in range(TRIALS):
        before = sample_scene(rng)
        edit, other = sample_edit(before, rng), sample_edit(before, rng)
        shown = tuple(picture(s, 96) for s in (edit.after, other.after, sample_scene(rng)))
        words = long_caption(edit.after, rng).words
        query = Sample(words) if kind == "caption" else Sample([picture(before, 96), edit.instruction])
        made.append(Trial(query, shown))
    return made


def right(hits: list[PictureHit]) -> bool:
    return hits[0].item == 0


@pytest.fixture(scope="module")
def model() -> Sugar:
    return Sugar.from_pretrained("sugar-tiny", device="cpu")


def ranked(model: Sugar, trial: Trial) -> list[PictureHit]:
    cosines = model.embed([Sample(p) for p in trial.pictures]).pooled @ model.embed([trial.query]).pooled[0]
    order = np.argsort(-cosines)
    return [
        PictureHit(item=int(i), name=str(i), score=float(cosines[i]), rank=rank, rank_before=rank)
        for rank, i in enumerate(order)
    ]


@pytest.mark.parametrize("kind", KINDS[:2])
def test_confirmation_never_lowers_recall(model: Sugar, kind: str) -> None:
    """With the model's own profile, which names no kind: the hits stay as the embedding ranks them."""
    before, after = [], []
    for trial in trials(kind):
        assert kind_of(trial.query) == kind
        hits = ranked(model, trial)
        before.append(right(hits))
        after.append(right(confirm(hits, Pictures(trial.pictures), model, trial.query)))
    assert sum(after) >= sum(before)


def test_why_the_profile_names_no_kind(model: Sugar) -> None:
    """Asked all the same, it ranks long captions worse. When this fails, name the kind in the profile."""
    asked = Asked(model, "caption")
    before, after = [], []
    for trial in trials("caption"):
        hits = ranked(model, trial)
        before.append(right(hits))
        after.append(right(confirm(hits, Pictures(trial.pictures), asked, trial.query)))
    assert sum(after) < sum(before)
