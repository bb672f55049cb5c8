"""`python -m sugar evaluate WHAT`: the drawn world, photos, Ask, the ablation, or a benchmark of the field.

python -m sugar evaluate list --data data/                        # the catalogue, and which files are there
python -m sugar evaluate sugarcrepe --data data/coco --model sugar-photo --limit 100
python -m sugar evaluate pope_random --data data/coco --predictions runs/evaluation/.../predictions.jsonl
python -m sugar evaluate compare A B --benchmark sugarcrepe --data data/coco
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sugar.commands import REQUIRED, add_flags
from sugar.commands.figures import save, save_benchmark
from sugar.errors import SettingsError
from sugar.paths import output_folder, there

FLAGS = {
    "base": "any model; {seed} in it is the seed's number",
    "teachers": "as for `train`; `words` for captioned photos",
    "model": "a preset, a checkpoint folder, or a hub repository",
    "adapter": "an adapter folder or repository",
    "device": "auto, cpu, cuda, ...",
    "precision": "auto, fp32, bf16, fp16, nf4",
    "seed": "of the scenes, names, questions and foils that are drawn; of the ablation, this one alone",
    "seeds": "how many runs of each row, from seed 0",
    "size": "scenes, photos, cards, candidates or questions of each measurement",
    "steps": "of training for each row",
    "split": "dev or test",
    "data": "folder with the files; of the ablation FORMAT=PATH, default drawn",
    "benchmarks": "folder with sugar-crepe-*.json",
    "benchmark": "name in the list",
    "out": "folder of what is written; what is finished there is kept",
    "only": "these rows only",
    "limit": "the first N items only",
    "available": "leave out items whose pictures are not in the folder",
    "predictions": "score this file again, without a model",
    "download": "fetch missing files from the hub first",
    "samples": "bootstrap samples",
    "wrongly": "share of good matches that may be refused",
    "calibrate": "ask the tuning split: the curve and its thresholds",
    "write": "put what was found into the sugar.json",
    "card": "write quality.json, golden.json and README.md beside the checkpoint (needs scikit-image)",
    "save": "keep the figures for the README files (of the ablation: a NAME in assets/figures)",
    "json": "end with one line: a JSON object",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from sugar.evaluation.benchmark import benchmarks

    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for name, (text, defaults, run) in WHAT.items():
        sub = what.add_parser(name, help=text, description=text)
        if name == "compare":
            sub.add_argument("first", metavar="A", help="a predictions.jsonl, or its folder")
            sub.add_argument("second", metavar="B")
        add_flags(sub, defaults, FLAGS)
        sub.set_defaults(measure=run)
    for name, benchmark in benchmarks().items():
        sub = what.add_parser(name, help=benchmark.title, description=benchmark.about)
        add_flags(sub, BENCHMARK, FLAGS)
        sub.set_defaults(measure=_benchmark)


def run(args: argparse.Namespace) -> int:
    for name in ("data", "benchmarks", "predictions", "write", "first", "second"):
        if isinstance(given := getattr(args, name, None), str):
            folder = output_folder if getattr(args, "download", False) and name == "data" else there
            setattr(args, name, folder(given, name if name in ("first", "second") else f"--{name}"))
    if getattr(args, "out", None) is not None and getattr(args, "predictions", None) is None:
        args.out = output_folder(args.out, "--out")
    args.measure(args)
    return 0


def _report(args: argparse.Namespace, title: str, rows: Any, figures: dict[str, float], **about: Any) -> Any:
    """Print the table, and write it; returns the figures with what they are of."""
    from sugar.evaluation.report import barred_table, missed, rounded

    found = {**about, "missed": missed(rows, figures), **rounded(figures)}
    table = barred_table(title, rows, figures)
    print(table)
    if args.out:
        name = {"drawn": ("report.json", "table.md")}.get(args.what, ("photos.json", "photos.md"))
        (args.out / name[0]).write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        (args.out / name[1]).write_text(table + "\n", "utf-8")
    if args.json:
        print(json.dumps(found))
    return found


def _drawn(args: argparse.Namespace) -> None:
    from sugar.core import Sugar
    from sugar.evaluation import runner
    from sugar.evaluation.tasks import drawn

    model, began = Sugar.from_pretrained(args.model, device=args.device), time.perf_counter()
    found = runner.measure(drawn.benchmark(args.seed, args.size), model, quiet=False)
    seconds = time.perf_counter() - began
    by = f"Winoground by {drawn.SCORER}."
    title = f"{model.name} on the drawn world, seed {args.seed}, size {args.size}, {seconds:.0f} s. {by}"
    about = {"model": model.name, "seed": args.seed, "size": args.size, "winoground_by": drawn.SCORER}
    _report(args, title, drawn.ROWS, found.figures, **about)
    if args.out:
        title = f"{model.name}, seed {args.seed}, size {args.size}"
        drawn.plot_confusion(found, title, args.out / "confusion.png")


def _photos(args: argparse.Namespace) -> None:
    from sugar.core import Sugar
    from sugar.evaluation import runner
    from sugar.evaluation.tasks import photos
    from sugar.everyday.archive import Archive

    model, began = Sugar.from_pretrained(args.model, device=args.device), time.perf_counter()
    archive = Archive(args.data)
    asked = {"split": args.split, "size": args.size, "seed": args.seed}
    benchmark = photos.benchmark(archive, **asked, crepe=args.benchmarks)
    found = runner.measure(benchmark, model, quiet=False)
    seconds = time.perf_counter() - began
    about = {"model": model.name, **asked, "seconds": round(seconds)}
    about["threshold"] = round(photos.threshold(found), 4)
    report = _report(
        args, f"{model.name} on {benchmark.title}, {seconds:.0f} s.", photos.ROWS, found.figures, **about
    )
    if args.out:
        (args.out / "captions.json").write_text(json.dumps(photos.captions(found), indent=1) + "\n", "utf-8")
    if args.card and model.folder is not None:
        from sugar.evaluation.golden import of_photos
        from sugar.evaluation.photo_card import write_card

        for name, content in (("quality", report), ("golden", of_photos(model))):
            (model.folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        write_card(model.folder)


def _language(args: argparse.Namespace) -> None:
    from sugar.core import Sugar
    from sugar.evaluation import runner
    from sugar.evaluation.report import rounded
    from sugar.evaluation.tasks import language

    ours, base = (
        runner.measure(language.benchmark(), Sugar.from_pretrained(name, device=args.device), quiet=args.json)
        for name in (args.model, args.base)
    )
    found = rounded(language.kept(ours, base))
    print(json.dumps(found) if args.json else "\n".join(f"{name}: {value}" for name, value in found.items()))


def _ask(args: argparse.Namespace) -> None:
    from sugar.core import Sugar
    from sugar.evaluation import runner
    from sugar.evaluation.tasks import ask

    model, began = Sugar.from_pretrained(args.model, device=args.device), time.perf_counter()
    if args.write and (not args.calibrate or model.folder is None):
        raise SettingsError("--write needs --calibrate, and a model that lies in a folder.")
    how: dict[str, Any] = {"split": "tuning", "cut_off": 0.0} if args.calibrate else {}
    found = runner.measure(ask.benchmark(args.seed, args.size, **how), model, quiet=False)
    seconds, figures = time.perf_counter() - began, found.figures
    curve = ask.curve_of(found) if args.calibrate else None
    if curve is not None:
        print(json.dumps(curve.thresholds))
        if args.write and model.folder is not None:
            ask.write_thresholds(model.folder, curve)
    title = (
        f"{model.name}, seed {args.seed}, {args.size} cards, {len(found.items)} questions, {seconds:.0f} s."
    )
    print(ask.table(title, figures))
    report = {"model": model.name, "seed": args.seed, "size": args.size, **ask.nested(figures)}
    if args.out:
        (args.out / "ask.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        (args.out / "ask.md").write_text(ask.table(title, figures) + "\n", "utf-8")
        if curve is not None:
            curve.plot(args.out / "ask-curve.png")
    if args.save and not args.calibrate:
        told = f"python -m sugar evaluate ask --model {model.name} --seed {args.seed} --size {args.size}"
        save(f"ask-{model.name}", told, {"columns": list(ask.COLUMNS), "rows": ask.rows(figures)})
    if args.json:
        print(json.dumps(report))


def _cut_off(args: argparse.Namespace) -> None:
    from sugar.core import Sugar
    from sugar.evaluation import cut_off
    from sugar.evaluation.comparison import share_interval
    from sugar.everyday.archive import Archive

    def told(hits: Any) -> str:
        return "{:.3f} ({:.3f} to {:.3f})".format(hits.mean(), *share_interval(hits.mean(), len(hits)))

    model, half = Sugar.from_pretrained(args.model, device=args.device), None
    answers: dict[str, Any] = {}
    if args.data:
        archive, balanced = Archive(args.data), model.profile.abstain["balanced"]
        what, cosines = "photos of the dev split", cut_off.photo_cosines(model, archive, args.size)
        asked = cut_off.photo_cosines(model, archive, args.size, cut_off.QUESTIONS)
        (_, own), (fitted, other) = (cut_off.halves(c, len(cut_off.QUESTIONS)) for c in asked)
        half = cut_off.half_cosine(fitted, balanced)
        reach = half * (balanced / (1 - balanced)) ** 0.5
        answers = {"questions": len(own), "half_cosine": half}
        answers |= {"answered": told(own >= reach), "answered wrongly": told(other >= reach)}
    else:
        what = f"drawn scenes, seed {args.seed}"
        cosines = cut_off.drawn_cosines(model, args.seed, args.size)
    found = cut_off.measure_cut_off(*cosines, args.wrongly)
    rows: dict[str, Any] = {
        "fitted on": len(cosines[0]) - found.queries,
        "cut_off": found.cut_off,
        "measured on": found.queries,
    }
    for name, (low, high) in found.bounds.items():
        rows[name] = f"{getattr(found, name):.3f} ({low:.3f} to {high:.3f})"
    rows |= answers
    print(
        f"{args.model}, {args.size} {what}", *(f"{name}: {value}" for name, value in rows.items()), sep="\n"
    )
    if args.write:
        cut_off.write_cut_off(args.write, found, half)
    if args.save:
        command = f"python -m sugar evaluate cut-off --model {args.model} --size {args.size}"
        command += f" --wrongly {args.wrongly}" + (" --data DATA" if args.data else "")
        save(f"cut-off-{Path(args.model).name}", command, {"rows": rows})


def _ablation(args: argparse.Namespace) -> None:
    from sugar.evaluation import ablation

    chosen = {name: getattr(args, name) for name in ("base", "teachers", "steps", "size")}
    chosen["seeds"] = range(args.seeds) if args.seed is None else [args.seed]
    if args.what == "adapters" and not args.only:
        args.only = [name for name, variant in ablation.VARIANTS.items() if variant.recipe != "sugar"]
    data = args.data or ["drawn"]
    facts = ablation.run(**chosen, data=data, out=args.out, only=args.only)
    if args.save:
        command = f"python -m sugar evaluate ablation --base {args.base} --data {' --data '.join(data)}"
        command += f" --teachers {args.teachers} --steps {args.steps} --seeds {args.seeds} --size {args.size}"
        command += f" --only {' '.join(args.only)}" if args.only else ""
        save(args.save, command, {name: facts[name] for name in ("columns", "rows")})


def _labels(args: argparse.Namespace) -> None:
    from sugar.evaluation.ablation import label_table

    data = args.data or ["drawn"]
    found = label_table(data, args.teachers, args.size)
    print("\n".join(" | ".join(row) for row in (found["columns"], *found["rows"])))
    if args.save:
        command = f"python -m sugar evaluate labels --data {' --data '.join(data)}"
        save("labels", f"{command} --teachers {args.teachers} --size {args.size}", found)


def _list(args: argparse.Namespace) -> None:
    from sugar.evaluation.benchmark import listed

    print(listed(args.data))


def _compare(args: argparse.Namespace) -> None:
    from sugar.evaluation.benchmark import find
    from sugar.evaluation.comparison import compare, table

    files = [p / "predictions.jsonl" if p.is_dir() else p for p in (args.first, args.second)]
    differences = compare(find(args.benchmark), args.data, *files, samples=args.samples)
    print(table(args.benchmark, differences))


def _benchmark(args: argparse.Namespace) -> None:
    from sugar.evaluation import runner
    from sugar.evaluation.benchmark import download, find
    from sugar.evaluation.comparison import FEW, intervals
    from sugar.evaluation.report import figures_table

    benchmark = find(args.what)
    if args.download:
        download(benchmark, args.data)
    chosen = {"limit": args.limit, "available": args.available}
    if args.predictions is not None:
        figures = runner.rescore(benchmark, data=args.data, predictions=args.predictions, **chosen)
        row: dict[str, Any] = {"benchmark": benchmark.name, "figures": figures}
    else:
        from sugar.core import Sugar

        processes = runner.Processes()
        named = {} if args.model is None else {"path_or_preset": args.model}
        model = Sugar.from_pretrained(
            **named, adapter=args.adapter, device=args.device, precision=args.precision
        )
        result = runner.run(benchmark, model, data=args.data, out=args.out, **chosen)
        if processes.rank > 0:
            return
        figures, row = result.figures, result.row
        print(f"predictions: {result.predictions}")
        if row["items"] < FEW:
            row["intervals"] = intervals(benchmark, args.data, result.predictions)
        if args.save:
            save_benchmark(row)
    print(figures_table(benchmark, figures, row.get("intervals", {})))
    if args.json:
        print(json.dumps(row))


Command = tuple[str, dict[str, Any], Callable[[argparse.Namespace], None]]
MEASURED = {"seed": 0, "size": 1000, "device": "auto", "json": False, "out": None}
TRAINED = {
    "base": "sugar-tiny",
    "data": [],
    "teachers": "scenes",
    "out": "runs/ablation",
    "steps": 300,
    "seeds": 2,
    "seed": int,
    "size": 200,
    "only": (),
    "save": None,
}
WHAT: dict[str, Command] = {
    "drawn": (
        "every benchmark of the drawn world, beside its baselines",
        {"model": "sugar-tiny", **MEASURED},
        _drawn,
    ),
    "photos": (
        "the photo model on photos that it never saw",
        {
            "model": "sugar-photo",
            "data": REQUIRED,
            "benchmarks": None,
            "split": ("test", "dev"),
            **MEASURED,
            "card": False,
        },
        _photos,
    ),
    "language": (
        "what a model kept of its base's language",
        {"model": "sugar-photo", "base": REQUIRED, "device": "auto", "json": False},
        _language,
    ),
    "ask": (
        "questions to cards, notes and galleries, as the app answers them",
        {"model": "sugar-tiny", **MEASURED, "calibrate": False, "write": False, "save": False},
        _ask,
    ),
    "ablation": ("train variants of a recipe alike, and compare them", TRAINED, _ablation),
    "adapters": (
        "VladVA's rows of the ablation",
        {**TRAINED, "out": "runs/adapters", "seeds": 1},
        _ablation,
    ),
    "labels": (
        "what free unit vectors learn of each label, without a model",
        {"data": [], "teachers": "scenes", "size": 240, "save": False},
        _labels,
    ),
    "cut-off": (
        "the cosine below which a search says: no close match",
        {
            "model": "sugar-tiny",
            "seed": 3,
            "size": 100,
            "wrongly": 0.02,
            "data": None,
            "device": "auto",
            "save": False,
            "write": None,
        },
        _cut_off,
    ),
    "list": ("every benchmark: files, licence, size, the papers' figures", {"data": None}, _list),
    "compare": (
        "two runs of a benchmark, with paired bootstrap intervals",
        {"benchmark": REQUIRED, "data": REQUIRED, "samples": 1000},
        _compare,
    ),
}
BENCHMARK = {
    "data": REQUIRED,
    "model": None,
    "adapter": None,
    "device": "auto",
    "precision": "auto",
    "limit": int,
    "available": False,
    "out": "runs/evaluation",
    "predictions": None,
    "download": False,
    "json": False,
    "save": False,
}
