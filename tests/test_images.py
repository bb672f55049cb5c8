"""sugar.images: every format in, upright and clean out; hostile and damaged bytes refused with their reason.

Files are built here.
"""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
from datetime import datetime

import numpy as np
import pytest
from pictures import encoded
from PIL import Image

from sugar.errors import ImageError
from sugar.images import ImageLimits, near_duplicate, open_image, signature, thumbnail

RED = (250, 20, 30)


def half(size=(40, 20)) -> Image.Image:
    """Left half red, right half white: shows what turned where."""
    image = Image.new("RGB", size, "white")
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image


def is_red(pixel) -> bool:
    return pixel[0] > 200 and pixel[1] < 80 and pixel[2] < 80


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF"])
def test_every_format_opens(kind):
    picture = open_image(encoded(half((64, 32)), kind))
    assert (picture.width, picture.height, picture.format, picture.image.mode) == (64, 32, kind, "RGB")
    assert is_red(picture.image.getpixel((8, 16))) and not is_red(picture.image.getpixel((56, 16)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_gives_its_first_frame(kind):
    data = encoded(
        Image.new("RGB", (16, 16), RED),
        kind,
        save_all=True,
        append_images=[Image.new("RGB", (16, 16), "blue")] * 3,
        duration=50,
    )
    assert is_red(open_image(data).image.getpixel((8, 8)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation):
    upright = half()
    undo = {
        2: 0,
        3: 3,
        4: 1,
        5: 5,
        6: 2,
        7: 6,
        8: 4,
    }  # Image.Transpose values whose result the tag turns back
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_image(encoded(stored, "PNG", exif=exif))
    assert (picture.width, picture.height) == picture.image.size == (40, 20)
    assert is_red(picture.image.getpixel((5, 10))) and not is_red(picture.image.getpixel((35, 10)))
    assert not picture.image.getexif()


def camera_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS R5\n"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:17 08:09:10"
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 30.0, 36.0), 3: "E", 4: (151.0, 15.0, 0.0)})
    return exif


def test_time_and_camera_are_kept_and_location_only_on_request():
    data = encoded(half(), "JPEG", exif=camera_exif())
    picture = open_image(data)
    assert (picture.taken, picture.camera, picture.location) == (
        datetime(2024, 5, 17, 8, 9, 10),
        "Canon EOS R5",
        None,
    )
    assert open_image(data, keep_location=True).location == pytest.approx((-33.51, 151.25))
    assert not picture.image.info and not picture.image.getexif()
    assert b"Canon" not in encoded(picture.image, "JPEG") + encoded(picture.image, "PNG") + thumbnail(
        picture.image
    )


def test_broken_exif_costs_only_the_metadata():
    exif = b"Exif\0\0II*\0\x08\0\0\0" + random.Random(0).randbytes(200)
    picture = open_image(encoded(half(), "JPEG", exif=exif))
    assert picture.taken is None and picture.image.size == (40, 20)
    wrong = Image.Exif()
    wrong[0x0112], wrong[0x0132] = 99, "0000:00:00 00:00:00"
    assert open_image(encoded(half(), "PNG", exif=wrong)).taken is None


def test_modes_become_rgb():
    cmyk = open_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")).image
    assert is_red(cmyk.getpixel((4, 4)))
    deep = Image.fromarray(np.full((8, 8), 40000, np.uint16))
    assert open_image(encoded(deep, "PNG")).image.getpixel((4, 4)) == pytest.approx((155, 155, 155), abs=1)
    assert open_image(encoded(deep, "TIFF")).image.getpixel((4, 4)) == pytest.approx((155, 155, 155), abs=1)
    floats = Image.fromarray(np.full((8, 8), 128, np.float32))
    assert open_image(encoded(floats, "TIFF")).image.getpixel((4, 4)) == (128, 128, 128)
    assert open_image(encoded(Image.new("1", (8, 8), 1), "PNG")).image.getpixel((4, 4)) == (255, 255, 255)
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert open_image(encoded(clear, "PNG")).image.getpixel((4, 4)) == (255, 255, 255)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, *RED] + [0] * 762)
    palette.paste(0, (0, 0, 4, 8))
    shown = open_image(encoded(palette, "PNG", transparency=0)).image
    assert shown.getpixel((1, 1)) == (255, 255, 255) and is_red(shown.getpixel((6, 6)))
    assert open_image(encoded(Image.new("LA", (8, 8), (0, 0)), "PNG")).image.getpixel((4, 4)) == (
        255,
        255,
        255,
    )


