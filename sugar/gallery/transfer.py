"""Pictures that leave a gallery or come from another one: exports and imports, moves, downloads.

    count = export_zip(gallery, "holiday.zip")                       # originals and all that is known of them
    gallery = import_zip("holiday.zip", "gallery_index/back", model) # a new gallery, all of it or nothing
    moved = move(holiday, best, [3, 4])
    name, data = one(gallery, 3)                                     # ("beach.jpg", the kept copy's bytes)
    count = write_zip(gallery, [3, 4, 5], "pictures.zip")            # pictures by their names, captions.csv

In an export: `gallery.json` (format, number of items, models), `items.jsonl` (a row for each picture),
`captions.csv` for people and other programs, `notes.jsonl`, `pictures/NAME` (the original under its own name,
the working copy where that is all), `pictures/NAME.xmp` where asked for, and, where asked for, for each model
`vectors/FINGERPRINT.f32`: float32 rows, in the order of the items; a row says how many are its own.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np

from sugar import place
from sugar.atomic import replacing
from sugar.errors import Cancelled, GalleryError, ImageError
from sugar.gallery.archives import Archive, ArchiveError, UploadLimits, open_archive
from sugar.gallery.disk import importing_folder, remove_folder, write_synced
from sugar.gallery.gallery import Gallery
from sugar.gallery.ingest import EmbeddingModel, NewPicture, Vectors, embed_each
from sugar.gallery.items import GallerySettings, Item, clean_caption, clean_name
from sugar.gallery.sources import Progress, Source
from sugar.gallery.store import disk_errors
from sugar.images import FORMATS, SUFFIXES, Picture, open_image, placeless, signature, thumbnail
from sugar.metadata import Described, write_xmp
from sugar.paths import existing
from sugar.taken import read

FORMATS_READ = (2, 3)
"""Of exports. Format 2 held working copies by their SHA-256, no originals and no notes."""
MAX_ROW = 65_536  # bytes of one line of items.jsonl
MAX_NOTES = 200_000_000  # bytes of notes.jsonl
MAX_SLICES = 1_000  # vectors of one picture
_PAGE = 500  # items whose vectors are held at once
_TELL = 64  # pictures between two calls of `progress`
_BATCH = 32  # pictures that are embedded and committed together
_MAX_MODELS = 32
_UNIT = 1e-2  # how far a vector's length may be from 1
_FILE = re.compile(r"pictures/([0-9a-f]{64})(\.(?:jpg|png))")  # of format 2
_NAMED = re.compile(r"pictures/[^/\\\x00-\x1f]{1,200}")
_MISSING = "The kept picture of {name!r} is missing, or was deleted meanwhile. Try again."
_UNFIT = re.compile(r'[\\/:*?"<>|\x00-\x1f]+')

# -- export


def export_zip(
    gallery: Gallery,
    path: str | os.PathLike,
    *,
    include_location: bool = False,
    include_vectors: bool = False,
    sidecars: bool = False,
    progress: Callable[[Progress], Any] | None = None,
    cancel: threading.Event | None = None,
) -> int:
    """Write the zip, a picture at a time, whole or not at all; returns the number of pictures.

    Locations leave only by `include_location=True`, neither in rows nor in originals otherwise. sidecars: an
    XMP file beside each picture. Raises GalleryError: a kept picture is missing, no room; Cancelled when
    `cancel` was set.
    """
    items = sorted(gallery.items(), key=lambda i: i.id)
    rows: list[dict[str, Any]] = []
    used: set[str] = set()
    with (
        disk_errors("Nothing was exported."),
        replacing(Path(path)) as beside,
        zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive,
    ):
        for number, item in enumerate(items, 1):
            if cancel is not None and cancel.is_set():
                raise Cancelled("The export was cancelled. Nothing was written.")
            data = _original_of(gallery, item)
            if data is not None and not include_location:
                data = placeless(data)
            file = f"pictures/{_free_name(item, used, data is not None)}"
            archive.writestr(file, data or gallery.copy(item))
            if sidecars:
                said = _said(item, include_location=include_location)
                archive.writestr(f"{file}.xmp", write_xmp(said))
            rows.append(_row_of(item, file, data is not None, include_location=include_location))
            if progress is not None and (number % _TELL == 0 or number == len(items)):
                progress(Progress(number, len(items), number, 0, 0.0, item.name))
        models = gallery.store.read("SELECT fingerprint, dimension FROM models ORDER BY fingerprint")
        models = models if include_vectors else []
        slices: dict[int, dict[str, int]] = {item.id: {} for item in items}
        for fingerprint, dimension in models:
            _write_vectors(gallery, archive, items, fingerprint, dimension, slices)
        for item, row in zip(items, rows, strict=True):
            row["slices"] = slices[item.id]
        _write_rows(archive, "items.jsonl", rows)
        notes = [{"name": n.name, "text": n.text, "answer": n.answer} for n in gallery.notes()]
        _write_rows(archive, "notes.jsonl", notes)
        table = [[row["file"], i.caption, i.taken_text, i.name] for i, row in zip(items, rows, strict=True)]
        _write_table(archive, ["file", "caption", "taken", "name"], table)
        listed = [{"fingerprint": f, "dimension": d} for f, d in models]
        head = {"format": FORMATS_READ[-1], "items": len(items), "models": listed}
        archive.writestr("gallery.json", json.dumps(head, indent=1))
    return len(items)


def _write_rows(archive: zipfile.ZipFile, name: str, rows: Iterable[dict[str, Any]]) -> None:
    with archive.open(name, "w", force_zip64=True) as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _write_vectors(
    gallery: Gallery,
    archive: zipfile.ZipFile,
    items: list[Item],
    fingerprint: str,
    dimension: int,
    slices: dict[int, dict[str, int]],
) -> None:
    """One model's vectors, and how many each item has into `slices`."""
    with archive.open(_vectors_file(fingerprint), "w", force_zip64=True) as out:
        for at in range(0, len(items), _PAGE):
            page = [i.id for i in items[at : at + _PAGE]]
            found = dict(
                gallery.store.read(
                    "SELECT item, slices FROM vectors WHERE fingerprint = ? "
                    "AND item IN (SELECT value FROM json_each(?))",
                    (fingerprint, json.dumps(page)),
                )
            )
            for item in page:
                if (blob := found.get(item)) is not None:
                    out.write(blob)
                    slices[item][fingerprint] = len(blob) // (4 * dimension)


