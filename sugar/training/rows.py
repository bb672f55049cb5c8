"""Token rows for training: pictures and texts packed into sequences, with their losses, masks and slice
positions.

    row = RowBuilder(tokens).bos().picture(0).turn("what color is the star?", "red", "color").row()
    batches = collate(rows, tokens.pad, budget=6000)

Several questions about one picture share one sequence: each turn is a block that sees the picture and itself
only, with its positions starting after the picture, so no answer leaks from one turn to another and a packed
turn costs no picture tokens of its own. `Row.slices` marks what `sugar.model.processor` marks: an image
slice is all tokens of its picture, a text slice all its tokens. Not covered: what the rows say (mix.py),
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

IGNORED = -100


class Tokens:
    """The tokenizer's side of row building: cached word encoding and the pieces of the `USER: ...

    ASSISTANT: ...</s>` template.
    """

    def __init__(self, tokenizer: Any, image_token_id: int, picture_tokens: int) -> None:
        self.image_token_id, self.picture_tokens = image_token_id, picture_tokens
        self.encode = lru_cache(maxsize=1 << 16)(
            lambda text: tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        )
        self.user, self.assistant = self.encode("USER:"), self.encode("ASSISTANT:")
        self.bos, self.eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos


@dataclass
class Row:
    """One sequence of T tokens. labels[t] is the token to predict AT t (from t - 1), or IGNORED; blocks[t]
    is 0 for what every later token sees, else the number of the only block that sees it; answers are (start,
    stop, skill) of what is learnt."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    slices: list[tuple[int, int, bool]] = field(default_factory=list)
    answers: list[tuple[int, int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


class RowBuilder:
    """Appends to a row, piece by piece; every method returns the builder."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self._row = Row()
        self._block = 0
        self._position = 0
        self._shared = 0

    def _add(self, ids: Sequence[int], learn: bool = False) -> RowBuilder:
        r = self._row
        r.ids += ids
        r.labels += ids if learn else [IGNORED] * len(ids)
        r.blocks += [self._block] * len(ids)
        r.positions += range(self._position, self._position + len(ids))
        self._position += len(ids)
        return self

    def bos(self) -> RowBuilder:
        """The sequence's first token, where the tokenizer has one: raw embedding rows begin with it."""
        return self._add([self.tokens.bos]) if self.tokens.bos is not None else self

    def user(self) -> RowBuilder:
        return self._add(self.tokens.user)

    def picture(self, index: int) -> RowBuilder:
        """All tokens of picture `index` of the step, as an image slice."""
        start = len(self._row)
        self._row.pictures.append(index)
        self._add([self.tokens.image_token_id] * self.tokens.picture_tokens)
        self._row.slices.append((start, len(self._row), True))
        return self

    def text(self, words: str) -> RowBuilder:
        """Words that are read, not learnt, as a text slice."""
        start = len(self._row)
        self._add(self.tokens.encode(words))
        self._row.slices.append((start, len(self._row), False))
        return self

    def answer(self, words: str, skill: str) -> RowBuilder:
        """`ASSISTANT: words</s>`; the words and the end are learnt, and counted under `skill`."""
        self._add(self.tokens.assistant)
        start = len(self._row)
        self._add([*self.tokens.encode(words), self.tokens.eos], learn=True)
        self._row.answers.append((start, len(self._row), skill))
        return self

    def turn(self, question: str, answer: str, skill: str) -> RowBuilder:
        """A question and its answer in a block of their own, right after the shared start of the row."""
        if self._block == 0:
            self._shared = self._position
        self._block += 1
        self._position = self._shared
        return self._add(self.tokens.encode(question)).answer(answer, skill)

    def row(self) -> Row:
        return self._row


@dataclass(frozen=True)
class RowBatch:
    """B rows right-padded to T: ids, positions (B, T) long; mask (B, 1, T, T) bool; row_numbers:
    where each row stood."""

    ids: Tensor
    positions: Tensor
    mask: Tensor
    pictures: list[int]
    row_numbers: list[int]


def collate(rows: Sequence[Row], pad: int, budget: int = 6000) -> list[RowBatch]:
    """Rows of like length together, in batches of at most `budget` padded tokens (a longer single row
    still makes a batch)."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
    batches, start = [], 0
    while start < len(order):
        longest = len(rows[order[start]])
        stop = start + max(1, budget // longest)
        # A row much shorter than the longest wastes its padding: start another batch.
        while stop < len(order) and len(rows[order[stop - 1]]) < 0.6 * longest:
            stop -= 1
        stop = next(
            (j for j in range(start + 1, min(stop, len(order))) if len(rows[order[j]]) < 0.6 * longest),
            min(stop, len(order)),
        )
        batches.append(_pad([rows[i] for i in order[start:stop]], order[start:stop], pad))
        start = stop
    return batches


def _pad(rows: Sequence[Row], row_numbers: list[int], pad: int) -> RowBatch:
    longest = max(len(r) for r in rows)
    ids = torch.full((len(rows), longest), pad)
    positions = torch.zeros(len(rows), longest, dtype=torch.long)
    blocks = torch.full((len(rows), longest), -1)
    for b, r in enumerate(rows):
        n = len(r)
        ids[b, :n], positions[b, :n], blocks[b, :n] = (
            torch.tensor(r.ids),
            torch.tensor(r.positions),
            torch.tensor(r.blocks),
        )
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    same = (blocks[:, None, :] == 0) | (blocks[:, None, :] == blocks[:, :, None])  # (B, T queries, T keys)
    mask = (same & causal)[
        :, None
    ]  # (B, 1, T, T); a pad's block is -1, so pads see pads only and nothing sees them
    return RowBatch(ids, positions, mask, [p for r in rows for p in r.pictures], row_numbers)
