"""Reading zips of strangers: every count, size and ratio is checked before anything is unpacked.

    archive = open_archive(file, label, limits)         # ArchiveError says why not
    read_entry(archive, entry, cap)                     # at most cap bytes, or ArchiveError

Memory is bounded by the caps, whatever the zip claims. Only stored and deflated entries are read: other
methods let an entry name its own working memory. Not covered: zips in zips.
"""

from __future__ import annotations

import os
import struct
import threading
import unicodedata
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, BinaryIO

from sugar.errors import GalleryError, InputError
from sugar.text_files import DOS, Text, detect

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SMALL = 50_000_000  # bytes: an archive that unpacks to less is never a bomb
_PER_ENTRY = 2_000  # bytes of the central directory for one file: its name, comment and extra fields


@dataclass(frozen=True)
class UploadLimits:
    """Caps on one upload: files, bytes once unpacked, and how many times its own size a zip may unpack to."""

    max_files: int = 200_000
    max_bytes: int = 500_000_000_000
    max_ratio: int = 200


class ArchiveError(GalleryError):
    """A zip, or an entry of one, that is not read; the message says why."""


class Archive:
    """An open zip whose entries passed the checks. Entries may be read by several threads.

    guess: how the names were read, as a sentence for a person; "" where the zip says it itself.
    """

    def __init__(self, label: str, zipped: zipfile.ZipFile) -> None:
        self.label = label
        listed = zipped.infolist()
        self.guess = _name_entries(listed)
        self.entries = [e for e in listed if not e.filename.endswith("/")]
        self._zip = zipped
        self._lock = threading.Lock()  # a ZipFile shares one file position between its readers

    def read(self, entry: zipfile.ZipInfo, cap: int) -> bytes:
        """At most cap + 1 bytes of an entry, so that the caller sees that it is too large."""
        with self._lock, self.stream(entry) as opened:
            try:
                return opened.read(cap + 1)
            except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
                raise ArchiveError(f"The zip entry cannot be read ({error}). It is damaged.") from None

    def stream(self, entry: zipfile.ZipInfo) -> IO[bytes]:
        """The unpacked bytes of an entry, to be read in pieces."""
        if entry.flag_bits & 1:
            raise ArchiveError(
                "The zip entry is encrypted. Unpack it with its password, then zip it without."
            )
        if entry.compress_type not in _METHODS:
            raise ArchiveError(
                "The zip entry is packed in a way that is not read here. Zip it as usual (deflate)."
            )
        try:
            return self._zip.open(entry)
        except (
            OSError,
            EOFError,
            RuntimeError,
            ValueError,
            zipfile.BadZipFile,
        ) as error:
            raise ArchiveError(f"The zip entry cannot be read ({error}). It is damaged.") from None

    def close(self) -> None:
        self._zip.close()


def open_archive(file: str | os.PathLike | BinaryIO, label: str, limits: UploadLimits) -> Archive:
    """Open a zip. Raises ArchiveError: damaged, too many files, or a bomb."""
    try:
        size, listed = _directory(file)
        if listed > _PER_ENTRY * limits.max_files:
            raise ArchiveError(f"The zip lists more than {limits.max_files:,} files. Split it.")
        archive = Archive(label, zipfile.ZipFile(file))
    except ArchiveError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, struct.error) as error:
        raise ArchiveError(f"The zip is damaged or cut short ({error}). Make or download it again.") from None
    count, unpacked = len(archive.entries), sum(e.file_size for e in archive.entries)
    if count > limits.max_files:
        raise ArchiveError(f"The zip lists {count:,} files; one upload takes {limits.max_files:,}. Split it.")
    if unpacked > _SMALL and unpacked > limits.max_ratio * max(size, 1):
        raise ArchiveError(
            f"The zip unpacks to {unpacked / 1e9:.1f} GB from {size / 1e6:.2f} MB: a zip bomb. Not opened."
        )
    return archive


def _directory(file: str | os.PathLike | BinaryIO) -> tuple[int, int]:
    """(bytes of the zip, bytes of its central directory), read from its end without reading the directory."""
    if isinstance(file, (str, os.PathLike)):
        with open(Path(file), "rb") as opened:
            return _directory(opened)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 65_557))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < 22:
        raise zipfile.BadZipFile("File is not a zip file")
    listed = struct.unpack_from("<I", tail, at + 12)[0]
    if listed == 0xFFFFFFFF and (wide := tail.rfind(b"PK\6\6", 0, at)) >= 0:  # zip64
        listed = struct.unpack_from("<Q", tail, wide + 40)[0]
    return size, min(listed, size)


def _name_entries(entries: list[zipfile.ZipInfo]) -> str:
    """Give entries the names that their maker meant; what was guessed, or "".

    A name without the mark for UTF-8 is in the code page of the maker's system, which the zip does not say:
    all of them are read as one text, whose encoding is detected. Slashes are "/", letters are NFC.
    """
    odd: list[tuple[zipfile.ZipInfo, bytes]] = []
    for entry in entries:
        name = _unicode_path(entry)
        raw = entry.orig_filename.encode("cp437", "replace")  # zipfile's reading of any byte, undone
        if name is None and not entry.flag_bits & 0x800 and not raw.isascii():
            odd.append((entry, raw))
        else:
            _name(entry, name or entry.orig_filename)
    if not odd:
        return ""
    together = b"\n".join(raw for _, raw in odd)
    encoding = _encoding(together)
    for entry, raw in odd:
        _name(entry, raw.decode(encoding, "replace"))
    note = Text("", encoding, encoding != "utf-8").note
    return note.replace("Its encoding is", "The encoding of its names is").replace(
        "save it as", "zip it with"
    )


def _name(entry: zipfile.ZipInfo, name: str) -> None:
    name = name.partition("\0")[0].replace("\\", "/")
    entry.filename = unicodedata.normalize("NFC", name)


def _encoding(names: bytes) -> str:
    """The likeliest encoding of a zip's names. They are short: letters speak for one, signs against it."""
    with suppress(UnicodeDecodeError):
        names.decode("utf-8")
        return "utf-8"
    found = "cp437"
    with suppress(InputError):
        found = detect(names[:200_000], DOS)
    wide = found in ("gb18030", "big5hkscs", "cp932", "euc_jis_2004", "cp949")
    pairs = any(a > 127 and b > 127 for a, b in pairwise(names))
    if pairs if wide else _is_words(names, found):
        return found
    return next((page for page in ("cp850", "cp852", "cp1252", "cp1250") if _is_words(names, page)), found)


def _is_words(names: bytes, encoding: str) -> bool:
    """Whether all that is not ASCII is letters in this encoding."""
    return all(c.isascii() or unicodedata.category(c)[0] in "LM" for c in names.decode(encoding, "replace"))


def _unicode_path(entry: zipfile.ZipInfo) -> str | None:
    """The name in Info-ZIP's extra field 0x7075, where it belongs to the name beside it."""
    extra = entry.extra
    raw = entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437", "replace")
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == 0x7075 and len(field) > 5 and field[0] == 1:
            with suppress(UnicodeDecodeError):
                name = field[5:].decode("utf-8")
                return name if struct.unpack_from("<I", field, 1)[0] == zlib.crc32(raw) else None
    return None
