"""Two runs of one benchmark compared item by item, with paired bootstrap intervals.

    compare(benchmark, data, Path("a/predictions.jsonl"), Path("b/predictions.jsonl"))["accuracy"].difference
    interval([hits_of_seed_0, hits_of_seed_1])        # of runs over items, as the ablation has

The interval is of the difference B - A over resampled items (Efron & Tibshirani 1993). A benchmark whose
score is no mean
over items (CIDEr, MME's accuracy+) is scored again on every resample, so its interval is right as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sugar.errors import SettingsError
from sugar.evaluation.benchmark import Benchmark, Pool
from sugar.evaluation.report import markdown_table
from sugar.evaluation.runner import by_key, keys_of, limited

FEW = 200
"""With fewer items a figure is printed with its interval, or not at all."""


@dataclass(frozen=True)
class Difference:
    """Figures of both runs in percent, their difference, and its 95 % interval."""

    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.second - self.first

    @property
    def decided(self) -> bool:
        """The interval leaves zero out."""
        return self.low > 0 or self.high < 0


def compare(
    benchmark: Benchmark, data: Path, first: Path, second: Path, *, samples: int = 1000, seed: int = 0
) -> dict[str, Difference]:
    """By key of the score. Raises SettingsError when the two runs answered no item in common."""
    items = benchmark.read(data)
    both = [by_key(path) for path in (first, second)]
    shared = [key for key in keys_of(limited(items, None)) if key in both[0] and key in both[1]]
    if not shared:
        raise SettingsError(f"{first} and {second} have no item of {benchmark.name} in common.")
    units = _units(items, set(shared))
    rng = np.random.default_rng(seed)
    base = [_score(benchmark, units, range(len(units)), found) for found in both]
    drawn: list[dict[str, float]] = []
    for _ in range(samples):
        chosen = rng.integers(len(units), size=len(units))
        a, b = (_score(benchmark, units, chosen, found) for found in both)
        drawn.append({key: b[key] - a[key] for key in base[0]})
    out = {}
    for key in base[0]:
        low, high = np.percentile([d[key] for d in drawn], [2.5, 97.5])
        out[key] = Difference(base[0][key], base[1][key], float(low), float(high))
    return out


def intervals(
    benchmark: Benchmark, data: Path, predictions: Path, *, samples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each figure of one run, over its items drawn again."""
    items, found = benchmark.read(data), by_key(predictions)
    units = _units(items, {key for key in keys_of(limited(items, None)) if key in found})
    rng = np.random.default_rng(seed)
    drawn = [
        _score(benchmark, units, rng.integers(len(units), size=len(units)), found) for _ in range(samples)
    ]
    keys = _score(benchmark, units, range(len(units)), found)
    bounds = {key: np.nanpercentile([d.get(key, np.nan) for d in drawn], [2.5, 97.5]) for key in keys}
    return {key: (round(float(low), 2), round(float(high), 2)) for key, (low, high) in bounds.items()}


def interval(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """The 95 % interval of the mean of runs' means: runs are drawn again, and within each its items.

    values: per run a figure for each item, or the difference of two runs over the same items.

    >>> interval([np.array([1, 1, 1])])
    (1.0, 1.0)
    """
    rng = np.random.default_rng(0)
    means = np.stack([v[rng.integers(len(v), size=(1000, len(v)))].mean(1) for v in values])  # (runs, 1000)
    chosen = rng.integers(len(values), size=(len(values), 1000))
    drawn = np.take_along_axis(means, chosen, 0).mean(0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def share_interval(right: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` independent items (Wilson 1927); no point at 0 and 1.

    >>> [round(bound, 3) for bound in share_interval(0.0, 47)]
    [0.0, 0.076]
    """
    z = 1.96**2 / count
    middle, half = right + z / 2, (z * (right * (1 - right) + z / 4)) ** 0.5
    return max(0.0, (middle - half) / (1 + z)), min(1.0, (middle + half) / (1 + z))


def _units(items: Sequence[Any], shared: set[str]) -> list[list[Any]]:
    """What is drawn together: an item, the questions of one `unit`, or one query of a pool."""
    units: list[list[Any]] = []
    for item in items:
        if isinstance(item, Pool):
            units += [[replace(item, queries=(q,))] for q in item.queries if q.key in shared]
        elif item.key in shared:
            unit = getattr(item, "unit", "")
            if unit and units and getattr(units[-1][0], "unit", "") == unit:
                units[-1].append(item)
            else:
                units.append([item])
    return units


def _score(
    benchmark: Benchmark, units: Sequence[list[Any]], chosen: Any, found: dict[str, dict[str, Any]]
) -> dict[str, float]:
    picked = [item for i in chosen for item in units[i]]
    return benchmark.score(picked, [found[key] for key in keys_of(picked)])


def table(name: str, differences: dict[str, Difference]) -> str:
    """Markdown: a row per figure."""
    rows = []
    for key, d in differences.items():
        shares = [f"{d.first:.1f}", f"{d.second:.1f}", f"{d.difference:+.1f}"]
        rows.append([key, *shares, f"{d.low:+.1f} to {d.high:+.1f}", "decided" if d.decided else "open"])
    return markdown_table([name, "A", "B", "B - A", "95 % interval", ""], rows)
