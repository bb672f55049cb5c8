"""`python -m sugar search "a dog" photo.jpg ...`: search a named gallery with words and pictures, in the order given.

An argument that is the name of a file that exists is a picture, any other a text. `--minus` looks away from a text or picture, `--weights`
reads each text as weighted terms, `--story` finds runs of consecutive pictures, `--positions` answers every prefix of the query.
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from sugar.commands.index import add_gallery_arguments, load_model
from sugar.errors import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", nargs="+", metavar="TEXT_OR_PICTURE", help="texts and picture files, in order")
    add_gallery_arguments(parser)
    parser.add_argument("--minus", action="append", default=[], metavar="TEXT_OR_PICTURE", help="look away from this; may be repeated")
    parser.add_argument("--weights", action="store_true", help='texts are terms with weights: "a red star, dog^2, -night"')
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--story", action="store_true", help="runs of consecutive pictures that tell the query")
    how.add_argument("--positions", action="store_true", help="hits for every position of the query")
    parser.add_argument("-k", type=int, default=10, help="how many hits (%(default)s)")
    parser.add_argument("--shortlist", type=int, default=100, help="pictures that are re-ranked (%(default)s)")
    parser.add_argument("--no-rerank", action="store_true", help="leave the shortlist's order")
    parser.add_argument("--after", help="taken on or after this day or time, YYYY-MM-DD[THH:MM]")
    parser.add_argument("--before", help="taken on or before it")
    parser.add_argument("--name", default="", help="part of the file name")
    parser.add_argument("--caption", default="", help="words of the caption")
    parser.add_argument("--min-side", type=int, default=0, help="pixels of the longer side, at least")
    parser.add_argument("--max-side", type=int, default=None, help="and at most")
    parser.add_argument("--own", action="store_true", help="do not leave out the query's own pictures")
    parser.add_argument("--duplicates", action="store_true", help="do not collapse near-duplicates")
    parser.add_argument("--json", action="store_true", help="the hits as one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when there are hits, 1 when there are none."""
    from sugar.gallery import Gallery
    from sugar.retrieval import Filters, Term, parse_terms, search, search_positions, search_story
    from sugar.sequence import Sample

    filters = Filters(_moment(args.after), _moment(args.before), args.name, args.caption, args.min_side, args.max_side)
    slices = [_slice(word) for word in args.query]
    if (args.minus or args.weights) and (args.story or args.positions):
        raise SettingsError("--minus and --weights do not go with --story or --positions.")
    model = load_model(args)
    with Gallery.open(Path(args.root) / args.gallery, model, read_only=True) as gallery:
        options: dict[str, Any] = {
            "k": args.k, "rerank": not args.no_rerank, "shortlist": args.shortlist, "filters": filters, "exclude_own": not args.own,
            "collapse": not args.duplicates,
        }  # fmt: skip
        if args.story:
            groups = [search_story(gallery, model, Sample(slices), k=args.k, filters=filters)]
        elif args.positions:
            groups = search_positions(gallery, model, Sample(slices), **options)
        else:
            terms = [Term(Sample(slices))]
            if args.weights:
                terms = [t for s in slices for t in (parse_terms(s) if isinstance(s, str) else [Term(Sample(s))])]
            terms += [Term(Sample(_slice(word)), -1.0) for word in args.minus]
            groups = [search(gallery, model, terms, **options)]
        pending = len(gallery.pending())
    if args.json:
        found = [[_row(h) for h in hits] for hits in groups]
        print(json.dumps({"hits": found if args.positions else found[0], "without_vectors": pending}, ensure_ascii=False))
    else:
        for word, hits in zip(args.query if args.positions else [""], groups, strict=True):
            if word:
                print(f"up to {word!r}:")
            for hit in hits:
                names = ", ".join(hit.meta["names"]) if hit.items else hit.name
                print(f"{hit.rank + 1:3}. {names}  {hit.score:.3f} (shortlist {hit.rank_before + 1}: {hit.shortlist_score:.3f}, "
                      f"{hit.meta['relevance']})" + (f"  {hit.caption}" if hit.caption and not hit.items else ""))  # fmt: skip
        if not any(groups):
            print("no hits")
        if pending:
            print(f"{pending:,} pictures have no vectors and were not searched; run python -m sugar index --reindex")
    return 0 if any(groups) else 1


def _slice(word: str) -> str | Image.Image:
    from sugar.images import open_image

    return open_image(word, max_side=1024).image if Path(word).is_file() else word


def _moment(text: str | None) -> Any:
    """A day stays a day, so that `--before` includes all of it."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{text!r} is not a date. Write YYYY-MM-DD or YYYY-MM-DDTHH:MM.") from None
    return moment.date() if len(text) == 10 else moment.replace(tzinfo=None)


def _row(hit: Any) -> dict[str, Any]:
    return {
        "item": hit.item, "name": hit.name, "caption": hit.caption, "score": hit.score, "rank": hit.rank, "items": list(hit.items),
        "shortlist_score": hit.shortlist_score, "rank_before": hit.rank_before, "margin": hit.margin, "path": [list(p) for p in hit.path],
        **{key: value.isoformat() if isinstance(value, datetime) else value for key, value in hit.meta.items()},
    }  # fmt: skip
