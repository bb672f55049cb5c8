"""What a run measures of itself: retrieval on rows kept aside, answers and hits to look at.

    Validation(sugar, mixture, "sugar", out).measure(step)  # {"R@1": 41.0, "text -> picture R@1": ..., ...}

Not covered: benchmarks (sugar/evaluation).
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from sugar.core import Sugar
from sugar.metrics.retrieval import recall_at_k
from sugar.sequence import Sample
from sugar.training import parallel
from sugar.training.data.example import BadRow, Example
from sugar.training.data.mixture import Mixture, read_row

log = logging.getLogger("sugar")

SHOWN = 3
"""Answers and hits that are written to samples.jsonl."""


def measure_pairs(
    sugar: Sugar, pairs: list[tuple[Sample, Sample]], adapter: str | None
) -> tuple[dict[str, float], np.ndarray]:
    """Percent of texts that find their picture and back, and the cosines (texts, pictures).

    pairs: (picture, text).
    """
    pictures = sugar.embed([p for p, _ in pairs], adapter=adapter).pooled
    texts = sugar.embed([t for _, t in pairs], adapter=adapter).pooled
    similarity = texts @ pictures.T
    own = np.arange(len(pairs))
    forth, back = (100 * recall_at_k(s, own, 1) for s in (similarity, similarity.T))
    figures = {
        "R@1": (forth + back) / 2,
        "text -> picture R@1": forth,
        "picture -> text R@1": back,
        "text -> picture R@5": 100 * recall_at_k(similarity, own, min(5, len(pairs))),
    }
    return {name: round(float(value), 2) for name, value in figures.items()}, similarity


class Validation:
    """The rows kept aside, opened once."""

    def __init__(self, sugar: Sugar, mixture: Mixture, adapter: str | None, out: Path) -> None:
        self.sugar, self.mixture, self.adapter, self.out = sugar, mixture, adapter, out
        self._pairs: list[tuple[Sample, Sample]] | None = None

    @property
    def pairs(self) -> list[tuple[Sample, Sample]]:
        """(picture, text) of each row kept aside that has both."""
        if self._pairs is None:
            rows = [read_row(self.mixture.datasets[d], row, self._pair) for d, row in self.mixture.validation]
            for row in rows if parallel.rank() == 0 else ():
                if isinstance(row, BadRow):
                    log.warning("skipped %s: %s", row.source, row.reason)
            self._pairs = [row for row in rows if row is not None and not isinstance(row, BadRow)]
        return self._pairs

    def _pair(self, example: Example) -> tuple[Sample, Sample] | None:
        if not example.pairs:
            return None
        text, picture = (example.samples[n].sample for n in example.pairs[0])
        self.sugar.processor.encode(text.text)  # raises where the model knows none of its words
        return picture, text

    def measure(self, step: int, adapter: str | None = "") -> dict[str, float] | None:
        """Retrieval among the rows kept aside; None where there are fewer than two.

        adapter: None for the bare base.
        """
        if len(self.pairs) < 2:
            return None
        chosen = self.adapter if adapter == "" else adapter
        training = self.sugar.model.training
        self.sugar.model.eval()
        self.sugar.generator.prefixes.clear()
        figures, similarity = measure_pairs(self.sugar, self.pairs, chosen)
        if adapter == "":
            self._show(step, similarity)
        self.sugar.backbone.adapters.use(self.adapter, trainable=True)
        self.sugar.model.train(training)
        return figures

    def _show(self, step: int, similarity: np.ndarray) -> None:
        """Append what the model says of a few pictures, and what their captions find."""
        for n, (picture, text) in enumerate(self.pairs[:SHOWN]):
            asked = picture + Sample(self.sugar.profile.describe or "Describe the picture.")
            said = "".join(self.sugar.generate(asked, max_new_tokens=40, adapter=self.adapter))
            best = [int(i) for i in np.argsort(-similarity[n])[:3]]
            if parallel.rank() > 0:  # it reads along where the weights are shared out
                continue
            line = {"step": step, "caption": text.text, "says": said.strip(), "finds": best, "wanted": n}
            with (self.out / "samples.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
