"""When and where a picture was taken: every way that cameras, programs, tables and names write it."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pictures import encoded, noise
from PIL import Image
from PIL.TiffImagePlugin import IFDRational as R
from toy import ToyModel

from sugar.errors import InputError
from sugar.gallery import Filters, Gallery, GallerySettings, export_zip, import_zip, move
from sugar.images import open_image
from sugar.place import find, pair, read
from sugar.rag import KnowledgeBase, ask
from sugar.sequence import Sample
from sugar.taken import Taken, in_name
from sugar.ui.photos_drawing import about_line

DATA = Path(__file__).parent / "data"
SOUTH, EAST = (R(33), R(52), R(10)), (R(151), R(12), R(30))
SYDNEY = pytest.approx((-33.8694, 151.2083), abs=1e-3)


def photo(
    gps: dict[int, Any] | None = None,
    original: object = None,
    edited: object = None,
    digitized: object = None,
    kind: str = "JPEG",
) -> bytes:
    exif = Image.Exif()
    detail = exif.get_ifd(0x8769)
    for tags, tag, value in ((exif, 306, edited), (detail, 0x9003, original), (detail, 0x9004, digitized)):
        if value is not None:
            tags[tag] = value
    exif.get_ifd(0x8825).update(gps or {})
    return encoded(Image.new("RGB", (64, 48), "red"), kind, exif=exif.tobytes())


def square(*colour: int) -> bytes:
    return encoded(Image.new("RGB", (20, 20), colour))


def place_of(data: bytes) -> tuple[float, float] | None:
    return open_image(data, keep_location=True).location


# -- places


@pytest.mark.parametrize(
    "south, east", [("S", "E"), ("S ", "e"), ("South", "East"), ("S\0\0", b"E"), (b"S", "E ")]
)
def test_a_hemisphere_in_every_spelling(south: Any, east: Any) -> None:
    assert place_of(photo({1: south, 2: SOUTH, 3: east, 4: EAST})) == SYDNEY


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_every_format_gives_its_place_and_time(kind: str) -> None:
    data = photo({1: "S", 2: SOUTH, 3: "E", 4: EAST}, "2024:05:04 16:41:42", kind=kind)
    assert place_of(data) == SYDNEY and open_image(data).taken == datetime(2024, 5, 4, 16, 41, 42)


def test_minutes_and_seconds_may_be_in_the_number_before_them() -> None:
    for latitude in ((R(48123, 1000), R(0), R(0)), (R(48), R(738, 100)), (48.123,)):
        assert place_of(photo({1: "N", 2: latitude, 3: "W", 4: (R(16), R(0), R(0))})) == pytest.approx(
            (48.123, -16.0)
        )
    assert place_of(photo({1: "N", 2: (R(0),) * 3, 3: "E", 4: (R(9), R(0), R(0))})) == (0.0, 9.0), (
        "the equator"
    )


NO_PLACE = {
    "0/0 seconds": {1: "N", 2: (R(48), R(12), R(5)), 3: "E", 4: (R(16), R(22), R(0, 0))},
    "0/0": {1: "N", 2: (R(0, 0),) * 3, 3: "E", 4: (R(0, 0),) * 3},
    "no fix": {1: "N", 2: (R(0),) * 3, 3: "E", 4: (R(0),) * 3},
    "999": {1: "N", 2: (R(999), R(0), R(0)), 3: "E", 4: (R(999), R(0), R(0))},
    "91 degrees": {1: "N", 2: (R(91), R(0), R(0)), 3: "E", 4: EAST},
    "75 minutes": {1: "S", 2: (R(33), R(75), R(0)), 3: "E", 4: EAST},
    "99 seconds": {1: "S", 2: (R(33), R(52), R(99)), 3: "E", 4: EAST},
    "no hemispheres": {2: SOUTH, 4: EAST},
    "one hemisphere": {1: "S", 2: SOUTH, 4: EAST},
    "a hemisphere of none": {1: "?", 2: SOUTH, 3: "E", 4: EAST},
    "the other's hemisphere": {1: "E", 2: SOUTH, 3: "S", 4: EAST},
    "half a pair": {1: "S", 2: SOUTH},
    "four numbers": {1: "S", 2: (*SOUTH, R(1)), 3: "E", 4: EAST},
}


@pytest.mark.parametrize("gps", NO_PLACE.values(), ids=NO_PLACE.keys())
def test_a_pair_is_valid_or_absent(gps: dict[int, Any]) -> None:
    assert place_of(photo(gps)) is None


def test_one_rule_for_every_pair() -> None:
    nan, inf = float("nan"), float("inf")
    numbers = [(nan, 1), (1, nan), (inf, 1), (1, -inf), (91, 0), (0, 181), (0, 0), (0.0, -0.0), (10**400, 1)]
    for bad in (*numbers, (1, None), (None, 1), ("1", 1), (True, 1), ([1], 1), (b"1", 2)):
        assert pair(*bad) is None
    assert pair(90, -180) == (90.0, -180.0) and pair(0, 9) == (0.0, 9.0)
    assert read("0,0") is None and find("what is near 0,0?") is None and read("0,9") is not None
    for near in ((nan, 1, 1), (0, 0, 1), (91, 0, 1)):
        with pytest.raises(InputError, match="degrees"):
            Filters(near=near)


def test_places_that_earlier_programs_stored_do_not_take_a_gallery_down(tmp_path: Path) -> None:
    """One such photo took Ask down for its gallery, did not open, and made the export unreadable."""
    model = ToyModel()
    settings = GallerySettings(keep_location=True)
    stored = [(48.2, None), ("abc", 16.0), (9e999, -9e999), (999.0, 999.0), (0.0, 0.0), (None, 16.0)]
    stored.append((48.0, 16.0))
    with Gallery.create(tmp_path / "g", model, settings) as gallery:
        files = {f"{n}.png": square(20 * n, 0, 0) for n in range(len(stored))}
        gallery.add(list(files.items()), captions=dict.fromkeys(files, "a red fox"))
        gallery.add([DATA / name for name in ("gps_lon_seconds_0_0.jpg", "gps_999.jpg", "gps_all_0_0.jpg")])
        with sqlite3.connect(tmp_path / "g" / "gallery.db") as db:
            for n, place in enumerate(stored, 1):
                db.execute("UPDATE items SET latitude = ?, longitude = ? WHERE id = ?", (*place, n))
        items = {item.id: item for item in gallery.items()}
        assert [items[n].location for n in range(1, 11)] == [None] * 6 + [(48.0, 16.0)] + [None] * 3
        for item in items.values():
            assert "nan" not in about_line(item)
        assert gallery.matching(Filters(near=(48.0, 16.0, 5.0))).tolist() == [7]
        base = KnowledgeBase(model, gallery=gallery)
        assert base.search(Sample("red fox near 48,16?"), 3)[0].item == 7
        assert len(base.search(Sample("red fox"), 7)) == 7
        assert export_zip(gallery, tmp_path / "old.zip", include_location=True) == 10
    with zipfile.ZipFile(tmp_path / "old.zip") as old, zipfile.ZipFile(tmp_path / "g.zip", "w") as new:
        for name in old.namelist():
            lines = old.read(name)
            if name == "items.jsonl":  # as earlier programs wrote it
                rows = [json.loads(line) for line in lines.decode().strip().split("\n")]
                places = [[float("nan"), 16], [1e9, 0], [48.2], [48.2, None], "x", [0, 0]]
                for row, place in zip(rows, places, strict=False):
                    row["location"] = place
                lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
            new.writestr(name, lines)
    with import_zip(tmp_path / "g.zip", tmp_path / "h", model, settings) as again:
        found = [item.location for item in sorted(again.items(), key=lambda i: i.id)]
        assert found == [None] * 6 + [(48.0, 16.0)] + [None] * 3


# -- times

AFTERNOON = datetime(2024, 5, 4, 16, 41, 42)
TIMES = {
    "2024:05:04 16:41:42": AFTERNOON,
    "2024:05:04 16:41:42.809319": AFTERNOON,
    "2024:05:04 16:41:42+0000": AFTERNOON,
    "2024:05:04 16:41:42.27-05:30": AFTERNOON,
    "2024:05:04 16:41:42Z": AFTERNOON,
    "2024-05-04 16:41:42": AFTERNOON,
    "2024/05/04 16:41:42": AFTERNOON,
    "2024.05.04 16.41.42": AFTERNOON,
    "2024-05-04T16:41:42+02:00": AFTERNOON,
    "2024-05-04T16:41:42Z": AFTERNOON,
    "20240504T164142Z": AFTERNOON,
    "04.05.2024 16:41:42": AFTERNOON,
    "2024: 5: 4 16:41:42": AFTERNOON,
    "  2024:05:04 16:41:42 ": AFTERNOON,
    "2024:05:04 04:41:42 PM": AFTERNOON,
    "2024:05:04 16:41:42\0\0": AFTERNOON,
    "2024:05:04 16:41": AFTERNOON.replace(second=0),
    "2024:05:04 16:41:60": AFTERNOON.replace(second=59),
    "2024:05:04": datetime(2024, 5, 4),
    "2024:05:04   :  :  ": datetime(2024, 5, 4),
    "2024:05:04 24:00:00": datetime(2024, 5, 5),
    "2024:05:04 24:10:11": datetime(2024, 5, 4, 0, 10, 11),
    "0000:00:00 00:00:00": None,
    "    :  :     :  :  ": None,
    "2024:05:     :  :  ": None,
    "2024:02:30 10:00:00": None,
    "2024:13:01 10:00:00": None,
    "+55555:03:05 10:10:10": None,
    "0001:01:01 00:00:00": None,
    "9999:12:31 23:59:59": None,
    "04/05/2024 16:41": None,
    "last summer": None,
}


@pytest.mark.parametrize("text, time", TIMES.items())
def test_a_time_in_every_spelling(text: str, time: datetime | None) -> None:
    assert open_image(photo(original=text)).taken == time
    edited = photo(original=text, edited="2026:01:01 00:00:00")
    assert open_image(edited).taken == time, "never the edit's day"


def test_which_of_three_times_counts() -> None:
    edited, blank = "2026:01:01 00:00:00", "    :  :     :  :  "
    assert open_image(photo(edited="2024:05:04 16:41:42")).taken == AFTERNOON, "the only one there is"
    for original in (None, blank):
        data = photo(original=original, edited=edited, digitized="2024:05:04 16:41:42")
        assert open_image(data).taken == AFTERNOON
    assert open_image(photo(edited=edited, digitized=blank)).taken is None
    exif = Image.Exif()
    exif[0x9003], exif[306] = "2024:05:04 16:41:42", edited
    beside = encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif.tobytes())
    assert open_image(beside).taken == AFTERNOON, "beside the make, where some programs write it"
    for name, time in (  # these were read wrongly
        ("date_offset_0000.jpg", datetime(2025, 1, 14, 18, 31, 30)),
        ("date_offset_then_edited.jpg", datetime(2024, 2, 21, 10, 14, 22)),
    ):
        assert open_image(DATA / name).taken == time


DAYS = """IMG-20240501-WA0001.jpg|IMG_20240501_1.jpg|photo 2024-05-01.heic|2024_05_01_party.jpg
照片20240501.jpg|2024-05-01-0001.jpg|2024.05.01-1.jpg|IMG-20240501-WA0001(1).jpg"""
SECONDS = """PXL_20240501_101112345.jpg|PXL_20240501_101112345.MP.jpg
Screenshot_2024-05-01-10-11-12-123_com.app.jpg
Screenshot_20240501-101112.png|Screenshot_20240501_101112_Chrome.jpg|Screenshot 2024-05-01 at 10.11.12 AM.png
Screenshot from 2024-05-01 10-11-12.png|Bildschirmfoto 2024-05-01 um 10.11.12.png|2024-05-01 10.11.12-1.jpg
Capture d’écran 2024-05-01 à 10.11.12.png|Снимок экрана 2024-05-01 в 10.11.12.png|2024-05-01T10:11:12Z.jpg
WhatsApp Image 2024-05-01 at 10.11.12 (1).jpeg|IMG_20240501_101112_HDR.jpg|IMG20240501101112.jpg
20240501_101112(0).jpg|signal-2024-05-01-101112_002.jpeg|signal-2024-05-01-10-11-12-123.jpg
2024-05-01 10.11.12.jpg|photo_5_2024-05-01_10-11-12.jpg|WIN_20240501_10_11_12_Pro.jpg
DJI_20240501101112_0001_D.JPG
00000IMG_00000_BURST20240501101112345_COVER.jpg|a folder/of 2023-01-01/20240501_101112.jpg"""
NO_DAYS = """IMG_20249999.jpg|20241399.jpg|IMG_20240230.jpg|2024050112.jpg|202405011234.jpg|+491520240501.jpg
9c20240501ab.jpg|IMG_20980501.jpg|DSC_20240.jpg|000000123456.jpg|1920x1080.jpg|01-05-2024-10-11-12.jpg
Photo 01-05-2024 10 11 12.jpg|IMG_00000000.jpg|FB_IMG_1714550000000.jpg|2024-05_01.jpg|2024-05-01/DSC_1.jpg"""


def every(names: str) -> list[str]:
    return [name for line in names.split("\n") for name in line.split("|")]


def test_days_in_names() -> None:
    day, moment = datetime(2024, 5, 1), datetime(2024, 5, 1, 10, 11, 12)
    wrong = {name: found for name in every(DAYS) if (found := in_name(name)) != Taken(day, True)}
    wrong |= {name: found for name in every(SECONDS) if (found := in_name(name)) != Taken(moment, True)}
    wrong |= {name: found for name in every(NO_DAYS) if (found := in_name(name)) is not None}
    assert wrong == {}
    mac = in_name("Screen Shot 2024-05-01 at 3.07.12\u202fPM.png")
    assert mac == Taken(datetime(2024, 5, 1, 15, 7, 12), True)


def test_a_day_out_of_a_name_is_the_last_resort_and_marked_as_such(tmp_path: Path) -> None:
    whatsapp = DATA / "IMG-20240501-WA0001.jpg"
    picture = open_image(whatsapp)
    assert (picture.taken, picture.day_from_name) == (datetime(2024, 5, 1), True)
    assert open_image(whatsapp.read_bytes()).taken is None
    named = tmp_path / "IMG_20200101_000000.jpg"
    named.write_bytes(photo(original="2024:05:04 16:41:42"))
    assert (open_image(named).taken, open_image(named).day_from_name) == (AFTERNOON, False)

    model = ToyModel()
    with Gallery.create(tmp_path / "g", model) as gallery, Gallery.create(tmp_path / "h", model) as other:
        gallery.add([whatsapp, named])
        gallery.add([(f"IMG-20230102-WA000{n}.jpg", square(90 * n, 9, 9)) for n in (0, 1)])
        seen = {item.name: (item.taken and item.taken.year, item.day_from_name) for item in gallery.items()}
        assert seen == {
            "IMG-20230102-WA0000.jpg": (2023, True),
            "IMG-20230102-WA0001.jpg": (2023, True),
            "IMG-20240501-WA0001.jpg": (2024, True),
            "IMG_20200101_000000.jpg": (2024, False),
        }
        assert len(gallery.matching(Filters(after=datetime(2024, 1, 1)))) == 2
        assert [month for _, month in gallery.listing()] == ["2024-05", "2024-05", "2023-01", "2023-01"]
        about = [about_line(item) for item in gallery.items()]
        assert sum("(from its name)" in text for text in about) == 3
        assert any("2024-05-04 16:41" in text for text in about)
        *_, reply = ask(model, KnowledgeBase(model, gallery=gallery), Sample("what was in 2024?"), k=3)
        assert (reply.by, reply.text.count("(its day is from its name)")) == ("quote", 1)
        export_zip(gallery, tmp_path / "e.zip")
        with import_zip(tmp_path / "e.zip", tmp_path / "i", model) as again:
            assert {i.name: (i.taken and i.taken.year, i.day_from_name) for i in again.items()} == seen
        move(gallery, other, [1])
        assert other.items()[0].day_from_name


def test_the_day_in_a_name_tells_no_two_photos_apart(tmp_path: Path) -> None:
    """What people said of a file stays with it when a program changes it, and writes a time."""
    folder = tmp_path / "in"
    folder.mkdir()
    file = folder / "IMG-20230102-WA0003.jpg"
    with Gallery.create(tmp_path / "g", ToyModel()) as gallery:
        file.write_bytes(photo())
        gallery.add(folder)
        gallery.set_favourite([1])
        for data in (encoded(noise(3), "JPEG"), photo(original="2022:01:01 10:00:00")):
            file.write_bytes(data)
            gallery.add(folder)
            [item] = gallery.items()
            assert item.favourite
        assert item.taken == datetime(2022, 1, 1, 10)


def test_what_a_person_says_of_the_time_is_no_guess(tmp_path: Path) -> None:
    with Gallery.create(tmp_path / "g", ToyModel()) as gallery:
        folder = tmp_path / "in"
        folder.mkdir()
        google = {"description": "g", "photoTakenTime": {"timestamp": "1672531200"}}
        (folder / "IMG-20230104-WA0001.png.json").write_text(json.dumps(google))
        names = ("a.png", "IMG-20230102-WA0003.png", "IMG-20230103-WA0003.png", "IMG-20230104-WA0001.png")
        for n, name in enumerate(names):
            (folder / name).write_bytes(square(60 * n, 9, 9))
        (folder / "captions.csv").write_text(
            "file,caption,taken\na.png,x,2024/05/04 16:41:42+02:00\nIMG-20230102-WA0003.png,y,1999-12-31\n"
            "IMG-20230103-WA0003.png,z,2022-01-01T00:00:00?\n",
            "utf-8",
        )
        report = gallery.add(folder)
        assert not [row for row in report.rows if "cannot be read" in row.reason]
        assert {i.caption: (i.taken, i.day_from_name) for i in gallery.items()} == {
            "x": (AFTERNOON, False),
            "y": (datetime(1999, 12, 31), False),
            "z": (datetime(2023, 1, 3), True),
            "g": (datetime(2023, 1, 1), False),
        }, "a guess that another program exported stays a guess"
