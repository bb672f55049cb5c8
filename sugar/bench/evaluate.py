"""How fast a benchmark of pictures and captions runs, against one call a picture and a caption.

    python -m sugar bench evaluate --data data/coco --benchmark sugarcrepe

Both sides embed with the same model and give the same scores; the runner embeds each picture once, batched.
Figures are seconds of processor time. Not covered: generation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from sugar.core import Sugar
from sugar.evaluation import runner
from sugar.evaluation.benchmark import content
from sugar.evaluation.catalogue import find
from sugar.evaluation.provenance import provenance
from sugar.paths import there


def run(args: list[str]) -> int:
    """Print the rows and one JSON line. Returns 0. Raises SettingsError when files are missing."""
    parser = argparse.ArgumentParser(prog="python -m sugar bench evaluate")
    parser.add_argument("--data", required=True)
    parser.add_argument("--benchmark", default="sugarcrepe")
    parser.add_argument("--model", help="preset, folder or repository; the default model when left out")
    options = parser.parse_args(args)
    options.data = there(options.data, "--data")
    model = Sugar.from_pretrained(**({"path_or_preset": options.model} if options.model else {}))
    benchmark = find(options.benchmark)
    items = runner.read(benchmark, options.data, limit=None, available=True)
    model.embed([content((items[0].captions[0],))])  # the first call pays for what is set up once
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        result = runner.run(benchmark, model, data=options.data, out=Path(folder), available=True, quiet=True)
        batched = time.process_time() - start
    model.forget()
    start = time.process_time()
    predictions = []
    for item in items:
        pictures = np.stack([_alone(model, picture) for picture in item.pictures])
        captions = np.stack([_alone(model, caption) for caption in item.captions])
        scores, texts = captions @ pictures.T, captions @ captions.T
        predictions.append({"key": item.key, "scores": scores.tolist(), "texts": texts.tolist()})
        model.forget()  # a plain loop keeps no features
    alone = time.process_time() - start
    figures = benchmark.score(items, predictions)
    rows = {
        "items": len(items),
        "runner_seconds": round(batched, 2),
        "one_at_a_time_seconds": round(alone, 2),
        "times_as_fast": round(alone / batched, 2),
        "largest_difference_of_a_figure": round(max(abs(figures[k] - result.figures[k]) for k in figures), 3),
    }
    for name, value in rows.items():
        print(f"{name.replace('_', ' '):<40} {value}")
    print(json.dumps({"bench": "evaluate", "benchmark": benchmark.name, **provenance(model), "rows": rows}))
    return 0


def _alone(model: Sugar, part: str | Path | bytes) -> np.ndarray:
    return model.embed([content((part,))]).pooled[0].astype(np.float64)
