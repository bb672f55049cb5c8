"""One walk through a folder, which knows what it could not see.

    walk = Walk(folder)               # GalleryError: the folder is not there
    walk.files                        # names below it, "2025/a.jpg", of everything that is not a system's own
    walk.unseen                       # {folder below it: why it could not be listed}; "" is the folder itself
    walk.left("nas/a.jpg")            # ("nas", why it may be there) of an absent file; ("", "") when gone

A failed look deletes nothing: a folder that cannot be listed, that became a link, or in which no picture is
left although there were some (a disk that is not mounted looks just so) tells nothing about its files. A
folder that is gone together with its name was deleted, unless it was the root of another disk: those vanish
with their folder when they are unplugged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from functools import cached_property
from pathlib import Path

from sugar.errors import GalleryError
from sugar.gallery.names import MAX_NAME, clean_name
from sugar.gallery.sources import is_ignored, not_a_picture

__all__ = ["Walk", "is_gone"]


class Walk:
    """See the module docstring. disks: folders that were roots of other disks when they were seen last."""

    def __init__(self, folder: str | os.PathLike, disks: Set[str] = frozenset()) -> None:
        self.root = Path(folder)
        if not os.path.isdir(self.root):
            raise GalleryError(f"The folder {str(folder)!r} is not there at the moment. Nothing was changed.")
        self.files: list[str] = []
        self.links: list[str] = []
        self.unseen: dict[str, str] = {}
        self.folders: dict[str, int] = {}  # name below it -> the number of its disk
        self._filled: set[str] = set()
        waiting = [""]
        while waiting:
            waiting += reversed(self._scan(waiting.pop()))
        numbers = self.folders.get
        self.disks = {f for f in self.folders if f and numbers(f) != numbers(f.rpartition("/")[0])}
        self.disks |= disks - self.folders.keys()

    def _scan(self, folder: str) -> list[str]:
        """List one folder; returns the folders in it."""
        inner, files = [], []
        try:
            disk = os.stat(self.root / folder).st_dev
            with os.scandir(self.root / folder) as found:
                for entry in sorted(found, key=lambda e: e.name):
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if is_ignored(entry.name):
                        continue
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            inner.append(name)
                        elif entry.is_symlink() and os.path.isdir(entry.path):
                            self.links.append(name)
                        else:
                            files.append(name)
                    except OSError as error:  # a disk that does not say what it is, and fails
                        self.unseen[_key(name)] = error.strerror or type(error).__name__
        except OSError as error:
            self.unseen[_key(folder)] = error.strerror or type(error).__name__
            return []
        self.files += files
        self.folders[_key(folder)] = disk
        if not all(not_a_picture(name) for name in files):
            self._filled |= {_key(folder), *_above(_key(folder))}
        return inner

    def stats(self) -> Iterator[tuple[str, int, int]]:
        """(name, bytes, nanoseconds) of what may be a picture, or (name, -1, the error's number)."""
        for name in self.files:
            if not not_a_picture(name):
                try:
                    stat = os.stat(self.root / name)
                    yield name, stat.st_size, stat.st_mtime_ns
                except OSError as error:
                    yield name, -1, error.errno or 0

    def left(self, name: str) -> tuple[str, str]:
        """(the folder that tells nothing, why) for a file that this walk did not meet; ("", "") for none.

        name: as a gallery keeps it (names.py), which cuts off the folders of a very long one.
        """
        if len(name) >= MAX_NAME and self.is_partial:
            return "", "Some folders cannot be seen, and the path is too long to tell whether it is in one."
        for folder in (name, *_above(name)):
            if folder in self.unseen:
                return folder, f"The folder cannot be read ({self.unseen[folder]})."
            if folder in self._listed:
                return folder, "The folder is a link now, or cannot be read. Links are not followed."
            if folder in self._filled:
                return "", ""
            if folder in self.folders:
                remedy = " Delete the folder too, and they go." if folder else ""
                return folder, f"No picture is left in this folder; its disk may be away.{remedy}"
            if folder in self.disks:
                return folder, "The disk of this folder is away."
        return "", ""

    @cached_property
    def _listed(self) -> set[str]:
        return {*map(_key, self.files), *map(_key, self.links)}

    @property
    def is_partial(self) -> bool:
        """Whether there may be files that this walk could not meet."""
        known = self.folders.keys()
        return bool(self.unseen or self.links or self.disks - known or known - self._filled)

    def may_hold(self, name: str) -> bool:
        """Whether a file of this name is there, as far as this walk can tell."""
        return _key(name) in self._listed or bool(self.left(name)[1])


def is_gone(path: Path) -> bool:
    """Whether the system says that there is nothing of this name. A failure to look is no such word."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _key(folder: str) -> str:
    """The folder's part of the names that a gallery keeps of the files in it."""
    return clean_name(f"{folder}/-")[:-2] if folder else ""


def _above(name: str) -> list[str]:
    """The folders above a name, the nearest first: "a/b/c" -> "a/b", "a", ""."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:n]) for n in range(len(parts), -1, -1)] if name else []
