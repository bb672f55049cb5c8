"""What a person hands over - files, folders, zips, bytes - as one flat list of sources and refusals.

    for entry in gather(["photos/", "more.zip", ("typed.png", data)], salt="...", limits=UploadLimits()): ...
    walk = Walk(folder)               # one walk through a folder, which knows what it could not see

Nothing is unpacked to disk and no path inside a zip is ever followed. Captions come from files beside the
pictures (captions.py). Not covered: zips in zips, encrypted zips, links that lead out of the folder or to
folders, camera raw and video files, folders that cannot be read: each is a Refusal.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sugar.errors import GalleryError, ImageError
from sugar.gallery.archives import Archive, ArchiveError, UploadLimits, open_archive
from sugar.gallery.captions import Captions, is_caption_file
from sugar.gallery.items import MAX_NAME, clean_caption, clean_name
from sugar.gallery.sources import (
    Refusal,
    Source,
    SourceLike,
    Told,
    is_ignored,
    not_a_picture,
    passed_over,
)
from sugar.paths import existing, missing

Entries = list[Source | Refusal]
_Here = Path | tuple[str, bytes]


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
    found = [_located(source) for source in sources]  # type: ignore[union-attr]
    singles = _Singles([s for s in found if not isinstance(s, Refusal) and not _holds_many(s)], salt)
    out: Entries = []
    for source in found:
        try:
            if isinstance(source, Refusal):
                out.append(source)
            elif not _holds_many(source):
                out += singles.entries(source)
            elif isinstance(source, tuple):
                out += _zip(source[0], io.BytesIO(source[1]), salt, limits)
            elif source.is_dir():
                out += _folder(Walk(source), salt, limits, zips=True)
            else:
                out += _zip(source.name, source, salt, limits)
        except OSError as error:
            reason = f"The file cannot be read ({error.strerror}). Check the name and the permissions."
            out.append(Refusal(clean_name(_name(source)), reason))  # type: ignore[arg-type]
    return _within(limits, (_finished(e, given) for e in [*singles.rest, *out]))


def _located(source: SourceLike) -> _Here | Refusal:
    if isinstance(source, tuple):
        return source
    path = existing(source)
    return path or Refusal(clean_name(Path(source).name), f"{missing(source)} Check the name.")


def _name(source: _Here) -> str:
    return source[0] if isinstance(source, tuple) else source.name


def _holds_many(source: _Here) -> bool:
    """Whether it is a zip or a folder."""
    return _name(source).lower().endswith(".zip") or isinstance(source, Path) and source.is_dir()


class _Singles:
    """Files that are handed over one by one; captions may be among them, or lie beside them.

    They come from any folders, as a browser sends those in a folder: of two captions.csv each speaks of all
    pictures, and nothing speaks of a picture whose name is there twice.
    """

    def __init__(self, sources: Sequence[_Here], salt: str) -> None:
        self._salt = salt
        count = Counter(_name(source) for source in sources)
        pictures = [name for name, n in count.items() if n == 1 and not not_a_picture(name)]
        tables: list[dict[str, _Here]] = [{}]
        for source in sources:
            if _is_text(name := _name(source)):
                free = next((t for t in tables if name not in t), None)
                if free is None:
                    tables.append(free := {})
                free[name] = source
        self._captions = [Captions(pictures, texts, partial(_text, texts)) for texts in tables]

    @property
    def rest(self) -> list[Refusal]:
        return [refusal for captions in self._captions for refusal in captions.rest]

    def entries(self, source: _Here) -> Entries:
        name = _name(source)
        if _is_text(name):
            return []
        if not_a_picture(name) in ("video", "raw"):
            return [passed_over(name)]
        told = next((t for c in self._captions if (t := c.of(name)) != Told()), Told())
        if isinstance(source, tuple):
            data = source[1]

            def read(cap: int) -> bytes:
                return data[: cap + 1]

            return [Source(name, "", len(data), -1, read, told)]
        rest = list[Refusal]()
        if told == Told():
            beside = Captions([name], _beside(source), lambda n, most: _head(source.with_name(n), most))
            told, rest = beside.of(name), beside.rest
        origin = folder_origin(self._salt, source.parent)
        return [*rest, _file(source, name, origin, told, lambda n: not is_gone(source.parent / n))]


def _text(texts: Mapping[str, _Here], name: str, most: int) -> bytes:
    source = texts[name]
    return source[1][:most] if isinstance(source, tuple) else _head(source, most)


def _is_text(name: str) -> bool:
    return is_caption_file(name) or name.lower().endswith((".txt", ".json", ".xmp"))


def _head(path: Path, most: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(most)


def _beside(path: Path) -> list[str]:
    """The texts beside a picture that is handed over alone."""
    ends = (".txt", ".json", ".supplemental-metadata.json", ".xmp")
    names = [f"{path.name}{end}" for end in ends] + [f"{path.stem}{end}" for end in (".txt", ".TXT", ".xmp")]
    return [n for n in names if path.with_name(n).is_file()]


def _finished(entry: Source | Refusal, given: Mapping[str, str]) -> Source | Refusal:
    """Apply typed captions, and clean the name last: looking up used the name as it was."""
    if isinstance(entry, Refusal):
        return entry
    caption = entry.caption
    for key in (PurePosixPath(entry.name).name, entry.name):
        caption = given.get(unicodedata.normalize("NFC", key), caption)
    return replace(entry, name=clean_name(entry.name), told=replace(entry.told, caption=caption))


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


def _file(
    path: Path, name: str, origin: str, told: Told, there: Callable[[str], bool], *, folder: str = ""
) -> Source:
    stat = path.stat()

    def read(cap: int) -> bytes:
        try:
            return _head(path, cap + 1)
        except OSError as error:
            raise ImageError(f"The file cannot be read ({error.strerror}). Check its permissions.") from None

    size, mtime = stat.st_size, stat.st_mtime_ns
    return Source(name, origin, size, mtime, read, told, there, folder)


def gather_folder(walk: Walk, salt: str, limits: UploadLimits) -> Entries:
    """Everything in a folder; zips are left alone."""
    return _within(limits, (_finished(e, {}) for e in _folder(walk, salt, limits, zips=False)))


def _folder(walk: Walk, salt: str, limits: UploadLimits, *, zips: bool) -> Entries:
    inside = walk.root.resolve()
    origin = folder_origin(salt, inside)
    pictures = [n for n in walk.files if not not_a_picture(n)]
    texts = [n for n in walk.files if _is_text(n)]
    captions = Captions(pictures, texts, lambda name, most: _head(walk.root / name, most))
    out: Entries = [*captions.rest]
    for name, why in sorted(walk.unseen.items()):
        reason = f"The folder cannot be read ({why}). Check the permissions, or the disk that it is on."
        out.append(Refusal(clean_name(name or inside.name), reason, "folder"))
    linked = "Links are not followed. Add the folder itself."
    out += [Refusal(clean_name(name), linked, "link") for name in walk.links]
    for name in walk.files:
        path = walk.root / name
        try:
            if _is_text(name):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                reason = "A link that leads out of the folder. Copy the file itself."
                out.append(Refusal(clean_name(name), reason, "outside"))
            elif path.suffix.lower() == ".zip":
                left = Refusal(clean_name(name), "Zips in a watched folder are left alone. Add them.", "zip")
                out += _zip(name, path, salt, limits) if zips else [left]
            elif not_a_picture(name):
                out.append(passed_over(name))
            elif not path.is_file():
                out.append(Refusal(clean_name(name), "Not a regular file."))
            else:
                told = captions.of(name)
                out.append(_file(path, name, origin, told, walk.may_hold, folder=str(inside)))
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            reason = f"The file cannot be read ({getattr(error, 'strerror', error)}). Check its permissions."
            out.append(Refusal(clean_name(name), reason))
    return out


def _zip(label: str, file: Path | BinaryIO, salt: str, limits: UploadLimits) -> Entries:
    """Everything in a zip. Its pictures make its origin: another zip of the same name is another one."""
    try:
        archive = open_archive(file, label, limits)
    except ArchiveError as error:
        return [Refusal(clean_name(label), str(error))]
    out: Entries = [Refusal(clean_name(label), archive.guess, "guess")] if archive.guess else []
    good: dict[str, zipfile.ZipInfo] = {}
    for entry in sorted(archive.entries, key=lambda e: e.filename):
        name = entry.filename
        if _climbs(name):
            climbs = "Its path climbs out of the zip. Not opened."
            out.append(Refusal(clean_name(f"{label}/{name}"), climbs))
        elif name.lower().endswith(".zip"):
            out.append(Refusal(clean_name(f"{label}/{name}"), "A zip inside a zip. Unpack it first."))
        elif not any(is_ignored(part) for part in name.split("/")):
            good[_free(name, good)] = entry
    pictures = [n for n in good if not not_a_picture(n)]
    listed = "\n".join(f"{n}|{good[n].CRC}|{good[n].file_size}" for n in pictures)
    origin = _origin(salt, "zip", listed)
    texts = [n for n in good if _is_text(n)]
    captions = Captions(pictures, texts, lambda name, most: archive.read(good[name], most - 1))
    out += [replace(r, name=clean_name(f"{label}/{r.name}")) for r in captions.rest]
    for name, entry in good.items():
        if name in texts:
            continue
        if not_a_picture(name):
            out.append(passed_over(name, f"{label}/{name}"))
            continue
        told, read = captions.of(name), _reader(archive, entry)
        size, crc = entry.file_size, entry.CRC
        out.append(Source(name, origin, size, crc, read, told))
    return out


def _free(name: str, taken: Container[str]) -> str:
    """The name, or "name (2)": a zip may hold one twice, as "????.jpg" of a program that lost the letters."""
    path, n, free = PurePosixPath(name), 2, name
    while free in taken:
        free, n = f"{path.with_suffix('')} ({n}){path.suffix}", n + 1
    return free


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


# -- one look at a folder


class Walk:
    """One walk through a folder. Raises GalleryError: the folder is not there.

    A failed look deletes nothing: a folder that cannot be listed, that became a link, or in which no picture
    is left although there were some (a disk that is not mounted looks just so) tells nothing about its files.
    A folder that is gone together with its name was deleted, unless it was the root of another disk: those
    vanish with their folder when they are unplugged.

    files: names below it, "2025/a.jpg", of everything that is not a system's own. unseen: {folder below it:
    why it could not be listed}; "" is the folder itself. disks: folders that were roots of other disks when
    they were seen last.
    """

    def __init__(self, folder: str | os.PathLike, disks: Set[str] = frozenset()) -> None:
        self.root = Path(folder)
        if not os.path.isdir(self.root):
            raise GalleryError(f"The folder {str(folder)!r} is not there at the moment. Nothing was changed.")
        self.files: list[str] = []
        self.links: list[str] = []
        self.unseen: dict[str, str] = {}
        self.folders: dict[str, int] = {}  # name below it -> the number of its disk
        self._filled: set[str] = set()
        waiting = [""]
        while waiting:
            waiting += reversed(self._scan(waiting.pop()))
        numbers = self.folders.get
        self.disks = {f for f in self.folders if f and numbers(f) != numbers(f.rpartition("/")[0])}
        self.disks |= disks - self.folders.keys()

    def _scan(self, folder: str) -> list[str]:
        """List one folder; returns the folders in it."""
        inner, files = [], []
        try:
            disk = os.stat(self.root / folder).st_dev
            with os.scandir(self.root / folder) as found:
                for entry in sorted(found, key=lambda e: e.name):
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if is_ignored(entry.name):
                        continue
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            inner.append(name)
                        elif entry.is_symlink() and os.path.isdir(entry.path):
                            self.links.append(name)
                        else:
                            files.append(name)
                    except OSError as error:  # a disk that does not say what it is, and fails
                        self.unseen[_key(name)] = error.strerror or type(error).__name__
        except OSError as error:
            self.unseen[_key(folder)] = error.strerror or type(error).__name__
            return []
        self.files += files
        self.folders[_key(folder)] = disk
        if not all(not_a_picture(name) for name in files):
            self._filled |= {_key(folder), *_above(_key(folder))}
        return inner

    def stats(self) -> Iterator[tuple[str, int, int]]:
        """(name, bytes, nanoseconds) of what may be a picture, or (name, -1, the error's number)."""
        for name in self.files:
            if not not_a_picture(name):
                try:
                    stat = os.stat(self.root / name)
                    yield name, stat.st_size, stat.st_mtime_ns
                except OSError as error:
                    yield name, -1, error.errno or 0

    def left(self, name: str) -> tuple[str, str]:
        """(the folder that tells nothing, why) for a file that this walk did not meet; ("", "") for none.

        name: as a gallery keeps it (`clean_name`), which cuts off the folders of a very long one.
        """
        if len(name) >= MAX_NAME and self.is_partial:
            return "", "Some folders cannot be seen, and the path is too long to tell whether it is in one."
        for folder in (name, *_above(name)):
            if folder in self.unseen:
                return folder, f"The folder cannot be read ({self.unseen[folder]})."
            if folder in self._listed:
                return folder, "The folder is a link now, or cannot be read. Links are not followed."
            if folder in self._filled:
                return "", ""
            if folder in self.folders:
                remedy = " Delete the folder too, and they go." if folder else ""
                return folder, f"No picture is left in this folder; its disk may be away.{remedy}"
            if folder in self.disks:
                return folder, "The disk of this folder is away."
        return "", ""

    @cached_property
    def _listed(self) -> set[str]:
        return {*map(_key, self.files), *map(_key, self.links)}

    @property
    def is_partial(self) -> bool:
        """Whether there may be files that this walk could not meet."""
        known = self.folders.keys()
        return bool(self.unseen or self.links or self.disks - known or known - self._filled)

    def may_hold(self, name: str) -> bool:
        """Whether a file of this name is there, as far as this walk can tell."""
        return _key(name) in self._listed or bool(self.left(name)[1])


def is_gone(path: Path) -> bool:
    """Whether the system says that there is nothing of this name. A failure to look is no such word."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _key(folder: str) -> str:
    """The folder's part of the names that a gallery keeps of the files in it."""
    return clean_name(f"{folder}/-")[:-2] if folder else ""


def _above(name: str) -> list[str]:
    """The folders above a name, the nearest first: "a/b/c" -> "a/b", "a", ""."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:n]) for n in range(len(parts), -1, -1)] if name else []
