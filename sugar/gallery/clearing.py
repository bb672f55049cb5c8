"""Folders that are on their way out: deleted galleries and unfinished imports, which a kill may leave behind.

A gallery is renamed to `.NAME.RANDOM.deleting` before its files go, an import is built in
`.NAME.RANDOM.importing`. `sweep(root)` removes both at the start, except an import that another program is
working on.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sugar.errors import GalleryError
from sugar.gallery.locks import FileLock

__all__ = ["DELETING", "IMPORTING", "remove_folder", "sweep"]

DELETING, IMPORTING = ".deleting", ".importing"


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it. What cannot be removed now goes at the next sweep."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep(root: str | os.PathLike) -> int:
    """Remove what a killed deletion or import left under `root`; returns how many folders went."""
    gone = 0
    for folder in sorted(Path(root).glob(".*")):
        if folder.name.endswith(DELETING) and folder.is_dir():
            remove_folder(folder)
            gone += 1
        elif folder.name.endswith(IMPORTING) and folder.is_dir():
            lock = FileLock(folder / "run.lock")
            try:
                free = lock.acquire()
            except GalleryError:  # killed before there was a database in it
                free = True
            if free:
                lock.release()
                remove_folder(folder)
                gone += 1
    return gone
