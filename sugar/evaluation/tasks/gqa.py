"""GQA test-dev, balanced: compositional questions, one reference each, exact match."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sugar.evaluation.benchmark import Benchmark, Question, Source, document
from sugar.evaluation.tasks.scores import SHORT, exact


def read(folder: Path) -> Sequence[Question]:
    rows = document(folder / "testdev_balanced_questions.json")
    return [
        Question(
            key,
            (folder / "images" / f"{r['imageId']}.jpg", r["question"]),
            (r["answer"],),
            r.get("types", {}).get("structural", ""),
            instruction=SHORT,
        )
        for key, r in rows.items()
    ]


GQA_SITE = "cs.stanford.edu/people/dorarad/gqa/download.html"
BENCHMARKS = (
    Benchmark(
        "gqa",
        "GQA, test-dev balanced",
        "Compositional questions about scenes; exact match.",
        read,
        exact,
        Source(
            {"testdev_balanced_questions.json": GQA_SITE, "images": GQA_SITE},
            "CC BY 4.0",
            "12,578 questions, 20 GB (398 pictures used)",
        ),
        {"VILA-7B": {"accuracy": 62.3}, "Sugar": {"accuracy": 58.7}},
    ),
)
