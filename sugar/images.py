"""The only door for pixels: bytes in, a clean RGB picture out, or an ImageError that says why not.

    picture = open_image("photo.heic")                       # bytes, a path, or a binary file
    picture.image, picture.width, picture.taken, picture.camera
    thumbnail(picture.image)                                 # JPEG bytes for a page

Opened: JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC/HEIF, AVIF; of an animation, the first frame. The header is
judged before anything is decoded. What comes out is upright, sRGB, on white where it was transparent, and
carries no metadata: time and camera are returned beside it, the location only when `keep_location` asks for
it. Not covered: camera raw files, vector files, video.
"""

from __future__ import annotations

import hashlib
import io
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from sugar.errors import ImageError
from sugar.exif import Exif
from sugar.paths import shown

__all__ = [
    "Picture",
    "ImageLimits",
    "open_image",
    "thumbnail",
    "signature",
    "near_duplicate",
    "FORMATS",
    "GALLERY_ITEM",
    "gallery_items",
    "SUFFIXES",
]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF")
SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".avif": "AVIF",
}
"""The suffixes that name a picture file, and the format each one promises."""

_SIGNATURES = (
    (0, b"\xff\xd8\xff", "a damaged JPEG"),
    (0, b"\x89PNG", "a damaged PNG"),
    (0, b"GIF8", "a damaged GIF"),
    (8, b"WEBP", "a damaged WebP"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive or an Office document"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (4, b"ftyp", "a video or a camera's raw file"),
    (8, b"AVI ", "a video"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
)
"""(offset, bytes there, what such a file is), for the message about a file that does not open."""

GALLERY_ITEM = "gallery_item"
"""Where `Image.info` of a picture out of a gallery says which one: the SHA-256 of its item. A crop keeps it;
no file format writes it."""


def gallery_items(image: Image.Image) -> list[str]:
    """The gallery item that a picture shows, whole or in part, as a list of one; empty for none."""
    item = str(image.info.get(GALLERY_ITEM, ""))
    return [item] if item else []


_LARGE_PIXELS = 24_000_000
_ONE_LARGE = (
    threading.Lock()
)  # two very large pictures are never decoded at once, so that memory stays bounded
_SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True)
class ImageLimits:
    """What is refused: more bytes, more pixels (from the header), or a longer side over `max_ratio` times
    the shorter.
    """

    max_bytes: int = 30_000_000
    max_pixels: int = 80_000_000
    max_ratio: int = 200


@dataclass(frozen=True, eq=False)
class Picture:
    """One opened picture. `image` is RGB, upright, without metadata, at most `max_side` long.

    Width and height are the source's, upright. `sha256` is of the source's bytes. `taken` is the camera's
    local time. `location` is (latitude, longitude) in degrees.
    """

    image: Image.Image
    sha256: str
    width: int
    height: int
    format: str
    taken: datetime | None = None
    camera: str = ""
    location: tuple[float, float] | None = None


def open_image(
    source: bytes | bytearray | str | Path | BinaryIO,
    *,
    limits: ImageLimits | None = None,
    max_side: int | None = None,
    keep_location: bool = False,
) -> Picture:
    """Open a picture from bytes, a path or a binary file, no larger than `max_side` pixels on its longer
    side (a larger JPEG may come out at three quarters of it or more, where its decoder halves it to that).

    Raises ImageError: no such file, empty, not a picture of `FORMATS`, damaged or truncated, over `limits`.
    """
    limits = limits or ImageLimits()
    data = _read(source, limits)
    if not data:
        raise ImageError("The file is empty (0 bytes). Choose a picture file.")
    _load_decoders()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            return _decode(opened, data, limits, max_side, keep_location)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(
            f"The file ({len(data):,} bytes) seems to be {_looks_like(data)}, not a picture we can open. "
            "Use JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF."
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"The picture has more than {limits.max_pixels:,} pixels. Send a smaller one."
        ) from None
    except MemoryError:
        raise ImageError("The picture needs more memory than there is. Send a smaller one.") from None
    # Decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError, ... on hostile bytes
    except Exception as error:
        raise ImageError(
            f"The picture is damaged or cut short ({type(error).__name__}: {error}). Save or download it "
            "again."
        ) from error


def thumbnail(image: Image.Image, side: int = 256, *, quality: int = 80) -> bytes:
    """JPEG bytes of the picture, at most `side` pixels on its longer side. Carries no metadata."""
    out = io.BytesIO()
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.size[0] * scale)), max(1, round(image.size[1] * scale)))
    image.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=1.5).save(
        out, "JPEG", quality=quality
    )
    return out.getvalue()


def signature(image: Image.Image) -> bytes:
    """192 bytes, the picture as 8 x 8 mean colours: what stays when a picture is resized or saved again."""
    return image.convert("RGB").resize((8, 8), Image.Resampling.BOX).tobytes()


