"""Taking pictures in: decoded by threads ahead of the model, embedded in batches, each batch on disk before it is reported.

    report = Ingest(gallery, progress=..., cancel=...).run(entries)            # Gallery.add calls this

A file known by name, size and time is not opened; one known by its content hash is not decoded. A batch becomes visible in one
transaction: its pictures are written to `incoming/` first, and moved to their place after it; what a killed run left there is sorted out
at the next start. One bad file is one row of the report. Memory stays bounded: two batches of small decoded pictures wait at most.

Not covered: what may be handed in (sources.py), what a picture is (sugar/images.py).
"""

from __future__ import annotations

import collections
import errno
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sugar.errors import GalleryError, ImageError
from sugar.gallery.sources import Refusal, Source
from sugar.images import SUFFIXES, Picture, open_image, signature, thumbnail
from sugar.sequence import Embeddings, Sample

if TYPE_CHECKING:
    from sugar.gallery.gallery import Gallery

STATUSES = ("added", "updated", "renamed", "unchanged", "duplicate", "refused", "no vectors")
_LOSSLESS = ("PNG", "GIF", "BMP", "TIFF")
_LOSSLESS_SIDE = 512


@dataclass(frozen=True)
class Row:
    """What became of one file: a status of STATUSES, the reason where there is one, and the item it stands for."""

    name: str
    status: str
    reason: str = ""
    item: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far a run is. rate: files per second; eta: seconds left; current: the last file's name."""

    done: int
    total: int
    added: int
    refused: int
    rate: float
    eta: float
    current: str = ""

    def __str__(self) -> str:
        left = f"{self.eta // 60:.0f} min {self.eta % 60:.0f} s" if self.eta >= 60 else f"{self.eta:.0f} s"
        return f"{self.done:,} of {self.total:,} · {self.added:,} added, {self.refused:,} refused · {self.rate:.1f}/s · {left} left"


@dataclass
class Report:
    """What became of a whole run: one row per file, in order; `counts` by status. Files after a cancel have no row."""

    rows: list[Row] = field(default_factory=list)
    cancelled: bool = False
    seconds: float = 0.0

    def _count(self, status: str) -> int:
        return sum(r.status == status for r in self.rows)

    added = property(lambda self: self._count("added"))
    updated = property(lambda self: self._count("updated"))
    renamed = property(lambda self: self._count("renamed"))
    unchanged = property(lambda self: self._count("unchanged"))
    duplicate = property(lambda self: self._count("duplicate"))
    refused = property(lambda self: self._count("refused"))
    without_vectors = property(lambda self: self._count("no vectors"))

    @property
    def counts(self) -> dict[str, int]:
        return {status: n for status in STATUSES if (n := self._count(status))}

    def __str__(self) -> str:
        parts = ", ".join(f"{n:,} {status}" for status, n in self.counts.items()) or "nothing to take in"
        return f"{parts} in {self.seconds:.1f} s" + (" (cancelled; what is done is kept)" if self.cancelled else "")


@dataclass(eq=False)
class Ready:
    """A decoded picture with everything that its row needs; its clean copy lies in `incoming/`."""

    source: Source
    picture: Picture
    size: int
    suffix: str
    jpeg: bytes
    signature: bytes
    caption: str
    note: str = ""
    replaces: int | None = None


@dataclass(frozen=True)
class _Known:
    sha256: str
    size: int


