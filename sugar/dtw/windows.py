"""Bands that a warping path must stay in, with tslearn's conventions: Sakoe-Chiba by radius, Itakura by
slope.

Both depend on the two lengths. Not covered: windows for GAK and soft-DTW, which sum over all paths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from sugar.errors import AlignmentError

from .checks import positive, whole

if TYPE_CHECKING:
    from .segment import Segment


@dataclass(frozen=True)
class Window:
    """A band for pairs of any lengths. radius: |i - j| <= radius around the diagonal of the shorter side.

    Slope: Itakura's.
    """

    radius: int | None = None
    slope: float | None = None

    def mask(self, n: int, m: int) -> torch.Tensor:
        """(n, m) bool, True where a path may pass.

        Raises AlignmentError when no path from corner to corner is left.
        """
        return torch.from_numpy(band(n, m, self.radius, self.slope))

    def forbid_(self, cost: torch.Tensor, a: Segment, low: int, high: int, b: Segment) -> None:
        """Put inf into the forbidden cells of the packed rows of times low..high of a, cost (rows, T_b)."""
        columns = b.slice_lengths.cpu()
        times = torch.cat([torch.full((alive,), t) for t, alive in enumerate(b.alive)])
        lengths = columns.unique().tolist()
        start = 0
        for i in range(low, high):
            values, counts = torch.unique_consecutive(a.lengths[: a.alive[i]], return_counts=True)
            for n, size in zip(values.tolist(), counts.tolist(), strict=True):
                shut = torch.zeros(len(columns), dtype=torch.bool)
                for m in lengths:
                    mine = columns == m
                    shut[mine] = ~self.mask(n, m)[i][times[mine]]
                cost[start : start + size].masked_fill_(shut.to(cost.device), math.inf)
                start += size


def window_from(
    global_constraint: str | None, sakoe_chiba_radius: float | None, itakura_max_slope: float | None
) -> Window | None:
    """tslearn's three arguments as a window: a radius or slope alone is enough.

    With both, `global_constraint` must choose.

    "sakoe_chiba" without a radius means 1 and "itakura" without a slope 2, as there. Raises AlignmentError:
    unknown names, both given and none chosen, radius < 0 or not whole, slope < 1.
    """
    if global_constraint not in (None, "", "sakoe_chiba", "itakura"):
        raise AlignmentError(
            f"global_constraint is {global_constraint!r}; choose 'sakoe_chiba', 'itakura' or None."
        )
    if not global_constraint:
        if sakoe_chiba_radius is not None and itakura_max_slope is not None:
            raise AlignmentError(
                "both sakoe_chiba_radius and itakura_max_slope are set; say which by global_constraint."
            )
        if sakoe_chiba_radius is None and itakura_max_slope is None:
            return None
        global_constraint = "sakoe_chiba" if sakoe_chiba_radius is not None else "itakura"
    if global_constraint == "sakoe_chiba":
        return Window(
            radius=whole("sakoe_chiba_radius", 1 if sakoe_chiba_radius is None else sakoe_chiba_radius, 0)
        )
    slope = positive("itakura_max_slope", 2.0 if itakura_max_slope is None else itakura_max_slope)
    if slope < 1:
        raise AlignmentError(
            f"itakura_max_slope is {slope}; a slope below 1 admits no path, give at least 1."
        )
    return Window(slope=slope)


@lru_cache(maxsize=1024)
def band(n: int, m: int, radius: int | None, slope: float | None) -> np.ndarray:
    """(n, m) bool, True inside the band. Raises AlignmentError when it admits no path."""
    mask = sakoe_chiba(n, m, radius) if radius is not None else itakura(n, m, float(slope or 2.0))
    if not (mask[0, 0] and mask[-1, -1] and reaches(mask)):
        raise AlignmentError(
            f"no warping path of {n} against {m} slices stays inside the window (slope {slope}); widen it "
            "or leave it out."
        )
    return mask


def sakoe_chiba(n: int, m: int, radius: int) -> np.ndarray:
    """True for short - radius <= long <= short + radius + (difference of the lengths)."""
    short, long = min(n, m), max(n, m)
    offset = np.arange(long) - np.arange(short)[:, None]
    mask = (offset >= -radius) & (offset <= long - short + radius)
    return mask if n <= m else mask.T


def itakura(n: int, m: int, slope: float) -> np.ndarray:
    """True inside the parallelogram whose sides rise by `slope` and 1 / `slope` rows per column, times n / m
    (tslearn's rounding).
    """
    steep, flat, column = slope * n / m, n / (slope * m), np.arange(m)
    lower = np.maximum(np.round(flat * column, 2), np.round((n - 1) - steep * (m - 1 - column), 2))
    upper = np.minimum(np.round(steep * column, 2), np.round((n - 1) - flat * (m - 1 - column), 2))
    row = np.arange(n)[:, None]
    return (row >= np.ceil(lower)) & (row <= np.floor(upper))


def reaches(mask: np.ndarray) -> bool:
    """Whether a path of steps right, down and diagonal joins the corners inside the mask (n, m)."""
    reached = np.zeros(mask.shape[1], dtype=bool)
    for i, row in enumerate(mask):
        entry = row & (reached | np.r_[False, reached[:-1]] if i else np.arange(len(row)) == 0)
        reached = entry
        for j in range(1, len(row)):
            reached[j] = row[j] and (entry[j] or reached[j - 1])
    return bool(reached[-1])
