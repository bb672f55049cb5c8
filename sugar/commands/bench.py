"""`python -m sugar bench NAME`: a table for people, then one JSON line; `--save` keeps it for the README
files.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import pkgutil
import sys

from sugar import bench


class Copied(io.TextIOBase):
    """Standard output that is shown and kept."""

    def __init__(self) -> None:
        self.shown, self.kept = sys.stdout, io.StringIO()

    def write(self, text: str) -> int:
        self.kept.write(text)
        return self.shown.write(text)

    def flush(self) -> None:
        self.shown.flush()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = sorted(m.name for m in pkgutil.iter_modules(bench.__path__))
    parser.add_argument("room", choices=names)
    parser.add_argument(
        "--save", action="store_true", help="write assets/figures/bench-NAME.json (before NAME)"
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="options of that benchmark; --help lists them")


def run(args: argparse.Namespace) -> int:
    function = importlib.import_module(f"sugar.bench.{args.room}").run
    if not args.save:
        return function(args.rest)
    from sugar.commands.figures import save

    output = Copied()
    with contextlib.redirect_stdout(output):
        code = function(args.rest)
    line = json.loads(output.kept.getvalue().strip().splitlines()[-1])
    if hasattr(os, "getloadavg"):  # how busy the machine was, this run included
        line |= {"load": os.getloadavg()[1]}
    command = " ".join(["python -m sugar bench", args.room, *args.rest])
    print(f"saved to {save(f'bench-{args.room}', command, line)}")
    return code
