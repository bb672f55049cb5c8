"""The gallery that ships: built from a folder of pictures so that a clone holds it ready to search.

    build_sample("assets/gallery", "gallery_index/sample", model)        # what `make assets` calls

The same pictures, captions and model give the same files: nothing of the machine or the moment is kept (no
folders, no file times, a fixed salt and date). The result is one plain database file, not in WAL mode, with
its index saved beside it: opening and searching it writes nothing, so a clone stays clean until somebody
adds to it.

Not covered: drawing the pictures (sugar/scenes/).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sugar.errors import GalleryError
from sugar.gallery.embedding import EmbeddingModel
from sugar.gallery.lifecycle import Gallery
from sugar.gallery.options import GallerySettings


def build_sample(
    pictures: str | os.PathLike,
    path: str | os.PathLike,
    model: EmbeddingModel,
    settings: GallerySettings | None = None,
) -> Gallery:
    """Build anew in the folder `path`, replacing a gallery there.

    Returns it open. Raises GalleryError when a picture is refused.
    """
    folder = Path(path)
    if (folder / "gallery.db").exists():
        shutil.rmtree(folder)
    gallery = Gallery.create(folder, model, settings)
    with gallery.store.write() as db:
        db.execute("UPDATE meta SET value = 'sample' WHERE key = 'salt'")
    report = gallery.add(pictures, workers=1)
    if bad := [r for r in report.rows if r.status not in ("added", "duplicate")]:
        raise GalleryError(
            f"{len(bad)} pictures of the sample were not taken in, first {bad[0].name!r}: {bad[0].reason}"
        )
    with gallery.store.write() as db:
        db.execute("UPDATE items SET added = '2026-01-01T00:00:00+00:00'")
    gallery.settle()
    return gallery
