"""Measure a gallery: `python -m sugar bench gallery`, and `--quick` for a look in a minute.

    python -m sugar bench gallery                               # indexing, search (10k to 1M vectors), memory
    python -m sugar bench gallery --only search --sizes 100000  # one part
    python -m sugar bench gallery --model shape                 # the embedded model's shape, random weights

indexing: Gallery.add against one picture at a time, and against the model's own batched time. search: latency
against bare FAISS flat on the same vectors, and recall@10. memory: the peak above the warmed model while
photos are taken in (Linux). Not covered: quality (`sugar evaluate`), the core (`bench core`), a cold disk.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sugar.core import Sugar
from sugar.gallery import Gallery
from sugar.images import open_image
from sugar.retrieval import SearchOptions, approximate_recall, search
from sugar.sequence import Embeddings, Sample

PARTS = ("indexing", "search", "memory")
Clock = Callable[[], float]
_K = 12
_SHORTLIST = 100


def run(args: list[str]) -> dict[str, Any]:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m sugar bench gallery")
    parser.add_argument("--quick", action="store_true", help="64 pictures, 10k vectors, 24 photos")
    parser.add_argument("--model", default="sugar-photo", help="preset or folder; `shape`: random weights")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be repeated")
    parser.add_argument("--pictures", type=int, help="of 2 megapixels, for indexing (1000)")
    parser.add_argument("--photos", type=int, help="of 12 megapixels, for memory (500)")
    parser.add_argument("--sizes", help="numbers of vectors, for search (10000,100000,1000000)")
    parser.add_argument("--dimension", type=int, default=256, help="of synthetic vectors (%(default)s)")
    parser.add_argument("--memory-child", help=argparse.SUPPRESS)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a busy machine")
    options = parser.parse_args(args)
    if options.memory_child:
        return _memory_child(Path(options.memory_child), options.model)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    pictures = options.pictures or (64 if options.quick else 1000)
    photos = options.photos or (24 if options.quick else 500)
    sizes = options.sizes or ("10000" if options.quick else "10000,100000,1000000")
    rows: list[dict[str, Any]] = []

    def row(name: str, value: float, unit: str, aim: str = "", met: bool | None = None, **more: Any) -> None:
        judged = {"aim": aim, "met": met} if aim else {}
        rows.append({"row": name, "value": value, "unit": unit, **judged, **more})
        shown = f"   aim {aim}: {'met' if met else 'missed'}" if aim else ""
        print(f"  {name:<66} {value:>12,.4g} {unit}{shown}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for part in options.only or PARTS:
            if part == "indexing":
                _indexing(Path(folder), load(options.model), pictures, clock, row)
            elif part == "search":
                for size in map(int, sizes.split(",")):
                    _searching(Path(folder) / f"s{size}", size, options.dimension, clock, row)
            else:
                _memory(Path(folder), options.model, photos, row)
    return {"quick": options.quick, "clock": options.clock, "model": options.model, "rows": rows}


def load(name: str) -> Sugar:
    """A model by preset or folder; `shape` has the embedded one's shape and random weights."""
    if name != "shape":
        return Sugar.from_pretrained(name)
    from sugar.bench.core import shaped

    with tempfile.TemporaryDirectory() as folder:  # saved and opened, as any model is
        shaped("tiny").save_pretrained(folder)
        return Sugar.from_pretrained(folder)


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


