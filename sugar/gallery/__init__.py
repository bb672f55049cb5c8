"""A person's pictures on disk, with the vectors that models made of them.

    gallery = Gallery.create("gallery_index/holiday", model)          # or Gallery.open(path, model)
    report = gallery.add(["photos/", "more.zip", "a.heic"], progress=print, cancel=event)
    gallery.items(limit=50); gallery.picture(id); gallery.thumbnail(id)
    gallery.set_caption(id, "my dog"); gallery.delete([id]); gallery.export("holiday.zip"); gallery.destroy()

The model is anything with `embed(samples) -> Embeddings`, `fingerprint` and `dimension`. The calls, the
files on disk and what is promised of deletion stand in this room's README.md. Searching:
sugar/retrieval.
"""

from sugar.gallery.archives import ArchiveError
from sugar.gallery.catalogue import (
    close_visitor,
    erase,
    holding,
    is_gallery,
    list_named,
    named_folder,
    numbers_of,
    open_named,
    open_visitor,
    sweep_visitors,
    touch_visitor,
)
from sugar.gallery.clearing import discard, sweep
from sugar.gallery.embedding import EmbeddingModel
from sugar.gallery.items import Filters, Item
from sugar.gallery.lifecycle import Gallery
from sugar.gallery.moving import move
from sugar.gallery.options import VISITOR_SETTINGS, GallerySettings
from sugar.gallery.picking import one, write_zip
from sugar.gallery.reports import FileResult, IngestReport, Progress
from sugar.gallery.sample import build_sample
from sugar.gallery.watched import follow, look, unwatch, watch, watched, watched_in

__all__ = [
    "VISITOR_SETTINGS",
    "ArchiveError",
    "EmbeddingModel",
    "Filters",
    "Gallery",
    "GallerySettings",
    "Item",
    "Progress",
    "IngestReport",
    "FileResult",
    "build_sample",
    "close_visitor",
    "discard",
    "erase",
    "follow",
    "holding",
    "is_gallery",
    "list_named",
    "look",
    "move",
    "named_folder",
    "numbers_of",
    "one",
    "open_named",
    "open_visitor",
    "sweep",
    "sweep_visitors",
    "touch_visitor",
    "unwatch",
    "watch",
    "watched",
    "watched_in",
    "write_zip",
]
