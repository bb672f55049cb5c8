"""Text in pictures, read on this machine: PP-OCR's models as the package rapidocr holds them.

    for line in read(image):      # top to bottom; [] where there is none
        line.text, line.box       # "TOTAL 12.30", (.07, .41, .5, .46)

Latin, Chinese and Japanese letters, upright or turned. It runs on one thread, so that who asks decides
how many pictures are read at once. Not covered: which pictures are read (sugar/cluster/job.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image

from sugar.errors import SettingsError

SIDE = 1_280
"""Pixels of the longer side from which a picture is read: larger ones are made smaller first."""

MOST_LINES, MOST_LETTERS = 40, 2_000
SURE = 0.7
"""How sure the reader must be of a line; below it, patterns in fur and leaves are read as letters."""


@dataclass(frozen=True)
class Line:
    """A line of text. box: left, top, right and bottom as shares of the picture's width and height."""

    text: str
    box: tuple[float, float, float, float]


def read(image: Image.Image) -> list[Line]:
    """At most MOST_LINES lines of a picture, MOST_LETTERS letters in all.

    Raises SettingsError: the reader is not installed.
    """
    image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    found = _reader()(np.asarray(image)[:, :, ::-1])  # it takes blue first
    if found.txts is None:
        return []
    lines: list[Line] = []
    letters = 0
    for text, corners, sure in zip(found.txts, found.boxes, found.scores, strict=True):
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if sure < SURE or len(text) < 2:
            continue
        letters += len(text)
        if letters > MOST_LETTERS or len(lines) == MOST_LINES:
            break
        low, high = corners.min(0) / image.size, corners.max(0) / image.size
        left, top, right, bottom = np.clip([*low, *high], 0, 1).tolist()
        lines.append(Line(text, (left, top, right, bottom)))
    return lines


@lru_cache(maxsize=1)
def _reader() -> Any:
    try:
        engine = import_module("rapidocr").RapidOCR
    except ImportError as error:
        raise SettingsError(
            f"Text in pictures needs rapidocr, which is not installed ({error}). "
            "Run: pip install -r sugar/cluster/requirements.txt"
        ) from None
    one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    return engine(params={"Global.log_level": "critical", **one})
