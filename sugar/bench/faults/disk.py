"""A full disk, a read-only one, a second program on the same folder: a clear message, and nothing lost."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sugar.bench.faults.check import Broken, whole
from sugar.bench.faults.work import Hashed, pictures
from sugar.errors import BusyError, GalleryError
from sugar.gallery import Gallery, export_zip

__all__ = ["disk_rows"]


def disk_rows(root: Path) -> list[dict[str, Any]]:
    """One row for each case; a case that the system does not let us make says so."""
    rows = [_row("a second program", _second_program, root / "second")]
    mount = root / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)], capture_output=True, text=True
    )
    if made.returncode:
        return [*rows, {"row": "full and read-only disk", "not run": made.stderr.strip(), "broken": 0}]
    try:
        rows.append(_row("a full disk", _full, mount))
        rows.append(_row("a read-only disk", _read_only, mount))
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)
    return rows


def _row(name: str, case: Callable[[Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    try:
        return {"row": name, **case(folder), "broken": 0}
    except Broken as error:
        return {"row": name, "broken": 1, "problems": [str(error)]}


def _refused(act: Callable[[], Any], kinds: tuple[type[Exception], ...], words: str) -> str:
    """The message of a refusal. Raises Broken when there was none, or another."""
    try:
        act()
    except kinds as error:
        if words in str(error):
            return str(error)
        raise Broken(f"the message does not say {words!r}: {error}") from error
    except Exception as error:
        raise Broken(f"a {type(error).__name__} that nobody should see: {error}") from error
    raise Broken(f"nothing said {words!r}")


def _full(folder: Path) -> dict[str, Any]:
    rng, model = np.random.default_rng(0), Hashed()
    told: list[int] = []
    (folder / "ballast").write_bytes(bytes(400_000))

    def fill() -> None:
        gallery.add(pictures(5000, rng), batch_size=8, workers=1, progress=lambda p: told.append(p.added))

    with Gallery.create(folder / "g", model) as gallery:
        message = _refused(fill, (GalleryError,), "disk is full")
        if len(gallery) < max(told):
            raise Broken(f"{max(told)} were reported and {len(gallery)} are there")
        exported = _refused(lambda: export_zip(gallery, folder / "out.zip"), (GalleryError,), "disk is full")
        made = _refused(
            lambda: Gallery.create(folder / "h", model).add(pictures(999, rng)), (GalleryError,), ""
        )
    shutil.rmtree(folder / "h", ignore_errors=True)
    (folder / "ballast").unlink()  # the person frees some space, as the message says
    with Gallery.open(folder / "g", model) as gallery:
        whole(gallery)
        kept = len(gallery)
        half = [i.id for i in gallery.items()][: kept // 2]
        gallery.delete(half)
        whole(gallery)
        if len(gallery) != kept - len(half):
            raise Broken("deleting on a full disk did not delete what was asked")
        if gallery.add(pictures(8, rng), workers=1).added != 8:
            raise Broken("after deleting there was still no room")
    return {"kept": kept, "said": message, "export": exported, "create": made}


def _read_only(folder: Path) -> dict[str, Any]:
    model = Hashed()
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    try:
        with Gallery.open(folder / "g", model, read_only=True) as gallery:
            if len(gallery.nearest(np.ones((1, 16), np.float32), 5)[1][0]) != 5:
                raise Broken("a read-only gallery cannot be searched")
        with Gallery.open(folder / "g", model, read_only=True) as gallery:
            for change in (lambda: gallery.delete([1]), lambda: gallery.add(("a.png", b"")), gallery.destroy):
                _refused(change, (GalleryError,), "reading only")
        said = _refused(lambda: Gallery.open(folder / "g", model), (GalleryError,), "cannot be written")
        _refused(lambda: Gallery.create(folder / "x", model), (GalleryError,), "cannot be made")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
    return {"said": said}


def _second_program(folder: Path) -> dict[str, Any]:
    """Another program fills the gallery: a second ingest is told, single changes go through."""
    rng, model = np.random.default_rng(0), Hashed()
    with Gallery.create(folder, model) as gallery:
        gallery.add(pictures(20, rng), workers=1)
    context = multiprocessing.get_context("fork")
    begun, go = context.Event(), context.Event()
    process = context.Process(target=_slow_ingest, args=(folder, begun, go))
    process.start()
    begun.wait(60)
    with Gallery.open(folder, model) as gallery:
        said = _refused(lambda: gallery.add(pictures(2, rng)), (BusyError,), "Another run")
        _refused(gallery.destroy, (BusyError,), "Another run")
        gallery.delete([1, 2])
        gallery.set_caption(3, "a caption beside an ingest")
        go.set()
        process.join(60)
        whole(gallery)
        if len(gallery) != 20 - 2 + 16 or gallery.item(3).caption != "a caption beside an ingest":
            raise Broken(f"{len(gallery)} pictures where 34 should be")
    return {"said": said}


def _slow_ingest(folder: Path, begun: Any, go: Any) -> None:
    def told(progress: Any) -> None:
        begun.set()
        go.wait(60)

    with Gallery.open(folder, Hashed()) as gallery:
        gallery.add(pictures(16, np.random.default_rng(9)), batch_size=4, workers=1, progress=told)
