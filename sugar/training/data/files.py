"""Reading tables and pictures from disk: what the formats of this room share.

    for row in table(path): row["file_name"], row["caption"]
    PictureFiles(folder).open("a.jpg")  # a PIL picture, or an ImageError that says why; a zip works too

Tables are read by HF `datasets` (csv, tsv, json lines, parquet). Not covered: what a row means.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from sugar.errors import ImageError, InputError
from sugar.images import open_image

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")
NAME_COLUMNS = ("file_name", "filename", "file", "image", "image_path", "path", "picture", "name")
TEXT_COLUMNS = ("caption", "text", "captions", "sentence", "description", "title", "comment")
PLACES = ("", "images", "Images", "pictures", "train2017", "val2017", "train2014", "val2014")
"""Folders below a data set's where published sets keep their pictures."""


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a csv, tsv, jsonl, json or parquet file; csv and tsv fields are texts.

    It is read as a stream; nothing is cached.
    """
    import datasets

    suffix = path.suffix.lower()
    kind = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}.get(suffix, "csv")
    options: dict[str, Any] = {}
    if kind == "csv":
        separator = "," if suffix == ".csv" else "\t"
        names = next(read_lines(path), "").lstrip("\ufeff").split(separator)
        converters = {n.strip('"'): str for n in names}
        options = {"sep": separator, "keep_default_na": False, "converters": converters}
    try:
        return list(
            datasets.load_dataset(kind, data_files=str(path), split="train", streaming=True, **options)
        )
    except Exception as error:
        raise InputError(f"{path} cannot be read as a {kind} table ({_cause(error)}).") from error


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def column(names: list[str], wanted: tuple[str, ...], path: Path) -> str:
    """The first of the wanted columns that a table has. Raises InputError naming both."""
    lower = {n.lower(): n for n in names}
    for name in wanted:
        if name in lower:
            return lower[name]
    raise InputError(f"{path} has the columns {', '.join(names)}; one of {', '.join(wanted)} is needed.")


def read_json(path: Path) -> Any:
    """A whole JSON file. Raises InputError when it is missing or not JSON."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}).") from error


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file that are not empty."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from (line.rstrip("\n") for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}).") from error


def find(folder: Path, *patterns: str) -> Path:
    """The first file that matches one of the patterns. Raises InputError naming what was looked for."""
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                return path
    raise InputError(f"{folder} holds none of {', '.join(patterns)}.")


class PictureFiles:
    """The pictures of a folder, or of a zip file. Picklable: a zip is opened in each process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zip: zipfile.ZipFile | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_zip": None}

    def open(self, name: str) -> Image.Image:
        """A picture by its name below the root.

        Raises ImageError: missing, outside the root, or no picture.
        """
        return open_image(self.read(name)).image

    def read(self, name: str) -> bytes:
        if self.root.suffix == ".zip":
            if self._zip is None:
                self._zip = zipfile.ZipFile(self.root)
            try:
                return self._zip.read(name)
            except KeyError:
                raise ImageError(f"{self.root} holds no {name}.") from None
        base = self.root.resolve()
        for folder in PLACES:
            path = (base / folder / name).resolve()
            if not path.is_relative_to(base):
                raise ImageError(f"{name} points outside {self.root}.")
            if path.is_file():
                return path.read_bytes()
        raise ImageError(f"{self.root / name} is missing.")
