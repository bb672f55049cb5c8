"""The data set room: one small file a format, all yielding `Example`s.

    open_data(["coco=data/coco#val:2", "gallery=holiday"])        # [(data set, weight), ...]

README.md of the training room lists the formats. Not covered: what is learnt (recipes).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import Path

from sugar.errors import SettingsError
from sugar.paths import existing, shown, there
from sugar.training.data.example import Dataset

__all__ = ["FORMATS", "open_data", "open_one"]

FORMATS = {
    "folder": ("captions", "open_folder"),
    "coco": ("captions", "open_coco"),
    "flickr": ("captions", "open_flickr"),
    "albums": ("albums", "open_albums"),
    "texts": ("texts", "open_texts"),
    "llava": ("llava", "open_llava"),
    "mmc4": ("interleaved", "open_mmc4"),
    "vist": ("interleaved", "open_vist"),
    "webdataset": ("webdataset", "open_webdataset"),
    "gallery": ("gallery", "open_gallery"),
    "drawn": ("drawn", "open_drawn"),
}
"""Format -> (file of this room, its function). A function takes a path and a split, and returns a Dataset."""

NO_PATH = ("drawn", "gallery", "webdataset")
"""Formats that may be named by something else: nothing, a gallery's name, a pattern of tars."""

SPEC = re.compile(
    r"(?:(?P<kind>\w+)=)?(?P<path>[^#]*?)(?:#(?P<split>[\w-]+))?(?::(?P<weight>\d+(?:\.\d+)?))?"
)


def open_one(spec: str) -> tuple[Dataset, float]:
    """A data set and its weight from `FORMAT=PATH#SPLIT:WEIGHT`; the format is `folder` where none is
    named."""
    match = SPEC.fullmatch(spec)
    kind = match and (match["kind"] or ("drawn" if match["path"] == "drawn" else "folder"))
    if match is None or kind not in FORMATS:
        raise SettingsError(
            f"--data {shown(spec)} is not FORMAT=PATH#SPLIT:WEIGHT. Formats: {', '.join(FORMATS)}."
        )
    given = match["path"]
    path = existing(given) or Path(given) if kind in NO_PATH else there(given, f"--data {kind}")
    module, function = FORMATS[kind]
    opener = getattr(importlib.import_module(f"sugar.training.data.{module}"), function)
    return opener(path, match["split"] or ""), float(match["weight"] or 1)


def open_data(specs: Sequence[str]) -> list[tuple[Dataset, float]]:
    """The data sets of `--data`, in order. Raises SettingsError without any."""
    if not specs:
        raise SettingsError(
            "Name what to train on: --data FOLDER, or --data FORMAT=PATH. `python -m sugar data` helps."
        )
    return [open_one(spec) for spec in specs]
