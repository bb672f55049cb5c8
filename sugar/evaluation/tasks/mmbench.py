"""MMBench, English dev: multiple choice asked once for each rotation of the options; all must be right
(circular).
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Question, Source
from sugar.evaluation.tasks.scores import LETTER, percent, said
from sugar.metrics import letter_of

LETTERS = "ABCD"
LARGEST_FIELD = 1 << 27


def read(folder: Path) -> Sequence[Question]:
    out = []
    with _large_fields(), (folder / "mmbench_dev_20230712.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            options = [row[letter] for letter in LETTERS if row.get(letter)]
            answer = LETTERS.index(row["answer"])
            hint = f"{row['hint']}\n" if row.get("hint") else ""
            for turn in range(len(options)):
                turned = options[turn:] + options[:turn]
                listed = "\n".join(f"{LETTERS[i]}. {o}" for i, o in enumerate(turned))
                out.append(
                    Question(
                        f"{row['index']}/{turn}",
                        (base64.b64decode(row["image"]), f"{hint}{row['question']}\n{listed}"),
                        (LETTERS[(answer - turn) % len(options)],),
                        row.get("category", ""),
                        tuple(turned),
                        instruction=LETTER,
                        unit=row["index"],
                    )
                )
    return out


@contextmanager
def _large_fields() -> Iterator[None]:
    """Pictures stand in the table as base64, longer than a csv field may be otherwise."""
    before = csv.field_size_limit(LARGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def score(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """circular: all rotations of a question right. vanilla: the options as published."""
    right: list[list[bool]] = []
    for text, item in zip(said(predictions), items, strict=True):
        letter = letter_of(text, len(item.options))
        if item.key.endswith("/0"):
            right.append([])
        right[-1].append(letter is not None and LETTERS[letter] == item.answers[0])
    return {"circular": percent([all(r) for r in right]), "vanilla": percent([r[0] for r in right])}


BENCHMARKS = (
    Benchmark(
        "mmbench",
        "MMBench dev (English), circular",
        "Multiple choice in 20 abilities; every rotation of the options must be answered right.",
        read,
        score,
        Source(
            {"mmbench_dev_20230712.tsv": "github.com/open-compass/MMBench"},
            "Apache 2.0",
            "1,164 questions, 4,329 with rotations, 0.1 GB",
        ),
        {"VILA-7B": {"circular": 68.9}, "Sugar": {"circular": 64.9}},
    ),
)
