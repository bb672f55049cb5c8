"""A gallery as a store: what is kept, checked, rebuilt, refused, re-indexed, deleted for good, exported.

The sample.
"""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, png
from PIL import Image
from toy import ToyEmbedder

from sugar.errors import BusyError, FingerprintError, GalleryError, ImageError, SettingsError
from sugar.gallery import (
    Gallery,
    GallerySettings,
    build_sample,
    export_zip,
    list_named,
    open_named,
)
from sugar.gallery import index as index_room
from sugar.gallery.disk import FileLock
from sugar.gallery.index import IndexState, load_index, save_index
from sugar.retrieval import SearchOptions, approximate_recall, search
from sugar.sequence import Embeddings, Sample

COLOURS = {
    "red": (250, 20, 30),
    "green": (20, 240, 30),
    "blue": (20, 30, 240),
    "dark": (20, 10, 15),
    "white": (250, 250, 250),
}


def plain(colour, size=(32, 24)) -> bytes:
    return encoded(Image.new("RGB", size, COLOURS.get(colour, colour)))


@pytest.fixture
def model() -> ToyEmbedder:
    return ToyEmbedder()


@pytest.fixture
def gallery(tmp_path, model):
    gallery = Gallery.create(tmp_path / "g", model)
    gallery.add([(f"{c}.png", plain(c)) for c in COLOURS])
    yield gallery
    gallery.close()


def test_items_thumbnails_and_pictures_are_kept(gallery, tmp_path, model):
    assert len(gallery) == 5 and [i.name for i in gallery.items()] == sorted(f"{c}.png" for c in COLOURS)
    item = gallery.items(limit=1, offset=1)[0]
    assert (item.name, item.width, item.height, item.format, item.caption, item.has_vectors) == (
        "dark.png",
        32,
        24,
        "PNG",
        "",
        True,
    )
    assert gallery.picture(item.id).getpixel((3, 3)) == COLOURS["dark"]
    assert Image.open(io.BytesIO(gallery.thumbnail(item.id))).size == (32, 24)
    assert (
        gallery.item(item.id) == item
        and gallery.items(ids=[item.id, 999]) == [item]
        and gallery.picture_path(item.id).is_file()
    )
    gallery.close()
    again = Gallery.open(tmp_path / "g", model)
    assert again.items() and search(again, model, Sample("blue"))[0].name == "blue.png"
    again.close()


def test_missing_items_say_so(gallery):
    for ask in (gallery.item, gallery.thumbnail, gallery.picture, lambda i: gallery.set_caption(i, "x")):
        with pytest.raises(GalleryError, match="no picture 999"):
            ask(999)
    assert gallery.delete([999]) == 0


def test_creating_twice_opening_nothing_and_damage(gallery, tmp_path, model):
    with pytest.raises(GalleryError, match="already"):
        Gallery.create(tmp_path / "g", model)
    with pytest.raises(GalleryError, match="no gallery in 'none'"):
        Gallery.open(tmp_path / "none", model)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "gallery.db").write_bytes(b"not a database at all" * 500)
    with pytest.raises(GalleryError, match="damaged"):
        Gallery.open(tmp_path / "bad", model)
    with gallery.store.write() as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    with pytest.raises(GalleryError, match="format version 99"):
        Gallery.open(tmp_path / "g", model)
    with pytest.raises(SettingsError, match="Unknown gallery settings"):
        GallerySettings.from_json('{"colour": 1}')
    with pytest.raises(SettingsError, match="max_items is 0"):
        GallerySettings(max_items=0)


# -- derived files


def names(gallery, model, word="red"):
    return [h.name for h in search(gallery, model, Sample(word), SearchOptions(k=5))]


