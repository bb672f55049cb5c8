"""The log of a run: steps added up to lines of `log.jsonl`, which go to accelerate's trackers too.

Not covered: curves (curves.py).
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sugar.errors import ModelError
from sugar.training.config import rate_at

__all__ = ["RunLog", "StepResult", "flat"]


@dataclass
class StepResult:
    """losses: unweighted, of the whole batch.

    skills: name -> (right, asked). counts: what else is added up for the log.
    """

    losses: dict[str, float]
    skills: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


class RunLog:
    """Adds up steps, and writes a line of `log.jsonl`, which goes to the trackers too."""

    def __init__(self, run: Any, path: Path) -> None:
        self.run, self.path = run, path
        self._reset()

    def _reset(self) -> None:
        self.losses: defaultdict[str, float] = defaultdict(float)
        self.counts: Counter[str] = Counter()
        self.skills: dict[str, list[int]] = {}
        self.began, self.since = time.perf_counter(), self.run.step

    def add(self, result: StepResult) -> None:
        for name, value in result.losses.items():
            if not math.isfinite(value):
                raise ModelError(
                    f"the {name} loss became {value} at step {self.run.step}; lower --rate or "
                    "--matrix-rate and go on "
                    "from the last state."
                )
            self.losses[name] += value
        self.counts.update(result.counts)
        for name, (right, asked) in result.skills.items():
            pair = self.skills.setdefault(name, [0, 0])
            pair[0] += right
            pair[1] += asked

    def write(self) -> dict[str, str]:
        run, n = self.run, max(1, self.run.step - self.since)
        losses = {k: round(v / n, 5) for k, v in self.losses.items()}
        line = {
            "step": run.step,
            "seconds_per_step": round((time.perf_counter() - self.began) / n, 4),
            "rate": round(rate_at(run.step - 1, run.config), 4),
            "losses": losses,
            "skills": {k: self.skills[k] for k in sorted(self.skills)},
            "labels": dict(self.counts),
        }
        if run.main:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if run.config.trackers:
            shares = {f"skill/{k}": r / max(1, a) for k, (r, a) in self.skills.items()}
            run.accelerator.log({**{f"loss/{k}": v for k, v in losses.items()}, **shares}, step=run.step)
        self._reset()
        return {k: f"{v:.3f}" for k, v in losses.items()}

    def note(self, text: str) -> None:
        if self.run.main:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": self.run.step, "note": text}) + "\n")


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name, as trackers take them."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if isinstance(value, (int, float, str, bool)) else str(value)
    return found
