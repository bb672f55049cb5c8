"""Taking pictures in: decoded ahead of the model, embedded in batches, each on disk before it is reported.

    run = Ingest(gallery, batch_size=32)
    for progress in run.steps(entries): ...          # stop whenever you like; what is done is kept
    run.report

A file known by name, size and time is not opened; one known by its content hash is not decoded. One bad
file is one row of the report. Memory is bounded: two batches of small decoded pictures wait at most. Not
covered: what may be handed in (gathering.py), what a picture is (sugar/images.py).
"""

from __future__ import annotations

import collections
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sugar.errors import ImageError
from sugar.gallery import copies
from sugar.gallery.copies import disk_errors, encode_copy
from sugar.gallery.embedding import embed_each
from sugar.gallery.reports import FileResult, IngestReport, Progress, together
from sugar.gallery.sources import Refusal, Source
from sugar.gallery.writing import REPLACED, GalleryWriter, NewPicture
from sugar.images import SUFFIXES, open_image, signature, thumbnail

__all__ = ["Ingest"]

_TELL = 0.5  # seconds between two progress values inside a batch


@dataclass(frozen=True)
class _Known:
    """A file whose content is in the gallery already."""

    sha256: str


@dataclass(frozen=True)
class _Copy:
    """A file with the content of a picture of this run or of the gallery.

    replaced: the item it showed before.
    """

    source: Source
    sha256: str
    replaced: int | None


