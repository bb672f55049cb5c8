"""Rows of tokens: a shared start, then blocks that see the start and themselves only.

    row = PackedRow(tokens).picture(0)                       # <s> and the picture, an image slice
    row.block().say("what is this?").answer("a dog")   # a question about it, in a block of its own
    row.block().text("a brown dog", key=7)             # a text slice
    for batch in batches(rows, budget=1600): ...

Five captions and four questions so share one picture and learn nothing from each other. The end of an answer
is learnt, not fed. Not covered: what the rows say (`steps.py`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sugar.model.assembled import IMAGE_TOKEN

__all__ = ["Packed", "PackedRow", "Span", "Tokens", "batches"]

IGNORED = -100


class Tokens:
    """The tokenizer's side: cached encoding and the special tokens."""

    def __init__(self, tokenizer: Any, picture: int) -> None:
        self.picture = picture
        self.pad, self.start, self.end = (
            tokenizer.pad_token_id,
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
        )
        self.image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        self.assistant = tokenizer.convert_tokens_to_ids("ASSISTANT:")
        self.encode = lru_cache(maxsize=1 << 17)(
            lambda text: tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        )
        self.decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True).strip()


class Span(NamedTuple):
    """A slice that is embedded: its key, its tokens, and whether it is a picture."""

    key: Hashable
    start: int
    stop: int
    is_image: bool


def even(length: int) -> float:
    """The weight of a token in an answer of `length` tokens: short answers are heard beside long ones."""
    return length**-0.5


class PackedRow:
    """One sequence. Methods append and return the row. following[t]: the token to predict from t, or
    IGNORED.
    """

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.ids: list[int] = [tokens.start]
        self.following, self.weights = [IGNORED], [0.0]
        self.blocks, self.positions = [0], [0]
        self.pictures: list[int] = []
        self.spans: list[Span] = []
        self._block, self._position, self._shared = 0, 1, 0

    def __len__(self) -> int:
        return len(self.ids)

    def _add(self, ids: Sequence[int]) -> PackedRow:
        n = len(ids)
        self.ids += ids
        self.following += [IGNORED] * n
        self.weights += [0.0] * n
        self.blocks += [self._block] * n
        self.positions += range(self._position, self._position + n)
        self._position += n
        return self

    def _learn(self, start: int, wanted: Sequence[int], weight: float) -> None:
        self.following[start : start + len(wanted)] = wanted
        self.weights[start : start + len(wanted)] = [weight] * len(wanted)

    def picture(self, number: int, key: Hashable = None) -> PackedRow:
        """All tokens of picture `number` of the step; embedded when it has a key."""
        start = len(self)
        self.pictures.append(number)
        self._add([self.tokens.image] * self.tokens.picture)
        if key is not None:
            self.spans.append(Span(key, start, len(self), True))
        return self

    def block(self) -> PackedRow:
        """What follows sees the shared start and itself only."""
        if self._block == 0:
            self._shared = self._position
        self._block += 1
        self._position = self._shared
        return self

    def say(self, words: str, longest: int = 40) -> PackedRow:
        """Words that are read, not learnt."""
        return self._add(self.tokens.encode(words)[:longest])

    def text(self, words: str, key: Hashable, *, weight: float = 0.0, longest: int = 40) -> PackedRow:
        """An embedded text; its next words are learnt too where `weight` is not 0."""
        start, ids = len(self), self.tokens.encode(words)[:longest]
        self._add(ids)
        self.spans.append(Span(key, start, len(self), False))
        if weight:
            self._learn(start, [*ids[1:], self.tokens.end], weight * even(len(ids) + 1))
        return self

    def answer(self, words: str, *, weight: float = 1.0, longest: int = 36) -> PackedRow:
        """`ASSISTANT: words</s>`, learnt."""
        start, ids = len(self), self.tokens.encode(words)[:longest]
        self._add([self.tokens.assistant, *ids])
        self._learn(start, [*ids, self.tokens.end], weight * even(len(ids) + 1))
        return self

    def sampled(self, ids: Sequence[int], weight: float) -> PackedRow:
        """An answer that the model gave itself, as pieces; every piece has the same weight."""
        start = len(self)
        self._add([self.tokens.assistant, *ids])
        self._learn(start, [*ids, self.tokens.end], weight)
        return self

    def close(self) -> PackedRow:
        """The end of an answer as a token, before a further turn."""
        return self._add([self.tokens.end])


@dataclass(frozen=True)
class Packed:
    """B rows padded to T: ids, following, weights, positions (B, T); mask (B, 1, T, T) bool."""

    ids: Tensor
    following: Tensor
    weights: Tensor
    positions: Tensor
    mask: Tensor
    rows: list[PackedRow]

    @property
    def pictures(self) -> list[int]:
        """The step's numbers of all pictures, row by row."""
        return [number for row in self.rows for number in row.pictures]


def batches(rows: Sequence[PackedRow], budget: int = 1600) -> Iterator[Packed]:
    """Rows of like length together, at most `budget` padded tokens a batch; small batches stay in the
    cache.
    """
    order = sorted(rows, key=len, reverse=True)
    start = 0
    while start < len(order):
        stop = start + max(1, budget // len(order[start]))
        yield _pad(order[start:stop])
        start = stop


def _pad(rows: list[PackedRow]) -> Packed:
    shape = len(rows), max(map(len, rows))
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    following, weights = torch.full(shape, IGNORED), torch.zeros(shape)
    blocks = torch.full(shape, -1)  # a pad sees pads only, and nothing sees a pad
    for b, row in enumerate(rows):
        n = len(row)
        ids[b, :n], positions[b, :n] = torch.tensor(row.ids), torch.tensor(row.positions)
        following[b, :n], weights[b, :n] = torch.tensor(row.following), torch.tensor(row.weights)
        blocks[b, :n] = torch.tensor(row.blocks)
    same = (blocks[:, None, :] == 0) | (blocks[:, None, :] == blocks[:, :, None])  # (B, T queries, T keys)
    causal = torch.ones(shape[1], shape[1], dtype=torch.bool).tril()
    return Packed(ids, following, weights, positions, (same & causal)[:, None], rows)
