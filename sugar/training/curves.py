"""Curves of a run: losses and skills over the steps, from `log.jsonl` to a picture."""

from __future__ import annotations

import json
from pathlib import Path


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
