"""The values of a gallery: `Item`, one picture without its pixels, and `Filters`, conditions on items."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sugar import place
from sugar.errors import InputError
from sugar.search_words import fold
from sugar.taken import Taken

__all__ = ["Filters", "Item"]


@dataclass(frozen=True)
class Item:
    """One picture of a gallery, without its pixels.

    width, height, bytes, format: of the source file. taken: the camera's local time; day_from_name: only the
    file's name says it. location: (latitude, longitude) in degrees, where the gallery keeps locations.
    caption_by: "" for a person's caption, else the
    name of the model that wrote it. has_vectors: the model at hand has embedded it.
    """

    id: int
    name: str
    caption: str
    sha256: str
    width: int
    height: int
    format: str
    bytes: int
    taken: datetime | None
    camera: str
    location: tuple[float, float] | None
    added: datetime
    has_vectors: bool
    suffix: str
    favourite: bool = False
    caption_by: str = ""
    day_from_name: bool = False

    @property
    def taken_text(self) -> str:
        """`taken` as text, with a "?" where only the name says it; "" for none."""
        return "" if self.taken is None else str(Taken(self.taken, self.day_from_name))


@dataclass(frozen=True)
class Filters:
    """Conditions on items; all of them must hold. Case and accents are ignored.

    after, before: a date or datetime, inclusive; items without a time never match. name, camera: part of it.
    caption: words that must all be in the caption. min_side: pixels of the shorter side at least; max_side:
    of the longer side at most. favourite, captioned: True, False, or None for both.
    near: (latitude, longitude, kilometres); items without a location never match.
    """

    after: date | None = None
    before: date | None = None
    name: str = ""
    caption: str = ""
    min_side: int = 0
    max_side: int | None = None
    camera: str = ""
    favourite: bool | None = None
    captioned: bool | None = None
    near: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        for key in ("after", "before"):
            if (value := getattr(self, key)) is not None and not isinstance(value, date):
                raise InputError(f"{key} is {value!r}; give a date or a datetime.")
        if self.near is not None and place.pair(*self.near[:2]) is None:
            raise InputError(f"near is {self.near}; give latitude, longitude in degrees, and kilometres.")

    def where(self) -> tuple[str, list[object]]:
        """An SQL condition on items `i`, and its values."""
        terms: list[tuple[str, tuple[object, ...]]] = []
        if self.after is not None:
            terms.append(("i.taken >= ?", (self.after.isoformat(),)))
        if self.before is not None:
            exact = isinstance(self.before, datetime)
            terms.append(("i.taken <= ?", (self.before.isoformat() + ("" if exact else "T99"),)))
        for column, part in (("name", self.name), ("camera", self.camera)):
            if part.strip():
                terms.append((f"instr(fold(i.{column}), ?)", (fold(part.strip()),)))
        terms += [("instr(fold(i.caption), ?)", (word,)) for word in fold(self.caption).split()]
        if self.min_side:
            terms.append(("min(i.width, i.height) >= ?", (self.min_side,)))
        if self.max_side is not None:
            terms.append(("max(i.width, i.height) <= ?", (self.max_side,)))
        if self.favourite is not None:
            terms.append(("i.favourite = ?", (int(self.favourite),)))
        if self.captioned is not None:
            terms.append(("(i.caption <> '') = ?", (int(self.captioned),)))
        if self.near is not None:
            terms.append(("kilometres(i.latitude, i.longitude, ?, ?) <= ?", tuple(self.near)))
        return " AND ".join(t for t, _ in terms) or "1", [v for _, values in terms for v in values]
