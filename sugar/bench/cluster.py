"""Measure collections: `python -m sugar bench cluster`, and `--quick` for a look at every part in minutes.

    python -m sugar bench cluster --photos DIR              # 200,000 rows, 2,000 of them photos of DIR
    python -m sugar bench cluster --only sizes --sizes 10000,100000,1000000

set: rows are indexed by two workers, the job is killed twice and goes on; then what is searched, opened and
held. photos: what one costs a worker. workers: photos a second with one and two. sizes: a query on synthetic
rows on disk. Photos are real or drawn and embedded by the model; the other rows are pictures of 8 x 8 pixels
with made-up clustered vectors, through the same job. "Of the processor" is its time in all threads, which
other work on the machine hardly changes. Not covered: object storage, many machines (sugar/cluster/README.md
derives those).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
from PIL import Image

from sugar import Sugar, cluster
from sugar.bench.app import ROOT, started
from sugar.cluster.job import write_rows
from sugar.cluster.sources import library
from sugar.cluster.table import Facts, append, columns, created, existing_table, finish, ids_of
from sugar.images import open_image
from sugar.retrieval import SearchOptions, search
from sugar.sequence import Embeddings, Sample

PARTS = ("set", "photos", "workers", "sizes")
ROWS_A_FILE = 2_500
RANDOM = np.random.default_rng
QUERIES = ["two dogs in the snow", "a red car", "people at a table", "a child on a beach", "a bird"]
Row = Callable[..., None]


OPTIONS = {
    "quick": (False, "3,000 rows, 48 photos, 10,000 synthetic rows"),
    "model": ("sugar-photo", "preset or folder"),
    "photos": (None, "a folder of photos; without one they are drawn"),
    "rows": (int, "of the set (200000)"),
    "real": (int, "how many of them are photos (2000)"),
    "sizes": (None, "numbers of synthetic rows (10000,100000,1000000)"),
    "only": (("all", *PARTS), "one part"),
    "keep": (None, "folder for the set, which then stays and is gone on with"),
    "address": ("", "of a Ray cluster; without it Ray starts here"),
}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print a table."""
    rows: list[dict[str, Any]] = []

    def row(name: str, value: float, unit: str, aim: str = "", met: bool | None = None) -> None:
        rows.append({"row": name, "value": value, "unit": unit, **({"aim": aim, "met": met} if aim else {})})
        print(f"  {name:<62} {value:>12,.4g} {unit}{f'   aim {aim}: {met}' if aim else ''}", flush=True)

    real = options.real or (48 if options.quick else 2_000)
    count = options.rows or (3_000 if options.quick else 200_000)
    sizes = options.sizes or ("10000" if options.quick else "10000,100000,1000000")
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS if options.only == "all" else [options.only]:
            if part == "set":
                _set(Path(options.keep or folder), options, count, real, row)
            elif part == "photos":
                _photos(Path(folder) / "p", options, min(real, 64), row)
            elif part == "workers":
                _workers(Path(folder) / "w", options, real, row)
            else:
                for size in map(int, sizes.split(",")):
                    _sized(Path(folder) / f"{size}.lance", size, row)
    return {"quick": options.quick, "model": options.model, "cores": cores(), "rows": rows}


