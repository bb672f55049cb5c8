"""The alignment scorer against its peers, and against floors that no scorer can go below.

    python -m sugar bench dtw [--quick] [--rounds 5] [--set W1] [--device cuda]

W1: one query of 9 slices against 10,000 sequences of 1 to 12. W2: 256 x 256 of 5 to 10. W3: 64 x 64 of 128.
All jobs of a set run interleaved; a figure is the median CPU time of one thread. "GEMM" is the one product of
all slices, "read" one pass over the gallery. Peers run on a stated subset and are scaled. W1 keeps gallery
self-kernels after the first round. `--device cuda` runs larger sets, timed by events. Not covered: several
threads.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from sugar import dtw as scorer
from sugar.errors import AlignmentError

Jobs = dict[str, tuple[Callable[[], Any], float]]  # name -> (what to run, what to multiply its time by)


OPTIONS = {
    "quick": (False, "small work sets, two rounds: does it run?"),
    "rounds": (5, "medians of so many"),
    "device": (("cpu", "cuda"), "cuda: larger sets, timed by events"),
    "set": (("all", "W1", "W2", "W3", "search"), "one work set only (CPU)"),
}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print a table. Raises AlignmentError for a device that is not there."""
    if options.device == "cuda":
        if not torch.cuda.is_available():
            raise AlignmentError(
                "--device cuda, but torch sees no CUDA device. Run it on a machine with one, or leave it out."
            )
        return {"device": torch.cuda.get_device_name(), "rows": gpu_rows(options.quick)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = cpu_rows(options.quick, 2 if options.quick else options.rounds, options.set)
    finally:
        torch.set_num_threads(threads)
    return {"device": platform.processor() or platform.machine(), "rows": rows}


def there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def stories(count: int, low: int, high: int, width: int, seed: int) -> list[torch.Tensor]:
    """Unit slices around a centre of their own, as a story's are."""
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(low, high + 1, (count,), generator=rng).tolist()
    made = [torch.randn(n, width, generator=rng) + torch.randn(1, width, generator=rng) for n in lengths]
    return [x / x.norm(dim=1, keepdim=True) for x in made]


def cpu_rows(quick: bool, rounds: int, only: str) -> list[dict[str, Any]]:
    """The work sets."""
    small = 20 if quick else 1
    query, gallery = stories(1, 9, 9, 256, 0), stories(10_000 // small, 1, 12, 256, 1)
    square, long = (
        stories(256 // (4 if quick else 1), 5, 10, 768, 2),
        stories(64 // (8 if quick else 1), 128, 128, 64, 3),
    )
    packed = scorer.PackedSequences.from_list(gallery)
    rows = []
    for name, x, y, packed_y in (
        ("W1", query, gallery, packed),
        ("W2", square, None, None),
        ("W3", long, None, None),
    ):
        if only in ("all", name):
            rows += measure(name, matrix_jobs(x, y, packed_y), rounds)
    if only not in ("all", "search"):
        return rows
    album = torch.cat(stories(1, 100_000 // small, 100_000 // small, 256, 4))
    jobs: Jobs = {"GEMM": (lambda: album @ query[0].T, 1.0)}
    for path in paths():
        jobs[f"subsequence {path}"] = (partial(scorer.subsequence_dtw, query[0], album, 1, path=path), 1.0)
        jobs[f"subsequence {path}, 5 runs"] = (
            partial(scorer.subsequence_dtw, query[0], album, 5, path=path),
            1.0,
        )
    return rows + measure("search", jobs, rounds)


def paths() -> list[str]:
    """Our fast CPU paths that are there."""
    return ["torch"] + (["numba"] if there("numba") else [])


def matrix_jobs(
    x: list[torch.Tensor], y: list[torch.Tensor] | None, packed: scorer.PackedSequences | None
) -> Jobs:
    """Floors, our paths and the peers for x against y, or against itself.

    Peers get numpy, few pairs, and a factor.
    """
    flat, other = torch.cat(x), torch.cat(x if y is None else y)
    jobs: Jobs = {"GEMM": (lambda: other @ flat.T, 1.0), "read": (lambda: other.sum(), 1.0)}
    target = packed if packed is not None else y
    for path in paths():
        jobs[f"gak {path}"] = (partial(scorer.cdist_gak, x, target, 1.0, path=path), 1.0)
        jobs[f"gak per pair {path}"] = (partial(scorer.cdist_gak, x, target, delta=0.7, path=path), 1.0)
        jobs[f"soft_dtw {path}"] = (partial(scorer.cdist_soft_dtw, x, target, 1.0, path=path), 1.0)
        jobs[f"dtw {path}"] = (partial(scorer.cdist_dtw, x, target, path=path), 1.0)
    some = [
        a.double().numpy() for a in x[: 64 if len(x[0]) < 20 else 16]
    ]  # large enough that a peer's fixed cost is not scaled up
    others = some if y is None else [b.double().numpy() for b in y[:2000]]
    factor = len(x) * (len(x) if y is None else len(y)) / (len(some) * len(others))
    if there("tslearn"):
        from tslearn import metrics

        # the one-dataset form computes each pair once, so it is asked for as such where there is one dataset
        second = None if y is None else others
        jobs["gak tslearn"] = (lambda: metrics.cdist_gak(some, second, sigma=1.0), factor)
        jobs["soft_dtw tslearn"] = (lambda: metrics.cdist_soft_dtw(some, second, gamma=1.0), factor)
        jobs["dtw tslearn"] = (lambda: metrics.cdist_dtw(some, second), factor)
    if there("dtaidistance"):
        from dtaidistance import dtw_ndim

        triangle = [(a, b) for i, a in enumerate(some) for b in (others[i + 1 :] if y is None else others)]
        each = len(x) * (len(x) - 1) / 2 if y is None else len(x) * len(y or [])
        jobs["dtw dtaidistance"] = (
            lambda: [dtw_ndim.distance(a, b, use_c=True) for a, b in triangle],
            each / len(triangle),
        )
    if there("aeon"):
        from aeon.distances import dtw_distance

        jobs["dtw aeon"] = (lambda: [dtw_distance(a.T, b.T) for a in some for b in others], factor)
    return jobs


def measure(name: str, jobs: Jobs, rounds: int) -> list[dict[str, Any]]:
    """Median CPU milliseconds per job over interleaved rounds, and its ratio to the GEMM and to the peers of
    its function.
    """
    for job, _ in jobs.values():
        job()
    times: dict[str, list[float]] = {label: [] for label in jobs}
    for _ in range(rounds):
        for label, (job, factor) in jobs.items():
            start = time.process_time()
            job()
            times[label].append((time.process_time() - start) * 1000 * factor)
    middle = {label: sorted(values)[len(values) // 2] for label, values in times.items()}
    print(f"\n{name:<28}{'ms':>10}{'x GEMM':>9}   times faster than")
    rows = []
    for label, ms in middle.items():
        function = label.split()[0]
        peers = {
            p: round(middle[f"{function} {p}"] / ms, 1)
            for p in ("tslearn", "dtaidistance", "aeon")
            if f"{function} {p}" in middle
        }
        ours = label.split()[-1] in paths()
        scaled = jobs[label][1]
        note = (
            "  ".join(f"{p} {r}" for p, r in peers.items())
            if ours
            else f"(a subset, scaled by {scaled:.0f})"
            if scaled != 1
            else ""
        )
        print(f"  {label:<26}{ms:>10.2f}{ms / middle['GEMM']:>9.2f}   {note}")
        figures = {"ms": round(ms, 3), "over_gemm": round(ms / middle["GEMM"], 3)}
        rows.append({"set": name, "job": label, **figures, "faster": peers if ours else {}})
    return rows


def gpu_rows(quick: bool) -> list[dict[str, Any]]:
    """The CUDA work sets: triton against the torch path on the same card, bandwidth measured by a copy, GEMM
    by the one product.
    """
    small = 16 if quick else 1
    block = torch.empty(1 << (26 if quick else 30), dtype=torch.uint8, device="cuda")
    bandwidth = 2 * block.numel() / cuda_ms(lambda: block.clone()) / 1e6  # GB/s, read and written
    print(f"copy bandwidth {bandwidth:.0f} GB/s")
    sets = (
        ("1 x 100,000", stories(1, 9, 9, 256, 0), stories(100_000 // small, 1, 12, 256, 1)),
        ("4096 x 4096", stories(4096 // small, 5, 10, 768, 2), None),
        ("W3 1024 x 1024", stories(1024 // small, 128, 128, 64, 3), None),
    )
    rows = []
    print(f"{'set':<18}{'path':<8}{'ms':>10}{'x GEMM':>9}{'of bandwidth':>14}")
    for name, x, y in sets:
        mine = scorer.PackedSequences.from_list(x).to("cuda")
        other = mine if y is None else scorer.PackedSequences.from_list(y).to("cuda")
        gemm = cuda_ms(partial(torch.matmul, other.parts[0], mine.parts[0].T))
        for path in ("triton", "torch"):
            ms = cuda_ms(partial(scorer.cdist_gak, mine, other, 1.0, path=path, max_bytes=4 << 30), 3)
            share = other.nbytes / ms / 1e6 / bandwidth
            print(f"{name:<18}{path:<8}{ms:>10.2f}{ms / gemm:>9.2f}{share:>13.0%}")
            shares = {"ms": ms, "over_gemm": ms / gemm, "bandwidth_share": share, "GBps": bandwidth}
            rows.append({"set": name, "path": path, **shares})
    return rows


def cuda_ms(job: Callable[[], Any], rounds: int = 10) -> float:
    """Median milliseconds by CUDA events, after one round that is not timed."""
    job()
    times = []
    for _ in range(rounds):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        job()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]
