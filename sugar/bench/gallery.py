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
import datetime
import hashlib
import io
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sugar.gallery import Gallery
from sugar.gallery import index as index_room
from sugar.images import open_image
from sugar.retrieval import SearchOptions, approximate_recall, search
from sugar.sequence import Embeddings, Sample

PARTS = ("indexing", "search", "memory")
_clock = time.perf_counter
_K = 12
_SHORTLIST = 100


class _Vectors:
    """An embedder that answers with prepared vectors: search is timed without a model."""

    fingerprint = "bench"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.next = np.zeros((1, dimension), np.float32)

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings:
        """The row in `next`, for one sample."""
        return Embeddings(self.next, [self.next], [np.zeros(1, bool)])


def run(args: list[str]) -> int:
    """Print the tables, then one JSON line. Returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m sugar bench gallery",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="small numbers: 64 pictures, 10k vectors, 24 photos"
    )
    parser.add_argument(
        "--model",
        default="sugar-photo",
        help="preset or folder; `shape`: random weights in the embedded model's shape",
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be repeated")
    parser.add_argument("--pictures", type=int, default=None, help="of 2 megapixels, for indexing (1000)")
    parser.add_argument("--photos", type=int, default=None, help="of 12 megapixels, for memory (500)")
    parser.add_argument("--sizes", default=None, help="numbers of vectors, for search (10000,100000,1000000)")
    parser.add_argument(
        "--dimension", type=int, default=256, help="numbers per synthetic vector (%(default)s)"
    )
    parser.add_argument("--memory-child", help=argparse.SUPPRESS)
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: CPU time of this process, for a machine others use too",
    )
    options = parser.parse_args(args)
    global _clock
    _clock = time.process_time if options.clock == "cpu" else time.perf_counter
    if options.memory_child:
        print(json.dumps(_memory_child(Path(options.memory_child), options.model)))
        return 0
    pictures = options.pictures or (64 if options.quick else 1000)
    photos = options.photos or (24 if options.quick else 500)
    sizes = [
        int(s) for s in (options.sizes or ("10000" if options.quick else "10000,100000,1000000")).split(",")
    ]
    wanted = options.only or list(PARTS)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if "indexing" in wanted:
            rows += _indexing(root, load(options.model), pictures)
        if "search" in wanted:
            for size in sizes:
                rows += _searching(root / f"s{size}", size, options.dimension)
        if "memory" in wanted:
            rows += _memory(root, options.model, photos)
    print(
        json.dumps(
            {
                "bench": "gallery",
                "quick": options.quick,
                "clock": options.clock,
                "rows": rows,
                **_where(options.model),
            }
        )
    )
    return 0


def load(name: str) -> Any:
    """A model by preset or folder; `shape` builds the embedded one's shape with random weights."""
    from sugar.core import Sugar

    if name == "shape":
        from sugar.model.adapters import EmbeddingHead
        from sugar.model.tiny import TinyConfig, build

        config = TinyConfig()
        model, processor = build(config, ["a", "star"])
        head = EmbeddingHead(config.hidden_size, config.head_hidden, config.head_size)
        with tempfile.TemporaryDirectory() as folder:  # saved and opened, as any model is
            Sugar.wrap(model.eval(), processor, head.eval(), name="shape").save_pretrained(folder)
            return Sugar.from_pretrained(folder)
    return Sugar.from_pretrained(name)


