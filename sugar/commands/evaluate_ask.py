"""`python -m sugar evaluate ask`: the whole way of a question, from notes and galleries to a cited answer.

python -m sugar evaluate ask --model sugar-tiny --size 1000 --out runs/ask
python -m sugar evaluate ask --model assets/sugar-tiny --calibrate --size 300 --write
"""

from __future__ import annotations

import argparse
import functools
import json
from typing import Any

from sugar.errors import SettingsError

__all__ = ["add_parser", "run"]


def add_parser(what: Any) -> None:
    parser = what.add_parser("ask", help="questions to cards, notes and galleries, as the app answers them")
    parser.add_argument("--model", default="sugar-tiny", help="a preset or a checkpoint folder")
    parser.add_argument("--seed", type=int, default=0, help="of the names, facts and questions")
    parser.add_argument("--size", type=int, default=1000, help="cards; the other bases follow from it")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--calibrate", action="store_true", help="the tuning split: the curve and its thresholds"
    )
    parser.add_argument("--write", action="store_true", help="put the thresholds into the sugar.json")
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object in percent")
    parser.add_argument("--out", help="folder for ask.json, ask.md and the curve")
    parser.add_argument("--save", action="store_true", help="keep the table for sugar/rag/README.md")


def run(args: argparse.Namespace) -> int:
    """Measure, or calibrate. Raises SettingsError for --write without --calibrate or without a folder."""
    from sugar.commands.figures import save
    from sugar.core import Sugar
    from sugar.evaluation.ask import COLUMNS, calibrate, measure, rows, table, write_thresholds

    model = Sugar.from_pretrained(args.model, device=args.device)
    progress = functools.partial(print, flush=True)
    curve = None
    if args.write and (not args.calibrate or model.folder is None):
        raise SettingsError("--write needs --calibrate, and a model that lies in a folder.")
    if args.calibrate:
        curve, report = calibrate(model, seed=args.seed, size=args.size, progress=progress)
        print(json.dumps(curve.thresholds))
        if args.write and model.folder is not None:
            write_thresholds(model.folder, curve)
    else:
        report = measure(model, seed=args.seed, size=args.size, progress=progress)
    print(table(report))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "ask.json").write_text(json.dumps(report.flat(), indent=1) + "\n", "utf-8")
        (args.out / "ask.md").write_text(table(report) + "\n", "utf-8")
        if curve is not None:
            curve.plot(args.out / "ask-curve.png")
    if args.save and not args.calibrate:
        told = f"python -m sugar evaluate ask --model {model.name} --seed {args.seed} --size {args.size}"
        save(f"ask-{model.name}", told, {"columns": list(COLUMNS), "rows": rows(report)})
    if args.json:
        print(json.dumps(report.flat()))
    return 0
