"""The values that an ingest reads: `Source`, one named file, and `Refusal`, one that is not taken and why."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sugar.images import SUFFIXES

__all__ = ["Refusal", "Source", "SourceLike", "is_ignored", "not_a_picture"]

SourceLike = str | os.PathLike | tuple[str, bytes]
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}


@dataclass(frozen=True, eq=False)
class Source:
    """One file to take in. `read(cap)` gives at most cap + 1 of its bytes, or raises ImageError.

    mtime: in nanoseconds (for a zip entry its CRC), -1 when there is none to compare. origin: a salted hash
    of the folder or zip, so that the same folder is known again while no path is kept.
    """

    name: str
    origin: str
    size: int
    mtime: int
    read: Callable[[int], bytes]
    caption: str = ""
    taken: datetime | None = None


@dataclass(frozen=True, eq=False)
class Refusal:
    """One file that is not taken in, and why."""

    name: str
    reason: str


def is_ignored(name: str) -> bool:
    """Whether a file or folder name is a system's own and passed over in silence."""
    return name.startswith(".") or name.lower() in _IGNORED


def not_a_picture(name: str) -> str | None:
    """Why a file of this name cannot be a picture; None when it may be one."""
    suffix = Path(name).suffix.lower()
    if suffix in SUFFIXES or not suffix:
        return None
    return f"{suffix} is not a picture we can open. Use JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF."