@pytest.mark.parametrize("damage", ["missing", "torn", "flipped", "stamp", "folder", "foreign"])
def test_derived_files_are_rebuilt_when_missing_or_damaged(gallery, tmp_path, model, damage):
    before = names(gallery, model)
    gallery.close()
    folder = gallery.live_index.folder
    for path in list(folder.iterdir()):
        data = path.read_bytes()
        if damage == "missing" and path.name == "pooled.faiss":
            path.unlink()
        elif damage == "torn" and path.suffix != ".json":
            path.write_bytes(data[: len(data) // 2])
        elif damage == "flipped" and path.name == "slices.npy":
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        elif damage == "stamp" and path.suffix == ".json":
            path.write_text("{")
        elif damage == "folder":
            path.unlink()
        elif damage == "foreign" and path.suffix == ".json":
            path.write_text(json.dumps(json.loads(data) | {"fingerprint": "other"}))
    again = Gallery.open(tmp_path / "g", model)
    assert names(again, model) == before
    again.close()
    state = Gallery.open(tmp_path / "g", model, read_only=True).live_index.state()
    assert load_index(folder, state) is not None, "and saved whole again"


def test_a_lagging_index_is_caught_up_not_rebuilt(gallery, tmp_path, model, monkeypatch):
    gallery.close()
    saved = {p.name: p.read_bytes() for p in gallery.live_index.folder.iterdir()}
    with Gallery.open(tmp_path / "g", model) as g:
        g.add(("more.png", plain((250, 20, 200))))
    for name, data in saved.items():
        (gallery.live_index.folder / name).write_bytes(data)
    monkeypatch.setattr(index_room.Index, "build", lambda *a: pytest.fail("rebuilt"))
    with Gallery.open(tmp_path / "g", model) as g:
        assert len(names(g, model)) == 5 and g.index_info == {"kind": "flat", "items": 6, "recall": 1.0}


def test_changes_by_another_process_are_seen(gallery, tmp_path, model):
    other = Gallery.open(tmp_path / "g", model)
    other.add(("pink.png", plain((250, 150, 160))))
    assert "pink.png" in [i.name for i in gallery.items()] and gallery.index_info["items"] == 6
    other.delete([i.id for i in other.items() if i.name == "red.png"])
    assert "red.png" not in names(gallery, model)
    other.close()


def test_the_index_becomes_approximate_by_itself_and_back(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, 16))
    rows = (centres[rng.integers(40, size=3000)] + 0.3 * rng.standard_normal((3000, 16))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    monkeypatch.setattr(index_room, "FLAT_LIMIT", 2000)
    index = index_room.Index.build(((i + 1, 10 * i, rows[i : i + 1]) for i in range(3000)), 16)
    assert index.kind == "lists" and index.recall >= index_room.RECALL
    scores, ids = index.search(rows[:50], 5)
    assert (ids[:, 0] == 10 * np.arange(50)).all() and (np.diff(scores) <= 1e-6).all()
    assert set(index.search(rows[:1], 3, only=np.array([50, 60]))[1][0]) == {50, 60, -1}
    state = IndexState("f", 16, 0, 3000, 3000)
    save_index(index, tmp_path / "i", state)
    again = load_index(tmp_path / "i", state)
    assert (
        again is not None
        and again.kind == "lists"
        and (again.search(rows[:9], 5)[1] == index.search(rows[:9], 5)[1]).all()
    )
    again.remove([0, 10])
    assert again.search(rows[:1], 1)[1][0, 0] not in (0, 10) and np.allclose(again.pooled([20]), rows[2:3])
    assert np.allclose(again.slices([20, 40])[1], rows[4:5])
    again.append([7], [3001], [np.repeat(rows[:1], 2, axis=0)])
    assert again.search(rows[:1], 1)[1][0, 0] == 7 and again.slices([7])[0].shape == (2, 16)
    again.remove(range(0, 20010, 10))
    again.choose()
    assert again.kind == "flat" and len(again) == 1000 and again.search(rows[2500:2501], 1)[1][0, 0] == 25000


def test_recall_is_reported(gallery):
    assert approximate_recall(gallery) == 1.0


# -- another model


def test_vectors_of_two_models_live_side_by_side(gallery, tmp_path, model):
    gallery.set_caption(gallery.items()[0].id, "a dog")
    before = [(i.id, i.name, i.caption, i.sha256) for i in gallery.items()]
    gallery.close()
    other = ToyEmbedder("toy-2")
    with Gallery.open(tmp_path / "g", other) as new:
        assert len(new.pending()) == 5 and not any(i.has_vectors for i in new.items()), "listed all the same"
        assert names(new, other) == [] and new.indexed() == {"toy-1": 5}
    seen = []
    with Gallery.reindex(tmp_path / "g", other, progress=seen.append, batch_size=2) as again:
        assert [(i.id, i.name, i.caption, i.sha256) for i in again.items()] == before and not again.pending()
        assert names(again, other)[0] == "red.png" and [p.done for p in seen] == [2, 4, 5]
        assert again.indexed() == {"toy-1": 5, "toy-2": 5}
    model.calls.clear()
    with Gallery.open(tmp_path / "g", model) as back:
        assert not back.pending() and names(back, model)[0] == "red.png" and model.calls == [1], "no re-index"


class Opposite(ToyEmbedder):
    """A model whose vectors point away from the toy's: mixing the two turns every score round."""

    def embed(self, samples, *, batch_size=None):
        made = super().embed(samples, batch_size=batch_size)
        return Embeddings(-made.pooled, [-s for s in made.slices], made.is_image)


def test_a_reindex_by_another_program_does_not_touch_an_open_gallery(gallery, tmp_path, model):
    """The app is open while the command line re-indexes for another model: scores stay as they were."""
    before = [(h.name, h.score) for h in search(gallery, model, Sample("red"), SearchOptions(k=5))]
    other = Opposite("toy-2")
    told = []

    def look(progress):
        found = [(h.name, h.score) for h in search(gallery, model, Sample("red"), SearchOptions(k=5))]
        told.append(found == before)

    Gallery.reindex(tmp_path / "g", other, progress=look, batch_size=1).close()
    assert told == [True] * 5
    assert [(h.name, h.score) for h in search(gallery, model, Sample("red"), SearchOptions(k=5))] == before
    gallery.add(("pink.png", plain((250, 150, 160))))
    assert "pink.png" in [h.name for h in search(gallery, model, Sample("red"), SearchOptions(k=6))]
    with Gallery.open(tmp_path / "g", other) as second:
        assert [i.name for i in second.pending()] == ["pink.png"] and len(names(second, other)) == 5


def test_a_refused_reindex_changes_nothing(gallery, tmp_path, model):
    before = names(gallery, model)
    lock = gallery.run_lock()
    assert lock.acquire()
    with pytest.raises(BusyError, match="Another run"):
        Gallery.reindex(tmp_path / "g", ToyEmbedder("toy-2"))
    lock.release()
    assert gallery.indexed() == {"toy-1": 5} and names(gallery, model) == before
    with Gallery.open(tmp_path / "g", model) as again:
        assert not again.pending() and names(again, model) == before


def test_a_model_that_changes_under_an_open_gallery_is_refused(gallery, model):
    model.fingerprint = "toy-with-an-adapter"
    for ask in (
        lambda: search(gallery, model, Sample("red")),
        lambda: gallery.add(("x.png", png(1))),
        lambda: gallery.set_caption(1, "a dog"),
    ):
        with pytest.raises(FingerprintError, match="model has changed"):
            ask()
    assert len(gallery) == 5 and gallery.item(1).caption == ""
    model.fingerprint = "toy-1"
    assert len(names(gallery, model)) == 5


def test_vectors_of_another_size_are_refused(gallery, tmp_path, model, monkeypatch):
    gallery.close()
    monkeypatch.setattr(model, "dimension", 16)
    with pytest.raises(FingerprintError, match="8 numbers"):
        Gallery.open(tmp_path / "g", model)


def test_a_stopped_reindex_goes_on_and_lists_what_is_left(gallery, tmp_path):
    gallery.close()
    other, stop = ToyEmbedder("toy-2"), threading.Event()
    Gallery.reindex(tmp_path / "g", other, progress=lambda p: stop.set(), cancel=stop, batch_size=2).close()
    with Gallery.open(tmp_path / "g", other) as half:
        assert len(half.pending()) == 3 and len(half) == 5 and len(names(half, other)) == 2
        assert [i.has_vectors for i in half.items()].count(False) == 3
    other.calls.clear()
    with Gallery.reindex(tmp_path / "g", other, batch_size=2) as whole:
        assert not whole.pending() and sum(other.calls) == 3 and len(names(whole, other)) == 5


def test_a_changed_caption_is_pending_for_other_models(gallery, tmp_path, model):
    other = ToyEmbedder("toy-2")
    Gallery.reindex(tmp_path / "g", other).close()
    gallery.set_caption(1, "a dog")
    with Gallery.open(tmp_path / "g", other) as second:
        assert [i.id for i in second.pending()] == [1]
    assert not gallery.pending() and gallery.slices([1])[0].shape == (2, 8)


def test_one_run_at_a_time_while_changes_go_through(gallery, model):
    model.calls.clear()

    def after_the_first_batch(progress):
        assert model.calls == [4] and len(gallery) == 9
        with pytest.raises(BusyError):
            gallery.add(("x.png", png(99)))
        gallery.delete([1])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gallery.add([(f"{i}.png", png(i)) for i in range(10)], batch_size=4, progress=after_the_first_batch)
    assert len(gallery) == 8 and not list((gallery.folder / "incoming").iterdir())
    assert gallery.add(("x.png", png(99))).added == 1


FORMAT_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    caption TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, format TEXT NOT NULL,
    bytes INTEGER NOT NULL, taken TEXT, camera TEXT NOT NULL, latitude REAL, longitude REAL,
    added TEXT NOT NULL, suffix TEXT NOT NULL, signature BLOB NOT NULL);
CREATE INDEX items_taken ON items (taken, name, id);
CREATE TABLE thumbnails (item INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE, jpeg BLOB NOT NULL);
CREATE TABLE vectors (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL UNIQUE REFERENCES items ON DELETE CASCADE,
    fingerprint TEXT NOT NULL, slices BLOB NOT NULL, is_image BLOB NOT NULL);
CREATE INDEX vectors_model ON vectors (fingerprint, item);
CREATE TABLE sources (
    origin TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
    caption TEXT NOT NULL, item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    PRIMARY KEY (origin, name)) WITHOUT ROWID;
CREATE INDEX sources_item ON sources (item);
CREATE TABLE doomed (file TEXT PRIMARY KEY) WITHOUT ROWID;
"""


def test_a_gallery_of_the_first_format_is_brought_up_to_date(gallery, tmp_path, model):
    found = names(gallery, model)
    gallery.close()
    new = sqlite3.connect(tmp_path / "g" / "gallery.db")
    old = sqlite3.connect(tmp_path / "old.db")
    old.executescript(FORMAT_1)
    columns = (
        "id, sha256, name, caption, width, height, format, bytes, taken, camera, latitude, longitude, added, "
        "suffix, signature"
    )
    for table, wanted in (
        ("items", columns),
        ("thumbnails", "item, jpeg"),
        ("vectors", "seq, item, fingerprint, slices, is_image"),
    ):
        rows = new.execute(f"SELECT {wanted} FROM {table}").fetchall()
        old.executemany(f"INSERT INTO {table} ({wanted}) VALUES ({', '.join('?' * len(rows[0]))})", rows)
    meta = dict(new.execute("SELECT key, value FROM meta")) | {
        "format": "1",
        "fingerprint": "toy-1",
        "dimension": "8",
    }
    old.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    old.execute("INSERT INTO doomed VALUES ('gone.jpg')")
    old.commit()
    old.close()
    new.close()
    os.replace(tmp_path / "old.db", tmp_path / "g" / "gallery.db")
    for left in (tmp_path / "g").glob("gallery.db-*"):
        left.unlink()
    model.calls.clear()
    with Gallery.open(tmp_path / "g", model) as again:
        assert names(again, model) == found and model.calls == [1] and again.indexed() == {"toy-1": 5}
        assert again.add(("x.png", png(1))).added == 1 and again.store.meta("format") == "2"
        assert again.store.read("SELECT * FROM deleted_files") == []


def test_a_picture_the_model_cannot_embed_is_kept_and_listed(tmp_path, model):
    with Gallery.create(tmp_path / "g", model) as g:
        report = g.add(
            [("a.png", plain("red")), ("crash.png", plain((255, 0, 255), (1, 1))), ("b.png", plain("blue"))]
        )
        assert [r.status for r in report.rows] == [
            "added",
            "no vectors",
            "added",
        ] and "magenta" in report.rows[1].reason
        assert [i.name for i in g.pending()] == ["crash.png"] and len(g) == 3 and len(names(g, model)) == 2


def test_a_model_that_always_fails_is_not_blamed_on_the_pictures(tmp_path, model, monkeypatch):
    with Gallery.create(tmp_path / "g", model) as g:
        monkeypatch.setattr(model, "embed", lambda samples, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            g.add([("a.png", plain("red")), ("b.png", plain("blue"))])
        assert len(g) == 0 and not list((tmp_path / "g" / "incoming").iterdir())


# -- deletion is true


def traces(folder: Path, needles: dict[str, bytes]) -> list[tuple[str, str]]:
    """(file, needle) wherever one of the byte strings is found in any file of the folder."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [
                (path.name, label)
                for label, needle in needles.items()
                if needle in data or needle in str(path).encode()
            ]
    return found


