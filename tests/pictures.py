"""Pictures for tests: noise by seed, plain colours, photos with a camera's time; as PIL pictures or bytes.

noise(3)                                  # 48 x 40 pixels, the same for the same seed
encoded(noise(3), "JPEG", quality=80)     # bytes
png(3)                                    # a PNG file's bytes
photo("red", datetime(2025, 8, 14))       # JPEG bytes that say when they were taken
"""

from __future__ import annotations

import io
import struct
import zlib
from datetime import datetime
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image


def noise(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    """Random pixels, RGB."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as a file's bytes. options: what PIL's `save` takes."""
    if kind in ("HEIF", "AVIF"):
        pillow_heif.register_heif_opener()
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(seed: int, size: tuple[int, int] = (24, 16)) -> bytes:
    """Random pixels as a PNG file. size: (width, height)."""
    return encoded(noise(seed, *size))


def photo(color: Any, taken: datetime | None = None, degrees: tuple[int, int] | None = None) -> bytes:
    """A plain JPEG of 16 x 16 pixels with the camera's time and place. degrees: north and east."""
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
    if degrees is not None:
        north, east = degrees
        exif.get_ifd(0x8825).update({1: "N", 2: (float(north), 0.0, 0.0), 3: "E", 4: (float(east), 0.0, 0.0)})
    return encoded(Image.new("RGB", (16, 16), color), "JPEG", exif=exif)


def lying_zip(name: bytes, content: bytes) -> bytes:
    """A zip whose directory says that its one entry has 100 bytes."""
    body = zlib.compress(content, 1)[2:-4]
    sizes = (len(body), 100, len(name), 0)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, *sizes) + name
    central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, *sizes, 0, 0, 0, 0, 0) + name
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(body), 0)
    return local + body + central + end
