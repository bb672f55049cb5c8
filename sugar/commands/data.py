"""`python -m sugar data check FORMAT=PATH ...`: what a data set holds, before it is trained on.

python -m sugar data check flickr=flickr8k#train --overlap flickr=flickr8k#test --model sugar-tiny --out
runs/check
"""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    check = what.add_parser(
        "check", help="counts, first samples, bad rows, token lengths, duplicates, overlap"
    )
    check.add_argument("data", nargs="+", metavar="FORMAT=PATH#SPLIT:WEIGHT")
    check.add_argument(
        "--overlap", action="append", default=[], help="a test set that must not be trained on"
    )
    check.add_argument("--model", default="sugar-tiny", help="whose tokens are counted")
    check.add_argument(
        "--rows", type=int, default=1000, help="rows that are opened; captions are all compared"
    )
    check.add_argument("--out", default="runs/check", help="folder of the picture grid")
    check.add_argument("--json", action="store_true", help="end with one line: a JSON object")


def run(args: argparse.Namespace) -> int:
    from sugar.paths import output_folder
    from sugar.training.data import open_data
    from sugar.training.data.check import check, report

    overlap = [d for d, _ in open_data(args.overlap)] if args.overlap else []
    out = output_folder(args.out, "--out")
    found = [check(d, overlap, model=args.model, rows=args.rows, out=out) for d, _ in open_data(args.data)]
    print("\n\n".join(report(f) for f in found))
    if args.json:
        print(json.dumps([f.flat() for f in found]))
    return 0 if all(f.usable for f in found) else 1