def test_deletion_leaves_no_byte_behind(tmp_path, model):
    gallery = Gallery.create(tmp_path / "g", model)
    report = gallery.add(
        [(f"secret-{i}.png", png(i)) for i in range(40)],
        captions={f"secret-{i}.png": f"whisper-{i} red" for i in range(40)},
    )
    ids = {r.name: r.item for r in report.rows}
    victim = ids["secret-7.png"]
    item = gallery.item(victim)
    gallery.set_caption(victim, "earlier words quetzalcoatl red")
    gallery.rename(victim, "earlier-name-7.png")
    gallery.rename(victim, "secret-7.png")
    gallery.set_caption(victim, "whisper-7 red")
    slices = gallery.slices([victim])[0]
    other = Opposite("toy-2")
    with Gallery.reindex(tmp_path / "g", other) as second:
        others = second.slices([victim])[0]
    export_zip(gallery, tmp_path / "out.zip")
    needles = {
        "name": b"secret-7.png",
        "other model's vectors": others[0].tobytes(),
        "caption": b"whisper-7 ",
        "sha": item.sha256.encode(),
        "thumbnail": gallery.thumbnail(victim)[-200:],
        "picture": gallery.picture_path(victim).read_bytes()[100:200],
        "pooled": slices[0].tobytes(),
        "slice": slices[1].tobytes(),
        "signature": gallery.signatures([victim])[0].tobytes(),
    }
    gone = {"caption before": b"quetzalcoatl", "name before": b"earlier-name", "its words": b"quetzalcoatl"}
    gallery.store.read("PRAGMA wal_checkpoint")
    gallery.save_index(always=True)
    assert (tmp_path / "g" / "index" / "toy-2" / "slices.npy").exists()
    assert {label for _, label in traces(tmp_path / "g", needles)} == set(needles), (
        "the search itself finds what is there"
    )
    assert gallery.delete([victim]) == 1
    assert traces(tmp_path / "g", needles | gone) == [] and len(gallery) == 39
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g", "out.zip"], "no temporary file beside it"
    assert traces(tmp_path / "g", {"other": b"secret-8.png"}) and "secret-7.png" not in names(gallery, model)
    kept = {label: value for label, value in needles.items()}
    kept |= {f"name {n}": n.encode() for n in ids} | {
        "any vector": gallery.slices([ids["secret-8.png"]])[0].tobytes()
    }
    assert gallery.clear() == 39 and len(gallery) == 0
    assert traces(tmp_path / "g", kept) == [] and not list((tmp_path / "g" / "pictures").rglob("*.png"))
    gallery.close()
    assert traces(tmp_path / "g", kept) == []


