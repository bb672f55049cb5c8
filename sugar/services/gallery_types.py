"""What the gallery service takes and gives: typed requests, results and a page's state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

__all__ = ["AddRequest", "Cell", "GalleryState", "Group", "Listing"]


Jpeg = bytes


@dataclass
class GalleryState:
    """What one page keeps: the gallery that is shown, its order, and the picture that is open.

    failed: what could not be taken in; uploads among it wait for another try.
    """

    name: str = ""
    order: str = "newest"
    favourites: bool = False
    opened: int | None = None
    failed: list[AddRequest] = field(default_factory=list)


@dataclass(frozen=True)
class AddRequest:
    """Files to take in. remove: they are uploads, and go when the run has taken them in."""

    gallery: str
    paths: tuple[Path, ...]
    remove: bool = False


@dataclass(frozen=True)
class Listing:
    """All pictures of a gallery as ids, in order, by month ("2025-08", or "" where no time is known).

    pending: how many the loaded model has not embedded yet. leaving: how many can still be brought back.
    problem: why the gallery cannot be read, and what to do; "" when it can.
    """

    name: str
    read_only: bool
    months: tuple[tuple[str, tuple[int, ...]], ...]
    pending: int = 0
    leaving: int = 0
    bytes: int = 0
    order: str = "newest"
    problem: str = ""

    @property
    def count(self) -> int:
        return sum(len(ids) for _, ids in self.months)


@dataclass(frozen=True)
class Cell:
    """One picture as a grid shows it."""

    id: int
    name: str
    caption: str
    by_model: str
    taken: datetime | None
    favourite: bool
    indexed: bool
    width: int
    height: int
    bytes: int
    camera: str
    location: tuple[float, float] | None = None
    day_from_name: bool = False
    thumbnail: Jpeg = field(repr=False, default=b"")


@dataclass(frozen=True)
class Group:
    """Pictures that show the same thing; the first is the better one: more pixels, then more bytes."""

    cells: tuple[Cell, ...]