class Ingest:
    """One run of `Gallery.add`."""

    def __init__(
        self,
        gallery: Gallery,
        *,
        progress: Callable[[Progress], Any] | None = None,
        cancel: threading.Event | None = None,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> None:
        self._gallery = gallery
        self._progress = progress
        self._cancel = cancel or threading.Event()
        self._batch_size = batch_size
        self._workers = workers or max(1, min(4, os.cpu_count() or 1))
        self._report = Report()
        self._rows: list[tuple[int, Row]] = []
        self._total = 0
        self._added = self._refused = 0
        self._started = self._told = time.monotonic()
        self._batch: list[Ready] = []
        self._waiting: list[tuple[Source, str, int | None]] = []  # copies of pictures of this batch
        self._captions: list[tuple[Source, int]] = []

    def run(self, entries: Sequence[Source | Refusal]) -> Report:
        store = self._gallery.store
        self._total = len(entries)
        self._order = {id(entry): place for place, entry in enumerate(entries)}
        self._known = {sha: item for sha, item in store.read("SELECT sha256, id FROM items")}
        self._bytes = int(store.read("SELECT coalesce(sum(bytes), 0) FROM items")[0][0])
        self._sources = {(o, n): rest for o, n, *rest in store.read("SELECT origin, name, size, mtime, caption, item FROM sources")}
        self._present = {(e.origin, e.name) for e in entries if isinstance(e, Source)}
        incoming = self._gallery.folder / "incoming"
        incoming.mkdir(exist_ok=True)
        try:
            with ThreadPoolExecutor(self._workers, thread_name_prefix="decode") as pool:
                for entry, result in self._decoded(pool, entries, incoming):
                    if self._cancel.is_set():
                        self._report.cancelled = True
                        break
                    self._take(entry, result)
                    if len(self._batch) >= self._batch_size:
                        self._flush()
                    self._tell(entry.name, force=False)
                else:
                    self._flush()
                    self._recaption()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise GalleryError(
                    f"The disk is full. {self._added:,} pictures were added and are kept; free space and add again."
                ) from None
            raise
        finally:
            self._report.seconds = time.monotonic() - self._started
            self._report.rows = [row for _, row in sorted(self._rows, key=lambda r: r[0])]
            self._gallery.sort_incoming()
        self._tell("", force=True)
        return self._report

    def _decoded(
        self, pool: ThreadPoolExecutor, entries: Sequence[Source | Refusal], incoming: Path
    ) -> Iterator[tuple[Source | Refusal, Any]]:
        """(entry, what became of it), in order; a window of one batch and a little is being decoded ahead."""
        window: collections.deque[tuple[Source | Refusal, Future | None]] = collections.deque()
        running = 0
        iterator = iter(entries)
        try:
            while True:
                while running < self._batch_size + self._workers and len(window) < 4096 and (entry := next(iterator, None)) is not None:
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
        return before is not None and source.mtime != -1 and (before[0], before[1]) == (source.size, source.mtime)

    def _prepare(self, source: Source, incoming: Path) -> Ready | Refusal | _Known:
        """In a worker thread: read, hash, decode, encode the copies, write the picture. Raises OSError when it cannot be written."""
        settings = self._gallery.settings
        if self._cancel.is_set():
            return Refusal(source.name, "cancelled")
        try:
            data = source.read(settings.max_file_bytes)
            if (sha := hashlib.sha256(data).hexdigest()) in self._known:
                return _Known(sha, len(data))
            picture = open_image(data, limits=settings.image_limits, max_side=settings.picture_side, keep_location=settings.keep_location)
        except ImageError as error:
            return Refusal(source.name, str(error))
        promised = SUFFIXES.get(Path(source.name).suffix.lower(), picture.format)
        note = "" if promised == picture.format else f"named {Path(source.name).suffix}, but is {picture.format}"
        body, suffix = encode_copy(picture)
        write_synced(incoming / f"{sha}{suffix}", body)
        return Ready(source, picture, len(data), suffix, thumbnail(picture.image), signature(picture.image), source.caption, note)

    def _take(self, entry: Source | Refusal, result: Ready | Refusal | _Known | None) -> None:
        refusal = entry if isinstance(entry, Refusal) else result if isinstance(result, Refusal) else None
        if refusal is not None:
            self._refuse(entry, refusal.reason)
            return
        assert isinstance(entry, Source)
        before = self._sources.get((entry.origin, entry.name))
        if result is None:
            assert before is not None
            item = before[3]
            if entry.caption and entry.caption != before[2]:
                self._captions.append((entry, item))
                self._row(entry, "updated", "new caption", item)
            else:
                self._row(entry, "unchanged", "", item)
            return
        replaced = before[3] if before is not None else None
        sha = result.sha256 if isinstance(result, _Known) else result.picture.sha256  # type: ignore[union-attr]
        if sha in self._known:
            self._waiting.append((entry, sha, replaced))
            if self._known[sha] >= 0:
                self._settle_copies()
            return
        assert isinstance(result, Ready)
        if len(self._known) >= self._gallery.settings.max_items:
            self._refuse(entry, f"The gallery is full: it takes {self._gallery.settings.max_items:,} pictures. Delete some first.")
        elif self._bytes + result.size > self._gallery.settings.max_gallery_bytes:
            cap = self._gallery.settings.max_gallery_bytes / 1e9
            self._refuse(entry, f"The gallery is full: it takes {cap:g} GB of pictures. Delete some first.")
        else:
            self._bytes += result.size
            result.replaces = replaced
            self._known[sha] = -1  # in this batch; its id comes with the commit
            self._batch.append(result)

    def _flush(self) -> None:
        """Embed and commit the batch; only then do its rows enter the report."""
        batch, self._batch = self._batch, []
        if batch:
            samples = [self._gallery.sample(r.picture.image, r.caption) for r in batch]
            vectors, faults = embed_each(self._gallery.model, samples)
            ids = self._gallery.commit(batch, vectors)
            for ready, item, fault in zip(batch, ids, faults, strict=True):
                self._known[ready.picture.sha256] = item
                status = "no vectors" if fault else "updated" if ready.replaces is not None else "added"
                self._row(ready.source, status, fault or ready.note, item)
                self._added += 1
        self._settle_copies()
        if batch:
            self._tell(batch[-1].source.name, force=True)

    def _settle_copies(self) -> None:
        """Files whose content is in the gallery already: a renamed file, or one more copy of the same picture."""
        ready = [w for w in self._waiting if self._known[w[1]] >= 0]
        self._waiting = [w for w in self._waiting if self._known[w[1]] < 0]
        for source, sha, replaced in ready:
            item = self._known[sha]
            others = self._gallery.store.read("SELECT origin, name FROM sources WHERE item = ?", (item,))
            moved = [(o, n) for o, n in others if o == source.origin and (o, n) not in self._present]
            touched = any((o, n) == (source.origin, source.name) for o, n in others)
            kept = self._gallery.link(source, item, moved, replaced if replaced != item else None)
            if not kept:
                self._refuse(source, "The same picture was deleted while this ran. Add it again.")
            elif touched:
                self._row(source, "unchanged", "", item)
            elif moved:
                self._row(source, "renamed", f"was {moved[0][1]}", item)
            else:
                self._row(source, "duplicate", "The same picture is in the gallery already; it is kept once.", item)

    def _recaption(self) -> None:
        for source, item in self._captions:
            self._gallery.set_caption(item, source.caption)
            self._gallery.link(source, item, [], None)

    def _refuse(self, entry: Source | Refusal, reason: str) -> None:
        self._refused += 1
        self._row(entry, "refused", reason)

    def _row(self, entry: Source | Refusal, status: str, reason: str = "", item: int | None = None) -> None:
        self._rows.append((self._order[id(entry)], Row(entry.name, status, reason, item)))

    def _tell(self, name: str, *, force: bool) -> None:
        now = time.monotonic()
        if self._progress is None or not (force or now - self._told > 0.5):
            return
        self._told = now
        done = len(self._rows)
        rate = done / max(now - self._started, 1e-6)
        self._progress(Progress(done, self._total, self._added, self._refused, rate, (self._total - done) / max(rate, 1e-6), name))


def encode_copy(picture: Picture) -> tuple[bytes, str]:
    """(bytes, suffix) of the copy that a gallery keeps: PNG for small pictures from a lossless format, else JPEG at quality 90."""
    out = io.BytesIO()
    if picture.format in _LOSSLESS and max(picture.image.size) <= _LOSSLESS_SIDE:
        picture.image.save(out, "PNG")
        return out.getvalue(), ".png"
    picture.image.save(out, "JPEG", quality=90)
    return out.getvalue(), ".jpg"


def write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def embed_each(model: Any, samples: Sequence[Sample]) -> tuple[list[tuple[Any, Any] | None], list[str]]:
    """((slices (n, D), is_image (n,)) or None, why not) for every sample: a batch that fails is tried one by one.

    When more than one was given and every one fails, it is the model's fault and its error is raised.
    """

    def rows(e: Embeddings) -> list[tuple[Any, Any] | None]:
        return list(zip(e.slices, e.is_image, strict=True))

    try:
        return rows(model.embed(samples)), [""] * len(samples)
    except Exception as whole:
        vectors: list[tuple[Any, Any] | None] = []
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
