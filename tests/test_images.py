"""sugar.images: every format in, upright and clean out; hostile and damaged bytes refused with their reason.

Files are built here.
"""

from __future__ import annotations

import contextlib
import io
import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded
from PIL import Image, ImageCms

from sugar.errors import ImageError
from sugar.images import ImageLimits, near_duplicate, open_image, signature, thumbnail

RED = (250, 20, 30)
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF"]
DATA = Path(__file__).parent / "data"


def half(size=(40, 20)) -> Image.Image:
    """Left half red, right half white: shows what turned where."""
    image = Image.new("RGB", size, "white")
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image


def is_red(pixel) -> bool:
    return pixel[0] > 200 and pixel[1] < 80 and pixel[2] < 80


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_opens(kind):
    picture = open_image(encoded(half((64, 32)), kind))
    assert (picture.width, picture.height, picture.format, picture.image.mode) == (64, 32, kind, "RGB")
    assert is_red(picture.image.getpixel((8, 16))) and not is_red(picture.image.getpixel((56, 16)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_gives_its_first_frame(kind):
    first, more = Image.new("RGB", (16, 16), RED), [Image.new("RGB", (16, 16), "blue")] * 3
    data = encoded(first, kind, save_all=True, append_images=more, duration=50)
    assert is_red(open_image(data).image.getpixel((8, 8)))


TURNED_BACK = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""Orientation -> the Image.Transpose whose result the tag turns back."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "LZW TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(kind, orientation):
    """Pillow turns a TIFF, and a HEIC by its own mark; it was turned a second time."""
    upright = Image.new("RGB", (48, 32), "white")
    upright.paste(RED, (0, 0, 16, 12))
    undo = TURNED_BACK.get(orientation)
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = orientation, "X100"
    options = {"compression": "tiff_lzw"} if "LZW" in kind else {}
    picture = open_image(encoded(stored, kind.split()[-1], exif=exif.tobytes(), **options))
    assert (picture.width, picture.height) == picture.image.size == (48, 32)
    assert is_red(picture.image.getpixel((4, 4))) and picture.camera == "X100"
    assert not any(is_red(picture.image.getpixel(at)) for at in ((43, 4), (43, 27), (4, 27)))
    assert not picture.image.getexif()


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "CMYK", "I;16", "F"])
def test_a_tiff_of_any_mode_is_turned_once(mode, orientation):
    upright = half((48, 32)).convert("L")
    stored = upright.transpose(Image.Transpose(TURNED_BACK[orientation]))
    deep = {"I;16": np.uint16, "F": np.float32}.get(mode)
    stored = Image.fromarray(np.asarray(stored, deep)) if deep else stored.convert(mode)
    data = encoded(stored, "TIFF", tiffinfo={274: orientation}, save_all=True, append_images=[stored])
    picture = open_image(data)
    assert (picture.width, picture.height) == picture.image.size == (48, 32)
    assert picture.image.getpixel((4, 16))[0] < 130 and picture.image.getpixel((43, 16)) == (255, 255, 255)


def test_an_orientation_that_only_xmp_tells():
    told = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    stored = half((40, 20)).transpose(Image.Transpose.ROTATE_90)
    for data in (encoded(stored, "JPEG", xmp=told), encoded(stored, "TIFF", tiffinfo={700: told})):
        picture = open_image(data)
        assert (picture.width, picture.height) == picture.image.size == (40, 20)
        assert is_red(picture.image.getpixel((5, 10))) and not is_red(picture.image.getpixel((35, 10)))


def camera_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS R5\n"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:17 08:09:10"
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 30.0, 36.0), 3: "E", 4: (151.0, 15.0, 0.0)})
    return exif


def test_time_and_camera_are_kept_and_location_only_on_request():
    data = encoded(half(), "JPEG", exif=camera_exif())
    picture = open_image(data)
    assert (picture.taken, picture.camera) == (datetime(2024, 5, 17, 8, 9, 10), "Canon EOS R5")
    assert picture.location is None
    assert open_image(data, keep_location=True).location == pytest.approx((-33.51, 151.25))
    assert not picture.image.info and not picture.image.getexif()
    saved = [encoded(picture.image, "JPEG"), encoded(picture.image, "PNG"), thumbnail(picture.image)]
    assert b"Canon" not in b"".join(saved)


def test_broken_exif_costs_only_the_metadata():
    exif = b"Exif\0\0II*\0\x08\0\0\0" + random.Random(0).randbytes(200)
    picture = open_image(encoded(half(), "JPEG", exif=exif))
    assert picture.taken is None and picture.image.size == (40, 20)
    wrong = Image.Exif()
    wrong[0x0112], wrong[0x0132] = 99, "0000:00:00 00:00:00"
    assert open_image(encoded(half(), "PNG", exif=wrong)).taken is None


