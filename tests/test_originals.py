"""Originals stay what they are, stored as they came or left in their folder; what people wrote in them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, noise, png
from PIL import Image, TiffImagePlugin
from toy import ToyEmbedder

from sugar.gallery import Gallery, GallerySettings
from sugar.gallery.transfer import one
from sugar.images import open_image, placeless
from sugar.metadata import Described, read_xmp, write_xmp

XMP = write_xmp(Described("A day at the sea", True, (48.2, -16.4)))


def located(kind: str) -> bytes:
    """A picture of one kind with a place and a description in its EXIF."""
    exif = Image.Exif()
    exif[0x010E] = "Grandma's garden"
    place = {1: "N", 2: (48.0, 12.0, 36.0), 3: "E", 4: (16.0, 22.0, 12.0), 7: (8.0, 1.0, 2.0)}
    exif.get_ifd(0x8825).update(place)
    if kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x010E], tags[0x8825] = "Grandma's garden", place
        return encoded(noise(3, 64, 48), kind, tiffinfo=tags)
    return encoded(noise(3, 64, 48), kind, exif=exif.tobytes())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF", "TIFF"])
def test_the_place_leaves_the_original_and_nothing_else_does(kind: str) -> None:
    data = located(kind)
    assert open_image(data, keep_location=True).location == pytest.approx((48.21, 16.37), abs=1e-4)
    bare = placeless(data)
    assert bare is not None and len(bare) == len(data)
    opened, before = open_image(bare, keep_location=True), open_image(data)
    assert opened.location is None and opened.described.caption == "Grandma's garden"
    assert opened.image.tobytes() == before.image.tobytes()
    assert b"\x00\x00\x00\x30" not in bare or bare.count(b"GPS") <= data.count(b"GPS")
    assert placeless(bare) == bare, "what has no place stays bit for bit"


def test_xmp_in_a_picture_loses_its_place_and_a_damaged_one_is_not_called_clean() -> None:
    data = encoded(noise(1), "JPEG", xmp=XMP)
    assert open_image(data, keep_location=True).location == pytest.approx((48.2, -16.4))
    bare = placeless(data)
    assert bare is not None and b"48,12" not in bare and len(bare) == len(data)
    assert open_image(bare, keep_location=True).described == Described("A day at the sea", True)
    assert placeless(b"no picture") is None


def gallery_of(tmp_path: Path, **settings: bool) -> Gallery:
    return Gallery.create(tmp_path / "g", ToyEmbedder(), GallerySettings(**settings))


def files(gallery: Gallery) -> list[Path]:
    return [p for p in gallery.folder.rglob("*") if p.is_file() and "originals" in p.parts]


@pytest.mark.parametrize("keep_location", [False, True])
def test_an_upload_is_stored_as_it_came_and_goes_with_its_picture(tmp_path, keep_location) -> None:
    big = encoded(noise(7, 2000, 1500), "JPEG", quality=80)
    with gallery_of(tmp_path, keep_location=keep_location) as gallery:
        gallery.add([("Grandma (1).JPG", big), ("sea.heic", located("HEIF"))])
        first, second = sorted(gallery.items(), key=lambda i: i.name)
        assert one(gallery, first.id) == ("Grandma (1).JPG", big) and gallery.picture(first.id).width < 1200
        name, data = one(gallery, second.id)
        assert name == "sea.heic" and (data == located("HEIF")) == keep_location
        assert second.caption == "Grandma's garden" and (second.location is not None) == keep_location
        assert len(files(gallery)) == 2
        gallery.delete([first.id])
        assert [p.name for p in files(gallery)] == [second.original]
        gallery.add([("again.jpg", big)])
        assert len(files(gallery)) == 2, "added again, stored again"
    with Gallery.open(tmp_path / "g", ToyEmbedder()) as gallery:
        assert gallery.original(gallery.items()[0].id) is not None
        gallery.clear()
        assert files(gallery) == []


def test_without_originals_copies_are_given(tmp_path) -> None:
    with gallery_of(tmp_path, keep_originals=False) as gallery:
        gallery.add([("a.bmp", encoded(noise(7, 1200, 800), "BMP"))])
        name, data = one(gallery, 1)
        assert name == "a.jpg" and max(open_image(data).image.size) == 1024 and not files(gallery)


def test_a_folder_in_place_is_never_written_to_and_gives_its_own_files(tmp_path) -> None:
    folder = tmp_path / "pics"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(located("JPEG"))
    (folder / "b.png").write_bytes(png(5))
    (folder / "b.xmp").write_bytes(XMP)
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    with gallery_of(tmp_path) as gallery:
        assert gallery.add(folder).counts == {"added": 2}
        a, b = sorted(gallery.items(), key=lambda i: i.name)
        assert (b.caption, b.favourite, b.location) == ("A day at the sea", True, None)
        assert not files(gallery), "the original stays where it is"
        assert one(gallery, b.id) == ("b.png", png(5))
        assert open_image(one(gallery, a.id)[1], keep_location=True).location is None
        (folder / "b.png").write_bytes(png(6))
        assert gallery.original(b.id) is None, "another picture is not called the original"
        (folder / "b.png").write_bytes(png(5))
        gallery.set_caption(b.id, "mine"), gallery.delete([a.id])
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == {n: d for n, (d, _) in before.items()}
        assert (folder / "a.jpg").stat().st_mtime_ns == before["a.jpg"][1]


def test_iptc_and_exif_texts_become_captions_and_what_cameras_write_does_not(tmp_path) -> None:
    def jpeg(**exif: str) -> bytes:
        tags = Image.Exif()
        for name, value in exif.items():
            tags[{"description": 0x010E, "title": 0x9C9B}[name]] = (
                value.encode() if name == "description" else (value.encode("utf-16-le") + b"\0\0")
            )
        return encoded(noise(len(str(exif))), "JPEG", exif=tags.tobytes())

    def dataset(number: int, text: str) -> bytes:
        return b"\x1c\x02" + bytes([number]) + len(text.encode()).to_bytes(2, "big") + text.encode()

    records = dataset(120, "Zoë at the lake") + dataset(25, "summer") + dataset(25, "lake")
    block = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + len(records).to_bytes(4, "big") + records
    plain = encoded(noise(99), "JPEG")
    iptc = plain[:2] + b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block + plain[2:]
    with gallery_of(tmp_path) as gallery:
        gallery.add(
            [
                ("iptc.jpg", iptc),
                ("exif.jpg", jpeg(description="Straße im Schnee")),
                ("windows.jpg", jpeg(title="Мой пёс")),
                ("camera.jpg", jpeg(description="OLYMPUS DIGITAL CAMERA")),
            ],
        )
        said = {i.name: i.caption for i in gallery.items()}
    assert said == {
        "iptc.jpg": "Zoë at the lake\nsummer",
        "exif.jpg": "Straße im Schnee",
        "windows.jpg": "Мой пёс",
        "camera.jpg": "",
    }


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
        b"<x:xmpmeta",
        b"",
        b"\xff\xfe" * 50,
        XMP.replace(b"48,12.000000N", b"99,99.0N"),
    ],
)
def test_hostile_sidecars_say_nothing_of_a_place(text: bytes) -> None:
    assert read_xmp(text).location is None and "root:" not in read_xmp(text).caption


def test_a_sidecar_that_is_written_is_read_again() -> None:
    said = Described('Tom & "Jerry" <3', True, (-33.86, 151.21))
    again = read_xmp(write_xmp(said))
    assert (again.caption, again.favourite) == (said.caption, True)
    assert again.location == pytest.approx(said.location)


def test_an_edited_file_brings_what_was_written_into_it_where_nothing_was_said(tmp_path) -> None:
    folder = tmp_path / "pics"
    folder.mkdir()
    picture = Image.fromarray(np.full((60, 80, 3), 90, np.uint8))
    picture.save(folder / "a.jpg", quality=70)
    with gallery_of(tmp_path) as gallery:
        gallery.add(folder)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=71, xmp=XMP)
        (folder / "a.jpg").write_bytes(out.getvalue())
        gallery.add(folder)
        [item] = gallery.items()
        assert (item.caption, item.favourite) == ("A day at the sea", True)
        assert item.sha256 == hashlib.sha256(out.getvalue()).hexdigest()