def _where(model: str) -> dict[str, Any]:
    import faiss
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": model,
        "device": platform.processor() or platform.machine(),
        "cores": cores,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "faiss": faiss.__version__,
        "numpy": np.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _say(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        met = {True: "met", False: "missed", None: ""}[row.get("met")]
        aim = f"   aim {row['aim']}: {met}" if row.get("aim") else ""
        print(f"  {row['row']:<66} {row['value']:>12,.4g} {row['unit']}{aim}", flush=True)
    return rows


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


def _indexing(root: Path, model: Any, count: int) -> list[dict[str, Any]]:
    folder = root / "pictures"
    folder.mkdir()
    for i in range(count):
        (folder / f"{i:05}.jpg").write_bytes(photo(i, 1632, 1224))
    paths = sorted(folder.iterdir())
    megabytes = sum(p.stat().st_size for p in paths) / 1e6
    print(f"indexing: {count:,} JPEGs of 1632 x 1224, {megabytes:.0f} MB")
    model.embed([Sample(open_image(p, max_side=1024).image) for p in paths[:8]])  # warm

    few = paths[: max(16, count // 5)]
    start = _clock()
    for path in few:
        model.embed([Sample(open_image(path).image)])
    single = (_clock() - start) / len(few)

    decoded = [Sample(open_image(p, max_side=1024).image) for p in few]
    start = _clock()
    for at in range(0, len(decoded), 32):
        model.embed(decoded[at : at + 32])
    batched = (_clock() - start) / len(decoded)
    start = _clock()
    for path in few:
        open_image(path, max_side=1024)
    decoding = (_clock() - start) / len(few)
    del decoded

    gallery = Gallery.create(root / "g", model)
    start = _clock()
    report = gallery.add(folder)
    ours = (_clock() - start) / count
    assert report.added == count
    start = _clock()
    assert gallery.add(folder).unchanged == count
    again = _clock() - start
    gallery.close()
    disk = sum(p.stat().st_size for p in (root / "g").rglob("*") if p.is_file()) / count
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _say(
        [
            {"row": "Gallery.add", "value": 1 / ours, "unit": "pictures/s", "n": count},
            {"row": "one at a time: open, embed", "value": 1 / single, "unit": "pictures/s", "n": len(few)},
            {
                "row": "the model alone, batches of 32, decoded beforehand",
                "value": 1 / batched,
                "unit": "pictures/s",
                "n": len(few),
            },
            {"row": "decoding alone, one thread", "value": 1 / decoding, "unit": "pictures/s", "n": len(few)},
            {
                "row": "Gallery.add against one at a time",
                "value": single / ours,
                "unit": "x",
                "aim": ">= 3",
                "met": single / ours >= 3,
            },
            {
                "row": "Gallery.add's time over the model's batched time",
                "value": ours / batched,
                "unit": "x",
                "aim": "<= 1.2",
                "met": ours / batched <= 1.2,
                "cores": cores,
            },
            {"row": "the same folder again", "value": 1000 * again, "unit": "ms", "n": count},
            {"row": "disk per picture (kept copy, thumbnail, vectors)", "value": disk / 1000, "unit": "kB"},
        ]
    )


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


def _searching(folder: Path, count: int, dimension: int) -> list[dict[str, Any]]:
    import faiss

    print(f"search: {count:,} clustered vectors of {dimension}, k = {_K}, shortlist {_SHORTLIST}")
    faiss.omp_set_num_threads(1)
    rows = clustered(count, dimension)
    model = _Vectors(dimension)
    start = _clock()
    synthetic(folder, rows, model)
    building = _clock() - start
    rng = np.random.default_rng(2)
    queries = rows[rng.integers(count, size=100)] + 0.03 * rng.standard_normal((100, dimension)).astype(
        np.float32
    )
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    flat = faiss.IndexFlatIP(dimension)
    flat.add(rows)
    del rows
    before = _memory_now()
    start = _clock()
    gallery = Gallery.open(folder, model, read_only=True)
    gallery.index_info  # noqa: B018 - the first question loads what is loaded lazily
    opening = _clock() - start
    bare, ours = [], []
    for turn in range(-5, len(queries)):  # both take turns, so that a busy moment strikes both
        query = queries[turn : turn + 1] if turn >= 0 else queries[:1]
        start = _clock()
        flat.search(query, _SHORTLIST)
        bare.append(_clock() - start)
        model.next = query
        start = _clock()
        hits = search(gallery, model, Sample("x"), SearchOptions(k=_K, shortlist=_SHORTLIST))
        ours.append(_clock() - start)
        assert len(hits) == _K
    bare, ours = bare[5:], ours[5:]
    memory = (_memory_now() - before) / count
    p50, p95 = np.percentile(ours, [50, 95])
    ratio = float(p50) / statistics.median(bare)
    kind = gallery.index_info["kind"]
    recall = approximate_recall(gallery, queries=50) if count <= 200_000 or kind == "lists" else 1.0
    gallery.close()
    aimed = count == 100_000
    out = [
        {"row": f"{count:,}: search p50", "value": 1000 * float(p50), "unit": "ms", "index": kind},
        {"row": f"{count:,}: search p95", "value": 1000 * float(p95), "unit": "ms", "index": kind},
        {"row": f"{count:,}: bare FAISS flat p50", "value": 1000 * statistics.median(bare), "unit": "ms"},
        {
            "row": f"{count:,}: search p50 over bare FAISS flat",
            "value": ratio,
            "unit": "x",
            **({"aim": "<= 1.5", "met": ratio <= 1.5} if aimed else {}),
        },
        {"row": f"{count:,}: recall@10 against flat ({kind})", "value": recall, "unit": ""},
        {
            "row": f"{count:,}: opening until the first question",
            "value": opening,
            "unit": "s",
            **({"aim": "< 1", "met": opening < 1} if aimed else {}),
        },
        {"row": f"{count:,}: memory per picture, open and searched", "value": memory, "unit": "bytes"},
        {
            "row": f"{count:,}: inserting and building (not part of an opening)",
            "value": building,
            "unit": "s",
        },
    ]
    return _say(out)


def _memory_now() -> int:
    """Resident bytes of this process."""
    return _status("VmRSS")


def _status(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found.group(1)) * 1024


def _memory(root: Path, model: str, count: int) -> list[dict[str, Any]]:
    if not Path("/proc/self/clear_refs").exists():
        print("memory: this system does not tell a process its own peak; not measured")
        return []
    folder = root / "photos"
    folder.mkdir()
    one = [photo(i, 4000, 3000) for i in range(min(count, 12))]
    for i in range(count):  # each its own file: a comment of its own after the first marker
        data, note = one[i % len(one)], b"%08d" % i
        (folder / f"{i:04}.jpg").write_bytes(
            data[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + data[2:]
        )
    print(f"memory: {count:,} JPEGs of 4000 x 3000, {sum(map(len, one)) / len(one) / 1e6:.1f} MB each")
    words = [
        sys.executable,
        "-m",
        "sugar",
        "bench",
        "gallery",
        "--model",
        model,
        "--memory-child",
        str(folder),
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2], check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return _say(
        [
            {
                "row": "peak above the warmed model",
                "value": found["peak"] / 1e6,
                "unit": "MB",
                "aim": "<= 500",
                "met": found["peak"] <= 500e6,
            },
            {"row": "12 megapixel photos taken in", "value": found["rate"], "unit": "pictures/s", "n": count},
        ]
    )


def _memory_child(folder: Path, name: str) -> dict[str, float]:
    model = load(name)
    warm = [
        Sample(Image.fromarray(np.random.default_rng(i).integers(0, 255, (768, 1024, 3), dtype=np.uint8)))
        for i in range(32)
    ]
    model.embed(warm)
    del warm
    with tempfile.TemporaryDirectory() as where, Gallery.create(Path(where) / "g", model) as gallery:
        base = _memory_now()
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        report = gallery.add(folder)
        assert not report.refused
        return {
            "peak": _status("VmHWM") - base,
            "rate": len(report.rows) / report.seconds,
            "limit": index_room.FLAT_LIMIT,
        }
