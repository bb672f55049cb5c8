"""Bulk embedding with Ray Data: read and decode in tasks, embed in actors, write Lance fragments, commit.

    job = Job("s3://photos", "s3://sets/museum.lance", partial(Sugar.from_pretrained, "sugar-photo"))
    report = index(job, told=print)

The driver commits what workers wrote every few seconds; only then is it reported. So a killed worker, or a
killed job, loses nothing that was reported, and the next run skips what the table has: files by address, size
and stamp, pictures by content. Not covered: the table (table.py), which files there are (sources.py).
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from PIL import Image

from sugar import ocr
from sugar.cluster.sources import Found, Source, Unit, library
from sugar.cluster.table import Facts, Quality, append, columns, created, finish, ids_of, short
from sugar.errors import BusyError, ImageError, ModelError, SettingsError, SugarError
from sugar.gallery.ingest import embed_each
from sugar.gallery.items import clean_caption, clean_name
from sugar.images import open_image, signature
from sugar.search_words import fold, indexed
from sugar.sequence import Sample

MEASURED = 1_000
"""Photos after which the cost of the rest is told."""

_COMMIT_EVERY = 5.0  # seconds
_IN_ONE = 1_024  # rows of a fragment, and units of one task at most
_STORE = 400_000_000  # bytes of Ray's object store, where Ray is started here
_STARTS = 2  # tries to start Ray here
_KNOWN = "known"  # the error of a picture that the table has already; never written
UNREAD = "It could not be read"


@dataclass(frozen=True)
class Job:
    """One set to be made, or gone on with.

    Args:
        source, out: addresses of the photos and of the table.
        load: makes the model, in every worker.
        model: its name, for people.
        address: of a Ray cluster; "" starts one here, which ends with the job.
        workers: how many models work at once.
        batch: photos per call of the model.
        gpus_per_worker: GPUs that one model holds.
        side: pixels of the longer side that the model is given.
        keep_location: store where a photo was taken.
        ocr: read the text in each photo (sugar/ocr.py).
        only_measure: stop when the cost is known; what was embedded is kept.
    Raises:
        SettingsError: a number out of range.
    """

    source: str
    out: str
    load: Callable[[], Any]
    model: str = ""
    address: str = ""
    workers: int = 1
    batch: int = 64
    gpus_per_worker: float = 0.0
    side: int = 512
    keep_location: bool = False
    ocr: bool = False
    only_measure: bool = False

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("batch", 1), ("side", 1), ("gpus_per_worker", 0)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is {getattr(self, name)}; give at least {least}.")


@dataclass
class JobReport:
    """What a run did. known: pictures that the table had already, by content; skipped: files, by their stamp.

    rows: in the table now, those without a picture included. quality: None where the run was ended early.
    """

    added: int = 0
    failed: int = 0
    known: int = 0
    skipped: int = 0
    rows: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    cost: str = ""
    quality: Quality | None = None

    @property
    def done(self) -> int:
        """Photos that the run looked at."""
        return self.added + self.failed + self.known

    def __str__(self) -> str:
        text = f"{self.added:,} added, {self.failed:,} failed, {self.known + self.skipped:,} there already"
        text += f"; {self.rows:,} rows; {self.rate:.1f} photos/s"
        if self.quality is None:
            return text
        q = self.quality
        if not q.lists:
            return f"{text}; every vector is compared"
        return f"{text}; recall@10 {q.recall:.3f} on {q.queries:,} held-out queries"


def index(job: Job, told: Callable[[str], Any] = lambda line: None) -> JobReport:
    """Embed what the table lacks, then put it in order. told: gets one line now and then.

    Raises SettingsError: Ray or Lance is missing, nothing to read, another model's table; ModelError: the
    model cannot be loaded, or fails at every picture of a batch; BusyError: Ray does not start here.
    """
    started, report = time.monotonic(), JobReport()
    source = Source(job.source)
    units = source.units()
    with connected(job) as ray:
        fingerprint, dimension = ray.get(_model_of(ray, job))
        how = (job.side, job.keep_location, job.ocr)
        facts = Facts(job.model, fingerprint, dimension, source.address, *how)
        table = created(job.out, facts)
        table.delete(f"error LIKE '{UNREAD}%'")  # its storage may answer today
        ids, seen = ids_of(table)
        there = np.isin(np.array([_mark(unit) for unit in units], np.int64), seen)
        left = [unit for unit, known in zip(units, there, strict=True) if not known]
        report.skipped = len(units) - len(left)
        told(f"{len(left):,} of {len(units):,} files to read, {sum(u.size for u in left) / 1e9:,.2f} GB")
        if left:
            table = _embed(job, ray, facts, table, left, np.unique(ids), report, told)
        if not job.only_measure:
            told("putting the table in order: copies, small files, indices")
            report.quality = finish(table)
        report.rows = table.count_rows()
    report.seconds = time.monotonic() - started
    return report


@contextmanager
def connected(job: Job) -> Iterator[Any]:
    """Ray as the job asks for it, until the block ends; what this process is connected to already stays so.

    Started here it has no page, sends no statistics and takes little memory. What a worker raised is raised
    as it was raised there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own 15 starves them on a busy machine
    ray, data, _ = library("ray"), library("ray.data"), library("lance")
    there = ray.is_initialized()
    if not there:
        _start(ray, job)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 32_000_000
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray
    except ray.exceptions.RayError as error:
        raise _named(error) from error
    finally:
        if not there:
            ray.shutdown()


