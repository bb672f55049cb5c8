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
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer

from sugar.model.processor import ROPE_3D, Layout, Processor
from sugar.model.vision import VisionFeatures, as_encoder_outputs

__all__ = ["Graph", "KeptCache", "PrefixStore", "State", "TextStream", "forward_tail", "pick", "positions", "prefill", "signature"]


class GrowingLayer(DynamicLayer):
    """Keys and values in a buffer that grows by half, so that a token costs no copy of the past; cutting is free.

    room: tokens to make room for at first; a Graph needs buffers that do not move.
    """

    room = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.length = 0
        self._reserve(key_states, max(key_states.shape[-2] + 64, self.room), None, None)
        self.keys, self.values = self._k[..., :0, :], self._v[..., :0, :]
        self.is_initialized = True

    def _reserve(self, like: Tensor, room: int, keys: Tensor | None, values: Tensor | None) -> None:
        shape = (*like.shape[:-2], room, like.shape[-1])
        self._k, self._v = like.new_zeros(shape), like.new_zeros(shape)  # a Graph reads masked places too: 0 x nan is nan
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

    def advance(self) -> None:
        """One more token, whose keys and values were written into the buffer by a Graph."""
        self.length += 1
        self.keys, self.values = self._k[..., : self.length, :], self._v[..., : self.length, :]

    def crop(self, tokens_to_remove: int) -> None:
        if self.is_initialized:
            self.length -= abs(tokens_to_remove)
            self.keys, self.values = self._k[..., : self.length, :], self._v[..., : self.length, :]


