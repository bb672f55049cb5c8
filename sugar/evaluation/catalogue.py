"""All benchmarks, found in tasks/: a file there with `BENCHMARKS` is a benchmark, with no list to be kept.

find("pope_random")            # raises SettingsError with the names there are
table(Path("data"))            # Markdown: name, title, files, licence, size, the papers' figures
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from pathlib import Path

from sugar.errors import SettingsError
from sugar.evaluation import tasks
from sugar.evaluation.benchmark import Benchmark


@lru_cache(maxsize=1)
def benchmarks() -> dict[str, Benchmark]:
    """Name -> benchmark, in alphabetical order."""
    found: dict[str, Benchmark] = {}
    for module in pkgutil.iter_modules(tasks.__path__):
        loaded = importlib.import_module(f"{tasks.__name__}.{module.name}")
        for benchmark in getattr(loaded, "BENCHMARKS", ()):
            found[benchmark.name] = benchmark
    return dict(sorted(found.items()))


def find(name: str) -> Benchmark:
    """One benchmark. Raises SettingsError for an unknown name."""
    if name not in benchmarks():
        raise SettingsError(f"No benchmark is called {name!r}. There are {', '.join(benchmarks())}.")
    return benchmarks()[name]


def table(data: Path | None = None) -> str:
    """Markdown of the catalogue; with a data folder also which files are there."""
    lines = []
    for name, b in benchmarks().items():
        lines += [
            f"{name}: {b.title}",
            f"  {b.about}",
            f"  size: {b.source.size}; licence: {b.source.licence}",
        ]
        for file, address in b.source.files.items():
            there = "" if data is None else "  [there]" if (data / file).exists() else "  [missing]"
            lines.append(f"  file: {file}  from {address}{there}")
        for paper, figures in b.papers.items():
            lines.append(f"  {paper}: " + ", ".join(f"{k} {v:g}" for k, v in figures.items()))
        lines.append("")
    return "\n".join(lines)


def figures_table(benchmark: Benchmark, figures: dict[str, float]) -> str:
    """Markdown: the measured figures beside chance and the papers' rows."""
    keys = list(figures)
    rows = {"measured": figures, "chance": benchmark.chance, **benchmark.papers}
    lines = [f"| {benchmark.title} | {' | '.join(keys)} |", f"|---{'|---' * len(keys)}|"]
    for name, row in rows.items():
        if row:
            cells = [f"{row[k]:.1f}" if k in row else "" for k in keys]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def download(benchmark: Benchmark, folder: Path) -> None:
    """Fetch what is missing from where the authors put it. Raises SettingsError when there is none."""
    if not benchmark.source.missing(folder):
        return
    if not benchmark.source.repository:
        addresses = ", ".join(sorted(set(benchmark.source.files.values())))
        raise SettingsError(
            f"The authors of {benchmark.title} put no files on the hub. Get them from {addresses}."
        )
    from huggingface_hub import snapshot_download

    snapshot_download(benchmark.source.repository, repo_type="dataset", local_dir=folder)
