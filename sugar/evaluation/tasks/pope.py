"""POPE: is there a ... in the image? Random, popular and adversarial absent objects, by the authors' yes/no
rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Question, Source, json_lines
from sugar.evaluation.tasks.scores import SHORT, said
from sugar.metrics.answers import pope

PICTURES = ("val2014", "val2017", ".")


def picture(folder: Path, name: str) -> Path:
    """The picture under its 2014 or its 2017 name. COCO's val2017 pictures have the same numbers."""
    short = name.removeprefix("COCO_val2014_").removeprefix("COCO_val2017_")
    tried = [folder / sub / n for sub in PICTURES for n in (name, short)]
    return next((path for path in tried if path.is_file()), tried[0])


def reader(split: str) -> Callable[[Path], Sequence[Question]]:
    def read(folder: Path) -> Sequence[Question]:
        rows = json_lines(folder / f"coco_pope_{split}.json")
        return [
            Question(
                str(r["question_id"]),
                (picture(folder, r["image"]), r["text"]),
                (r["label"],),
                tokens=8,
                instruction=SHORT,
            )
            for r in rows
        ]

    return read


def score(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    figures = pope(said(predictions), [item.answers[0] for item in items])
    return {name: 100 * value for name, value in vars(figures).items()}


PAPERS = {"VILA-7B": {"f1_mean": 85.5}, "Sugar": {"f1_mean": 86.6}}  # the papers give the mean over the three
BENCHMARKS = tuple(
    Benchmark(
        f"pope_{split}",
        f"POPE, {split}",
        "Is there a ... in the image? Balanced yes and no.",
        reader(split),
        score,
        Source(
            {f"coco_pope_{split}.json": "github.com/AoiDragon/POPE (output/coco)"},
            "MIT (questions)",
            "3,000 questions about 500 COCO pictures (val2014 or val2017 beside the file)",
        ),
        PAPERS,
        {"accuracy": 50.0},
    )
    for split in ("random", "popular", "adversarial")
)
