"""Winoground: two pictures, two captions of the same words; text, image and group score.

Strict comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sugar.evaluation.benchmark import Benchmark, Match, Source, json_lines
from sugar.metrics.retrieval import winoground


def read(folder: Path) -> Sequence[Match]:
    rows = json_lines(folder / "examples.jsonl")
    return [
        Match(
            str(r["id"]),
            tuple(folder / "images" / f"{r[f'image_{n}']}.png" for n in (0, 1)),
            (r["caption_0"], r["caption_1"]),
            r.get("collapsed_tag", ""),
        )
        for r in rows
    ]


def score(items: Sequence[Match], predictions: Sequence[Any]) -> dict[str, float]:
    result = winoground(np.array([p["scores"] for p in predictions]))
    return {name: 100 * value for name, value in vars(result).items()}


SITE = "huggingface.co/datasets/facebook/winoground"
BENCHMARKS = (
    Benchmark(
        "winoground",
        "Winoground",
        "400 pairs of pictures and captions of the same words in another order.",
        read,
        score,
        Source(
            {"examples.jsonl": SITE, "images": SITE},
            "research use, on request",
            "400 pairs",
            "facebook/winoground",
        ),
        {"Sugar": {"text": 40.0, "image": 36.3, "group": 27.0}, "VladVA": {"text": 40.5}},
        {"text": 25.0, "image": 25.0, "group": 100 / 6},
    ),
)
