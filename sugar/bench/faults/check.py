"""Whether a gallery is whole after a kill: every promise of the room, checked from the outside."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from sugar.bench.faults.work import Ledger
from sugar.gallery import Gallery

__all__ = ["Broken", "check"]


class Broken(Exception):
    """A promise that was not kept."""


def check(work: Any, ledger: Ledger) -> None:
    """Open what the round left and compare it with the ledger. Raises Broken."""
    if faults := ledger.values("fault"):
        raise Broken(f"an error that nobody should see: {sorted(faults)[0]}")
    with Gallery.open(work.gallery, work.model) as gallery:
        whole(gallery)
        here = {item.sha256 for item in gallery.items()}
        if back := ledger.values("deleted") & here:
            raise Broken(f"{len(back)} deleted pictures came back")
        promised = (work.before | ledger.values("added")) - ledger.values("deleting")
        if lost := promised - here:
            raise Broken(f"{len(lost)} committed pictures are lost")
        embedded = max((int(n) for n in ledger.values("embedded")), default=0)
        if (
            gallery.indexed().get(getattr(work, "other", work.model).fingerprint, 0)
            + len(ledger.values("deleting"))
            + len(ledger.values("added"))
            < embedded
        ):
            raise Broken(f"fewer than the {embedded} vectors that were reported")
    brought = work.root / "brought"
    if brought.exists():
        with Gallery.open(brought, work.model) as gallery:
            whole(gallery)
            if len(gallery) != work.count:
                raise Broken(f"an import of {work.count} pictures has {len(gallery)}")
    elif ledger.values("imported"):
        raise Broken("an import that was reported is not there")
    if (work.root / "out.zip").exists():
        with zipfile.ZipFile(work.root / "out.zip") as archive:
            if archive.testzip() is not None or "gallery.json" not in archive.namelist():
                raise Broken("an export is not whole")
    for left in work.root.iterdir():
        if left.name.endswith((".importing", ".deleting")):
            raise Broken(f"{left.name} was left after the sweep")


def whole(gallery: Gallery) -> None:
    """No file without a row, no row without a file, every vector found. Raises Broken."""
    if gallery.store.read("PRAGMA integrity_check") != [("ok",)]:
        raise Broken("the database is damaged")
    items = gallery.items()
    files = {p.name for p in (gallery.folder / "pictures").rglob("*") if p.is_file()}
    rows = {f"{item.sha256}{item.suffix}" for item in items}
    if rows - files:
        raise Broken(f"{len(rows - files)} rows without a file")
    if files - rows:
        raise Broken(f"{len(files - rows)} files without a row")
    left = [p for p in gallery.folder.rglob("*.new")] + list((gallery.folder / "incoming").glob("*"))
    if left:
        raise Broken(f"{len(left)} unfinished files were left, first {Path(left[0]).name}")
    if gallery.store.read("SELECT count(*) FROM deleted_files") != [(0,)]:
        raise Broken("a deletion was not finished")
    for item in items:
        if not item.has_vectors:
            raise Broken(f"the picture {item.id} has no vectors")
        if gallery.picture(item.id).size != (16, 12) or not gallery.thumbnail(item.id):
            raise Broken(f"the picture {item.id} is not whole")
    if items:
        ids = gallery.nearest(gallery.pooled([items[0].id]), len(items))[1]
        if set(ids[0].tolist()) != {item.id for item in items}:
            raise Broken("the index does not hold what the store holds")
