"""`python -m sugar search "a dog" photo.jpg ...`: search a named gallery with words and pictures, in order.

An argument that names a file that exists is a picture, any other a text. One text alone is read like the
search box of the page: `-word` excludes, `2025-08` is a month, `name:`, `caption:`, `has:caption`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from PIL import Image

from sugar.commands.index import add_gallery_arguments, gallery_root, load_model
from sugar.errors import SettingsError
from sugar.paths import existing
from sugar.sequence import PictureHit
from sugar.services.query import Conditions, QueryPart, SearchQuery


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "query", nargs="+", metavar="TEXT_OR_PICTURE", help="texts and picture files, in order"
    )
    add_gallery_arguments(parser)
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


def run(args: argparse.Namespace) -> int:
    """0 when there are hits, 1 when there are none."""
    from sugar.gallery import Gallery, named_folder
    from sugar.services.search import SearchRequest, found

    if (args.minus or args.weights) and (args.story or args.positions):
        raise SettingsError("--minus and --weights do not go with --story or --positions.")
    mode: Any = "story" if args.story else "positions" if args.positions else "pictures"
    query = _query(args)
    request = SearchRequest(query, args.gallery, mode, args.k, not args.no_rerank, args.confirm)
    folder = named_folder(gallery_root(args), args.gallery)
    model = load_model(args)
    with Gallery.open(folder, model, read_only=True) as gallery:
        result = found(gallery, model, request)
    if args.json:
        print(json.dumps(_as_json(result), ensure_ascii=False))
    else:
        _show(result)
    return 0 if result.hits else 1


def _query(args: argparse.Namespace) -> SearchQuery:
    """The parts and conditions of the arguments."""
    from sugar.retrieval import parse_terms

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
            QueryPart(term.sample[0].content, term.weight)
            for content in contents
            for term in (parse_terms(content) if isinstance(content, str) else ())
        ] + [QueryPart(content) for content in contents if not isinstance(content, str)]
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
