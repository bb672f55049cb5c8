"""Folders that are on their way out: deleted galleries and unfinished imports, which a kill may leave behind.

A gallery is renamed to `.NAME.RANDOM.deleting` before its files go, an import is built in
`.NAME.RANDOM.importing`. `sweep(root)` removes both at the start, except an import that another program is
working on.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path

from sugar.errors import GalleryError
from sugar.gallery.locks import RUNNING, FileLock

__all__ = ["DELETING", "IMPORTING", "discard", "hide", "remove_folder", "sweep"]

DELETING, IMPORTING = ".deleting", ".importing"


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it. What cannot be removed now goes at the next sweep."""
    if folder.is_symlink():  # to another disk: what it stands for goes too
        shutil.rmtree(folder.resolve(), ignore_errors=True)
        with suppress(OSError):
            folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def hide(folder: Path) -> Path:
    """Give a folder the name of one on its way out: killed from here on, it goes at the next sweep."""
    hidden = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{DELETING}")
    try:
        os.rename(folder, hidden)
    except OSError as error:
        raise GalleryError(
            f"The gallery {folder.name!r} cannot be deleted ({error.strerror}). Check its permissions."
        ) from error
    return hidden


def discard(folder: Path) -> None:
    """Delete a gallery that cannot be opened, its folder included. Raises BusyError while a run fills it."""
    with ExitStack() as held:
        with suppress(GalleryError, OSError):  # too damaged to be locked
            held.enter_context(FileLock(folder / "run.lock").held(RUNNING))
        hidden = hide(folder)
    remove_folder(hidden)


def sweep(root: str | os.PathLike) -> int:
    """Remove what a killed deletion or import left under `root`; returns how many folders went."""
    gone = 0
    for folder in sorted(Path(root).glob(".*")):
        if folder.name.endswith(DELETING) and (folder.is_dir() or folder.is_symlink()):
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
