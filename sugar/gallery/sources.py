"""What a person hands over - files, folders, zips, bytes - as one flat list of named sources, or refusals with their reason.

    entries, captions = gather(["photos/", "more.zip", ("typed.png", data)], salt="...", limits=UploadLimits())
    for entry in entries: ...                                  # Source (read() gives its bytes, capped) or Refusal

Nothing is unpacked to disk and no path inside a zip is ever followed; a zip is read entry by entry. Captions come from a sidecar
`name.txt`, and from `captions.csv` or `captions.jsonl` (file, caption, and optionally taken, an ISO time). A source's origin is a salted
hash of the folder or the zip's name, so that the same folder is known again while no path is kept.

Not covered: zips in zips, encrypted zips, links that lead out of the folder, camera raw and video files: each is a Refusal.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import threading
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sugar.errors import ImageError
from sugar.images import SUFFIXES

SourceLike = str | os.PathLike | tuple[str, bytes]
_CAPTION_FILES = ("captions.csv", "captions.jsonl")
_MAX_CAPTION = 2000
_MAX_CAPTION_FILE = 20_000_000
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}


@dataclass(frozen=True)
class UploadLimits:
    """Caps on one upload: files, bytes in all, and how many times its own size a zip may unfold to."""

    max_files: int = 200_000
    max_bytes: int = 500_000_000_000
    max_unfold: int = 200


@dataclass(frozen=True, eq=False)
class Source:
    """One file to take in. `mtime` is in nanoseconds (for a zip entry: its CRC), -1 when there is none to compare."""

    name: str
    origin: str
    size: int
    mtime: int
    read: Callable[[int], bytes]
    caption: str = ""
    taken: datetime | None = None


@dataclass(frozen=True)
class Refusal:
    """One file that is not taken in, and why."""

    name: str
    reason: str


@dataclass
class _Captions:
    """Captions by path below the folder or zip, from the caption files in it; a row speaks of files beside or below its caption file."""

    rows: dict[str, tuple[str, datetime | None]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    def find(self, name: str) -> tuple[str, datetime | None]:
        return self.rows.get(unicodedata.normalize("NFC", name), ("", None))

    def add(self, file: str, caption: object, taken: object = None) -> None:
        when = None
        with suppress(ValueError, TypeError):
            when = datetime.fromisoformat(str(taken)).replace(tzinfo=None) if taken else None
        self.rows[unicodedata.normalize("NFC", file)] = (clean_caption(str(caption or "")), when)

    def read(self, name: str, data: bytes) -> None:
        """name: the caption file's own path; its rows are taken relative to it."""
        parent = name.rpartition("/")[0]

        def path(file: str) -> str:
            return f"{parent}/" * bool(parent) + file.replace("\\", "/").strip()

        text = data.decode("utf-8-sig", "replace")
        try:
            if name.lower().endswith(".jsonl"):
                for line in filter(str.strip, text.splitlines()):
                    row = json.loads(line)
                    self.add(path(str(row["file"])), row.get("caption"), row.get("taken"))
            else:
                rows = list(csv.reader(io.StringIO(text)))
                columns = {"file": 0, "caption": 1, "taken": 2}
                if rows and "file" in (head := [c.strip().lower() for c in rows[0]]):
                    columns = {c: head.index(c) for c in columns if c in head}
                    rows = rows[1:]
                for row in rows:
                    cells = {c: row[i] for c, i in columns.items() if i < len(row)}
                    if cells.get("file", "").strip():
                        self.add(path(cells["file"]), cells.get("caption"), cells.get("taken"))
        except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
            self.refusals.append(Refusal(clean_name(name), f"The caption file cannot be read ({error}). Give file, caption in each row."))


def clean_name(name: str) -> str:
    """A file name fit for a page and a database: no control characters, no lone surrogates, at most 255 characters."""
    name = name.encode("utf-8", "replace").decode("utf-8")
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+", " ", name).strip()[-255:] or "unnamed"