def _write_table(archive: zipfile.ZipFile, head: list[str], rows: Iterable[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    archive.writestr("captions.csv", out.getvalue(), zipfile.ZIP_DEFLATED)


def _vectors_file(fingerprint: str) -> str:
    return f"vectors/{fingerprint}.f32"


def _row_of(item: Item, file: str, original: bool, *, include_location: bool) -> dict[str, Any]:
    """An item as a row of `items.jsonl`."""
    return {
        "file": file,
        "sha256": item.sha256,
        "original": original,
        "added": item.added.isoformat(),
        "name": item.name,
        "caption": item.caption,
        "caption_by": item.caption_by,
        "favourite": item.favourite,
        "width": item.width,
        "height": item.height,
        "format": item.format,
        "bytes": item.bytes,
        "taken": item.taken.isoformat() if item.taken else None,
        "day_from_name": item.day_from_name,
        "camera": item.camera,
        "location": item.location if include_location else None,
    }


# -- import: nothing in the zip is trusted


def import_zip(
    archive: str | os.PathLike,
    path: str | os.PathLike,
    model: EmbeddingModel,
    settings: GallerySettings | None = None,
    *,
    progress: Callable[[Progress], Any] | None = None,
    cancel: threading.Event | None = None,
) -> Gallery:
    """A new gallery in the folder `path` from an export; it appears there when all of it is in.

    Every count, size and ratio is bounded (archives.py), rows are checked, pictures are opened and encoded
    anew, and vectors are taken only when they are finite and of unit length. Pictures without vectors of the
    model at hand are embedded on the way. Raises GalleryError (ArchiveError: not such a zip, damaged,
    encrypted, a bomb, over the gallery's caps); Cancelled. Zips of other programs: `Gallery.add`.
    """
    target = Path(path)
    taken = f"There is something in {target.name!r} already. Choose another name."
    if existing(target):
        raise GalleryError(taken)
    building = importing_folder(target)
    try:
        with (
            disk_errors("Nothing was imported."),
            Gallery.create(building, model, settings) as gallery,
            gallery.run_lock().held(),
        ):
            gallery.kept.incoming.mkdir()
            _fill(gallery, archive, progress, cancel)
        try:
            os.rename(building, target)
        except OSError as error:
            raise GalleryError(taken) from error
    finally:
        remove_folder(building)
    return Gallery.open(path, model)


def _fill(
    gallery: Gallery,
    path: str | os.PathLike,
    progress: Callable[[Progress], Any] | None,
    cancel: threading.Event | None,
) -> None:
    """Take an export into an empty gallery, a batch at a time."""
    settings = gallery.settings
    packed = os.stat(path).st_size
    if packed > settings.max_import_bytes:
        cap = settings.max_import_bytes / 1e6
        raise ArchiveError(f"The export is {packed / 1e6:,.0f} MB; an import takes {cap:,.0f} MB. Split it.")
    limits = UploadLimits(max_files=settings.max_items + _MAX_MODELS + 3)
    started = time.monotonic()
    with ExitStack() as opened:
        archive = open_archive(path, os.path.basename(path), limits)
        opened.callback(archive.close)
        export = _Export(gallery, archive, opened)
        batch: list[tuple[NewPicture, Vectors | None]] = []
        for number, row in enumerate(export.rows(), 1):
            if cancel is not None and cancel.is_set():
                raise Cancelled("The import was cancelled. Nothing was kept.")
            batch.append(export.take(row))
            if len(batch) == _BATCH or number == export.count:
                _commit(gallery, batch)
                batch = []
                if progress is not None:
                    seconds = time.monotonic() - started
                    progress(Progress.after(seconds, number, export.count, number, 0, row.item.name))
        gallery.keep_notes(export.notes())


def _commit(gallery: Gallery, batch: list[tuple[NewPicture, Vectors | None]]) -> None:
    """Embed those without vectors of the gallery's model, then one transaction for all."""
    bare = [new for new, mine in batch if mine is None]
    samples = [gallery.sample(new.picture.image, new.caption, new.caption_by) for new in bare]
    made = iter(embed_each(gallery.model, samples)[0])
    gallery.commit([new for new, _ in batch], [next(made) if mine is None else mine for _, mine in batch])


class _Export:
    """An open export: its head, its rows in order, and the vectors that go with them."""

    def __init__(self, gallery: Gallery, archive: Archive, opened: ExitStack) -> None:
        self._gallery = gallery
        self._archive = archive
        self._entries = {e.filename: e for e in archive.entries}
        if len(self._entries) < len(archive.entries):
            raise ArchiveError("The zip holds two files of one name. Export the gallery again.")
        head = _parse(self._read("gallery.json", 100_000), "gallery.json")
        self._format = head.get("format")
        if self._format not in FORMATS_READ:
            raise ArchiveError(
                f"The export has format {str(self._format)[:20]}, this program reads {FORMATS_READ[-1]}. "
                "Add the zip to a gallery instead: its pictures and captions come along."
            )
        self.count = self._number(head.get("items"), gallery.settings.max_items, "pictures")
        self._vectors: dict[str, tuple[int, IO[bytes]]] = {}
        models = head.get("models")
        if not isinstance(models, list) or len(models) > _MAX_MODELS:
            raise ArchiveError("gallery.json does not list its models. Export the gallery again.")
        for model in models:
            self._open_vectors(model, opened)
        self._lines = opened.enter_context(archive.stream(self._entry("items.jsonl")))
        self._seen: set[str] = set()
        self._bytes = 0

    def _open_vectors(self, model: Any, opened: ExitStack) -> None:
        fingerprint = model.get("fingerprint") if isinstance(model, dict) else None
        if not isinstance(fingerprint, str) or not re.fullmatch(r"[\w.-]{1,128}", fingerprint):
            raise ArchiveError("gallery.json names a model that cannot be one. Export the gallery again.")
        dimension = self._number(model.get("dimension"), 65_536, "numbers per vector")
        if fingerprint == self._gallery.fingerprint and dimension != self._gallery.dimension:
            raise ArchiveError("Its vectors are not of this model's size. Export the gallery again.")
        stream = opened.enter_context(self._archive.stream(self._entry(_vectors_file(fingerprint))))
        self._vectors[fingerprint] = (dimension, stream)

    def rows(self) -> Iterator[_Row]:
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
            row = _parse_row(line, number, self._format)
            item = row.item
            if item.sha256 in self._seen:
                raise ArchiveError(
                    f"The export lists the picture {item.name!r} twice. Export the gallery again."
                )
            self._seen.add(item.sha256)
            yield row
        if number < self.count:
            raise ArchiveError(f"The export has {number:,} of the {self.count:,} pictures that it lists.")

    def notes(self) -> list[tuple[str, str, str]]:
        """The notes. Raises ArchiveError: not such rows."""
        if "notes.jsonl" not in self._entries:
            return []
        lines = self._read("notes.jsonl", MAX_NOTES).split(b"\n")
        rows = [_parse(line, "A note of the export") for line in lines if line.strip()]
        try:
            return [(_text(r["name"]), _text(r["text"]), _text(r["answer"])) for r in rows]
        except (KeyError, ValueError) as error:
            raise ArchiveError(f"A note is not whole ({error}). Export the gallery again.") from None

    def take(self, row: _Row) -> tuple[NewPicture, Vectors | None]:
        """One picture, its files in `incoming/`, and its vectors of the model at hand, if any."""
        settings, item = self._gallery.settings, row.item
        body = self._read(row.file, settings.max_file_bytes)
        self._bytes += len(body)
        if self._bytes > settings.max_gallery_bytes:
            raise ArchiveError(
                f"The export is larger than {settings.max_gallery_bytes / 1e9:g} GB. Split it."
            )
        try:
            opened = open_image(body, limits=settings.image_limits, max_side=settings.picture_side)
        except ImageError as error:
            raise ArchiveError(f"The picture of {item.name!r} cannot be opened. {error}") from None
        found = {f: self._take_vectors(f, n) for f, n in row.slices.items() if n}
        mine = found.pop(self._gallery.fingerprint, None)
        new = NewPicture(
            suffix=self._gallery.kept.add(item.sha256, opened),  # not the foreign bytes: they may carry more
            jpeg=thumbnail(opened.image),
            signature=signature(opened.image),
            others=[(f, self._vectors[f][0], vector) for f, vector in found.items()],
            **_known_of(item, opened, self._gallery),
        )
        if row.original and opened.format == item.format:
            self._gallery.keep_original(new, body)
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


def _parse(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object of a stranger.

    Raises ArchiveError for anything else, however deep or long its values are.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ArchiveError(f"{what} cannot be read ({reason}). Export the gallery again.") from None
    if not isinstance(value, dict):
        raise ArchiveError(f"{what} is not what an export holds. Export the gallery again.")
    return value


class _Row(NamedTuple):
    """A line of `items.jsonl`: an item, its file in the zip and whether that is the original.

    slices: {model fingerprint: how many vectors are its own}.
    """

    item: Item
    file: str
    original: bool
    slices: dict[str, int]


def _parse_row(line: bytes, number: int, version: object) -> _Row:
    """Line `number` of `items.jsonl`.

    Raises ArchiveError: too long, not a row, or a value out of range.
    """
    what = f"Row {number:,} of the export"
    if len(line) > MAX_ROW:
        raise ArchiveError(f"{what} is longer than {MAX_ROW:,} bytes. Export the gallery again.")
    row = _parse(line, what)
    try:
        file, sha = _text(row["file"]), row.get("sha256")
        match = _FILE.fullmatch(file if version == 2 else f"pictures/{sha}.jpg")
        if match is None or not _NAMED.fullmatch(file):
            raise ValueError("its file is not a picture of an export")
        if row["format"] not in FORMATS:
            raise ValueError("its format is none of a picture")
        taken = read(_text(row["taken"])) if row.get("taken") else None
        if taken is None and row.get("taken"):
            raise ValueError("its time cannot be read")
        location = row.get("location")
        slices = row.get("slices", {})
        if not isinstance(slices, dict):
            raise ValueError("slices is not an object")
        item = Item(
            id=0,
            sha256=match[1],
            suffix=match[2],
            added=datetime.fromisoformat(_text(row["added"])) if "added" in row else datetime.now(UTC),
            has_vectors=False,
            name=clean_name(_text(row["name"])),
            caption=clean_caption(_text(row.get("caption", ""))),
            caption_by=clean_name(_text(row["caption_by"]))[:80] if row.get("caption_by") else "",
            favourite=row.get("favourite") is True,
            width=_whole(row["width"], 1, 1_000_000),
            height=_whole(row["height"], 1, 1_000_000),
            format=row["format"],
            bytes=_whole(row["bytes"], 0, 2**48),
            taken=taken.time if taken else None,
            camera=clean_caption(_text(row.get("camera", "")))[:80],
            # earlier programs wrote what is no place
            location=place.pair(*location) if isinstance(location, list) and len(location) == 2 else None,
            day_from_name=row.get("day_from_name") is True,
        )
        counts = {_text(k): _whole(v, 0, MAX_SLICES) for k, v in slices.items()}
        return _Row(item, file, row.get("original") is True, counts)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ArchiveError(f"{what} is not whole ({error}). Export the gallery again.") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} is not a text")
    return value


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"a number is not from {low:,} to {high:,}")
    return value


def _known_of(item: Item, opened: Picture, target: Gallery) -> dict[str, Any]:
    """What a new picture gets from an item of elsewhere; `opened` is its kept copy."""
    picture = replace(
        opened,
        sha256=item.sha256,
        width=item.width,
        height=item.height,
        format=item.format,
        taken=item.taken,
        day_from_name=item.day_from_name,
        camera=item.camera,
        location=item.location if target.settings.keep_location else None,
    )
    return {
        "source": Source(item.name, "", item.bytes, -1, lambda cap: b""),  # no file that is looked at again
        "picture": picture,
        "size": item.bytes,
        "caption": item.caption,
        "favourite": item.favourite,
        "caption_by": item.caption_by,
        "added": item.added,
    }


# -- move


def move(source: Gallery, target: Gallery, ids: Iterable[int]) -> int:
    """Move pictures, with captions, dates, favourites and every model's vectors; returns how many left.

    Each is whole in the target before it is deleted for good from the source. One that the target holds
    already is kept there once. Raises GalleryError: the same gallery twice, read-only, or the target is full.
    What was moved by then stays moved.
    """
    if source.folder == target.folder:
        raise GalleryError("The pictures are in this gallery already. Choose another one.")
    items = source.items(ids=ids)
    with source.changing():  # read-only? Then nothing is copied.
        pass
    done = 0
    for at in range(0, len(items), _BATCH):
        batch = items[at : at + _BATCH]
        _copy(source, target, batch)
        _copy_words(target, batch)
        done += source.delete(i.id for i in batch)
    return done


def _copy(source: Gallery, target: Gallery, items: list[Item]) -> None:
    known = {sha for (sha,) in target.store.read("SELECT sha256 FROM items")}
    new = [item for item in items if item.sha256 not in known]
    settings = target.settings
    size = int(target.store.read("SELECT coalesce(sum(bytes), 0) FROM items")[0][0])
    full = len(known) + len(new) > settings.max_items
    if full or size + sum(i.bytes for i in new) > settings.max_gallery_bytes:
        raise GalleryError(
            f"The gallery {target.folder.name!r} has no room for these. Delete some there first."
        )
    if not new:
        return
    with target.run_lock().held():
        target.kept.incoming.mkdir(exist_ok=True)
        _commit(target, [_taken_over(source, target, item) for item in new])
        target.save_index()


def _copy_words(target: Gallery, items: list[Item]) -> None:
    """What was said of pictures that the target holds already goes there, where nothing was said yet."""
    shas = {item.sha256: item for item in items}
    rows = target.store.read(
        "SELECT id, sha256, caption, favourite FROM items WHERE sha256 IN (SELECT value FROM json_each(?))",
        (json.dumps(list(shas)),),
    )
    for number, sha, caption, favourite in rows:
        item = shas[sha]
        if item.caption and not caption:
            target.set_caption(number, item.caption, by=item.caption_by)
        if item.favourite and not favourite:
            target.set_favourite([number])


def _taken_over(source: Gallery, target: Gallery, item: Item) -> tuple[NewPicture, Vectors | None]:
    """One picture as the target takes it, its file in `incoming/`, and its vectors of the target's model."""
    opened = source.open_kept(item)
    write_synced(target.kept.incoming / item.file, source.kept.path(item.file).read_bytes())
    [(colours,)] = source.store.read("SELECT signature FROM items WHERE id = ?", (item.id,))
    rows = source.store.read(
        "SELECT v.fingerprint, m.dimension, v.slices, v.is_image FROM vectors v "
        "JOIN models m ON m.fingerprint = v.fingerprint WHERE v.item = ?",
        (item.id,),
    )
    vectors: list[tuple[str, int, Vectors]] = [
        (f, dimension, (np.frombuffer(slices, "<f4").reshape(-1, dimension), np.frombuffer(is_image, bool)))
        for f, dimension, slices, is_image in rows
    ]
    new = NewPicture(
        suffix=item.suffix,
        jpeg=source.thumbnail(item.id),
        signature=colours,
        others=[v for v in vectors if v[0] != target.fingerprint],
        **_known_of(item, opened, target),
    )
    if (original := source.original(item.id)) is not None:
        target.keep_original(new, original)
    return new, next((v[2] for v in vectors if v[0] == target.fingerprint), None)


# -- downloads


def one(gallery: Gallery, item: int) -> tuple[str, bytes]:
    """A picture's original under its own name, or its working copy where that is all. Raises GalleryError."""
    found = gallery.item(item)
    data = gallery.original(item)
    return _free_name(found, set(), data is not None), data or gallery.copy(found)


def write_zip(
    gallery: Gallery, ids: Iterable[int], path: str | os.PathLike, *, sidecars: bool = False
) -> int:
    """Write originals by their names, captions.csv and, where asked for, a.jpg.xmp beside; returns how many.

    Raises GalleryError: none of them is there.
    """
    items = gallery.items(ids=ids)
    if not items:
        raise GalleryError("None of these pictures is here any more.")
    used: set[str] = set()
    rows = []
    with disk_errors("Nothing was written."), zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for item in items:
            data = _original_of(gallery, item)
            name = _free_name(item, used, data is not None)
            archive.writestr(name, data or gallery.copy(item))
            if sidecars:
                archive.writestr(f"{name}.xmp", write_xmp(_said(item, include_location=True)))
            rows.append([name, item.caption, item.taken_text])
        _write_table(archive, ["file", "caption", "taken"], rows)
    return len(items)


def _said(item: Item, *, include_location: bool) -> Described:
    return Described(item.caption, item.favourite, item.location if include_location else None)


def _original_of(gallery: Gallery, item: Item) -> bytes | None:
    try:
        return gallery.original(item.id)
    except GalleryError as error:
        raise GalleryError(_MISSING.format(name=item.name)) from error


def _free_name(item: Item, used: set[str], original: bool) -> str:
    """A file name that no other of `used` has; it joins them. original: with the name's own ending."""
    path = PurePosixPath(item.name.replace("\\", "/"))
    suffix = path.suffix
    if not original or SUFFIXES.get(suffix.lower()) != item.format:
        suffix = {"JPEG": ".jpg"}.get(item.format, f".{item.format.lower()}") if original else item.suffix
    stem = _UNFIT.sub(" ", path.stem).strip(" .")[:120] or "picture"
    name, n = f"{stem}{suffix}", 1
    while name.casefold() in used:
        n += 1
        name = f"{stem} {n}{suffix}"
    used.add(name.casefold())
    return name
