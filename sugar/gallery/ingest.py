"""From files to pictures that are ready for their rows, decoded ahead and embedded.

    for source, made in ahead(sources, work, workers=4, window=36): ...     # decoded while the model works
    vectors, faults = embed_each(model, samples)                            # a bad picture costs only itself

Not covered: what may be handed in (gathering.py), what a picture is (sugar/images.py), rows (gallery.py).
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from sugar.gallery.items import clean_caption, original_file
from sugar.gallery.sources import Source
from sugar.images import SUFFIXES, Picture
from sugar.sequence import Embeddings, Sample
from sugar.taken import Taken

Vectors = tuple[np.ndarray, np.ndarray]
"""(slices (n, D) float32, is_image (n,) bool) of one item; row 0 is the pooled vector."""

_MOST_WAITING = 4096  # entries that need no work, while one before them is at work
Entry = TypeVar("Entry")
Made = TypeVar("Made")


class EmbeddingModel(Protocol):
    """A model as a gallery sees it."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings: ...


@dataclass(eq=False)
class NewPicture:
    """A decoded picture with everything that its row needs; its clean copy lies in `incoming/`.

    replaces: the item that its file showed before. name: the item's name where a person gave one, else "".
    others: (fingerprint, dimension, vectors) of further models, which an import carries. added: when it was
    taken into the gallery that it comes from.
    """

    source: Source
    picture: Picture
    size: int
    suffix: str
    jpeg: bytes
    signature: bytes
    caption: str
    replaces: int | None = None
    favourite: bool = False
    caption_by: str = ""
    name: str = ""
    others: Sequence[tuple[str, int, Vectors]] = ()
    added: datetime | None = None

    @property
    def file(self) -> str:
        """The name of its clean copy."""
        return f"{self.picture.sha256}{self.suffix}"

    @property
    def original(self) -> str:
        """The name of its stored original, where there is one."""
        return original_file(self.picture.sha256, self.picture.format)

    @property
    def embedded(self) -> str:
        """What a person wrote into the file itself."""
        return clean_caption(self.picture.described.caption)

    @property
    def taken(self) -> Taken | None:
        """When it was taken: by a table, else the picture, else Google's clock, else the file's name."""
        p, said = self.picture, self.source.told
        taken = None if p.taken is None else Taken(p.taken, p.day_from_name)
        told = said.taken or (said.clock if taken is None or taken.from_name else None)
        return taken if told is None else Taken(told)

    @property
    def note(self) -> str:
        """That the file's name promises another format; "" where it does not."""
        suffix, kind = Path(self.source.name).suffix.lower(), self.picture.format
        return "" if SUFFIXES.get(suffix, kind) == kind else f"named {suffix}, but is {kind}"


def ahead(
    entries: Iterable[Entry],
    work: Callable[[Entry], Made],
    *,
    workers: int,
    window: int,
    wanted: Callable[[Entry], bool] = lambda entry: True,
) -> Generator[tuple[Entry, Made | None], None, None]:
    """(entry, what `work` makes of it, or None where it is not wanted), in order.

    `work` runs in `workers` threads, for at most `window` entries at once. Close it to end the threads.
    """
    waiting: collections.deque[tuple[Entry, Future[Made] | None]] = collections.deque()
    running, iterator = 0, iter(entries)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            while True:
                while running < window and len(waiting) < _MOST_WAITING:
                    try:
                        entry = next(iterator)
                    except StopIteration:
                        break
                    future = pool.submit(work, entry) if wanted(entry) else None
                    running += future is not None
                    waiting.append((entry, future))
                if not waiting:
                    return
                entry, future = waiting.popleft()
                running -= future is not None
                yield entry, future.result() if future else None
        finally:
            for _, future in waiting:
                if future:
                    future.cancel()


def embed_each(model: Any, samples: Sequence[Sample]) -> tuple[list[Vectors | None], list[str]]:
    """Vectors, or None and the reason, for every sample. A batch that fails is tried again one by one.

    When more than one was given and every one fails, it is the model's fault and its error is raised.
    """

    def rows(e: Embeddings) -> list[Vectors | None]:
        return list(zip(e.slices, e.is_image, strict=True))

    if not samples:
        return [], []
    try:
        return rows(model.embed(samples)), [""] * len(samples)
    except Exception as whole:
        vectors: list[Vectors | None] = []
        faults = []
        for sample in samples:
            try:
                vectors += rows(model.embed([sample]))
                faults.append("")
            except Exception as error:
                vectors.append(None)
                faults.append(f"The model could not embed it ({error}). It is kept; re-index to try again.")
        if len(samples) > 1 and all(faults):
            raise whole
        return vectors, faults
