"""Every benchmark of the drawn world on fresh test scenes: the table that the embedded model is judged by.

    report = measure(Sugar.from_pretrained("sugar-tiny"), seed=0, size=1000)
    print(table(report)); json.dumps(report.flat())
    python -m sugar evaluate drawn --seed 0 --size 1000 --json --out runs/evaluation

`ROWS` says what each row must reach. Figures are shares in [0, 1] inside and percent on paper. Not covered:
other data sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.evaluation import captioning, cards, change, composition, existence, retrieval, story, swapped, vqa
from sugar.evaluation.figures import Figure
from sugar.scenes.world import COLORS, KINDS


@dataclass(frozen=True)
class FigureRow:
    """A line of the table, in percent. `at_most`: smaller is better."""

    key: str
    title: str
    at_least: float | None = None
    aim: float | None = None
    at_most: bool = False

    def met(self, percent: float, bar: float) -> bool:
        return percent <= bar if self.at_most else percent >= bar


ROWS = (
    FigureRow("t2i_r1", "text -> image R@1, long captions", 88, 98),
    FigureRow("i2t_r1", "image -> text R@1, long captions", 88, 98),
    FigureRow("vqa", "VQA, mean over kinds", 90, 98),
    FigureRow("pope_adversarial", "POPE adversarial, accuracy", 85, 97),
    FigureRow("relation", "relation questions, yes/no included", 82, 97),
    FigureRow("caption_f1", "caption: F1 over objects with colour", 85, 98),
    FigureRow("winoground_text", "Winoground text"),
    FigureRow("winoground_image", "Winoground image"),
    FigureRow("winoground_group", "Winoground group", 65, 92),
    FigureRow("winoground_group_embedding", "Winoground group, by embedding alone", 30, 80),
    FigureRow("story_r1", "story (5 captions + 4 pictures) -> 5th picture R@1", 75, 92),
    FigureRow("composed_r1", "picture + change -> picture R@1, sources among them", 70, 92),
    FigureRow("difference", "what differs between these two: exact", 50, 92),
    FigureRow("card_answer", "card found by picture and its own question, then read", 50, 92),
    FigureRow("card_answer_without", "the same question without a card", 5, 5, at_most=True),
    FigureRow("composition_gap", "held-out combinations: loss against seen ones", 10, 3, at_most=True),
)


@dataclass
class DrawnReport:
    """Figures by key, the scorer that Winoground is reported by, what was asked (for the confusion
    picture), and how it was measured."""

    model: str
    seed: int
    size: int
    figures: dict[str, Figure]
    winoground_by: str
    asked: vqa.Asked = field(default_factory=vqa.Asked)
    seconds: float = 0.0

    def percent(self, key: str) -> float:
        return round(100 * self.figures[key].value, 2)

    def missed(self) -> list[str]:
        """Keys of the rows that do not reach `at_least`."""
        return [r.key for r in ROWS if r.at_least is not None and not r.met(self.percent(r.key), r.at_least)]

    def flat(self) -> dict[str, Any]:
        """One object in percent: `missed`, rows with `_baseline` (the strongest of `_chance`, `_language`,
        `_picture`), then all others.
        """
        out: dict[str, Any] = {
            "model": self.model,
            "seed": self.seed,
            "size": self.size,
            "winoground_by": self.winoground_by,
        }
        out["missed"] = self.missed()
        rows = [r.key for r in ROWS]
        for key in [*rows, *(k for k in self.figures if k not in rows)]:
            figure = self.figures[key]
            out[key] = self.percent(key)
            kinds = [
                (n, v) for n in ("chance", "language", "picture") if (v := getattr(figure, n)) is not None
            ]
            if kinds:
                out[f"{key}_baseline"] = round(100 * figure.baseline, 2)
            if key in rows:
                out |= {f"{key}_{name}": round(100 * value, 2) for name, value in kinds}
        return out


BENCHMARKS: dict[str, Callable[[Sugar, int, int], dict[str, Figure]]] = {
    "retrieval": retrieval.measure,
    "existence": existence.measure,
    "captioning": captioning.measure,
    "story": story.measure,
    "change": change.measure,
    "cards": cards.measure,
    "composition": composition.measure,
    "swapped": swapped.measure,
}


def measure(model: Sugar, seed: int = 0, size: int = 1000) -> DrawnReport:
    """Run every benchmark. size: scenes, candidates or questions of each. Raises SettingsError below 10."""
    if size < 10:
        raise SettingsError(
            f"size is {size}; a share of fewer than 10 says nothing. Use 100 for a look, 1000 for a report."
        )
    began = time.perf_counter()
    asked = vqa.Asked()
    figures = vqa.measure(model, seed, size, asked)
    for benchmark in BENCHMARKS.values():
        figures |= benchmark(model, seed, size)
    return DrawnReport(model.name, seed, size, figures, swapped.SCORER, asked, time.perf_counter() - began)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def table(report: DrawnReport) -> str:
    """The rows as Markdown, each beside its baselines and bars; then VQA by kind and the rest."""
    lines = [
        f"{report.model} on the drawn world, seed {report.seed}, size {report.size}, {report.seconds:.0f} s. "
        f"Winoground by {report.winoground_by}.",
        "",
        "| % | measured | chance | words alone | pictures alone | at least | aim | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        f, value = report.figures[row.key], report.percent(row.key)
        sign = "<= " if row.at_most else ""
        verdict = ""
        if row.at_least is not None and row.aim is not None:
            verdict = (
                "aim met" if row.met(value, row.aim) else "met" if row.met(value, row.at_least) else "MISSED"
            )
        bars = [f"{sign}{bar:g}" if bar is not None else "" for bar in (row.at_least, row.aim)]
        cells = [
            row.title,
            f"{value:.1f}",
            _cell(f.chance),
            _cell(f.language),
            _cell(f.picture),
            *bars,
            verdict,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    shown = {r.key for r in ROWS}
    lines += ["", "| others, % | measured | chance | words alone | pictures alone |", "|---|---|---|---|---|"]
    for key, f in report.figures.items():
        if key not in shown:
            lines.append(
                f"| {key} | {100 * f.value:.1f} | {_cell(f.chance)} | {_cell(f.language)} "
                f"| {_cell(f.picture)} |"
            )
    return "\n".join(lines)


def confusion(truth: list[str], said: list[str], names: tuple[str, ...]) -> np.ndarray:
    """(names, names + 1) counts: rows are what is there, columns what was said, the last is anything else."""
    counts = np.zeros((len(names), len(names) + 1), int)
    position = {n: i for i, n in enumerate(names)}
    for t, s in zip(truth, said, strict=True):
        counts[position[t], position.get(s, len(names))] += 1
    return counts


def plot_confusion(report: DrawnReport, path: str | Path) -> None:
    """Kinds and colours, what is there against what was said, as shares of what is there."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(15, 7), width_ratios=(1.5, 1))
    for axis, kind, names in zip(axes, ("kind", "color"), (KINDS, COLORS), strict=True):
        counts = confusion(report.asked.truth[kind], report.asked.said[kind], names)
        share = counts / np.maximum(1, counts.sum(1, keepdims=True))
        axis.imshow(share, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        axis.set_xticks(range(len(names) + 1), [*names, "other"], rotation=90, fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        for i, j in zip(*np.nonzero(counts), strict=True):
            axis.text(
                j,
                i,
                counts[i, j],
                ha="center",
                va="center",
                fontsize=6,
                color="white" if share[i, j] > 0.5 else "black",
            )
        axis.set(
            xlabel="said",
            ylabel="there",
            title=f"{kind}: {100 * np.trace(counts) / max(1, counts.sum()):.1f} % right",
        )
    figure.suptitle(f"{report.model}, seed {report.seed}, size {report.size}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
