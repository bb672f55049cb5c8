"""A person's pictures on disk, with the vectors that models made of them.

    gallery = Gallery.create("gallery_index/holiday", model)          # or Gallery.open(path, model)
    report = gallery.add(["photos/", "more.zip", "a.heic"], progress=print, cancel=event)
    gallery.items(limit=50); gallery.picture(id); gallery.thumbnail(id)
    gallery.set_caption(id, "my dog"); gallery.delete([id]); gallery.destroy()
    export_zip(gallery, "holiday.zip"); import_zip("holiday.zip", path, model)

The model is anything with `embed(samples) -> Embeddings`, `fingerprint` and `dimension`. The calls, the
files on disk and what is promised of deletion stand in this room's README.md. Searching:
sugar/retrieval.
"""

from sugar.gallery import bin
from sugar.gallery.archives import ArchiveError
from sugar.gallery.catalogue import (
    build_sample,
    erase,
    holding,
    is_gallery,
    list_named,
    named_folder,
    numbers_of,
    open_named,
    sweep_bin,
)
from sugar.gallery.disk import discard, sweep
from sugar.gallery.gallery import Gallery
from sugar.gallery.ingest import EmbeddingModel
from sugar.gallery.items import VISITOR_SETTINGS, Filters, GallerySettings, Item
from sugar.gallery.sources import FileResult, IngestReport, Progress
from sugar.gallery.transfer import export_zip, import_zip, move, one, write_zip
from sugar.gallery.watched import follow, look, unwatch, watch, watched, watched_in

__all__ = [
    "VISITOR_SETTINGS",
    "ArchiveError",
    "EmbeddingModel",
    "FileResult",
    "Filters",
    "Gallery",
    "GallerySettings",
    "IngestReport",
    "Item",
    "Progress",
    "bin",
    "build_sample",
    "discard",
    "erase",
    "export_zip",
    "follow",
    "holding",
    "import_zip",
    "is_gallery",
    "list_named",
    "look",
    "move",
    "named_folder",
    "numbers_of",
    "one",
    "open_named",
    "sweep",
    "sweep_bin",
    "unwatch",
    "watch",
    "watched",
    "watched_in",
    "write_zip",
]
