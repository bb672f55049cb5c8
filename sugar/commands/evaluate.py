"""`python -m sugar evaluate WHAT`: the drawn world, the ablation, or a benchmark by its official rules.

python -m sugar evaluate list --data data/                        # the catalogue, and which files are there
python -m sugar evaluate sugarcrepe --data data/coco --model sugar-photo --limit 100
python -m sugar evaluate pope_random --data data/coco --predictions runs/evaluation/.../predictions.jsonl
python -m sugar evaluate compare A B --benchmark sugarcrepe --data data/coco
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sugar.commands import evaluate_ask
from sugar.paths import output_folder, there


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    drawn = what.add_parser("drawn", help="every benchmark of the drawn world, beside its baselines")
    drawn.add_argument("--model", default="sugar-tiny", help="a preset or a checkpoint folder")
    drawn.add_argument("--seed", type=int, default=0, help="of the test split's scenes")
    drawn.add_argument(
        "--size", type=int, default=1000, help="scenes, candidates or questions of each benchmark"
    )
    drawn.add_argument("--device", default="auto")
    drawn.add_argument("--json", action="store_true", help="end with one line: a JSON object in percent")
    drawn.add_argument("--out", help="folder for report.json, table.md and confusion.png")
    photos = what.add_parser("photos", help="the photo model on photos that it never saw")
    photos.add_argument("--data", required=True, help="folder with flickr8k.zip and the rest")
    photos.add_argument("--benchmarks", help="folder with sugar-crepe-*.json")
    photos.add_argument("--model", default="sugar-photo", help="a preset or a checkpoint folder")
    photos.add_argument("--split", default="test", choices=["dev", "test"])
    photos.add_argument("--size", type=int, default=1000, help="photos")
    photos.add_argument("--seed", type=int, default=0, help="of the questions and foils that are drawn")
    photos.add_argument("--device", default="auto")
    photos.add_argument("--json", action="store_true", help="end with one line: a JSON object in percent")
    photos.add_argument("--out", help="folder for photos.json, photos.md and captions.json")
    photos.add_argument(
        "--card",
        action="store_true",
        help="write quality.json, golden.json and README.md beside the checkpoint (needs scikit-image)",
    )
    evaluate_ask.add_parser(what)
    ablation = what.add_parser("ablation", help="train variants of a recipe alike, and compare them")
    ablation.add_argument("--base", default="sugar-tiny", help="any model; {seed} in it is the seed's number")
    ablation.add_argument("--data", action="append", metavar="FORMAT=PATH", help="default: drawn")
    ablation.add_argument("--teachers", default="scenes", help="as for `train`; `words` for captioned photos")
    ablation.add_argument("--out", default="runs/ablation", help="what is finished there is kept")
    ablation.add_argument("--steps", type=int, default=300)
    ablation.add_argument("--seeds", type=int, default=2)
    ablation.add_argument("--size", type=int, default=200, help="rows kept aside that are measured")
    ablation.add_argument("--only", nargs="*", metavar="VARIANT", help="these variants only")
    ablation.add_argument("--save", metavar="NAME", help="write assets/figures/NAME.json")

    cut_off = what.add_parser("cut-off", help="the cosine below which a search says: no close match")
    cut_off.add_argument("--model", default="sugar-tiny", help="a preset or a checkpoint folder")
    cut_off.add_argument("--seed", type=int, default=3, help="of the tuning split's scenes")
    cut_off.add_argument("--size", type=int, default=100, help="pictures of the gallery")
    cut_off.add_argument("--wrongly", type=float, default=0.02, help="share of good matches it may refuse")
    cut_off.add_argument("--data", help="folder with flickr8k.zip: measure on photos")
    cut_off.add_argument("--device", default="auto")
    cut_off.add_argument("--save", action="store_true", help="write assets/figures/cut-off-MODEL.json")
    cut_off.add_argument("--write", help="checkpoint folder whose sugar.json gets the cut-off")
    listed = what.add_parser("list", help="every benchmark: files, licence, size, the papers' figures")
    listed.add_argument("--data", help="folder to look for the files in")
    compared = what.add_parser("compare", help="two runs of a benchmark, with paired bootstrap intervals")
    compared.add_argument("first", metavar="A", help="a predictions.jsonl, or its folder")
    compared.add_argument("second", metavar="B")
    compared.add_argument("--benchmark", required=True)
    compared.add_argument("--data", required=True)
    compared.add_argument("--samples", type=int, default=1000, help="bootstrap samples")
    _add_benchmarks(what)


def _add_benchmarks(what: Any) -> None:
    from sugar.evaluation.catalogue import benchmarks

    for name, benchmark in benchmarks().items():
        parser = what.add_parser(name, help=benchmark.title, description=benchmark.about)
        parser.add_argument("--data", required=True, help="folder with the published files")
        parser.add_argument(
            "--model", default=None, help="a preset, a checkpoint folder, or a hub repository"
        )
        parser.add_argument("--adapter", help="an adapter folder or repository")
        parser.add_argument("--device", default="auto")
        parser.add_argument("--precision", default="auto")
        parser.add_argument("--limit", type=int, help="the first N items only")
        parser.add_argument(
            "--available", action="store_true", help="leave out items whose pictures are not in the folder"
        )
        parser.add_argument("--out", default="runs/evaluation")
        parser.add_argument("--predictions", help="score this file again, without a model")
        parser.add_argument("--download", action="store_true", help="fetch missing files from the hub first")
        parser.add_argument("--json", action="store_true", help="end with one line: a JSON object")
        parser.add_argument("--save", action="store_true", help="keep the row for sugar/evaluation/README.md")


def run(args: argparse.Namespace) -> int:
    for name in ("data", "benchmarks", "predictions", "write", "first", "second"):
        if isinstance(given := getattr(args, name, None), str):
            folder = output_folder if getattr(args, "download", False) and name == "data" else there
            setattr(args, name, folder(given, name if name in ("first", "second") else f"--{name}"))
    if getattr(args, "out", None) is not None and getattr(args, "predictions", None) is None:
        args.out = output_folder(args.out, "--out")
    known = {
        "ask": evaluate_ask.run,
        "cut-off": _cut_off,
        "photos": _photos,
        "drawn": _drawn,
        "ablation": _ablation,
        "list": _list,
        "compare": _compare,
    }
    return known.get(args.what, _benchmark)(args)


def _cut_off(args: argparse.Namespace) -> int:
    from sugar.core import Sugar
    from sugar.evaluation import cut_off
    from sugar.training.photos.archive import Archive

    model, half, figures = Sugar.from_pretrained(args.model, device=args.device), None, {}
    if args.data:
        archive, balanced = Archive(args.data), model.profile.abstain["balanced"]
        what, cosines = "photos of the dev split", cut_off.photo_cosines(model, archive, args.size)
        asked = cut_off.photo_cosines(model, archive, args.size, cut_off.QUESTIONS)
        half = cut_off.half_cosine(asked[1], balanced)
        answered = (asked[0] >= half * (balanced / (1 - balanced)) ** 0.5).mean()
        figures = {"questions": len(asked[0]), "half_cosine": half, "answered": float(answered)}
        print(
            f"questions: half_cosine {half:.3f}; answered {answered:.1%}, of those about absent things 20 %"
        )
    else:
        what = f"drawn scenes, seed {args.seed}"
        cosines = cut_off.drawn_cosines(model, args.seed, args.size)
    found = cut_off.measure_cut_off(*cosines, args.wrongly)
    print(f"{args.model}, {args.size} {what}, {len(cosines[0])} queries: cut-off {found.cut_off:.3f}")
    print(
        f"refused: {found.wrongly_refused:.1%} of the queries with a match, {found.refused:.1%} of the others"
    )
    print(f"AUROC {found.auroc:.4f}")
    if args.write:
        cut_off.write_cut_off(args.write, found, half)
    if args.save:
        from sugar.commands.figures import save

        command = f"python -m sugar evaluate cut-off --model {args.model} --size {args.size}"
        command += f" --wrongly {args.wrongly}" + (" --data DATA" if args.data else "")
        counted = {"queries with a match": len(cosines[0]), "queries without": len(cosines[1])}
        rows = {**counted, **asdict(found), **figures}
        save(f"cut-off-{Path(args.model).name}", command, {"rows": rows})
    return 0


def _list(args: argparse.Namespace) -> int:
    from sugar.evaluation.catalogue import table

    print(table(args.data))
    return 0


def _compare(args: argparse.Namespace) -> int:
    from sugar.evaluation.catalogue import find
    from sugar.evaluation.comparison import compare, table

    files = [p / "predictions.jsonl" if p.is_dir() else p for p in (args.first, args.second)]
    differences = compare(find(args.benchmark), args.data, *files, samples=args.samples)
    print(table(args.benchmark, differences))
    return 0


def _benchmark(args: argparse.Namespace) -> int:
    from sugar.evaluation import runner
    from sugar.evaluation.catalogue import download, figures_table, find

    benchmark = find(args.what)
    if args.download:
        download(benchmark, args.data)
    if args.predictions is not None:
        figures = runner.rescore(
            benchmark,
            data=args.data,
            predictions=args.predictions,
            limit=args.limit,
            available=args.available,
        )
        row: dict[str, Any] = {"benchmark": benchmark.name, "figures": figures}
    else:
        from sugar.core import Sugar

        processes = runner.Processes()
        chosen = {} if args.model is None else {"path_or_preset": args.model}
        model = Sugar.from_pretrained(
            **chosen, adapter=args.adapter, device=args.device, precision=args.precision
        )
        result = runner.run(
            benchmark, model, data=args.data, out=args.out, limit=args.limit, available=args.available
        )
        if processes.rank > 0:
            return 0
        figures, row = result.figures, result.row
        print(f"predictions: {result.predictions}")
        if args.save:
            from sugar.commands.figures import save_benchmark

            save_benchmark(row)
    print(figures_table(benchmark, figures))
    if args.json:
        print(json.dumps(row))
    return 0


def _ablation(args: argparse.Namespace) -> int:
    from sugar.commands.figures import save
    from sugar.evaluation import ablation

    data = args.data or ["drawn"]
    facts = ablation.run(
        base=args.base,
        data=data,
        teachers=args.teachers,
        out=args.out,
        steps=args.steps,
        seeds=args.seeds,
        size=args.size,
        only=args.only,
    )
    if args.save:
        command = f"python -m sugar evaluate ablation --base {args.base} --data {' --data '.join(data)}"
        command += f" --teachers {args.teachers} --steps {args.steps} --seeds {args.seeds} --size {args.size}"
        command += f" --only {' '.join(args.only)}" if args.only else ""
        save(args.save, command, {name: facts[name] for name in ("columns", "rows")})
    return 0


def _photos(args: argparse.Namespace) -> int:
    from sugar.core import Sugar
    from sugar.evaluation.photos.report import measure, table
    from sugar.training.photos.archive import Archive

    model = Sugar.from_pretrained(args.model, device=args.device)
    report = measure(
        model,
        Archive(args.data),
        split=args.split,
        size=args.size,
        seed=args.seed,
        benchmarks=args.benchmarks,
    )
    print(table(report))
    if args.out:
        (args.out / "photos.json").write_text(json.dumps(report.flat(), indent=1) + "\n", "utf-8")
        (args.out / "photos.md").write_text(table(report) + "\n", "utf-8")
        (args.out / "captions.json").write_text(json.dumps(report.said, indent=1) + "\n", "utf-8")
    if args.card and model.folder is not None:
        from sugar.evaluation.photos.card import write_card
        from sugar.evaluation.photos.golden import golden

        for name, content in (("quality", report.flat()), ("golden", golden(model))):
            (model.folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        write_card(model.folder)
    if args.json:
        print(json.dumps(report.flat()))
    return 0


def _drawn(args: argparse.Namespace) -> int:
    from sugar.core import Sugar
    from sugar.evaluation.drawn import measure, plot_confusion, table

    report = measure(Sugar.from_pretrained(args.model, device=args.device), seed=args.seed, size=args.size)
    print(table(report))
    if args.out:
        out = args.out
        (out / "report.json").write_text(json.dumps(report.flat(), indent=1) + "\n", "utf-8")
        (out / "table.md").write_text(table(report) + "\n", "utf-8")
        plot_confusion(report, out / "confusion.png")
    if args.json:
        print(json.dumps(report.flat()))
    return 0
