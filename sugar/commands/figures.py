"""`python -m sugar bench NAME` and `python -m sugar figures`: how fast it is, and the tables of every README.

    python -m sugar bench --save app          # a table, a JSON line, and assets/figures/bench-app.json
    python -m sugar figures                   # fills `<!-- figures bench-app -->` blocks of the README files
    python -m sugar figures --check           # exit code 1 when a page and its file differ

A block ends with `<!-- /figures -->`. Each table is followed by the command, date, machine and commit of its
file.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import os
import pkgutil
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sugar import bench as room
from sugar.commands import add_flags
from sugar.errors import SettingsError
from sugar.evaluation.provenance import provenance
from sugar.evaluation.report import markdown_table

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "assets" / "figures"
BLOCK = re.compile(r"(<!-- figures ([a-z0-9_/-]+) -->\n).*?(<!-- /figures -->)", re.DOTALL)


def add_figures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit code 1 when a page is stale"
    )


def figures(args: argparse.Namespace) -> int:
    stale = []
    for page in pages():
        text = page.read_text("utf-8")
        filled = fill(text)
        if filled != text:
            stale.append(str(page.relative_to(ROOT)))
            if not args.check:
                page.write_text(filled, "utf-8")
    print("\n".join(stale) or "every page agrees with its figures")
    return 1 if stale and args.check else 0


def pages() -> list[Path]:
    """The README files of the project."""
    rooms = [*ROOT.glob("sugar/**/README.md"), *ROOT.glob("assets/*/README.md")]
    return [ROOT / "README.md", *sorted(rooms)]


def fill(text: str) -> str:
    """The text with every block filled. Raises SettingsError for a block whose file is missing."""
    return BLOCK.sub(lambda m: f"{m.group(1)}{table(m.group(2))}\n{m.group(3)}", text)


def table(name: str) -> str:
    """The Markdown of one block, put together by code (`COMPUTED`) or read from assets/figures/."""
    if name in COMPUTED:
        return COMPUTED[name]()
    path = FIGURES / f"{name}.json"
    if not path.is_file():
        raise SettingsError(
            f"{path} is missing. Run the command that writes it, or remove the block {name!r}."
        )
    data = json.loads(path.read_text("utf-8"))
    return f"{as_table(data)}\n\n{origin(data)}"


def origin(data: dict[str, Any]) -> str:
    """One line: how the figures were made."""
    where = ", ".join(str(data[k]) for k in ("machine", "device") if data.get(k))
    commit = f", commit {data['commit']}" if data.get("commit") else ""
    load = f", load {data['load']:.1f}" if "load" in data else ""  # runnable processes while it ran
    return f"`{data['command']}`, {data['date']}, {where}{load}{commit}."


def as_table(data: dict[str, Any]) -> str:
    """Markdown of `columns` and `rows`; rows may be a mapping, or mappings with the same keys."""
    rows = data["rows"]
    if isinstance(rows, dict):
        columns, cells = ["", "measured"], [[k.replace("_", " "), v] for k, v in rows.items()]
    elif rows and isinstance(rows[0], dict):
        columns = data.get("columns") or list(dict.fromkeys(k for row in rows for k in row))
        cells = [[row.get(c, "") for c in columns] for row in rows]
    else:
        columns, cells = data["columns"], rows
    return markdown_table(columns, [[cell(v) for v in row] for row in cells])


def cell(value: Any) -> str:
    """A value for people: four digits, thousands in full, yes and no, nothing for None, pairs in a row."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {cell(part)}" for key, part in value.items())
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value).replace("|", "\\|")


def models() -> str:
    """The presets, with what each needs."""
    from sugar.model.presets import table

    return table()


def benchmarks() -> str:
    """Every benchmark: what was measured here, beside the papers' rows; empty cells where nothing was
    measured, or too few items for a figure without an interval.
    """
    from sugar.evaluation.benchmark import benchmarks as known
    from sugar.evaluation.comparison import FEW

    def shown(row: dict[str, Any], key: str) -> str:
        value = cell(row["figures"].get(key))
        if row["items"] >= FEW or not value:
            return value
        low, high = row.get("intervals", {}).get(key, (None, None))
        return f"{value} ({cell(low)} to {cell(high)})" if low is not None else ""

    measured = json.loads(BENCHMARKS.read_text("utf-8"))["rows"] if BENCHMARKS.is_file() else []
    ours = sorted({row["model"] for row in measured})
    lines = []
    for name, benchmark in known().items():
        rows = {row["model"]: row for row in measured if row["benchmark"] == name}
        reported = {k for figures in benchmark.papers.values() for k in figures}
        keys = [k for row in rows.values() for k in row["figures"] if shown(row, k)] or sorted(reported)
        for key in list(dict.fromkeys(keys)) or [""]:
            own = [shown(rows[m], key) if m in rows else "" for m in ours]
            papers = [f"{p} {figures[key]:g}" for p, figures in benchmark.papers.items() if key in figures]
            lines.append([name, key, *own, "; ".join(papers)])
    figures = markdown_table(["benchmark", "figure", *ours, "papers"], lines)
    return "\n".join([figures, "", *(part_of(row) for row in measured)])


