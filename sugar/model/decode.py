"""Prefill, the kept prefix of a conversation, one decoding step at a time, and text as it comes.

    state = prefill(model, family, layout, features, kept=store.take(layout))   # costs only what `kept` has not seen
    token = pick(state.logits, temperature=0, ...)
    state.step(model, token)                                                    # one token further
    stream = TextStream(processor); stream.push(token) -> new text

A loop of our own over the model's forward instead of `model.generate` and a thread: exceptions need no forwarding, a stop
takes effect at the next token, and the key-value cache can be kept, cut and reused. Greedy output equals `generate`'s.
Not covered: beam search, penalties, assisted decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from sugar.model.processor import ROPE_3D, Layout, Processor
from sugar.model.vision import VisionFeatures, as_encoder_outputs

__all__ = ["PrefixStore", "State", "TextStream", "forward_tail", "pick", "positions", "prefill", "signature"]


class GrowingLayer(DynamicLayer):
    """Keys and values in a buffer that grows by half, so that a token costs no copy of the past; cutting is free."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.length = 0
        self._reserve(key_states, key_states.shape[-2] + 64, None, None)
        self.keys, self.values = self._k[..., :0, :], self._v[..., :0, :]
        self.is_initialized = True

    def _reserve(self, like: Tensor, room: int, keys: Tensor | None, values: Tensor | None) -> None:
        shape = (*like.shape[:-2], room, like.shape[-1])
        self._k, self._v = like.new_empty(shape), like.new_empty(shape)
        if keys is not None and values is not None:
            self._k[..., : keys.shape[-2], :] = keys
            self._v[..., : values.shape[-2], :] = values

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        past, end = self.length, self.length + key_states.shape[-2]
        if end > self._k.shape[-2]:
            self._reserve(self._k, max(end, self._k.shape[-2] * 3 // 2) + 64, self.keys, self.values)
        self._k[..., past:end, :] = key_states
        self._v[..., past:end, :] = value_states
        self.length = end
        self.keys, self.values = self._k[..., :end, :], self._v[..., :end, :]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.length if self.is_initialized else 0

    def crop(self, tokens_to_remove: int) -> None:
        if self.is_initialized:
            self.length -= abs(tokens_to_remove)
            self.keys, self.values = self._k[..., : self.length, :], self._v[..., : self.length, :]


def new_cache() -> Cache:
    return Cache(layer_class_to_replicate=GrowingLayer)


def signature(layout: Layout, image_token_id: int) -> np.ndarray:
    """(T,) int64: the token id, or for image tokens a number made of the picture's key, so that equal means same input."""
    marks = np.asarray(layout.ids, dtype=np.int64).copy()
    owners = np.flatnonzero(marks == image_token_id)
    counts = [image.tokens for image in layout.images]
    for image, run in zip(layout.images, np.split(owners, np.cumsum(counts)[:-1]) if counts else [], strict=True):
        marks[run] = -1 - (int(image.key[:15], 16) >> 1)
    return marks


def positions(
    model: Any, family: str, ids: Tensor, image_mask: Tensor, grids: Sequence[Tensor], mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Position ids (B, T), or (3, B, T) for the families with 3-D positions, and the next position per row (B,)."""
    if family in ROPE_3D:
        grid = torch.cat(list(grids)).to(ids.device) if grids else None
        place, delta = model.model.get_rope_index(ids, mm_token_type_ids=image_mask.long(), image_grid_thw=grid, attention_mask=mask)
        length = mask.sum(1) if mask is not None else torch.full((ids.shape[0],), ids.shape[1], device=ids.device)
        return place, length + delta.reshape(-1)
    if mask is None:
        place = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape[0], -1)
        return place, torch.full((ids.shape[0],), ids.shape[1], device=ids.device)
    return (mask.cumsum(1) - 1).clamp(min=0), mask.sum(1)


@dataclass
class State:
    """One sequence under way. marks: its signature; cache: keys and values of all of it; logits: (V,) for the next token."""

    marks: np.ndarray
    cache: Cache
    logits: Tensor
    next_position: int
    family: str
    computed: int = 0

    def step(self, model: Any, token: int) -> None:
        """Append one token and compute the logits that follow it."""
        device = self.logits.device
        place = torch.full((1, 1), self.next_position, device=device)
        if self.family in ROPE_3D:
            place = place.expand(3, 1, 1)
        output = model(input_ids=torch.full((1, 1), token, device=device), position_ids=place, past_key_values=self.cache, use_cache=True)
        self.logits = output.logits[0, -1]
        self.marks = np.append(self.marks, token)
        self.next_position += 1


def prefill(model: Any, family: str, layout: Layout, encode: Any, image_token_id: int, kept: tuple[Cache, int] | None = None) -> State:
    """Run a layout up to its last token. `encode(images) -> [VisionFeatures]` is asked only for pictures that `kept` lacks.

    kept: (cache, n): a cache cut to the first n tokens of this layout, from a PrefixStore.
    """
    cache, start = kept if kept is not None else (new_cache(), 0)
    marks = signature(layout, image_token_id)
    device = model.device
    ids = torch.tensor([layout.ids], device=device)
    image_mask = ids == image_token_id
    place, following = positions(model, family, ids, image_mask, [i.grid for i in layout.images if i.grid is not None], None)
    new = [image for image, (where, _) in zip(layout.images, picture_spans(layout, image_token_id), strict=True) if where[0] >= start]
    features: list[VisionFeatures] = encode(new) if new else []
    extra = {"token_type_ids": image_mask.long()} if family == "gemma3" and image_mask.any() else {}
    output = model(
        input_ids=ids[:, start:],
        position_ids=place[..., start:],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **extra,
        **as_encoder_outputs(features, family),
    )
    return State(marks, cache, output.logits[0, -1], int(following[0]), family, len(layout.ids) - start)


def picture_spans(layout: Layout, image_token_id: int) -> list[tuple[np.ndarray, bool]]:
    """Per picture the positions of its tokens, whichever layout it is in."""
    return [(where, is_image) for where, is_image in layout.slices if is_image]


def forward_tail(model: Any, state: State, rows: Sequence[Sequence[int]], window: int | None = None) -> list[Tensor]:
    """Logits of several continuations of one prefix, in one row with a block mask: the prefix is neither copied nor repeated.

    rows: token ids of each continuation. Returns per row (len(row), V): what follows each of its tokens. The cache is cut
    back afterwards. `window`: the sliding window of the family's local layers, if it has such.
    """
    device, past = state.logits.device, int(state.cache.get_seq_length())
    flat = [token for row in rows for token in row]
    owner = torch.tensor([n for n, row in enumerate(rows) for _ in row], device=device)
    offset = torch.tensor([i for row in rows for i in range(len(row))], device=device)
    place = (state.next_position + offset)[None]
    if state.family in ROPE_3D:
        place = place.expand(3, 1, -1)
    own = (owner[:, None] == owner[None]) & (offset[:, None] >= offset[None])  # (Q, Q)
    seen = torch.ones(len(flat), past, dtype=torch.bool, device=device)
    mask: Any = torch.cat([seen, own], 1)[None, None]  # (1, 1, Q, past + Q)
    if window is not None:
        near = (past + offset)[:, None] - torch.arange(past, device=device)[None] < window  # (Q, past)
        local = own & (offset[:, None] - offset[None] < window)
        mask = {"full_attention": mask, "sliding_attention": torch.cat([near, local], 1)[None, None]}
    output = model(
        input_ids=torch.tensor([flat], device=device), position_ids=place, attention_mask=mask, past_key_values=state.cache, use_cache=True
    )
    state.cache.crop(-len(flat))
    return list(output.logits[0].split([len(row) for row in rows]))


def pick(logits: Tensor, *, temperature: float, top_p: float, rng: torch.Generator | None) -> int:
    """The next token. logits: (V,). Greedy at temperature 0, else nucleus sampling: the smallest set with mass >= top_p."""
    if temperature <= 0:
        return int(logits.argmax())
    p = torch.softmax(logits.float().cpu() / temperature, -1)  # (V,), on the CPU so that one seed gives one text everywhere
    if top_p < 1:
        ranked, order = p.sort(descending=True)
        ranked[ranked.cumsum(-1) - ranked >= top_p] = 0
        p = torch.zeros_like(p).scatter(0, order, ranked)
    return int(torch.multinomial(p, 1, generator=rng))


class TextStream:
    """Token ids in, text out: only whole characters, spaces as the tokenizer means them."""

    def __init__(self, processor: Processor) -> None:
        self._decode = processor.decode
        self._ids: list[int] = []
        self._done = self._read = 0
        self._started = False

    def push(self, token: int) -> str:
        """The text that this token completes; empty inside a character of several tokens."""
        self._ids.append(token)
        before = self._decode(self._ids[self._done : self._read])
        after = self._decode(self._ids[self._done :])
        broken = after.endswith("\N{REPLACEMENT CHARACTER}") and len(self._ids) - self._read <= 4  # UTF-8 needs no more
        if len(after) <= len(before) or broken:
            return ""
        self._done, self._read = self._read, len(self._ids)
        return self._first(after[len(before) :])

    def flush(self) -> str:
        """What is left at the end, broken characters included."""
        before = self._decode(self._ids[self._done : self._read])
        rest = self._decode(self._ids[self._done :])[len(before) :]
        self._done = self._read = len(self._ids)
        return self._first(rest)

    def _first(self, text: str) -> str:
        """Prompts end without a space and answers begin with one: drop it, once."""
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        return text


class PrefixStore:
    """Caches of the last conversations, cut to what a new prompt shares with them. At most `entries`, least recent out.

    A cache is taken out while it is in use and put back when the turn ends; a turn that is broken off never comes back,
    so its memory goes with it.
    """

    def __init__(self, entries: int = 2) -> None:
        self.entries = entries
        self.reused = 0
        self._kept: list[tuple[str, np.ndarray, Cache]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        self._kept.clear()

    def take(self, tag: str, layout: Layout, image_token_id: int) -> tuple[Cache, int] | None:
        """The cache that shares the longest prefix with `layout`, cut to it; None when none shares half of itself.

        tag: what else decides keys and values (the adapter). The last token is always computed again, and a picture is
        shared as a whole or not at all. A mere common opening would cost another conversation its cache: not taken.
        """
        marks = signature(layout, image_token_id)
        best, shared = -1, 1
        for n, (other_tag, other, _) in enumerate(self._kept):
            if other_tag != tag:
                continue
            width = min(len(marks) - 1, len(other))
            differs = np.flatnonzero(marks[:width] != other[:width])
            length = int(differs[0]) if len(differs) else width
            for where, _is_image in picture_spans(layout, image_token_id):
                if where[0] < length <= where[-1]:
                    length = int(where[0])
            if length > shared and 2 * length >= len(other):
                best, shared = n, length
        if best < 0:
            return None
        _, other, cache = self._kept.pop(best)
        if len(other) > shared:
            cache.crop(shared - len(other))
        self.reused += shared
        return cache, shared

    def put(self, tag: str, marks: np.ndarray, cache: Cache) -> None:
        """Keep a finished conversation. marks: its signature, as long as the cache."""
        self._kept.append((tag, marks, cache))
        del self._kept[: max(0, len(self._kept) - self.entries)]
