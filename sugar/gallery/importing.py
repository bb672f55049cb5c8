"""Filling a new gallery from an export, a row at a time. Nothing in the zip is trusted.

Every count, size and ratio is bounded (archives.py), rows are checked (export_format.py), pictures are
opened and encoded anew, and vectors are taken only when they are finite and of unit length. Pictures
without vectors of the model at hand are embedded on the way. Not covered: zips of other programs, which
`Gallery.add` takes.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import IO, Any

import numpy as np

from sugar.errors import Cancelled, GalleryError, ImageError
from sugar.gallery import copies
from sugar.gallery.archives import Archive, ArchiveError, UploadLimits, open_archive
from sugar.gallery.copies import encode_copy
from sugar.gallery.embedding import Vectors, embed_each
from sugar.gallery.export_format import FORMAT, MAX_ROW, ExportRow, parse, parse_row, vectors_file
from sugar.gallery.reports import Progress
from sugar.gallery.sources import Source
from sugar.gallery.writing import GalleryWriter, NewPicture
from sugar.images import open_image, signature, thumbnail

__all__ = ["import_steps"]

_MAX_MODELS = 32
_UNIT = 1e-2  # how far a vector's length may be from 1


def import_steps(
    gallery: GalleryWriter,
    path: str | os.PathLike,
    *,
    cancel: threading.Event | None = None,
    batch_size: int = 32,
) -> Iterator[Progress]:
    """Take an export into an empty gallery; yields after each batch.

    Raises ArchiveError: not such a zip, damaged, encrypted, a bomb, over the gallery's caps; Cancelled.
    """
    settings = gallery.settings
    packed = os.stat(path).st_size
    if packed > settings.max_import_bytes:
        cap = settings.max_import_bytes / 1e6
        raise ArchiveError(f"The export is {packed / 1e6:,.0f} MB; an import takes {cap:,.0f} MB. Split it.")
    limits = UploadLimits(max_files=settings.max_items + _MAX_MODELS + 3)
    archive = open_archive(path, os.path.basename(path), limits)
    started = time.monotonic()
    try:
        with ExitStack() as streams:
            reading = _Reading(gallery, archive, streams)
            batch: list[tuple[NewPicture, Vectors | None]] = []
            for number, row in enumerate(reading.rows(), 1):
                if cancel is not None and cancel.is_set():
                    raise Cancelled("The import was cancelled. Nothing was kept.")
                batch.append(reading.take(row))
                if len(batch) == batch_size or number == reading.count:
                    _commit(gallery, batch)
                    batch = []
                    seconds = time.monotonic() - started
                    yield Progress.after(seconds, number, reading.count, number, 0, row.name)
    finally:
        archive.close()


class _Reading:
    """An open export: its head, its rows in order, and the vectors that go with them."""

    def __init__(self, gallery: GalleryWriter, archive: Archive, streams: ExitStack) -> None:
        self._gallery = gallery
        self._archive = archive
        self._entries = {e.filename: e for e in archive.entries}
        if len(self._entries) < len(archive.entries):
            raise ArchiveError("The zip holds two files of one name. Export the gallery again.")
        head = parse(self._read("gallery.json", 100_000), "gallery.json")
        if head.get("format") != FORMAT:
            raise ArchiveError(
                f"The export has format {str(head.get('format'))[:20]}, this program reads {FORMAT}. "
                "Add the zip to a gallery instead: its pictures and captions come along."
            )
        self.count = self._number(head.get("items"), gallery.settings.max_items, "pictures")
        self._vectors: dict[str, tuple[int, IO[bytes]]] = {}
        models = head.get("models")
        if not isinstance(models, list) or len(models) > _MAX_MODELS:
            raise ArchiveError("gallery.json does not list its models. Export the gallery again.")
        for model in models:
            self._open_vectors(model, streams)
        self._lines = streams.enter_context(archive.stream(self._entry("items.jsonl")))
        self._seen: set[str] = set()
        self._bytes = 0

    def _open_vectors(self, model: Any, streams: ExitStack) -> None:
        fingerprint = model.get("fingerprint") if isinstance(model, dict) else None
        if not isinstance(fingerprint, str) or not re.fullmatch(r"[\w.-]{1,128}", fingerprint):
            raise ArchiveError("gallery.json names a model that cannot be one. Export the gallery again.")
        dimension = self._number(model.get("dimension"), 65_536, "numbers per vector")
        if fingerprint == self._gallery.fingerprint and dimension != self._gallery.dimension:
            raise ArchiveError("Its vectors are not of this model's size. Export the gallery again.")
        stream = streams.enter_context(self._archive.stream(self._entry(vectors_file(fingerprint))))
        self._vectors[fingerprint] = (dimension, stream)

    def rows(self) -> Iterator[ExportRow]:
        """The rows of `items.jsonl`. Raises ArchiveError: more or fewer than the head says, or one twice."""
        number = 0
        while line := self._line():
            if not line.strip():
                continue
            number += 1
            if number > self.count:
                raise ArchiveError(
                    f"The export lists more than the {self.count:,} pictures that it says it has."
                )
            row = parse_row(line, number)
            if row.sha256 in self._seen:
                raise ArchiveError(
                    f"The export lists the picture {row.name!r} twice. Export the gallery again."
                )
            self._seen.add(row.sha256)
            yield row
        if number < self.count:
            raise ArchiveError(f"The export has {number:,} of the {self.count:,} pictures that it lists.")

    def take(self, row: ExportRow) -> tuple[NewPicture, Vectors | None]:
        """One picture, its clean copy in `incoming/`, and its vectors of the model at hand, if any."""
        settings = self._gallery.settings
        body = self._read(row.file, settings.max_file_bytes)
        self._bytes += len(body)
        if self._bytes > settings.max_gallery_bytes:
            raise ArchiveError(
                f"The export is larger than {settings.max_gallery_bytes / 1e9:g} GB. Split it."
            )
        try:
            opened = open_image(body, limits=settings.image_limits, max_side=settings.picture_side)
        except ImageError as error:
            raise ArchiveError(f"The picture of {row.name!r} cannot be opened. {error}") from None
        location = row.location if settings.keep_location else None
        picture = replace(
            opened,
            sha256=row.sha256,
            width=row.width,
            height=row.height,
            format=row.format,
            taken=row.taken,
            day_from_name=row.day_from_name,
            camera=row.camera,
            location=location,
        )
        again, suffix = encode_copy(opened)  # never the foreign bytes: they may carry more than a picture
        copies.write_synced(self._gallery.folder / "incoming" / f"{row.sha256}{suffix}", again)
        small, colours = thumbnail(opened.image), signature(opened.image)
        new = NewPicture(
            source=Source(row.name, "", row.bytes, -1, lambda cap: b""),
            picture=picture,
            size=row.bytes,
            suffix=suffix,
            jpeg=small,
            signature=colours,
            caption=row.caption,
            favourite=row.favourite,
            caption_by=row.caption_by,
        )
        found = {f: self._take_vectors(f, n) for f, n in row.slices.items() if n}
        mine = found.pop(self._gallery.fingerprint, None)
        new.others = [(f, self._vectors[f][0], vector) for f, vector in found.items()]
        return new, mine

    def _take_vectors(self, fingerprint: str, count: int) -> Vectors:
        """The next `count` vectors of a model."""
        if fingerprint not in self._vectors:
            raise ArchiveError("A row has vectors of a model that the export does not list.")
        dimension, stream = self._vectors[fingerprint]
        try:
            data = stream.read(4 * dimension * count)
        except (OSError, EOFError, ValueError) as error:
            raise ArchiveError(f"Its vectors cannot be read ({error}). Export the gallery again.") from None
        slices = np.frombuffer(data, "<f4", len(data) // 4)
        whole = len(data) == 4 * dimension * count and bool(np.isfinite(slices).all())
        if whole:
            slices = slices.reshape(count, dimension)  # (n, D)
            whole = bool((np.abs(np.linalg.norm(slices, axis=1) - 1) < _UNIT).all())
        if not whole:
            raise ArchiveError("Its vectors are not whole. Export the gallery again.")
        return slices, np.arange(count) == 0

    def _line(self) -> bytes:
        try:
            return self._lines.readline(MAX_ROW + 1)
        except (OSError, EOFError, ValueError, GalleryError) as error:
            raise ArchiveError(f"items.jsonl cannot be read ({error}). Export the gallery again.") from None

    def _entry(self, name: str) -> Any:
        if name not in self._entries:
            raise ArchiveError(
                f"This is not a whole export of a gallery: {name} is missing. Export it again."
            )
        return self._entries[name]

    def _read(self, name: str, cap: int) -> bytes:
        data = self._archive.read(self._entry(name), cap)
        if len(data) > cap:
            raise ArchiveError(f"{name} is larger than {cap / 1e6:g} MB. It is not taken.")
        return data

    @staticmethod
    def _number(value: Any, most: int, what: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ArchiveError(f"The export does not have 0 to {most:,} {what}. It is not taken.")
        return value


def _commit(gallery: GalleryWriter, batch: list[tuple[NewPicture, Vectors | None]]) -> None:
    """Embed those without vectors of the model at hand, then one transaction for all."""
    bare = [(at, new) for at, (new, mine) in enumerate(batch) if mine is None]
    samples = [gallery.sample(new.picture.image, new.caption) for _, new in bare]
    made, _ = embed_each(gallery.model, samples)
    vectors = [mine for _, mine in batch]
    for (at, _), vector in zip(bare, made, strict=True):
        vectors[at] = vector
    gallery.commit([new for new, _ in batch], vectors)
