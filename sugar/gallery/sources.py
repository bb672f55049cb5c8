"""The values that an ingest reads: `Source`, one named file, and `Refusal`, one that is not taken and why."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sugar.gallery.names import clean_name
from sugar.images import SUFFIXES

__all__ = ["KINDS", "Refusal", "Source", "SourceLike", "is_ignored", "not_a_picture", "passed_over"]

SourceLike = str | os.PathLike | tuple[str, bytes]
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}


@dataclass(frozen=True, eq=False)
class Source:
    """One file to take in. `read(cap)` gives at most cap + 1 of its bytes, or raises ImageError.

    mtime: in nanoseconds (for a zip entry its CRC), -1 when there is none to compare. origin: a salted hash
    of the folder or zip, so that the same folder is known again while no path is kept. clock: when it was
    taken, in UTC, where the picture itself does not say it better. there: whether
    another file of this origin, which is not handed over with this one, may still be in its place.
    """

    name: str
    origin: str
    size: int
    mtime: int
    read: Callable[[int], bytes]
    caption: str = ""
    taken: datetime | None = None
    clock: datetime | None = None
    there: Callable[[str], bool] = lambda name: False


@dataclass(frozen=True, eq=False)
class Refusal:
    """One file that is not taken in, and why.

    kind: "" for one that a person should look at by itself; else of KINDS, which are told together.
    """

    name: str
    reason: str
    kind: str = ""


KINDS = {
    "video": ("passed over", "videos"),
    "raw": ("passed over", "camera raw files"),
    "other": ("passed over", "other files"),
    "link": ("passed over", "linked folders"),
    "zip": ("passed over", "zips"),
    "row": ("passed over", "rows of caption files"),
    "line": ("passed over", "rows of caption files"),
    "guess": ("guessed", "texts"),
    "outside": ("refused", "links"),
    "folder": ("refused", "folders"),
}
"""Kinds of files that come by the thousand -> their status in a report (reports.py) and what they are."""

_VIDEO = ".mp4 .m4v .mov .avi .mkv .webm .3gp .3g2 .mts .m2ts .mpg .mpeg .wmv .flv .ogv .insv"
_RAW = ".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .raf .orf .rw2 .pef .srw .raw .rwl .x3f .iiq .3fr .gpr"
_WHY = {
    "video": "Videos are not taken in.",
    "raw": "Camera raw files are not read. Export them as JPEG or TIFF.",
    "other": "Not a picture that we can open. Use JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF.",
}


def is_ignored(name: str) -> bool:
    """Whether a file or folder name is a system's own and passed over in silence."""
    return name.startswith(".") or name.lower() in _IGNORED


def not_a_picture(name: str) -> str:
    """The kind (of KINDS) of a file whose name says that it is no picture; "" when it may be one."""
    suffix = Path(name).suffix.lower()
    if suffix in SUFFIXES or not suffix:
        return ""
    return "video" if suffix in _VIDEO.split() else "raw" if suffix in _RAW.split() else "other"


def passed_over(name: str, label: str = "") -> Refusal:
    """A file that is no picture, by its name. label: what to call it."""
    kind = not_a_picture(name) or "other"
    return Refusal(clean_name(label or name), _WHY[kind], kind)
