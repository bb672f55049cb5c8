"""A deletion that waits comes true whatever happens meanwhile: another model, another program, a kill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import png
from test_deletion import Own, ask_about, machine, noise
from toy import ToyModel

from sugar.gallery import Gallery
from sugar.gallery.disk import WriterLock
from sugar.services.undo import LEAVING, DelayedDeletions

SOON, NEVER = 0.05, 3600.0


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    made = Gallery.create(tmp_path / "g", ToyModel())
    made.add([(f"{n}.png", png(n)) for n in range(4)])
    return made


def eventually(done: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def count(folder: Path) -> int:
    with Gallery.open(folder, ToyModel(), read_only=True) as opened:
        return len(opened)


def test_two_in_a_row_come_back_together_and_the_last_begins_the_time_anew(gallery: Gallery) -> None:
    bin = DelayedDeletions(0.4)
    bin.add(gallery, [1])
    time.sleep(0.25)
    bin.add(gallery, [2])
    time.sleep(0.25)
    assert bin.waiting(gallery) == {1, 2} and len(gallery) == 4
    assert bin.undo(gallery) == 2 and bin.waiting(gallery) == set() and bin.undo(gallery) == 0
    time.sleep(0.5)
    assert len(gallery) == 4 and not (gallery.folder / LEAVING).exists()


def test_the_gallery_is_closed_meanwhile(gallery: Gallery) -> None:
    seen, bin = [], DelayedDeletions(0.2)
    gallery.after_delete = lambda: seen.append(1)
    bin.add(gallery, [1, 2])
    gallery.close()
    eventually(lambda: bin.waiting(gallery) == set())
    with Gallery.open(gallery.folder, ToyModel()) as other:
        assert [i.id for i in other.items()] == [3, 4] and other.index_info["items"] == 2
    assert seen == [1], "what shows them is told"
    assert len(list(gallery.folder.rglob("pictures/*/*"))) == 2 and not (gallery.folder / LEAVING).exists()


def test_another_program_writes_meanwhile(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WriterLock, "SECONDS", 0.1)
    bin = DelayedDeletions(SOON)
    with WriterLock(gallery.folder).held():
        assert bin.add(gallery, [1, 2]) == 2
        time.sleep(0.5)
        assert bin.waiting(gallery) == {1, 2} and len(gallery) == 4, "hidden, and not forgotten"
        assert bin.finish(gallery) == 0
        bin.add(gallery, [3])
    eventually(lambda: len(gallery) == 1)
    eventually(lambda: bin.waiting(gallery) == set())


def test_it_can_be_taken_back_while_another_program_writes(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WriterLock, "SECONDS", 0.1)
    bin = DelayedDeletions(SOON)
    with WriterLock(gallery.folder).held():
        bin.add(gallery, [1])
        time.sleep(0.3)
        eventually(lambda: bin.undo(gallery) == 1)
    time.sleep(0.2)
    assert len(gallery) == 4


def test_the_end_of_the_app(gallery: Gallery) -> None:
    bin = DelayedDeletions(NEVER)
    bin.add(gallery, [1, 2])
    gallery.close()
    bin.finish_all()
    assert count(gallery.folder) == 2 and bin.waiting(gallery) == set()


def test_the_gallery_itself_goes_meanwhile(gallery: Gallery) -> None:
    """Made anew with the same pictures, it keeps them."""
    bin = DelayedDeletions(NEVER)
    bin.add(gallery, [1])
    gallery.destroy()
    assert bin.finish(gallery) == 0 and bin.waiting(gallery) == set()
    bin.add(again := Gallery.create(gallery.folder, ToyModel()), [1])
    again.add([("0.png", png(0))])
    assert bin.waiting(again) == set()
    bin.add(again, [1])
    again.destroy()
    last = Gallery.create(gallery.folder, ToyModel())
    last.add([("0.png", png(0))])
    assert bin.finish(last) == 0 and len(last) == 1


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    made = machine(tmp_path)
    made.service.create(made.page, "holiday")
    made.gallery.add([(f"{n}.png", noise(n, 60)) for n in range(3)])
    return made


def test_a_killed_app_s_promise_is_kept_at_the_next_start(own: Own, tmp_path: Path) -> None:
    folder = own.gallery.folder
    talk = ask_about(own, own.gallery.items()[0].id)
    own.galleries.close(own.page, "holiday")
    code = (
        "import os, sys\nfrom toy import ToyModel\nfrom sugar.gallery import Gallery\n"
        "from sugar.services.undo import DelayedDeletions\n"
        "gallery = Gallery.open(sys.argv[1], ToyModel())\n"
        "assert DelayedDeletions(1.0).add(gallery, [1, 2]) == 2\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(folder)], env={"PYTHONPATH": ".:tests"}, timeout=120, check=False
    )
    assert ended.returncode == -9 and count(folder) == 3 and (folder / LEAVING).is_file()
    again = machine(own.root)
    assert again.service.show(again.page, "holiday").leaving == 2, "they do not come back to sight"
    eventually(lambda: count(folder) == 1 and not (folder / LEAVING).exists())
    assert again.service.listing(again.page).leaving == 0
    eventually(lambda: not again.chat.saved.load(talk.key).pictures)


def test_a_promise_that_another_app_took_back_is_not_kept(gallery: Gallery) -> None:
    one, other = DelayedDeletions(NEVER), DelayedDeletions(NEVER)
    one.add(gallery, [1])
    other.resume([gallery.folder], lambda: None)
    assert other.waiting(gallery) == {1}
    assert one.undo(gallery) == 1 and other.finish(gallery) == 0 and len(gallery) == 4


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b'{"a": "b"}', None])
def test_a_damaged_record_hinders_nothing(gallery: Gallery, data: bytes | None) -> None:
    path = gallery.folder / LEAVING
    path.write_bytes(data) if data is not None else path.mkdir()
    bin = DelayedDeletions(NEVER)
    bin.resume([gallery.folder], lambda: None)
    assert bin.waiting(gallery) == set()
    bin.add(gallery, [1])
    assert bin.finish(gallery) == 1 and len(gallery) == 3


def test_a_picture_that_comes_again_stays(own: Own) -> None:
    from sugar.services.gallery import AddRequest

    [(_, ids)] = own.service.show(own.page, "holiday").months
    own.service.delete(own.page, ids[:1])
    assert json.loads((own.gallery.folder / LEAVING).read_text())
    path = own.root / "again.png"
    path.write_bytes(noise(0, 60))
    own.service.add(own.page, AddRequest("holiday", (path,))).over.wait(60)
    own.service.finish(own.page)
    assert sorted(item.name for item in own.gallery.items()) == ["1.png", "2.png", "again.png"]
