"""A gallery as a zip: export and import carry everything, and refuse every hostile zip with its reason."""

from __future__ import annotations

import io
import json
import struct
import threading
import tracemalloc
import zipfile
from hashlib import sha256

import numpy as np
import pytest
from pictures import lying_zip, photo, png
from toy import ToyEmbedder

from sugar.errors import Cancelled, GalleryError
from sugar.gallery import ArchiveError, Gallery, GallerySettings, export_zip, import_zip, sweep
from sugar.images import open_image
from sugar.retrieval import SearchOptions, search
from sugar.sequence import Sample


@pytest.fixture
def model() -> ToyEmbedder:
    return ToyEmbedder()


@pytest.fixture
def gallery(tmp_path, model):
    with Gallery.create(tmp_path / "g", model) as gallery:
        gallery.add([(f"{i}.png", png(i)) for i in range(5)])
        yield gallery


def names(gallery, model):
    return [h.name for h in search(gallery, model, Sample("red"), SearchOptions(k=9))]


def test_export_and_import_carry_everything(gallery, tmp_path, model):
    gallery.set_caption(1, 'first, "quoted" – ✓')
    gallery.set_caption(2, "a star", by="toy")
    gallery.set_favourite([3])
    gallery.keep_notes([("a.md", "Rex is old.", "")])
    other = ToyEmbedder("toy-2")
    with Gallery.open(tmp_path / "g", other) as second:
        second.embed_pending()
    told = []
    assert (
        export_zip(gallery, tmp_path / "out.zip", include_vectors=True, progress=told.append) == 5
        and told[-1].done == 5
    )
    for one in (model, other):
        one.calls.clear()
        target = tmp_path / one.fingerprint
        with import_zip(tmp_path / "out.zip", target, one) as again:
            assert one.calls == [] and again.indexed() == {"toy-1": 5, "toy-2": 5}, "the vectors came along"
            assert [vars(i) | {"id": 0} for i in again.items()] == [
                vars(i) | {"id": 0} for i in gallery.items()
            ], "every field"
            assert [again.original(i.id) for i in again.items()] == [
                gallery.original(i.id) for i in gallery.items()
            ]
            assert [(n.name, n.text, n.answer) for n in again.notes()] == [("a.md", "Rex is old.", "")]
            assert again.item(2).caption_by == "toy" and again.item(3).favourite
            assert again.thumbnail(1) == gallery.thumbnail(1)
            assert again.picture(4).tobytes() == gallery.picture(4).tobytes()
            assert again.add(("1.png", png(1))).duplicate == 1
    with Gallery.open(tmp_path / "toy-1", model) as again:
        assert names(again, model) == names(gallery, model)
    third = ToyEmbedder("toy-3")
    with import_zip(tmp_path / "out.zip", tmp_path / "i", third) as anew:
        assert sum(third.calls) == 5 and not anew.pending() and len(names(anew, third)) == 5
    with pytest.raises(GalleryError, match="already"):
        import_zip(tmp_path / "out.zip", tmp_path / "i", model)


def test_a_round_trip_above_the_cap_of_a_picture(tmp_path, model):
    """The export is larger than one picture may be: the import has a limit of its own."""
    settings = GallerySettings(max_file_bytes=600_000)
    with Gallery.create(tmp_path / "g", model, settings) as big:
        big.add([(f"{i}.png", png(i, (400, 400))) for i in range(40)])
        assert export_zip(big, tmp_path / "out.zip") == 40
        assert (tmp_path / "out.zip").stat().st_size > 5 * settings.max_file_bytes
        with import_zip(tmp_path / "out.zip", tmp_path / "h", model, settings) as again:
            assert len(again) == 40 and names(again, model) == names(big, model)
    small = GallerySettings(max_import_bytes=1_000_000)
    with pytest.raises(ArchiveError, match="an import takes 1 MB"):
        import_zip(tmp_path / "out.zip", tmp_path / "i", model, small)


