"""Taking pictures in: files, folders, zips, captions, hostile input, incremental runs, cancel, kill -9."""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, lying_zip, noise, photo, png
from PIL import Image
from toy import ToyEmbedder

from sugar.errors import GalleryError
from sugar.gallery import Gallery, GallerySettings, disk, export_zip
from sugar.gallery.gallery import Ingest
from sugar.retrieval import SearchOptions, search
from sugar.sequence import Sample

ROOT = Path(__file__).resolve().parent.parent


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name) if "\n" in name else name, data)
    return out.getvalue()


@pytest.fixture
def model() -> ToyEmbedder:
    return ToyEmbedder()


@pytest.fixture
def gallery(tmp_path, model):
    with Gallery.create(tmp_path / "g", model) as gallery:
        yield gallery


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three pictures, one in a sub-folder."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "sub/c.png")):
        (tmp_path / "in" / name).write_bytes(png(i))
    return tmp_path / "in"


def statuses(report) -> dict[str, str]:
    return {r.name: r.status for r in report.rows}


def reason(report, name: str) -> str:
    return next(r.reason for r in report.rows if r.name == name)


# -- what is taken


def test_a_file_many_files_a_folder_and_a_zip(gallery, folder, tmp_path):
    (tmp_path / "more.zip").write_bytes(zipped({"d.png": png(3), "x/e.png": png(4)}))
    again = ("again.zip", zipped({"d.png": png(3)}))
    for handed, told in (
        (folder / "a.png", "a.png added"),
        ([str(folder / "b.png"), ("bytes.png", png(9))], "b.png added, bytes.png added"),
        (folder, "a.png unchanged, b.png unchanged, sub/c.png added"),
        (tmp_path / "more.zip", "d.png added, x/e.png added"),
        (again, "d.png duplicate"),
    ):
        report = gallery.add(handed)
        assert ", ".join(f"{r.name} {r.status}" for r in report.rows) == told
    assert str(report).startswith("1 duplicate in")
    names = ["a.png", "b.png", "bytes.png", "d.png", "sub/c.png", "x/e.png"]
    assert sorted(i.name for i in gallery.items()) == names


def test_typed_captions_beat_files_and_a_bad_caption_file_costs_only_itself(gallery, folder):
    (folder / "a.txt").write_text("a dog\n", "utf-8")
    (folder / "captions.csv").write_text(
        'Caption,File,taken\n"ein Hund, groß",b.png,2023-04-05T06:07:08\n', "utf-8-sig"
    )
    (folder / "sub" / "captions.jsonl").write_text(
        '{"file": "c.png", "caption": "a star", "taken": "no time"}\n\n'
    )
    (folder / "captions.jsonl").write_text('{"file": "a.png"\nnonsense')
    report = gallery.add([folder], captions={"a.png": "typed wins"})
    assert report.added == 3 and {i.name: (i.caption, i.taken and i.taken.year) for i in gallery.items()} == {
        "a.png": ("typed wins", None),
        "b.png": ("ein Hund, groß", 2023),
        "sub/c.png": ("a star", None),
    }
    assert report.refused == 1 and "caption file cannot be read" in reason(report, "captions.jsonl")
    table = b"y.png,without a header\np/z.png,below\n"
    files = {
        "p/x.png": png(5),
        "p/x.txt": b"a sidecar",
        "y.png": png(6),
        "captions.csv": table,
        "p/z.png": png(7),
    }
    gallery.add(("c.zip", zipped({**files, "p/v.png": png(8), "p/v.txt": b"\xff\xfe\x00 broken \x07 text"})))
    captions = {i.name: i.caption for i in gallery.items()}
    assert [captions[n] for n in ("p/x.png", "y.png", "p/z.png")] == [
        "a sidecar",
        "without a header",
        "below",
    ]
    assert "\x07" not in captions["p/v.png"]


