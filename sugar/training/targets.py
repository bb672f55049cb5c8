"""What the cosine of two drawn positions should be: the label matrix of the Triple Kernel, and its stand-ins
for the ablation.

    phi = slice_distances(facts, is_image, across="bag")           # (T, T), from two unit vectors a slice
    target = target_matrix(phi, lengths, positions, kind="gak")    # (P, P), Sugar 3.2 and 3.3

The kernel itself lives in sugar/dtw. kind "gak" is the paper's; "mean" is the mean slice similarity that
replaces it in the ablation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sugar.dtw import label_matrix_from_phi, triple_kernel
from sugar.scenes.captions import Fact
from sugar.scenes.encoders import ROLES, encode_facts

DELTA = 0.7


def slice_distances(
    facts: Sequence[tuple[Fact, ...]], is_image: Sequence[bool], *, across: str, triple: bool = True
) -> Tensor:
    """phi (T, T) of all slices of a batch. across: "bag" (the paper's role for CLIP) or "exact";
    triple=False reads the cross-modal part within modalities too (the ablation without Triple Kernel)."""
    part2 = torch.from_numpy(np.stack([encode_facts(f, ROLES[across]) for f in facts]))  # (T, DIMENSION)
    flags = torch.tensor(list(is_image))
    if not triple:
        return triple_kernel(part2, part2, flags, part2, part2, flags)
    part1 = torch.from_numpy(
        np.stack(
            [encode_facts(f, ROLES["image" if i else "text"]) for f, i in zip(facts, is_image, strict=True)]
        )
    )
    return triple_kernel(part1, part2, flags, part1, part2, flags)


def target_matrix(
    phi: Tensor,
    lengths: Sequence[int],
    positions: Sequence[Sequence[int]],
    *,
    kind: str = "gak",
    same_sample: str = "one",
    delta: float = DELTA,
) -> Tensor:
    """m_l (P, P) of the drawn positions.

    Args:
        kind: "gak", the normalised alignment kernel, or "mean", the mean cosine over all pairs of slices.
        same_sample: label of two positions of one sample. "one" is the paper's; "kernel" treats the two
            prefixes as any other two sequences. With "one", a position that has seen little must lie at the
            whole sample and yet near its own like, which no unit vectors can: the smallest eigenvalue of a
            drawn label matrix is -.97, with "kernel" 0.
    """
    if same_sample == "kernel":
        firsts = np.cumsum([0, *lengths])[:-1]
        prefixes = [(int(s), p + 1) for s, row in zip(firsts, positions, strict=True) for p in row]
        index = torch.cat([torch.arange(s, s + n) for s, n in prefixes])
        phi, lengths = phi[index][:, index], [n for _, n in prefixes]
        positions = [[n - 1] for n in lengths]
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
