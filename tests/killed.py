"""Galleries that are killed: kinds of work, writers and a reader beside them, and the check afterwards.

    assert kills("delete", tmp_path / "delete", count=100, seed=0)["problems"] == []

A round forks a victim, two writers and a reader on one gallery, kills the victim with SIGKILL after a random
time, ends the others, opens the gallery again and checks it. Every process appends what it has been told is
done to a ledger, one line at a time with one system call, so that the line survives the kill; the check
compares the gallery with the ledger. The model is a hash: no torch. POSIX only. Not covered: power cuts (a
kill leaves the system's own buffers whole).
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import shutil
import signal
import sys
import time
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sugar.errors import BusyError, GalleryError
from sugar.gallery import Gallery, export_zip, import_zip, sweep
from sugar.sequence import Embeddings, Sample

BASE = 30  # pictures of a gallery before a round
_BATCH = 4
fork = multiprocessing.get_context("fork")


class Hashed:
    """A model for galleries: a picture's vector comes from the hash of its pixels."""

    dimension = 16

    def __init__(self, fingerprint: str = "hashed-1") -> None:
        self.fingerprint = fingerprint

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings:
        """One slice for each part of a sample, of unit length."""
        slices = [np.stack([self.vector(s.content) for s in sample]) for sample in samples]
        kinds = [np.array([s.is_image for s in sample]) for sample in samples]
        return Embeddings(np.stack([s[-1] for s in slices]), slices, kinds)

    def vector(self, content: Any) -> np.ndarray:
        """(16,) float32, of unit length."""
        data = content.encode() if isinstance(content, str) else content.tobytes()
        digest = hashlib.sha256(self.fingerprint.encode() + data).digest()
        row = np.frombuffer(digest, np.uint8)[:16].astype(np.float32) - 127.5
        return row / np.linalg.norm(row)


class Ledger:
    """Lines of (what, value) in a file that several processes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, what: str, value: object) -> None:
        """Append one line, at once."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(handle, f"{what}\t{str(value)[:500]}\n".replace("\n", " ").encode() + b"\n")
        finally:
            os.close(handle)

    def lines(self) -> Iterator[tuple[str, str]]:
        if self.path.exists():
            for line in self.path.read_text("utf-8").splitlines():
                what, _, value = line.strip().partition("\t")
                yield what, value

    def values(self, what: str) -> set[str]:
        return {value for kind, value in self.lines() if kind == what}

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


def pictures(count: int, rng: np.random.Generator) -> list[tuple[str, bytes]]:
    """New small pictures as (name, PNG bytes); no two alike."""
    out = []
    for _ in range(count):
        body = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).save(body, "PNG")
        out.append((f"{rng.integers(2**62)}.png", body.getvalue()))
    return out


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _run(act: Callable[[], Any]) -> Any:
    """A long run, begun again while a writer beside us has the gallery."""
    while True:
        try:
            return act()
        except BusyError:
            time.sleep(0.01)


class _Victim(ABC):
    """One kind of work. `gallery` is the folder it happens in; `prepare` makes it ready for a round."""

    def __init__(self, root: Path, rng: np.random.Generator) -> None:
        self.root, self.rng = root, rng
        self.gallery = root / "g"
        self.model = Hashed()

    def renew(self) -> None:
        """A fresh gallery of BASE pictures."""
        shutil.rmtree(self.gallery, ignore_errors=True)
        with Gallery.create(self.gallery, self.model) as gallery:
            gallery.add(pictures(BASE, self.rng), workers=1)

    def prepare(self) -> None:
        if not (self.gallery / "gallery.db").exists():
            self.renew()
        with Gallery.open(self.gallery, self.model) as gallery:
            if len(gallery) > 4 * BASE:
                gallery.delete([i.id for i in gallery.items()][BASE:])
            elif len(gallery) < BASE:
                gallery.add(pictures(BASE, self.rng), workers=1)
            self.before = {item.sha256 for item in gallery.items()}

    @abstractmethod
    def act(self, ledger: Ledger) -> None:
        """The work that is killed."""


class Ingest(_Victim):
    """Takes 24 pictures in, and notes those of each batch when it is told that the batch is in."""

    def act(self, ledger: Ledger) -> None:
        new = pictures(24, self.rng)
        with Gallery.open(self.gallery, self.model) as gallery:

            def told(progress: Any) -> None:
                for _, data in new[: progress.added]:
                    ledger.note("added", _sha(data))

            _run(lambda: gallery.add(new, progress=told, batch_size=_BATCH, workers=2))


class Delete(_Victim):
    """Deletes twelve pictures, two at a time; a deletion is noted before and after."""

    def act(self, ledger: Ledger) -> None:
        with Gallery.open(self.gallery, self.model) as gallery:
            items = gallery.items()
            for at in range(0, 12, 2):
                two = items[at : at + 2]
                for item in two:
                    ledger.note("deleting", item.sha256)
                gallery.delete([i.id for i in two])
                for item in two:
                    ledger.note("deleted", item.sha256)


