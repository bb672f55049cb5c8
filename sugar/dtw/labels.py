"""The target matrix M_l for a training batch (paper 3.2): what the cosine of two drawn positions should be.

Every slice distance is computed once, however many positions are drawn; the prefixes share it. Not covered:
gradients.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Rows
from typing import Any

import torch

from sugar.errors import AlignmentError

from .recursion import certified_log_sums, log_delannoy
from .slices import UNIT_SLACK, TwoPart, as_tensor, bandwidth, check_finite, join, parts_of, slice_distance

CHUNK_BYTES = 256 << 20


NORMALIZED = ("paths", "self")


def label_matrix(
    sequences: Rows[Any],
    positions: Rows[Rows[int]] | None = None,
    *,
    delta: float = 1.0,
    normalized: str = "paths",
) -> torch.Tensor:
    """Target similarities (P, P) of all drawn positions of a batch, in the order of `positions`, float32
    (float64 for float64 input).

    sequences: B sequences of unit slice vectors, each a `TwoPart` (part1 (n, D1), part2 (n, D2), is_image
    (n,)) or an (n, D) tensor.
    positions: per sequence the drawn slice indices, 0-based; position i stands for the prefix up to and
    including slice i, in any
      order and with repeats. None draws the last slice of each.
    delta: the bandwidth; the kernel of prefixes of n and m slices has sigma = delta * sqrt((n + m) / 2).
    normalized: "paths", K / D(n, m), the mean over alignments, or "self", K / sqrt(K(x,x) K(y,y)) with the
      pair's sigma, which for n slices against one is at most 1 / sqrt(D(n, n)): .277 for 3, .0019 for 9.

    Entry (p, q): 1 where both positions come from one sequence; the plain cosine (of part 1 for one modality,
    of part 2 across) where both prefixes are one slice; else the normalised kernel.

    Raises AlignmentError: empty batch or sequence, nan or inf, vectors that are not unit, positions out of
    range, delta <= 0, another normalisation.
    Source: Sugar (arXiv 2411.00304) 3.2; Cuturi 2011. Which delta, the normalisation: METHOD.md A2.

    >>> a = torch.eye(3)[:2]; b = torch.eye(3)[1:2]
    >>> label_matrix([a, b], [[0, 1], [0]])
    tensor([[1.0000, 1.0000, 0.0000],
            [1.0000, 1.0000, 0.3455],
            [0.0000, 0.3455, 1.0000]])
    """
    bandwidth("delta", delta)
    if normalized not in NORMALIZED:
        raise AlignmentError(f"normalized is {normalized!r}; a label has {' or '.join(NORMALIZED)}.")
    if len(sequences) == 0:
        raise AlignmentError("the batch has no sequences; give at least one.")
    batch = join(
        [s if isinstance(s, TwoPart) else as_tensor(s, f"sequence {i}") for i, s in enumerate(sequences)]
    )
    names = ("part 1", "part 2") if isinstance(batch, TwoPart) else ("slices",)
    for name, part in zip(names, parts_of(batch), strict=True):
        norms = check_finite(torch.linalg.vector_norm(part, dim=1), name)
        worst = int((norms - 1).abs().argmax())
        if abs(float(norms[worst]) - 1) > UNIT_SLACK:
            raise AlignmentError(
                f"{name}: vector {worst} of the batch has length {float(norms[worst]):.4g}; normalise "
                "slices to length 1."
            )
    lengths = [len(s) for s in sequences]
    drawn = [[n - 1] for n in lengths] if positions is None else positions
    if len(drawn) != len(lengths):
        raise AlignmentError(
            f"{len(lengths)} sequences but positions for {len(drawn)}; give a list of positions per sequence."
        )
    for index, (row, n) in enumerate(zip(drawn, lengths, strict=True)):
        bad = [int(i) for i in row if not 0 <= int(i) < n]
        if bad:
            raise AlignmentError(
                f"sequence {index} has {n} slices, so position {bad[0]} is out of range 0..{n - 1}."
            )
    phi = slice_distance(batch, batch)  # (T, T) over all slices of the batch
    starts = list(itertools.accumulate(lengths, initial=0))
    device = phi.device
    ends = [(s, int(i) + 1) for s, row in enumerate(drawn) for i in row]
    if not ends:
        raise AlignmentError("no positions were drawn; draw at least one slice of one sequence.")
    owner, size = torch.tensor(ends, device=device).T  # (P,) each: the sequence, the slices of the prefix
    start = torch.tensor(starts[:-1], device=device)[owner]  # (P,)

    left, right = torch.triu_indices(len(ends), len(ends), offset=1, device=device)
    apart = owner[left] != owner[right]
    left, right = left[apart], right[apart]  # (Q,) the pairs that need a kernel
    n, m = size[left], size[right]
    logs = prefix_kernels(phi, start[left], start[right], n, m, scale_of(n, m, delta))
    if normalized == "paths":
        logs -= log_delannoy(int(size.max())).to(device)[n, m]
    else:
        log_self = self_kernels(phi, start, size, delta)  # (P, longest)
        logs -= (log_self[left, m - 1] + log_self[right, n - 1]) / 2
    value = torch.exp(logs)
    single = (n == 1) & (m == 1)
    value[single] = 1 - phi[start[left[single]], start[right[single]]].double() / 2
    target = torch.ones(len(ends), len(ends), dtype=torch.float64, device=device)
    target[left, right] = value
    target[right, left] = value
    return target if phi.dtype == torch.float64 else target.float()


def scale_of(n: torch.Tensor, m: torch.Tensor, delta: float) -> torch.Tensor:
    """1 / (2 sigma^2) with sigma = delta * sqrt((n + m) / 2)."""
    return 1 / (delta * delta * (n + m).double())


def self_kernels(phi: torch.Tensor, start: torch.Tensor, size: torch.Tensor, delta: float) -> torch.Tensor:
    """log K(x, x) (P, longest) of each prefix under the sigma it has against a prefix of 1, 2, ... longest
    slices.
    """
    longest = int(size.max())
    other = torch.arange(1, longest + 1, device=size.device).repeat(len(size))
    start, size = start.repeat_interleave(longest), size.repeat_interleave(longest)
    return prefix_kernels(phi, start, start, size, size, scale_of(size, other, delta)).view(-1, longest)


def prefix_kernels(
    phi: torch.Tensor,
    row: torch.Tensor,
    column: torch.Tensor,
    n: torch.Tensor,
    m: torch.Tensor,
    scale: torch.Tensor,
) -> torch.Tensor:
    """log K (Q,) of the corners phi[row:row+n, column:column+m], all index tensors (Q,), in chunks of at
    most CHUNK_BYTES.
    """
    if len(n) == 0:
        return torch.zeros(0, dtype=torch.float64, device=phi.device)
    total, out = len(phi), torch.empty(len(n), dtype=torch.float64, device=phi.device)
    height, width = int(n.max()), int(m.max())
    step = max(1, CHUNK_BYTES // (24 * height * width))
    rows = torch.arange(height, device=phi.device)[:, None, None]
    columns = torch.arange(width, device=phi.device)[:, None]
    flat = phi.reshape(-1)
    for low in range(0, len(n), step):
        part = slice(low, low + step)
        where = (row[part] + rows).clamp_(max=total - 1) * total + (column[part] + columns).clamp_(
            max=total - 1
        )  # (N, M, Q)
        out[part], _ = certified_log_sums(flat[where], n[part], m[part], scale[part], "gak")
    return out
