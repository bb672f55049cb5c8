"""Reading tables and pictures from disk: what the formats of this room share.

    for number, row in read_rows(path).rows: row["file_name"], row["caption"]
    PictureFiles(folder).open("a.jpg")  # a PIL picture, or an ImageError that says why; a zip works too
    caption_words(["a dog", None])  # ["a dog"]: nothing is not a word

Not covered: what a row means; bytes to text (sugar/text_files.py).
"""

from __future__ import annotations

import ast
import fnmatch
import gzip
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from sugar.errors import ImageError, InputError
from sugar.file_names import FileNames, name_key
from sugar.images import SUFFIXES, open_image
from sugar.paths import shown
from sugar.text_files import Rows, Table, decode, lines, read_json, read_json_rows, read_table, word

PICTURES = tuple(SUFFIXES)
NAME_COLUMNS = (
    *("file_name", "filename", "file", "image", "image_name", "image_path", "filepath", "path", "picture"),
    *("img", "name"),
)
TEXT_COLUMNS = (
    "caption",
    "text",
    "captions",
    "sentence",
    "sentences",
    "raw",
    "description",
    "title",
    "comment",
)
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
WRAPPERS = ("data", "rows", "annotations", "samples", "items")
"""Keys of a JSON object that hold its rows."""

PLACES = (
    *("", "images", "Images", "pictures", "train2017", "val2017", "train2014", "val2014"),
    *("Flicker8k_Dataset", "flickr30k_images", "flickr30k-images"),
)
"""Folders below a data set's where published sets keep their pictures."""

BESIDE = ("annotations", "annotation", "captions", "labels", "metadata")
"""Folders of data files whose pictures lie beside the folder."""

NO_WORDS = frozenset({"nan", "none", "null", "<na>", "n/a"})
"""What programs write for a missing caption: pandas' `astype(str)` and SQL exports turn it into a word. No
picture is described by one of them, so it is nothing. Answers are kept: "None" answers "How many dogs?"."""

ADDRESS = re.compile(r"(?i)(\w{2,}://|data:)")

T = TypeVar("T")


class Unusable(str):
    """In place of what a row says: why it says nothing."""


def caption_words(said: Any) -> list[str]:
    """The captions in a value of a table or of JSON, in order, without those that say nothing.

    said: one value, an object with one (`{"raw": "a dog", "tokens": ...}`), a list of them, or a cell that
    holds a list, as JSON or pandas writes it.
    """
    if isinstance(said, str) and said.lstrip().startswith("["):
        said = _list_in(said.strip())
    if isinstance(said, dict):
        said = next((said[c] for c in TEXT_COLUMNS if said.get(c)), None)
    if isinstance(said, list):
        return [w for s in said if not isinstance(s, list) for w in caption_words(s)]
    found = word(said)
    return [] if found is None or found.lower() in NO_WORDS else [found]


def _list_in(cell: str) -> str | list[Any]:
    """The list that a cell holds, or the cell: `["a", null]`, `['a', None]`."""
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            found = read(cell)
            if isinstance(found, list) and (
                read is json.loads or repr(found) == cell
            ):  # not ['a' 'b'] of NumPy
                return found
    return cell


def kind_of(value: Any) -> str:
    """What a value of JSON is, for a message."""
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


def read_bytes(path: Path) -> bytes:
    """A file's bytes, unpacked where they are gzipped. Raises InputError when it cannot be read."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}).") from error


def _of(path: Path, read: Callable[[bytes], T]) -> T:
    """What is read of a file, its name in the message where that fails."""
    try:
        return read(read_bytes(path))
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from error


def read_text(path: Path) -> tuple[str, str]:
    """The text of a file, and what was guessed of its encoding ("" for nothing)."""
    text = _of(path, decode)
    return text.text, text.note


def read_whole(path: Path) -> tuple[Any, list[str]]:
    """A JSON file, and what was guessed of it. Raises InputError when it cannot be read or is none."""
    note = _of(path, decode).note
    return _of(path, read_json), [f"{path.name}: {note}"] if note else []


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file that are not blank."""
    return (line for line in lines(read_text(path)[0]) if line.strip())


