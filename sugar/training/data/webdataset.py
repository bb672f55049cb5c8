"""WebDataset tars: members of one key are one row (`0001.jpg`, `0001.txt` or `0001.json`).

    open_webdataset("shards/{000..012}.tar")  # also a folder, "shards/*.tar", "a.tar::b.tar", .tar.gz

A tar is read through once for names and captions; pictures are read where they lie. Not covered: streaming
from a network.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import itertools
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import weakref
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.images import open_image
from sugar.paths import existing, missing
from sugar.text_files import clean_text, decode, read_json
from sugar.training.data.example import Example, captioned
from sugar.training.data.files import ADDRESS, PICTURES, TEXT_COLUMNS, Unusable, caption_words, hidden

TEXTS = (".txt", ".caption", ".cap", ".text")
LIMIT = 10_000_000
"""Bytes of a text in a tar; longer ones are no captions."""

SUFFIX = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(slots=True)
class Row:
    """One picture of a tar: where its bytes lie, and its captions or why there are none."""

    tar: int
    key: str
    at: int = 0
    size: int = 0
    captions: list[str] = field(default_factory=list)
    reason: str = ""


class Tars:
    """Captioned pictures in tar files."""

    def __init__(self, name: str, files: list[Path]) -> None:
        self.name, self.files = name, files
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self._guessed: Counter[str] = Counter()
        self._aside = 0
        self._tars = [self._index(n, file) for n, file in enumerate(files)]
        self.notes += [f"{note} ({n:,} texts)" for note, n in self._guessed.items()]
        if self._aside:
            self.notes.append(f"Files beside a row's picture and caption, left out: {self._aside:,}.")
        if not self.rows:
            raise InputError(f"{name} holds no pictures. A row is 0001.jpg beside 0001.txt or 0001.json.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = self.rows[index]
        if row.reason:
            raise InputError(f"{row.key}: {row.reason}")
        with self._tars[row.tar].open("rb") as file:
            file.seek(row.at)
            data = file.read(row.size)
        return captioned(open_image(data).image, row.captions, source=f"{self.name}: {row.key}")

    def captions(self, index: int) -> list[str]:
        return self.rows[index].captions

    def _index(self, number: int, path: Path) -> Path:
        """Take the rows of a tar; returns the file in which the pictures lie: it, or what it was packed
        from."""
        members: dict[str, dict[str, tuple[int, int]]] = {}  # key up to the first dot -> ending -> place
        texts: dict[str, Any] = {}
        count = 0
        try:
            plain = self._plain(path)
            with tarfile.open(plain, "r:") as tar, plain.open("rb") as file:
                for member in tar:
                    count += 1
                    folder, name = os.path.split(member.name.removeprefix("./"))
                    if not member.isfile() or name.startswith(".") or folder.startswith("__MACOSX"):
                        continue
                    key, _, ending = name.partition(".")
                    ending = ending.lower()
                    members.setdefault(os.path.join(folder, key), {})[ending] = (
                        member.offset_data,
                        member.size,
                    )
                    if self._is_text(ending) and member.size <= LIMIT:
                        file.seek(member.offset_data)
                        texts[os.path.join(folder, f"{key}.{ending}")] = self._text(
                            file.read(member.size), ending
                        )
                file.seek(tar.offset)
                if file.read(512) != bytes(512):  # tarfile takes a cut header for the end
                    raise tarfile.ReadError("its end is missing")
        except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            if not count:
                raise InputError(f"{path} cannot be read as a tar file ({error}).") from error
            self.notes.append(
                f"{path.name} is cut short or damaged ({error}); {count:,} files of it are read."
            )
        for key, endings in members.items():
            self.rows += self._grouped(number, key, endings, texts)
        return plain

    def _plain(self, path: Path) -> Path:
        with path.open("rb") as file:
            start = file.read(6)
        packed = {b"\x1f\x8b": "gz", b"BZ": "bz2", b"\xfd7": "xz"}.get(start[:2])
        if packed is None:
            return path
        handle, name = tempfile.mkstemp(suffix=".tar")
        weakref.finalize(self, _remove, name, os.getpid())
        opener: Any = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}[packed]
        with opener(path) as file, os.fdopen(handle, "wb") as unpacked:
            shutil.copyfileobj(file, unpacked, 1 << 20)
        return Path(name)

    @staticmethod
    def _is_text(ending: str) -> bool:
        return f".{ending}".removesuffix(".gz").endswith((*TEXTS, ".json"))

    def _text(self, data: bytes, ending: str) -> list[str] | Unusable:
        """The captions in a text or JSON member."""
        try:
            data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
            if ending.removesuffix(".gz").endswith("json"):
                facts = read_json(data)
                facts = facts if isinstance(facts, dict) else {"caption": facts}
                return next((w for c in TEXT_COLUMNS if (w := caption_words(facts.get(c)))), [])
            text = decode(data)
        except (InputError, OSError, EOFError, zlib.error) as error:
            return Unusable(f"its .{ending} cannot be read: {error}")
        if text.note:
            self._guessed[text.note] += 1
        return caption_words(text.text)

    def _grouped(
        self, number: int, key: str, endings: dict[str, tuple[int, int]], texts: dict[str, Any]
    ) -> list[Row]:
        """The rows of the members of one key, the name up to its first dot.

        WebDataset's rule makes them one row: 0001.jpg, 0001.seg.png, 0001.txt. People also have dots in
        names: 22.05.jpg, 22.05.txt, 22.06.jpg. So the names up to the last dot are rows where they hold a
        picture and a text each.
        """
        stems: dict[str, tuple[list[str], list[str]]] = {}  # name up to its last dot -> pictures, texts
        for ending in sorted(endings):
            stem = (
                ending.removesuffix(".gz").rpartition(".")[0]
                if self._is_text(ending)
                else ending.rpartition(".")[0]
            )
            pictures, words = stems.setdefault(stem, ([], []))
            if f".{ending}".endswith(PICTURES):
                pictures.append(ending)
            elif self._is_text(ending):
                words.append(ending)
        pictured = {stem: found for stem, found in stems.items() if found[0]}
        whole = [stem for stem, found in pictured.items() if found[1]]
        if "" in whole:
            pictured = {"": stems[""]}
        elif not whole and any(words for _, words in stems.values()) and pictured:
            every = [e for _, words in stems.values() for e in words]
            first = next(iter(pictured))
            pictured = {"": (pictured[first][0], every)}
        rows = []
        for stem, (pictures, words) in pictured.items():
            row = Row(number, clean_text(f"{key}.{stem}" if stem else key), *endings[pictures[0]])
            said = [texts.get(f"{key}.{ending}", Unusable("its text is too long.")) for ending in words]
            captions = [s for s in said if not isinstance(s, Unusable) and s]
            row.captions = captions[-1] if captions else []  # .txt, which stands behind .json
            if not captions:
                row.reason = next((str(s) for s in said if isinstance(s, Unusable)), "")
                row.reason = row.reason or (
                    "The caption is empty or null." if words else "It has no caption: no .txt, no .json."
                )
            rows.append(row)
        self._aside += len(endings) - sum(1 + len(words) for _, words in pictured.values())
        return rows


def _remove(name: str, process: int) -> None:
    """Remove an unpacked tar when its data set is gone, not when a forked reader of it ends."""
    if os.getpid() == process:
        Path(name).unlink(missing_ok=True)


def open_webdataset(path: Path, split: str = "") -> Tars:
    """One tar, or all tars of a folder, a pattern, or several joined by `::`. split is a folder of that
    name."""
    given = str(path / split if split else path)
    if ADDRESS.match(given.replace(":/", "://", 1)) or given.startswith("pipe:"):
        raise InputError(f"{given} is an address. Download the tars and name their folder.")
    files: list[Path] = []
    for part in given.split("::"):
        named = existing(part)
        if named is None:
            found = [p for pattern in _braces(part) for p in _matches(pattern)]
        elif named.is_dir():
            found = [p for p in sorted(named.rglob("*")) if p.name.lower().endswith(SUFFIX)]
        else:
            found = [named]
        if not found:
            raise InputError(f"{part} holds no .tar file.")
        files += [p for p in found if not hidden(p)]
    one = len(files) == 1
    return Tars(files[0].name.partition(".")[0] if one else files[0].resolve().parent.name, files)


def _matches(pattern: str) -> list[Path]:
    try:
        found = sorted(glob.glob(os.path.expanduser(pattern), recursive=True))
    except (OSError, ValueError):
        found = []
    if not found:
        raise InputError(f"--data webdataset: {missing(pattern)}")
    return [Path(p) for p in found]


def _braces(pattern: str) -> list[str]:
    """What a shell makes of {000..012} and {train,val}.

    >>> _braces("{a,b}-{08..10}.tar")[:3]
    ['a-08.tar', 'a-09.tar', 'a-10.tar']
    """
    choices: list[list[str]] = []
    for part in re.split(r"(\{[^{}]*\})", pattern):
        span = re.fullmatch(r"\{(\d+)\.\.(\d+)\}", part)
        if span:
            first, last = int(span[1]), int(span[2])
            numbers = range(first, last + 1) if first <= last else range(first, last - 1, -1)
            choices.append([str(n).zfill(len(span[1]) if span[1].startswith("0") else 0) for n in numbers])
        elif part.startswith("{") and "," in part:
            choices.append(part[1:-1].split(","))
        else:
            choices.append([part])
    return ["".join(c) for c in itertools.product(*choices)]
