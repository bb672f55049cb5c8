"""What a benchmark is: its published files, its items, its official score; and the catalogue of all.

    BENCHMARKS = (Benchmark("gqa", "GQA", "Questions about scenes.", read, score, Source(...)),)   # in tasks/
    find("gqa")                     # a file in tasks/ with BENCHMARKS is found, with no list to be kept

An item is a `Question` (an answer is generated), a `Match` (captions against pictures), a `Pool` (queries
against candidates), or the benchmark's own kind. Not covered: running (runner.py).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sugar.errors import InputError, SettingsError
from sugar.evaluation import tasks
from sugar.images import open_image
from sugar.sequence import Sample
from sugar.text_files import Rows, decode, lines, read_json, read_json_rows, read_table

Part = str | Path | bytes
"""A text, or a picture: the path of its file or its encoded bytes."""

SIDE = 1024
"""Pixels of the longer side that a picture is read at; every model's processor asks for less."""


def content(parts: Sequence[Part]) -> Sample:
    """The sample of an item, its pictures opened. Raises ImageError for a picture that cannot be read."""
    return Sample([p if isinstance(p, str) else open_image(p, max_side=SIDE).image for p in parts])


@dataclass(frozen=True)
class Question:
    """One generated answer.

    parts: pictures and texts, the question last; with no text the model's own request for a caption is added.
    instruction: the paper's line about the form of the answer, for models that follow instructions
    (`profile.instructed`).
    answers: what it is scored against. group: the subtask. unit: what a bootstrap draws together (default:
    the item).
    """

    key: str
    parts: tuple[Part, ...]
    answers: tuple[str, ...] = ()
    group: str = ""
    options: tuple[str, ...] = ()
    tokens: int = 16
    instruction: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Match:
    """Captions against pictures, one score each. The official rule of the task says which must win.

    yes_no: a question with {caption}; the scores are then the log odds of its "yes", not cosines.
    """

    key: str
    pictures: tuple[Part, ...]
    captions: tuple[str, ...]
    group: str = ""
    yes_no: str = ""


@dataclass(frozen=True)
class Query:
    """One query over a pool.

    `right`: keys of the right candidates; `without`: keys left out for this query.
    """

    key: str
    parts: tuple[Part, ...]
    right: frozenset[str]
    without: frozenset[str] = frozenset()
    group: str = ""


@dataclass(frozen=True)
class Pool:
    """Queries and the candidates that each of them searches.

    A candidate of several samples (the prompts of a class) is the mean of their vectors, made unit length.
    """

    queries: tuple[Query, ...]
    candidates: Mapping[str, tuple[tuple[Part, ...], ...]]


def flat(items: Sequence[Any]) -> Iterator[Any]:
    """What predictions are asked of: the items, with the queries of pools in place of the pools."""
    for item in items:
        yield from item.queries if isinstance(item, Pool) else (item,)


@dataclass(frozen=True)
class Source:
    """Where the files are from. `files`: path below the data folder -> address it is published at."""

    files: Mapping[str, str]
    licence: str
    size: str
    repository: str = ""

    def missing(self, folder: Path) -> list[str]:
        return [name for name in self.files if not (folder / name).exists()]

    def check(self, folder: Path) -> None:
        """Raises SettingsError that names each missing file and where it comes from."""
        if lacking := self.missing(folder):
            lines = "\n".join(f"  {folder / name}  from {self.files[name]}" for name in lacking)
            hub = " or give --download" if self.repository else ""
            raise SettingsError(f"These files are missing:\n{lines}\nPut them there{hub}.")


@dataclass(frozen=True, eq=False)
class Benchmark:
    """One benchmark.

    Args:
        read: folder -> items, in the published order. A task of pools gives one pool a direction.
        score: (items, predictions) -> figures in percent (MME in points). A prediction is what runner.py
        saves.
        source: the files.
        papers: rows of the papers, {"Sugar": {"accuracy": 76.0}}, same keys as `score` gives.
        chance: what guessing gives, by the same keys.
        augment: (model, folder, questions) -> questions with what was retrieved for each, for RAG.
        predict: (model, folder, items) -> predictions of the items of the benchmark's own kind.
        export: (items, predictions, folder) -> the file that the authors' grader reads.
        about: one line for the catalogue.
    """

    name: str
    title: str
    about: str
    read: Callable[[Path], Sequence[Any]]
    score: Callable[[Sequence[Any], Sequence[Any]], dict[str, float]]
    source: Source = Source({}, "made by the program", "any")
    papers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)
    augment: Callable[[Any, Path, Sequence[Question]], list[Question]] | None = None
    predict: Callable[[Any, Path, Sequence[Any]], Iterator[dict[str, Any]]] | None = None
    export: Callable[[Sequence[Any], Sequence[Any], Path], Path] | None = None


# -- the files, as their authors publish them ---------------------------------------------------------------
# A figure over a part of a benchmark is none: a row that cannot be read is an error that names file and line.


def document(path: Path) -> Any:
    """The JSON document in a file."""
    try:
        return read_json(path.read_bytes())
    except InputError as error:
        raise SettingsError(f"{path}: {error} Download it again.") from error


def json_lines(path: Path) -> list[Any]:
    """The value of each line of a file."""
    return _whole(path, read_json_rows(path.read_bytes()))


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a csv or tsv, by the columns' names in lower case."""
    return _whole(path, read_table(path.read_bytes()))


def text_lines(path: Path) -> list[str]:
    """The lines of a text that are not empty."""
    return [line for line in lines(decode(path.read_bytes()).text) if line.strip()]


def _whole(path: Path, rows: Rows) -> list[Any]:
    if rows.refused:
        raise SettingsError(f"{path}, {rows.refusals[0]} Download it again.")
    return [row for _, row in rows.rows]


# -- the catalogue ------------------------------------------------------------------------------------------


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


def listed(data: Path | None = None) -> str:
    """Markdown of the catalogue; with a data folder also which files are there."""
    told = []
    for name, b in benchmarks().items():
        told += [
            f"{name}: {b.title}",
            f"  {b.about}",
            f"  size: {b.source.size}; licence: {b.source.licence}",
        ]
        for file, address in b.source.files.items():
            there = "" if data is None else "  [there]" if (data / file).exists() else "  [missing]"
            told.append(f"  file: {file}  from {address}{there}")
        for paper, figures in b.papers.items():
            told.append(f"  {paper}: " + ", ".join(f"{k} {v:g}" for k, v in figures.items()))
        told.append("")
    return "\n".join(told)


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
