"""A person's pictures on disk, with the vectors that one model made of them.

    gallery = Gallery.create("gallery_index/holiday", model)     # or Gallery.open(path, model); open_named(root, name, model) does either
    report = gallery.add(["photos/", "more.zip", "a.heic"], progress=lambda p: print(p), cancel=event)
    print(report)                                                # counts; report.rows says what became of every file
    gallery.items(limit=50)                                      # list[Item], oldest first; gallery.item(id); len(gallery)
    gallery.picture(id), gallery.thumbnail(id)                   # PIL RGB picture (at most 1024 px), JPEG bytes
    gallery.set_caption(id, "my dog"); gallery.delete([id]); gallery.clear(); gallery.destroy()
    gallery.pending()                                            # items without vectors: listed, never hidden
    gallery.near_duplicates()                                    # groups of ids that show the same picture
    gallery.export("holiday.zip"); Gallery.import_zip("holiday.zip", path, model)
    Gallery.reindex(path, other_model, progress=..., cancel=...) # the same pictures for another model; resumable

The model is anything with `embed(samples) -> Embeddings`, `fingerprint` and `dimension`.

    Gallery.create(path, model, settings=Settings()) -> Gallery      GalleryError when there is one already
    Gallery.open(path, model, *, read_only=False) -> Gallery         GalleryError: none there; FingerprintError: another model's
    gallery.add(sources, *, captions=None, progress=None, cancel=None) -> Report
        sources: paths (files, folders, zips) or (name, bytes) pairs; captions: {file name: caption}, before any sidecar file
        progress: called with a Progress (done, total, added, rate, eta, current); after it, what it counts as added is on disk
        cancel: a threading.Event; what is done is kept, report.cancelled is True
    Report: added, updated, renamed, unchanged, duplicate, refused (counts), cancelled, seconds, rows: list[Row(name, status, reason, item)]
    Item: id, name, caption, sha256, width, height, format, bytes, taken, camera, location, added, has_vectors
    list_named(root) -> list[str];  open_named(root, name, model) -> Gallery          a person's own machine: galleries that persist
    open_visitor(root, model, token=None) -> (Gallery, token)                         a shared host: one folder per visitor
    touch_visitor(root, token);  close_visitor(root, token)                           still there; has left
    sweep_visitors(root, idle_seconds) -> int                                         those idle so long go

An item is embedded as the sample [picture] or [picture, caption]. Its pooled vector is the picture's slice (the model is causal,
so a caption after it changes nothing there): captioned and bare pictures compare as equals. The slice vectors carry both.
    build_sample(pictures, path, model) -> Gallery                                    the gallery that ships; rebuilt alike by `make assets`

What is on disk: `gallery.db` (SQLite in WAL mode) is the truth for items, metadata, thumbnails, vectors, fingerprint and format version;
`pictures/` holds clean copies (at most 1024 px, no metadata); `index/` (FAISS, packed slices) is derived, checked when opened and
rebuilt when missing, damaged or stale. No path of the machine is stored. Location is stored only by `Settings(keep_location=True)`.

Not covered: the originals (a gallery keeps view copies, not a backup), overwriting of flash cells by a deletion (the files no longer hold
the bytes; a disk may), two writers at once (the second gets BusyError), searching (sugar/retrieval.py).
"""

from sugar.gallery.gallery import VISITOR_SETTINGS, Embedder, Gallery, Settings
from sugar.gallery.ingest import Progress, Report, Row
from sugar.gallery.sample import build_sample
from sugar.gallery.store import Filters, Item
from sugar.gallery.visitors import close_visitor, list_named, open_named, open_visitor, sweep_visitors, touch_visitor

__all__ = [
    "VISITOR_SETTINGS", "Embedder", "Filters", "Gallery", "Item", "Progress", "Report", "Row", "Settings",
    "build_sample", "close_visitor", "list_named", "open_named", "open_visitor", "sweep_visitors", "touch_visitor",
]  # fmt: skip
