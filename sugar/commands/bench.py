"""`python -m sugar bench dtw | gallery | core | app`: a table for people, then one JSON line."""

from __future__ import annotations

import argparse
import importlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("room", choices=["dtw", "gallery", "core", "app"])
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="options of that benchmark; --help lists them")


def run(args: argparse.Namespace) -> int:
    return importlib.import_module(f"sugar.bench.{args.room}").run(args.rest)
