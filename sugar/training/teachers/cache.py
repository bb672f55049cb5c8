"""Teachers' vectors on disk, by content and encoder: computed once, read by every run and process after that.

    cached = CachedEncoders(encoders, Path("runs/vectors"))
    cached.prepare(slices)                           # computes what is missing, in batches
    cached.encode(slices)

Two files a set, `NAME.keys` (16 bytes a row) and `NAME.rows` (float16). Rows are written first, so a file
that was cut off in the middle is read up to the last whole row. One process writes; the others read after
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sugar.model.processor import image_key
from sugar.sequence import Slice
from sugar.training.data.example import Example
from sugar.training.teachers.encoders import EncoderSet

KEY = 16


def content_key(s: Slice) -> bytes:
    """16 bytes that name a slice's content."""
    text = f"image {image_key(s.image)}" if s.is_image else f"text {s.text}"
    return hashlib.blake2b(text.encode(), digest_size=KEY).digest()


class CachedEncoders:
    """An EncoderSet behind a cache. A set that says it is not worth keeping is asked each time."""

    def __init__(self, encoders: EncoderSet, folder: Path, *, batch: int = 32) -> None:
        self.encoders, self.folder, self.batch = encoders, folder, batch
        self.cached = encoders.cached
        self._rows: dict[bytes, int] = {}
        self._name = ""
        self.computed = 0

    @property
    def name(self) -> str:
        return self.encoders.name

    @property
    def widths(self) -> tuple[int, int]:
        return self.encoders.widths

    def __getstate__(self) -> dict[str, Any]:
        """Workers read the files; they do not get the encoders where the cache has all they need."""
        return {**self.__dict__, "encoders": _Kept(self.name, self.widths)} if self.cached else self.__dict__

    def learn(self, examples: Iterable[Example]) -> None:
        self.encoders.learn(examples)

    def prepare(self, slices: Iterable[Slice], *, quiet: bool = False) -> None:
        """Compute and keep what is missing, a batch of pictures in memory at a time."""
        if not self.cached:
            return
        from tqdm import tqdm

        self._open()
        missing: dict[bytes, Slice] = {}
        for s in tqdm(slices, desc="teachers", unit=" slices", disable=quiet):
            key = content_key(s)
            if key not in self._rows:
                missing[key] = s
            if len(missing) == self.batch:
                self._compute(missing)
                missing = {}
        if missing:
            self._compute(missing)

    def _compute(self, slices: dict[bytes, Slice]) -> None:
        rows = np.concatenate(self.encoders.encode(list(slices.values())), axis=1).astype(np.float16)
        self._append(list(slices), rows)
        self.computed += len(slices)

    def encode(self, slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows, part 1 and part 2, in float32; what is missing is computed and kept."""
        if not self.cached or not slices:
            return self.encoders.encode(slices)
        self._open()
        keys = [content_key(s) for s in slices]
        if any(key not in self._rows for key in keys):
            self._name = ""
            self._open()
            self.prepare(slices, quiet=True)
        width = sum(self.widths)
        stored = np.memmap(self._file("rows"), np.float16, "r").reshape(-1, width)
        rows = stored[[self._rows[key] for key in keys]].astype(np.float32)
        parts = rows[:, : self.widths[0]], rows[:, self.widths[0] :]
        unit = [p / np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-6) for p in parts]
        return unit[0], unit[1]

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.name}.{kind}"

    def _open(self) -> None:
        if self._name == self.name:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        size = 2 * sum(self.widths)
        keys = self._file("keys").read_bytes() if self._file("keys").is_file() else b""
        rows = self._file("rows").stat().st_size if self._file("rows").is_file() else 0
        count = min(len(keys) // KEY, rows // size)
        for kind, unit in (("keys", KEY), ("rows", size)):
            if self._file(kind).is_file() and self._file(kind).stat().st_size != count * unit:
                with self._file(kind).open("r+b") as file:
                    file.truncate(count * unit)
        self._rows = {keys[KEY * n : KEY * (n + 1)]: n for n in range(count)}
        self._name = self.name

    def _append(self, keys: list[bytes], rows: np.ndarray) -> None:
        with self._file("rows").open("ab") as file:
            file.write(rows.tobytes())
        with self._file("keys").open("ab") as file:
            file.write(b"".join(keys))
        for key in keys:
            self._rows[key] = len(self._rows)


class _Kept:
    """In a worker, in place of the encoders: everything is in the cache."""

    cached = True

    def __init__(self, name: str, widths: tuple[int, int]) -> None:
        self.name, self.widths = name, widths

    def learn(self, examples: Iterable[Example]) -> None:
        """Nothing is left to learn."""

    def encode(self, slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError("a worker was asked for vectors that were not prepared")
