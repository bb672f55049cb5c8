"""MMBench, English dev: multiple choice asked once for each rotation of the options; all must be right
(circular).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Question, Source, table
from sugar.evaluation.tasks.scores import LETTER, percent, said
from sugar.metrics.answers import letter_of

LETTERS = "ABCD"


def read(folder: Path) -> Sequence[Question]:
    out = []
    for row in table(folder / "mmbench_dev_20230712.tsv"):
        options = [row[letter] for letter in LETTERS.lower() if row.get(letter)]
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