def near_duplicate(a: np.ndarray, b: np.ndarray, tolerance: int = 5) -> np.ndarray:
    """Which signatures show the same picture: no mean colour of the 8 x 8 differs by more than `tolerance`
    of 255.

    a: (..., 192) uint8, b: (..., 192) uint8, broadcast. Returns bool (...). A small object moved by its own
    size is a difference.
    """
    return np.abs(a.astype(np.int16) - b.astype(np.int16)).max(-1) <= tolerance


def _read(source: Any, limits: ImageLimits) -> bytes:
    """At most max_bytes + 1 bytes are ever read, whatever the source claims."""
    if isinstance(source, (bytes, bytearray)):
        data = bytes(source)
    elif isinstance(source, (str, Path)):
        try:
            with open(source, "rb") as file:
                data = file.read(limits.max_bytes + 1)
        except (OSError, ValueError) as error:  # ValueError: a text that no path can be
            why = getattr(error, "strerror", None) or "there is no such file"
            raise ImageError(
                f"Cannot read {shown(source)}: {why}. Check the name and the permissions."
            ) from None
    else:
        data = source.read(limits.max_bytes + 1)
    if len(data) > limits.max_bytes:
        raise ImageError(f"The file is larger than {limits.max_bytes / 1e6:g} MB. Send a smaller picture.")
    return data


@cache
def _load_decoders() -> None:
    """All decoders, and HEIC from pillow-heif: loaded at the first picture, not at import."""
    import pillow_heif

    Image.init()
    pillow_heif.register_heif_opener()


def _looks_like(data: bytes) -> str:
    """What a file that is no picture seems to be, for a message: "a PDF document".

    >>> _looks_like(b"%PDF-1.7"), _looks_like(b"hello")
    ('a PDF document', 'text')
    """
    for offset, signature_bytes, kind in _SIGNATURES:
        if data.startswith(signature_bytes, offset):
            return kind
    start = data[:512]
    if any(byte < 32 and byte not in b"\t\n\f\r" for byte in start):
        return "data of another kind"
    if b"<svg" in start.lower():
        return "an SVG drawing"
    return "a web page" if b"<html" in start.lower() or b"<!doctype html" in start.lower() else "text"


def _decode(
    opened: Image.Image, data: bytes, limits: ImageLimits, max_side: int | None, keep_location: bool
) -> Picture:
    width, height = opened.size
    if width * height > limits.max_pixels:
        raise ImageError(
            f"The picture is {width} x {height}, over {limits.max_pixels / 1e6:g} megapixels. Send a "
            "smaller one."
        )
    if max(width, height) > limits.max_ratio * min(width, height):
        raise ImageError(
            f"The picture is {width} x {height}, longer than {limits.max_ratio} times its width. Crop it "
            "first."
        )
    kind = "JPEG" if opened.format == "MPO" else str(opened.format)
    exif = Exif(opened)
    profile = opened.info.get("icc_profile")
    if max_side and opened.format in (
        "JPEG",
        "MPO",
    ):  # the decoder halves for nearly nothing, once or more, where enough is left
        scale = 0.75 * max_side / max(width, height)
        opened.draft(None, (max(1, int(width * scale)), max(1, int(height * scale))))
    large = opened.size[0] * opened.size[1] > _LARGE_PIXELS
    guard: AbstractContextManager[Any] = _ONE_LARGE if large else nullcontext()
    with guard:
        opened.load()
        image = _shrunk(_upright_modes(opened), max_side)
    image = _srgb(image, profile)
    if exif.orientation in _TURNS:
        image = image.transpose(_TURNS[exif.orientation])
        if exif.orientation >= 5:
            width, height = height, width
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    sha = hashlib.sha256(data).hexdigest()
    return Picture(
        clean, sha, width, height, kind, exif.taken, exif.camera, exif.location if keep_location else None
    )


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the picture upright."""


def _upright_modes(image: Image.Image) -> Image.Image:
    """Any Pillow mode -> L, RGB or CMYK, 8 bits, transparency over white."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":  # 16 and 32 bits: Pillow's own convert clips at 255
        values = np.asarray(image, np.float64)
        top = 65535.0 if mode.startswith("I;16") or values.max(initial=0) > 255 else 255.0
        top = max(top, float(values.max(initial=0))) if mode in ("I", "F") else top
        return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        white.alpha_composite(rgba)
        return white.convert("RGB")
    return image if mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _shrunk(image: Image.Image, max_side: int | None) -> Image.Image:
    if max_side is None or max(image.size) <= max_side:
        return image
    scale = max_side / max(image.size)
    size = (max(1, round(image.size[0] * scale)), max(1, round(image.size[1] * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Through the embedded colour profile where there is a usable one.

    Most cameras' profile is sRGB already and costs nothing.
    """
    if profile and b"sRGB" not in profile[:4096]:
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")