def _start(ray: Any, job: Job) -> None:
    how: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if job.address:
        ray.init(address=job.address, **how)
        return
    cpus = max(job.workers + 1, (os.cpu_count() or 1) if job.gpus_per_worker else 0)
    how |= {"num_cpus": cpus, "object_store_memory": _STORE, "include_dashboard": False}
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # workers find what this finds
    for again in reversed(range(_STARTS)):
        try:
            ray.init(address="local", **how)
            return
        except Exception as error:  # its daemon waits 15 s for its helpers, then dies (ray issue 65983)
            ray.shutdown()
            if not again:
                raise BusyError(
                    f"Ray did not start on this machine, which may be too busy: {error}"
                ) from error


def _model_of(ray: Any, job: Job) -> Any:
    @ray.remote(num_gpus=job.gpus_per_worker, max_retries=0)
    def look(load: Callable[[], Any]) -> tuple[str, int]:
        model = load()
        return model.fingerprint, model.dimension

    return look.remote(job.load)


def _named(error: Exception) -> SugarError:
    cause = getattr(error, "cause", None) or error.__cause__
    while cause is not None and not isinstance(cause, SugarError):
        cause = getattr(cause, "cause", None) or cause.__cause__
    return cause or ModelError(f"The workers ended: {str(error).strip().rpartition(chr(10))[2][:300]}")


def _mark(unit: Unit) -> int:
    """A file as it is now, as 64 bits."""
    text = f"{unit.path}\0{unit.size}\0{unit.stamp}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


def _embed(
    job: Job,
    ray: Any,
    facts: Facts,
    table: Any,
    units: Sequence[Unit],
    known: np.ndarray,
    report: JobReport,
    told: Callable[[str], Any],
) -> Any:
    """Run the pipeline, and commit what comes out of it. Returns the table as it is then."""
    every, read, waiting = sum(u.size for u in units), 0, list[str]()
    began = committed = time.monotonic()
    for row in _stream(job, ray, facts, units, known):
        waiting += row["fragments"]
        report.added += row["added"]
        report.failed += row["failed"]
        report.known += row["known"]
        read += row["bytes"]
        if (now := time.monotonic()) - committed < _COMMIT_EVERY:
            continue
        table, waiting, committed = append(table, waiting), [], now
        report.rate = report.done / (now - began)
        left = _duration((now - began) * max(0, every - read) / max(1, read))
        share = f"{read / max(1, every):.0%}"
        told(f"{report.done:,} photos ({share}), {report.rate:.1f}/s, {left} left, {report.failed:,} failed")
        if not report.cost and report.done >= MEASURED:
            report.cost = _cost(table, report, every, read)
            told(report.cost)
            if job.only_measure:
                return table
    table = append(table, waiting)
    report.rate = report.done / max(1e-9, time.monotonic() - began)
    if not report.cost:
        report.cost = _cost(table, report, every, read)
        told(report.cost)
    return table


