"""The only door for pixels: bytes in, a clean RGB picture out, or an ImageError that says why not.

    picture = open_image("photo.heic")                       # bytes, a path, or a binary file
    picture.image, picture.width, picture.taken, picture.camera
    thumbnail(picture.image)                                 # JPEG bytes for a page

Opened: JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC/HEIF, AVIF; of an animation, the first frame. The header is
judged before anything is decoded. What comes out is upright, sRGB, on white where it was transparent, and
carries no metadata: time and camera are returned beside it, the location only when `keep_location` asks for
it. A JPEG that lacks nothing but its end mark is whole; one with more pixels than are decoded is decoded to
half its size or less. Not covered: camera raw files, vector files, video.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import threading
import zlib
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from sugar import taken
from sugar.errors import ImageError
from sugar.exif import Exif
from sugar.metadata import Described, without_location
from sugar.paths import shown

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
    (0, b"II*\0", "a TIFF with a rare kind of pixels"),
    (0, b"MM\0*", "a TIFF with a rare kind of pixels"),
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
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_END = b"\xff\xd9"  # of a JPEG; no byte of its pixels looks like it
_SEGMENT = re.compile(rb"\xff[\x02-\xcf\xda-\xfe]")  # the start of a segment with a length
_NOISE = b"".join(
    mark + b"\x5a\xc3\x17\xe8" * 64 for mark in (b"", *(bytes((255, 208 + n)) for n in range(8)))
)
_TEXTS = (b"Raw profile type exif", b"XML:com.adobe.xmp")  # the texts of a PNG that exif.py reads
_MOST_TEXT, _MOST_PROFILE = 1_000_000, 8_000_000  # bytes, unpacked; printers' profiles are large


@dataclass(frozen=True)
class ImageLimits:
    """What is refused: more bytes, more pixels (from the header), or a longer side over `max_ratio` times
    the shorter. A JPEG may have four times as many pixels: its decoder gives it at most `max_pixels` large.
    """

    max_bytes: int = 30_000_000
    max_pixels: int = 80_000_000
    max_ratio: int = 200


@dataclass(frozen=True, eq=False)
class Picture:
    """One opened picture. `image` is RGB, upright, without metadata, at most `max_side` long.

    Width and height are the source's, upright. `sha256` is of the source's bytes. `taken` is the camera's
    local time; day_from_name: the camera says none, and it is what the file's name says. `location` is
    (latitude, longitude) in degrees. `described` is what a person wrote into the file.
    """

    image: Image.Image
    sha256: str
    width: int
    height: int
    format: str
    taken: datetime | None = None
    camera: str = ""
    location: tuple[float, float] | None = None
    day_from_name: bool = False
    described: Described = Described()


def open_image(
    source: bytes | bytearray | str | Path | BinaryIO,
    *,
    limits: ImageLimits | None = None,
    max_side: int | None = None,
    keep_location: bool = False,
    name: str = "",
) -> Picture:
    """Open a picture from bytes, a path or a binary file, no larger than `max_side` pixels on its longer
    side (a larger JPEG may come out at three quarters of it or more, where its decoder halves it to that).

    name: of the file; a day in it counts where the camera says none. A path has its own.

    Raises ImageError: no such file, empty, not a picture of `FORMATS`, damaged or truncated, over `limits`.
    """
    limits = limits or ImageLimits()
    data = _read(source, limits)
    if not data:
        raise ImageError("The file is empty (0 bytes). Choose a picture file.")
    if not name and isinstance(source, (str, Path)):
        name = str(source)
    _load_decoders()
    try:
        image, width, height, kind, exif, described = _decode(data, limits, max_side)
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
    named = taken.in_name(name) if exif.taken is None else None
    return Picture(
        image,
        hashlib.sha256(data).hexdigest(),
        width,
        height,
        kind,
        named.time if named else exif.taken,
        exif.camera,
        (exif.location or described.location) if keep_location else None,
        day_from_name=named is not None,
        described=described,
    )


def placeless(data: bytes) -> bytes | None:
    """A picture file without where it was taken, else bit for bit the same.

    None where that cannot be done: a place can still be read afterwards, or the file cannot.
    """
    out = without_location(data)
    try:
        _load_decoders()
        with Image.open(io.BytesIO(out), formats=FORMATS) as opened:
            said = Described.of(opened, out).location or Exif(opened).location
    except Exception:  # whatever hostile bytes bring
        return None
    return out if said is None else None


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
    data: bytes, limits: ImageLimits, max_side: int | None
) -> tuple[Image.Image, int, int, str, Exif, Described]:
    """(the clean picture, width and height of the source, its format, its EXIF, what people wrote)."""
    readable, profile = _without_texts(data) if data.startswith(_PNG) else (data, None)
    with _opened(readable) as opened:
        width, height = opened.size
        most = _decoded_size(opened, data, limits)
        if max(width, height) > limits.max_ratio * min(width, height):
            raise ImageError(
                f"The picture is {width} x {height}, longer than {limits.max_ratio} times its width. Crop it "
                "first."
            )
        kind, profile = str(opened.format), profile or opened.info.get("icc_profile")
        size, whole = most, True
        if kind == "JPEG":
            size = _halved_enough(opened.size, most, max_side)
            whole = data.find(_END, opened.fp.tell()) >= 0
        # the scans of a progressive one, and one that may be cut, are decoded in full
        held = size if whole and "progressive" not in opened.info else opened.size
        large = held[0] * held[1] > _LARGE_PIXELS
        guard: AbstractContextManager[Any] = _ONE_LARGE if large else nullcontext()
        with guard:
            if kind == "JPEG":
                loaded = _halved(opened if whole else _opened(_ended(data, opened, most)), size)
            else:
                loaded = opened
                loaded.load()
            described = Described.of(loaded, data)
            exif = Exif(loaded)  # after loading: Pillow turns a TIFF upright by then, and says so there
            if kind != "JPEG":
                width, height = loaded.size
            image = _srgb(_shrunk(_upright_modes(loaded), max_side), profile)
    if exif.orientation in _TURNS:
        image = image.transpose(_TURNS[exif.orientation])
        if exif.orientation >= 5:
            width, height = height, width
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    return clean, width, height, kind, exif, described


def _opened(data: bytes) -> Any:
    """The header, read. A JPEG goes to its own reader: Pillow's caps do not know that it can be decoded to
    less, and its reader of several pictures (MPO) hides where the first one's data begin."""
    if data.startswith(_JPEG):
        return JpegImageFile(io.BytesIO(data))
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _decoded_size(opened: Any, data: bytes, limits: ImageLimits) -> tuple[int, int]:
    """The largest size at which the picture is decoded: its own, for a large JPEG half of it.

    Raises ImageError: over the limits, or a large JPEG whose scans take more memory than that.
    """
    width, height = opened.size
    pixels = width * height
    if pixels <= limits.max_pixels:
        return width, height
    if opened.format == "JPEG" and pixels <= 4 * limits.max_pixels:
        sampling = [(across, down) for _, across, down, _ in opened.layer]
        samples = sum(across * down for across, down in sampling) / max(a * d for a, d in sampling)
        # all of its coefficients wait in memory unless the first scan, just read, is of all channels at once
        start, channels = opened.fp.tell(), len(sampling)
        head = data[start - 2 * channels - 6 : start - 2 * channels - 3]
        at_once = head == bytes((0, 6 + 2 * channels, channels)) and "progressive" not in opened.info
        if at_once or 2 * samples * pixels <= 6 * limits.max_pixels:  # 2 bytes for each coefficient
            return width // 2, height // 2
    raise ImageError(
        f"The picture is {width} x {height}, over {limits.max_pixels / 1e6:g} megapixels. Send a smaller one."
    )


