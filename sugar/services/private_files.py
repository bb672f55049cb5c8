"""Files of visitors: where they lie, who may have them, and that originals go.

    cache = own_folder(Path(tempfile.gettempdir()))       # this app's alone; killed apps' are swept first
    files = PrivateFiles(cache / "visitors")
    files.readable(path, visitor)                         # may this visitor's request be given the file?
    files.replace(path, clean_bytes)                      # the clean copy takes the original's place

A path has 128 random bits, so nobody guesses one. The files of a visitor with a token, a key or a login are
given to that visitor only. Not covered: what a clean copy is (sugar/images.py), serving (ui/).
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sugar.atomic import replacing, saving, write_whole
from sugar.services.identity import Visitor

__all__ = ["PrivateFiles", "own_folder"]

PREFIX = "sugar-cache-"
CLEAN = ".clean"
"""Ends the name of the mark beside a file of ours; the mark names the gallery items that the file shows."""

_held: list[FileLock] = []


def own_folder(parent: Path) -> Path:
    """A new folder for this app's temporary files. It goes when the app ends; those of killed apps go now.

    A running app holds a lock on its folder. The system lets go of the lock however the app ends.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{PREFIX}*"):
        lock = FileLock(parent / f".{left.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        shutil.rmtree(left, ignore_errors=True)
        lock.release()
        with suppress(OSError):
            os.unlink(lock.lock_file)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = FileLock(parent / f".{folder.name}.lock")
    lock.acquire()
    _held.append(lock)
    return folder


def let_go(folder: Path) -> None:
    """Remove a folder that `own_folder` made, and its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    for lock in [lock for lock in _held if Path(lock.lock_file).name == f".{folder.name}.lock"]:
        _held.remove(lock)
        lock.release()
        with suppress(OSError):
            os.unlink(lock.lock_file)


def _mark(path: Path) -> Path:
    return path.parent / f"{path.name}{CLEAN}"


def _items(mark: Path) -> list[str]:
    """What a mark names. A damaged one names something that no gallery holds, so that its file goes."""
    try:
        return mark.read_bytes().decode("ascii").split()
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        return ["?"]


class PrivateFiles:
    """The files of all visitors. `root` has one folder for each, named `<kind>-<id>`."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = root.resolve()

    def folder(self, visitor: Visitor) -> Path:
        """Where the visitor's files lie."""
        return self.root / f"{visitor.kind}-{visitor.id}"

    def new(self, visitor: Visitor) -> Path:
        """A new folder of the visitor's, under a name that nobody can guess."""
        folder = self.folder(visitor) / secrets.token_hex(16)
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def write(self, visitor: Visitor, name: str, data: bytes, *, items: Iterable[str] = ()) -> Path:
        """Keep bytes that are clean already. Returns a path that nobody can guess.

        items: the gallery pictures that the bytes show, by their SHA-256, if they show any.
        """
        with saving(name):
            path = self.new(visitor) / name
            write_whole(_mark(path), "\n".join(items).encode("ascii"))  # first: a deletion must find the file
            path.write_bytes(data)
        return path

    def items(self, path: Path) -> list[str]:
        """The gallery pictures that the file shows."""
        return _items(_mark(path))

    def showing(self, visitor: Visitor | None) -> dict[Path, list[str]]:
        """The files that show gallery pictures, and which: the visitor's, or everybody's for None."""
        found = {}
        for folder in [self.folder(visitor)] if visitor is not None else list(self.root.iterdir()):
            with suppress(OSError):  # its visitor left a moment ago
                for mark in folder.glob(f"*/*{CLEAN}"):
                    if items := _items(mark):
                        found[mark.with_name(mark.name.removesuffix(CLEAN))] = items
        return found

    def inside(self, path: str | Path) -> Path | None:
        """The file, when it is one of a visitor's; None for anything else. Links are followed first."""
        try:
            found = Path(path).resolve()
            return found if found.is_relative_to(self.root) and found.is_file() else None
        except (OSError, ValueError):
            return None

    def readable(self, path: str | Path, visitor: Visitor) -> bool:
        """Whether the visitor may have the file: it lies in the visitor's folder, or in a mere session's.

        A program may upload in one request and ask in another, with nothing but the path to connect the two.
        Its files lie in folders of sessions, and whoever has such a path may have the file.
        """
        found = self.inside(path)
        if found is None:
            return False
        owner = found.relative_to(self.root).parts[0]
        return owner.startswith("session-") or owner == self.folder(visitor).name

    def is_clean(self, path: Path) -> bool:
        """Whether the file is one of ours, not an upload."""
        return _mark(path).exists()

    def replace(self, path: Path, data: bytes) -> None:
        """Put a clean copy in the place of an original, and cut the original off first.

        What a copy-on-write disk or a backup keeps of it is out of reach.
        """
        with saving(path.name):
            with replacing(path) as beside:
                beside.write_bytes(data)
                with path.open("r+b") as original:
                    original.truncate(0)
            _mark(path).touch()

    def remove(self, path: str | Path) -> None:
        """Remove an upload that has served."""
        found = self.inside(path)
        if found is not None:
            found.unlink(missing_ok=True)
            _mark(found).unlink(missing_ok=True)
            with suppress(OSError):
                found.parent.rmdir()