WHITE, GREY = (255, 255, 255), (155, 155, 155)
DEEP = Image.fromarray(np.full((8, 8), 40000, np.uint16))
MODES = {
    "16 bits": (DEEP, "PNG", GREY),
    "16 bits, TIFF": (DEEP, "TIFF", GREY),
    "floats": (Image.fromarray(np.full((8, 8), 128, np.float32)), "TIFF", (128, 128, 128)),
    "1 bit": (Image.new("1", (8, 8), 1), "PNG", WHITE),
    "clear": (Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG", WHITE),
    "clear grey": (Image.new("LA", (8, 8), (0, 0)), "PNG", WHITE),
    "CMYK": (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", (254, 0, 0)),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_become_rgb(mode):
    image, kind, shown = MODES[mode]
    assert open_image(encoded(image, kind)).image.getpixel((4, 4)) == pytest.approx(shown, abs=1)


def test_a_transparent_colour_of_a_palette_becomes_white():
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, *RED] + [0] * 762)
    palette.paste(0, (0, 0, 4, 8))
    shown = open_image(encoded(palette, "PNG", transparency=0)).image
    assert shown.getpixel((1, 1)) == WHITE and is_red(shown.getpixel((6, 6)))


RAMP = np.tile(np.linspace(0, 1, 64), (16, 1))  # black to white, (16, 64)


def shades(values: np.ndarray, kind: str = "TIFF", **options) -> list[int]:
    """What is shown of the first, the middle and the last column."""
    image = open_image(encoded(Image.fromarray(values), kind, **options)).image
    return [image.getpixel((x, 8))[0] for x in (0, 32, 63)]


def around(*values: int):
    return pytest.approx(list(values), abs=3)


@pytest.mark.parametrize(
    "low, high, dtype",
    [
        *((0, high, np.uint16) for high in (255, 1023, 4095, 16383, 65535)),
        *((0, high, np.float32) for high in (0.001, 1, 10, 255, 4095, 65535, 1e6)),
        *((-1, 1, np.float32), (-1024, 3071, np.float32), (-1e30, 1e30, np.float32)),
        *((0, 65535, np.int32), (0, 2**31 - 1, np.int32), (-1024, 3071, np.int32)),
    ],
)
def test_deep_greys_are_scaled_to_what_a_person_sees(low, high, dtype):
    """0 to 1 and 12 bits became black."""
    values = (low + RAMP * (high - low)).astype(dtype)
    assert shades(values) == around(0, 129, 255)
    if dtype == np.uint16:
        assert shades(values, "PNG") == around(0, 129, 255)


def test_deep_greys_with_holes_highlights_and_nothing_to_scale():
    holes = RAMP.astype(np.float32)
    holes[:3] = [[np.nan], [np.inf], [-np.inf]]
    assert shades(holes) == around(0, 129, 255)
    shown = open_image(encoded(Image.fromarray(holes), "TIFF")).image
    assert [shown.getpixel((32, y))[0] for y in range(3)] == [0, 255, 0]
    highlight = RAMP.astype(np.float32)
    highlight[0, 5] = 40
    assert shades(highlight) == around(0, 129, 255), "one bright spot does not make the rest black"
    assert shades((RAMP * 40000).astype(np.uint16)) == around(0, 79, 155), "16 bits that are not all used"
    assert shades(RAMP.astype(np.float32) * np.nan) == shades(RAMP.astype(np.float32) * 0) == [0, 0, 0]
    assert shades(RAMP.astype(np.float32) * 0 - 5) == [0, 0, 0]
    assert shades((RAMP * 65535).astype(np.uint16), tiffinfo={262: 0}) == around(255, 126, 0), "white is zero"


def test_a_lab_picture_opens():
    lab = ImageCms.createProfile("LAB")
    stored = ImageCms.profileToProfile(half(), ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    picture = open_image(encoded(stored, "TIFF")).image
    assert is_red(picture.getpixel((5, 10))) and not is_red(picture.getpixel((35, 10)))


def test_a_tiff_that_cannot_be_opened_is_named_as_one():
    bits = struct.pack("<HHII", 258, 3, 3, 134)
    data = encoded(half((8, 8)), "TIFF").replace(bits, struct.pack("<HHII", 258, 3, 3, 0))
    with pytest.raises(ImageError, match="a TIFF with a rare kind of pixels"):
        open_image(data)


def swapped_profile() -> bytes:
    """A small ICC profile: linear curves, sRGB's primaries (D50) with red and green exchanged."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"swap\0" + bytes(79)}
    tags |= {b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz(0.9642, 1, 0.8249)}
    tags |= {b"rXYZ": xyz(0.3851, 0.7169, 0.0971), b"gXYZ": xyz(0.4361, 0.2225, 0.0139)}
    tags |= {b"bXYZ": xyz(0.1431, 0.0606, 0.7141), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    kind = (b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header = struct.pack(">I4sI4s4s4s12x4s", offset + len(body), *kind) + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def test_colour_profiles_are_applied_and_broken_ones_ignored():
    pixel = open_image(encoded(half(), "PNG", icc_profile=swapped_profile())).image.getpixel((5, 10))
    assert pixel[1] > 200 and pixel[0] < 150, "red in that profile is green in sRGB"
    broken = encoded(half(), "PNG", icc_profile=b"not a profile" * 20)
    assert is_red(open_image(broken).image.getpixel((5, 10)))


def test_odd_shapes():
    assert open_image(encoded(Image.new("RGB", (1, 1), RED), "PNG")).image.size == (1, 1)
    assert open_image(encoded(Image.new("RGB", (2000, 10)), "PNG"), max_side=50).image.size == (50, 1)
    with pytest.raises(ImageError, match="20000 x 1, longer than 200 times"):
        open_image(encoded(Image.new("RGB", (20000, 1)), "PNG"))
    small = open_image(encoded(half((4000, 3000)), "JPEG"), max_side=100)
    assert small.image.size == (100, 75) and (small.width, small.height) == (4000, 3000)


def chunks(*bodies: bytes) -> bytes:
    """Parts of a PNG, each with its length and check sum."""
    return b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in bodies)


def with_chunks(data: bytes, *bodies: bytes) -> bytes:
    """A PNG with more chunks after its header."""
    return data[:33] + chunks(*bodies) + data[33:]


def test_a_png_with_large_texts_is_read_and_its_texts_are_not():
    """1.5 MB of text in a chunk made a whole picture "damaged or cut short"."""
    assert open_image(DATA / "png_ztxt_1_5mb.png").image.getpixel((5, 5)) == (200, 30, 30)
    many = zlib.compress(bytes(20_000_000))
    large = zlib.compress(b"a" * 2_000_000)
    exif = Image.Exif()
    exif[0x0112] = 3
    texts = (
        *[b"zTXtworkflow\0\0" + many] * 8,
        b"iTXtprompt\0\1\0\0\0" + large,
        b"iTXtprompt\0\0\0\0\0" + b"a" * 2_000_000,
        b"tEXtparameters\0" + b"a" * 2_000_000,
        b"zTXtRaw profile type exif\0\0" + large,
        b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + large,
        b"zTXtbroken\0\0no zlib",
    )
    data = with_chunks(encoded(half(), "PNG", exif=exif), *texts)
    tracemalloc.start()
    picture = open_image(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert is_red(picture.image.getpixel((35, 10))), "turned by its EXIF"
    assert peak < 3 * len(data), "no text was unpacked"
    after = data[:-12] + chunks(*texts[:2]) + data[-12:]
    assert is_red(open_image(after).image.getpixel((35, 10))), "and after the pixels"


def test_a_png_that_tells_its_exif_in_a_text():
    raw = b"Exif\0\0" + camera_exif().tobytes().removeprefix(b"Exif\0\0")
    told = f"\nexif\n{len(raw):8}\n".encode() + raw.hex().encode() + b"\n"
    data = with_chunks(encoded(half()), b"zTXtRaw profile type exif\0\0" + zlib.compress(told))
    assert open_image(data).taken == datetime(2024, 5, 17, 8, 9, 10)


def test_a_png_with_a_large_colour_profile_is_read_by_it_and_a_bomb_without():
    large = swapped_profile() + bytes(2_000_000)
    data = with_chunks(encoded(half()), b"iCCPlarge\0\0" + zlib.compress(large))
    pixel = open_image(data).image.getpixel((5, 10))
    assert pixel[1] > 200 and pixel[0] < 150, "red in that profile is green in sRGB"
    for body in (zlib.compress(bytes(29_000_000)), b"no zlib"):
        data = with_chunks(encoded(half()), b"iCCPbomb\0\0" + body)
        assert is_red(open_image(data).image.getpixel((5, 10)))


JPEGS = [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}, {"subsampling": 0}]


@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_a_jpeg_that_lacks_its_end_mark_is_whole_and_one_that_lacks_more_is_not(options):
    rough = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
    rough = rough.resize((317, 243), Image.Resampling.BICUBIC)
    rough.paste((200, 200, 200), (0, 160, 317, 243))
    assert open_image(DATA / "jpeg_without_eoi.jpg").image.size == (240, 160)
    data = encoded(rough, "JPEG", **options)
    whole = open_image(data).image.tobytes()
    for cut in (data[:-2], data[:-1], data[:-2] + bytes(5000), data[:-1] + bytes(5000), data + b"more"):
        assert open_image(cut).image.tobytes() == whole
    rng, size = random.Random(0), len(data)
    for missing in (size // 2, size // 4, 50, 20, *(rng.randrange(20, size // 2) for _ in range(12))):
        for filled in (b"", bytes(5000)):
            with pytest.raises(ImageError, match="cut short"):
                open_image(data[:-missing] + filled)


def test_a_progressive_jpeg_that_ends_between_two_scans_is_cut():
    """All of its rows are there, but coarse."""
    data = encoded(half((317, 243)), "JPEG", progressive=True)
    scans = [at for at in range(len(data)) if data.startswith(b"\xff\xc4", at)]
    assert len(scans) > 5
    for at in scans[-4:]:
        with pytest.raises(ImageError, match="cut short"):
            open_image(data[:at])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_phones_largest_photos_are_decoded_to_less(progressive):
    """108 megapixels were refused. Here the cap is smaller, as is the photo."""
    limits = ImageLimits(max_pixels=250_000)
    photo = half((800, 600))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo.rotate(90, expand=True), "JPEG", progressive=progressive, exif=exif)
    picture = open_image(data, limits=limits)
    assert (picture.width, picture.height, *picture.image.size) == (800, 600, 400, 300)
    assert is_red(picture.image.getpixel((50, 150))) and not is_red(picture.image.getpixel((350, 150)))
    assert open_image(data, limits=limits, max_side=100).image.size == (100, 75)
    assert open_image(data[:-2], limits=limits).image.tobytes() == picture.image.tobytes()
    too_large = encoded(half((1100, 1000)), "JPEG", progressive=progressive)
    for larger in (too_large, encoded(photo), encoded(photo, "WEBP")):
        with pytest.raises(ImageError, match="over 0.25 megapixels"):
            open_image(larger, limits=limits)


def test_a_large_photo_whose_scans_take_too_much_memory_is_refused():
    """A progressive JPEG keeps all of its coefficients, however small it is decoded."""
    limits = ImageLimits(max_pixels=200_000)
    baseline = encoded(half((850, 850)), "JPEG", subsampling=0)
    assert open_image(baseline, limits=limits).image.size == (425, 425)
    for subsampling in (0, 2):
        data = encoded(half((850, 850)), "JPEG", subsampling=subsampling, progressive=True)
        with pytest.raises(ImageError, match="over 0.2 megapixels"):
            open_image(data, limits=limits)


def test_108_megapixels_stay_within_the_memory_of_the_cap():
    made = (
        "import io, resource; from PIL import Image; from sugar.images import open_image\n"
        "out = io.BytesIO(); Image.new('L', (12000, 9000), 90).save(out, 'JPEG', quality=30)\n"
        "data = out.getvalue()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "picture = open_image(data); print(picture.image.size, picture.width, picture.height)\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000\n"
    )
    run = subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "(6000, 4500) 12000 9000", run.stderr


@pytest.mark.parametrize("size", [(9000, 9000), (30000, 30000), (2**31 - 1, 2**31 - 1)])
def test_pixel_bombs_are_refused_by_their_header(size):
    head = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunks(head, b"IDAT" + zlib.compress(bytes(100)), b"IEND")
    with pytest.raises(ImageError, match="pixels"):
        open_image(data)


@pytest.mark.parametrize("kind", KINDS)
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


def test_the_name_is_not_believed_caps_hold_and_missing_files_are_said(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(half(), "JPEG"))
    for source in (path, str(path), io.BytesIO(path.read_bytes())):
        assert open_image(source).format == "JPEG"
    with pytest.raises(ImageError, match="larger than 0.001 MB"):
        open_image(encoded(half(), "BMP"), limits=ImageLimits(max_bytes=1000))
    for missing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ImageError, match="Cannot read"):
            open_image(missing)


def test_near_duplicates_survive_saving_and_resizing_but_not_another_picture():
    rough = Image.fromarray(np.random.default_rng(1).integers(60, 200, (6, 8, 3), dtype=np.uint8))
    image = rough.resize((640, 480), Image.Resampling.BICUBIC)
    again = open_image(encoded(image.resize((320, 240)), "JPEG", quality=85)).image
    moved = image.copy()
    moved.paste(RED, (100, 100, 200, 200))
    mark = [np.frombuffer(signature(i), np.uint8) for i in (image, again, moved)]
    assert near_duplicate(mark[0], mark[1]) and not near_duplicate(mark[0], mark[2])
    assert near_duplicate(np.stack(mark), mark[0]).tolist() == [True, True, False]
