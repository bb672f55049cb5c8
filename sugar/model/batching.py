"""Batches of sequences of like length under a memory bound that shrinks when memory runs out.

    for batch in batching.buckets(lengths):                       # lists of indices
        for chosen, result in batching.shrinking(work, batch): ...

Not covered: what a batch computes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from sugar.errors import OutOfMemoryError
from sugar.model.backbone import Backbone

__all__ = ["Batching", "is_out_of_memory"]

log = logging.getLogger("sugar")
T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class for it, the CPU allocator only words."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


class Batching:
    """The memory bound of one model.

    Args:
        tokens: padded tokens in a batch at most.
        release: gives kept memory back.
    """

    def __init__(self, backbone: Backbone, release: Callable[[], None]) -> None:
        self.backbone, self.release = backbone, release
        self.tokens = 16384 if backbone.device.type == "cuda" else 2048

    def buckets(self, lengths: Sequence[int], batch_size: int | None = None) -> Iterator[list[int]]:
        """Indices of sequences of like length, at most `tokens` padded tokens and `batch_size` sequences a
        batch.
        """
        batch: list[int] = []
        for i in sorted(range(len(lengths)), key=lengths.__getitem__):
            full = batch and (len(batch) + 1) * lengths[i] > self.tokens
            uneven = batch and lengths[i] > 2 * lengths[batch[0]] + 16
            if full or uneven or (batch_size and len(batch) >= batch_size):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def shrinking(self, work: Callable[[list[int]], T], items: list[int]) -> list[tuple[list[int], T]]:
        """Run `work` on the items, on halves of them when memory runs out.

        Raises OutOfMemoryError when one alone is too much.
        """
        try:
            return [(items, work(items))]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        self.release()
        if len(items) == 1:
            raise OutOfMemoryError(
                f"{self.backbone.device} is full even for one sample ({self.backbone.name}). "
                "Use fewer pictures or a smaller model."
            )
        self.tokens = max(256, self.tokens // 2)
        log.warning(
            "memory ran out at a batch of %d: going on with half, %d tokens a batch", len(items), self.tokens
        )
        middle = len(items) // 2
        return self.shrinking(work, items[:middle]) + self.shrinking(work, items[middle:])

    def refusal(self, tokens: int, pictures: int) -> OutOfMemoryError:
        """Give back what is kept, and the error to raise for one prompt that does not fit."""
        self.release()
        return OutOfMemoryError(
            f"{self.backbone.device} ran out of memory after {tokens} tokens of prompt with {pictures} "
            "pictures. "
            "Use fewer pictures, a shorter conversation, or a smaller model."
        )
