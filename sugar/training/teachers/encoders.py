"""What a set of teachers is, and the paper's set: three frozen encoders.

    encoders = TripleFolders.open("triple-small")
    part1, part2 = encoders.encode([picture_slice, text_slice])       # unit rows, (2, D1) and (2, D2)

part 1 compares within a modality, part 2 across (Sugar 3.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from sugar.model.encoders import TRIPLES, TripleEncoder
from sugar.model.load import fetch
from sugar.sequence import Sample, Slice
from sugar.training.data.example import Example


class EncoderSet(Protocol):
    """Frozen encoders.

    name: changes whenever a vector would. widths: (D1, D2). cached: worth keeping on disk.
    """

    @property
    def name(self) -> str: ...

    @property
    def widths(self) -> tuple[int, int]: ...

    @property
    def cached(self) -> bool: ...

    def learn(self, examples: Iterable[Example]) -> None:
        """See the training rows once before the first `encode`; encoders that need nothing of
        them do nothing."""

    def encode(self, slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows: part 1 (n, D1), part 2 (n, D2)."""


class TripleFolders:
    """DINOv2, CLIP and BGE, or any three checkpoints of their kinds."""

    cached = True

    def __init__(self, encoder: TripleEncoder, name: str) -> None:
        self.encoder, self.name = encoder, name
        layout = encoder.layout
        self.widths = (max(layout.image, layout.text), layout.cross)

    @classmethod
    def open(cls, source: str | Sequence[Path], *, device: str = "cpu") -> TripleFolders:
        """A preset of `sugar.model.encoders.TRIPLES`, or three folders.

        Raises ModelError when one cannot be opened.
        """
        folders = [fetch(n) for n in TRIPLES[source]] if isinstance(source, str) else list(source)
        digest = hashlib.sha256()
        for folder in folders:
            for file in sorted(folder.glob("*.safetensors")):
                digest.update(f"{file.name}{file.stat().st_size}".encode())
                with file.open("rb") as opened:
                    digest.update(opened.read(1 << 20))
        encoder = TripleEncoder.from_folders(*folders, device=device)
        return cls(encoder, f"triple-{digest.hexdigest()[:16]}")

    def learn(self, examples: Iterable[Example]) -> None:
        """Nothing: these encoders are frozen."""

    def encode(self, slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows of slices, each encoded alone."""
        rows = np.concatenate(self.encoder.rows([Sample(s) for s in slices]))
        return self.encoder.layout.parts(rows, np.array([s.is_image for s in slices]))
