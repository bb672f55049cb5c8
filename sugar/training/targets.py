"""What the cosine of two drawn positions should be: the label matrix of the Triple Kernel, and its stand-ins for the ablation.

    parts = encode_slices(facts, is_image, across="bag")           # two unit vectors a slice, the frozen encoders' part
    target = target_matrix(parts, lengths, positions, kind="gak")  # (P, P), method.md A2 and A3
    label_referents(target, phi, ...)                              # queries with a known referent, method.md A2, last paragraph

The kernel itself lives in sugar/dtw. kind "gak" is the paper's; "mean" is the mean slice similarity that replaces it in the ablation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sugar.dtw import label_matrix_from_phi, triple_kernel
from sugar.dtw.zipped import certified_log_sums
from sugar.scenes.captions import Fact
from sugar.scenes.encoders import ROLES, encode_facts

DELTA = 0.7


def slice_distances(facts: Sequence[tuple[Fact, ...]], is_image: Sequence[bool], *, across: str, triple: bool = True) -> Tensor:
    """phi (T, T) of all slices of a batch. across: "bag" (the paper's role for CLIP) or "sharp"; triple=False reads the cross-modal part
    within modalities too (the ablation without Triple Kernel)."""
    part2 = torch.from_numpy(np.stack([encode_facts(f, ROLES[across]) for f in facts]))  # (T, DIMENSION)
    flags = torch.tensor(list(is_image))
    if not triple:
        return triple_kernel(part2, part2, flags, part2, part2, flags)
    part1 = torch.from_numpy(np.stack([encode_facts(f, ROLES["image" if i else "text"]) for f, i in zip(facts, is_image, strict=True)]))
    return triple_kernel(part1, part2, flags, part1, part2, flags)


def target_matrix(
    phi: Tensor, lengths: Sequence[int], positions: Sequence[Sequence[int]], *, kind: str = "gak", delta: float = DELTA
) -> Tensor:
    """m_l (P, P) of the drawn positions. kind "gak": normalised alignment kernel; "mean": mean cosine over all pairs of slices."""
    if kind == "gak":
        return label_matrix_from_phi(phi, lengths, positions, delta=delta).float()
    starts = np.cumsum([0, *lengths])
    ends = [(s, int(starts[s]), int(starts[s]) + p + 1) for s, row in enumerate(positions) for p in row]
    chosen = torch.zeros(len(ends), len(phi))
    for i, (_, low, high) in enumerate(ends):
        chosen[i, low:high] = 1 / (high - low)
    target = chosen @ (1 - phi.float() / 2) @ chosen.T
    owner = torch.tensor([s for s, _, _ in ends])
    target[owner[:, None] == owner[None, :]] = 1.0
    return target


def completion_kernel(phi: Tensor, query: Sequence[int], referent: int, candidates: Sequence[int], *, delta: float = DELTA) -> Tensor:
    """K(query + c, query + referent) for single-slice candidates c, normalised: (C,). All arguments index the slices of `phi`."""
    a = len(query) + 1
    q = torch.tensor(list(query), dtype=torch.long)
    left = torch.cat([q.expand(len(candidates), -1), torch.tensor(list(candidates))[:, None]], dim=1)  # (C, a)
    right = torch.cat([q, torch.tensor([referent])]).expand(len(candidates), -1)  # (C, a)
    size = torch.full((3 * len(candidates),), a)
    rows, columns = torch.cat([left, left, right]), torch.cat([right, left, right])  # (3C, a): xy, xx, yy
    blocks = phi[rows[:, :, None], columns[:, None, :]].permute(1, 2, 0)  # (a, a, 3C)
    scale = 1 / (delta * delta * 2 * size.double())
    xy, xx, yy = certified_log_sums(blocks.contiguous(), size, size, scale, "gak")[0].view(3, -1)
    return torch.exp(xy - (xx + yy) / 2).float()