def suffix_of(path: Path) -> str:
    """The ending of a file in lower case, that of the packed file where it is gzipped."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_rows(path: Path) -> Rows:
    """The rows of a csv, tsv, jsonl, json or parquet file, each as its file has it: usually a dict.

    A csv without a header has the columns file_name and caption.
    """
    suffix = suffix_of(path)
    if suffix == ".parquet":
        import pyarrow.parquet

        try:
            return Rows(list(enumerate(pyarrow.parquet.read_table(path).to_pylist(), 1)))
        except Exception as error:  # pyarrow's own errors, OSError, MemoryError: all mean the file
            raise InputError(f"{path} cannot be read as a parquet table ({error}).") from error
    found = _of(path, _json_rows if "js" in suffix else _table)
    if isinstance(found, Table) and found.rows and found.rows[0][0] == 1:
        _without_header(found, path)
    found.notes = [f"{path.name}: {note}" for note in found.notes]
    if not found.rows:
        raise InputError(f"{path} has no rows. {found.refused[0][1] if found.refused else ''}".rstrip())
    return found


def _table(data: bytes) -> Rows:
    known = (*NAME_COLUMNS, *TEXT_COLUMNS)
    return read_table(data, known=known, columns=("file_name", "caption"))


def _without_header(found: Table, path: Path) -> None:
    """A table whose first row is none of the headers we know: a row, or a header in other words."""
    names = [row.get("file_name", "").lower().partition("#")[0] for _, row in found.rows[:100]]
    if not any(name.endswith(PICTURES) for name in names):
        seen = ", ".join(found.rows[0][1].values())
        raise InputError(f"{path} has the columns {seen}; file_name and caption are needed.")
    if not names[0].endswith(PICTURES):
        head = found.rows.pop(0)[1]
        found.notes.append(f"The first row ({', '.join(head.values())}) was taken for a header.")


def _json_rows(data: bytes) -> Rows:
    """JSON lines, a list, or an object that holds the list."""
    found = read_json_rows(data)
    if found.refused and (not found.rows or found.refused[0][0] < found.rows[0][0]):
        with suppress(InputError):  # one object over several lines
            found = Rows([(1, read_json(data))], notes=found.notes)
    if len(found.rows) == 1 and isinstance(found.rows[0][1], dict):
        value = found.rows[0][1]
        inner = next((value[key] for key in WRAPPERS if isinstance(value.get(key), list)), None)
        if inner is not None:
            found.rows = list(enumerate(inner, 1))
    return found


def column(rows: Rows, wanted: tuple[str, ...], path: Path) -> str:
    """The first of the wanted columns that the rows have. Raises InputError naming both."""
    names = {key: None for _, row in rows.rows[:100] if isinstance(row, dict) for key in row}
    lower = {str(n).strip().lower().replace(" ", "_"): n for n in names}
    for name in wanted:
        if name in lower:
            return lower[name]
    seen = ", ".join(map(str, names)) or "none"
    raise InputError(f"{path} has the columns {seen}; one of {', '.join(wanted)} is needed.")


def find(folder: Path, *patterns: str, notes: list[str] | None = None) -> Path:
    """The first file that matches one of the patterns, whatever its letters' case; a `/` looks one folder
    down.

    notes: where a choice among several is told. Raises InputError naming what was looked for.
    """
    for pattern in patterns:
        found = sorted(p for p in folder.glob("*/*" if "/" in pattern else "*") if not hidden(p))
        found = [
            p for p in found if fnmatch.fnmatchcase(p.relative_to(folder).as_posix().lower(), pattern.lower())
        ]
        found = [p for p in found if p.is_file()]
        if found:
            if notes is not None:
                notes += first_of(found)
            return found[0]
    raise InputError(f"{folder} holds none of {', '.join(patterns)}.")


def first_of(found: list[Path]) -> list[str]:
    """The note that the first of several files was chosen."""
    others = ", ".join(p.name for p in found[1:4]) + (", ..." if len(found) > 4 else "")
    return [f"{found[0].name} is read, not {others}; name another as the path."] if others else []


def no_split(path: Path, split: str) -> list[str]:
    """The note that a split was asked of one file, where it names a file of a folder."""
    return [f"#{split} is passed over: {path.name} was named, and is read whole."] if split else []


def hidden(path: Path) -> bool:
    """A file that a system put beside the person's: macOS's `._a.jpg`, `.DS_Store`."""
    return path.name.startswith(".")


def pictures_of(file: Path) -> Path:
    """The folder in which the pictures of a data file are looked for: its own, or the one around
    `annotations/`."""
    folder = file.parent
    if folder.name.lower() not in BESIDE or any(n.lower().endswith(PICTURES) for n in os.listdir(folder)):
        return folder
    return folder.parent


class PictureFiles:
    """The pictures of a folder, or of a zip file. Picklable: a zip is opened in each process.

    A name is looked for as it stands, in `PLACES`, and behind a path that leads there on another machine
    (`/home/ann/coco/val2017/1.jpg`); then whatever its letters' case, Unicode form and slashes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zip: zipfile.ZipFile | None = None
        self._names: FileNames | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_zip": None, "_names": None}

    def open(self, name: str) -> Image.Image:
        """A picture by its name below the root.

        Raises ImageError: missing, outside the root, an address, or no picture.
        """
        return open_image(self.read(name)).image

    def read(self, name: str) -> bytes:
        said = shown(name, 200)[1:-1]
        if ADDRESS.match(name):
            raise ImageError(
                f"{said} is an address. Training reads pictures from the disk: download them, and name the "
                "files."
            )
        if self.root.suffix.lower() == ".zip" and self._zip is None:
            self._zip = zipfile.ZipFile(self.root)
        path = next(filter(self._has, self._readings(name)), "") or self._spelt(name)
        if path and self._zip is not None:
            return self._zip.read(path)
        if path and self._has(path):  # it may have gone since the folder was listed
            return (self.root / path).read_bytes()
        if ".." in name or os.path.isabs(name):
            raise ImageError(f"{said} points outside {self.root}. Give names below that folder.")
        raise ImageError(
            f"{self.root} holds no {said}." if self._zip is not None else f"{self.root / said} is missing."
        )

    def _readings(self, name: str) -> Iterator[str]:
        """Paths below the root that a name may mean: in each place, also from a folder on that sets have."""
        parts = [p for p in name.strip().replace("\\", "/").split("/") if p not in ("", ".")]
        known = {*(p.lower() for p in PLACES), self.root.name.lower()} - {""}
        tails = [n for n, part in enumerate(parts[:-1]) if part.lower() in known]
        starts = [0] * (not os.path.isabs(name)) + [start for n in tails for start in (n, n + 1)]
        for start in starts:
            tail = "/".join(parts[start:])
            ends = [""] if tail.lower().endswith(PICTURES) else ["", *PICTURES]
            if tail and ".." not in parts[start:]:
                yield from (
                    f"{place}/{tail}{end}" if place else tail + end for place in PLACES for end in ends
                )

    def _has(self, path: str) -> bool:
        if self._zip is not None:
            return path in self._zip.NameToInfo
        try:
            return os.path.isfile(os.path.join(self.root, path))
        except ValueError:  # a NUL in the name
            return False

    def _spelt(self, name: str) -> str:
        """The picture of that name in another spelling; not one of another folder, where its own is there."""
        found = self._listed().find(name) or ""
        folder = os.path.dirname(name.replace("\\", "/"))
        own = folder and ".." not in folder and os.path.isdir(os.path.join(self.root, folder))
        return "" if own and name_key(found) != name_key(name) else found

    def _listed(self) -> FileNames:
        """All pictures of the root, listed once, when a name is not found as it stands."""
        if self._names is None:
            if self._zip is not None:
                names = self._zip.namelist()
            else:
                names = [
                    os.path.relpath(os.path.join(folder, file), self.root).replace(os.sep, "/")
                    for folder, _, files in os.walk(self.root)
                    for file in files
                ]
            names = [
                n for n in names if n.lower().endswith(PICTURES) and not os.path.basename(n).startswith(".")
            ]
            self._names = FileNames(names)
        return self._names