def test_changing_and_deleting_many_leaves_nothing_either(tmp_path, model):
    rng = np.random.default_rng(3)
    gallery = Gallery.create(tmp_path / "g", model)
    gallery.add([(f"secret-{i}.png", png(i, (16, 12))) for i in range(60)])
    marks = {i.id: gallery.slices([i.id])[0].tobytes() for i in gallery.items()}
    for _ in range(4):
        gone = rng.choice(list(marks), 7, replace=False).tolist()
        gallery.delete(gone)
        assert traces(tmp_path / "g", {str(i): marks.pop(i) for i in gone}) == []
    gallery.close()


def test_destroy_removes_the_folder(gallery, tmp_path):
    gallery.destroy()
    assert not (tmp_path / "g").exists()


def test_a_gallery_that_was_made_anew_is_not_written_to_by_an_old_object(gallery, tmp_path, model):
    with Gallery.open(tmp_path / "g", model) as other:
        other.destroy()
    assert not gallery.is_current()
    with pytest.raises(GalleryError, match="deleted meanwhile"):
        gallery.add(("x.png", png(1)))
    with Gallery.create(tmp_path / "g", model) as anew:
        anew.add(("y.png", png(2)))
        for change in (
            lambda: gallery.add(("x.png", png(1))),
            lambda: gallery.delete([1]),
            lambda: gallery.set_favourite([1]),
        ):
            with pytest.raises(GalleryError, match="deleted meanwhile"):
                change()
        gallery.close()
        assert [i.name for i in anew.items()] == ["y.png"] and not list(
            (tmp_path / "g" / "incoming").iterdir()
        )


