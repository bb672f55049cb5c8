"""Slices in, slice distances phi out: what a sequence may be, how it is checked, and the two distances.

A sequence is a tensor or array of shape (n, D), or (n,) for plain numbers, or a `TwoPart` (the paper's pair
of embeddings per slice with a modality flag). Distances: `squared_euclidean` and `triple_kernel`, each
(n, D) x (m, D) -> (n, m). float16 and bfloat16 are computed in float32, integers in float64. Not covered:
gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sugar.errors import AlignmentError

UNIT_SLACK = 1e-2  # what bfloat16 rounding can do to a unit vector's length


def as_tensor(values: Any, name: str = "sequence") -> torch.Tensor:
    """(n, D) float32 or float64 tensor from a tensor, array or nested list; (n,) becomes (n, 1).

    Raises AlignmentError for what is not numeric, has no rows, no columns, or more than two axes. Does not
    look for nan.
    """
    try:
        tensor = (
            values.detach()
            if isinstance(values, torch.Tensor)
            else torch.as_tensor(np.ascontiguousarray(values) if np.ndim(values) else np.asarray(values))
        )
    except (TypeError, ValueError) as error:
        raise AlignmentError(
            f"{name} is not a numeric array ({error}); give an (n, D) array or tensor."
        ) from error
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise AlignmentError(f"{name} has type {tensor.dtype}; give real numbers.")
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    elif not tensor.is_floating_point():
        tensor = tensor.double()
    if tensor.ndim == 1:
        tensor = tensor[:, None]
    if tensor.ndim != 2:
        raise AlignmentError(f"{name} has shape {tuple(tensor.shape)}; a sequence is (n, D).")
    if tensor.shape[0] == 0 or tensor.shape[1] == 0:
        raise AlignmentError(
            f"{name} is empty (shape {tuple(tensor.shape)}); give at least one slice with at least one "
            "number."
        )
    return tensor


def check_finite(tensor: torch.Tensor, name: str = "sequence") -> torch.Tensor:
    """The tensor itself; AlignmentError when it holds nan or inf.

    One pass: a sum is finite unless a term is not (or overflows).
    """
    if not bool(torch.isfinite(tensor.sum())) and not bool(torch.isfinite(tensor).all()):
        row = int((~torch.isfinite(tensor)).reshape(tensor.shape[0], -1).any(1).nonzero()[0])
        raise AlignmentError(
            f"{name} holds nan or inf, first in slice {row}; remove that slice or embed it again."
        )
    return tensor


@dataclass(frozen=True, eq=False)
class TwoPart:
    """A sequence of n slices with two unit vectors each (paper 3.3): part 1 uni-modal, part 2 cross-modal.

    part1 (n, D1), part2 (n, D2), is_image (n,) bool. Slicing gives a `TwoPart`; len() is n. Raises
    AlignmentError when the three disagree on n. Wherever this room takes a sequence it takes a `TwoPart`; the
    slice distance is then `triple_kernel`.
    """

    part1: Any
    part2: Any
    is_image: Any

    def __post_init__(self) -> None:
        part1, part2 = as_tensor(self.part1, "part1"), as_tensor(self.part2, "part2")
        flags = torch.as_tensor(self.is_image, dtype=torch.bool, device=part1.device).reshape(-1)
        if not len(part1) == len(part2) == len(flags):
            raise AlignmentError(
                f"a two-part sequence has {len(part1)} part-1 rows, {len(part2)} part-2 rows and "
                f"{len(flags)} modality flags; "
                "give one of each per slice."
            )
        dtype = torch.promote_types(part1.dtype, part2.dtype)
        for name, value in (("part1", part1.to(dtype)), ("part2", part2.to(dtype)), ("is_image", flags)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.is_image)

    def __getitem__(self, index: slice | torch.Tensor) -> TwoPart:
        return TwoPart(self.part1[index], self.part2[index], self.is_image[index])

    def to(self, where: torch.dtype | torch.device | str) -> TwoPart:
        """In another float type, or on another device."""
        flags = self.is_image if isinstance(where, torch.dtype) else self.is_image.to(where)
        return TwoPart(self.part1.to(where), self.part2.to(where), flags)


Sequence = torch.Tensor | TwoPart


def as_sequence(values: Any, name: str = "sequence") -> Sequence:
    """A checked sequence: `TwoPart` as it is, anything else through `as_tensor`.

    Raises AlignmentError (empty, nan, inf, shape).
    """
    if isinstance(values, TwoPart):
        check_finite(values.part1, f"{name} part 1")
        check_finite(values.part2, f"{name} part 2")
        return values
    return check_finite(as_tensor(values, name), name)


def squared_euclidean(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """|a_i - b_j|^2 for a (n, D), b (m, D) -> (n, m), as |a|^2 + |b|^2 - 2ab clamped at 0.

    Absolute error about eps |a|^2, so near-duplicates far from the origin want float64.

    >>> squared_euclidean(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [[2.0, 0.0]]
    """
    same_width(a, b)
    return (row_squares(a)[:, None] + row_squares(b) - 2 * dot(a, b)).clamp_min_(0)


def row_squares(a: torch.Tensor) -> torch.Tensor:
    """|a_i|^2 (n,), some rows at a time: a squared copy of a whole gallery would cost more than its product
    with a query.
    """
    return torch.cat([(rows * rows).sum(1) for rows in a.split(4096)])


def triple_kernel(
    part1_a: torch.Tensor,
    part2_a: torch.Tensor,
    is_image_a: torch.Tensor | Rows[bool],
    part1_b: torch.Tensor,
    part2_b: torch.Tensor,
    is_image_b: torch.Tensor | Rows[bool],
) -> torch.Tensor:
    """The Triple Kernel's slice distance phi (n, m) (paper 3.3) for parts (n, D1), (n, D2) against (m, D1),
    (m, D2).

    It is |a1 - b1|^2 where both slices are images or both are texts, |a2 - b2|^2 where they differ. Not
    positive semi-definite in general: clip where a bound is needed, never factorise it. Raises AlignmentError
    for flags of the wrong length or differing dimensions.

    >>> one = torch.tensor([[1.0, 0.0]]); two = torch.tensor([[0.0, 1.0]])
    >>> across = triple_kernel(one, two, [True], two, two, [False])
    >>> across.tolist(), triple_kernel(one, two, [True], two, two, [True]).tolist()
    ([[0.0]], [[2.0]])
    """
    return slice_distance(TwoPart(part1_a, part2_a, is_image_a), TwoPart(part1_b, part2_b, is_image_b))


def slice_distance(a: Sequence, b: Sequence) -> torch.Tensor:
    """phi (n, m) of two checked sequences: `triple_kernel` for two-part ones, else the squared distance.

    Raises AlignmentError where only one has two parts.
    """
    if isinstance(a, TwoPart) and isinstance(b, TwoPart):
        same_kind = a.is_image[:, None] == b.is_image
        return torch.where(
            same_kind, squared_euclidean(a.part1, b.part1), squared_euclidean(a.part2, b.part2)
        )
    if isinstance(a, TwoPart) or isinstance(b, TwoPart):
        raise AlignmentError(
            "one sequence has two parts per slice and the other has one; give both the same form."
        )
    dtype = torch.promote_types(a.dtype, b.dtype)
    return squared_euclidean(a.to(dtype), b.to(dtype))


def same_width(a: torch.Tensor, b: torch.Tensor) -> None:
    """AlignmentError unless a (n, D) and b (m, D) share D and device."""
    if a.shape[1] != b.shape[1]:
        raise AlignmentError(
            f"slices have {a.shape[1]} and {b.shape[1]} numbers; both sequences must come from one embedder."
        )
    if a.device != b.device:
        raise AlignmentError(f"sequences lie on {a.device} and {b.device}; move both to one device.")


def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a (n, D), b (m, D) -> (n, m).

    A handful of rows against many runs as `b @ a.T`: twice as fast as the other way round.
    """
    return (b @ a.T).T if len(a) < 64 < len(b) else a @ b.T


def parts_of(data: Sequence) -> list[torch.Tensor]:
    """The one or two vectors of every slice, each (n, D)."""
    return [data.part1, data.part2] if isinstance(data, TwoPart) else [data]


def join(sequences: list[Sequence]) -> Sequence:
    """All slices as one sequence. AlignmentError when forms, dimensions or devices differ."""
    two = [s for s in sequences if isinstance(s, TwoPart)]
    plain = [s for s in sequences if not isinstance(s, TwoPart)]
    if two and plain:
        raise AlignmentError("two-part and plain sequences are mixed; give all in one form.")
    if two:
        first, second = ([getattr(s, part) for s in two] for part in ("part1", "part2"))
        return TwoPart(_joined(first), _joined(second), torch.cat([s.is_image for s in two]))
    return _joined(plain)


def _joined(tensors: list[torch.Tensor]) -> torch.Tensor:
    first = tensors[0]
    for index, tensor in enumerate(tensors):
        if tensor.shape[1] != first.shape[1] or tensor.device != first.device:
            raise AlignmentError(
                f"sequence {index} has slices of {tensor.shape[1]} numbers on {tensor.device}, sequence 0 of "
                f"{first.shape[1]} on {first.device}; all must come from one embedder, on one device."
            )
    return first if len(tensors) == 1 else torch.cat(tensors)


def positive(name: str, value: Any) -> float:
    """The value as a float; AlignmentError unless it is a finite number above 0."""
    number = real(name, value)
    if not (math.isfinite(number) and number > 0):
        raise AlignmentError(f"{name} is {value}; it must be a finite number above 0.")
    return number


def bandwidth(name: str, value: Any) -> float:
    """The value as a float; AlignmentError unless it is finite, above 0, and has such a square."""
    number = positive(name, value)
    if not 1e-150 < number < 1e150:
        raise AlignmentError(f"{name} is {value}; its square is no number above 0. Use one nearer to 1.")
    return number


def real(name: str, value: Any) -> float:
    """The value as a float; AlignmentError when it is not one number."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise AlignmentError(f"{name} is {value!r}; it must be a number.") from error