def rewritten(source, target, change) -> None:
    """A copy of a zip where change(name, data) gives the new data, None to leave a file out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if (data := change(name, old.read(name))) is not None:
                new.writestr(name, data)


def rows(change):
    """Change the parsed rows of items.jsonl."""

    def apply(name, data):
        if name != "items.jsonl":
            return data
        lines = [json.loads(line) for line in data.splitlines()]
        return b"\n".join(json.dumps(r).encode() for r in change(lines))

    return apply


def first(**values):
    return rows(lambda r: [r[0] | values, *r[1:]])


def swap(wanted, new):
    return lambda name, data: new(data) if name == wanted else data


HOSTILE = {
    "no manifest": (swap("gallery.json", lambda d: None), "gallery.json is missing"),
    "another format": (swap("gallery.json", lambda d: b'{"format": 7}'), "format 7"),
    "manifest is a list": (swap("gallery.json", lambda d: b"[]"), "not what an export holds"),
    "no picture": (lambda n, d: None if n.startswith("pictures/") else d, "is missing"),
    "not a picture": (lambda n, d: b"#!/bin/sh" if n.startswith("pictures/") else d, "cannot be opened"),
    "a path": (first(file="../../x.png"), "not a picture of an export"),
    "a row twice": (rows(lambda r: [r[0], *r[:4]]), "twice"),
    "a row too many": (rows(lambda r: [*r, r[0]]), "more than the 5 pictures"),
    "a row too few": (rows(lambda r: r[:4]), "4 of the 5"),
    "a huge integer": (first(bytes=10**400), "number is not from"),
    "an integer past the parser": (
        swap("items.jsonl", lambda d: d.replace(b'"width": 24', b'"width": ' + b"9" * 5000, 1)),
        "cannot be read",
    ),
    "a negative size": (first(width=-1), "number is not from"),
    "a picture's format that is a path": (first(format="../x"), "format is none"),
    "an identity that is a path": (first(sha256="../../x"), "not a picture of an export"),
    "a float for a size": (first(width=1e300), "number is not from"),
    "deep JSON": (
        swap("items.jsonl", lambda d: b"[" * 30_000 + b"]" * 30_000 + b"\n" + d),
        "nested too deeply",
    ),
    "deep manifest": (swap("gallery.json", lambda d: b'{"a":' * 9_000 + b"1" + b"}" * 9_000), "deeply"),
    "a long row": (first(name="x" * 70_000), "longer than 65,536 bytes"),
    "a name that is no text": (first(name={"a": 1}), "not a text"),
    "a bad time": (first(taken="yesterday"), "not whole"),
    "not a row": (swap("items.jsonl", lambda d: b"7\n" + d), "not what an export holds"),
    "not JSON": (swap("items.jsonl", lambda d: b"\xff\xfe\n" + d), "cannot be read"),
    "too many vectors": (first(slices={"toy-1": 10**6}), "number is not from"),
    "an unknown model": (first(slices={"evil": 1}), "does not list"),
    "vectors cut short": (swap("vectors/toy-1.f32", lambda d: d[:-4]), "not whole"),
    "vectors that are not numbers": (
        swap("vectors/toy-1.f32", lambda d: np.full(40, np.nan, "<f4").tobytes()),
        "not whole",
    ),
    "vectors of any length": (swap("vectors/toy-1.f32", lambda d: bytes(160)), "not whole"),
    "a model's name that is a path": (
        swap("gallery.json", lambda d: d.replace(b"toy-1", b"../x")),
        "cannot be one",
    ),
    "another dimension": (swap("gallery.json", lambda d: d.replace(b": 8", b": 16")), "model's size"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_export_is_refused_whole(gallery, tmp_path, model, case):
    change, reason = HOSTILE[case]
    export_zip(gallery, tmp_path / "out.zip", include_vectors=True)
    rewritten(tmp_path / "out.zip", tmp_path / "bad.zip", change)
    with pytest.raises(ArchiveError, match=reason):
        import_zip(tmp_path / "bad.zip", tmp_path / "h", model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.zip", "g", "out.zip"]


def test_damaged_encrypted_and_foreign_zips_are_refused(gallery, tmp_path, model):
    export_zip(gallery, tmp_path / "out.zip")
    whole = (tmp_path / "out.zip").read_bytes()
    bad = tmp_path / "bad.zip"

    def refused(data: bytes, reason: str) -> None:
        bad.write_bytes(data)
        with pytest.raises(ArchiveError, match=reason):
            import_zip(bad, tmp_path / "h", model)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.zip", "g", "out.zip"]

    refused(whole[:-300], "damaged|not a zip")
    refused(b"hello", "not a zip")
    refused(b"", "not a zip")
    spoiled = bytearray(whole)
    at = whole.index(b"pictures/") + 90
    spoiled[at] ^= 255
    refused(bytes(spoiled), "damaged")
    locked = bytearray(whole)
    at = -1
    while (at := locked.find(b"PK\1\2", at + 1)) >= 0:
        locked[at + 8] |= 1
    refused(bytes(locked), "encrypted")
    for name, packing, reason in (
        ("gallery.json", zipfile.ZIP_LZMA, "packed in a way"),
        ("holiday.jpg", zipfile.ZIP_STORED, "not a whole export"),
    ):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", packing) as archive:
            archive.writestr(name, "{}")
        refused(out.getvalue(), reason)


def test_zip_bombs_are_refused_before_they_take_memory(gallery, tmp_path, model):
    export_zip(gallery, tmp_path / "out.zip")
    bomb = tmp_path / "bomb.zip"
    rewritten(tmp_path / "out.zip", bomb, swap("items.jsonl", lambda data: b" " * 100_000_000))
    lie = tmp_path / "lie.zip"  # the directory says 100 bytes, the entry unpacks to 100 MB
    lie.write_bytes(lying_zip(b"gallery.json", b" " * 100_000_000))
    many = tmp_path / "many.zip"  # a directory of a million empty files, in a few bytes of promise
    many.write_bytes(b"PK\1\2" * 3_000_000 + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 9, 9, 12_000_000, 0, 0))
    tracemalloc.start()
    with pytest.raises(ArchiveError, match="zip bomb"):
        import_zip(bomb, tmp_path / "h", model)
    with pytest.raises(ArchiveError):
        import_zip(lie, tmp_path / "h", model)
    with pytest.raises(ArchiveError, match="lists more than"):
        import_zip(many, tmp_path / "h", model, GallerySettings(max_items=1_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60_000_000


def test_a_cancelled_import_or_export_leaves_nothing(gallery, tmp_path, model):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        export_zip(gallery, tmp_path / "out.zip", cancel=stop)
    export_zip(gallery, tmp_path / "out.zip")
    with pytest.raises(Cancelled):
        import_zip(tmp_path / "out.zip", tmp_path / "h", model, cancel=stop)

    def fail(progress: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        import_zip(tmp_path / "out.zip", tmp_path / "h", model, progress=fail)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g", "out.zip"]


def test_what_a_killed_import_or_deletion_left_is_swept_but_not_a_running_one(gallery, tmp_path, model):
    export_zip(gallery, tmp_path / "out.zip")

    def sweep_now(progress: object) -> None:
        [running] = tmp_path.glob(".*.importing")
        (tmp_path / ".x.1234.deleting" / "pictures").mkdir(parents=True)
        (tmp_path / ".y.1234.importing" / "pictures").mkdir(parents=True)
        assert sweep(tmp_path) == 2 and running.is_dir()

    import_zip(tmp_path / "out.zip", tmp_path / "h", model, progress=sweep_now).close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g", "h", "out.zip"]


def test_an_export_holds_originals_by_their_names_and_places_only_where_asked(tmp_path, model):
    here, there = photo("red", degrees=(48, 16)), photo("blue", degrees=(10, 20))
    with Gallery.create(tmp_path / "g", model, GallerySettings(keep_location=True)) as gallery:
        gallery.add([("trip/a.jpg", here), ("b.JPG", there)])
        gallery.add([("home/a.jpg", photo("green"))])
        first = next(i for i in gallery.items() if i.sha256 == sha256(here).hexdigest())
        gallery.set_caption(first.id, "Rex & <me>")
        export_zip(gallery, tmp_path / "bare.zip", sidecars=True)
        export_zip(gallery, tmp_path / "all.zip", include_location=True)
    with zipfile.ZipFile(tmp_path / "bare.zip") as bare, zipfile.ZipFile(tmp_path / "all.zip") as all_of_it:
        names = [n for n in all_of_it.namelist() if n.startswith("pictures/")]
        assert sorted(names) == ["pictures/a 2.jpg", "pictures/a.jpg", "pictures/b.JPG"]
        assert not [n for n in all_of_it.namelist() if n.startswith("vectors")]
        assert all_of_it.read("pictures/a.jpg") == here and all_of_it.read("pictures/b.JPG") == there
        for name in names:
            assert open_image(bare.read(name), keep_location=True).location is None
        assert b"Rex &amp; &lt;me&gt;" in bare.read("pictures/a.jpg.xmp")
        assert b"GPSLatitude" not in bare.read("pictures/a.jpg.xmp")
    keeping = GallerySettings(keep_location=True)
    with import_zip(tmp_path / "all.zip", tmp_path / "again", model, keeping) as again:
        assert {again.original(i.id) for i in again.items()} >= {here, there}
        assert {i.location for i in again.items()} == {(48.0, 16.0), (10.0, 20.0), None}


def test_an_export_of_format_2_is_read(tmp_path, model):
    """As programs before wrote it: working copies by their SHA-256, no originals."""
    row = {"file": f"pictures/{'ab' * 32}.png", "name": "a.png", "caption": "old", "favourite": True}
    row |= {"width": 24, "height": 16, "format": "PNG", "bytes": 9, "taken": None, "location": None}
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        archive.writestr("gallery.json", json.dumps({"format": 2, "items": 1, "models": []}))
        archive.writestr("items.jsonl", json.dumps(row))
        archive.writestr(row["file"], png(1))
    with import_zip(tmp_path / "old.zip", tmp_path / "h", model) as again:
        [item] = again.items()
        assert (item.caption, item.favourite, item.sha256) == ("old", True, "ab" * 32)
        assert again.original(item.id) is None
