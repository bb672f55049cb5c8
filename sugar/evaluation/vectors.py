"""Embeddings kept on disk by content and model, so that a picture is embedded once for all files of a
benchmark.

    store = VectorStore(Path("runs/vectors"), model)
    vectors = store.embed([("a dog",), (path,)])        # (N, D) float32 unit rows

One file a model fingerprint: records of a SHA-256 key and D float32 values, appended. A record that a kill
cut short is
dropped at the next start. Not covered: several processes writing one file (each process has its own, see
`suffix`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sugar.evaluation.benchmark import Part, content

KEY_BYTES = 32
BATCH = 256


class VectorStore:
    """Vectors by content. Raises ModelError when the model has no fingerprint (it lives in memory only)."""

    def __init__(self, folder: Path, model: Any, suffix: str = "") -> None:
        self.model, self.dimension = model, int(model.dimension)
        self.path = folder / f"{model.fingerprint}{suffix}.vectors"
        self._known: dict[bytes, np.ndarray] = {}
        self._file_keys: dict[Path, bytes] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.glob(f"{model.fingerprint}*.vectors")):
            self._read(file)

    def __len__(self) -> int:
        return len(self._known)

    def _read(self, file: Path) -> None:
        size = KEY_BYTES + 4 * self.dimension
        data = file.read_bytes()
        for start in range(0, len(data) // size * size, size):
            row = np.frombuffer(data, np.float32, self.dimension, start + KEY_BYTES)
            self._known[data[start : start + KEY_BYTES]] = row
        if file == self.path and len(data) % size:
            os.truncate(file, len(data) // size * size)

    def key(self, parts: Sequence[Part]) -> bytes:
        digest = hashlib.sha256()
        for part in parts:
            if isinstance(part, str):
                digest.update(b"t" + hashlib.sha256(part.encode()).digest())
            elif isinstance(part, bytes):
                digest.update(b"i" + hashlib.sha256(part).digest())
            else:
                if part not in self._file_keys:
                    self._file_keys[part] = hashlib.sha256(part.read_bytes()).digest()
                digest.update(b"i" + self._file_keys[part])
        return digest.digest()

    def embed(
        self, samples: Sequence[Sequence[Part]], progress: Callable[[int], Any] | None = None
    ) -> np.ndarray:
        """(N, D) float32 pooled vectors, each distinct sample embedded once.

        `progress` gets counts of samples done.
        """
        keys = [self.key(parts) for parts in samples]
        new = {key: parts for key, parts in zip(keys, samples, strict=True) if key not in self._known}
        if progress is not None:
            progress(len(samples) - len(new))
        waiting = list(new.items())
        with self.path.open("ab") as file:
            for start in range(0, len(waiting), BATCH):
                chosen = waiting[start : start + BATCH]
                rows = self.model.embed([content(parts) for _, parts in chosen]).pooled.astype(np.float32)
                for (key, _), row in zip(chosen, rows, strict=True):
                    self._known[key] = row
                    file.write(key + row.tobytes())
                file.flush()
                if progress is not None:
                    progress(len(chosen))
        return np.stack([self._known[key] for key in keys]) if keys else np.zeros((0, self.dimension), "f4")
