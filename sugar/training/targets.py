"""Label matrices beside the alignment kernel's (sugar/dtw): the ablation's stand-in, and how much a matrix
says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sugar.dtw import TwoPart, triple_kernel

DELTA = 0.7


def mean_matrix(sequences: Sequence[TwoPart], positions: Sequence[Sequence[int]]) -> Tensor:
    """Labels (P, P) of the ablation without GAK: the mean cosine over all pairs of slices of two prefixes,
    1 within a sequence."""
    part1, part2, flags = (
        torch.cat([getattr(s, name) for s in sequences]) for name in ("part1", "part2", "is_image")
    )
    cosines = 1 - triple_kernel(part1, part2, flags, part1, part2, flags).float() / 2  # (T, T)
    starts = np.cumsum([0, *map(len, sequences)])
    ends = [(s, int(starts[s]), int(starts[s]) + p + 1) for s, row in enumerate(positions) for p in row]
    chosen = torch.zeros(len(ends), len(cosines))
    for i, (_, low, high) in enumerate(ends):
        chosen[i, low:high] = 1 / (high - low)
    target = chosen @ cosines @ chosen.T
    owner = torch.tensor([s for s, _, _ in ends])
    target[owner[:, None] == owner[None, :]] = 1.0
    return target


def label_statistics(target: Tensor, positions: Sequence[Sequence[int]]) -> dict[str, int]:
    """How much of a label matrix carries signal. Counts pairs of positions of different samples.

    Returns: pairs; kernel, those where at least one position has seen several slices (an alignment kernel,
    not a plain cosine); kernel_signal and signal, those of the kernel pairs and of all pairs whose label
    exceeds 0.05.
    """
    owner = torch.tensor([s for s, row in enumerate(positions) for _ in row])
    several = torch.tensor([p > 0 for row in positions for p in row])
    apart = torch.triu(owner[:, None] != owner[None, :])
    kernel = apart & (several[:, None] | several[None, :])
    high = target > 0.05
    return {
        "pairs": int(apart.sum()),
        "kernel": int(kernel.sum()),
        "kernel_signal": int((kernel & high).sum()),
        "signal": int((apart & high).sum()),
    }
