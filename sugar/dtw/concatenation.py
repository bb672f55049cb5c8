"""Many sequences as one array of slices, and segments of it.

Not covered: the container that holds segments (container.py).
"""

from __future__ import annotations

from typing import Any

import torch

from sugar.errors import AlignmentError

from .segment import Segment
from .slices import Sequence, TwoPart, as_tensor, check_finite

SEGMENT_SLICES = 131_072  # bounds the work of one query against one segment: n_query x 131072 cells


def flatten(sequences: list[Any]) -> tuple[Sequence, torch.Tensor]:
    """(all slices one sequence after another, lengths (N,)), checked.

    Raises AlignmentError (see `PackedSequences.from_list`).
    """
    if not sequences:
        raise AlignmentError(
            "no sequences were given; give a list of at least one (n, D) array, tensor or TwoPart."
        )
    checked = [
        s if isinstance(s, TwoPart) else as_tensor(s, f"sequence {i}") for i, s in enumerate(sequences)
    ]
    empty = next((i for i, s in enumerate(checked) if len(s) == 0), None)
    if empty is not None:
        raise AlignmentError(f"sequence {empty} is empty; give at least one slice.")
    flat = join(checked)
    for part in [flat.part1, flat.part2] if isinstance(flat, TwoPart) else [flat]:
        check_finite(part, "the dataset (slices counted through)")
    device = flat.part1.device if isinstance(flat, TwoPart) else flat.device
    return flat, torch.tensor([len(s) for s in checked], device=device)


def join(sequences: list[Sequence]) -> Sequence:
    """All slices as one sequence. AlignmentError when forms, dimensions or devices differ."""
    two = [s for s in sequences if isinstance(s, TwoPart)]
    plain = [s for s in sequences if not isinstance(s, TwoPart)]
    if two and plain:
        raise AlignmentError("two-part and plain sequences are mixed; give all in one form.")
    if two:
        return TwoPart(
            join_tensors([s.part1 for s in two]),
            join_tensors([s.part2 for s in two]),
            torch.cat([s.is_image for s in two]),
        )
    return join_tensors(plain)


def join_tensors(tensors: list[torch.Tensor]) -> torch.Tensor:
    """torch.cat of (n_i, D), in the widest of their types. AlignmentError when D or device differ."""
    first = tensors[0]
    for index, tensor in enumerate(tensors):
        if tensor.shape[1] != first.shape[1] or tensor.device != first.device:
            raise AlignmentError(
                f"sequence {index} has slices of {tensor.shape[1]} numbers on {tensor.device}, sequence 0 "
                f"of {first.shape[1]} on "
                f"{first.device}; all must come from one embedder, on one device."
            )
    return first if len(tensors) == 1 else torch.cat(tensors)


def segments_of(flat: Sequence, lengths: torch.Tensor, limit: int | None) -> list[Segment]:
    """Cut into segments of at most SEGMENT_SLICES slices and `limit` sequences (always at least one sequence
    each).
    """
    segments, start, row = [], 0, 0
    sizes = lengths.tolist()
    while start < len(sizes):
        stop, taken = start, 0
        while stop < len(sizes) and (
            stop == start or (taken + sizes[stop] <= SEGMENT_SLICES and stop - start < (limit or len(sizes)))
        ):
            taken += sizes[stop]
            stop += 1
        segments.append(Segment.pack(flat[row : row + taken], lengths[start:stop]))
        start, row = stop, row + taken
    return segments


def merge(older: Segment, newer: Segment) -> Segment:
    """One segment of both, in order."""
    (flat_a, lengths_a), (flat_b, lengths_b) = older.flat(), newer.flat()
    return Segment.pack(join([flat_a, flat_b]), torch.cat([lengths_a, lengths_b]))


def unsorted(values: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """values (B,) of the sorted positions, back in the order of insertion."""
    out = torch.empty_like(values)
    out[order] = values
    return out


def rows_of(data: Sequence, rows: torch.Tensor) -> Sequence:
    """The chosen slices, copied."""
    return (
        TwoPart(data.part1[rows], data.part2[rows], data.is_image[rows])
        if isinstance(data, TwoPart)
        else data[rows]
    )


def move(data: Sequence, device: str | torch.device) -> Sequence:
    """The slices on another device."""
    if isinstance(data, TwoPart):
        return TwoPart(data.part1.to(device), data.part2.to(device), data.is_image.to(device))
    return data.to(device)


def parts_of(data: Sequence) -> list[torch.Tensor]:
    """The tensors of a sequence, for storage."""
    return (
        [data.part1.cpu(), data.part2.cpu(), data.is_image.cpu()]
        if isinstance(data, TwoPart)
        else [data.cpu()]
    )


def whole_of(parts: list[torch.Tensor]) -> Sequence:
    """The inverse of `parts_of`."""
    return TwoPart(*parts) if len(parts) == 3 else parts[0]


def to_type(data: Sequence, dtype: torch.dtype) -> Sequence:
    """The slices in another float type."""
    return (
        TwoPart(data.part1.to(dtype), data.part2.to(dtype), data.is_image)
        if isinstance(data, TwoPart)
        else data.to(dtype)
    )
