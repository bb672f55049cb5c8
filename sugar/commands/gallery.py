"""`python -m sugar index FOLDER` and `python -m sugar search TEXT_OR_PICTURE ...`: a named gallery.

index takes pictures in; run again, it takes what is new. Ctrl-C stops after the current batch and keeps what
is done; the next run goes on from there. `--reindex` embeds a gallery's kept pictures for another model,
resumable in the same way. search: an argument that names a file that exists is a picture, any other a text;
one text alone is read like the search box of the page: `-word` excludes, `2025-08` is a month, `name:`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from sugar.commands import cluster
from sugar.errors import SettingsError
from sugar.paths import existing, output_file, there, wanted
from sugar.sequence import PictureHit
from sugar.services.query import Conditions, QueryPart, SearchQuery, parts_of


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


# -- index --------------------------------------------------------------------------------------------------


def add_index(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument(
        "--workers",
        type=int,
        default=None,
        help="decoding threads (up to four); with --engine ray, models at once (1)",
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    cluster.add_ray(parser)


def index(args: argparse.Namespace) -> int:
    """0 when everything was taken in, 1 when a file was refused or the run was stopped."""
    from sugar.gallery import sweep

    if args.engine == "ray":
        return cluster.index(args)
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
    own_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, lambda *_: cancel.set()) if own_thread else None
    try:
        report, pending, size = _index(args, root, model, cancel)
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if args.json:
        rows = report.rows if report else []
        found = {
            "gallery": args.gallery,
            "items": size,
            "counts": report.counts if report else {},
            "cancelled": cancel.is_set(),
            "seconds": round(report.seconds, 2) if report else 0.0,
            "without_vectors": [i.name for i in pending],
            "rows": [asdict(r) for r in rows if r.status != "unchanged"],
        }
        print(json.dumps(found, ensure_ascii=False))
    else:
        for row in report.said if report else []:
            print(f"{row.status}: {row.name}: {row.reason}")
        done = "imported" if args.archive else "re-indexed" if args.reindex else "exported"
        print(report if report else done)
        without = f", {len(pending):,} of them without vectors" if pending else ""
        print(f"{size:,} pictures in gallery {args.gallery!r}{without}")
    return 1 if cancel.is_set() or pending or (report is not None and report.refused) else 0


def _index(
    args: argparse.Namespace, root: Path, model: Any, cancel: threading.Event
) -> tuple[Any, list[Any], int]:
    """(report or None, pictures without vectors, pictures)"""
    from sugar.gallery import Gallery, GallerySettings, export_zip, import_zip, named_folder, open_named

    settings = GallerySettings(keep_location=args.keep_location)
    folder = named_folder(root, args.gallery)
    how: dict[str, Any] = {"progress": _progress, "cancel": cancel}
    if args.archive:
        gallery = import_zip(args.archive, folder, model, settings, **how)
    elif args.reindex:
        gallery = Gallery.open(folder, model)
    else:
        gallery = open_named(root, args.gallery, model, settings)
    report = None
    with gallery:
        if args.reindex and not args.archive:
            gallery.embed_pending(**how, batch_size=args.batch_size)
        if args.sources and not cancel.is_set():
            report = gallery.add(args.sources, **how, batch_size=args.batch_size, workers=args.workers)
        pending = gallery.pending()
        if args.export:
            export_zip(gallery, args.export, include_location=args.keep_location)
        return report, pending, len(gallery)


def _progress(progress: Any) -> None:
    """One line that is written over on a terminal; nothing when the output is a file."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)


# -- search -------------------------------------------------------------------------------------------------


