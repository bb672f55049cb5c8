"""What a person hands over - files, folders, zips, bytes - as one flat list of sources and refusals.

    for entry in gather(["photos/", "more.zip", ("typed.png", data)], salt="...", limits=UploadLimits()): ...

Nothing is unpacked to disk and no path inside a zip is ever followed. Captions come from a sidecar `name.txt`
and from caption files (captions.py). Not covered: zips in zips, encrypted zips, links that lead out of the
folder, camera raw and video files: each is a Refusal.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sugar.errors import ImageError
from sugar.gallery.archives import Archive, ArchiveError, UploadLimits, open_archive
from sugar.gallery.captions import CAPTION_FILES, MAX_CAPTION_FILE, MAX_SIDECAR, CaptionFiles, sidecar_caption
from sugar.gallery.names import clean_caption, clean_name
from sugar.gallery.sources import Refusal, Source, SourceLike, is_ignored, not_a_picture
from sugar.paths import existing, missing

__all__ = ["folder_origin", "gather"]

Entries = list[Source | Refusal]


def gather(
    sources: SourceLike | Iterable[SourceLike],
    *,
    salt: str,
    limits: UploadLimits,
    captions: Mapping[str, str] | None = None,
) -> Entries:
    """Everything in the sources, in a stable order.

    captions: {file name or path: caption}, stronger than any file's.
    """
    if isinstance(sources, (str, os.PathLike)) or (
        isinstance(sources, tuple) and len(sources) == 2 and isinstance(sources[1], bytes)
    ):
        sources = [sources]  # type: ignore[list-item]
    given = {unicodedata.normalize("NFC", k): clean_caption(v) for k, v in (captions or {}).items()}
    out: Entries = []
    for source in sources:  # type: ignore[union-attr]
        try:
            out += _one(source, salt, limits)
        except OSError as error:
            reason = f"The file cannot be read ({error.strerror}). Check the name and the permissions."
            out.append(Refusal(clean_name(Path(source).name), reason))  # type: ignore[arg-type]
    return _within(limits, (_finished(e, given) for e in out))


def _one(source: SourceLike, salt: str, limits: UploadLimits) -> Entries:
    if isinstance(source, tuple):
        name, data = source
        if name.lower().endswith(".zip"):
            return _zip(name, io.BytesIO(data), _origin(salt, "zip", name), limits)
        return [Source(name, "", len(data), -1, lambda cap: data[: cap + 1])]
    path = existing(source)
    if path is None:
        return [Refusal(clean_name(Path(source).name), f"{missing(source)} Check the name.")]
    if path.is_dir():
        return _folder(path, salt, limits)
    if path.suffix.lower() == ".zip":
        return _zip(path.name, path, _origin(salt, "zip", path.name), limits)
    return [_file(path, path.name, folder_origin(salt, path.parent))]


def _finished(entry: Source | Refusal, given: Mapping[str, str]) -> Source | Refusal:
    """Apply typed captions, and clean the name last: looking up used the name as it was."""
    if isinstance(entry, Refusal):
        return entry
    caption = entry.caption
    for key in (PurePosixPath(entry.name).name, entry.name):
        caption = given.get(unicodedata.normalize("NFC", key), caption)
    return replace(entry, name=clean_name(entry.name), caption=caption)


def _within(limits: UploadLimits, entries: Iterable[Source | Refusal]) -> Entries:
    """The entries up to the caps of one upload; one refusal stands for all that is over them."""
    out: Entries = []
    files = size = 0
    over = ""
    for entry in entries:
        if isinstance(entry, Source):
            files, size = files + 1, size + entry.size
            reason = ""
            if files > limits.max_files:
                reason = f"one upload takes {limits.max_files:,} files."
            elif size > limits.max_bytes:
                reason = f"one upload takes {limits.max_bytes / 1e9:g} GB."
            if reason and not over:
                over = reason
                out.append(
                    Refusal(entry.name, f"This and all later files: {reason} Send the rest in another.")
                )
            if reason:
                continue
        out.append(entry)
    return out


def _origin(salt: str, kind: str, where: str) -> str:
    return hashlib.sha256(f"{salt}|{kind}|{where}".encode("utf-8", "replace")).hexdigest()[:16]


def folder_origin(salt: str, folder: str | os.PathLike) -> str:
    """The origin of the files of a folder."""
    return _origin(salt, "folder", str(Path(folder).resolve()))


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
            caption = sidecar_caption(file.read(MAX_SIDECAR))
    return Source(name, origin, stat.st_size, stat.st_mtime_ns, read, caption, taken)


def _folder(root: Path, salt: str, limits: UploadLimits) -> Entries:
    out: Entries = []
    inside = root.resolve()
    captions = CaptionFiles()
    for where, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not is_ignored(f))
        for name in CAPTION_FILES:
            if name in files:
                path = Path(where, name)
                with open(path, "rb") as file:
                    captions.read(path.relative_to(root).as_posix(), file.read(MAX_CAPTION_FILE))
        for name in sorted(files):
            if is_ignored(name) or name.lower() in CAPTION_FILES or name.lower().endswith(".txt"):
                continue
            path = Path(where, name)
            label = path.relative_to(root).as_posix()
            try:
                out += _in_folder(path, label, inside, captions, salt, limits)
            except OSError as error:
                reason = f"The file cannot be read ({error.strerror}). Check its permissions."
                out.append(Refusal(clean_name(label), reason))
    return [*captions.refusals, *out]


def _in_folder(
    path: Path, label: str, inside: Path, captions: CaptionFiles, salt: str, limits: UploadLimits
) -> Entries:
    """One file of a folder, whose own path is `inside`."""
    if path.is_symlink() and not path.resolve().is_relative_to(inside):
        return [Refusal(clean_name(label), "A link that leads out of the folder. Copy the file itself.")]
    if path.suffix.lower() == ".zip":
        return _zip(label, path, _origin(salt, "zip", f"{inside}/{label}"), limits)
    if (reason := not_a_picture(path.name)) is not None:
        return [Refusal(clean_name(label), reason)]
    if not path.is_file():
        return [Refusal(clean_name(label), "Not a regular file.")]
    return [_file(path, label, _origin(salt, "folder", str(inside)), *captions.find(label))]


def _zip(label: str, file: Path | BinaryIO, origin: str, limits: UploadLimits) -> Entries:
    try:
        archive = open_archive(file, label, limits)
    except ArchiveError as error:
        return [Refusal(clean_name(label), str(error))]
    entries = sorted(archive.entries, key=lambda e: e.filename)
    texts = {e.filename: e for e in entries if e.filename.lower().endswith(".txt")}
    captions = CaptionFiles()
    for entry in entries:
        if PurePosixPath(entry.filename).name.lower() in CAPTION_FILES and not _climbs(entry.filename):
            try:
                captions.read(entry.filename, archive.read(entry, MAX_CAPTION_FILE))
            except ArchiveError as error:
                captions.refusals.append(Refusal(clean_name(f"{label}/{entry.filename}"), str(error)))
    out: Entries = [*captions.refusals]
    for entry in entries:
        path = PurePosixPath(entry.filename)
        climbs = _climbs(entry.filename)
        if path.name.lower() in CAPTION_FILES or path.suffix.lower() == ".txt":
            continue
        if any(is_ignored(part) for part in path.parts) and not climbs:
            continue
        reason: str | None = None
        if climbs:
            reason = "Its path climbs out of the zip. Not opened."
        elif path.suffix.lower() == ".zip":
            reason = "A zip inside a zip. Unpack it first."
        else:
            reason = not_a_picture(path.name)
        if reason is not None:
            out.append(Refusal(clean_name(f"{label}/{entry.filename}"), reason))
            continue
        caption, taken = captions.find(entry.filename)
        if not caption and (side := texts.get(str(path.with_suffix(".txt")))) is not None:
            with suppress(ArchiveError):
                caption = sidecar_caption(archive.read(side, MAX_SIDECAR))
        read = _reader(archive, entry)
        out.append(Source(entry.filename, origin, entry.file_size, entry.CRC, read, caption, taken))
    return out


def _reader(archive: Archive, entry: zipfile.ZipInfo) -> Callable[[int], bytes]:
    def read(cap: int) -> bytes:
        try:
            return archive.read(entry, cap)
        except ArchiveError as error:
            raise ImageError(str(error)) from None

    return read


def _climbs(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or re.match(r"^[A-Za-z]:", name) is not None