class Import(_Victim):
    """Imports an export of the gallery under a new name: it is there whole or not at all."""

    def prepare(self) -> None:
        super().prepare()
        shutil.rmtree(self.root / "brought", ignore_errors=True)
        with Gallery.open(self.gallery, self.model) as gallery:
            self.count = export_zip(gallery, self.root / "out.zip")

    def act(self, ledger: Ledger) -> None:
        target = self.root / "brought"
        import_zip(self.root / "out.zip", target, self.model).close()
        ledger.note("imported", self.count)
        if ledger.path.name == "rehearsal":
            shutil.rmtree(target)


class Export(_Victim):
    """Exports over an earlier export: the file is the old or the new one, never half of one."""

    def prepare(self) -> None:
        super().prepare()
        with Gallery.open(self.gallery, self.model) as gallery:
            export_zip(gallery, self.root / "out.zip")

    def act(self, ledger: Ledger) -> None:
        with Gallery.open(self.gallery, self.model) as gallery:
            for _ in range(3):
                try:
                    ledger.note("exported", export_zip(gallery, self.root / "out.zip"))
                except GalleryError as error:  # a writer deletes beside us
                    if "missing" not in str(error):
                        raise


class Reindex(_Victim):
    """Embeds everything for another model, new in each round; the first model's vectors stay."""

    rounds = 0

    def prepare(self) -> None:
        super().prepare()
        self.rounds += 1
        self.other = Hashed(f"other-{self.rounds}")
        with Gallery.open(self.gallery, self.model) as gallery, gallery.store.write() as db:
            db.execute("DELETE FROM vectors WHERE fingerprint <> ?", (self.model.fingerprint,))

    def act(self, ledger: Ledger) -> None:
        with Gallery.open(self.gallery, self.other) as gallery:
            _run(
                lambda: gallery.embed_pending(
                    batch_size=_BATCH, progress=lambda p: ledger.note("embedded", p.added)
                )
            )


VICTIMS: dict[str, Callable[[Path, np.random.Generator], _Victim]] = {
    "ingest": Ingest,
    "delete": Delete,
    "import": Import,
    "export": Export,
    "re-index": Reindex,
}


def write_on(folder: Path, ledger: Ledger, stop: Any, seed: int, number: int) -> None:
    """A writer beside the victim: captions, favourites, pictures of its own, deletions of its own."""
    rng = np.random.default_rng(seed)
    model = Hashed()
    mine: list[tuple[int, str]] = []
    with Gallery.open(folder, model) as gallery:
        while not stop.is_set():
            try:
                what = int(rng.integers(4))
                if what == 0:
                    [(name, data)] = pictures(1, rng)
                    report = gallery.add((name, data), workers=1)
                    if report.added and report.rows[0].item is not None:
                        ledger.note("added", _sha(data))
                        mine.append((report.rows[0].item, _sha(data)))
                elif what == 1 and mine:
                    item, sha = mine.pop()
                    ledger.note("deleting", sha)
                    gallery.delete([item])
                    ledger.note("deleted", sha)
                elif mine:
                    gallery.set_caption(mine[-1][0], f"writer {number} {rng.integers(1000)}")
                else:
                    gallery.set_favourite([int(rng.integers(1, BASE))])
            except BusyError:
                time.sleep(0.01)
            except GalleryError as error:  # the victim deletes what it likes
                if "no picture" not in str(error) and "deleted meanwhile" not in str(error):
                    raise


def read_on(folder: Path, ledger: Ledger, stop: Any, seed: int) -> None:
    """A reader beside the victim: every list, picture and search must work while things change."""
    rng = np.random.default_rng(seed)
    model = Hashed()
    with Gallery.open(folder, model, read_only=True) as gallery:
        while not stop.is_set():
            items = gallery.items(limit=20)
            item = items[int(rng.integers(len(items)))]
            try:
                gallery.picture(item.id)
                gallery.thumbnail(item.id)
            except GalleryError:
                if gallery.items(ids=[item.id]):
                    time.sleep(0.05)  # committed a moment ago: its file is on its way
                    if gallery.items(ids=[item.id]):
                        gallery.picture(item.id)
            scores, ids = gallery.nearest(rng.standard_normal((1, 16)).astype(np.float32), 5)
            assert len(ids[0]) and (np.diff(scores[0]) <= 1e-5).all()


# -- whether a gallery is whole: every promise of the room, checked from the outside ------------------------


class Broken(Exception):
    """A promise that was not kept."""