def add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "query", nargs="+", metavar="TEXT_OR_PICTURE", help="texts and picture files, in order"
    )
    add_gallery_arguments(parser)
    parser.add_argument("--collection", metavar="ADDRESS", help="search a collection instead (NAME.lance)")
    parser.add_argument(
        "--minus",
        action="append",
        default=[],
        metavar="TEXT_OR_PICTURE",
        help="exclude what this describes; may be repeated",
    )
    parser.add_argument(
        "--weights", action="store_true", help='texts are terms with weights: "a red star, dog^2, -night"'
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--story", action="store_true", help="runs of consecutive pictures that tell the query")
    how.add_argument("--positions", action="store_true", help="hits for every part of the query")
    parser.add_argument("-k", type=int, default=10, help="how many hits (%(default)s)")
    parser.add_argument("--no-rerank", action="store_true", help="order by the whole query's vector alone")
    parser.add_argument(
        "--confirm", action="store_true", help="let the model's yes or no order the first six"
    )
    parser.add_argument("--after", help="taken on or after this day or time, YYYY-MM-DD[THH:MM]")
    parser.add_argument("--before", help="taken on or before it")
    parser.add_argument("--name", default="", help="part of the file name")
    parser.add_argument("--caption", default="", help="words of the caption")
    parser.add_argument("--min-side", type=int, default=0, help="pixels of the shorter side, at least")
    parser.add_argument("--max-side", type=int, default=None, help="pixels of the longer side, at most")
    parser.add_argument("--json", action="store_true", help="the hits as one JSON object")


def search(args: argparse.Namespace) -> int:
    """0 when there are hits, 1 when there are none."""
    from sugar.gallery import Gallery, named_folder
    from sugar.services.search import SearchRequest, search_gallery

    if (args.minus or args.weights) and (args.story or args.positions):
        raise SettingsError("--minus and --weights do not go with --story or --positions.")
    mode: Any = "story" if args.story else "positions" if args.positions else "pictures"
    query = _query(args)
    request = SearchRequest(query, args.gallery, mode, args.k, not args.no_rerank, args.confirm)
    if args.collection:
        from sugar.cluster import Collection

        model = load_model(args)
        opened: Any = Collection.open(args.collection, model)
    else:
        folder = named_folder(gallery_root(args), args.gallery)
        model = load_model(args)
        opened = Gallery.open(folder, model, read_only=True)
    with opened as gallery:
        result = search_gallery(gallery, model, request)
    if args.json:
        print(json.dumps(_as_json(result), ensure_ascii=False))
    else:
        _show(result)
    return 0 if result.hits else 1


def _query(args: argparse.Namespace) -> SearchQuery:
    """The parts and conditions of the arguments."""
    contents = [_content(word) for word in args.query]
    stated = Conditions(
        after=_moment(args.after),
        before=_moment(args.before),
        name=args.name,
        caption=args.caption,
        min_side=args.min_side,
        max_side=args.max_side,
    )
    if args.weights:
        parts = [
            part
            for content in contents
            for part in (parts_of(content) if isinstance(content, str) else [QueryPart(content)])
        ]
        return SearchQuery((*parts, *_minus(args)), stated)
    if len(contents) > 1 or not isinstance(contents[0], str):
        return SearchQuery((*map(QueryPart, contents), *_minus(args)), stated)
    read = SearchQuery.of_text(contents[0])
    asked = {key: value for key, value in vars(stated).items() if value != getattr(Conditions(), key)}
    return SearchQuery((*read.parts, *_minus(args)), replace(read.conditions, **asked), read.keywords)


def _minus(args: argparse.Namespace) -> list[QueryPart]:
    return [QueryPart(_content(word), -1.0) for word in args.minus]


def _content(word: str) -> str | Image.Image:
    from sugar.images import open_image

    path = existing(word)
    return open_image(path, max_side=1024).image if path is not None and path.is_file() else word


def _moment(text: str | None) -> Any:
    """A day stays a day, so that `--before` includes all of it."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{text!r} is not a date. Write YYYY-MM-DD or YYYY-MM-DDTHH:MM.") from None
    return moment.date() if len(text) == 10 else moment.replace(tzinfo=None)


def _show(result: Any) -> None:
    """The result for people."""
    for problem in result.request.query.unread:
        print(problem)
    if result.unknown_words:
        print(f"The model does not know: {', '.join(result.unknown_words)}")
    if result.close == 0 and result.hits:
        print("No close match. The nearest:")
    for position, group in enumerate(result.groups):
        if result.request.mode == "positions":
            part = result.aligned[position]
            print(f"up to {'a picture' if part.is_image else repr(part.text)}:")
        for hit in group:
            names = ", ".join(hit.names) if hit.items else hit.name
            by = f", by {hit.found_by}" if hit.found_by else ""
            caption = f"  {hit.caption}" if hit.caption and not hit.items else ""
            print(
                f"{hit.rank + 1:3}. {names}  {hit.score:.3f} (shortlist {hit.rank_before + 1}{by}){caption}"
            )
    if not result.hits:
        print("no hits")
    if result.without_vectors:
        print(
            f"{result.without_vectors:,} pictures have no vectors and were not searched; "
            "run python -m sugar index --reindex"
        )


def _as_json(result: Any) -> dict[str, Any]:
    groups = [[_row(hit) for hit in group] for group in result.groups]
    flat = [row for group in groups for row in group]
    return {
        "hits": groups if result.request.mode == "positions" else flat,
        "unknown_words": list(result.unknown_words),
        "close": result.close,
        "confirmed": result.confirmed,
        "without_vectors": result.without_vectors,
    }


def _row(hit: PictureHit) -> dict[str, Any]:
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in vars(hit).items()
        if key != "similarity"
    }


COMMANDS = {"index": (add_index, index), "search": (add_search, search)}
