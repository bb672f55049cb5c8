"""A gallery as one zip: pictures, captions, metadata and vectors, to take to another machine.

    export_zip(gallery, "holiday.zip")                        # Gallery.export
    gallery = import_zip("holiday.zip", path, model)          # Gallery.import_zip

In the zip: `gallery.json` (format, fingerprint, dimension), `items.jsonl`, `captions.csv` for people and other programs,
`pictures/SHA256.jpg|png`, `vectors.npz` (slices, starts, items). Reading trusts nothing: pictures are opened through sugar.images,
texts are cleaned, vectors are taken only when they are finite, of unit length and made by the model at hand; otherwise the pictures
are embedded anew. Locations leave only by `include_location=True`.

Not covered: the originals (a gallery does not keep them), zips of other programs (Gallery.add takes those).
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
import shutil
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sugar.errors import GalleryError, ImageError
from sugar.gallery.ingest import encode_copy, write_synced
from sugar.gallery.sources import clean_caption, clean_name
from sugar.gallery.store import Item
from sugar.images import open_image, signature, thumbnail

if TYPE_CHECKING:
    from sugar.gallery.gallery import Embedder, Gallery, Settings

_FORMAT = 1
_MAX_TEXT = 2_000_000_000


def export_zip(gallery: Gallery, path: str | os.PathLike, *, include_location: bool = False) -> int:
    """Write the zip, whole or not at all; returns the number of pictures. Raises OSError, GalleryError (a kept picture is missing)."""
    target = Path(path)
    items = sorted(gallery.items(), key=lambda i: i.id)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            head = {"format": _FORMAT, "fingerprint": gallery.model.fingerprint, "dimension": gallery.model.dimension, "items": len(items)}
            archive.writestr("gallery.json", json.dumps(head, indent=1))
            archive.writestr("items.jsonl", "".join(json.dumps(_row(i, include_location), ensure_ascii=False) + "\n" for i in items))
            table = io.StringIO()
            writer = csv.writer(table)
            writer.writerow(["file", "caption", "taken", "name"])
            for item in items:
                writer.writerow([_file(item), item.caption, item.taken.isoformat() if item.taken else "", item.name])
            archive.writestr("captions.csv", table.getvalue())
            with_vectors = [i.id for i in items if i.has_vectors]
            if with_vectors:
                slices = gallery.slices(with_vectors)
                packed = io.BytesIO()
                np.savez(
                    packed,
                    slices=np.concatenate(slices),
                    starts=np.cumsum([0, *map(len, slices)]),
                    items=np.array([k for k, i in enumerate(items) if i.has_vectors]),
                )
                archive.writestr("vectors.npz", packed.getvalue())
            for item in items:
                archive.write(gallery.picture_path(item.id), _file(item))
        os.replace(temporary, target)
    except FileNotFoundError as error:
        raise GalleryError(f"A kept picture is missing ({Path(error.filename).name}). Delete the item or add it again.") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return len(items)


def import_zip(path: str | os.PathLike, folder: str | os.PathLike, model: Embedder, settings: Settings | None = None) -> Gallery:
    """A new gallery in `folder` from an export. Raises GalleryError: not such a zip, damaged, over the settings' caps, folder in use."""
    from sugar.gallery.gallery import Gallery

    target = Path(folder)
    if target.exists():
        raise GalleryError(f"There is something in {target.name!r} already. Choose another name.")
    building = target.with_name(f".{target.name}.{secrets.token_hex(4)}.importing")
    try:
        with zipfile.ZipFile(path) as archive:
            _fill(building, archive, model, settings)
        os.rename(building, target)  # all of it or nothing
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, OSError, ImageError) as error:
        raise GalleryError(f"This is not a whole export of a gallery ({error}). Export it again.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Gallery.open(target, model)


def _fill(folder: Path, archive: zipfile.ZipFile, model: Embedder, settings: Settings | None) -> None:
    from sugar.gallery.gallery import Gallery

    head = json.loads(_read(archive, "gallery.json", 10_000))
    if head.get("format") != _FORMAT:
        raise GalleryError(f"The export has format {head.get('format')!r}, this program reads {_FORMAT}. Export it anew.")
    rows = [json.loads(line) for line in _read(archive, "items.jsonl", _MAX_TEXT).decode("utf-8").split("\n") if line.strip()]
    vectors = _vectors(archive, head, model, len(rows)) if "vectors.npz" in archive.namelist() else {}
    with Gallery.create(folder, model, settings) as gallery:
        if len(rows) > gallery.settings.max_items:
            raise GalleryError(f"The export has {len(rows):,} pictures, this gallery takes {gallery.settings.max_items:,}.")
        total = 0
        for number, row in enumerate(rows):
            total += _insert(gallery, archive, row, vectors.get(number))
            if total > gallery.settings.max_gallery_bytes:
                raise GalleryError(f"The export is larger than {gallery.settings.max_gallery_bytes / 1e9:g} GB. Split it.")
        gallery.embed_pending()


def _file(item: Item) -> str:
    return f"pictures/{item.sha256}{item.suffix}"


def _row(item: Item, include_location: bool) -> dict[str, Any]:
    return {
        "file": _file(item), "sha256": item.sha256, "name": item.name, "caption": item.caption, "width": item.width, "height": item.height,
        "format": item.format, "bytes": item.bytes, "taken": item.taken.isoformat() if item.taken else None, "camera": item.camera,
        "location": item.location if include_location else None, "added": item.added.isoformat(),
    }  # fmt: skip


def _read(archive: zipfile.ZipFile, name: str, cap: int) -> bytes:
    with archive.open(name) as file:
        data = file.read(cap + 1)
    if len(data) > cap:
        raise ValueError(f"{name} is larger than {cap:,} bytes")
    return data


def _vectors(archive: zipfile.ZipFile, head: dict[str, Any], model: Embedder, count: int) -> dict[int, np.ndarray]:
    """{row number: (n, D)} of the model at hand; empty when another model made them."""
    if (head.get("fingerprint"), head.get("dimension")) != (model.fingerprint, model.dimension):
        return {}
    with np.load(io.BytesIO(_read(archive, "vectors.npz", 16 * count * model.dimension * 4 + 1_000_000)), allow_pickle=False) as arrays:
        slices, starts, items = arrays["slices"].astype(np.float32), arrays["starts"], arrays["items"]
    whole = (
        slices.ndim == 2 and slices.shape[1] == model.dimension and len(starts) == len(items) + 1 and starts[0] == 0
        and starts[-1] == len(slices) and (np.diff(starts) > 0).all() and np.isfinite(slices).all()
        and np.abs(np.linalg.norm(slices, axis=1) - 1).max(initial=0) < 1e-2
    )  # fmt: skip
    if not whole:
        raise ValueError("its vectors are not whole")
    return {int(i): slices[starts[k] : starts[k + 1]] for k, i in enumerate(items)}


def _insert(gallery: Gallery, archive: zipfile.ZipFile, row: dict[str, Any], slices: np.ndarray | None) -> int:
    match = re.fullmatch(r"pictures/([0-9a-f]{64})(\.jpg|\.png)", str(row["file"]))
    if match is None:
        raise ValueError(f"a picture is named {row['file']!r}")
    sha = match.group(1)
    body = _read(archive, match.group(0), gallery.settings.max_file_bytes)
    picture = open_image(body, limits=gallery.settings.image_limits, max_side=gallery.settings.picture_side)
    location = row.get("location") if gallery.settings.keep_location else None
    latitude, longitude = (float(location[0]), float(location[1])) if location else (None, None)
    taken = datetime.fromisoformat(row["taken"]).replace(tzinfo=None).isoformat() if row.get("taken") else None
    again, kept_suffix = encode_copy(picture)  # never the foreign bytes: they may carry more than a picture
    target = gallery.kept(f"{sha}{kept_suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_synced(target, again)
    caption = clean_caption(str(row.get("caption", "")))
    with gallery.store.write() as db:
        item = db.execute(
            "INSERT INTO items (sha256, name, caption, width, height, format, bytes, taken, camera, latitude, longitude, added, suffix, "
            "signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                sha, clean_name(str(row["name"])), caption, int(row["width"]), int(row["height"]), clean_name(str(row["format"]))[:8],
                int(row["bytes"]), taken, clean_caption(str(row.get("camera", "")))[:80], latitude, longitude,
                datetime.now(UTC).isoformat(timespec="seconds"), kept_suffix, signature(picture.image),
            ),
        ).lastrowid  # fmt: skip
        assert item is not None
        db.execute("INSERT INTO thumbnails VALUES (?, ?)", (item, thumbnail(picture.image)))
        if slices is not None:
            gallery.put_vectors(db, item, (slices, [True, *[False] * (len(slices) - 1)]))
    return len(body)
