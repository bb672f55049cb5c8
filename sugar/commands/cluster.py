"""`python -m sugar index --engine ray ...` and `python -m sugar collection delete | compact | show ADDRESS`.

index embeds photos by Ray Data into a Lance table, and goes on where an earlier run ended. collection changes
one: `delete` takes SHA-256 sums, which no search finds from then on; `compact` writes the files anew without
them. Not covered: what a run does (sugar/cluster/README.md), galleries (gallery.py).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from functools import partial
from typing import Any

from sugar.errors import InputError, SettingsError

_SUM = re.compile(r"[0-9a-f]{64}")


def add_ray(parser: argparse.ArgumentParser) -> None:
    """The flags of `index --engine ray`."""
    ray = parser.add_argument_group("with --engine ray: photos of any number, on one machine or many")
    ray.add_argument("--engine", choices=["gallery", "ray"], default="gallery", help="%(default)s")
    ray.add_argument("--source", metavar="ADDRESS", help="a folder, .tar shards or .parquet files, s3:// too")
    ray.add_argument("--out", metavar="ADDRESS", help="the collection, NAME.lance, s3:// too")
    ray.add_argument("--address", default="", help="of a Ray cluster; without one Ray runs here, for the run")
    ray.add_argument("--gpus-per-worker", type=float, default=0.0, help="GPUs of one model (%(default)s)")
    ray.add_argument("--ocr", action="store_true", help="read the text in photos, which finds them too")
    ray.add_argument("--side", type=int, default=512, help="pixels that a model is given (%(default)s)")
    ray.add_argument("--measure", action="store_true", help="stop when the cost is known, after 1,000 photos")


def index(args: argparse.Namespace) -> int:
    """0 when every photo has its vectors, 1 when some have a reason instead."""
    from sugar import Sugar
    from sugar.cluster import Job
    from sugar.cluster import index as run

    if not args.source or not args.out:
        raise SettingsError("--engine ray needs --source and --out, each a path or an address.")
    job = Job(
        args.source,
        args.out,
        partial(Sugar.from_pretrained, args.model, device=args.device),
        model=args.model,
        address=args.address,
        workers=args.workers or 1,
        batch=args.batch_size,
        gpus_per_worker=args.gpus_per_worker,
        side=args.side,
        keep_location=args.keep_location,
        ocr=args.ocr,
        only_measure=args.measure,
    )
    report = run(job, told=partial(print, file=sys.stderr, flush=True))
    print(json.dumps(asdict(report)) if args.json else report)
    return 1 if report.failed else 0


def add_collection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["delete", "compact", "show"])
    parser.add_argument("address", metavar="ADDRESS", help="NAME.lance, s3:// too")
    parser.add_argument("ids", nargs="*", metavar="SHA256", help="of the pictures to delete")


def collection(args: argparse.Namespace) -> int:
    """0 when it was done."""
    from sugar import cluster

    if (args.what == "delete") != bool(args.ids):
        raise InputError("`delete` takes the SHA-256 sums of pictures, and nothing else does.")
    if wrong := [i for i in args.ids if not _SUM.fullmatch(i)]:
        raise InputError(f"{wrong[0][:80]!r} is no SHA-256 sum, 64 digits as sha256sum writes.")
    if args.what == "delete":
        gone = cluster.delete(args.address, args.ids)
        print(f"{gone:,} rows deleted; their bytes go with: python -m sugar collection compact ADDRESS")
    elif args.what == "compact":
        print(json.dumps(asdict(cluster.compact(args.address))))
    else:
        print(json.dumps(cluster.shown(args.address), ensure_ascii=False))
    return 0


COMMANDS: dict[str, tuple[Any, Any]] = {"collection": (add_collection, collection)}