class KeptCache(Cache):
    """Keys and values of one conversation. room: tokens to make room for. graph: the step captured over these buffers, if any."""

    graph: Graph | None = None

    def __init__(self, room: int = 0) -> None:
        sized = type("GrowingLayer", (GrowingLayer,), {"room": -(-room // 256) * 256})
        super().__init__(layer_class_to_replicate=sized)

    def cut(self, length: int) -> None:
        """Back to the first `length` tokens, in every layer."""
        for layer in self.layers:
            assert isinstance(layer, GrowingLayer)
            layer.crop(layer.get_seq_length() - length)


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


class BufferView(CacheLayerMixin):
    """The whole buffer of a GrowingLayer as a static layer: a token is written at a position that lives on the device."""

    is_sliding = False

    def __init__(self, layer: GrowingLayer, position: Tensor) -> None:
        self.layer, self.position = layer, position
        self.buffers = layer._k, layer._v
        self.keys, self.values, self.is_initialized = layer._k, layer._v, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None: ...

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer.index_copy_(2, self.position, states)
        return self.buffers

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.buffers[0].shape[-2], 0

    def get_seq_length(self) -> int:
        return self.layer.length

    def get_max_length(self) -> int:
        return self.buffers[0].shape[-2]


class Graph:
    """One decoding step with fixed shapes over a conversation's own buffers: nothing is copied, nothing is allocated.

    On CUDA the step is captured once and replayed, so that a token costs one launch instead of hundreds; elsewhere
    (`capture=False`) the same step runs as it is, which is what the tests compare.
    """

    def __init__(self, model: Any, state: State, token: int, window: int | None, *, capture: bool) -> None:
        device = state.logits.device
        layers: list[Any] = state.cache.layers
        self.layers = layers
        self.room = layers[0]._k.shape[-2]
        self.ids = torch.full((1, 1), token, device=device)
        self.place = torch.zeros((3, 1, 1) if state.family in ROPE_3D else (1, 1), dtype=torch.long, device=device)
        self.position = torch.zeros(1, dtype=torch.long, device=device)
        self.model, self.window = model, window
        self.arange = torch.arange(self.room, device=device)
        self.views = [BufferView(layer, self.position) for layer in layers]
        self.view = Cache(layers=list(self.views))
        self.logits = torch.zeros_like(state.logits)
        self.captured: Any = None
        self._set(token, state.cache.get_seq_length() - 1, state.next_position - 1)
        if capture:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._body()
            torch.cuda.current_stream().wait_stream(side)
            self.captured = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.captured):
                self._body()

    def _set(self, token: int, position: int, place: int) -> None:
        self.ids.fill_(token)
        self.position.fill_(position)
        self.place.fill_(place)

    def _body(self) -> None:
        seen = self.arange <= self.position
        mask: Any = seen[None, None, None]  # (1, 1, 1, room)
        if self.window is not None:
            near = seen & (self.arange > self.position - self.window)
            mask = {"full_attention": mask, "sliding_attention": near[None, None, None]}
        output = self.model(
            input_ids=self.ids, position_ids=self.place, attention_mask=mask, past_key_values=self.view, use_cache=True, logits_to_keep=1
        )
        self.logits.copy_(output.logits[0, -1])

    def fits(self) -> bool:
        """Is there room for another token, in the very buffers that were captured?"""
        same = all(layer._k is view.buffers[0] for layer, view in zip(self.layers, self.views, strict=True))
        return same and self.layers[0].length < self.room

    def run(self, token: int, position: int, place: int) -> Tensor:
        """(V,) logits after `token`, whose keys and values go to `position` of the buffers."""
        self._set(token, position, place)
        if self.captured is not None:
            self.captured.replay()
        else:
            self._body()
        return self.logits.clone()


@dataclass
class State:
    """One sequence under way. marks: its signature; cache: keys and values of all of it; logits: (V,) for the next token."""

    marks: np.ndarray
    cache: KeptCache
    logits: Tensor
    next_position: int
    family: str
    computed: int = 0

    def step(self, model: Any, token: int) -> None:
        """Append one token and compute the logits that follow it."""
        graph = self.cache.graph
        if graph is not None and graph.fits():
            self.logits = graph.run(token, self.cache.get_seq_length(), self.next_position)
            for layer in graph.layers:
                layer.advance()
            self._append(token)
            return
        device = self.logits.device
        place = torch.full((1, 1), self.next_position, device=device)
        if self.family in ROPE_3D:
            place = place.expand(3, 1, 1)
        output = model(input_ids=torch.full((1, 1), token, device=device), position_ids=place, past_key_values=self.cache, use_cache=True)
        self.logits = output.logits[0, -1]
        self._append(token)

    def _append(self, token: int) -> None:
        self.marks = np.append(self.marks, token)
        self.next_position += 1

    def fix(self, model: Any, token: int, window: int | None, *, capture: bool) -> bool:
        """From now on decode with fixed shapes. token: the last one stepped, whose logits check the new way.

        False, and nothing changes, when both ways do not agree on it.
        """
        graph = Graph(model, self, token, window, capture=capture)
        again = graph.run(token, self.cache.get_seq_length() - 1, self.next_position - 1)
        spread = float(self.logits.float().std())
        if not float((again.float() - self.logits.float()).abs().max()) <= 0.1 * spread:  # nan is no agreement either
            return False
        self.cache.graph = graph
        return True


def prefill(
    model: Any, family: str, layout: Layout, encode: Any, image_token_id: int, kept: tuple[KeptCache, int] | None = None, room: int = 0
) -> State:
    """Run a layout up to its last token. `encode(images) -> [VisionFeatures]` is asked only for pictures that `kept` lacks.

    kept: (cache, n): a cache cut to the first n tokens of this layout, from a PrefixStore. room: tokens that will follow.
    """
    cache, start = kept if kept is not None else (KeptCache(len(layout.ids) + room), 0)
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
    """Logits of several continuations of one prefix, in one row with a block mask: the prefix is not repeated.

    rows: token ids of each continuation, possibly none. Returns per row (len(row), V): what follows each of its tokens. The cache is cut
    back afterwards. `window`: the sliding window of the family's local layers, if it has such.
    """
    device, past = state.logits.device, int(state.cache.get_seq_length())
    flat = [token for row in rows for token in row]
    if not flat:  # answers of one token each: the prompt's own logits say it all
        return [state.logits.new_zeros(0, len(state.logits)) for _ in rows]
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
    tokens = torch.tensor([flat], device=device)
    try:
        output = model(input_ids=tokens, position_ids=place, attention_mask=mask, past_key_values=state.cache, use_cache=True)
    finally:  # memory may run out half-way through the layers
        state.cache.cut(past)
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
        self._kept: list[tuple[str, np.ndarray, KeptCache]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        self._kept.clear()

    def take(self, tag: str, layout: Layout, image_token_id: int) -> tuple[KeptCache, int] | None:
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
        cache.cut(shared)
        self.reused += shared
        return cache, shared

    def put(self, tag: str, marks: np.ndarray, cache: KeptCache) -> None:
        """Keep a finished conversation. marks: its signature, as long as the cache."""
        self._kept.append((tag, marks, cache))
        del self._kept[: max(0, len(self._kept) - self.entries)]
