"""What a long run reads and tells: `Source`, `Refusal`; `Progress`, `FileResult`, `IngestReport`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sugar.gallery.items import clean_name
from sugar.images import SUFFIXES

SourceLike = str | os.PathLike | tuple[str, bytes]
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}

# -- read


@dataclass(frozen=True)
class Told:
    """What is told of a picture. taken: local time; clock: the time in UTC, where no better is known.

    favourite, location: what an XMP sidecar says.
    """

    caption: str = ""
    taken: datetime | None = None
    clock: datetime | None = None
    favourite: bool = False
    location: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """One file to take in. `read(cap)` gives at most cap + 1 of its bytes, or raises ImageError.

    mtime: in nanoseconds (for a zip entry its CRC), -1 when there is none to compare. origin: a salted hash
    of the folder or zip. there: whether another file of this origin, which is not handed over with this one,
    may still be in its place. folder: the path of a folder whose originals stay there; "" for what is stored
    as it came.
    """

    name: str
    origin: str
    size: int
    mtime: int
    read: Callable[[int], bytes]
    told: Told = Told()
    there: Callable[[str], bool] = lambda name: False
    folder: str = ""

    @property
    def caption(self) -> str:
        """What files beside it, or a person, say that it shows."""
        return self.told.caption


@dataclass(frozen=True, eq=False)
class Refusal:
    """One file that is not taken in, and why.

    kind: "" for one that a person should look at by itself; else of _KINDS, which are told together.
    """

    name: str
    reason: str
    kind: str = ""


_KINDS = {
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
"""Kinds of files that come by the thousand -> their status in a report and what they are."""

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
    """The kind (of _KINDS) of a file whose name says that it is no picture; "" when it may be one."""
    suffix = Path(name).suffix.lower()
    if suffix in SUFFIXES or not suffix:
        return ""
    return "video" if suffix in _VIDEO.split() else "raw" if suffix in _RAW.split() else "other"


def passed_over(name: str, label: str = "") -> Refusal:
    """A file that is no picture, by its name. label: what to call it."""
    kind = not_a_picture(name) or "other"
    return Refusal(clean_name(label or name), _WHY[kind], kind)


# -- told

GOOD = ("added", "updated", "renamed", "unchanged", "duplicate")
STATUSES = (*GOOD, "refused", "no vectors", "passed over", "guessed", "left as it was")


@dataclass(frozen=True)
class FileResult:
    """The result for one file: a status of STATUSES, the reason if any, and the item it stands for.

    files: how many one row stands for, where many of a kind are told together.
    """

    name: str
    status: str
    reason: str = ""
    item: int | None = None
    files: int = 1


def together(refusals: Sequence[Refusal]) -> list[FileResult]:
    """One row for each kind of refusals, with three of them by name; in the order of _KINDS."""
    out = []
    for kind, (status, what) in _KINDS.items():
        mine = [r for r in refusals if r.kind == kind]
        if len(mine) == 1:
            out.append(FileResult(mine[0].name, status, mine[0].reason))
        elif mine:
            reasons = list(dict.fromkeys(r.reason for r in mine))
            told = ", ".join(r.name if len(reasons) == 1 else f"{r.name} ({r.reason})" for r in mine[:3])
            told += f" and {len(mine) - 3:,} more" if len(mine) > 3 else ""
            told = f"{reasons[0]} {told}" if len(reasons) == 1 else told
            out.append(FileResult(f"{len(mine):,} {what}", status, told, files=len(mine)))
    return out


@dataclass(frozen=True)
class Progress:
    """How far a run is. rate: files per second; current: the last file's name."""

    done: int
    total: int
    added: int
    refused: int
    rate: float
    current: str = ""

    @classmethod
    def after(
        cls, seconds: float, done: int, total: int, added: int, refused: int, current: str = ""
    ) -> Progress:
        """Progress, its rate worked out from the seconds that the run has taken so far."""
        return cls(done, total, added, refused, done / max(seconds, 1e-6), current)

    def __str__(self) -> str:
        counts = f"{self.done:,} of {self.total:,} · {self.added:,} added, {self.refused:,} refused"
        return f"{counts} · {self.rate:.1f}/s"


@dataclass
class IngestReport:
    """The result of a whole run: one row per file, in order, then one for each kind that was passed over.

    `counts`: files by status; `said`: the rows that a person should read. Files after a cancel have no row.
    """

    rows: list[FileResult] = field(default_factory=list)
    cancelled: bool = False
    seconds: float = 0.0

    def _count(self, status: str) -> int:
        return sum(r.files for r in self.rows if r.status == status)

    added = property(lambda self: self._count("added"))
    updated = property(lambda self: self._count("updated"))
    renamed = property(lambda self: self._count("renamed"))
    unchanged = property(lambda self: self._count("unchanged"))
    duplicate = property(lambda self: self._count("duplicate"))
    refused = property(lambda self: self._count("refused"))
    without_vectors = property(lambda self: self._count("no vectors"))

    @property
    def said(self) -> list[FileResult]:
        return [row for row in self.rows if row.status not in GOOD]

    @property
    def counts(self) -> dict[str, int]:
        return {status: n for status in STATUSES if (n := self._count(status))}

    def __str__(self) -> str:
        parts = ", ".join(f"{n:,} {status}" for status, n in self.counts.items()) or "nothing to take in"
        end = " (cancelled; what is done is kept)" if self.cancelled else ""
        return f"{parts} in {self.seconds:.1f} s{end}"