# -- captions


def test_a_caption_changes_the_slices_not_the_pooled_vector(gallery, model):
    [red] = [i.id for i in gallery.items() if i.name == "red.png"]
    pooled = gallery.pooled([red]).copy()
    gallery.set_caption(red, "a dog\x00 at\r\nnight")
    assert gallery.item(red).caption == "a dog  at\nnight" and gallery.slices([red])[0].shape == (
        2,
        model.dimension,
    )
    assert np.allclose(gallery.pooled([red]), pooled)
    gallery.set_caption(red, "")
    assert gallery.slices([red])[0].shape == (1, model.dimension)


# -- who owns what


def test_named_galleries_persist_and_bad_names_are_refused(tmp_path, model):
    for name in ("holiday", "été 日本"):
        with open_named(tmp_path, name, model) as g:
            g.add(("red.png", plain("red")))
    with open_named(tmp_path, "holiday", model) as g:
        assert len(g) == 1
    assert list_named(tmp_path) == ["holiday", "été 日本"] and list_named(tmp_path / "none") == []
    for name in ("", "..", "a/b", "a\\b", ".hidden", "x" * 300, "a\nb"):
        with pytest.raises(GalleryError, match="cannot name"):
            open_named(tmp_path, name, model)


def test_location_is_stored_and_leaves_only_when_asked(tmp_path, model):
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)})
    out = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(out, "JPEG", exif=exif)
    for name, settings, expected in (
        ("a", GallerySettings(), None),
        ("b", GallerySettings(keep_location=True), pytest.approx((48.8583, 2.2944), abs=1e-3)),
    ):
        with Gallery.create(tmp_path / name, model, settings) as g:
            g.add(("x.jpg", out.getvalue()))
            assert g.items()[0].location == expected
            for hidden in (g.picture_path(1).read_bytes(), g.thumbnail(1)):
                assert not Image.open(io.BytesIO(hidden)).getexif()
            export_zip(g, tmp_path / f"{name}.zip")
            export_zip(g, tmp_path / f"{name}-full.zip", include_location=True)
    assert (
        b"48.858" not in (tmp_path / "b.zip").read_bytes()
        and b"48.858" in (tmp_path / "b-full.zip").read_bytes()
    )