# -- what is indexed


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def photo(seed: int, width: int, height: int) -> bytes:
    """A JPEG with structure at every scale, as large as a camera's of that size at quality 88."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height))
    for cells in (4, 24, 160):
        layer = Image.fromarray(rng.integers(0, 255, (cells, cells, 3), dtype=np.uint8)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        image = Image.blend(image, layer, 0.5)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=88)
    return out.getvalue()


class Mixed:
    """A model that makes up the vectors of pictures of 8 x 8 pixels, and embeds all others."""

    def __init__(self, name: str) -> None:
        self.model = Sugar.from_pretrained(name)
        self.fingerprint, self.dimension = self.model.fingerprint, self.model.dimension
        self.centres = RANDOM(0).standard_normal((2_000, self.dimension))

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings:
        """As `Sugar.embed`."""
        tiny = [i for i, sample in enumerate(samples) if sample.images[0].size == (8, 8)]
        others = [i for i in range(len(samples)) if i not in set(tiny)]
        slices: dict[int, np.ndarray] = {}
        if others:
            slices.update(zip(others, self.model.embed([samples[i] for i in others]).slices, strict=True))
        for i in tiny:
            rng = RANDOM(np.frombuffer(samples[i].images[0].tobytes()[:16], np.uint32))
            noise = rng.standard_normal((len(samples[i]), self.dimension))
            made = self.centres[rng.integers(len(self.centres))] + 0.7 * noise
            slices[i] = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
        rows = [slices[i] for i in range(len(samples))]
        flags = [np.array([s.is_image for s in sample]) for sample in samples]
        return Embeddings(np.stack([r[-1] for r in rows]), rows, flags)


def _tiny(rng: np.random.Generator) -> bytes:
    """A BMP of 8 x 8 pixels, 246 bytes."""
    head = b"BM" + (246).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    head += (40).to_bytes(4, "little") + (8).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(24)
    return head + rng.bytes(192)


def _fill(source: Path, photos: str | None, real: int, tiny: int) -> None:
    """Photos as files, the others as Parquet files of 2,500 rows with captions."""
    (source / "photos").mkdir(parents=True)
    given = sorted(p for p in Path(photos).iterdir() if p.suffix != ".txt")[:real] if photos else []
    for number in range(real):
        data = given[number].read_bytes() if number < len(given) else photo(number, 640, 480)
        (source / "photos" / f"{number:06}.jpg").write_bytes(data)
        if number < len(given) and (said := given[number].with_suffix(".txt")).exists():
            shutil.copy(said, source / "photos" / f"{number:06}.txt")
    pa, parquet = library("pyarrow"), library("pyarrow.parquet")
    (source / "files").mkdir()
    rng, words = RANDOM(1), " ".join(QUERIES).split()
    for at in range(0, tiny, ROWS_A_FILE):
        size = min(ROWS_A_FILE, tiny - at)
        texts = [" ".join(rng.choice(words, 4)) for _ in range(size)]
        table = pa.table({"image": [_tiny(rng) for _ in range(size)], "caption": texts})
        parquet.write_table(table, source / "files" / f"{at:07}.parquet")


def job(source: str, out: str, workers: int, model: str, address: str) -> None:
    """Run a job and print what it reports as JSON; called in a process of its own."""
    asked = cluster.Job(source, out, partial(Mixed, model), model, address=address, workers=workers)
    report = cluster.index(asked, told=partial(print, flush=True))
    print(json.dumps({"rate": report.rate, "seconds": report.seconds}))


def _started(source: Path, out: Path, workers: int, options: Any) -> subprocess.Popen[str]:
    asked = (str(source), str(out), workers, options.model, options.address)
    code = f"from sugar.bench.cluster import job; job(*{asked!r})"
    return subprocess.Popen(
        [sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, start_new_session=True
    )


# -- the parts


def _set(folder: Path, options: Any, count: int, real: int, row: Row) -> None:
    source, out = folder / "source", folder / "set.lance"
    if not source.exists():
        _fill(source, options.photos, real, count - real)
    print(f"set: {count:,} rows, {real:,} of them photos, two workers on {cores()} cores, killed twice")
    start, lost, kept, kills = time.monotonic(), 0, np.zeros(0, "S16"), [count // 4, count // 2]
    while True:
        process, killed = _started(source, out, 2, options), False
        while process.poll() is None:
            time.sleep(2)
            if kills and out.exists() and len(ids_of(existing_table(str(out)))[0]) >= kills[0]:
                os.killpg(process.pid, signal.SIGKILL)
                killed = True
                kills.pop(0)
                break
        said = process.communicate()[0].strip().rpartition("\n")[2]
        print("  killed" if killed else "  ended", said, flush=True)
        ids = ids_of(existing_table(str(out)))[0]
        lost += len(np.setdiff1d(kept, ids))
        kept = ids
        print(f"  {len(ids):,} rows, {time.monotonic() - start:.0f} s", flush=True)
        if not killed:
            break
    took, facts = time.monotonic() - start, cluster.shown(str(out))
    row("rows with a picture", facts["pictures"], "", f"{count:,}", facts["pictures"] == count)
    row("rows lost or doubled by two kills", lost + len(kept) - len(np.unique(kept)), "", "0", lost == 0)
    row("indexing, kills and restarts included", count / took, "rows/s")
    row("disk a row", _disk(out) / count, "bytes")
    row("recall@10 on held-out queries", facts["recall"], "", ">= .95", facts["recall"] >= 0.95)
    model = Sugar.from_pretrained(options.model)
    start = time.monotonic()
    with cluster.Collection.open(str(out), model, name="bench") as collection:
        collection.listing()
        took = time.monotonic() - start
        row("opened, and the newest listed", took, "s", "< 2", took < 2)
        _searched(collection, model, row)
    _app(options.model, out, row)


def _searched(collection: Any, model: Any, row: Row) -> None:
    """Text queries with the words looked up too; the model's share by itself."""
    for query in QUERIES:
        search(collection, model, Sample(query), SearchOptions(), keywords=query)
    whole = [_timed(search, collection, model, Sample(q), SearchOptions(), keywords=q) for q in QUERIES * 10]
    _took("a text query, warm, embedding included", whole, row, aim=50)
    _took("of it the model's embedding", [_timed(model.embed, [Sample(q)]) for q in QUERIES * 10], row)


def _timed(asked: Callable[..., Any], *args: Any, **more: Any) -> tuple[float, float]:
    """Milliseconds that a call took, and those of the processor in it, which other work hardly changes."""
    start, busy = time.perf_counter(), time.process_time()
    asked(*args, **more)
    return 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - busy)


