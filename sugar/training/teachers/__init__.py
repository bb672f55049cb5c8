"""The frozen encoders whose cosines are the labels: the Triple Kernel's three roles, and exact stand-ins.

    teachers = CachedEncoders(open_teachers("triple"), Path("runs/vectors"))
    teachers.prepare(slices)                          # computed once, in batches, with a progress bar
    labels(batch_facts(example, positions, teachers))    # (P, P), through sugar.dtw.label_matrix

Sets: `triple`, `triple-small` (DINOv2, CLIP, BGE from the hub), `DINO,CLIP,BGE` (three folders), `words`
(the captions' own words, no download), `dual:FOLDER` (a dual encoder of one's own), `scenes` (the drawn
world's facts). A recipe may bring another:
anything with the methods of `EncoderSet`. Not covered: the kernel itself (sugar/dtw).
"""

from __future__ import annotations

from sugar.errors import SettingsError
from sugar.paths import there
from sugar.training.teachers.cache import CachedEncoders
from sugar.training.teachers.dual import DualEncoders
from sugar.training.teachers.encoders import EncoderSet, TripleFolders
from sugar.training.teachers.labels import (
    BatchFacts,
    batch_facts,
    draw_positions,
    label_statistics,
    labels,
    merge,
)
from sugar.training.teachers.scenes import SceneEncoders
from sugar.training.teachers.words import WordEncoders

__all__ = [
    "CachedEncoders",
    "EncoderSet",
    "BatchFacts",
    "SceneEncoders",
    "TripleFolders",
    "WordEncoders",
    "batch_facts",
    "draw_positions",
    "label_statistics",
    "labels",
    "merge",
    "open_teachers",
]


def open_teachers(name: str, *, device: str = "cpu") -> EncoderSet:
    """A set by its name.

    Raises SettingsError for an unknown one, ModelError when its encoders cannot be had.
    """
    if name == "words":
        return WordEncoders()
    if name.startswith("dual:"):
        return DualEncoders.open(there(name.removeprefix("dual:"), "--teachers dual:"))
    if name in ("scenes", "scenes-bag"):
        return SceneEncoders("bag" if name == "scenes-bag" else "exact")
    folders = name.split(",")
    if name.startswith("triple") or len(folders) == 3:
        given = name if len(folders) != 3 else [there(f, "--teachers") for f in folders]
        return TripleFolders.open(given, device=device)
    raise SettingsError(
        f"--teachers {name!r} is not known. Use words, scenes, triple, triple-small, dual:FOLDER, or three "
        "folders DINO,CLIP,BGE."
    )