def _stream(
    job: Job, ray: Any, facts: Facts, units: Sequence[Unit], known: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Run the tasks and actors: what `write_rows` tells, as it comes. Large files first: they take long."""
    pa, data = library("pyarrow"), library("ray.data")
    pictures = [unit for unit in units if unit.kind == "picture"]
    size = max(1, min(_IN_ONE, len(pictures) // (8 * job.workers)))
    tasks = [[unit] for unit in units if unit.kind != "picture"]
    tasks += [pictures[at : at + size] for at in range(0, len(pictures), size)]
    parts = [pa.table({f.name: [getattr(u, f.name) for u in task] for f in fields(Unit)}) for task in tasks]
    without = replace(job, load=dict)  # the model's libraries are not loaded where pictures are decoded
    decode = functools.partial(_decoded, without, columns(facts), ray.put(known))
    pool = data.ActorPoolStrategy(size=job.workers)
    embedder = {"fn_constructor_args": (job.load, facts), "num_gpus": job.gpus_per_worker or None}
    write, arrow = functools.partial(write_rows, job.out), {"batch_format": "pyarrow"}
    told = (
        data.from_arrow(parts)
        .map_batches(decode, batch_size=None, **arrow)
        .map_batches(_Embed, batch_size=job.batch, compute=pool, **arrow, **embedder)
        .map_batches(write, batch_size=_IN_ONE, num_cpus=0.5, **arrow)
    )
    return iter(told.iter_rows())


def _cost(table: Any, report: JobReport, every: int, read: int) -> str:
    """What the whole will take at the rate of its beginning."""
    photos = report.done * every / max(1, read)
    own = sum(f.file_size_bytes or 0 for x in table.get_fragments() for f in x.data_files())
    each = own / max(1, table.count_rows())
    return (
        f"measured {report.rate:.1f} photos/s: about {photos:,.0f} photos take "
        f"{_duration(photos / report.rate)} with as many workers, and {photos * each / 1e9:,.2f} GB of table "
        f"({each:,.0f} bytes a photo)"
    )


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:,.1f} h"


# -- in the workers


def _decoded(job: Job, schema: Any, known: Any, units: Any) -> Iterator[Any]:
    """Tables of rows with pixels, or with a reason, for a table of units."""
    pa, source, own = library("pyarrow"), Source(job.source), set[bytes]()
    there: np.ndarray = library("ray").get(known)
    wanted = schema.append(pa.field("pixels", pa.large_binary())).append(pa.field("pixels_width", pa.int32()))
    rows: list[dict[str, Any]] = []
    for unit in (Unit(**facts) for facts in units.to_pylist()):
        for found in source.read(unit):
            whole = {"seen": _mark(unit) if found.place < 0 else 0}
            rows.append(_row(found, there, own, job) | whole)
            if len(rows) >= 32:
                yield pa.Table.from_pylist(rows, wanted)
                rows = []
    yield pa.Table.from_pylist(rows, wanted)


def _row(found: Found, there: np.ndarray, own: set[bytes], job: Job) -> dict[str, Any]:
    name = clean_name(found.name)
    row: dict[str, Any] = {"source": found.path, "place": found.place, "bytes": found.size, "name": name}
    if found.data is None:
        row["id"] = hashlib.sha256(
            f"{found.path}\0{found.place}".encode("utf-8", "surrogatepass")
        ).hexdigest()
        return row | {"error": found.problem or UNREAD}
    row["id"] = hashlib.sha256(found.data).hexdigest()
    key = short([row["id"]])[0]
    at = np.searchsorted(there, key)
    if key in own or (at < len(there) and there[at] == key):
        return row | {"error": _KNOWN}
    own.add(key)
    try:
        picture = open_image(found.data, max_side=job.side, keep_location=job.keep_location, name=found.name)
        text = "\n".join(line.text for line in ocr.read(_large(found))) if job.ocr else ""
    except ImageError as error:
        return row | {"error": str(error)}
    caption, taken = clean_caption(found.caption), picture.taken
    latitude, longitude = picture.location or (None, None)
    dates = f"{taken:%Y-%m-%d} {taken:%B} {taken:%b}" if taken else ""
    same = ("width", "height", "format", "camera", "taken", "day_from_name")
    return row | {
        **{key: getattr(picture, key) for key in same},
        "caption": caption,
        "latitude": latitude,
        "longitude": longitude,
        "name_folded": fold(name),
        "caption_folded": fold(caption),
        "words": indexed(f"{name} {caption} {dates} {text}"),
        **({"text": text} if job.ocr else {}),
        "signature": signature(picture.image),
        "pixels": picture.image.tobytes(),
        "pixels_width": picture.image.width,
    }


def _large(found: Found) -> Image.Image:
    """A picture as large as text in it is read from. Raises ImageError."""
    assert found.data is not None
    return open_image(found.data, max_side=ocr.SIDE, name=found.name).image


class _Embed:
    """An actor: one model, and the vectors of a batch at a time."""

    def __init__(self, load: Callable[[], Any], facts: Facts) -> None:
        self.model, self.facts = load(), facts

    def __call__(self, rows: Any) -> Any:
        pa, found = library("pyarrow"), rows.to_pylist()
        good = [row for row in found if row["error"] is None]
        samples = []
        for row in good:
            width = row["pixels_width"]
            image = Image.frombytes("RGB", (width, len(row["pixels"]) // (3 * width)), row["pixels"])
            samples.append(Sample([image, row["caption"]] if row["caption"] else [image]))
        vectors, faults = embed_each(self.model, samples)
        for row, vector, fault in zip(good, vectors, faults, strict=True):
            if vector is None:
                row["error"] = fault
            else:
                slices = vector[0].astype("<f2")
                row |= {"vector": slices[0], "slices": slices[1:].tobytes()}
                row["fingerprint"] = self.facts.fingerprint
        return pa.Table.from_pylist(found, columns(self.facts))


def write_rows(out: str, rows: Any) -> Any:
    """Write fragments of those rows that the table lacks; a table of one row about them, for the driver."""
    pa, errors = library("pyarrow"), rows["error"].to_pylist()
    fresh = rows.filter(pa.array([error != _KNOWN for error in errors], pa.bool_()))
    fragments = []
    if fresh.num_rows:
        write = library("lance.fragment").write_fragments
        fragments = write(fresh, out, schema=fresh.schema, mode="append", enable_stable_row_ids=True)
    added, known = errors.count(None), errors.count(_KNOWN)
    told = {"added": [added], "known": [known], "failed": [len(errors) - added - known]}
    told["bytes"] = [sum(rows["bytes"].to_pylist())]
    return pa.table(told | {"fragments": [[json.dumps(f.to_json()) for f in fragments]]})
