"""A gallery that follows a folder, pictures that move between galleries, pictures that a person takes."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import png
from PIL import Image
from toy import ToyModel

from sugar.errors import GalleryError
from sugar.gallery import (
    Gallery,
    IngestReport,
    follow,
    look,
    move,
    one,
    unwatch,
    watch,
    watched,
    watched_in,
    write_zip,
)


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed, (16, 12)))
    return path


def names(gallery: Gallery) -> list[str]:
    return sorted(item.name for item in gallery.items())


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.create(tmp_path / "galleries" / "first", ToyModel()) as made:
        yield made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for n in range(3):
        picture(folder / f"{n}.png", n)
    picture(folder / "deep" / "3.png", 3)
    return folder


def test_new_changed_and_removed_files_follow(gallery: Gallery, photos: Path) -> None:
    path = watch(gallery, photos)
    assert watched(gallery) == [path] == watched_in(gallery.folder)
    report, gone = follow(gallery, path)
    assert (report.added, gone) == (4, 0)
    before = look(path)
    assert look(path) == before
    picture(photos / "new.png", 9)
    (photos / "deep" / "3.png").unlink()
    (photos / "deep").rmdir()
    os.rename(photos / "0.png", photos / "renamed.png")
    picture(photos / "1.png", 77)
    assert look(path) != before
    report, gone = follow(gallery, path)
    assert gone == 1
    assert names(gallery) == ["1.png", "2.png", "new.png", "renamed.png"]
    unwatch(gallery, path)
    assert watched(gallery) == [] and len(gallery) == 4


def test_what_came_otherwise_stays_when_its_file_goes(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    elsewhere = picture(tmp_path / "elsewhere" / "zero.png", 0)
    gallery.add([elsewhere, ("one.png", (photos / "1.png").read_bytes())])
    path = watch(gallery, photos)
    follow(gallery, path)
    assert len(gallery) == 4
    for name in ("0.png", "1.png", "2.png"):
        (photos / name).unlink()
    assert follow(gallery, path)[1] == 1
    assert names(gallery) == ["deep/3.png", "one.png", "zero.png"]


def test_a_deleted_picture_does_not_come_back_until_its_file_changes(gallery: Gallery, photos: Path) -> None:
    path = watch(gallery, photos)
    follow(gallery, path)
    gallery.delete([item.id for item in gallery.items() if item.name == "2.png"])
    picture(photos / "another.png", 50)
    follow(gallery, path)
    assert names(gallery) == ["0.png", "1.png", "another.png", "deep/3.png"]
    picture(photos / "2.png", 60)
    follow(gallery, path)
    assert "2.png" in names(gallery)


def test_a_folder_that_is_gone_or_empty_deletes_nothing(gallery: Gallery, photos: Path) -> None:
    path = watch(gallery, photos)
    follow(gallery, path)
    photos.rename(photos.with_name("away"))
    with pytest.raises(GalleryError, match="not there"):
        follow(gallery, path)
    photos.mkdir()
    assert follow(gallery, path)[1] == 0 and len(gallery) == 4
    with pytest.raises(GalleryError, match="holds the gallery"):
        watch(gallery, gallery.folder.parent)
    with pytest.raises(GalleryError, match="no folder"):
        watch(gallery, photos / "missing")


def test_pictures_move_with_all_that_is_known_of_them(
    gallery: Gallery, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.add(photos, captions={"0.png": "the first"})
    chosen = [item.id for item in gallery.items() if item.name in ("0.png", "1.png")]
    gallery.set_favourite(chosen[:1])
    before = {item.name: item for item in gallery.items(ids=chosen)}
    vectors = gallery.slices(chosen)
    with Gallery.create(tmp_path / "galleries" / "second", gallery.model) as other:
        other.add(photos / "1.png")  # one is there already
        monkeypatch.setattr(gallery.model, "embed", lambda samples: pytest.fail("its vectors come along"))
        assert move(gallery, other, chosen) == 2
        assert names(gallery) == ["2.png", "deep/3.png"] and names(other) == ["0.png", "1.png"]
        [moved] = [item for item in other.items() if item.name == "0.png"]
        assert moved.caption == "the first" and moved.favourite and moved.added >= before["0.png"].added
        np.testing.assert_array_equal(other.slices([moved.id])[0], vectors[0])
        assert other.picture(moved.id).size == (16, 12)
        assert list(gallery.folder.glob(f"pictures/*/{moved.sha256}*")) == []
        with pytest.raises(GalleryError, match="already"):
            move(other, other, [moved.id])


def test_what_was_said_of_a_picture_moves_to_its_double_and_its_date_along(
    gallery: Gallery, photos: Path, tmp_path: Path
) -> None:
    (photos / "captions.csv").write_text("file,taken\n2.png,2024-05-06T07:08:09\n", "utf-8")
    gallery.add(photos)
    spoken_of(gallery)
    with Gallery.create(tmp_path / "galleries" / "second", gallery.model) as other:
        other.add([photos / "0.png", photos / "1.png"], captions={"1.png": "own"})
        move(gallery, other, [item.id for item in gallery.items()])
        found = {item.name: (item.caption, item.favourite) for item in other.items()}
        assert found["0.png"] == ("words for 0.png", True) and found["1.png"] == ("own", True)
        taken = {item.name: item.taken for item in other.items() if item.taken}
        assert taken == {"2.png": datetime(2024, 5, 6, 7, 8, 9)}


def test_a_person_takes_pictures_along(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    gallery.add([photos / "0.png", photos / "deep" / "3.png"], captions={"0.png": "a, b"})
    for item in gallery.items():
        gallery.rename(item.id, "same/../name.jpeg")
    ids = [item.id for item in gallery.items()]
    assert write_zip(gallery, [*ids, 999], tmp_path / "out.zip") == 2
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["name.png", "name 2.png", "captions.csv"]
        rows = list(csv.DictReader(io.StringIO(archive.read("captions.csv").decode())))
        assert sorted(row["caption"] for row in rows) == ["", "a, b"]
        assert Image.open(io.BytesIO(archive.read("name.png"))).size == (16, 12)
    name, data = one(gallery, ids[0])
    assert name == "name.png" and Image.open(io.BytesIO(data)).size == (16, 12)
    with pytest.raises(GalleryError, match="any more"):
        write_zip(gallery, [999], tmp_path / "none.zip")


# -- a look that failed deletes nothing


def spoken_of(gallery: Gallery) -> None:
    for item in gallery.items():
        gallery.set_caption(item.id, f"words for {item.name}")
    gallery.set_favourite([item.id for item in gallery.items()])


def left(report: IngestReport) -> dict[str, int]:
    return {row.name: row.files for row in report.rows if row.status == "left as it was"}


@pytest.mark.parametrize(
    "failing, number",
    [
        ("deep", errno.ESTALE),
        ("deep", errno.EIO),
        ("deep/er", errno.EACCES),
        ("", errno.ENOTCONN),
        ("", errno.EIO),
    ],
)
def test_a_folder_that_cannot_be_listed_is_left_as_it_was(
    gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch, failing: str, number: int
) -> None:
    picture(photos / "deep" / "er" / "4.png", 4)
    path = watch(gallery, photos)
    follow(gallery, path)
    spoken_of(gallery)
    before, calm = gallery.items(), look(path)
    real = os.scandir

    def fails(where: Any) -> Any:
        if Path(where) == photos / failing:
            raise OSError(number, os.strerror(number), str(where))
        return real(where)

    monkeypatch.setattr(os, "scandir", fails)
    assert look(path) != calm, "it is looked at again when it is back"
    report, gone = follow(gallery, path)
    assert gone == 0 and gallery.items() == before
    assert left(report) == {failing or "photos": {"deep": 2, "deep/er": 1, "": 5}[failing]}
    assert os.strerror(number) in report.said[-1].reason
    assert os.strerror(number) in next(r.reason for r in gallery.add(photos).rows if r.status == "refused")
    monkeypatch.undo()
    assert follow(gallery, path)[0].counts == {"unchanged": 5} and gallery.items() == before


def test_a_folder_that_is_suddenly_empty_is_left_as_it_was(gallery: Gallery, photos: Path) -> None:
    picture(photos / "deep" / "er" / "4.png", 4)
    path = watch(gallery, photos)
    follow(gallery, path)
    gallery.delete([item.id for item in gallery.items() if item.name == "deep/3.png"])
    spoken_of(gallery)
    before = gallery.items()
    for away in ("deep/er", "deep"):
        (photos / away).rename(photos.with_name("away"))
        (photos / away).mkdir()
        (photos / away / ".hidden").touch()
        report, gone = follow(gallery, path)
        assert gone == 0 and gallery.items() == before and left(report) == {away: 1}
        shutil.rmtree(photos / away)
        photos.with_name("away").rename(photos / away)
    follow(gallery, path)
    assert gallery.items() == before, "what was deleted here does not come back with its folder"
    shutil.rmtree(photos / "deep" / "er")
    assert follow(gallery, path)[1] == 1, "a folder that goes with its name was deleted"


def test_a_disk_that_goes_with_its_folder_is_left_as_it_was(
    gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(photos / "card" / "dcim" / "9.png", 9)
    path = watch(gallery, photos)
    real = os.stat

    def stat(where: Any, *args: Any, **more: Any) -> Any:
        found = real(where, *args, **more)
        if str(where).startswith(str(photos / "card")) and not str(where).endswith(".png"):
            return os.stat_result((*found[:2], found.st_dev + 1, *found[3:]))
        return found

    monkeypatch.setattr(os, "stat", stat)
    follow(gallery, path)
    monkeypatch.undo()
    (photos / "card").rename(photos.with_name("unplugged"))
    for _ in range(2):
        report, gone = follow(gallery, path)
        assert gone == 0 and left(report) == {"card": 1} and "away" in report.said[-1].reason
    unwatch(gallery, path)
    assert "card" not in str(gallery.store.read("SELECT * FROM meta"))


def test_a_folder_that_became_a_link_is_left_as_it_was(
    gallery: Gallery, photos: Path, tmp_path: Path
) -> None:
    path = watch(gallery, photos)
    follow(gallery, path)
    (photos / "deep").rename(tmp_path / "nas")
    (photos / "deep").symlink_to(tmp_path / "nas")
    report, gone = follow(gallery, path)
    assert gone == 0 and len(gallery) == 4 and left(report) == {"deep": 1}
    assert [r.reason for r in report.rows if r.status == "passed over"] == [
        "Links are not followed. Add the folder itself."
    ]


def test_a_file_that_is_being_written_or_fails_keeps_its_picture(
    gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = watch(gallery, photos)
    follow(gallery, path)
    spoken_of(gallery)
    gallery.delete([item.id for item in gallery.items() if item.name == "2.png"])
    before, whole = gallery.items(), (photos / "0.png").read_bytes()
    for half in (b"", whole[:60]):
        (photos / "0.png").write_bytes(half)
        report, gone = follow(gallery, path)
        assert gone == 0 and report.refused == 1 and gallery.items() == before
    (photos / "0.png").write_bytes(whole)
    real = Path.stat

    def fails(self: Path, **more: Any) -> Any:
        if self.name in ("1.png", "2.png"):
            raise OSError(errno.EIO, "Input/output error", str(self))
        return real(self, **more)

    monkeypatch.setattr(Path, "stat", fails)
    assert follow(gallery, path)[1] == 0 and gallery.items() == before
    monkeypatch.undo()
    picture(photos / "new.png", 30)
    follow(gallery, path)
    assert names(gallery) == ["0.png", "1.png", "deep/3.png", "new.png"], "a deleted one stays deleted"


def test_a_cancelled_run_deletes_nothing(gallery: Gallery, photos: Path) -> None:
    path = watch(gallery, photos)
    follow(gallery, path)
    os.rename(photos / "0.png", photos / "x.png")
    stop = threading.Event()
    stop.set()
    assert follow(gallery, path, cancel=stop)[1] == 0 and len(gallery) == 4
    assert follow(gallery, path)[0].renamed == 1 and len(gallery) == 4


def test_a_picture_that_moves_to_another_watched_folder_keeps_its_words(
    gallery: Gallery, photos: Path, tmp_path: Path
) -> None:
    picture(tmp_path / "best" / "b.png", 20)
    first, second = watch(gallery, photos), watch(gallery, tmp_path / "best")
    follow(gallery, first)
    follow(gallery, second)
    spoken_of(gallery)
    os.rename(photos / "0.png", tmp_path / "best" / "0.png")
    os.rename(photos / "1.png", photos / "deep" / "one.png")
    assert follow(gallery, first)[1] == 0
    follow(gallery, second)
    found = {item.name: (item.caption, item.favourite) for item in gallery.items()}
    assert found["0.png"] == ("words for 0.png", True)
    assert found["deep/one.png"] == ("words for 1.png", True) and len(gallery) == 5


def test_a_folder_of_an_odd_name_is_left_as_it_was(gallery: Gallery, photos: Path) -> None:
    odd = [photos / "tail \nof\u202e ", photos / ("long " * 40) / ("path " * 40)]
    for n, folder in enumerate(odd):
        picture(folder / "x.png", 40 + n)
    path = watch(gallery, photos)
    follow(gallery, path)
    for n, folder in enumerate(odd):
        (folder / "x.png").rename(photos.parent / f"{n}.png")
    report, gone = follow(gallery, path)
    assert gone == 0 and len(gallery) == 6 and sum(left(report).values()) == 2
