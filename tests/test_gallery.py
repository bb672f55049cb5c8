"""A gallery as a store: what is kept, checked, rebuilt, refused, re-indexed, deleted for good. The sample."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, photo, png
from PIL import Image
from toy import ToyEmbedder

from sugar.errors import BusyError, FingerprintError, GalleryError, SettingsError
from sugar.gallery import Gallery, GallerySettings, build_sample, export_zip, list_named, open_named
from sugar.gallery import index as index_room
from sugar.gallery.disk import FileLock
from sugar.gallery.index import IndexState, load_index, save_index
from sugar.retrieval import SearchOptions, search
from sugar.sequence import Embeddings, Sample

COLOURS = {
    "red": (250, 20, 30),
    "green": (20, 240, 30),
    "blue": (20, 30, 240),
    "dark": (20, 10, 15),
    "white": (250, 250, 250),
}
PINK = (250, 150, 160)


def plain(colour: Any, size: tuple[int, int] = (32, 24)) -> bytes:
    return encoded(Image.new("RGB", size, COLOURS.get(colour, colour)))


def names(gallery: Gallery, model: Any, word: str = "red") -> list[str]:
    return [h.name for h in search(gallery, model, Sample(word), SearchOptions(k=6))]


def embed(path: Path, model: Any, **how: Any) -> None:
    """As another program does it for another model."""
    with Gallery.open(path, model) as gallery:
        gallery.embed_pending(**how)


class Opposite(ToyEmbedder):
    """A model whose vectors point away from the toy's: mixing the two turns every score round."""

    def embed(self, samples, *, batch_size=None):
        made = super().embed(samples, batch_size=batch_size)
        return Embeddings(-made.pooled, [-s for s in made.slices], made.is_image)


@pytest.fixture
def model() -> ToyEmbedder:
    return ToyEmbedder()


@pytest.fixture
def gallery(tmp_path: Path, model: ToyEmbedder) -> Iterator[Gallery]:
    with Gallery.create(tmp_path / "g", model) as gallery:
        gallery.add([(f"{c}.png", plain(c)) for c in COLOURS])
        yield gallery


def test_items_thumbnails_and_pictures_are_kept(gallery, tmp_path, model):
    assert len(gallery) == 5 and [i.name for i in gallery.items()] == sorted(f"{c}.png" for c in COLOURS)
    item = gallery.items(limit=1, offset=1)[0]
    assert (item.name, item.width, item.height, item.format) == ("dark.png", 32, 24, "PNG")
    assert item.caption == "" and item.has_vectors
    assert gallery.picture(item.id).getpixel((3, 3)) == COLOURS["dark"]
    assert Image.open(io.BytesIO(gallery.thumbnail(item.id))).size == (32, 24)
    assert gallery.item(item.id) == item and gallery.items(ids=[item.id, 999]) == [item]
    gallery.picture_path(1).unlink()
    for ask in (gallery.picture, lambda i: gallery.set_caption(i, "x")):
        with pytest.raises(GalleryError, match="is missing"):
            ask(1)
    for ask in (gallery.item, gallery.thumbnail, gallery.picture, lambda i: gallery.set_caption(i, "x")):
        with pytest.raises(GalleryError, match="no picture 999"):
            ask(999)
    assert gallery.delete([999]) == 0
    gallery.close()
    with Gallery.open(tmp_path / "g", model) as again:
        assert again.items() and names(again, model, "blue")[0] == "blue.png"


def test_creating_twice_opening_nothing_and_settings_that_are_none(gallery, tmp_path, model):
    for act, says in (
        (lambda: Gallery.create(tmp_path / "g", model), "already"),
        (lambda: Gallery.open(tmp_path / "none", model), "no gallery in 'none'"),
        (lambda: GallerySettings.from_json('{"colour": 1}'), "Unknown gallery settings"),
        (lambda: GallerySettings(max_items=0), "max_items is 0"),
    ):
        with pytest.raises((GalleryError, SettingsError), match=says):
            act()


def test_named_galleries_persist_and_bad_names_are_refused(tmp_path, model):
    for name in ("holiday", "été 日本", "holiday"):
        with open_named(tmp_path, name, model) as g:
            g.add(("red.png", plain("red")))
            assert len(g) == 1
    assert list_named(tmp_path) == ["holiday", "été 日本"] and list_named(tmp_path / "none") == []
    for name in ("", "..", "a/b", "a\\b", ".hidden", "x" * 300, "a\nb"):
        with pytest.raises(GalleryError, match="cannot name"):
            open_named(tmp_path, name, model)


# -- derived files