def _took(name: str, times: list[tuple[float, float]], row: Row, aim: float = 0.0) -> None:
    (p50, busy), (p95, _) = np.percentile(times, [50, 95], axis=0).tolist()
    row(f"{name}, p50", p50, "ms", *((f"<= {aim:g}", p50 <= aim) if aim else ()))
    row(f"{name}, p95", p95, "ms")
    row(f"{name}, of the processor, p50", busy, "ms")


def _app(model: str, out: Path, row: Row) -> None:
    """The app in a process of its own, asked over HTTP."""
    flags = ("--collection", f"bench={out}", "--gallery", str(ROOT / "gallery_index"))
    with started(model, *flags) as (process, url, _):
        http = httpx.Client(base_url=f"{url}gradio_api/", timeout=300)

        def ask(name: str, **asked: Any) -> float:
            start = time.monotonic()
            event = http.post(f"call/v2/{name}", json=asked).raise_for_status().json()["event_id"]
            with http.stream("GET", f"call/v2/{name}/{event}") as stream:
                said = "".join(stream.iter_text())
            assert "event: complete" in said, said[:300]
            return time.monotonic() - start

        ask("search", query=QUERIES[0], gallery="sample")  # the model is loaded
        first = ask("search", query=QUERIES[0], gallery="bench")
        row("app: first search of the collection, opening included", first, "s", "< 2", first < 2)
        warm = float(np.median([ask("search", query=q, gallery="bench") for q in QUERIES * 2]))
        row("app: search over HTTP, warm, p50", 1000 * warm, "ms")
        held = process.memory_info().rss / 1e6
        row("app: memory", held, "MB", "< 1000", held < 1000)


def _photos(folder: Path, options: Any, real: int, row: Row) -> None:
    """What a worker does with a photo, without Ray, in batches of 16."""
    _fill(folder, options.photos, real, 0)
    model, files = Sugar.from_pretrained(options.model), sorted((folder / "photos").glob("*.jpg"))

    def embedded(paths: Sequence[Path]) -> None:
        model.embed([Sample([open_image(path, max_side=512).image]) for path in paths])

    embedded(files[:2])
    times = [_timed(embedded, files[at : at + 16]) for at in range(0, real, 16)]
    row("a photo read and embedded, of the processor", sum(busy for _, busy in times) / real, "ms")


def _workers(folder: Path, options: Any, real: int, row: Row) -> None:
    _fill(folder / "source", options.photos, real, 0)
    print(f"workers: {real:,} photos")
    for workers in (1, 2):
        process = _started(folder / "source", folder / f"{workers}.lance", workers, options)
        said = process.communicate()[0].strip().splitlines()
        assert process.returncode == 0, said[-3:]
        rate = json.loads(said[-1])["rate"]
        row(f"photos a second, {workers} workers, the start of the models included", rate, "photos/s")


def _sized(out: Path, count: int, row: Row, dimension: int = 256) -> None:
    """A query on synthetic rows on disk, without a model."""
    facts, rng = Facts("synthetic", "bench", dimension, "memory://", 512, False), RANDOM(0)
    table, schema, pa = created(str(out), facts), columns(facts), library("pyarrow")
    centres = rng.standard_normal((max(8, count // 100), dimension))
    same = {"source": "", "seen": 0, "bytes": 1, "width": 1, "height": 1, "format": "JPEG", "camera": ""}
    same |= {"day_from_name": False, "caption": "", "caption_folded": "", "slices": b""}
    same["signature"] = bytes(192)

    def near(size: int) -> np.ndarray:
        made = centres[rng.integers(len(centres), size=size)] + 0.7 * rng.standard_normal((size, dimension))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    for at in range(0, count, 20_000):
        names = [f"{n:08}.jpg" for n in range(at, min(at + 20_000, count))]
        own = ("name", "name_folded", "words")
        rows = [same | {"id": f"{n[:8]:0<64}", "place": int(n[:8]), **dict.fromkeys(own, n)} for n in names]
        flat = pa.array(near(len(names)).astype(np.float16).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, dimension)
        number = schema.get_field_index("vector")
        given = pa.Table.from_pylist(rows, schema).set_column(number, schema.field(number), vectors)
        table = append(table, write_rows(str(out), given).to_pylist()[0]["fragments"])
    took, busy = _timed(finish, table)
    row(f"{count:,}: the indices built and recall measured", took / 1000, "s")
    row(f"{count:,}: the same, of the processor", busy / 1000, "s")
    row(f"{count:,}: recall@10", cluster.shown(str(out))["recall"], "")
    row(f"{count:,}: disk a row", _disk(out) / count, "bytes")
    model: Any = SimpleNamespace(fingerprint="bench", dimension=dimension)
    with cluster.Collection.open(str(out), model) as collection:

        def best(query: np.ndarray) -> None:
            collection.slices(collection.nearest(query[None], 100)[1][0].tolist())

        times = [_timed(best, query) for query in near(60)][10:]
        _took(f"{count:,}: the best 100 with their vectors, warm", times, row)


def _disk(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