def _indexing(root: Path, model: Sugar, count: int, clock: Clock, row: Callable[..., None]) -> None:
    folder = root / "pictures"
    folder.mkdir()
    for i in range(count):
        (folder / f"{i:05}.jpg").write_bytes(photo(i, 1632, 1224))
    paths = sorted(folder.iterdir())
    megabytes = sum(p.stat().st_size for p in paths) / 1e6
    print(f"indexing: {count:,} JPEGs of 1632 x 1224, {megabytes:.0f} MB")
    model.embed([Sample(open_image(p, max_side=1024).image) for p in paths[:8]])  # warm
    few = paths[: max(16, count // 5)]

    def timed(work: Callable[[], Any]) -> float:
        start = clock()
        work()
        return clock() - start

    decoded = [Sample(open_image(p, max_side=1024).image) for p in few]
    starts = range(0, len(few), 32)
    single = timed(lambda: [model.embed([Sample(open_image(p).image)]) for p in few]) / len(few)
    batched = timed(lambda: [model.embed(decoded[at : at + 32]) for at in starts]) / len(few)
    decoding = timed(lambda: [open_image(p, max_side=1024) for p in few]) / len(few)
    with Gallery.create(root / "g", model) as gallery:
        ours = timed(lambda: gallery.add(folder)) / count
        again = timed(lambda: gallery.add(folder))
        assert len(gallery) == count
    disk = sum(p.stat().st_size for p in (root / "g").rglob("*") if p.is_file()) / count
    row("Gallery.add", 1 / ours, "pictures/s", n=count)
    row("one at a time: open, embed", 1 / single, "pictures/s", n=len(few))
    row("the model alone, batches of 32, decoded beforehand", 1 / batched, "pictures/s", n=len(few))
    row("decoding alone, one thread", 1 / decoding, "pictures/s", n=len(few))
    row("Gallery.add against one at a time", single / ours, "x", ">= 3", single / ours >= 3)
    over = ours / batched
    row("Gallery.add's time over the model's batched time", over, "x", "<= 1.2", over <= 1.2, cores=cores())
    row("the same folder again", 1000 * again, "ms", n=count)
    row("disk per picture (kept copy, thumbnail, vectors)", disk / 1000, "kB")


class _Vectors:
    """An embedder that answers with prepared vectors: search is timed without a model."""

    fingerprint = "bench"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.next = np.zeros((1, dimension), np.float32)

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings:
        """The row in `next`, for one sample."""
        return Embeddings(self.next, [self.next], [np.zeros(1, bool)])


def clustered(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """(count, dimension) float32 unit rows around count / 100 centres: as embeddings lie, not evenly."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(8, count // 100), dimension)).astype(np.float32)
    rows = np.empty((count, dimension), np.float32)
    for at in range(0, count, 50_000):
        part = rows[at : at + 50_000]
        part[:] = centres[rng.integers(len(centres), size=len(part))] + 0.7 * rng.standard_normal(
            part.shape
        ).astype(np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def synthetic(folder: Path, rows: np.ndarray, model: Any) -> None:
    """A closed gallery with these vectors and no pictures, through the store's own tables."""
    rng = np.random.default_rng(1)
    with Gallery.create(folder, model) as gallery:
        for at in range(0, len(rows), 20_000):
            ids = range(at + 1, min(at + 20_000, len(rows)) + 1)
            signatures = rng.integers(0, 255, (len(ids), 192), dtype=np.uint8)
            with gallery.store.write() as db:
                db.executemany(
                    "INSERT INTO items (id, sha256, name, caption, width, height, format, bytes, camera, "
                    "added, suffix, signature) "
                    "VALUES (?, ?, ?, '', 1600, 1200, 'JPEG', 500000, '', '2026-01-01', '.jpg', ?)",
                    (
                        (i, hashlib.sha256(b"%d" % i).hexdigest(), f"{i}.jpg", m.tobytes())
                        for i, m in zip(ids, signatures, strict=True)
                    ),
                )
                db.execute("INSERT OR IGNORE INTO models VALUES (?, ?)", (model.fingerprint, model.dimension))
                db.executemany(
                    "INSERT INTO vectors (item, fingerprint, slices, is_image) VALUES (?, ?, ?, ?)",
                    ((i, model.fingerprint, rows[i - 1].tobytes(), b"\x01") for i in ids),
                )
        gallery.nearest(rows[:1], 1)


def _searching(folder: Path, count: int, dimension: int, clock: Clock, row: Callable[..., None]) -> None:
    import faiss

    print(f"search: {count:,} clustered vectors of {dimension}, k = {_K}, shortlist {_SHORTLIST}")
    faiss.omp_set_num_threads(1)
    rows, rng = clustered(count, dimension), np.random.default_rng(2)
    model = _Vectors(dimension)
    start = clock()
    synthetic(folder, rows, model)
    building = clock() - start
    noise = rng.standard_normal((100, dimension)).astype(np.float32)
    queries = rows[rng.integers(count, size=100)] + 0.03 * noise
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    flat = faiss.IndexFlatIP(dimension)
    flat.add(rows)
    del rows
    before = _status("VmRSS")
    start = clock()
    gallery = Gallery.open(folder, model, read_only=True)
    gallery.index_info  # noqa: B018 - the first question loads what is loaded lazily
    opening = clock() - start
    bare, ours = [], []
    for query in [*queries[:5], *queries]:  # both take turns, so that a busy moment strikes both
        start = clock()
        flat.search(query[None], _SHORTLIST)
        middle = clock()
        model.next = query[None]
        hits = search(gallery, model, Sample("x"), SearchOptions(k=_K, shortlist=_SHORTLIST))
        ours.append(clock() - middle)
        bare.append(middle - start)
        assert len(hits) == _K
    memory = (_status("VmRSS") - before) / count
    p50, p95 = (1000 * float(v) for v in np.percentile(ours[5:], [50, 95]))
    floor = 1000 * statistics.median(bare[5:])
    kind = gallery.index_info["kind"]
    recall = approximate_recall(gallery, queries=50) if count <= 200_000 or kind == "lists" else 1.0
    gallery.close()
    aimed = count == 100_000
    row(f"{count:,}: search p50", p50, "ms", index=kind)
    row(f"{count:,}: search p95", p95, "ms", index=kind)
    row(f"{count:,}: bare FAISS flat p50", floor, "ms")
    over = p50 / floor
    row(f"{count:,}: search p50 over bare FAISS flat", over, "x", "<= 1.5" if aimed else "", over <= 1.5)
    row(f"{count:,}: recall@10 against flat ({kind})", recall, "")
    row(f"{count:,}: opening until the first question", opening, "s", "< 1" if aimed else "", opening < 1)
    row(f"{count:,}: memory per picture, open and searched", memory, "bytes")
    row(f"{count:,}: inserting and building (not part of an opening)", building, "s")


def _status(key: str) -> int:
    """Bytes that this process holds (VmRSS), or held at most (VmHWM)."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found.group(1)) * 1024


def _memory(root: Path, model: str, count: int, row: Callable[..., None]) -> None:
    if not Path("/proc/self/clear_refs").exists():
        print("memory: this system does not tell a process its own peak; not measured")
        return
    folder = root / "photos"
    folder.mkdir()
    one = [photo(i, 4000, 3000) for i in range(min(count, 12))]
    for i in range(count):  # each its own file: a comment of its own after the first marker
        data, note = one[i % len(one)], b"%08d" % i
        comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
        (folder / f"{i:04}.jpg").write_bytes(data[:2] + comment + data[2:])
    print(f"memory: {count:,} JPEGs of 4000 x 3000, {sum(map(len, one)) / len(one) / 1e6:.1f} MB each")
    words = [sys.executable, "-m", "sugar", "bench", "gallery", "--model", model]
    words += ["--memory-child", str(folder)]
    here = Path(__file__).resolve().parents[2]
    done = subprocess.run(words, capture_output=True, text=True, cwd=here, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    peak = found["peak"]
    row("peak above the warmed model", peak / 1e6, "MB", "<= 500", peak <= 500e6)
    row("12 megapixel photos taken in", found["rate"], "pictures/s", n=count)


def _memory_child(folder: Path, name: str) -> dict[str, float]:
    model = load(name)
    noise = [np.random.default_rng(i).integers(0, 255, (768, 1024, 3), dtype=np.uint8) for i in range(32)]
    model.embed([Sample(Image.fromarray(pixels)) for pixels in noise])
    del noise
    with tempfile.TemporaryDirectory() as where, Gallery.create(Path(where) / "g", model) as gallery:
        base = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        report = gallery.add(folder)
        assert not report.refused
        return {"peak": _status("VmHWM") - base, "rate": len(report.rows) / report.seconds}