class Ingest:
    """One run of `Gallery.add`. `report` grows while it runs."""

    def __init__(
        self,
        gallery: GalleryWriter,
        *,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> None:
        self.report = IngestReport()
        self._gallery = gallery
        self._cancel = cancel or threading.Event()
        self._batch_size = batch_size
        self._workers = workers or max(1, min(4, os.cpu_count() or 1))
        self._rows: list[tuple[int, FileResult]] = []
        self._passed: list[Refusal] = []
        self._total = 0
        self._added = self._refused = 0
        self._started = self._told = time.monotonic()
        self._batch: list[NewPicture] = []
        self._copies: list[_Copy] = []
        self._captions: list[tuple[Source, int]] = []

    def steps(self, entries: Sequence[Source | Refusal]) -> Iterator[Progress]:
        """Take the entries in, a batch at a time; yields after each batch and now and then in between."""
        self._look(entries)
        incoming = self._gallery.folder / "incoming"
        try:
            with disk_errors(f"What was reported as added is kept ({self._gallery.folder.name!r})."):
                incoming.mkdir(exist_ok=True)
                with ThreadPoolExecutor(self._workers, thread_name_prefix="decode") as pool:
                    yield from self._taking(pool, entries, incoming)
        finally:
            self.report.seconds = time.monotonic() - self._started
            self.report.rows = [row for _, row in sorted(self._rows, key=lambda r: r[0])]
            self.report.rows += together(self._passed)
            with self._gallery.changing():
                self._gallery.sort_incoming()
        yield self._progress("")

    def _look(self, entries: Sequence[Source | Refusal]) -> None:
        """What is known before the first file."""
        store = self._gallery.store
        self._total = len(entries)
        self._order = {id(entry): position for position, entry in enumerate(entries)}
        self._known = {sha: item for sha, item in store.read("SELECT sha256, id FROM items")}
        self._bytes = int(store.read("SELECT coalesce(sum(bytes), 0) FROM items")[0][0])
        rows = store.read("SELECT origin, name, size, mtime, caption, item FROM sources")
        self._sources = {(origin, name): rest for origin, name, *rest in rows}
        self._present = {(e.origin, e.name) for e in entries if isinstance(e, Source)}

    def _taking(
        self, pool: ThreadPoolExecutor, entries: Sequence[Source | Refusal], incoming: Path
    ) -> Iterator[Progress]:
        for entry, result in self._decoded(pool, entries, incoming):
            if self._cancel.is_set():
                self.report.cancelled = True
                return
            self._take(entry, result)
            if len(self._batch) >= self._batch_size:
                self._flush()
                yield self._progress(entry.name)
            elif time.monotonic() - self._told > _TELL:
                yield self._progress(entry.name)
        self._flush()
        for source, item in self._captions:
            self._gallery.set_caption(item, source.caption)
            self._gallery.link(source, item, [], None)
        self._gallery.finish_replaced()

    def _decoded(
        self, pool: ThreadPoolExecutor, entries: Sequence[Source | Refusal], incoming: Path
    ) -> Iterator[tuple[Source | Refusal, Any]]:
        """(entry, its result), in order; a window of one batch and a little is being decoded ahead."""
        window: collections.deque[tuple[Source | Refusal, Future | None]] = collections.deque()
        running = 0
        iterator = iter(entries)
        try:
            while True:
                while (
                    running < self._batch_size + self._workers
                    and len(window) < 4096
                    and (entry := next(iterator, None)) is not None
                ):
                    future = None
                    if isinstance(entry, Source) and not self._unchanged(entry):
                        future = pool.submit(self._prepare, entry, incoming)
                        running += 1
                    window.append((entry, future))
                if not window:
                    return
                entry, future = window.popleft()
                running -= future is not None
                yield entry, future.result() if future else None
        finally:
            for _, future in window:
                if future:
                    future.cancel()

    def _unchanged(self, source: Source) -> bool:
        before = self._sources.get((source.origin, source.name))
        return before is not None and source.mtime != -1 and before[:2] == [source.size, source.mtime]

    def _prepare(self, source: Source, incoming: Path) -> NewPicture | Refusal | _Known:
        """In a worker thread: read, hash, decode, encode the copies, write the picture.

        Raises OSError when the picture cannot be written.
        """
        settings = self._gallery.settings
        if self._cancel.is_set():
            return Refusal(source.name, "cancelled")
        try:
            data = source.read(settings.max_file_bytes)
            if (sha := hashlib.sha256(data).hexdigest()) in self._known:
                return _Known(sha)
            picture = open_image(
                data,
                limits=settings.image_limits,
                max_side=settings.picture_side,
                keep_location=settings.keep_location,
                name=source.name,
            )
        except ImageError as error:
            return Refusal(source.name, str(error))
        suffix = Path(source.name).suffix.lower()
        promised = SUFFIXES.get(suffix, picture.format)
        note = "" if promised == picture.format else f"named {suffix}, but is {picture.format}"
        body, kept_suffix = encode_copy(picture)
        copies.write_synced(incoming / f"{sha}{kept_suffix}", body)
        small, colours = thumbnail(picture.image), signature(picture.image)
        return NewPicture(source, picture, len(data), kept_suffix, small, colours, source.caption, note)

    def _take(self, entry: Source | Refusal, result: NewPicture | Refusal | _Known | None) -> None:
        """Put one file's result where it belongs: the batch, the copies, or the report."""
        if isinstance(entry, Refusal) and entry.kind:
            self._passed.append(entry)
            return
        if isinstance(entry, Refusal) or isinstance(result, Refusal):
            refusal = entry if isinstance(entry, Refusal) else result
            self._refuse(entry, refusal.reason)  # type: ignore[union-attr]
            return
        before = self._sources.get((entry.origin, entry.name))
        if result is None:
            assert before is not None
            if entry.caption and entry.caption != before[2]:
                self._captions.append((entry, before[3]))
                self._row(entry, "updated", "new caption", before[3])
            else:
                self._row(entry, "unchanged", "", before[3])
            return
        replaced = before[3] if before is not None else None
        sha = result.sha256 if isinstance(result, _Known) else result.picture.sha256
        if sha in self._known:
            self._copies.append(_Copy(entry, sha, replaced))
            if self._known[sha] >= 0:
                self._link_copies()
            return
        assert isinstance(result, NewPicture)
        if (reason := self._full(result.size)) is not None:
            self._refuse(entry, reason)
            return
        self._bytes += result.size
        if before is not None:
            result.replaces = before[3]
            if entry.caption == before[2]:
                result.caption = ""  # no news: what people have said since then stays
        self._known[sha] = -1  # in this batch; its id comes with the commit
        self._batch.append(result)

    def _full(self, size: int) -> str | None:
        settings = self._gallery.settings
        if len(self._known) >= settings.max_items:
            return f"The gallery is full: it takes {settings.max_items:,} pictures. Delete some first."
        if self._bytes + size > settings.max_gallery_bytes:
            cap = settings.max_gallery_bytes / 1e9
            return f"The gallery is full: it takes {cap:g} GB of pictures. Delete some first."
        return None

    def _flush(self) -> None:
        """Embed and commit the batch; only then do its rows enter the report."""
        batch, self._batch = self._batch, []
        for new in batch:
            if new.replaces is not None:
                self._gallery.inherit(new)
        samples = [self._gallery.sample(new.picture.image, new.caption) for new in batch]
        vectors, faults = embed_each(self._gallery.model, samples)
        if batch:
            ids = self._gallery.commit(batch, vectors)
            for new, item, fault in zip(batch, ids, faults, strict=True):
                self._known[new.picture.sha256] = item
                status = "no vectors" if fault else "updated" if new.replaces is not None else "added"
                self._row(new.source, status, fault or new.note, item)
                self._added += 1
        self._link_copies()

    def _link_copies(self) -> None:
        """Files whose content is in the gallery already: a renamed file, or one more copy of a picture."""
        ready = [c for c in self._copies if self._known[c.sha256] >= 0]
        self._copies = [c for c in self._copies if self._known[c.sha256] < 0]
        for copy in ready:
            source, item = copy.source, self._known[copy.sha256]
            others = self._gallery.store.read(
                "SELECT origin, name, caption FROM sources WHERE item = ?", (item,)
            )
            files = [(o, n) for o, n, _ in others if o == source.origin]
            moved = [f for f in files if f not in self._present and not source.there(f[1])]
            was = [n for _, n in moved] + [c for o, _, c in others if o == REPLACED]
            replaced = copy.replaced if copy.replaced != item else None
            caption = self._news(source, item, moved)
            if not self._gallery.link(source, item, moved, replaced):
                self._refuse(source, "The same picture was deleted while this ran. Add it again.")
            elif caption:
                self._captions.append((source, item))
                self._row(source, "updated", "new caption", item)
            elif (source.origin, source.name) in files:
                self._row(source, "unchanged", "", item)
            elif was:
                self._row(source, "renamed", f"was {was[0]}", item)
            else:
                reason = "The same picture is in the gallery already; it is kept once."
                self._row(source, "duplicate", reason, item)

    def _news(self, source: Source, item: int, moved: Sequence[tuple[str, str]]) -> bool:
        """Whether a file of a known picture brings a caption that the item should get.

        One that has changed since, or one for a picture that no person has captioned yet.
        """
        if not source.caption:
            return False
        for key in ((source.origin, source.name), *moved):
            if (before := self._sources.get(key)) is not None and before[3] == item:
                return source.caption != before[2]
        bare = "SELECT 1 FROM items WHERE id = ? AND (caption = '' OR caption_by <> '')"
        return bool(self._gallery.store.read(bare, (item,)))

    def _refuse(self, entry: Source | Refusal, reason: str) -> None:
        self._refused += 1
        self._row(entry, "refused", reason)

    def _row(self, entry: Source | Refusal, status: str, reason: str = "", item: int | None = None) -> None:
        self._rows.append((self._order[id(entry)], FileResult(entry.name, status, reason, item)))

    def _progress(self, name: str) -> Progress:
        self._told = time.monotonic()
        seconds = self._told - self._started
        done = len(self._rows) + len(self._passed)
        return Progress.after(seconds, done, self._total, self._added, self._refused, name)