def swapped_profile() -> bytes:
    """A small ICC profile: linear curves, sRGB's primaries (D50) with red and green exchanged."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    text = b"text\0\0\0\0none\0\0\0\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"swap\0" + bytes(79),
        b"cprt": text,
        b"wtpt": xyz(0.9642, 1, 0.8249),
        b"rXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"gXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = offset + len(body)
    header = struct.pack(
        ">I4sI4s4s4s12x4s", size, b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    ) + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def test_colour_profiles_are_applied_and_broken_ones_ignored():
    pixel = open_image(encoded(half(), "PNG", icc_profile=swapped_profile())).image.getpixel((5, 10))
    assert pixel[1] > 200 and pixel[0] < 150, "red in that profile is green in sRGB"
    assert is_red(
        open_image(encoded(half(), "PNG", icc_profile=b"not a profile" * 20)).image.getpixel((5, 10))
    )


def test_odd_shapes():
    assert open_image(encoded(Image.new("RGB", (1, 1), RED), "PNG")).image.size == (1, 1)
    assert open_image(encoded(Image.new("RGB", (2000, 10)), "PNG"), max_side=50).image.size == (50, 1)
    with pytest.raises(ImageError, match="20000 x 1, longer than 200 times"):
        open_image(encoded(Image.new("RGB", (20000, 1)), "PNG"))
    small = open_image(encoded(half((4000, 3000)), "JPEG"), max_side=100)
    assert small.image.size == (100, 75) and (small.width, small.height) == (4000, 3000)


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims any size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 100)
    parts = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, body, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("size", [(9000, 9000), (30000, 30000), (2**31 - 1, 2**31 - 1)])
def test_pixel_bombs_are_refused_by_their_header(size):
    with pytest.raises(ImageError, match="pixels"):
        open_image(png_header(*size))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF"])
def test_truncated_and_scrambled_bytes_are_refused_or_opened_but_never_crash(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(ImageError):
        open_image(data[: len(data) // 2])
    rng = random.Random(kind)
    for _ in range(15):
        broken = bytearray(data)
        for _ in range(8):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        with contextlib.suppress(ImageError):
            assert open_image(bytes(broken)).image.mode == "RGB"


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "0 bytes"),
        (b"%PDF-1.7 ...", "seems to be a PDF document, not a picture"),
        (b"PK\x03\x04" + b"\0" * 50, "zip archive or an Office document, not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing, not a picture"),
        (b"<!DOCTYPE html><p>Sign in first", "a web page, not a picture"),
        (b"\0\1\2 model weights", "data of another kind, not a picture"),
        (b"\xff\xd8\xff\xe0", "damaged|not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "text, not a picture"),
    ],
)
def test_what_is_no_picture_is_refused(data, reason):
    with pytest.raises(ImageError, match=reason):
        open_image(data)


def test_the_name_is_not_believed(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(half(), "JPEG"))
    assert (
        open_image(path).format
        == open_image(str(path)).format
        == open_image(io.BytesIO(path.read_bytes())).format
        == "JPEG"
    )


def test_byte_caps_and_missing_files(tmp_path):
    with pytest.raises(ImageError, match="larger than 0.001 MB"):
        open_image(encoded(half(), "BMP"), limits=ImageLimits(max_bytes=1000))
    with pytest.raises(ImageError, match="Cannot read"):
        open_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="Cannot read"):
        open_image(tmp_path)


def test_near_duplicates_survive_saving_and_resizing_but_not_another_picture():
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(60, 200, (6, 8, 3), dtype=np.uint8)).resize(
        (640, 480), Image.Resampling.BICUBIC
    )
    again = open_image(encoded(image.resize((320, 240)), "JPEG", quality=85)).image
    moved = image.copy()
    moved.paste(RED, (100, 100, 200, 200))
    mark = [np.frombuffer(signature(i), np.uint8) for i in (image, again, moved)]
    assert near_duplicate(mark[0], mark[1]) and not near_duplicate(mark[0], mark[2])
    assert near_duplicate(np.stack(mark), mark[0]).tolist() == [True, True, False]