def clean_caption(text: str) -> str:
    """A caption without control characters other than line ends, at most 2,000 characters."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+", " ", text.replace("\r\n", "\n")).strip()[:_MAX_CAPTION]


def gather(
    sources: SourceLike | Iterable[SourceLike], *, salt: str, limits: UploadLimits, captions: Mapping[str, str] | None = None
) -> list[Source | Refusal]:
    """Everything in the sources, in a stable order. captions: {file name or path: caption}, stronger than any file's."""
    if isinstance(sources, (str, os.PathLike)) or (isinstance(sources, tuple) and len(sources) == 2 and isinstance(sources[1], bytes)):
        sources = [sources]  # type: ignore[list-item]
    out: list[Source | Refusal] = []
    given = {unicodedata.normalize("NFC", k): clean_caption(v) for k, v in (captions or {}).items()}
    budget = _Budget(limits)
    for source in sources:  # type: ignore[union-attr]
        if isinstance(source, tuple):
            name, data = source
            if name.lower().endswith(".zip"):
                out += _zip(name, io.BytesIO(data), len(data), _origin(salt, "zip", name), limits)
            else:
                out.append(Source(name, "", len(data), -1, lambda cap, data=data: data[: cap + 1]))  # type: ignore[misc]
            continue
        path = Path(source)
        try:
            if path.is_dir():
                out += _folder(path, salt, limits)
            elif path.suffix.lower() == ".zip":
                out += _zip(path.name, path, path.stat().st_size, _origin(salt, "zip", path.name), limits)
            else:
                out.append(_file(path, path.name, _origin(salt, "folder", str(path.parent.resolve()))))
        except OSError as error:
            out.append(Refusal(clean_name(path.name), f"The file cannot be read ({error.strerror}). Check the name and the permissions."))
    return [e for e in (_finished(e, given, budget) for e in out) if e is not None]


def _finished(entry: Source | Refusal, given: Mapping[str, str], budget: _Budget) -> Source | Refusal | None:
    """Count against the caps, apply typed captions, and clean the name last: looking up used the name as it was."""
    if isinstance(entry, Refusal):
        return entry
    if (reason := budget.spend(entry.size)) is not None:
        return Refusal(clean_name(entry.name), reason) if budget.said() else None
    caption = entry.caption
    for key in (PurePosixPath(entry.name).name, entry.name):
        caption = given.get(unicodedata.normalize("NFC", key), caption)
    return Source(clean_name(entry.name), entry.origin, entry.size, entry.mtime, entry.read, caption, entry.taken)


class _Budget:
    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._files = self._bytes = self._said = 0

    def spend(self, size: int) -> str | None:
        self._files += 1
        self._bytes += size
        if self._files > self._limits.max_files:
            return f"This and all later files: one upload takes {self._limits.max_files:,} files. Send the rest in another."
        if self._bytes > self._limits.max_bytes:
            return f"This and all later files: one upload takes {self._limits.max_bytes / 1e9:g} GB. Send the rest in another."
        return None

    def said(self) -> bool:
        """True the first time: one row stands for all that is over the cap."""
        self._said += 1
        return self._said == 1


def _origin(salt: str, kind: str, where: str) -> str:
    return hashlib.sha256(f"{salt}|{kind}|{where}".encode("utf-8", "replace")).hexdigest()[:16]


def _file(path: Path, name: str, origin: str, caption: str = "", taken: datetime | None = None) -> Source:
    stat = path.stat()

    def read(cap: int) -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read(cap + 1)
        except OSError as error:
            raise ImageError(f"The file cannot be read ({error.strerror}). Check its permissions.") from None

    if not caption and (side := path.with_suffix(".txt")).is_file() and side != path:
        with open(side, "rb") as file:
            caption = clean_caption(file.read(4 * _MAX_CAPTION).decode("utf-8-sig", "replace"))
    return Source(name, origin, stat.st_size, stat.st_mtime_ns, read, caption, taken)


