"""Kill a gallery at random moments and see that nothing is lost: `python -m sugar bench faults`.

    python -m sugar bench faults                  # 100 kills each of ingest, delete, import, export, re-index
    python -m sugar bench faults --kills 5 --only delete

Each round forks a victim, two writers and a reader on one gallery, kills the victim with SIGKILL after a
random time, ends the others, opens the gallery again and checks it (check.py). Then: a full disk and
a read-only one (a small tmpfs, where the system lets us mount one), and a second program. The model is a
hash: no torch. POSIX only. Not covered: power cuts (a kill leaves the system's own buffers whole).
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sugar.bench.faults.check import Broken, check
from sugar.bench.faults.disk import disk_rows
from sugar.bench.faults.work import VICTIMS, Ledger, read_on, write_on
from sugar.gallery import sweep

__all__ = ["run"]

_fork = multiprocessing.get_context("fork")


def run(args: list[str]) -> int:
    """Print a table, then one JSON line. Returns 0 when nothing was lost, else 1."""
    parser = argparse.ArgumentParser(prog="python -m sugar bench faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="of each kind (%(default)s)")
    parser.add_argument("--only", choices=list(VICTIMS), action="append", help="one kind; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default=None, help="where galleries are made (the temporary folder)")
    options = parser.parse_args(args)
    rows, disk = [], []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="sugar-faults-") as root:
        for kind in options.only or list(VICTIMS):
            rows.append(kills(kind, Path(root) / kind, options.kills, options.seed))
            _say(rows[-1])
        if not options.only:
            for row in disk_rows(Path(root)):
                disk.append(row)
                _say(row)
    lost = sum(row["broken"] for row in [*rows, *disk])
    problems = [problem for row in rows for problem in row.pop("problems")]
    where = {
        "device": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    found = {"rows": rows, "disk": disk, "problems": problems, "broken": lost}
    print(json.dumps({"bench": "faults", "seed": options.seed, **found, **where}))
    return 1 if lost else 0


def _say(row: dict[str, Any]) -> None:
    parts = [f"{k} {v}" for k, v in row.items() if k not in ("row", "problems")]
    print(f"  {row['row']:<24} {', '.join(parts)}", flush=True)
    for problem in row.get("problems", []):
        print(f"    {problem}", flush=True)


def kills(kind: str, root: Path, count: int, seed: int) -> dict[str, Any]:
    """`count` rounds of one kind; what they did and what was broken."""
    rng = np.random.default_rng([seed, list(VICTIMS).index(kind)])
    root.mkdir()
    work = VICTIMS[kind](root, rng)
    work.prepare()
    begun = time.monotonic()
    work.act(Ledger(root / "rehearsal"))
    usual = max(0.02, time.monotonic() - begun)
    (root / "rehearsal").unlink(missing_ok=True)
    killed, problems, seconds = 0, [], time.monotonic()
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
    return {
        "row": f"{kind}, killed",
        "rounds": count,
        "killed": killed,
        "ended before": count - killed,
        "broken": len(problems),
        "seconds": round(time.monotonic() - seconds, 1),
        "problems": problems[:10],
    }


def _round(work: Any, ledger: Ledger, rng: np.random.Generator, usual: float) -> bool:
    """One victim, two writers, a reader; whether the victim was killed before it ended."""
    stop = _fork.Event()
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
    process = _fork.Process(target=_quietly, args=(target, *args))
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
