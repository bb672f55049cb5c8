"""The values of a gallery: `Item`, one picture without its pixels; `Filters`; `GallerySettings`; `Note`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from datetime import date, datetime

from sugar import place
from sugar.errors import InputError, SettingsError
from sugar.gallery.archives import UploadLimits
from sugar.images import ImageLimits
from sugar.search_words import fold
from sugar.taken import Taken

MAX_CAPTION = 2000
MAX_NAME = 255
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def clean_name(name: str) -> str:
    """A file name without control characters or lone surrogates, at most 255 characters."""
    name = name.encode("utf-8", "replace").decode("utf-8")
    return _UNSAFE.sub(" ", name).strip()[-MAX_NAME:] or "unnamed"


def clean_caption(text: str) -> str:
    """A caption without control characters other than line ends, at most 2,000 characters."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+", " ", text.replace("\r\n", "\n")).strip()[:MAX_CAPTION]


def original_file(sha256: str, format: str) -> str:
    """The name of a stored original: "SHA256-original.heif"."""
    return f"{sha256}-original.{format.lower()}"


@dataclass(frozen=True)
class Item:
    """One picture of a gallery, without its pixels.

    width, height, bytes, format: of the source file. taken: the camera's local time; day_from_name: only the
    file's name says it. location: (latitude, longitude) in degrees, where the gallery keeps locations.
    caption_by: "" for a person's caption, else the model that wrote it. text: what was read in it.
    has_vectors: of the model at hand.
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
    text: str = ""

    @property
    def said(self) -> str:
        """Its caption, then what was read in it, a line each."""
        return "\n".join(filter(None, (self.caption, self.text)))

    day_from_name: bool = False

    @property
    def file(self) -> str:
        """The name of the working copy."""
        return f"{self.sha256}{self.suffix}"

    @property
    def original(self) -> str:
        """The name of the stored original, of an upload whose original is kept."""
        return original_file(self.sha256, self.format)

    @property
    def taken_text(self) -> str:
        """`taken` as text, with a "?" where only the name says it; "" for none."""
        return "" if self.taken is None else str(Taken(self.taken, self.day_from_name))


@dataclass(frozen=True)
class Note:
    """A passage, or a question with its answer, that is kept with a gallery. answer: "" for a passage."""

    id: int
    name: str
    text: str
    answer: str


@dataclass(frozen=True)
class Filters:
    """Conditions on items; all of them must hold. Case and accents are ignored.

    after, before: a date or datetime, inclusive; items without a time never match. name, camera: part of it.
    caption: words that must all be in the caption. min_side: pixels of the shorter side at least; max_side:
    of the longer side at most. favourite, captioned: True, False, or None for both.
    near: (latitude, longitude, kilometres); items without a location never match. month, day: of any year.
    excluded: texts; an item whose name holds one, or whose caption holds all words of one, does not match.
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
    month: int | None = None
    day: int | None = None
    excluded: tuple[str, ...] = ()

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
        for start, number in ((6, self.month), (9, self.day)):
            if number is not None:
                terms.append((f"substr(i.taken, {start}, 2) = ?", (f"{number:02d}",)))
        for column, part in (("name", self.name), ("camera", self.camera)):
            if part.strip():
                terms.append((f"instr(fold(i.{column}), ?)", (fold(part.strip()),)))
        terms += [("instr(fold(i.caption), ?)", (word,)) for word in fold(self.caption).split()]
        for text in filter(None, (fold(part).strip() for part in self.excluded)):
            words = text.split()
            holds = " AND ".join("instr(fold(i.caption), ?)" for _ in words)
            terms.append((f"NOT (instr(fold(i.name), ?) OR {holds})", (text, *words)))
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


@dataclass(frozen=True)
class GallerySettings:
    """What a gallery keeps and how much it takes; stored in the gallery itself.

    keep_location: store where a picture was taken (off: it is never read, and stored originals lose it).
    keep_originals: store uploads as they came, beside the working copies. caption_vectors: embed captions
    beside their pictures. picture_side: pixels of the longer side of the working copy. The rest are caps:
    pictures and source bytes per gallery, bytes and pixels per file, files and bytes per upload,
    bytes of an import, packed and unpacked.
    """

    keep_location: bool = False
    keep_originals: bool = True
    caption_vectors: bool = True
    picture_side: int = 1024
    max_items: int = 2_000_000
    max_gallery_bytes: int = 2_000_000_000_000
    max_file_bytes: int = 30_000_000
    max_pixels: int = 80_000_000
    max_upload_files: int = 200_000
    max_upload_bytes: int = 500_000_000_000
    max_import_bytes: int = 500_000_000_000

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.type == "int" and getattr(self, f.name) < 1:
                raise SettingsError(f"{f.name} is {getattr(self, f.name)}; give a number of at least 1.")

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(max_bytes=self.max_file_bytes, max_pixels=self.max_pixels)

    @property
    def upload_limits(self) -> UploadLimits:
        return UploadLimits(max_files=self.max_upload_files, max_bytes=self.max_upload_bytes)

    @classmethod
    def from_json(cls, text: str) -> GallerySettings:
        """Raises SettingsError for an unknown key, and for what are no settings."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        kinds = {f.name: type(f.default) for f in fields(cls)}
        if not isinstance(values, dict) or any(
            type(v) is not kinds.get(k, type(v)) for k, v in values.items()
        ):
            raise SettingsError(
                f"The gallery's own settings are damaged ({text[:60]!r}). Restore its folder from a backup, "
                "or delete the gallery."
            )
        if unknown := set(values) - set(kinds):
            raise SettingsError(
                f"Unknown gallery settings {sorted(unknown)}. A newer program made it; use that one."
            )
        return cls(**values)


VISITOR_SETTINGS = GallerySettings(
    keep_originals=False,
    max_items=2_000,
    max_gallery_bytes=2_000_000_000,
    max_upload_files=1_000,
    max_upload_bytes=1_000_000_000,
)
"""For a shared host: small caps, copies, and no location ever."""
