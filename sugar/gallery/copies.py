"""How the kept copy of a picture is encoded, and written so that a crash cannot tear it."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sugar.errors import GalleryError
from sugar.images import Picture

__all__ = ["DiskFullError", "disk_errors", "encode_copy", "sync_folder", "write_synced"]

_LOSSLESS = ("PNG", "GIF", "BMP", "TIFF")
_LOSSLESS_SIDE = 512


def encode_copy(picture: Picture) -> tuple[bytes, str]:
    """(bytes, suffix) of the copy that a gallery keeps.

    PNG for small pictures from a lossless format, else JPEG at quality 90.
    """
    out = io.BytesIO()
    if picture.format in _LOSSLESS and max(picture.image.size) <= _LOSSLESS_SIDE:
        picture.image.save(out, "PNG")
        return out.getvalue(), ".png"
    picture.image.save(out, "JPEG", quality=90)
    return out.getvalue(), ".jpg"


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it. Raises OSError."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class DiskFullError(GalleryError):
    """There is no room on the disk; what was reported as done is kept."""


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn a full or read-only disk into a GalleryError that says `what` holds all the same."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"The disk is full. {what} Free some space and try again.") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise GalleryError(
                f"The gallery's folder cannot be written to ({error.strerror}). {what} Check its permissions."
            ) from error
        raise
