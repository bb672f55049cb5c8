"""What the tab Photos does with galleries, without a page: services/gallery.py on the toy model."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import eventually
from pictures import photo, png
from PIL import Image
from toy import ToyModel

from sugar.errors import GalleryError, InputError
from sugar.gallery import FileResult, Gallery, GallerySettings, IngestReport, import_zip, transfer
from sugar.services.gallery import AddRequest, GalleryService, GalleryState
from sugar.services.jobs import Jobs
from sugar.services.visitors import Visitor, VisitorState
from sugar.services.watching import Watching
from sugar.ui.photos_drawing import jobs_html, report_table, watched_html


@dataclass
class PageOf:
    """A page of a visitor, as services see it."""

    visitor: Visitor
    state: VisitorState = field(default_factory=VisitorState)
    files: Path = Path()

    def keep(self, data: bytes, suffix: str, name: str, items: Iterable[str] = ()) -> str:
        path = self.files / f"{len(list(self.files.iterdir()))}-{name}{suffix}"
        path.write_bytes(data)
        return str(path)


class Folders:
    """Galleries of one person, by name; "sample" is read-only."""

    private = False

    def __init__(self, root: Path) -> None:
        self.root, self.opened = root, {}

    def names(self, page):
        return sorted(p.parent.name for p in self.root.glob("*/gallery.db"))

    def open(self, page, name, model):
        if name not in self.names(page):
            raise GalleryError("There is no gallery of that name.")
        if name not in self.opened:
            self.opened[name] = Gallery.open(self.root / name, model, read_only=name == "sample")
        return self.opened[name]

    def create(self, page, name, model, keep_location=False):
        settings = GallerySettings(keep_location=keep_location)
        self.opened[name] = Gallery.create(self.root / name, model, settings)
        return self.opened[name]

    def bring(self, page, name, archive, model, *, keep_location=False, progress=None, cancel=None):
        kept = GallerySettings(keep_location=keep_location)
        made = import_zip(archive, self.root / name, model, kept, progress=progress, cancel=cancel)
        self.opened[name] = made
        return made

    def remove(self, page, name, model):
        self.opened.pop(name).destroy()


class Space:
    """A workspace of one person."""

    def __init__(self, root: Path, model) -> None:
        self.galleries, self._model = Folders(root), model
        self.settings = SimpleNamespace(gallery_root=root, bin_days=30)

    def model(self):
        return self._model

    def gallery(self, page, name):
        return self.galleries.open(page, name, self._model)


@pytest.fixture
def model():
    toy = ToyModel()
    toy.profile = SimpleNamespace(describe="describe it")
    return toy


@pytest.fixture
def service(tmp_path, model):
    return GalleryService(Space(tmp_path, model), Jobs())


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    return PageOf(Visitor("a" * 32, "owner"), files=folder)


def ended(job):
    assert job.over.wait(60)
    state = job.state()
    assert state.phase == "done", state.problem
    return state.result


@pytest.fixture
def filled(service, page, tmp_path):
    service.create(page, "trip")
    files = []
    for n in range(5):
        files.append(tmp_path / f"{n}.png")
        files[-1].write_bytes(png(n, (16, 12)))
    report = ended(service.add(page, AddRequest("trip", tuple(files), remove=True)))
    assert report.added == 5 and not any(f.exists() for f in files), "uploads go when they are read"
    return "trip"


def test_a_gallery_is_listed_by_months_and_its_pictures_come_by_number(service, page, filled):
    listing = service.listing(page)
    assert (listing.name, listing.count, listing.pending, listing.read_only) == ("trip", 5, 0, False)
    [(month, ids)] = listing.months
    assert month == "" and len(service.cells(page, [*ids, 999])) == 5
    assert {listing.shapes[n] for n in ids} == {16 / 12}
    cell, image = service.open(page, ids[0])
    assert cell.name == "0.png" and image.size == (16, 12) and service.chosen(page) == [ids[0]]
    page.state.of(GalleryState).selected = list(ids[1:3])
    assert service.chosen(page) == list(ids[1:3]) and len(service.pictures(page, ids[1:3])) == 2
    service.show(page, "trip", order="name")
    assert [c for c in service.listing(page).months[0][1]] == list(ids)


def test_changes_reach_the_gallery(service, page, filled):
    [(_, ids)] = service.listing(page).months
    assert service.set_caption(page, ids[0], " my\0star ") == "my star"
    assert service.rename(page, ids[0], "a\nname.png") == "a name.png"
    assert service.set_favourite(page, ids[:2], True) == 2
    with pytest.raises(InputError, match="Open a picture"):
        service.chosen(page)


def test_a_deletion_can_be_taken_back_until_it_is_true(service, page, filled):
    gallery = service.workspace.gallery(page, "trip")
    [(_, ids)] = service.listing(page).months
    assert service.delete(page, ids[:2]) == 2
    listing = service.listing(page)
    assert (listing.count, listing.leaving, listing.binned, len(gallery)) == (3, 2, 2, 3)
    assert service.undo(page) == 2 and service.listing(page).count == 5
    service.delete(page, ids[:1])
    service.delete(page, ids[1:2])  # Undo brings both back
    assert service.listing(page).leaving == 2
    assert service.undo(page) == 2 and service.listing(page).count == 5 and service.undo(page) == 0
    service.delete(page, ids[:1])
    service.show(page, "trip", order="name")  # another look, and another day
    page.state.of(GalleryState).deleted = []
    service.delete(page, ids[1:3])
    assert (service.listing(page).leaving, service.listing(page).binned) == (2, 3)
    assert service.finish(page) == 2 and service.listing(page).binned == 1 and service.undo(page) == 0
    assert service.restore(page) == 1 and service.listing(page).count == 3
    service.delete(page, ids[:1])
    assert service.empty_bin(page) == 1 and service.listing(page).binned == 0
    assert service.delete(page, ids, at_once=True) == 2 and len(gallery) == 0


def test_a_shared_host_has_no_bin(service, page, filled):
    service.galleries.private = True
    [(_, ids)] = service.listing(page).months
    assert service.delete(page, ids[:2]) == 2
    assert service.listing(page).binned == 0 and service.undo(page) == 0


def test_export_and_import_and_another_model(service, page, filled, tmp_path, model):
    shutil.copy(ended(service.export(page, "trip")), tmp_path / "out.zip")
    assert ended(service.bring(page, "back", tmp_path / "out.zip")) == "back"
    assert service.shown(page) == "back" and service.listing(page).count == 5
    failed = service.bring(page, "back", tmp_path / "out.zip")
    failed.over.wait(60)
    assert failed.state().phase == "failed" and "already" in failed.state().problem
    gallery = service.workspace.gallery(page, "back")
    with gallery.store.write() as db:
        db.execute("DELETE FROM vectors WHERE item < 3")
    assert service.listing(page).pending == 2
    assert ended(service.reindex(page, "back")).updated == 2 and service.listing(page).pending == 0
    service.remove(page, "back")
    assert service.galleries.names(page) == ["trip"] and page.state.of(GalleryState).name == "back"
    assert service.shown(page) == "trip"


def test_a_cancelled_export_or_import_is_not_a_failed_one(service, page, filled, tmp_path, monkeypatch):
    shutil.copy(ended(service.export(page, "trip")), tmp_path / "out.zip")
    written = len(list(page.files.iterdir()))
    begun, go = threading.Event(), threading.Event()

    def held(work):
        def slow(*args):
            begun.set()
            go.wait(60)
            return work(*args)

        return slow

    monkeypatch.setattr(transfer, "_free_name", held(transfer._free_name))
    monkeypatch.setattr(transfer._Export, "take", held(transfer._Export.take))
    for start in (
        lambda: service.export(page, "trip"),
        lambda: service.bring(page, "b", tmp_path / "out.zip"),
    ):
        begun.clear()
        go.clear()
        job = start()
        assert begun.wait(60)
        service.jobs.cancel(page.visitor, job.id)
        go.set()
        assert job.over.wait(60) and job.state().phase == "cancelled", job.state().problem
    assert len(list(page.files.iterdir())) == written and service.galleries.names(page) == ["trip"]


def test_places_are_kept_only_in_a_gallery_that_was_made_so(service, page, tmp_path):
    (tmp_path / "own" / "a.jpg").write_bytes(photo("red", None, (48, 16)))
    for name, keep in (("plain", False), ("placed", True)):
        service.create(page, name, keep_location=keep)
        ended(service.add(page, AddRequest(name, (tmp_path / "own" / "a.jpg",))))
        [item] = service.workspace.gallery(page, name).items()
        cell, _ = service.open(page, item.id)
        assert cell.location == ((48.0, 16.0) if keep else None)


def test_the_model_writes_the_captions_that_are_missing(service, page, filled, model):
    [(_, ids)] = service.listing(page).months
    service.set_caption(page, ids[0], "mine")
    assert ended(service.write_captions(page, "trip")) == 4
    cells = [item for item, _ in service.cells(page, ids)]
    assert [c.caption_by for c in cells] == ["", "toy", "toy", "toy", "toy"]
    assert cells[1].caption == "I see 1 pictures and the words describe it" and cells[0].caption == "mine"
    service.set_caption(page, ids[1], cells[1].caption)
    assert service.cells(page, ids[1:2])[0][0].caption_by == "", "saved by the person, it is the person's"


def test_near_duplicates_have_the_better_one_first(service, page, filled):
    gallery = service.workspace.gallery(page, "trip")
    for name, size in (("small.png", (40, 40)), ("big.png", (90, 90))):
        out = io.BytesIO()
        Image.new("RGB", size, "teal").save(out, "PNG")
        gallery.add((name, out.getvalue()))
    [group] = service.near_duplicates(page)
    assert [item.name for item in group] == ["big.png", "small.png"]


def test_a_read_only_gallery_refuses_changes(service, page, tmp_path, model):
    with Gallery.create(tmp_path / "sample", model) as gallery:
        gallery.add(("a.png", png(1)))
    service.show(page, "sample")
    for change in (
        lambda: service.set_caption(page, 1, "x"),
        lambda: service.delete(page, [1]),
        lambda: service.add(page, AddRequest("sample", (tmp_path,))),
        lambda: service.write_captions(page, "sample"),
    ):
        with pytest.raises(GalleryError, match="for reading"):
            change()
    assert service.listing(page).read_only


def test_a_cancelled_run_keeps_what_is_done(service, page, filled, tmp_path, model):
    folder = tmp_path / "more"
    folder.mkdir()
    for n in range(100, 180):
        (folder / f"{n}.png").write_bytes(png(n))
    begun, go = threading.Event(), threading.Event()
    embed = model.embed

    def slow(samples, **options):
        begun.set()
        go.wait(60)
        return embed(samples, **options)

    model.embed = slow
    job = service.add(page, AddRequest("trip", (folder,)))
    assert begun.wait(60) and [s.phase for s in service.running(page)][0] == "running"
    service.jobs.cancel(page.visitor, job.id)
    go.set()
    assert job.over.wait(60) and job.state().phase == "cancelled"
    assert 5 < service.listing(page).count < 85


def upload(page, name: str, seed: int) -> Path:
    path = page.files / name
    path.write_bytes(png(seed))
    return path


def test_an_add_waits_while_another_run_fills_the_gallery(service, page, filled):
    """A watched folder or a command line fills it: nothing is refused, and the upload is there in the end."""
    gallery = service.workspace.gallery(page, "trip")
    path = upload(page, "late.png", 700)
    with Gallery.open(gallery.folder, gallery.model) as other, other.run_lock().held("busy"):
        job = service.add(page, AddRequest("trip", (path,), remove=True))
        assert eventually(lambda: "Another run" in job.state().note) and path.exists()
        cancelled = service.add(page, AddRequest("trip", (upload(page, "no.png", 701),), remove=True))
        service.jobs.cancel(page.visitor, cancelled.id)
    assert ended(job).added == 1 and not path.exists()
    assert cancelled.over.wait(10) and cancelled.state().phase == "cancelled"


def test_a_wait_can_be_cancelled(service, page, filled):
    gallery = service.workspace.gallery(page, "trip")
    with Gallery.open(gallery.folder, gallery.model) as other, other.run_lock().held("busy"):
        job = service.add(page, AddRequest("trip", (upload(page, "no.png", 702),), remove=True))
        assert eventually(lambda: "Another run" in job.state().note)
        service.jobs.cancel(page.visitor, job.id)
        assert job.over.wait(10) and job.state().phase == "cancelled"
    assert not (page.files / "no.png").exists()


def test_uploads_go_when_their_job_is_cancelled_before_it_began(service, page, filled, tmp_path):
    gallery = service.workspace.gallery(page, "trip")
    archive = tmp_path / "export.zip"
    archive.write_bytes(b"PK")
    with Gallery.open(gallery.folder, gallery.model) as other, other.run_lock().held("busy"):
        first = service.add(page, AddRequest("trip", (upload(page, "first.png", 704),), remove=True))
        assert eventually(lambda: "Another run" in first.state().note)
        added = service.add(page, AddRequest("trip", (upload(page, "second.png", 705),), remove=True))
        brought = service.bring(page, "again", archive, remove=True)
        for job in (brought, added, first):
            service.jobs.cancel(page.visitor, job.id)
            assert job.over.wait(10) and job.state().phase == "cancelled"
    assert not (page.files / "second.png").exists() and not archive.exists()


def test_an_upload_that_could_not_be_taken_in_stays_for_another_try(service, page, filled, monkeypatch):
    gallery = service.workspace.gallery(page, "trip")
    path = upload(page, "again.png", 703)

    def full(*args, **options):
        raise GalleryError("The disk is full.")

    monkeypatch.setattr(gallery, "commit", full)
    job = service.add(page, AddRequest("trip", (path,), remove=True))
    assert job.over.wait(60) and job.state().problem == "The disk is full." and path.exists()
    assert 'data-pick="again"' in jobs_html([job.state()])
    monkeypatch.undo()
    before = len(gallery)
    service.again(page)
    assert eventually(lambda: len(gallery) == before + 1 and not path.exists())
    service.again(page)  # nothing is left to try
    assert len(gallery) == before + 1


def test_a_watched_folder_says_what_it_left_and_passed_over(service, page, filled, tmp_path):
    folder = tmp_path / "photos"
    (folder / "nas").mkdir(parents=True)
    (folder / "here.png").write_bytes(png(710))
    (folder / "nas" / "there.png").write_bytes(png(711))
    (folder / "film.mov").write_bytes(b"x")
    watching = Watching(service.workspace, page, seconds=0.05)
    try:
        watching.watch("trip", str(folder))
        [key] = [(w.gallery, w.folder) for w in watching.of("trip")]
        assert eventually(lambda: watching.of("trip")[0].said == ("film.mov: Videos are not taken in.",))
        (folder / "nas").rename(tmp_path / "away")
        (folder / "nas").mkdir()
        assert eventually(lambda: len(watching.of("trip")[0].said) == 2)
        [state] = watching.of("trip")
        assert state.removed == 0 and state.said[1].startswith("nas: No picture is left in this folder")
        assert "nas: No picture" in watched_html([state]) and "film.mov" in watched_html([state])
        (folder / "nas").rmdir()
        (tmp_path / "away").rename(folder / "nas")
        assert eventually(lambda: len(watching.of("trip")[0].said) == 1)
    finally:
        watching.end()
    table = report_table(service.workspace.gallery(page, "trip").add(folder))
    assert "<td>film.mov</td><td>passed over</td>" in table and "1 passed over" in table


def test_a_long_report_begins_with_what_stands_for_many(tmp_path):
    rows = [FileResult(f"{n}.png", "unchanged") for n in range(300)]
    rows += [FileResult("bad.png", "refused", "damaged"), FileResult("7 videos", "passed over", "x", files=7)]
    report = IngestReport(rows)
    assert report.counts == {"unchanged": 300, "refused": 1, "passed over": 7}
    table = report_table(report)
    assert table.index("7 videos") < table.index("bad.png") < table.index("0.png") and "and 102 more" in table
