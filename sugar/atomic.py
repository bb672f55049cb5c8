"""A file is written whole or not at all: beside its place, synced, then swapped in.

    write_whole(path, data)                     # a small file
    with replacing(path) as beside:             # a file that something else writes
        torch.save(state, beside)
    sweep(folder)                               # what killed writers left there

Every writer has a name of its own beside the file, so that two at once never mix; the last one stays. What
fails leaves no trace. Not covered: many files that change together (the gallery's database does that).
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sugar.errors import NotSavedError

LEFT = ".new"
"""Ends the names of files that are being written, and of those that a killed writer left."""

_TRIES = 3


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path`; what is written there within the block takes its place at the end.

    An error within the block leaves the old file as it was. Raises OSError.
    """
    name = path.name.encode(errors="surrogateescape")[:200].decode(errors="ignore")  # names end at 255 bytes
    beside = path.with_name(f".{name}.{secrets.token_hex(8)}{LEFT}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Put these bytes in the place of a file, or make it, with its folder. Raises NotSavedError."""
    with saving(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(_TRIES)):
            try:
                with replacing(path) as beside:
                    beside.write_bytes(data)
                return
            except FileNotFoundError:  # another program swept the folder just now
                if not left:
                    raise


@contextmanager
def saving(name: str) -> Iterator[None]:
    """Turn an OSError of a block into a NotSavedError with the remedy. name: of the file, for the words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full. Free some space and try again"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            why = f"its folder cannot be written to ({error.strerror}). Check the permissions"
        else:
            why = f"{error.strerror or error}. Look at the disk and try again"
        raise NotSavedError(f"{name} was not saved: {why}.") from error


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what killed writers of files of this name left in a folder.

    Call it where no other writer is at work, or one that tries again, as `write_whole` does.
    """
    for left in folder.glob(f".{name}.*{LEFT}"):
        with suppress(OSError):
            left.unlink(missing_ok=True)
