"""Embedding kept pictures for a model that has no vectors of them yet, a batch at a time, resumable.

run = Reindex(gallery)
for progress in run.steps(): ...            # stop whenever you like; what is done is kept
run.report
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from sugar.errors import GalleryError
from sugar.gallery.embedding import embed_each
from sugar.gallery.items import Item
from sugar.gallery.reports import FileResult, IngestReport, Progress
from sugar.gallery.writing import GalleryWriter
from sugar.sequence import Sample

__all__ = ["Reindex"]

_Opened = tuple[Item, Sample | None, str]
"""An item, its sample, and why there is none."""


class Reindex:
    """One run of `Gallery.embed_pending`. Other models' vectors stay and go on serving."""

    def __init__(
        self,
        gallery: GalleryWriter,
        *,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
    ) -> None:
        self.report = IngestReport()
        self._gallery = gallery
        self._cancel = cancel or threading.Event()
        self._batch_size = batch_size

    def steps(self) -> Iterator[Progress]:
        """Embed what is pending; yields after each batch."""
        started = time.monotonic()
        todo = self._gallery.pending()
        batches = [todo[i : i + self._batch_size] for i in range(0, len(todo), self._batch_size)]
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
                ahead = [pool.submit(self._open, b) for b in batches[:1]]
                for number in range(len(batches)):
                    if self._cancel.is_set():
                        self.report.cancelled = True
                        return
                    ahead += [pool.submit(self._open, b) for b in batches[number + 1 : number + 2]]
                    last = self._embed(ahead.pop(0).result())
                    done, failed = len(self.report.rows), self.report.without_vectors
                    seconds = time.monotonic() - started
                    yield Progress.after(seconds, done, len(todo), done - failed, failed, last)
        finally:
            self.report.seconds = time.monotonic() - started

    def _open(self, items: Sequence[Item]) -> list[_Opened]:
        """In a worker thread: decode the kept copies."""
        out: list[_Opened] = []
        for item in items:
            try:
                image = self._gallery.open_kept(item).image
                out.append((item, self._gallery.sample(image, item.caption), ""))
            except GalleryError as error:
                out.append((item, None, str(error)))
        return out

    def _embed(self, opened: Sequence[_Opened]) -> str:
        """Embed and store one batch; returns the last picture's name."""
        good = [(item, sample) for item, sample, _ in opened if sample is not None]
        vectors, faults = embed_each(self._gallery.model, [s for _, s in good])
        made = zip(good, vectors, strict=True)
        self._gallery.add_vectors([(item, vector) for (item, _), vector in made if vector is not None])
        reasons = {item.id: why for item, _, why in opened}
        reasons |= {item.id: why for (item, _), why in zip(good, faults, strict=True)}
        for item, _, _ in opened:
            why = reasons[item.id]
            self.report.rows.append(FileResult(item.name, "no vectors" if why else "updated", why, item.id))
        return opened[-1][0].name
