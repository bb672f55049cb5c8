"""The tables of measured figures: rows with bars, beside chance, words alone and pictures alone.

    missed(ROWS, figures)                  # keys of the rows that do not reach what they must
    print(barred_table(title, ROWS, figures))

Figures are in percent by key; `KEY_chance`, `KEY_language`, `KEY_picture` and `KEY_baseline`, the strongest
of them, stand beside KEY (`beside` in tasks/scores.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sugar.evaluation.benchmark import Benchmark

KINDS = ("chance", "language", "picture")
BESIDE = ("measured", "chance", "words alone", "pictures alone")


@dataclass(frozen=True)
class FigureRow:
    """A line of a table, in percent. at_most: smaller is better. above: the bars count from the baseline."""

    key: str
    title: str
    at_least: float | None = None
    aim: float | None = None
    at_most: bool = False
    above: bool = False

    def bars(self, figures: Mapping[str, float]) -> tuple[float | None, float | None]:
        """At least and aim."""
        start = figures[f"{self.key}_baseline"] if self.above else 0.0
        least, aim = (None if bar is None else round(start + bar, 2) for bar in (self.at_least, self.aim))
        return least, aim

    def met(self, percent: float, bar: float) -> bool:
        return percent <= bar if self.at_most else percent >= bar

    def missed(self, figures: Mapping[str, float]) -> bool:
        bar = self.bars(figures)[0]
        return bar is not None and not self.met(figures[self.key], bar)


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 2) for key, value in figures.items()}


def missed(rows: Sequence[FigureRow], figures: Mapping[str, float]) -> list[str]:
    """Keys of the rows that do not reach `at_least`."""
    return [row.key for row in rows if row.key in figures and row.missed(figures)]


def barred_table(title: str, rows: Sequence[FigureRow], figures: Mapping[str, float]) -> str:
    """Markdown: the rows beside their baselines and bars, then all other figures."""
    rows, lines = [row for row in rows if row.key in figures], []
    for row in rows:
        value, (least, aim) = figures[row.key], row.bars(figures)
        verdict = ""
        if least is not None and aim is not None:
            verdict = "aim met" if row.met(value, aim) else "met" if row.met(value, least) else "MISSED"
        bars = ["" if bar is None else f"{'<= ' if row.at_most else ''}{bar:g}" for bar in (least, aim)]
        lines.append([row.title, *_cells(row.key, figures), *bars, verdict])
    shown = {row.key for row in rows}
    shown |= {f"{key}_{kind}" for key in figures for kind in (*KINDS, "baseline")}
    others = [[key, *_cells(key, figures)] for key in figures if key not in shown]
    barred = markdown_table(["%", *BESIDE, "at least", "aim", ""], lines)
    return "\n".join([title, "", barred, "", markdown_table(["others, %", *BESIDE], others)])


def figures_table(
    benchmark: Benchmark, figures: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]
) -> str:
    """Markdown: the measured figures, with intervals where there are any, beside chance and the papers'
    rows."""
    keys = list(figures)
    lines = []
    for name, row in {"measured": figures, "chance": benchmark.chance, **benchmark.papers}.items():
        if row:
            lines.append([name, *(f"{row[k]:.1f}" if k in row else "" for k in keys)])
        if name == "measured" and intervals:
            lines.append(["95 % interval", *("{:.1f} to {:.1f}".format(*intervals[k]) for k in keys)])
    return markdown_table([benchmark.title, *keys], lines)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown of a table. Cells hold no bar.

    >>> print(markdown_table(["", "R@1"], [["ours", "30.2"]]))
    |  | R@1 |
    |---|---|
    | ours | 30.2 |
    """
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *rows)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])


def _cells(key: str, figures: Mapping[str, float]) -> list[str]:
    beside = [figures.get(f"{key}_{kind}") for kind in KINDS]
    return [f"{figures[key]:.1f}", *("" if v is None else f"{v:.1f}" for v in beside)]
