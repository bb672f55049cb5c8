"""`python -m sugar index FOLDER`: take pictures into a named gallery; run it again to take what is new.

Ctrl-C stops after the current batch and keeps what is done; the next run goes on from there. `--reindex`
embeds a gallery's kept pictures for another model, resumable in the same way. Not covered: visitors'
galleries (the app's business).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sugar.errors import SettingsError
from sugar.paths import existing, output_file, there, wanted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="*", metavar="FOLDER", help="folders, zips or picture files")
    add_gallery_arguments(parser)
    parser.add_argument(
        "--keep-location",
        action="store_true",
        help="a new gallery stores where its pictures were taken (off: never)",
    )
    parser.add_argument(
        "--reindex",
        action="store_true",
        help="embed the gallery's pictures for this model; no sources needed",
    )
    parser.add_argument("--export", metavar="ZIP", help="then write the gallery to a zip")
    parser.add_argument(
        "--import",
        dest="archive",
        metavar="ZIP",
        help="make the gallery from an export; there must be none of that name yet",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="pictures per model call (%(default)s)")
    parser.add_argument("--workers", type=int, default=None, help="decoding threads (up to four)")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def add_gallery_arguments(parser: argparse.ArgumentParser) -> None:
    """What index and search share: which gallery, which model."""
    env = os.environ
    parser.add_argument("--gallery", default="default", help="the gallery's name (%(default)s)")
    parser.add_argument(
        "--root",
        default=env.get("SUGAR_GALLERY", "gallery_index"),
        help="where galleries are kept (%(default)s)",
    )
    parser.add_argument(
        "--model",
        default=env.get("SUGAR_MODEL", "sugar-photo"),
        help="a preset or a checkpoint folder (%(default)s)",
    )
    parser.add_argument("--device", default=env.get("SUGAR_DEVICE", "auto"), help="%(default)s")


def gallery_root(args: argparse.Namespace) -> Path:
    """Where galleries are kept. Raises SettingsError for a text that is no path."""
    return existing(args.root) or wanted(args.root, "--root")


def load_model(args: argparse.Namespace) -> Any:
    """The model that the arguments name."""
    from sugar import Sugar

    return Sugar.from_pretrained(args.model, device=args.device)


def run(args: argparse.Namespace) -> int:
    """0 when everything was taken in, 1 when a file was refused or the run was stopped."""
    from sugar.gallery import (
        Gallery,
        GallerySettings,
        export_zip,
        import_zip,
        named_folder,
        open_named,
        sweep,
    )

    if args.batch_size < 1 or (args.workers is not None and args.workers < 1):
        raise SettingsError("--batch-size and --workers must be at least 1.")
    if not args.sources and not args.reindex and not args.export and not args.archive:
        raise SettingsError("Nothing to do. Give a folder, a zip or picture files, --reindex or --import.")
    if args.archive:
        args.archive = there(args.archive, "--import")
    if args.export:
        args.export = output_file(args.export, "--export")
    root = gallery_root(args)
    model = load_model(args)
    sweep(root)
    cancel = threading.Event()
    previous = (
        signal.signal(signal.SIGINT, lambda *_: cancel.set())
        if threading.current_thread() is threading.main_thread()
        else None
    )
    report = None
    try:
        settings = GallerySettings(keep_location=args.keep_location)
        folder = named_folder(root, args.gallery)
        if args.archive:
            gallery = import_zip(args.archive, folder, model, settings, progress=_show, cancel=cancel)
        elif args.reindex:
            gallery = Gallery.open(folder, model)
        else:
            gallery = open_named(root, args.gallery, model, settings)
        with gallery:
            if args.reindex and not args.archive:
                gallery.embed_pending(progress=_show, cancel=cancel, batch_size=args.batch_size)
            if args.sources and not cancel.is_set():
                report = gallery.add(
                    args.sources,
                    progress=_show,
                    cancel=cancel,
                    batch_size=args.batch_size,
                    workers=args.workers,
                )
            pending = gallery.pending()
            if args.export:
                export_zip(gallery, args.export)
            size = len(gallery)
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    rows = report.rows if report else []
    if args.json:
        print(
            json.dumps(
                {
                    "gallery": args.gallery,
                    "items": size,
                    "counts": report.counts if report else {},
                    "cancelled": cancel.is_set(),
                    "seconds": round(report.seconds, 2) if report else 0.0,
                    "without_vectors": [i.name for i in pending],
                    "rows": [asdict(r) for r in rows if r.status != "unchanged"],
                },
                ensure_ascii=False,
            )
        )
    else:
        for row in report.said if report else []:
            print(f"{row.status}: {row.name}: {row.reason}")
        print(
            report if report else "imported" if args.archive else "re-indexed" if args.reindex else "exported"
        )
        print(
            f"{size:,} pictures in gallery {args.gallery!r}"
            + (f", {len(pending):,} of them without vectors" if pending else "")
        )
    return 1 if cancel.is_set() or pending or (report is not None and report.refused) else 0


def _show(progress: Any) -> None:
    """One line that is written over on a terminal; nothing when the output is a file."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)
