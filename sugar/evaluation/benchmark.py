"""What a benchmark of the field is: its published files, its items, its loop, its official score.

    BENCHMARK = Benchmark("pope", "POPE", generate=read, score=score, source=Source(...), papers={...})

An item is one of: a `Question` (an answer is generated), a `Match` (captions against pictures), or a
`Pool`
(queries against candidates). Items name pictures by path; `content` opens them when they are needed.
Not covered: running (runner.py), where the tasks are found (catalogue.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sugar.errors import SettingsError
from sugar.images import open_image
from sugar.sequence import Sample

__all__ = ["Benchmark", "Match", "Part", "Pool", "Query", "Question", "Source", "content"]

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
    """Captions against pictures, one score each. The official rule of the task says which must win."""

    key: str
    pictures: tuple[Part, ...]
    captions: tuple[str, ...]
    group: str = ""


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


Item = Question | Match | Pool


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
        export: (items, predictions, folder) -> the file that the authors' grader reads.
        about: one line for the catalogue.
    """

    name: str
    title: str
    about: str
    read: Callable[[Path], Sequence[Any]]
    score: Callable[[Sequence[Any], Sequence[Any]], dict[str, float]]
    source: Source
    papers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)
    augment: Callable[[Any, Path, Sequence[Question]], list[Question]] | None = None
    export: Callable[[Sequence[Any], Sequence[Any], Path], Path] | None = None
