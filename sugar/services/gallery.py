"""What a page does with a gallery: list, fill, caption, delete, export, import, re-index.

    service = GalleryService(workspace, jobs)
    service.create(page, "holiday")
    job = service.add(page, AddRequest("holiday", (Path("photos.zip"),)))      # in the background
    service.listing(page); service.cells(page, ids)

Long work runs as jobs (jobs.py): it goes on when the page is closed, and each can be cancelled.
Not covered: what a gallery is (sugar/gallery), which galleries a visitor may open (galleries.py).
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sugar.errors import Cancelled, GalleryError, InputError, SettingsError, SugarError
from sugar.sequence import Sample
from sugar.services.jobs import Job, Jobs, JobState

if TYPE_CHECKING:
    from PIL import Image

    from sugar.gallery import Gallery, IngestReport, Item, Progress
    from sugar.services.visitors import Page
    from sugar.services.workspace import Workspace

Cell = tuple["Item", bytes]
"""A picture and its thumbnail, a JPEG."""


@dataclass
class GalleryState:
    """What one page keeps: the gallery that is shown, its order, and the pictures that are open and selected.

    alike: whether its near-duplicates are shown instead of all. deleted: what was put into its bin from this
    page, which "Undo" brings back. failed: what could not be taken in; uploads among it wait for another try.
    """

    name: str = ""
    order: str = "newest"
    alike: bool = False
    opened: int | None = None
    selected: list[int] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    failed: list[AddRequest] = field(default_factory=list)


@dataclass(frozen=True)
class AddRequest:
    """Files to take in. remove: they are uploads, and go when the run has taken them in."""

    gallery: str
    paths: tuple[Path, ...]
    remove: bool = False


@dataclass(frozen=True)
class Listing:
    """All pictures of a gallery as ids, in order, by month ("2025-08", or "" where no time is known).

    shapes: width / height of each. pending: how many the loaded model has not embedded yet. leaving: how many
    this page has deleted and can bring back. binned: how many are in the bin. copies: pixels of the copies
    that are all that is kept, 0 where originals are. total: of a collection, how many pictures it has; the
    first are listed. problem: why the gallery cannot be read, and what to do; "" when it can.
    """

    name: str
    read_only: bool
    months: tuple[tuple[str, tuple[int, ...]], ...]
    shapes: Mapping[int, float] = field(default_factory=dict)
    pending: int = 0
    leaving: int = 0
    binned: int = 0
    bytes: int = 0
    order: str = "newest"
    copies: int = 0
    problem: str = ""
    total: int = 0

    @property
    def count(self) -> int:
        return sum(len(ids) for _, ids in self.months)


KINDS = ("add", "import", "export", "index", "captions", "teach")
"""The kinds of jobs that belong to a gallery."""

log = logging.getLogger("sugar")
_DAY = 86_400.0
_CAPTION_TOKENS = 48
LARGE = 2560
"""Pixels of the longer side of an opened picture."""
MOST_GROUPS = 50


class GalleryService:
    """One for the whole app. `page`: the visitor's page (visitors.py)."""

    def __init__(self, workspace: Workspace, jobs: Jobs) -> None:
        self.workspace, self.jobs = workspace, jobs
        self.galleries: Any = workspace.galleries
        self.sweep_bins()

    def sweep_bins(self) -> None:
        """Delete for good what has lain in a bin for its days, now and once a day while the app runs."""
        from sugar.gallery import list_named, sweep_bin

        root = self.galleries.root
        for name in list_named(root):
            try:
                sweep_bin(root / name, self.workspace.settings.bin_days)
            except (SugarError, OSError) as error:  # a damaged gallery, or another program in it: tomorrow
                log.warning("what is due to go is still there: %s", error)
        again = threading.Timer(_DAY, self.sweep_bins)
        again.daemon = True
        again.start()

    # -- which gallery

    def shown(self, page: Page) -> str:
        """The gallery that the page shows: the one chosen last, else the first; "" when there is none."""
        known, state = self.galleries.names(page), page.state.of(GalleryState)
        if state.name not in known:
            state.name, state.opened, state.deleted = (known[0] if known else ""), None, []
        return state.name

    def show(self, page: Page, name: str, *, order: str = "newest") -> Listing:
        """Look at a gallery. Raises GalleryError when this visitor has none of that name."""
        state = page.state.of(GalleryState)
        if name not in self.galleries.names(page):
            raise GalleryError("There is no gallery of that name. Choose one from the list.")
        if name != state.name:
            state.deleted = []
        state.name, state.order, state.alike, state.opened, state.selected = name, order, False, None, []
        return self.listing(page)

    def create(self, page: Page, name: str, *, keep_location: bool = False) -> str:
        """Make an empty gallery and show it. Raises GalleryError, InputError.

        keep_location: keep where its pictures were taken, as the person agreed to.
        """
        made = self.galleries.create(page, name, self.workspace.model(), keep_location=keep_location)
        page.state.of(GalleryState).name = made.folder.name
        return made.folder.name

    def receiving(self, page: Page, name: str) -> str:
        """The gallery that new pictures go to, shown from now on: `name`, or "mine" instead of the sample."""
        target: str = self.galleries.receiving(page, name, self.workspace.model())
        page.state.of(GalleryState).name = target
        return target

    def remove(self, page: Page, name: str) -> None:
        """Delete a whole gallery. Raises GalleryError for the sample, BusyError while a run fills it."""
        self.galleries.remove(page, name, self.workspace.model())

    # -- looking

    def listing(self, page: Page) -> Listing:
        """All pictures of the gallery that is shown; none, and the reason, when it cannot be read."""
        name = self.shown(page)
        if not name:
            return Listing("", True, ())
        try:
            return self._listing(page, name)
        except (GalleryError, SettingsError) as error:
            return Listing(name, True, (), problem=str(error))

    def _listing(self, page: Page, name: str) -> Listing:
        from sugar.gallery import bin

        state = page.state.of(GalleryState)
        gallery = self._open(page, name)
        rows = gallery.listing(order=state.order)
        own: Any = gallery if gallery.whole else None  # a collection has no bin, and keeps no copies
        there = {b.id for b in bin.binned(own)} if own is not None else set()
        dated = state.order != "name"
        months = itertools.groupby(rows, key=lambda r: r[1] if dated else "")
        return Listing(
            name=name,
            read_only=gallery.read_only,
            months=tuple((month, tuple(r[0] for r in group)) for month, group in months),
            shapes=gallery.shapes([r[0] for r in rows]),
            pending=len(gallery.pending()),
            leaving=len(there.intersection(state.deleted)),
            binned=len(there),
            bytes=gallery.size(),
            order=state.order,
            copies=0 if own is None or own.settings.keep_originals else own.settings.picture_side,
            total=0 if gallery.whole else len(gallery),
        )

    def leaving(self, page: Page) -> int:
        """How many pictures this page has put into the bin and can bring back."""
        from sugar.gallery import bin

        deleted = page.state.of(GalleryState).deleted
        there = {b.id for b in bin.binned(self._open(page, self.shown(page)))} if deleted else set()
        return len(there.intersection(deleted))

    def cells(self, page: Page, ids: Sequence[int]) -> list[Cell]:
        """Those of the pictures that are still there, with their thumbnails."""
        gallery = self._open(page, self.shown(page))
        return [(item, gallery.thumbnail(item.id)) for item in gallery.items(ids=ids)]

    def open(self, page: Page, item: int) -> tuple[Item, Image.Image]:
        """One picture to look at: its original, at most LARGE pixels long. Raises GalleryError."""
        from sugar.images import open_image

        gallery = self._open(page, self.shown(page))
        found = gallery.item(item)
        page.state.of(GalleryState).opened = item
        if (original := gallery.original(item)) is not None:
            limits = gallery.settings.image_limits
            return found, open_image(original, limits=limits, max_side=LARGE).image
        return found, gallery.picture(item)

    def chosen(self, page: Page) -> list[int]:
        """The selected pictures, else the open one. Raises InputError when there is none."""
        state = page.state.of(GalleryState)
        if not state.selected and state.opened is None:
            raise InputError("Open a picture first: click on it.")
        return state.selected or [state.opened or 0]

    def pictures(self, page: Page, ids: Sequence[int]) -> list[Image.Image]:
        """Kept copies of some pictures, for another tab."""
        gallery = self._open(page, self.shown(page))
        return [gallery.picture(item) for item in ids]

    def near_duplicates(self, page: Page) -> list[list[Item]]:
        """Groups of pictures that look the same, in each the better one first (more pixels, more bytes)."""
        gallery = self._whole(page, self.shown(page))
        groups = gallery.near_duplicates()[:MOST_GROUPS]
        items = {i.id: i for i in gallery.items(ids=[i for g in groups for i in g])}
        return [
            sorted((items[i] for i in group), key=lambda i: (-i.width * i.height, -i.bytes, i.id))
            for group in groups
        ]

    # -- changing

    def set_caption(self, page: Page, item: int, words: str) -> str:
        """Change a caption; returns it as it was kept."""
        gallery = self.writable(page, self.shown(page))
        gallery.set_caption(item, words)
        return gallery.item(item).caption

    def rename(self, page: Page, item: int, name: str) -> str:
        """Change the name that is shown; returns it as it was kept."""
        return self.writable(page, self.shown(page)).rename(item, name)

    def set_favourite(self, page: Page, ids: Sequence[int], favourite: bool) -> int:
        return self.writable(page, self.shown(page)).set_favourite(ids, favourite)

    def delete(self, page: Page, ids: Sequence[int], *, at_once: bool = False) -> int:
        """Put pictures into the bin; for good where asked for, on a shared host, and with no bin."""
        from sugar.gallery import bin

        gallery = self.writable(page, self.shown(page))
        if at_once or self.galleries.private or not self.workspace.settings.bin_days:
            return gallery.delete(ids)
        page.state.of(GalleryState).deleted += ids
        return bin.put(gallery, ids)

    def undo(self, page: Page) -> int:
        """Bring back all that this page has put into the bin; how many pictures."""
        return self.restore(page, page.state.of(GalleryState).deleted)

    def finish(self, page: Page) -> int:
        """Delete for good what this page has put into the bin; how many pictures."""
        return self.empty_bin(page, page.state.of(GalleryState).deleted)

    def restore(self, page: Page, ids: Sequence[int] | None = None) -> int:
        """Bring pictures back out of the bin, by default all; how many."""
        from sugar.gallery import bin

        count = bin.restore(self.writable(page, self.shown(page)), ids)
        page.state.of(GalleryState).deleted = []
        return count

    def empty_bin(self, page: Page, ids: Sequence[int] | None = None) -> int:
        """Delete for good what is in the bin, by default all; how many."""
        from sugar.gallery import bin

        count = bin.empty(self.writable(page, self.shown(page)), ids)
        page.state.of(GalleryState).deleted = []
        return count

    def move(self, page: Page, ids: Sequence[int], name: str) -> int:
        """Move pictures to another gallery of the visitor's; returns how many left."""
        from sugar.gallery import move

        return move(self.writable(page, self.shown(page)), self.writable(page, name), ids)

    def targets(self, page: Page) -> list[str]:
        """Where the pictures of the gallery that is shown can be moved."""
        shown = self.shown(page)
        return [n for n in self.galleries.names(page) if n != shown and not self.galleries.read_only(n)]

    def download(self, page: Page, ids: Sequence[int]) -> str:
        """The path of a file in the visitor's own folder: one picture, or a zip of several."""
        return as_file(page, self._open(page, self.shown(page)), ids)

    # -- long work

    def add(self, page: Page, request: AddRequest) -> Job:
        """Take files in, in the background; while another run fills the gallery, this one waits.

        The job's result is the IngestReport. After a failure the uploads stay, and `again` tries once more.
        """
        gallery = self.writable(page, request.gallery)
        if not request.paths:
            raise InputError("There are no files. Choose pictures, zips or a folder.")

        def work(job: Job) -> IngestReport:
            try:
                report = gallery.add(
                    request.paths, progress=_told(job), cancel=job.stop, waiting=_waiting(job)
                )
            except Cancelled:
                _remove_uploads(request)
                raise
            except BaseException:
                page.state.of(GalleryState).failed.append(request)
                raise
            _remove_uploads(request)
            return report

        return self.jobs.start(page.visitor, "add", request.gallery, work, lambda: _remove_uploads(request))

    def again(self, page: Page) -> None:
        """Try once more to take in what failed before. Raises what `add` does; the rest waits on."""
        failed = page.state.of(GalleryState).failed
        while failed:
            self.add(page, failed[0])
            failed.pop(0)

    def reindex(self, page: Page, name: str) -> Job:
        """Embed what the loaded model has not embedded, in the background. The result is the IngestReport."""
        gallery = self.writable(page, name)

        def work(job: Job) -> IngestReport:
            return gallery.embed_pending(progress=_told(job), cancel=job.stop, waiting=_waiting(job))

        return self.jobs.start(page.visitor, "index", name, work)

    def write_captions(self, page: Page, name: str) -> Job:
        """Let the loaded model caption pictures without a caption. The result is how many it wrote."""
        gallery, model = self.writable(page, name), self.workspace.model()
        question = model.profile.describe

        def work(job: Job) -> int:
            bare = [i for i in gallery.items() if not i.caption]
            for done, item in enumerate(bare):
                job.check()
                job.report(done, len(bare), f"{done:,} of {len(bare):,} · {item.name}")
                sample = Sample([gallery.picture(item.id), question])
                words = "".join(model.generate(sample, max_new_tokens=_CAPTION_TOKENS, stop=job.stop))
                job.check()
                if words.strip():
                    gallery.set_caption(item.id, words, by=model.name)
            return len(bare)

        return self.jobs.start(page.visitor, "captions", name, work)

    def export(self, page: Page, name: str, *, places: bool = False, sidecars: bool = False) -> Job:
        """The gallery as one zip, in the background. The result is its path, in the visitor's own folder.

        places: with where the pictures were taken. sidecars: with an XMP file beside each.
        """
        from sugar.gallery import export_zip

        gallery = self._whole(page, name)

        def work(job: Job) -> str:
            path = page.keep(b"", ".zip", name=name, items=[i.sha256 for i in gallery.items()])
            try:
                export_zip(
                    gallery,
                    path,
                    include_location=places,
                    sidecars=sidecars,
                    progress=_told(job),
                    cancel=job.stop,
                )
            except BaseException:
                Path(path).unlink(missing_ok=True)
                raise
            return path

        return self.jobs.start(page.visitor, "export", name, work)

    def bring(
        self, page: Page, name: str, archive: Path, *, keep_location: bool = False, remove: bool = False
    ) -> Job:
        """A new gallery from an export, in the background. The result is its name.

        keep_location: one that keeps where pictures were taken, as the person agreed to.
        """
        galleries, model = self.galleries, self.workspace.model()

        def gone() -> None:
            if remove:
                archive.unlink(missing_ok=True)

        def work(job: Job) -> str:
            try:
                made = galleries.bring(
                    page,
                    name,
                    archive,
                    model,
                    keep_location=keep_location,
                    progress=_told(job),
                    cancel=job.stop,
                )
                page.state.of(GalleryState).name = made.folder.name
                return made.folder.name
            finally:
                gone()

        return self.jobs.start(page.visitor, "import", name, work, gone)

    def running(self, page: Page) -> list[JobState]:
        """The visitor's jobs on galleries, the newest first; finished ones stay until `clear`."""
        return [state for state in self.jobs.of(page.visitor) if state.kind in KINDS]

    # -- opening

    def _open(self, page: Page, name: str) -> Gallery:
        return self.workspace.gallery(page, name)

    def _whole(self, page: Page, name: str) -> Gallery:
        """Raises GalleryError: a collection, of which only parts are read."""
        gallery = self._open(page, name)
        if not gallery.whole:
            raise GalleryError(f"{name!r} is a collection, too large for that. Search finds parts of it.")
        return gallery

    def writable(self, page: Page, name: str) -> Gallery:
        """Raises GalleryError: no such gallery for this visitor, or one for reading only."""
        gallery = self._open(page, name)
        if gallery.read_only:
            raise GalleryError(f"The gallery {name!r} is for reading. Create one of your own.")
        return gallery


def as_file(page: Page, gallery: Gallery, ids: Sequence[int]) -> str:
    """The path of a file in the visitor's own folder: one picture by its name, or a zip of several."""
    from sugar.gallery import one, write_zip

    items = [item.sha256 for item in gallery.items(ids=ids)]
    if len(ids) == 1:
        name, data = one(gallery, ids[0])
        return page.keep(data, Path(name).suffix, name=Path(name).stem, items=items)
    path = page.keep(b"", ".zip", name=gallery.folder.name, items=items)
    write_zip(gallery, ids, path)
    return path


def _waiting(job: Job) -> Callable[[], None]:
    def tell() -> None:
        job.check()
        job.report(0, 0, "Another run is filling this gallery. This one begins when that has ended.")

    return tell


def _remove_uploads(request: AddRequest) -> None:
    for path in request.paths if request.remove else ():
        path.unlink(missing_ok=True)


def _told(job: Job) -> Callable[[Progress], None]:
    return lambda progress: job.report(progress.done, progress.total, str(progress))