def _halved_enough(size: tuple[int, int], most: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """The size below which a JPEG is not halved: its decoder does it for nearly nothing, once or more."""
    if max_side is None:
        return most
    scale = 0.75 * max_side / max(size)
    width, height = (max(1, int(side * scale)) for side in size)
    return min(most[0], width), min(most[1], height)


def _halved(opened: Any, size: tuple[int, int]) -> Image.Image:
    """A JPEG with its pixels, halved as often as it stays as large as `size`."""
    opened.draft(None, size)
    opened.load()
    return opened


def _ended(data: bytes, opened: Any, size: tuple[int, int]) -> bytes:
    """A JPEG that lacks nothing but its end mark, with it. Raises ImageError when it lacks more.

    All scans must be there. Of the last one, the decoder looks at nothing that follows when no pixel is
    missing. So it is decoded without and with noise before the end mark: one differing pixel, and it is cut.
    """
    bare = data.rstrip(b"\0")  # a disk or a download may have filled up what is missing
    if len(data) - len(bare) < 4:
        bare = data  # but the last pixels may look like this too
    if bare.endswith(b"\xff"):  # half an end mark, or with its zero a byte of the pixels
        bare = bare + b"\0" if len(bare) < len(data) else bare[:-1]
    seen = set()
    for noise in (b"", _NOISE):
        image = _halved(_opened(bare + noise + _END), size)
        pixels = hashlib.sha256()
        for top in range(0, image.height, 256):
            pixels.update(image.crop((0, top, image.width, min(top + 256, image.height))).tobytes())
        seen.add(pixels.digest())
    if len(seen) > 1 or not _all_scans(bare, [number for number, *_ in opened.layer]):
        raise ImageError(
            "The picture is damaged or cut short (a part of it is missing). Save or download it again."
        )
    return bare + _END


def _all_scans(data: bytes, channels: list[int]) -> bool:
    """Does a JPEG begin the scans of all coefficients of its channels, to their last bit?"""
    missing = {channel: set(range(64)) for channel in channels}
    at = 2
    while (found := _SEGMENT.search(data, at)) is not None:
        at = found.end()
        size = int.from_bytes(data[at : at + 2], "big")
        if size < 2 or at + size > len(data):
            return False
        if data[at - 1] == 0xDA:
            count = data[at + 2]
            first, last, bits = data[at + 3 + 2 * count : at + 6 + 2 * count]
            for channel in data[at + 3 : at + 3 + 2 * count : 2]:
                if bits & 15 == 0:
                    missing[channel] -= set(range(first, last + 1))
        at += size
    return not any(missing.values())


def _without_texts(data: bytes) -> tuple[bytes, bytes | None]:
    """A PNG without the texts that nobody reads, and its colour profile where Pillow would not unpack it.

    Pillow refuses the picture when such a chunk unpacks to more than a megabyte. Kept are the texts that hold
    EXIF and the orientation, unless they are that large. No chunk is unpacked beyond the caps.
    """
    kept: list[bytes] = []
    profile: bytes | None = None
    start = at = len(_PNG)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            name, _, body = data[at + 8 : end - 4].partition(b"\0")
            if kind == b"iCCP":
                found = _unpacked(body[1:], _MOST_PROFILE)
                drop = found is None or len(found) > _MOST_TEXT
                profile = found if drop else None
            else:
                packed = body[:1] == b"\1" if kind == b"iTXt" else kind == b"zTXt"
                packing = body[1:] if kind == b"zTXt" else body[2:].split(b"\0", 2)[-1]
                drop = name not in _TEXTS or (packed and _unpacked(packing, _MOST_TEXT) is None)
            if drop:
                kept.append(data[start:at])
                start = end
        at = end
    return (data[: len(_PNG)] + b"".join(kept) + data[start:], profile) if kept else (data, None)


def _unpacked(data: bytes, most: int) -> bytes | None:
    """What zlib packed; None when it is broken or unpacks to more than `most` bytes."""
    try:
        found = zlib.decompressobj().decompress(data, most + 1)
    except zlib.error:
        return None
    return None if len(found) > most else found


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
    if mode.startswith("I") or mode == "F":  # Pillow's own convert clips at 255
        return _eight_bits(image)
    if mode == "LAB":
        return (
            ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), _SRGB, outputMode="RGB") or image
        )
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        white.alpha_composite(rgba)
        return white.convert("RGB")
    return image if mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """One channel of 12, 16 or 32 bits, or of floats -> L, from what its writer meant by black and white."""
    values = np.asarray(image)  # (h, w)
    tags = getattr(image, "tag_v2", {})
    bits, signed = tags.get(TiffImagePlugin.BITSPERSAMPLE), tags.get(TiffImagePlugin.SAMPLEFORMAT) == (2,)
    if values.dtype == np.int32 and bits == (32,) and not signed:
        values = values.view(np.uint32)
    black, white = _black_and_white(values, 32767.0 if signed and bits == (16,) else 65535.0)
    shown = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 256):  # in bands, for the sake of memory
        band = np.nan_to_num(
            values[top : top + 256].astype(np.float64), nan=black, posinf=white, neginf=black
        )
        shown[top : top + 256] = np.clip((band - black) * (255 / (white - black)), 0, 255)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero
        np.subtract(255, shown, out=shown)
    return Image.fromarray(shown)


def _black_and_white(values: np.ndarray, most: float) -> tuple[float, float]:
    """The values that stand for black and white in a file which does not say so.

    Zero and the most that fits in as many bits as are used: 8, 10, 12, 14, or `most`; for floats 1, though a
    few highlights may be brighter. Where that cannot be meant - values below zero, or floats that would all
    be dark - the darkest and the brightest value.

    values: (h, w). Not numbers and infinities do not count.
    """
    floats = values.dtype.kind == "f"
    numbers = values[np.isfinite(values)] if floats else values
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)
    if low < 0:
        return low, high if high > low else 0.0
    if floats and np.count_nonzero(numbers > 1) <= numbers.size // 100:
        return 0.0, 1.0 if high > 1 / 64 else high or 1.0
    if floats and high < 64:
        return 0.0, high
    return 0.0, next((white for white in (255.0, 1023.0, 4095.0, 16383.0, most) if high <= white), high)


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