def test_the_kept_copy_is_small_clean_and_close_to_the_original(tmp_path, model):
    exif = Image.Exif()
    exif[0x0110] = "SecretCam"
    exif.get_ifd(0x8769)[0x9003] = "2024:03:01 00:00:00"
    files = [("big.jpg", encoded(noise(1, 400, 300), "JPEG", exif=exif)), ("a small.png", png(2))]
    with Gallery.create(tmp_path / "s", model, GallerySettings(picture_side=64)) as g:
        g.add([*files, ("early.jpg", photo("red", datetime(2022, 1, 1)))])
        early, big, small = g.items()
        assert (early.name, big.camera, small.name) == ("early.jpg", "SecretCam", "a small.png"), (
            "by their time"
        )
        assert 48 <= max(g.picture(big.id).size) <= 64 and (big.width, big.height) == (400, 300)
        assert b"SecretCam" not in g.picture_path(big.id).read_bytes()
        lossless = noise(2, 24, 16).tobytes()
        assert g.picture(small.id).tobytes() == lossless, "small pictures from a lossless format stay exact"


# -- hostile input


def bomb() -> bytes:
    """A PNG of a few bytes that claims 60,000 x 60,000 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunks = (head, b"IDAT" + zlib.compress(bytes(100)))
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_hostile_files_are_each_answered_and_never_stop_the_rest(gallery):
    good = {
        "ok1.png": png(1),
        "lies.jpg": png(5),
        "one.png": png(6, (1, 1)),
        "cmyk.jpg": encoded(Image.new("CMYK", (8, 8), (0, 200, 200, 0)), "JPEG"),
        "deep.png": encoded(Image.fromarray(np.full((8, 8), 40000, np.uint16))),
        "palette.png": encoded(noise(3, 24, 16).convert("P"), "PNG", transparency=0),
        **{name: png(8 + n) for n, name in enumerate(ODD_NAMES)},
    }
    bad = {
        "empty.png": (b"", "0 bytes"),
        "cut.jpg": (encoded(noise(2, 200, 200), "JPEG")[:900], "damaged or cut"),
        "text.jpg": (b"hello", "not a picture"),
        "long.png": (png(7, (20000, 1)), "longer than 200"),
        "bomb.png": (bomb(), "pixels"),
        "big.bmp": (bytes(31_000_000), "larger than 30 MB"),
    }
    report = gallery.add(
        [*good.items(), *((name, data) for name, (data, _) in bad.items()), ("ok2.png", png(20))]
    )
    assert len(report.rows) == report.added + report.refused == len(good) + len(bad) + 1
    assert [r.name for r in report.rows if r.status == "refused"] == list(bad)
    assert {n: reason(report, n) for n, (_, says) in bad.items() if says not in reason(report, n)} == {}
    assert reason(report, "lies.jpg") == "named .jpg, but is PNG"
    shown = {i.name for i in gallery.items()}
    assert {"new line.png", "right to left.png"} <= shown and "rightto left.png" not in shown
    assert all(len(name) <= 255 and name.isprintable() for name in shown)


ODD_NAMES = [
    "日本語 – é.png",
    "new\nline.png",
    "\ud800lone.png",
    "right\u202eto left.png",
    "a" * 400 + ".png",
]


def test_hostile_zips(gallery, tmp_path):
    climbing = ("../up.png", "/etc/abs.png", "a/../../b.png", "C:\\win.png", "..\\w.png")
    entries = {n: png(i) for i, n in enumerate(climbing)}
    entries |= {"good.png": png(9), "inner.zip": zipped({"x.png": png(8)}), "movie.mov": b"x"}
    entries |= {"__MACOSX/._good.png": b"x", ".DS_Store": b"x", "folder/": b""}
    report = gallery.add(("z.zip", zipped(entries)))
    assert statuses(report)["good.png"] == "added" and report.added == 1 and report.refused == 6
    assert sum("climbs out" in r.reason for r in report.rows) == 5
    assert "zip inside a zip" in reason(report, "z.zip/inner.zip")
    assert statuses(report)["z.zip/movie.mov"] == "passed over" and not list(tmp_path.rglob("up.png"))


def test_zip_bombs_and_broken_zips(gallery, tmp_path):
    flat = zipped({f"{i}.png": bytes(26_000_000) for i in range(2)}, zipfile.ZIP_DEFLATED)
    report = gallery.add(("bomb.zip", flat))
    assert "zip bomb" in reason(report, "bomb.zip") and report.refused == 1
    report = gallery.add(("lie.zip", lying_zip(b"lie.png", bytes(35_000_000))))
    assert report.refused == 1 and len(gallery) == 0, "an entry that says 100 bytes and unfolds to 35 MB"
    whole = zipped({"a.png": png(1), "b.png": png(2)})
    assert "damaged" in reason(gallery.add(("cut.zip", whole[:-30])), "cut.zip")
    assert "damaged" in reason(gallery.add(("none.zip", b"")), "none.zip")
    spoiled = bytearray(whole)
    spoiled[60] ^= 255
    assert statuses(gallery.add(("crc.zip", bytes(spoiled)))) == {"a.png": "refused", "b.png": "added"}
    locked = bytearray(zipped({"c.png": png(3)}))
    locked[6] |= 1
    locked[locked.index(b"PK\1\2") + 8] |= 1
    assert "encrypted" in reason(gallery.add(("locked.zip", bytes(locked))), "c.png")
    future = bytearray(whole)
    future[future.index(b"PK\1\2") + 6] = 99  # the version that is needed to read it
    assert "version 9.9" in reason(gallery.add(("future.zip", bytes(future))), "future.zip")


def test_links_and_odd_files_in_a_folder(gallery, folder, tmp_path):
    (tmp_path / "secret.png").write_bytes(png(77))
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "in.png").symlink_to(folder / "a.png")
    (folder / "dangling.png").symlink_to(folder / "none.png")
    (folder / "notes.pdf").write_bytes(b"%PDF")
    os.mkfifo(folder / "pipe.png")
    report = gallery.add(folder)
    assert report.counts == {"added": 3, "duplicate": 1, "refused": 3, "passed over": 1}
    assert statuses(report)["in.png"] == "duplicate" and "leads out" in reason(report, "out.png")
    assert {r.name for r in report.rows if r.status == "refused"} == {"out.png", "dangling.png", "pipe.png"}
    assert gallery.add([tmp_path / "not-there.png"]).refused == 1
    if os.geteuid() != 0:
        (folder / "b.png").chmod(0)
        (folder / "b.png").touch()
        assert gallery.add(folder).refused == 4
        (folder / "b.png").chmod(stat.S_IRWXU)


def test_caps_on_an_upload_and_on_a_gallery(tmp_path, model):
    caps = {"max_upload_files": 4, "max_upload_bytes": 1_000_000, "max_gallery_bytes": 500_000}
    with Gallery.create(tmp_path / "s", model, GallerySettings(max_items=3, **caps)) as g:
        report = g.add([(f"{i}.png", png(i)) for i in range(8)])
        assert [r.status for r in report.rows] == ["added"] * 3 + ["refused"] * 2
        assert "3 pictures" in report.rows[3].reason and "one upload takes 4 files" in report.rows[4].reason
        assert "one upload takes" in g.add(("x.bmp", bytes(2_000_000))).rows[0].reason
        g.clear()
        large = [(f"{i}.bmp", encoded(noise(i, 300, 300), "BMP")) for i in range(3)]
        assert [r.status for r in g.add(large).rows] == ["added", "refused", "refused"]


# -- again


def test_the_same_folder_again_takes_only_what_is_new_changed_or_renamed(gallery, folder, model, tmp_path):
    gallery.add(folder, captions={"b.png": "a dog"})
    model.calls.clear()
    assert gallery.add(folder).counts == {"unchanged": 3} and model.calls == [], "not even opened"
    os.utime(folder / "a.png", (1, 1))
    assert gallery.add(folder).counts == {"unchanged": 3} and model.calls == [], "opened, not embedded"
    vectors = gallery.slices([i.id for i in gallery.items() if i.name == "a.png"])[0].copy()
    (folder / "a.png").rename(folder / "sub" / "moved.png")
    for name, seed in (("b.png", 50), ("new.png", 51), ("copy.png", 2)):
        (folder / name).write_bytes(png(seed))
    report = gallery.add(folder)
    told = {"b.png": "updated", "copy.png": "duplicate", "new.png": "added"}
    assert statuses(report) == told | {"sub/c.png": "unchanged", "sub/moved.png": "renamed"}
    assert reason(report, "sub/moved.png") == "was a.png" and sum(model.calls) == 2
    found = {i.name: i for i in gallery.items()}
    assert set(found) == {"b.png", "new.png", "sub/c.png", "sub/moved.png"}
    assert found["b.png"].caption == "a dog"
    assert (gallery.slices([found["sub/moved.png"].id])[0] == vectors).all()
    files = [p for p in (tmp_path / "g" / "pictures").rglob("*") if p.is_file()]
    assert len(files) == len(gallery) == 4, "the picture that was replaced is gone"
    (folder / "new.txt").write_text("a star")
    assert statuses(gallery.add(folder))["new.png"] == "updated" and said(gallery)["new.png"][0] == "a star"
    assert gallery.add(folder).counts == {"unchanged": 5}
    assert gallery.store.read("SELECT path FROM folders") == [(str(folder.resolve()),)], "stored once"
    export_zip(gallery, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        data = b"".join(archive.read(name) for name in archive.namelist())
    assert str(tmp_path).encode() not in data, "no path of the machine leaves"


def test_the_same_picture_twice_is_stored_once_and_near_duplicates_are_listed(gallery):
    rough = Image.fromarray(np.random.default_rng(0).integers(0, 255, (5, 5, 3), dtype=np.uint8))
    smooth = rough.resize((300, 300), Image.Resampling.BICUBIC)
    files = [("a.png", encoded(smooth)), ("same.png", encoded(smooth))]
    files += [("small.jpg", encoded(smooth.resize((200, 200)), "JPEG")), ("other.png", png(1))]
    report = gallery.add(files)
    assert [r.status for r in report.rows] == ["added", "duplicate", "added", "added"]
    names = {i.id: i.name for i in gallery.items()}
    assert [[names[i] for i in group] for group in gallery.near_duplicates()] == [["a.png", "small.jpg"]]
    hits = search(gallery, gallery.model, Sample("red"), SearchOptions(k=5))
    assert len(hits) == 2 and sorted(len(h.duplicates) for h in hits) == [0, 1]
    assert len(search(gallery, gallery.model, Sample("red"), SearchOptions(k=5, collapse=False))) == 3


# -- what people said of a picture stays with its file


def said(gallery) -> dict[str, tuple[str, str, bool]]:
    return {i.name: (i.caption, i.caption_by, i.favourite) for i in gallery.items()}


def say(gallery, **captions: str) -> None:
    for item in gallery.items():
        if (caption := captions.get(item.name[0])) is not None:
            gallery.set_caption(item.id, caption, by="model" if "model" in caption else "")
            gallery.set_favourite([item.id])


def test_an_edited_file_keeps_what_people_said_of_it(gallery, folder, model):
    (folder / "b.txt").write_text("of a file")
    gallery.add(folder)
    say(gallery, a="a model wrote a dog", b="", s="typed by a person")
    gallery.rename(next(i.id for i in gallery.items() if i.name == "sub/c.png"), "my own name")
    for n, name in enumerate(("a.png", "b.png", "sub/c.png")):
        (folder / name).write_bytes(png(30 + n))
    assert gallery.add(folder).updated == 3 == len(gallery)
    assert said(gallery) == {
        "a.png": ("a model wrote a dog", "model", True),
        "b.png": ("", "", True),
        "my own name": ("typed by a person", "", True),
    }, "also that a person took the file's caption away"
    ids = {i.name: i.id for i in gallery.items()}
    assert len(gallery.slices([ids["my own name"]])[0]) == 2, "its vectors know a person's caption"
    assert len(gallery.slices([ids["a.png"]])[0]) == 1, "and none of a model's"
    (folder / "b.txt").write_text("news")
    (folder / "b.png").write_bytes(png(40))
    gallery.add(folder)
    assert said(gallery)["b.png"] == ("news", "", True)


def test_two_files_of_one_picture_of_which_one_is_edited(gallery, folder):
    (folder / "copy.png").write_bytes(png(0))
    gallery.add(folder)
    say(gallery, a="typed")
    (folder / "copy.png").write_bytes(png(60))
    gallery.add(folder)
    assert said(gallery)["a.png"] == said(gallery)["copy.png"] == ("typed", "", True) and len(gallery) == 4
    (folder / "a.png").write_bytes(png(61))  # and now the other
    gallery.add(folder)
    assert said(gallery)["a.png"] == ("typed", "", True) and len(gallery) == 4


def test_an_original_that_is_kept_beside_and_files_that_change_places(gallery, folder):
    gallery.add(folder)
    say(gallery, a="first", b="second", s="third")
    (folder / "a.png").rename(folder / "a_original.png")
    (folder / "a.png").write_bytes(png(70))
    assert gallery.add(folder).counts == {"updated": 1, "duplicate": 1, "unchanged": 2}
    assert said(gallery)["a.png"] == said(gallery)["a_original.png"] == ("first", "", True)
    for old, new in (("a_original.png", "z"), ("b.png", "a_original.png"), ("z", "b.png")):
        (folder / old).rename(folder / new)
    report = gallery.add(folder)
    assert report.refused == 0 and len(gallery) == 4
    assert said(gallery)["a_original.png"][0] == "second" and said(gallery)["b.png"][0] == "first"
    for n in (3, 2, 1):  # a row of files is numbered anew
        (folder / ("a.png", "a_original.png", "b.png")[n - 1]).rename(folder / f"{n}.png")
    gallery.add(folder)
    for n in (3, 2, 1):
        (folder / f"{n}.png").rename(folder / f"{n + 1}.png")
    assert gallery.add(folder).refused == 0
    words = {n: w[0] for n, w in said(gallery).items()}
    assert words == {"2.png": "first", "3.png": "second", "4.png": "first", "sub/c.png": "third"}
    assert gallery.add(folder).counts == {"unchanged": 4}


def test_a_file_that_takes_the_content_of_another_hands_its_words_on(gallery, folder):
    gallery.add(folder)
    say(gallery, a="typed")
    (folder / "copy.png").write_bytes(png(2))
    assert statuses(gallery.add(folder / "copy.png")) == {"copy.png": "duplicate"}, (
        "by itself it takes nothing"
    )
    (folder / "sub" / "c.png").rename(folder / "moved.png")
    (folder / "copy.png").unlink()
    assert statuses(gallery.add(folder / "moved.png")) == {"moved.png": "renamed"}
    (folder / "a.png").write_bytes(png(1))  # b.png
    gallery.add(folder)
    assert said(gallery) == {"b.png": ("typed", "", True), "moved.png": ("", "", False)}


def test_another_photo_under_an_old_name_replaces_nothing(gallery, tmp_path):
    """The next card of a camera begins at IMG_0001 again; a corrected clock is no other photo."""
    card = tmp_path / "card"
    card.mkdir()

    def shoot(seed: int, when: str) -> None:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = when
        (card / "IMG_0001.jpg").write_bytes(encoded(noise(seed), "JPEG", exif=exif))

    shoot(1, "2024:03:01 10:00:00")
    gallery.add(card)
    say(gallery, I="the first")
    shoot(1, "2024:03:01 11:00:00")
    assert gallery.add(card).updated == 1 and len(gallery) == 1
    shoot(2, "2024:06:01 10:00:00")
    report = gallery.add(card)
    assert report.refused == 0 and "is kept" in report.rows[0].reason
    assert sorted(i.caption for i in gallery.items()) == ["", "the first"]


def test_a_known_picture_takes_a_caption_only_where_no_person_has_given_one(gallery, folder):
    gallery.add(folder)
    say(gallery, a="typed", b="by a model")
    table = b"file,caption\na.png,one\nb.png,two\nc.png,three\n"
    data = {"a.png": png(0), "b.png": png(1), "c.png": png(2), "captions.csv": table}
    report = gallery.add(("again.zip", zipped(data)))
    assert [r.status for r in report.rows] == ["duplicate", "updated", "updated"]
    assert {n: s[:2] for n, s in said(gallery).items()} == {
        "a.png": ("typed", ""),
        "b.png": ("two", ""),
        "sub/c.png": ("three", ""),
    }


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_a_run_that_ended_half_way_is_finished_by_the_next(gallery, folder, monkeypatch, how):
    """Until then both pictures are there: what a renamed file holds may not have been seen yet."""
    gallery.add(folder)
    say(gallery, a="first", b="second")
    (folder / "a.png").rename(folder / "z.png")
    (folder / "a.png").write_bytes(png(90))
    (folder / "b.png").write_bytes(png(91))
    stop = threading.Event()
    if how == "killed":
        monkeypatch.setattr(Ingest, "finish_replaced", lambda self: stop.set())
        gallery.add(folder)
        monkeypatch.undo()
        assert len(gallery) == 5
    else:
        gallery.add(folder, progress=lambda p: stop.set(), cancel=stop, batch_size=1)
        assert len(gallery) == 4
    assert gallery.add(folder).refused == 0
    words = {n: w[0] for n, w in said(gallery).items()}
    assert words == {"a.png": "first", "b.png": "second", "sub/c.png": "", "z.png": "first"}
    assert not gallery.store.read("SELECT 1 FROM sources WHERE origin = 'replaced'")


def test_what_was_replaced_is_gone_for_good(gallery, folder):
    gallery.add(folder)
    gone = gallery.items()[0]
    (folder / "a.png").write_bytes(png(80))
    gallery.add(folder)
    gallery.close()
    left = b"".join(p.read_bytes() for p in gallery.folder.rglob("*") if p.is_file())
    assert gone.sha256.encode() not in left and not list(gallery.folder.rglob(f"{gone.sha256}*"))


@pytest.mark.parametrize("kind", ["zip", "bytes", "single", "folder"])
def test_uploads_of_one_name_are_as_many_pictures(gallery, tmp_path, kind):
    """Two zips, files or folders are called the same; another content is another picture."""
    for n in range(2):
        where = tmp_path / str(n) / "iCloud"
        where.mkdir(parents=True)
        files = {f"IMG_{i}.png": png(10 * n + i) for i in range(3)}
        for name, data in files.items():
            (where / name).write_bytes(data)
        where.with_suffix(".zip").write_bytes(zipped(files))
        one_by_one, packed = sorted(where.iterdir()), where.with_suffix(".zip")
        ways = {
            "zip": [packed],
            "bytes": [(packed.name, zipped(files))],
            "single": one_by_one,
            "folder": [where],
        }
        handed = ways[kind]
        assert gallery.add(handed).counts == {"added": 3}
        say(gallery, I="words")
        assert gallery.add(handed).counts == {"unchanged": 3}
    assert len(gallery) == 6


def test_a_zip_again_with_other_captions_or_one_picture_more(gallery):
    files = {"a.png": png(1), "captions.csv": b"file,caption\na.png,one\n"}
    gallery.add(("x.zip", zipped(files)))
    files["captions.csv"] = b"file,caption\na.png,two\n"
    assert statuses(gallery.add(("x (1).zip", zipped(files)))) == {"a.png": "updated"}
    say(gallery, a="typed")
    assert statuses(gallery.add(("x.zip", zipped({**files, "b.png": png(2)})))) == {
        "a.png": "duplicate",
        "b.png": "added",
    }
    assert said(gallery)["a.png"][0] == "typed"


# -- progress, batches, cancel, full disk


def test_progress_batches_and_what_it_reports_is_on_disk(gallery, tmp_path, model):
    seen = []

    def look(p):
        with Gallery.open(tmp_path / "g", model, read_only=True) as other:
            seen.append((p.done, p.total, p.added, len(other)))
        assert p.rate > 0 and " of 10 " in str(p)

    files = [(f"{i}.png", png(i)) for i in range(9)] + [("bad.png", b"")]
    report = gallery.add(files, progress=look, batch_size=4)
    assert report.added == 9 and max(model.calls) == 4 and seen[-1] == (10, 10, 9, 9)
    assert all(kept >= added for _, _, added, kept in seen) and report.seconds > 0


def test_cancel_keeps_what_is_done_and_the_next_run_goes_on(gallery, folder, model):
    for i in range(20):
        (folder / f"n{i:02}.png").write_bytes(png(100 + i))
    stop = threading.Event()
    report = gallery.add(folder, progress=lambda p: stop.set(), cancel=stop, batch_size=5)
    assert report.cancelled and report.added == 5 == len(gallery) and "cancelled" in str(report)
    assert not list((gallery.folder / "incoming").iterdir())
    model.calls.clear()
    report = gallery.add(folder, batch_size=5)
    assert report.counts == {"added": 18, "unchanged": 5} and sum(model.calls) == 18
    assert gallery.add(folder, cancel=stop).rows == []


def test_a_full_disk_keeps_what_was_reported(gallery, model, monkeypatch):
    gallery.add([(f"{i}.png", png(i)) for i in range(4)])
    more = [(f"{i}.png", png(i, (100, 100))) for i in range(10, 24)]
    pages = gallery.store.read("PRAGMA page_count")[0][0]
    gallery.store.read(f"PRAGMA max_page_count={pages + 12}")
    told: list[int] = []
    with pytest.raises(GalleryError, match="disk is full"):
        gallery.add(more, progress=lambda p: told.append(p.added), batch_size=4)
    gallery.store.read("PRAGMA max_page_count=4294967294")
    kept = 4 + (told[-1] if told else 0)
    found = search(gallery, model, Sample("red"), SearchOptions(k=100, collapse=False))
    assert len(gallery) == kept == len(found)

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "write_synced", full)
    with pytest.raises(GalleryError, match="disk is full. What was reported"):
        gallery.add(more)
    monkeypatch.undo()
    assert gallery.add(more).added == 18 - kept


# -- kill -9

KILLED = """
import os, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from toy import ToyEmbedder
from sugar.gallery import Gallery, disk, index, store

