"""The only door for pixels: bytes in, a clean RGB picture out, or an ImageError that says why not.

    picture = open_image("photo.heic")                       # bytes, a path, or a binary file
    picture.image, picture.width, picture.taken, picture.camera
    open_image(data, max_side=1024)                          # decoded no larger than needed
    thumbnail(picture.image)                                 # JPEG bytes for a page

Opened: JPEG (and MPO), PNG, WebP, GIF, BMP, TIFF, HEIC/HEIF, AVIF; of an animation, the first frame. What the name says is
not believed; only these decoders are tried. Size and shape are judged from the header, before anything is decoded. The
picture that comes out is upright (EXIF orientation applied), sRGB, on white where it was transparent, and carries no metadata
at all: time, camera and size are returned beside it, the location only when `keep_location` asks for it.

Not covered: camera raw files, vector files, video, pages or frames after the first.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from sugar.errors import ImageError

__all__ = ["Picture", "Limits", "open_image", "thumbnail", "signature", "near_duplicate", "FORMATS", "SUFFIXES"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF")
SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF", ".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF", ".avif": "AVIF",
}  # fmt: skip
"""The suffixes that name a picture file, and the format each one promises."""

_LARGE_PIXELS = 24_000_000
_ONE_LARGE = threading.Lock()  # two very large pictures are never decoded at once, so that memory stays bounded
_SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True)
class Limits:
    """What is refused: more bytes, more pixels (from the header), or a longer side over `max_ratio` times the shorter."""

    max_bytes: int = 30_000_000
    max_pixels: int = 80_000_000
    max_ratio: int = 200


@dataclass(frozen=True, eq=False)
class Picture:
    """One opened picture. `image` is RGB, upright, without metadata, at most `max_side` long; width and height are the source's,
    upright. `sha256` is of the source's bytes. `taken` is the camera's local time. `location` is (latitude, longitude) in degrees."""

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
    limits: Limits | None = None,
    max_side: int | None = None,
    keep_location: bool = False,
) -> Picture:
    """Open a picture from bytes, a path or a binary file, no larger than `max_side` pixels on its longer side (a larger JPEG may come out
    at three quarters of it or more, where its decoder halves it to that).

    Raises ImageError: no such file, empty, not a picture of `FORMATS`, damaged or truncated, over `limits`.
    """
    limits = limits or Limits()
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
            f"These {len(data):,} bytes are not a picture we can open (they begin {data[:8]!r}). Use JPEG, PNG, WebP, GIF, BMP, TIFF, "
            "HEIC or AVIF."
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(f"The picture has more than {limits.max_pixels:,} pixels. Send a smaller one.") from None
    except MemoryError:
        raise ImageError("The picture needs more memory than there is. Send a smaller one.") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError, ... on hostile bytes
        raise ImageError(f"The picture is damaged or cut short ({type(error).__name__}: {error}). Save or download it again.") from error


def thumbnail(image: Image.Image, side: int = 256, *, quality: int = 80) -> bytes:
    """JPEG bytes of the picture, at most `side` pixels on its longer side. Carries no metadata."""
    out = io.BytesIO()
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.size[0] * scale)), max(1, round(image.size[1] * scale)))
    image.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=1.5).save(out, "JPEG", quality=quality)
    return out.getvalue()


def signature(image: Image.Image) -> bytes:
    """192 bytes, the picture as 8 x 8 mean colours: what stays when a picture is resized or saved again."""
    return image.convert("RGB").resize((8, 8), Image.Resampling.BOX).tobytes()


def near_duplicate(a: np.ndarray, b: np.ndarray, tolerance: int = 5) -> np.ndarray:
    """Which signatures show the same picture: no mean colour of the 8 x 8 differs by more than `tolerance` of 255.

    a: (..., 192) uint8, b: (..., 192) uint8, broadcast. Returns bool (...). A small object moved by its own size is a difference.
    """
    return np.abs(a.astype(np.int16) - b.astype(np.int16)).max(-1) <= tolerance


def _read(source: Any, limits: Limits) -> bytes:
    """At most max_bytes + 1 bytes are ever read, whatever the source claims."""
    if isinstance(source, (bytes, bytearray)):
        data = bytes(source)
    elif isinstance(source, (str, Path)):
        try:
            with open(source, "rb") as file:
                data = file.read(limits.max_bytes + 1)
        except OSError as error:
            raise ImageError(f"Cannot read {str(source)!r}: {error.strerror}. Check the name and the permissions.") from None
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


def _decode(opened: Image.Image, data: bytes, limits: Limits, max_side: int | None, keep_location: bool) -> Picture:
    width, height = opened.size
    if width * height > limits.max_pixels:
        raise ImageError(f"The picture is {width} x {height}, over {limits.max_pixels / 1e6:g} megapixels. Send a smaller one.")
    if max(width, height) > limits.max_ratio * min(width, height):
        raise ImageError(f"The picture is {width} x {height}, longer than {limits.max_ratio} times its width. Crop it first.")
    kind = "JPEG" if opened.format == "MPO" else str(opened.format)
    exif = _Exif(opened)
    profile = opened.info.get("icc_profile")
    if max_side and opened.format in ("JPEG", "MPO"):  # the decoder halves for nearly nothing, once or more, where enough is left
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
    return Picture(clean, sha, width, height, kind, exif.taken, exif.camera, exif.location if keep_location else None)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
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
    """Through the embedded colour profile where there is a usable one; most cameras' profile is sRGB already and costs nothing."""
    if profile and b"sRGB" not in profile[:4096]:
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")


class _Exif:
    """What is read of a picture's EXIF. Broken EXIF is common and costs a picture nothing but its metadata."""

    def __init__(self, image: Image.Image) -> None:
        self._exif: Any = {}
        with suppress(Exception):  # struct.error, ValueError, SyntaxError, OSError: whatever broken EXIF brings
            self._exif = image.getexif()
        self.orientation: int = self._get(lambda e: int(e.get(ExifTags.Base.Orientation, 1))) or 1
        self.taken = self._get(self._time)
        self.camera = self._get(self._model) or ""
        self.location = self._get(self._gps)

    def _get(self, read: Callable[[Any], Any]) -> Any:
        with suppress(Exception):
            return read(self._exif)
        return None

    @staticmethod
    def _time(exif: Any) -> datetime | None:
        detail = exif.get_ifd(ExifTags.IFD.Exif)
        for raw in (detail.get(ExifTags.Base.DateTimeOriginal), detail.get(ExifTags.Base.DateTimeDigitized), exif.get(306)):
            with suppress(ValueError, TypeError):
                return datetime.strptime(str(raw).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        return None

    @staticmethod
    def _model(exif: Any) -> str:
        words = [str(exif.get(tag, "")).strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
        text = words[1] if words[1].lower().startswith(words[0].lower()) else " ".join(words)
        return re.sub(r"[\x00-\x1f\x7f]", "", text).strip()[:80]

    @staticmethod
    def _gps(exif: Any) -> tuple[float, float] | None:
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        if not {1, 2, 3, 4} <= set(gps):
            return None
        latitude, longitude = (float(d) + float(m) / 60 + float(s) / 3600 for d, m, s in (gps[2], gps[4]))
        return (-latitude if gps[1] == "S" else latitude), (-longitude if gps[3] == "W" else longitude)