def test_read_only_refuses_changes(gallery, tmp_path, model):
    gallery.close()
    with Gallery.open(tmp_path / "g", model, read_only=True) as g:
        assert names(g, model)[0] == "red.png"
        for change in (
            lambda: g.add(("x.png", plain("red"))),
            lambda: g.delete([1]),
            lambda: g.set_caption(1, "x"),
            g.destroy,
        ):
            with pytest.raises(GalleryError, match="reading only"):
                change()


def test_two_writers_the_second_is_told(gallery, tmp_path, model):
    lock = gallery.run_lock()
    assert lock.acquire()
    with Gallery.open(tmp_path / "g", model) as other, pytest.raises(BusyError, match="Another run"):
        other.add(("x.png", png(1)))
    with pytest.raises(BusyError, match="Another run"):
        gallery.destroy()
    lock.release()
    assert gallery.add(("x.png", png(1))).added == 1


def test_a_lost_picture_is_named(gallery):
    gallery.picture_path(1).unlink()
    with pytest.raises(GalleryError, match="is missing"):
        gallery.picture(1)
    with pytest.raises((GalleryError, ImageError)):
        gallery.set_caption(1, "x")


# -- the gallery that ships


def digest(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_sample_is_reproducible_holds_no_path_and_opens_without_a_trace(tmp_path, model):
    for where in ("one", "two"):
        (tmp_path / where).mkdir()
        for i in range(6):
            (tmp_path / where / f"{i}.png").write_bytes(png(i))
        rows = [
            {"file": f"{i}.png", "caption": f"a dog {i}", "taken": f"2024-01-0{i + 1}T10:00:00"}
            for i in range(6)
        ]
        (tmp_path / where / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
        build_sample(tmp_path / where, tmp_path / f"built-{where}", model).close()
        time.sleep(0.01)
    first, second = digest(tmp_path / "built-one"), digest(tmp_path / "built-two")
    assert (
        first == second
        and set(first) >= {"gallery.db", f"index/{model.fingerprint}/stamp.json"}
        and not any("wal" in n or "lock" in n for n in first)
    )
    assert not any(str(tmp_path).encode() in data for data in first.values())
    assert max(map(len, first.values())) < 9_000_000
    clone = tmp_path / "clone" / "gallery_index" / "sample"
    clone.parent.mkdir(parents=True)
    subprocess.run(["cp", "-r", str(tmp_path / "built-one"), str(clone)], check=True)
    for read_only in (True, False):
        with Gallery.open(clone, model, read_only=read_only) as g:
            assert (
                len(search(g, model, Sample("red"), SearchOptions(k=6))) == 6 and g.items()[2].taken.day == 3
            )
            assert digest(clone) == first
        assert digest(clone) == first
    for path in [clone, *clone.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with Gallery.open(clone, model, read_only=True) as g:
        assert len(search(g, model, Sample("red"), SearchOptions(k=6))) == 6
    for path in [clone, *clone.rglob("*")]:
        path.chmod(0o755)
    with Gallery.open(clone, model) as g:
        assert g.add(("new.png", plain("blue"))).added == 1
    with pytest.raises(GalleryError, match="not taken in"):
        (tmp_path / "one" / "bad.png").write_bytes(b"x")
        build_sample(tmp_path / "one", tmp_path / "built-one", model)


def test_searching_from_many_threads_while_pictures_come_in(gallery, model):
    faults: list[BaseException] = []
    done = threading.Event()

    def ask():
        while not done.is_set():
            try:
                assert search(gallery, model, Sample("red"), SearchOptions(k=3))[0].item
                gallery.items(limit=3)
            except BaseException as error:  # noqa: BLE001 - reported below
                faults.append(error)
                return

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for t in threads:
        t.start()
    gallery.add([(f"{i}.png", png(i)) for i in range(40)], batch_size=4)
    gallery.delete([1, 2])
    done.set()
    for t in threads:
        t.join()
    assert not faults and len(gallery) == 43


def test_sqlite_is_in_wal_mode_and_overwrites_what_is_deleted(gallery, tmp_path):
    assert gallery.store.read("PRAGMA journal_mode") == [("wal",)] and gallery.store.read(
        "PRAGMA secure_delete"
    ) == [(1,)]
    assert sqlite3.connect(tmp_path / "g" / "gallery.db").execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_disk_without_locks_is_named(
    tmp_path: Path, model: ToyEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems refuse `flock`: the remedy is said."""
    import errno
    import fcntl

    Gallery.create(tmp_path / "g", model)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    lock = FileLock(tmp_path / "g" / "run.lock")
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(GalleryError, match="keep galleries on a local disk"):
            lock.acquire()
    assert lock.acquire()  # nothing is left behind
    lock.release()
