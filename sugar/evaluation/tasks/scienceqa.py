"""ScienceQA, the test questions with a picture: multiple choice by LLaVA's letter rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Question, Source, document
from sugar.evaluation.tasks.scores import LETTER, percent, said
from sugar.metrics.answers import scienceqa_letter


def as_text(problem: dict[str, Any]) -> str:
    """Question, context and lettered choices, as LLaVA lays them out."""
    context = f"Context: {problem['hint']}\n" if problem.get("hint") else ""
    choices = "\n".join(f"{'ABCDEFGH'[i]}. {c}" for i, c in enumerate(problem["choices"]))
    return f"{context}{problem['question']}\n{choices}"


def read(folder: Path, split: str = "test") -> Sequence[Question]:
    problems = document(folder / "problems.json")
    chosen = document(folder / "pid_splits.json")[split]
    return [
        Question(
            pid,
            (folder / split / pid / "image.png", as_text(problems[pid])),
            (str(problems[pid]["answer"]),),
            problems[pid].get("subject", ""),
            tuple(problems[pid]["choices"]),
            instruction=LETTER,
        )
        for pid in chosen
        if problems[pid].get("image")
    ]


def score(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    pairs = list(zip(said(predictions), items, strict=True))
    letters = [scienceqa_letter(text, len(item.options)) for text, item in pairs]
    right = [
        letter is not None and str(letter) == i.answers[0] for letter, i in zip(letters, items, strict=True)
    ]
    return {"accuracy": percent(right), "unreadable": percent([letter is None for letter in letters])}


SQA_SITE = "scienceqa.github.io"
SOURCE = Source(
    {"problems.json": SQA_SITE, "pid_splits.json": SQA_SITE, "test": SQA_SITE},
    "CC BY-NC-SA 4.0",
    "2,017 questions, 0.6 GB",
)
BENCHMARKS = (
    Benchmark(
        "scienceqa",
        "ScienceQA-IMG, test",
        "School science with a picture, multiple choice.",
        read,
        score,
        SOURCE,
        {"VILA-7B": {"accuracy": 68.2}, "Sugar": {"accuracy": 69.4}},
    ),
)
