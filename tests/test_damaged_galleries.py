"""One gallery is damaged: the app starts, the gallery says what to do and can be deleted, all else works."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from test_deletion import Own, ask_about, machine, noise

from sugar.errors import GalleryError, SettingsError
from sugar.gallery import Gallery, list_named, watched_in
from sugar.gallery.store import connect


def sql(*statements: str) -> Callable[[Path], None]:
    def change(db: Path) -> None:
        connection = connect(db.as_uri())
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return change


def pages(*names: str) -> Callable[[Path], None]:
    """Overwrite the first pages of tables and indexes, as a failing disk does."""

    def change(db: Path) -> None:
        connection = sqlite3.connect(db)
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_master"))
        [(size,)] = connection.execute("PRAGMA page_size")
        connection.close()
        data = bytearray(db.read_bytes())
        for name in names:
            data[(roots[name] - 1) * size : roots[name] * size] = b"\xff" * size
        db.write_bytes(bytes(data))

    return change


def folder_instead(db: Path) -> None:
    db.unlink()
    db.mkdir()


def link_to_a_lost_disk(db: Path) -> None:
    aside = db.parent.parent.parent / "disk"
    db.parent.rename(aside)
    db.parent.symlink_to(aside)
    aside.rename(aside.with_name("unplugged"))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda db: os.truncate(db, db.stat().st_size // 2), "damaged"),
    "cut to a stump": (lambda db: os.truncate(db, 100), "damaged"),
    "empty": (lambda db: os.truncate(db, 0), "damaged"),
    "random": (lambda db: db.write_bytes(b"\x9d\x01" * 40_000), "damaged"),
    "a folder": (folder_instead, "damaged"),
    "a page": (pages("items", "sqlite_autoindex_items_1"), "damaged"),
    "a table is lost": (sql("DROP TABLE items"), "damaged"),
    "another table is lost": (sql("DROP TABLE thumbnails"), "damaged"),
    "no settings": (sql("DELETE FROM meta WHERE key = 'settings'"), "damaged"),
    "settings that are none": (sql("UPDATE meta SET value = '{' WHERE key = 'settings'"), "damaged"),
    "settings of another kind": (
        sql("""UPDATE meta SET value = '{"max_items": "many"}' WHERE key = 'settings'"""),
        "damaged",
    ),
    "no epoch": (sql("DELETE FROM meta WHERE key = 'epoch'"), "damaged"),
    "newer": (sql("UPDATE meta SET value = '9' WHERE key = 'format'"), "Use the newer program"),
    "a lost disk": (link_to_a_lost_disk, "Connect its disk"),
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    made = machine(tmp_path)
    for name in ("holiday", "other"):
        made.service.create(made.page, name)
        gallery = made.galleries.open(made.page, name, made.service.workspace.model())
        gallery.add([(f"{name}{n}.png", noise(n + len(name) * 10, 60)) for n in range(3)])
    return made


@pytest.mark.parametrize("how", DAMAGE)
def test_one_damaged_gallery(own: Own, how: str) -> None:
    damage, says = DAMAGE[how]
    talk = ask_about(own, own.galleries.open(own.page, "other", own.service.workspace.model()).items()[0].id)
    own.service.show(own.page, "holiday")
    talk = ask_about(own, own.gallery.items()[0].id)
    for name in ("holiday", "other"):
        own.galleries.close(own.page, name)
    db = own.root / "galleries" / "holiday" / "gallery.db"
    for beside in ("-wal", "-shm"):
        db.with_name(db.name + beside).unlink(missing_ok=True)
    damage(db)

    again = machine(own.root)  # the app starts
    service, page = again.service, again.page
    assert service.galleries.names(page) == ["holiday", "other"] == list_named(own.root / "galleries")
    assert watched_in(db.parent) == []
    shown = service.show(page, "holiday")
    assert says in shown.problem and "holiday" in shown.problem or "settings are damaged" in shown.problem
    assert shown.count == 0 and shown.read_only
    with pytest.raises((GalleryError, SettingsError)):
        own_gallery = again.gallery
        own_gallery.items(), own_gallery.delete([1])
    assert again.chat.saved.load(talk.key).pictures, "its pictures may still be there"
    other = service.show(page, "other")
    assert other.count == 3 and not other.problem
    assert service.delete(page, [other.months[0][1][0]], at_once=True) == 1
    service.show(page, "holiday")
    service.remove(page, "holiday")
    assert service.galleries.names(page) == ["other"] and service.shown(page) == "other"
    assert not again.chat.saved.load(talk.key).pictures, "no gallery has it any more"
    assert [p.name for p in (own.root / "galleries").iterdir() if "holiday" in p.name] == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_gallery_that_nobody_may_look_at(own: Own) -> None:
    folder = own.root / "galleries" / "holiday"
    own.service.show(own.page, "holiday")
    talk = ask_about(own, own.gallery.items()[0].id)
    for locked in (folder / "gallery.db", folder):
        mode = locked.stat().st_mode
        locked.chmod(0)
        try:
            again = machine(own.root)
            assert "ermission" in again.service.show(again.page, "holiday").problem
            assert again.chat.saved.load(talk.key).pictures
        finally:
            locked.chmod(mode)


def test_letters_that_are_none_are_said(own: Own) -> None:
    sql("UPDATE items SET camera = CAST(x'ff80' AS TEXT) WHERE id = 2")(own.gallery.store.path)
    with pytest.raises(GalleryError, match="damaged"):
        own.gallery.items()
    assert own.gallery.item(1).name == "holiday0.png"


def test_vectors_that_are_cut_are_said(own: Own) -> None:
    own.galleries.close(own.page, "holiday")
    folder = own.root / "galleries" / "holiday"
    sql("UPDATE vectors SET slices = substr(slices, 1, 5) WHERE seq = 2")(folder / "gallery.db")
    for path in folder.glob("index/*/*"):
        path.unlink()
    with pytest.raises(GalleryError, match="a vector is cut short"):
        Gallery.open(folder, own.service.workspace.model())
    assert "cut short" in own.service.show(own.page, "holiday").problem


@pytest.mark.parametrize("mark", [b"", b"\xff\xfe", b"rubbish\n"])
def test_a_damaged_mark_of_a_private_file(own: Own, mark: bytes) -> None:
    """What the file shows is not known any more, so it goes with the next deletion."""
    own.service.show(own.page, "holiday")
    path = Path(own.service.download(own.page, [own.gallery.items()[0].id]))
    [beside] = path.parent.glob("*.clean")
    beside.write_bytes(mark)
    own.gallery.delete([own.gallery.items()[1].id])
    assert path.exists() == (mark == b"")
