"""Where the photos of a set come from: a folder, WebDataset shards (.tar), Parquet files; on any storage.

    source = Source("s3://photos")
    units = source.units()                       # what one task reads: a picture, a shard, a Parquet file
    for found in source.read(units[0]): ...      # Found: name, where it lies, its bytes or why there are none
    source.bytes_of("2024/a.jpg", -1, 81_442)    # one picture again, for the page

fsspec names the storage. A caption is the text beside a picture (a.txt), the shard's .txt, or the Parquet
column `caption` or `text`. Not covered: what a picture is (sugar/images.py); packed shards (.tar.gz), which
have no places to read from.
"""

from __future__ import annotations

import importlib
import itertools
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from sugar.errors import GalleryError, InputError, SettingsError
from sugar.images import SUFFIXES, ImageLimits
from sugar.paths import existing, shown
from sugar.text_files import decode, word

MOST_BYTES = ImageLimits().max_bytes
IMAGES, CAPTIONS = ("image", "jpg", "jpeg", "png", "webp", "img"), ("caption", "text", "txt")
"""Columns of a Parquet file: pictures (bytes, or bytes and path) and captions; the first one there counts."""
_ROWS = 32  # of a Parquet file that are in memory at once


def library(name: str) -> Any:
    """A library of requirements.txt. Raises SettingsError: it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SettingsError(
            f"Collections need {name.partition('.')[0]!r}, which is not installed ({error}). "
            "Run: pip install -r sugar/cluster/requirements.txt"
        ) from None


@dataclass(frozen=True)
class Unit:
    """What one task reads.

    path: below the source. stamp: changes when the file does. text: its caption file, or "".
    """

    path: str
    size: int
    stamp: str
    text: str = ""

    @property
    def kind(self) -> str:
        """ "picture", or "shard" or "table" for a file of many."""
        return _kind(self.path)


@dataclass
class Found:
    """One picture of a unit. place: byte in a shard, row in a Parquet file, -1 for a whole file.

    data: None where it could not be read; `problem` says why.
    """

    name: str
    path: str
    place: int
    size: int
    data: bytes | None
    caption: str = ""
    problem: str = ""


class Source:
    """A folder or file at an address that fsspec knows. Raises SettingsError: no such kind of storage."""

    def __init__(self, address: str) -> None:
        try:
            self.files, self.root = library("fsspec").core.url_to_fs(str(existing(address) or address))
        except (ImportError, ValueError) as error:
            raise SettingsError(f"The source {shown(address)} cannot be opened: {error}") from None
        self.address = self.files.unstrip_protocol(self.root)  # the same from every folder

    def units(self) -> list[Unit]:
        """All there is, by path. Raises SettingsError: nothing is there, or nothing that can be read."""
        try:
            listed = self.files.find(self.root, detail=True)
        except Exception as error:  # each kind of storage has errors of its own: no key, no answer
            raise SettingsError(f"The source {shown(self.address)} cannot be listed: {error}") from None
        inner = {self._below(path): facts for path, facts in listed.items()}
        units = [
            Unit(path, int(facts.get("size") or 0), _stamp(facts), _beside(path, inner))
            for path, facts in sorted(inner.items())
            if _kind(path) and not any(part.startswith((".", "__MACOSX")) for part in path.split("/"))
        ]
        if not units:
            raise SettingsError(
                f"There are no pictures, .tar shards or .parquet files at {shown(self.address)}."
            )
        return units

    def read(self, unit: Unit) -> Iterator[Found]:
        """The pictures of a unit. What cannot be read is one Found with its problem."""
        try:
            yield from {"shard": self._shard, "table": self._table, "picture": self._picture}[unit.kind](unit)
        except Exception as error:  # storage of any kind, or a damaged shard: what came before it counts
            why = f"It could not be read ({type(error).__name__}: {error})."
            yield Found(_name(unit.path), unit.path, -1, unit.size, None, problem=why)

    def bytes_of(self, path: str, place: int, size: int) -> bytes:
        """One picture. Raises GalleryError: it is not there, or cannot be reached."""
        if ".." in path.split("/"):
            raise GalleryError(f"The place of a picture ({shown(path)}) leaves its source.")
        try:
            with self.files.open(self._full(path), "rb") as file:
                if _kind(path) == "table":
                    return self._row(file, place)
                file.seek(max(place, 0))
                return bytes(file.read(min(size, MOST_BYTES) if place >= 0 else MOST_BYTES + 1))
        except Exception as error:
            raise GalleryError(
                f"The source of {_name(path)!r} cannot be read ({type(error).__name__}). It was moved or "
                "deleted, or its storage cannot be reached; if it is gone, delete its row."
            ) from error

    # -- one kind each

    def _picture(self, unit: Unit) -> Iterator[Found]:
        def read() -> bytes:
            return bytes(self.files.cat_file(self._full(unit.path)))

        found = _found(_name(unit.path), unit.path, -1, unit.size, read)
        if unit.text and found.data:
            with suppress(InputError):
                found.caption = decode(self.files.cat_file(self._full(unit.text))).text.strip()
        yield found

    def _shard(self, unit: Unit) -> Iterator[Found]:
        """Members of one key, up to the first dot of the name, follow each other: the rule of WebDataset."""
        with (
            self.files.open(self._full(unit.path), "rb") as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            files = (member for member in tar if member.isfile())
            for _, members in itertools.groupby(files, lambda m: _key(m.name)):
                held, caption = list[Found](), ""
                for member in members:
                    name, read = _name(member.name), partial(_member, tar, member)
                    if _kind(name) == "picture":
                        held.append(_found(name, unit.path, member.offset_data, member.size, read))
                    elif name.lower().endswith(".txt") and member.size <= MOST_BYTES:
                        with suppress(InputError):
                            caption = decode(read()).text.strip()
                yield from (replace(found, caption=caption) for found in held)

    def _table(self, unit: Unit) -> Iterator[Found]:
        with self.files.open(self._full(unit.path), "rb") as file:
            table = library("pyarrow.parquet").ParquetFile(file)
            image, caption = _column(table, IMAGES), _column(table, CAPTIONS, needed=False)
            batches = table.iter_batches(_ROWS, columns=[image, *filter(None, [caption])])
            for at, row in enumerate(row for batch in batches for row in batch.to_pylist()):
                data, name = _pixels(row[image], f"{_name(unit.path)} {at}")
                found = _found(name, unit.path, at, len(data or b""), partial(bytes, data or b""))
                found.caption = word(row.get(caption)) or ""
                if not data:
                    found.problem = f"The row has no bytes in {image!r}."
                yield found

    def _row(self, file: Any, row: int) -> bytes:
        table = library("pyarrow.parquet").ParquetFile(file)
        image = _column(table, IMAGES)
        for group in range(table.num_row_groups):
            if row < (count := table.metadata.row_group(group).num_rows):
                cell = table.read_row_group(group, columns=[image])[image][row].as_py()
                return _pixels(cell, "")[0] or b""
            row -= count
        raise IndexError(f"no row {row}")

    def _below(self, path: str) -> str:
        return path[len(self.root) :].lstrip("/") or path.rpartition("/")[2]

    def _full(self, path: str) -> str:
        return self.root if self.root.endswith(f"/{path}") else f"{self.root.rstrip('/')}/{path}"


def _kind(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    return {".tar": "shard", ".parquet": "table"}.get(suffix, "picture" if suffix in SUFFIXES else "")


def _stamp(facts: dict[str, Any]) -> str:
    """What tells a changed file: the storage's tag, else its time."""
    return str(
        next((facts[k] for k in ("ETag", "etag", "md5Hash", "LastModified", "mtime") if facts.get(k)), "")
    )


