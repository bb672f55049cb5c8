"""ImageNet zero-shot: every picture finds its class among 1,000 names, each the mean of 80 prompts (CLIP's
protocol).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Pool, Query, Source, document
from sugar.evaluation.tasks.scores import percent

ENDINGS = {".jpeg", ".jpg", ".png"}


def read(folder: Path) -> Sequence[Pool]:
    """val/CLASS/PICTURE, where CLASS is a WordNet id in alphabetical order or the class number itself."""
    names = document(folder / "en_classnames.json")["imagenet1k"]
    templates = document(folder / "en_templates.json")["imagenet1k"]
    classes = sorted(p for p in (folder / "val").iterdir() if p.is_dir())
    numbered = all(p.name.isdigit() for p in classes)
    queries = [
        Query(
            f"{class_folder.name}/{file.name}",
            (file,),
            frozenset({str(int(class_folder.name) if numbered else n)}),
        )
        for n, class_folder in enumerate(classes)
        for file in sorted(class_folder.iterdir())
        if file.suffix.lower() in ENDINGS
    ]
    prompts = {str(n): tuple((t.replace("{c}", name),) for t in templates) for n, name in enumerate(names)}
    return [Pool(tuple(queries), prompts)]


def score(pools: Sequence[Pool], predictions: Sequence[Any]) -> dict[str, float]:
    return {f"top{k}": percent([p["rank"] < k for p in predictions]) for k in (1, 5)}


CLIP = "github.com/LAION-AI/CLIP_benchmark"
BENCHMARKS = (
    Benchmark(
        "imagenet",
        "ImageNet-1k zero-shot, validation",
        "The class of a picture among 1,000 names, 80 prompts each.",
        read,
        score,
        Source(
            {"en_classnames.json": CLIP, "en_templates.json": CLIP, "val": "image-net.org"},
            "research use, on request",
            "50,000 pictures, 6.3 GB",
        ),
        {"VladVA": {"top1": 70.6}},
        {"top1": 0.1, "top5": 0.5},
    ),
)
