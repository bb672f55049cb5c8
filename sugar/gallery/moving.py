"""Moving pictures to another gallery, with captions, dates, favourites and the vectors of every model.

    moved = move(holiday, best, [3, 4])

Each picture is whole in the other gallery before it is deleted for good from the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sugar.errors import GalleryError
from sugar.gallery import copies
from sugar.gallery.embedding import Vectors, embed_each
from sugar.gallery.items import Item
from sugar.gallery.locks import RUNNING
from sugar.gallery.sources import Source
from sugar.gallery.writing import NewPicture

if TYPE_CHECKING:
    from sugar.gallery.lifecycle import Gallery

__all__ = ["move"]

_BATCH = 32


def move(source: Gallery, target: Gallery, ids: Iterable[int]) -> int:
    """Move pictures; returns how many left. One that the target holds already is kept there once.

    Raises GalleryError: the same gallery twice, read-only, or the target is full. What was moved by then
    stays moved.
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
        _say(target, batch)
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
    with target.run_lock().held(RUNNING):
        (target.folder / "incoming").mkdir(exist_ok=True)
        made = [_taken(source, target, item) for item in new]
        bare = [(at, picture) for at, (picture, mine) in enumerate(made) if mine is None]
        samples = [target.sample(picture.picture.image, picture.caption) for _, picture in bare]
        vectors = [mine for _, mine in made]
        for (at, _), vector in zip(bare, embed_each(target.model, samples)[0], strict=True):
            vectors[at] = vector
        target.commit([picture for picture, _ in made], vectors)
        target.save_index()


def _say(target: Gallery, items: list[Item]) -> None:
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


def _taken(source: Gallery, target: Gallery, item: Item) -> tuple[NewPicture, Vectors | None]:
    """One picture as the target takes it, its file in `incoming/`, and its vectors of the target's model."""
    file = source.kept(f"{item.sha256}{item.suffix}")
    opened = source.open_kept(item)
    copies.write_synced(target.folder / "incoming" / file.name, file.read_bytes())
    [(signature,)] = source.store.read("SELECT signature FROM items WHERE id = ?", (item.id,))
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
    vectors = _vectors(source, item.id)
    mine = vectors.pop(target.fingerprint, None)
    new = NewPicture(
        source=Source(item.name, "", item.bytes, -1, lambda cap: b""),
        picture=picture,
        size=item.bytes,
        suffix=item.suffix,
        jpeg=source.thumbnail(item.id),
        signature=signature,
        caption=item.caption,
        favourite=item.favourite,
        caption_by=item.caption_by,
        others=[(fingerprint, dimension, slices) for fingerprint, (dimension, slices) in vectors.items()],
    )
    return new, mine[1] if mine is not None else None


def _vectors(source: Gallery, item: int) -> dict[str, tuple[int, Vectors]]:
    """{fingerprint: (dimension, (slices (n, D), which are pictures (n,)))} of an item."""
    rows = source.store.read(
        "SELECT v.fingerprint, m.dimension, v.slices, v.is_image FROM vectors v "
        "JOIN models m ON m.fingerprint = v.fingerprint WHERE v.item = ?",
        (item,),
    )
    return {
        fingerprint: (
            dimension,
            (np.frombuffer(slices, "<f4").reshape(-1, dimension), np.frombuffer(is_image, bool)),
        )
        for fingerprint, dimension, slices, is_image in rows
    }