point, folder, pictures = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
count = {{"n": 0}}

def on(owner, name, at, before=False):
    original = getattr(owner, name)
    def wrapped(*args, **kwargs):
        count["n"] += 1
        if before and count["n"] == at:
            die()
        out = original(*args, **kwargs)
        if count["n"] == at:
            die()
        return out
    setattr(owner, name, wrapped)

model = ToyEmbedder()
gallery = Gallery.open(folder, model)
if point == "writing":       # a picture half written
    def torn(path, data):
        count["n"] += 1
        Path(path).write_bytes(data[: len(data) // 2])
        die() if count["n"] == 7 else Path(path).write_bytes(data)
    disk.write_synced = torn
elif point == "embedding":
    on(ToyEmbedder, "embed", 2)
elif point == "inserting":   # inside the second batch's transaction
    on(Gallery, "put_vectors", 6)
elif point == "committed":   # the rows are in, the pictures not yet in their place
    on(disk.KeptPictures, "move_in", 2, before=True)
elif point == "placed":
    on(disk.KeptPictures, "move_in", 2)
elif point == "saving":      # a torn derived file
    def torn(self, path):
        Path(path).write_bytes(b"torn"); os.replace(path, Path(path).parent / "slices.npy"); die()
    index.Slices.save = torn
elif point == "stamping":
    on(index, "_save_array", 2)
elif point == "deleting":    # rows gone, files not yet
    gallery.add(pictures, batch_size=4)
    on(disk.KeptPictures, "finish_removals", 1, before=True)
    print("added", len(gallery), flush=True)
    gallery.delete([1, 2, 3])
elif point == "scrubbing":
    gallery.add(pictures, batch_size=4)
    print("added", len(gallery), flush=True)
    on(store.Store, "scrub", 1, before=True)
    gallery.delete([1, 2, 3])
gallery.add(pictures, batch_size=4, workers=1, progress=lambda p: print("added", p.added, flush=True))
"""


POINTS = "writing embedding inserting committed placed saving stamping deleting scrubbing"


@pytest.mark.parametrize("point", POINTS.split())
def test_killed_at_any_moment_what_was_reported_is_there_and_nothing_half(tmp_path, model, point):
    pictures = tmp_path / "in"
    pictures.mkdir()
    for i in range(12):
        (pictures / f"{i:02}.png").write_bytes(png(i))
    Gallery.create(tmp_path / "g", model).close()
    script = KILLED.format(root=str(ROOT), tests=str(ROOT / "tests"))
    run = subprocess.run(
        [sys.executable, "-c", script, point, str(tmp_path / "g"), str(pictures)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    reported = max(
        [0, *(int(line.split()[1]) for line in run.stdout.splitlines() if line.startswith("added"))]
    )
    deleted = point in ("deleting", "scrubbing")
    with Gallery.open(tmp_path / "g", model) as g:
        items = g.items()
        assert len(items) >= reported - 3 * deleted and (not deleted or not {1, 2, 3} & {i.id for i in items})
        if point == "committed":
            assert len(items) == 8 and reported == 4, "committed but not reported: there, and whole"
        for item in items:
            assert item.has_vectors and g.picture(item.id).size == (24, 16) and g.thumbnail(item.id)
        assert len(search(g, model, Sample("red"), SearchOptions(k=50, collapse=False))) == len(items)
        files = {p.stem for p in (tmp_path / "g" / "pictures").rglob("*.png")}
        assert files == {i.sha256 for i in items} and not list((tmp_path / "g" / "incoming").glob("*"))
        report = g.add(pictures)
        assert len(g) == 12 and report.refused == 0 and report.unchanged == len(items)
