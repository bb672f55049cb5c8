"""SugarCrepe and SugarCrepe++: which caption is the picture's, one word or two exchanged.

Strict comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sugar.evaluation.benchmark import Benchmark, Match, Source, document
from sugar.metrics.retrieval import pairwise_accuracy, sugarcrepe_plus

KINDS = ("replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att", "add_obj", "add_att")
KINDS_PLUS = ("replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att")
PAPERS = {
    "VladVA": {"replace_obj": 98.1, "swap_obj": 79.0, "swap_att": 82.9, "replace_rel": 86.8, "add_att": 95.8}
}
PAPERS_PLUS = {"VladVA": {"swap_obj_itt": 56.1}}


def reader(kinds: Sequence[str], prefix: str, keys: Sequence[str]) -> Callable[[Path], Sequence[Match]]:
    """Every kind whose file is there."""

    def read(folder: Path) -> Sequence[Match]:
        out = []
        for kind in kinds:
            file = folder / f"{prefix}{kind}.json"
            if not file.is_file():
                continue
            rows = document(file)
            for n, row in enumerate(rows.values() if isinstance(rows, dict) else rows):
                image = folder / "val2017" / row["filename"]
                out.append(Match(f"{kind}/{n}", (image,), tuple(row[k] for k in keys), kind))
        return out

    return read


def score(items: Sequence[Match], predictions: Sequence[Any]) -> dict[str, float]:
    """Accuracy of s(right) > s(wrong) by kind, and its mean over the kinds."""
    scores = np.array([[row[0] for row in p["scores"]] for p in predictions])  # (N, captions)
    out: dict[str, float] = {}
    for kind in dict.fromkeys(i.group for i in items):
        own = scores[[i.group == kind for i in items]]
        out[kind] = 100 * pairwise_accuracy(own[:, 0], own[:, 1])
    return {"mean": float(np.mean(list(out.values()))), **out}


def score_plus(items: Sequence[Match], predictions: Sequence[Any]) -> dict[str, float]:
    image = np.array([[row[0] for row in p["scores"]] for p in predictions])  # (N, 3) P1, P2, N
    text = np.array([[p["texts"][0][1], p["texts"][0][2], p["texts"][1][2]] for p in predictions])
    out: dict[str, float] = {}
    for kind in dict.fromkeys(i.group for i in items):
        own = [i.group == kind for i in items]
        result = sugarcrepe_plus(image[own], text[own])
        out |= {f"{kind}_itt": 100 * result.itt, f"{kind}_tot": 100 * result.tot}
    means = {
        f"mean_{end}": float(np.mean([v for k, v in out.items() if k.endswith(end)]))
        for end in ("itt", "tot")
    }
    return {**means, **out}


BENCHMARKS = (
    Benchmark(
        "sugarcrepe",
        "SugarCrepe",
        "Two captions of a COCO picture, one of them altered; strict accuracy by kind.",
        reader(KINDS, "", ("caption", "negative_caption")),
        score,
        Source(
            {"val2017": "cocodataset.org"},
            "MIT (captions: github.com/RAIVNLab/sugar-crepe, data/KIND.json beside val2017)",
            "7,511 items",
        ),
        PAPERS,
        {"mean": 50.0},
    ),
    Benchmark(
        "sugarcrepe_pp",
        "SugarCrepe++",
        "Two right captions in other words and a wrong one; image-to-text (ITT) and text-only (TOT) tests.",
        reader(KINDS_PLUS, "pp-", ("caption", "caption2", "negative_caption")),
        score_plus,
        Source(
            {"val2017": "cocodataset.org"},
            "CC BY 4.0 (captions: github.com/Sri-Harsha/scpp, saved as pp-KIND.json beside val2017)",
            "4,757 items",
        ),
        PAPERS_PLUS,
        {"mean_itt": 100 / 3, "mean_tot": 100 / 3},
    ),
)
