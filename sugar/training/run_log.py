"""The log of a run: lines of `log.jsonl`, which go to accelerate's trackers too; and the curves of a log."""

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


# --- curves -------------------------------------------------------------------------------------------------


def read_log(path: str | Path) -> list[dict]:
    """The lines of a run's log that hold losses, in order; where a run was resumed, a step's last
    line counts."""
    lines = {}
    for text in Path(path).read_text(encoding="utf-8").split("\n"):
        try:
            line = json.loads(text)
        except ValueError:  # cut off by a kill in the middle of a line
            continue
        if "losses" in line:
            lines[line["step"]] = line
    return [lines[k] for k in sorted(lines)]


def smoothed(lines: list[dict], skill: str, window: int = 8) -> tuple[list[int], list[float]]:
    """(steps, percent right) of a skill, over a sliding window of log lines."""
    seen = [(line["step"], *line["skills"][skill]) for line in lines if skill in line["skills"]]
    steps, values = [], []
    for i in range(len(seen)):
        part = seen[max(0, i - window + 1) : i + 1]
        asked = sum(p[2] for p in part)
        if asked:
            steps.append(seen[i][0])
            values.append(100 * sum(p[1] for p in part) / asked)
    return steps, values


def plot_curves(log: str | Path, picture: str | Path) -> None:
    """Losses on the left, skills on the right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = read_log(log)
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 6), width_ratios=(2, 3))
    for name in sorted({k for line in lines for k in line["losses"]}):
        points = [(line["step"], line["losses"][name]) for line in lines if name in line["losses"]]
        left.plot(*zip(*points, strict=True), label=name, linewidth=1)
    left.set(yscale="log", xlabel="step", title="losses, unweighted")
    left.legend()
    names = sorted({k for line in lines for k in line["skills"]})
    for i, name in enumerate(names):
        right.plot(
            *smoothed(lines, name),
            label=name,
            linewidth=1,
            linestyle=("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))[i // 10 % 5],
        )
    right.set(xlabel="step", ylabel="% right, on fresh scenes", ylim=(0, 100), title="skills")
    right.legend(fontsize=7, ncol=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)