def _folder(root: Path, salt: str, limits: UploadLimits) -> list[Source | Refusal]:
    out: list[Source | Refusal] = []
    inside = root.resolve()
    origin = _origin(salt, "folder", str(inside))
    captions = _Captions()
    for where, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not _ignored(f))
        for name in _CAPTION_FILES:
            if name in files:
                path = Path(where, name)
                with open(path, "rb") as file:
                    captions.read(path.relative_to(root).as_posix(), file.read(_MAX_CAPTION_FILE))
        for name in sorted(files):
            path = Path(where, name)
            label = path.relative_to(root).as_posix()
            if _ignored(name) or name.lower() in _CAPTION_FILES or name.lower().endswith(".txt"):
                continue
            try:
                if path.is_symlink() and not path.resolve().is_relative_to(inside):
                    out.append(Refusal(clean_name(label), "A link that leads out of the folder. Copy the file itself."))
                elif path.suffix.lower() == ".zip":
                    out += _zip(label, path, path.stat().st_size, _origin(salt, "zip", f"{inside}/{label}"), limits)
                elif (reason := _not_a_picture(name)) is not None:
                    out.append(Refusal(clean_name(label), reason))
                elif not path.is_file():
                    out.append(Refusal(clean_name(label), "Not a regular file."))
                else:
                    out.append(_file(path, label, origin, *captions.find(label)))
            except OSError as error:
                out.append(Refusal(clean_name(label), f"The file cannot be read ({error.strerror}). Check its permissions."))
    return [*captions.refusals, *out]


def _zip(label: str, file: Path | BinaryIO, size: int, origin: str, limits: UploadLimits) -> list[Source | Refusal]:
    try:
        archive = zipfile.ZipFile(file)
        entries = [e for e in archive.infolist() if not e.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:  # RuntimeError: a zip version that Python does not read
        return [Refusal(clean_name(label), f"The zip is damaged or cut short ({error}). Make or download it again.")]
    if len(entries) > limits.max_files:
        return [Refusal(clean_name(label), f"The zip lists {len(entries):,} files; one upload takes {limits.max_files:,}. Split it.")]
    unfolded = sum(e.file_size for e in entries)
    if unfolded > 50_000_000 and unfolded > limits.max_unfold * max(size, 1):
        return [Refusal(clean_name(label), f"The zip unfolds to {unfolded / 1e9:.1f} GB from {size / 1e6:.2f} MB: a zip bomb. Not opened.")]
    lock = threading.Lock()  # a ZipFile shares one file position between its readers

    def reader(entry: zipfile.ZipInfo) -> Callable[[int], bytes]:
        def read(cap: int) -> bytes:
            try:
                with lock, archive.open(entry) as opened:
                    return opened.read(cap + 1)
            except Exception as error:  # each decompressor has errors of its own; a hostile entry may raise any, and the rest goes on
                raise ImageError(f"The zip entry cannot be read ({error}). It is damaged, encrypted or packed in an unknown way.") from None

        return read

    texts = {e.filename: e for e in entries if e.filename.lower().endswith(".txt")}
    captions = _Captions()
    for entry in sorted(entries, key=lambda e: e.filename):
        if PurePosixPath(entry.filename).name.lower() in _CAPTION_FILES and not _climbs(entry.filename):
            try:
                captions.read(entry.filename, reader(entry)(_MAX_CAPTION_FILE))
            except ImageError as error:
                captions.refusals.append(Refusal(clean_name(f"{label}/{entry.filename}"), str(error)))
    out: list[Source | Refusal] = [*captions.refusals]
    for entry in sorted(entries, key=lambda e: e.filename):
        path = PurePosixPath(entry.filename)
        shown = f"{label}/{entry.filename}"
        if any(_ignored(part) for part in path.parts) and not _climbs(entry.filename):
            continue
        if path.name.lower() in _CAPTION_FILES or path.suffix.lower() == ".txt":
            continue
        if _climbs(entry.filename):
            out.append(Refusal(clean_name(shown), "Its path climbs out of the zip. Not opened."))
        elif path.suffix.lower() == ".zip":
            out.append(Refusal(clean_name(shown), "A zip inside a zip. Unpack it first."))
        elif (reason := _not_a_picture(path.name)) is not None:
            out.append(Refusal(clean_name(shown), reason))
        else:
            caption, taken = captions.find(entry.filename)
            if not caption and (side := texts.get(str(path.with_suffix(".txt")))) is not None:
                with suppress(ImageError):
                    caption = clean_caption(reader(side)(4 * _MAX_CAPTION).decode("utf-8-sig", "replace"))
            out.append(Source(entry.filename, origin, entry.file_size, entry.CRC, reader(entry), caption, taken))
    return out


def _climbs(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or re.match(r"^[A-Za-z]:", name) is not None


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED


def _not_a_picture(name: str) -> str | None:
    suffix = Path(name).suffix.lower()
    if suffix in SUFFIXES or not suffix:
        return None
    return f"{suffix} is not a picture we can open. Use JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF."
