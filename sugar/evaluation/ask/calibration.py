"""Thresholds of a checkpoint, from questions of the tuning split with and without an answer in the base.

    curve = calibrate(model, seed=0, size=300)
    curve.thresholds            # {"strict": ..., "balanced": ..., "always": 0.0}, for the profile
    curve.plot("curve.png")     # answered against right

Every question is asked once without a cut-off; its score and verdict then give the curve for every cut-off.
strict: at most `STRICT` percent of absent questions answered. balanced: the most (right - wrong - absent
answered).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sugar.evaluation.ask.measuring import AskReport, measure

__all__ = ["Curve", "calibrate", "write_thresholds"]

STRICT = 0.01
BALANCED = 0.05
"""Shares of questions without an answer that may be answered."""


@dataclass(frozen=True)
class Curve:
    """For every cut-off (C,): share of answerable questions answered, right among those answered, absent
    answered."""

    cut_offs: np.ndarray
    answered: np.ndarray
    right: np.ndarray
    absent: np.ndarray

    @property
    def thresholds(self) -> dict[str, float]:
        """strict and balanced: the lowest cut-off that answers at most that share of the absent questions."""
        found = {}
        for name, share in (("strict", STRICT), ("balanced", BALANCED)):
            fits = np.flatnonzero(self.absent <= share)
            found[name] = round(float(self.cut_offs[fits[0] if len(fits) else -1]), 3)
        return {**found, "always": 0.0}

    def plot(self, path: str | Path) -> None:
        """Answered against right, with the thresholds marked."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(6, 4), dpi=120)
        axes.plot(100 * self.answered, 100 * self.right, label="right among answered")
        axes.plot(100 * self.answered, 100 * self.absent, label="absent things answered")
        for name, value in self.thresholds.items():
            at = int(np.searchsorted(self.cut_offs, value))
            axes.axvline(100 * self.answered[min(at, len(self.answered) - 1)], color="gray", lw=0.6)
            axes.text(100 * self.answered[min(at, len(self.answered) - 1)], 50, name, rotation=90, fontsize=7)
        axes.set_xlabel("answerable questions answered, %")
        axes.set_ylabel("%")
        axes.legend()
        figure.tight_layout()
        figure.savefig(path)
        pyplot.close(figure)


def calibrate(
    model: Any, seed: int = 0, size: int = 300, progress: Callable[[str], Any] | None = None
) -> tuple[Curve, AskReport]:
    """Ask the tuning split without a cut-off."""
    report = measure(model, seed, size, split="tuning", cut_off=0.0, progress=progress)
    return curve_of(report), report


def curve_of(report: AskReport) -> Curve:
    """The curve of a report that was measured with the cut-off 0. Absent facts are not counted as absent
    things."""
    there = [a for a in report.asked if a.case.answer]
    gone = [a for a in report.asked if "absent" in a.case.group and "fact" not in a.case.group]
    cut_offs = np.round(np.arange(0, 1.0, 0.005), 3)
    score = np.array([a.score for a in there])
    right = np.array([a.verdict == "right" for a in there])
    absent = np.array([a.score for a in gone])
    answered = np.array([(score >= c).mean() for c in cut_offs])
    correct = np.array([right[score >= c].mean() if (score >= c).any() else 1.0 for c in cut_offs])
    return Curve(cut_offs, answered, correct, np.array([(absent >= c).mean() for c in cut_offs]))


def write_thresholds(folder: str | Path, curve: Curve) -> None:
    """Put the thresholds into the profile of the checkpoint's sugar.json."""
    path = Path(folder) / "sugar.json"
    settings = json.loads(path.read_text("utf-8"))
    settings.setdefault("profile", {}).setdefault("abstain", {}).update(curve.thresholds)
    path.write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n", "utf-8")
