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
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from PIL import Image

from sugar.cluster.sources import Found, Source, Unit, library
from sugar.cluster.table import Facts, Quality, append, columns, created, finish, ids_of, short
from sugar.errors import BusyError, ImageError, ModelError, SettingsError, SugarError
from sugar.gallery.ingest import embed_each
from sugar.gallery.items import clean_caption, clean_name
from sugar.images import open_image, signature
from sugar.search_words import fold, indexed
from sugar.sequence import Sample

__all__ = ["Job", "JobReport", "index", "write_rows"]

MEASURED = 1_000
"""Photos after which the cost of the rest is told."""

_COMMIT_EVERY = 5.0  # seconds
_IN_ONE = 1_024  # rows of a fragment, and units of one task at most
_STORE = 400_000_000  # bytes of Ray's object store, where Ray is started here
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
    only_measure: bool = False

    def __post_init__(self) -> None:
        for name in ("workers", "batch", "side"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; give at least 1.")
        if self.gpus_per_worker < 0:
            raise SettingsError(f"gpus_per_worker is {self.gpus_per_worker}; give 0 or more.")


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
    ray = _ray(job)
    try:
        fingerprint, dimension = ray.get(_model_of(ray, job))
        facts = Facts(job.model, fingerprint, dimension, source.address, job.side, job.keep_location)
        table = created(job.out, facts)
        table.delete(f"error LIKE '{UNREAD}%'")  # its storage may answer today
        ids, _, seen = ids_of(table)
        left = _unseen(units, seen)
        report.skipped = len(units) - len(left)
        told(f"{len(left):,} of {len(units):,} files to read, {sum(u.bytes for u in left) / 1e9:,.2f} GB")
        if left:
            table = _embed(job, ray, facts, table, left, np.unique(ids), report, told)
        if not job.only_measure:
            told("putting the table in order: copies, small files, indices")
            report.quality = finish(table)
        report.rows = table.count_rows()
    except ray.exceptions.RayError as error:
        raise _named(error) from error
    finally:
        ray.shutdown()
    report.seconds = time.monotonic() - started
    return report


def _ray(job: Job) -> Any:
    """Ray, connected or started here: no page, no statistics sent, little memory."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own 15 starves them on a busy machine
    ray, data = library("ray"), library("ray.data")
    library("lance")
    how: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if job.address:
        ray.init(address=job.address, **how)
    else:
        cpus = max(job.workers + 1, (os.cpu_count() or 1) if job.gpus_per_worker else 0)
        how |= {"num_cpus": cpus, "object_store_memory": _STORE, "include_dashboard": False}
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # workers find what this finds
        try:
            ray.init(address="local", **how)
        except Exception as error:  # it waits 30 seconds for its own processes, and says so in this way only
            ray.shutdown()
            raise BusyError(f"Ray did not start on this machine, which may be too busy: {error}") from error
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 32_000_000
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _model_of(ray: Any, job: Job) -> Any:
    @ray.remote(num_gpus=job.gpus_per_worker, max_retries=0)
    def look(load: Callable[[], Any]) -> tuple[str, int]:
        model = load()
        return model.fingerprint, model.dimension

    return look.remote(job.load)


def _named(error: Exception) -> SugarError:
    """What a worker raised, as it was raised there."""
    cause = getattr(error, "cause", None) or error.__cause__
    while cause is not None and not isinstance(cause, SugarError):
        cause = getattr(cause, "cause", None) or cause.__cause__
    return cause or ModelError(f"The workers ended: {str(error).strip().splitlines()[-1][:300]}")


def _unseen(units: Sequence[Unit], seen: np.ndarray) -> list[Unit]:
    known = np.sort(seen)
    marks = np.array([_mark(unit) for unit in units], np.int64)
    return [unit for unit, there in zip(units, np.isin(marks, known), strict=True) if not there]


def _mark(unit: Unit) -> int:
    """A file as it is now, as 64 bits."""
    text = f"{unit.path}\0{unit.bytes}\0{unit.stamp}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


def _embed(
    job: Job,
    ray: Any,
    facts: Facts,
    table: Any,
    units: list[Unit],
    known: np.ndarray,
    report: JobReport,
    told: Callable[[str], Any],
) -> Any:
    """Run the pipeline, and commit what comes out of it. Returns the table as it is then."""
    pa, data = library("pyarrow"), library("ray.data")
    pictures = [unit for unit in units if unit.is_picture]
    size = max(1, min(_IN_ONE, len(pictures) // (8 * job.workers)))
    tasks = [[unit] for unit in units if not unit.is_picture]  # the long ones first
    tasks += [pictures[at : at + size] for at in range(0, len(pictures), size)]
    parts = [pa.table({f.name: [getattr(u, f.name) for u in task] for f in fields(Unit)}) for task in tasks]
    there = ray.put(known)
    decode = functools.partial(_decoded, job.source, job.side, job.keep_location, columns(facts), there)
    embedder = {"fn_constructor_args": (job.load, facts), "num_gpus": job.gpus_per_worker or None}
    pool = data.ActorPoolStrategy(size=job.workers)
    stream = (
        data.from_arrow(parts)
        .map_batches(decode, batch_size=None, batch_format="pyarrow")
        .map_batches(_Embed, batch_size=job.batch, batch_format="pyarrow", compute=pool, **embedder)
        .map_batches(
            functools.partial(write_rows, job.out), batch_size=_IN_ONE, batch_format="pyarrow", num_cpus=0.5
        )
    )
    every, waiting = sum(u.bytes for u in units), list[dict[str, Any]]()
    committed, first, read = time.monotonic(), 0.0, 0

    def commit() -> Any:
        nonlocal committed, first, read
        fragments = [f for row in waiting for f in row["fragments"]]
        newer = append(table, fragments) if fragments else table
        for row in waiting:
            report.added += row["added"]
            report.failed += row["failed"]
            report.known += row["known"]
            read += row["bytes"]
        waiting.clear()
        committed = time.monotonic()
        first = first or committed
        return newer

    began = time.monotonic()
    for row in stream.iter_rows():
        waiting.append(row)
        if time.monotonic() - committed < _COMMIT_EVERY:
            continue
        table = commit()
        done = report.added + report.failed + report.known
        elapsed = time.monotonic() - began
        report.rate = done / elapsed
        left = elapsed * max(0, every - read) / max(1, read)
        told(
            f"{done:,} photos ({read / max(1, every):.0%}), {report.rate:.1f}/s, {_duration(left)} left, "
            f"{report.failed:,} failed"
        )
        if not report.cost and done >= MEASURED:
            report.cost = _cost(table, report, every, read)
            told(report.cost)
            if job.only_measure:
                return table
    table = commit()
    report.rate = (report.added + report.failed + report.known) / max(1e-9, time.monotonic() - began)
    report.cost = report.cost or _cost(table, report, every, read)
    told(report.cost)
    return table


def _cost(table: Any, report: JobReport, every: int, read: int) -> str:
    """What the whole will take at the rate of its beginning."""
    photos = (report.added + report.failed + report.known) * every / max(1, read)
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


def _decoded(
    address: str, side: int, keep_location: bool, schema: Any, known: Any, units: Any
) -> Iterator[Any]:
    """Tables of rows with pixels, or with a reason, for a table of units."""
    pa, source = library("pyarrow"), Source(address)
    there: np.ndarray = library("ray").get(known)
    wanted = schema.append(pa.field("pixels", pa.large_binary())).append(pa.field("pixels_width", pa.int32()))
    rows: list[dict[str, Any]] = []
    own: set[bytes] = set()
    for facts in units.to_pylist():
        unit = Unit(**facts)
        for found in source.read(unit):
            row = _row(unit, found, there, own, side, keep_location)
            rows.append(row)
            if len(rows) >= 32:
                yield pa.Table.from_pylist(rows, wanted)
                rows = []
    yield pa.Table.from_pylist(rows, wanted)


def _row(
    unit: Unit, found: Found, there: np.ndarray, own: set[bytes], side: int, keep_location: bool
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source": found.path,
        "place": found.place,
        "bytes": found.bytes,
        "seen": _mark(unit) if found.place < 0 else 0,
    }
    row["name"] = clean_name(found.name)
    if found.data is None:
        return row | {"id": _unread_id(found), "error": found.problem or UNREAD}
    row["id"] = hashlib.sha256(found.data).hexdigest()
    key = short([row["id"]])[0]
    if key in own or (len(there) and there[min(np.searchsorted(there, key), len(there) - 1)] == key):
        return row | {"error": _KNOWN}
    own.add(key)
    try:
        picture = open_image(found.data, max_side=side, keep_location=keep_location, name=found.name)
    except ImageError as error:
        return row | {"error": str(error)}
    caption, place = clean_caption(found.caption), picture.location or (None, None)
    taken = picture.taken
    dates = f"{taken:%Y-%m-%d} {taken:%B} {taken:%b}" if taken else ""
    return row | {
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "camera": picture.camera,
        "taken": taken,
        "day_from_name": picture.day_from_name,
        "caption": caption,
        "latitude": place[0],
        "longitude": place[1],
        "name_folded": fold(row["name"]),
        "caption_folded": fold(caption),
        "words": indexed(f"{row['name']} {caption} {dates}"),
        "signature": signature(picture.image),
        "pixels": picture.image.tobytes(),
        "pixels_width": picture.image.width,
    }


def _unread_id(found: Found) -> str:
    return hashlib.sha256(f"{found.path}\0{found.place}".encode("utf-8", "surrogatepass")).hexdigest()


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
            height = len(row["pixels"]) // (3 * width)
            image = Image.frombytes("RGB", (width, height), row["pixels"])
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