def drawn() -> str:
    """The drawn world's table, from what `python -m sugar assets --only quality` wrote."""
    from sugar.evaluation.report import BESIDE
    from sugar.evaluation.tasks.drawn import ROWS

    measured = json.loads((ROOT / "assets" / "sugar-tiny" / "quality.json").read_text("utf-8"))
    lines = []
    for row in ROWS:
        if row.key not in measured:
            continue
        beside = [cell(measured.get(f"{row.key}_{kind}")) for kind in ("chance", "language", "picture")]
        lines.append([row.title, cell(measured[row.key]), *beside, cell(row.at_least), cell(row.aim)])
    how = f"`python -m sugar evaluate drawn --seed {measured['seed']} --size {measured['size']}`"
    return "\n".join(
        [markdown_table(["%", *BESIDE, "at least", "aim"], lines), "", f"{how}, {measured['model']}."]
    )


def part_of(row: dict[str, Any]) -> str:
    """How one row was made."""
    how = (
        f"{row['items']} items, {row['precision']} on {row['device']}, {row['date']}, commit {row['commit']}"
    )
    return f"- {row['benchmark']}, {row['model']}: {how}"


BENCHMARKS = FIGURES / "benchmarks.json"
COMPUTED: dict[str, Callable[[], str]] = {"models": models, "benchmarks": benchmarks, "drawn": drawn}
"""Blocks that are put together by code, not one file's table."""


def save_benchmark(row: dict[str, Any]) -> None:
    """Keep a results row; it replaces that model's earlier row of the benchmark."""
    kept = json.loads(BENCHMARKS.read_text("utf-8"))["rows"] if BENCHMARKS.is_file() else []
    same = (row["benchmark"], row["model"])
    kept = [r for r in kept if (r["benchmark"], r["model"]) != same]
    FIGURES.mkdir(parents=True, exist_ok=True)
    rows = sorted([*kept, row], key=lambda r: (r["benchmark"], r["model"]))
    BENCHMARKS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", "utf-8")


def save(name: str, command: str, data: dict[str, Any]) -> Path:
    """Write assets/figures/NAME.json with the command and where it ran.

    `data` holds `rows`, and `columns` if needed.
    """
    FIGURES.mkdir(parents=True, exist_ok=True)
    path = FIGURES / f"{name}.json"
    path.write_text(json.dumps({"command": command, **provenance(), **data}, indent=1) + "\n", "utf-8")
    return path


# -- bench --------------------------------------------------------------------------------------------------


def add_bench(parser: argparse.ArgumentParser) -> None:
    names = sorted(m.name for m in pkgutil.iter_modules(room.__path__))
    parser.add_argument("room", choices=names)
    parser.add_argument(
        "--save", action="store_true", help="write assets/figures/bench-NAME.json (before NAME)"
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="options of that benchmark; --help lists them")


def bench(args: argparse.Namespace) -> int:
    measured = importlib.import_module(f"sugar.bench.{args.room}")
    parser = argparse.ArgumentParser(
        prog=f"python -m sugar bench {args.room}",
        description=measured.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults, texts = ({name: pair[i] for name, pair in measured.OPTIONS.items()} for i in (0, 1))
    add_flags(parser, defaults, texts)
    found = measured.run(parser.parse_args(args.rest))
    line = {"bench": args.room, **provenance(), "versions": versions(), **found}
    print(json.dumps(line))
    if args.save:
        if hasattr(os, "getloadavg"):  # how busy the machine was, this run included
            line |= {"load": os.getloadavg()[1]}
        command = " ".join(["python -m sugar bench", args.room, *args.rest])
        print(f"saved to {save(f'bench-{args.room}', command, line)}")
    return 0


LIBRARIES = "torch transformers numpy faiss-cpu numba triton tslearn dtaidistance aeon"


def versions() -> dict[str, str]:
    """Of Python and the libraries that the figures hang on, where they are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES.split():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


COMMANDS = {"figures": (add_figures, figures), "bench": (add_bench, bench)}