def check(work: Any, ledger: Ledger) -> None:
    """Open what the round left and compare it with the ledger. Raises Broken."""
    if faults := ledger.values("fault"):
        raise Broken(f"an error that nobody should see: {sorted(faults)[0]}")
    with Gallery.open(work.gallery, work.model) as gallery:
        whole(gallery)
        here = {item.sha256 for item in gallery.items()}
        if back := ledger.values("deleted") & here:
            raise Broken(f"{len(back)} deleted pictures came back")
        promised = (work.before | ledger.values("added")) - ledger.values("deleting")
        if lost := promised - here:
            raise Broken(f"{len(lost)} committed pictures are lost")
        embedded = max((int(n) for n in ledger.values("embedded")), default=0)
        if (
            gallery.indexed().get(getattr(work, "other", work.model).fingerprint, 0)
            + len(ledger.values("deleting"))
            + len(ledger.values("added"))
            < embedded
        ):
            raise Broken(f"fewer than the {embedded} vectors that were reported")
    brought = work.root / "brought"
    if brought.exists():
        with Gallery.open(brought, work.model) as gallery:
            whole(gallery)
            if len(gallery) != work.count:
                raise Broken(f"an import of {work.count} pictures has {len(gallery)}")
    elif ledger.values("imported"):
        raise Broken("an import that was reported is not there")
    if (work.root / "out.zip").exists():
        with zipfile.ZipFile(work.root / "out.zip") as archive:
            if archive.testzip() is not None or "gallery.json" not in archive.namelist():
                raise Broken("an export is not whole")
    for left in work.root.iterdir():
        if left.name.endswith((".importing", ".deleting")):
            raise Broken(f"{left.name} was left after the sweep")


def whole(gallery: Gallery) -> None:
    """No file without a row, no row without a file, every vector found. Raises Broken."""
    if gallery.store.read("PRAGMA integrity_check") != [("ok",)]:
        raise Broken("the database is damaged")
    items = gallery.items()
    files = {p.name for p in (gallery.folder / "pictures").rglob("*") if p.is_file()}
    rows = {f"{item.sha256}{item.suffix}" for item in items}
    if rows - files:
        raise Broken(f"{len(rows - files)} rows without a file")
    if files - rows:
        raise Broken(f"{len(files - rows)} files without a row")
    left = [p for p in gallery.folder.rglob("*.new")] + list((gallery.folder / "incoming").glob("*"))
    if left:
        raise Broken(f"{len(left)} unfinished files were left, first {Path(left[0]).name}")
    if gallery.store.read("SELECT count(*) FROM deleted_files") != [(0,)]:
        raise Broken("a deletion was not finished")
    for item in items:
        if not item.has_vectors:
            raise Broken(f"the picture {item.id} has no vectors")
        if gallery.picture(item.id).size != (16, 12) or not gallery.thumbnail(item.id):
            raise Broken(f"the picture {item.id} is not whole")
    if items:
        ids = gallery.nearest(gallery.pooled([items[0].id]), len(items))[1]
        if set(ids[0].tolist()) != {item.id for item in items}:
            raise Broken("the index does not hold what the store holds")


# -- the rounds ---------------------------------------------------------------------------------------------


def kills(kind: str, root: Path, count: int, seed: int) -> dict[str, Any]:
    """`count` rounds of one kind: how many were killed, and what was broken."""
    rng = np.random.default_rng([seed, list(VICTIMS).index(kind)])
    root.mkdir()
    work = VICTIMS[kind](root, rng)
    work.prepare()
    begun = time.monotonic()
    work.act(Ledger(root / "rehearsal"))
    usual = max(0.02, time.monotonic() - begun)
    (root / "rehearsal").unlink(missing_ok=True)
    killed, problems = 0, []
    for number in range(count):
        work.prepare()
        ledger = Ledger(root / "ledger")
        killed += _round(work, ledger, rng, usual)
        sweep(root)
        try:
            check(work, ledger)
        except Broken as error:
            problems.append(f"round {number}: {error}")
            work.renew()
        ledger.clear()
    return {"rounds": count, "killed": killed, "problems": problems}


def _round(work: Any, ledger: Ledger, rng: np.random.Generator, usual: float) -> bool:
    """One victim, two writers, a reader; whether the victim was killed before it ended."""
    stop = fork.Event()
    seeds = rng.integers(2**31, size=3).tolist()
    beside = [_start(write_on, work.gallery, ledger, stop, seeds[i], i) for i in range(2)]
    beside.append(_start(read_on, work.gallery, ledger, stop, seeds[2]))
    victim = _start(work.act, ledger)
    victim.join(float(rng.uniform(0, 1.2)) * usual * 3)  # three more share the processor
    alive = victim.is_alive()
    if alive:
        os.kill(victim.pid or 0, signal.SIGKILL)
    victim.join()
    stop.set()
    for process in beside:
        process.join(60)
        if process.is_alive():
            process.kill()
            ledger.note("fault", "a writer or reader hung for a minute")
    return alive


def _start(target: Callable[..., Any], *args: Any) -> Any:
    process = fork.Process(target=_quietly, args=(target, *args))
    process.start()
    return process


def _quietly(target: Callable[..., Any], *args: Any) -> None:
    """In the child: an unexpected error is noted in the ledger, not printed."""
    ledger = next(a for a in args if isinstance(a, Ledger))
    try:
        target(*args)
    except BaseException as error:  # noqa: BLE001 - noted, and reported by the check
        ledger.note("fault", f"{getattr(target, '__name__', target)}: {type(error).__name__}: {error}")
    sys.stdout.flush()
    os._exit(0)