@pytest.mark.parametrize("name", ["pooled.faiss", "slices.npy", "starts.npy", "ids.npy", "stamp.json"])
def test_derived_files_are_rebuilt_when_missing_or_damaged(gallery, tmp_path, model, name):
    before = names(gallery, model)
    gallery.close()
    folder = gallery.live_index.folder
    path, whole = folder / name, (folder / name).read_bytes()
    last = bytes([whole[-1] ^ 1])
    bodies = [b"", b"[]", b"{", b'{"format": 1}', b"\xff" * 500, whole[: len(whole) // 2], whole[:-1] + last]
    if name == "stamp.json":
        bodies[-1] = json.dumps(json.loads(whole) | {"fingerprint": "other"}).encode()
    for body in [*bodies, "missing", "a folder"]:
        path.unlink()
        if isinstance(body, bytes):
            path.write_bytes(body)
        elif body == "a folder":
            path.mkdir()
        with Gallery.open(tmp_path / "g", model) as again:
            assert names(again, model) == before
            state = again.live_index.state()
        if body != "a folder":
            assert load_index(folder, state) is not None, "and saved whole again"
    with Gallery.open(tmp_path / "g", model) as again:
        assert again.delete([1]) == 1


def test_a_lagging_index_is_caught_up_not_rebuilt(gallery, tmp_path, model, monkeypatch):
    gallery.close()
    folder = gallery.live_index.folder
    saved = {p.name: p.read_bytes() for p in folder.iterdir()}
    with Gallery.open(tmp_path / "g", model) as g:
        g.add(("more.png", plain((250, 20, 200))))
    for name, data in saved.items():
        (folder / name).write_bytes(data)
    monkeypatch.setattr(index_room.Index, "build", lambda *a: pytest.fail("rebuilt"))
    with Gallery.open(tmp_path / "g", model) as g:
        assert len(names(g, model)) == 6 and g.index_info == {"kind": "flat", "items": 6, "recall": 1.0}


def test_changes_by_another_process_are_seen(gallery, tmp_path, model):
    with Gallery.open(tmp_path / "g", model) as other:
        other.add(("pink.png", plain(PINK)))
        assert "pink.png" in [i.name for i in gallery.items()] and gallery.index_info["items"] == 6
        other.delete([i.id for i in other.items() if i.name == "red.png"])
        assert "red.png" not in names(gallery, model)


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
    assert again is not None and again.kind == "lists"
    assert (again.search(rows[:9], 5)[1] == index.search(rows[:9], 5)[1]).all()
    again.remove([0, 10])
    assert again.search(rows[:1], 1)[1][0, 0] not in (0, 10) and np.allclose(again.pooled([20]), rows[2:3])
    assert np.allclose(again.slices([20, 40])[1], rows[4:5])
    again.append([7], [3001], [np.repeat(rows[:1], 2, axis=0)])
    assert again.search(rows[:1], 1)[1][0, 0] == 7 and again.slices([7])[0].shape == (2, 16)
    again.remove(range(0, 20010, 10))
    again.choose()
    assert again.kind == "flat" and len(again) == 1000 and again.search(rows[2500:2501], 1)[1][0, 0] == 25000


# -- another model


def test_vectors_of_two_models_live_side_by_side(gallery, tmp_path, model):
    gallery.set_caption(gallery.items()[0].id, "a dog")
    before = [(i.id, i.name, i.caption, i.sha256) for i in gallery.items()]
    gallery.close()
    other, stop = ToyEmbedder("toy-2"), threading.Event()
    with Gallery.open(tmp_path / "g", other) as new:
        assert len(new.pending()) == 5 and not any(i.has_vectors for i in new.items()), "listed all the same"
        assert names(new, other) == [] and new.indexed() == {"toy-1": 5}
    embed(tmp_path / "g", other, progress=lambda p: stop.set(), cancel=stop, batch_size=2)
    with Gallery.open(tmp_path / "g", other) as half:
        assert len(half.pending()) == 3 and len(half) == 5 and len(names(half, other)) == 2
        assert [i.has_vectors for i in half.items()].count(False) == 3
    other.calls.clear()
    seen: list[Any] = []
    embed(tmp_path / "g", other, progress=seen.append, batch_size=2)
    assert [p.done for p in seen] == [2, 3] and sum(other.calls) == 3, "it goes on where it was"
    with Gallery.open(tmp_path / "g", other) as again:
        assert [(i.id, i.name, i.caption, i.sha256) for i in again.items()] == before and not again.pending()
        assert names(again, other)[0] == "red.png" and again.indexed() == {"toy-1": 5, "toy-2": 5}
    model.calls.clear()
    with Gallery.open(tmp_path / "g", model) as back:
        assert not back.pending() and names(back, model)[0] == "red.png" and model.calls == [1], "no re-index"
        back.set_caption(1, "a dog")
        assert not back.pending() and back.slices([1])[0].shape == (2, 8)
    with Gallery.open(tmp_path / "g", other) as second:
        assert [i.id for i in second.pending()] == [1], "a changed caption is pending for other models"


def test_a_reindex_by_another_program_does_not_touch_an_open_gallery(gallery, tmp_path, model):
    """The app is open while the command line re-indexes for another model: scores stay as they were."""

    def found() -> list[tuple[str, float]]:
        return [(h.name, h.score) for h in search(gallery, model, Sample("red"), SearchOptions(k=5))]

    before, other, told = found(), Opposite("toy-2"), []
    embed(tmp_path / "g", other, progress=lambda p: told.append(found() == before), batch_size=1)
    assert told == [True] * 5 and found() == before
    gallery.add(("pink.png", plain(PINK)))
    assert "pink.png" in names(gallery, model)
    with Gallery.open(tmp_path / "g", other) as second:
        assert [i.name for i in second.pending()] == ["pink.png"] and len(names(second, other)) == 5


def test_a_model_that_changes_under_an_open_gallery_is_refused(gallery, tmp_path, model, monkeypatch):
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
    monkeypatch.setattr(model, "dimension", 16)
    with pytest.raises(FingerprintError, match="8 numbers"):
        Gallery.open(tmp_path / "g", model)


def test_a_picture_the_model_cannot_embed_is_kept_and_a_model_that_always_fails_is_told(gallery, monkeypatch):
    crash = ("crash.png", plain((255, 0, 255), (1, 1)))
    report = gallery.add([("a.png", plain((9, 9, 99))), crash, ("b.png", plain((99, 9, 9)))])
    assert [r.status for r in report.rows] == ["added", "no vectors", "added"]
    assert "magenta" in report.rows[1].reason
    assert [i.name for i in gallery.pending()] == ["crash.png"] and len(gallery) == 8
    monkeypatch.setattr(gallery.model, "embed", lambda samples, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gallery.add([("c.png", plain((1, 2, 3))), ("d.png", plain((3, 2, 1)))])
    assert len(gallery) == 8 and not list((gallery.folder / "incoming").iterdir())


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
    new, old = sqlite3.connect(tmp_path / "g" / "gallery.db"), sqlite3.connect(tmp_path / "old.db")
    old.executescript(FORMAT_1)
    columns = "id, sha256, name, caption, width, height, format, bytes, taken, camera, latitude, longitude, "
    for table, wanted in (
        ("items", columns + "added, suffix, signature"),
        ("thumbnails", "item, jpeg"),
        ("vectors", "seq, item, fingerprint, slices, is_image"),
        ("meta", "key, value"),
    ):
        rows = new.execute(f"SELECT {wanted} FROM {table}").fetchall()
        old.executemany(f"INSERT INTO {table} ({wanted}) VALUES ({', '.join('?' * len(rows[0]))})", rows)
    was = {"format": "1", "fingerprint": "toy-1", "dimension": "8"}
    old.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", was.items())
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


# -- deletion is true


def traces(folder: Path, needles: dict[str, bytes]) -> list[tuple[str, str]]:
    """(file, needle) wherever one of the byte strings is found in any file of the folder, or in its name."""
    found = []
    for path in filter(Path.is_file, folder.rglob("*")):
        data = path.read_bytes() + str(path).encode()
        found += [(path.name, label) for label, needle in needles.items() if needle in data]
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
    embed(tmp_path / "g", other)
    with Gallery.open(tmp_path / "g", other) as second:
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
    kept = needles | {f"name {n}": n.encode() for n in ids}
    kept["any vector"] = gallery.slices([ids["secret-8.png"]])[0].tobytes()
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


def test_destroy_removes_the_folder_and_an_old_object_does_not_write_to_one_made_anew(
    gallery, tmp_path, model
):
    with Gallery.open(tmp_path / "g", model) as other:
        other.destroy()
    assert not (tmp_path / "g").exists() and not gallery.is_current()
    changes = (
        lambda: gallery.add(("x.png", png(1))),
        lambda: gallery.delete([1]),
        lambda: gallery.set_favourite([1]),
    )
    with pytest.raises(GalleryError, match="deleted meanwhile"):
        changes[0]()
    with Gallery.create(tmp_path / "g", model) as anew:
        anew.add(("y.png", png(2)))
        for change in changes:
            with pytest.raises(GalleryError, match="deleted meanwhile"):
                change()
        gallery.close()
        assert [i.name for i in anew.items()] == ["y.png"]
        assert not list((tmp_path / "g" / "incoming").iterdir())


def test_sqlite_is_in_wal_mode_and_overwrites_what_is_deleted(gallery, tmp_path):
    pragmas = [gallery.store.read(f"PRAGMA {p}") for p in ("journal_mode", "secure_delete", "synchronous")]
    assert pragmas == [[("wal",)], [(1,)], [(2,)]]
    assert sqlite3.connect(tmp_path / "g" / "gallery.db").execute("PRAGMA auto_vacuum").fetchone() == (2,)


# -- what is kept of a picture


def test_a_caption_changes_the_slices_not_the_pooled_vector(gallery, model):
    pooled = gallery.pooled([1]).copy()
    gallery.set_caption(1, "a dog\x00 at\r\nnight")
    assert gallery.item(1).caption == "a dog  at\nnight"
    assert gallery.slices([1])[0].shape == (2, model.dimension) and np.allclose(gallery.pooled([1]), pooled)
    gallery.set_caption(1, "")
    assert gallery.slices([1])[0].shape == (1, model.dimension)


@pytest.mark.parametrize("keep", [False, True])
def test_location_is_stored_and_leaves_only_when_asked(tmp_path, model, keep):
    with Gallery.create(tmp_path / "g", model, GallerySettings(keep_location=keep)) as g:
        g.add(("x.jpg", photo("red", degrees=(48, 2))))
        assert g.items()[0].location == ((48.0, 2.0) if keep else None)
        for hidden in (g.picture_path(1).read_bytes(), g.thumbnail(1)):
            assert not Image.open(io.BytesIO(hidden)).getexif()
        for include in (False, True):
            export_zip(g, tmp_path / "out.zip", include_location=include)
            assert (b"[48.0, 2.0]" in (tmp_path / "out.zip").read_bytes()) == (keep and include)


# -- who may write


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


def test_one_run_at_a_time_while_changes_go_through(gallery, tmp_path, model):
    model.calls.clear()

    def after_the_first_batch(progress):
        assert model.calls == [4] and len(gallery) == 9
        with Gallery.open(tmp_path / "g", model) as other:
            for run in (lambda: other.add(("x.png", png(99))), other.embed_pending, gallery.destroy):
                with pytest.raises(BusyError, match="Another run"):
                    run()
            other.delete([1])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gallery.add([(f"{i}.png", png(i)) for i in range(10)], batch_size=4, progress=after_the_first_batch)
    assert len(gallery) == 8 and not list((gallery.folder / "incoming").iterdir())
    assert gallery.indexed() == {"toy-1": 8} and gallery.add(("x.png", png(99))).added == 1


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


def test_a_disk_without_locks_is_named(gallery, monkeypatch):
    """Some network file systems refuse `flock`: the remedy is said."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    lock = FileLock(gallery.folder / "run.lock")
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(GalleryError, match="keep galleries on a local disk"):
            lock.acquire()
    assert lock.acquire()  # nothing is left behind
    lock.release()


# -- the gallery that ships


def digest(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_sample_is_reproducible_holds_no_path_and_opens_without_a_trace(tmp_path, model):
    for where in ("one", "two"):
        (tmp_path / where).mkdir()
        for i in range(6):
            (tmp_path / where / f"{i}.png").write_bytes(png(i))
        days = [f"2024-01-0{i + 1}T10:00:00" for i in range(6)]
        told = [{"file": f"{i}.png", "caption": f"a dog {i}", "taken": day} for i, day in enumerate(days)]
        (tmp_path / where / "captions.jsonl").write_text("\n".join(map(json.dumps, told)))
        build_sample(tmp_path / where, tmp_path / f"built-{where}", model).close()
        time.sleep(0.01)
    first = digest(tmp_path / "built-one")
    assert first == digest(tmp_path / "built-two") and not any("wal" in n or "lock" in n for n in first)
    assert set(first) >= {"gallery.db", f"index/{model.fingerprint}/stamp.json"}
    assert not any(str(tmp_path).encode() in data for data in first.values())
    assert max(map(len, first.values())) < 9_000_000
    clone = tmp_path / "clone" / "gallery_index" / "sample"
    shutil.copytree(tmp_path / "built-one", clone)
    for read_only in (True, False):
        with Gallery.open(clone, model, read_only=read_only) as g:
            assert len(names(g, model)) == 6 and g.items()[2].taken.day == 3
            assert digest(clone) == first
        assert digest(clone) == first
    for path in [clone, *clone.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with Gallery.open(clone, model, read_only=True) as g:
        assert len(names(g, model)) == 6
    for path in [clone, *clone.rglob("*")]:
        path.chmod(0o755)
    with Gallery.open(clone, model) as g:
        assert g.add(("new.png", plain("blue"))).added == 1
    (tmp_path / "one" / "bad.png").write_bytes(b"x")
    with pytest.raises(GalleryError, match="not taken in"):
        build_sample(tmp_path / "one", tmp_path / "built-bad", model)
    before = digest(tmp_path / "built-two")
    with pytest.raises(GalleryError):
        build_sample(tmp_path / "two", tmp_path / "built-two", model)
    assert digest(tmp_path / "built-two") == before