def _beside(path: str, listed: dict[str, Any]) -> str:
    text = str(PurePosixPath(path).with_suffix(".txt"))
    return text if text in listed and _kind(path) == "picture" else ""


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _found(name: str, path: str, place: int, size: int, read: Callable[[], bytes | None]) -> Found:
    if size > MOST_BYTES:
        why = f"It has {size:,} bytes; {MOST_BYTES:,} is the most that is opened."
        return Found(name, path, place, size, None, problem=why)
    data = read() or None
    return Found(name, path, place, len(data or b""), data)


def _key(member: str) -> str:
    folder, _, name = member.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file is not None else b""


def _column(table: Any, names: tuple[str, ...], needed: bool = True) -> str:
    there = table.schema_arrow.names
    found = next((name for name in names if name in there), "")
    if needed and not found:
        raise InputError(f"no column {' or '.join(names)}; there are {', '.join(there[:12])}")
    return found


def _pixels(cell: Any, name: str) -> tuple[bytes | None, str]:
    """The bytes and the name of a cell: bytes, or {"bytes": ..., "path": ...} as Hugging Face writes them."""
    if isinstance(cell, dict):
        return cell.get("bytes"), _name(str(cell.get("path") or "")) or name
    return cell if isinstance(cell, bytes) else None, name
