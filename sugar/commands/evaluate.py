"""`python -m sugar evaluate drawn`: every benchmark of the drawn world. `python -m sugar evaluate ablation`: the paper's ablation."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    drawn = what.add_parser("drawn", help="every benchmark of the drawn world, beside its baselines")
    drawn.add_argument("--model", default="sugar-tiny", help="a preset, a checkpoint folder, or a training run's folder")
    drawn.add_argument("--seed", type=int, default=0, help="of the test split's scenes")
    drawn.add_argument("--size", type=int, default=1000, help="scenes, candidates or questions of each benchmark")
    drawn.add_argument("--device", default="auto")
    drawn.add_argument("--json", action="store_true", help="end with one line: a JSON object in percent")
    drawn.add_argument("--out", help="folder for report.json, table.md and confusion.png")
    ablation = what.add_parser("ablation", help="train the paper's variants, briefly and alike, and compare them")
    ablation.add_argument("--out", default="runs/ablation", help="folder for the runs and results; what is finished there is kept")
    ablation.add_argument("--steps", type=int, default=240, help="of each variant, after the shared dense stage")
    ablation.add_argument("--seeds", type=int, default=2)
    ablation.add_argument("--size", type=int, default=200, help="scenes, candidates or questions of each measurement")
    ablation.add_argument("--precision", default="no", choices=["no", "bf16"], help="bf16: twice as fast on a CPU with bfloat16 units")
    ablation.add_argument("--only", nargs="*", metavar="VARIANT", help="these variants only")


def run(args: argparse.Namespace) -> int:
    if args.what == "ablation":
        from sugar.evaluation import ablation

        return ablation.run(out=args.out, steps=args.steps, seeds=args.seeds, size=args.size, only=args.only, precision=args.precision)
    from sugar.evaluation.drawn import measure, plot_confusion, table
    from sugar.evaluation.opening import open_model

    report = measure(open_model(args.model, device=args.device), seed=args.seed, size=args.size)
    print(table(report))
    if args.out:
        out = Path(args.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(report.flat(), indent=1) + "\n", "utf-8")
        (out / "table.md").write_text(table(report) + "\n", "utf-8")
        plot_confusion(report, out / "confusion.png")
    if args.json:
        print(json.dumps(report.flat()))
    return 0
