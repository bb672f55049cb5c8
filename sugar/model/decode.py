"""Decoding: keys and values that are kept, prefill, one step at a time, sampling, and text as it comes.

    state = prefill(backbone, layout, cache)              # costs only what the cache has not seen
    token = pick(state.logits, temperature=0, ...)
    state.step(token)                                     # one token further
    continuations(state, rows)                            # logits of several continuations of one prefix
    cache = store.take(adapter, layout, image_token_id)   # what a new prompt shares with an old one

A loop of our own instead of `model.generate` and a thread: errors need no forwarding, a stop takes effect at
the next token, and the cache can be kept, cut and reused. Greedy output equals `generate`'s. Not covered:
beam search, penalties, assisted decoding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer, LinearAttentionLayer

from sugar.model.backbone import Backbone
from sugar.model.processor import Layout, Processor

# -- keys and values -------------------------------------------------------------------------------


class GrowingLayer(DynamicLayer):
    """Keys and values in a buffer that grows by half, so that a token costs no copy of the past.

    Cutting is free.

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
        # Zeros, not empty memory: a Graph multiplies masked places too, and 0 x nan is nan.
        self._k, self._v = like.new_zeros(shape), like.new_zeros(shape)
        if keys is not None and values is not None:
            self._k[..., : keys.shape[-2], :] = keys
            self._v[..., : values.shape[-2], :] = values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
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
    """Keys and values of one conversation, and in recurrent families the states of the layers that have such.

    room: tokens to make room for. graph: the `Graph` captured over these buffers, if any.
    """

    graph: Any = None

    def __init__(self, backbone: Backbone, room: int = 0) -> None:
        sized = type("GrowingLayer", (GrowingLayer,), {"room": -(-room // 256) * 256})
        self.recurrent = backbone.family.recurrent
        if self.recurrent:
            kinds = backbone.text_config.layer_types
            super().__init__(
                [sized() if kind == "full_attention" else LinearAttentionLayer() for kind in kinds]
            )
        else:
            super().__init__(layer_class_to_replicate=sized)

    def cut(self, length: int) -> None:
        """Back to the first `length` tokens, in every layer; a recurrent family's stays as it is."""
        more = self.get_seq_length() - length
        assert not (more and self.recurrent), "a recurrent state cannot be cut back"
        for layer in self.layers:
            if isinstance(layer, GrowingLayer):
                layer.crop(more)

    def branch(self) -> KeptCache:
        """A copy to run on from here, which leaves this one as it is."""
        return copy.deepcopy(self)


def signature(layout: Layout, image_token_id: int) -> np.ndarray:
    """(T,) int64, equal where the input is equal: token ids, and for image tokens a number made of the
    picture's key.
    """
    tokens = np.asarray(layout.ids, dtype=np.int64).copy()
    owners = np.flatnonzero(tokens == image_token_id)
    counts = [image.tokens for image in layout.images]
    for image, run in zip(
        layout.images, np.split(owners, np.cumsum(counts)[:-1]) if counts else [], strict=True
    ):
        tokens[run] = -1 - (int(image.key[:15], 16) >> 1)
    return tokens


class PrefixStore:
    """Caches of the last conversations, cut to what a new prompt shares with them.

    At most `entries`, least recent out.

    A cache is taken out while it is in use and put back when the turn ends; a turn that is broken off never
    comes back, so its memory goes with it.
    """

    def __init__(self, entries: int = 2) -> None:
        self.entries = entries
        self.reused = 0
        self._kept: list[tuple[str, np.ndarray, KeptCache]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        self._kept.clear()

    def take(self, tag: str, layout: Layout, image_token_id: int) -> KeptCache | None:
        """The cache that shares the longest prefix with `layout`, cut to it.

        None when none shares half of itself.

        tag: what else decides keys and values (the adapter). The last token is always computed again, and a
        picture is shared as a whole or not at all. A mere common opening would cost another conversation its
        cache: not taken, nor is a recurrent family's that holds more than is shared.
        """
        tokens = signature(layout, image_token_id)
        best, shared = -1, 1
        for n, (other_tag, other, kept) in enumerate(self._kept):
            if other_tag != tag:
                continue
            width = min(len(tokens) - 1, len(other))
            differs = np.flatnonzero(tokens[:width] != other[:width])
            length = int(differs[0]) if len(differs) else width
            for where in layout.picture_positions:
                if where[0] < length <= where[-1]:
                    length = int(where[0])
            whole = length == len(other) or not kept.recurrent
            if length > shared and 2 * length >= len(other) and whole:
                best, shared = n, length
        if best < 0:
            return None
        _, other, cache = self._kept.pop(best)
        cache.cut(shared)
        self.reused += shared
        return cache

    def put(self, tag: str, tokens: np.ndarray, cache: KeptCache) -> None:
        """Keep a finished conversation. tokens: its signature, as long as the cache."""
        self._kept.append((tag, tokens, cache))
        del self._kept[: max(0, len(self._kept) - self.entries)]


# -- a step with fixed shapes ----------------------------------------------------------------------


class BufferView(CacheLayerMixin):
    """The whole buffer of a GrowingLayer as a static layer: a token is written at a position that lives on
    the device.
    """

    is_sliding = False

    def __init__(self, layer: GrowingLayer, position: Tensor) -> None:
        self.layer, self.position = layer, position
        self.buffers = layer._k, layer._v
        self.keys, self.values, self.is_initialized = layer._k, layer._v, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None: ...

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
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
    """One decoding step with fixed shapes over a conversation's own buffers: nothing is copied, nothing is
    allocated.

    On CUDA the step is captured once and replayed, so that a token costs one launch instead of hundreds;
    elsewhere (`capture=False`) the same step runs as it is, which is what the tests compare.
    """

    def __init__(
        self,
        backbone: Backbone,
        cache: KeptCache,
        logits: Tensor,
        token: int,
        position_id: int,
        *,
        capture: bool,
    ) -> None:
        """cache: its last token is `token`, at `position_id`. logits: (V,), those that follow it."""
        device = logits.device
        layers: list[Any] = cache.layers
        self.backbone, self.layers = backbone, layers
        self.room = layers[0]._k.shape[-2]
        self.ids = torch.full((1, 1), token, device=device)
        self.position_id = torch.zeros(1, 1, dtype=torch.long, device=device)
        self.position = torch.zeros(1, dtype=torch.long, device=device)
        self.arange = torch.arange(self.room, device=device)
        self.views = [BufferView(layer, self.position) for layer in layers]
        self.view = Cache(layers=list(self.views))
        self.logits = torch.zeros_like(logits)
        self.captured: Any = None
        self._set(token, cache.get_seq_length() - 1, position_id)
        if capture:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._body()
            torch.cuda.current_stream().wait_stream(side)
            self.captured = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.captured):
                self._body()

    def _set(self, token: int, position: int, position_id: int) -> None:
        self.ids.fill_(token)
        self.position.fill_(position)
        self.position_id.fill_(position_id)

    def _body(self) -> None:
        seen = self.arange <= self.position
        mask: Any = seen[None, None, None]  # (1, 1, 1, room)
        window = self.backbone.window
        if window is not None:
            near = seen & (self.arange > self.position - window)
            mask = {"full_attention": mask, "sliding_attention": near[None, None, None]}
        hidden = self.backbone.read(self.ids, self.position_id, mask, cache=self.view)
        self.logits.copy_(self.backbone.logits(hidden[0, -1]))

    def fits(self) -> bool:
        """Is there room for another token, in the very buffers that were captured?"""
        same = all(layer._k is view.buffers[0] for layer, view in zip(self.layers, self.views, strict=True))
        return same and self.layers[0].length < self.room

    def run(self, token: int, position: int, position_id: int) -> Tensor:
        """(V,) logits after `token`, whose keys and values go to `position` of the buffers."""
        self._set(token, position, position_id)
        if self.captured is not None:
            self.captured.replay()
        else:
            self._body()
        return self.logits.clone()


# -- decoding --------------------------------------------------------------------------------------


@dataclass
class DecodingState:
    """One sequence under way.

    tokens: its signature. cache: keys and values of all of it. logits: (V,) for the next token. computed: how
    many tokens the prefill ran.
    """

    backbone: Backbone
    tokens: np.ndarray
    cache: KeptCache
    logits: Tensor
    next_position: int
    computed: int = 0

    def step(self, token: int) -> None:
        """Append one token and compute the logits that follow it."""
        graph = self.cache.graph
        if graph is not None and graph.fits():
            self.logits = graph.run(token, self.cache.get_seq_length(), self.next_position)
            for layer in graph.layers:
                layer.advance()
        else:
            device = self.logits.device
            ids = torch.full((1, 1), token, device=device)
            position_id = torch.full((1, 1), self.next_position, device=device)
            hidden = self.backbone.read(ids, position_id, cache=self.cache)
            self.logits = self.backbone.logits(hidden[0, -1])
        self.tokens = np.append(self.tokens, token)
        self.next_position += 1

    def fix(self, token: int, *, capture: bool) -> bool:
        """From now on decode with fixed shapes. token: the last one stepped, whose logits check the new way.

        False, and nothing changes, when both ways do not agree on it.
        """
        position_id = self.next_position - 1
        graph = Graph(self.backbone, self.cache, self.logits, token, position_id, capture=capture)
        again = graph.run(token, self.cache.get_seq_length() - 1, position_id)
        spread = float(self.logits.float().std())
        apart = float((again.float() - self.logits.float()).abs().max())
        if not apart <= 0.1 * spread:  # nan is no agreement either
            return False
        self.cache.graph = graph
        return True


def prefill(
    backbone: Backbone, layout: Layout, cache: KeptCache | None = None, room: int = 0
) -> DecodingState:
    """Run a layout up to its last token, under the caller's adapter.

    cache: one cut to the first tokens of this layout, from a PrefixStore; pictures in it are not encoded
    again. room: tokens that will follow, for a fresh cache.
    """
    if cache is None:
        cache = KeptCache(backbone, len(layout) + room)
    start = cache.get_seq_length()
    done = backbone.forward([layout], cache)
    tokens = signature(layout, backbone.processor.image_token_id)
    logits = backbone.logits(done.hidden[0, -1])
    return DecodingState(backbone, tokens, cache, logits, int(done.next_positions[0]), len(layout) - start)


def continuations(state: DecodingState, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """Logits of several continuations of one prefix, in one row with a block mask: the prefix is not
    repeated.

    Args:
        rows: token ids of each continuation, possibly none.
    Returns:
        Per row (len(row), V): what follows each of its tokens. The cache is cut back afterwards.
    """
    device, past = state.logits.device, int(state.cache.get_seq_length())
    flat = [token for row in rows for token in row]
    if not flat:  # answers of one token each: the prompt's own logits say it all
        return [state.logits.new_zeros(0, len(state.logits)) for _ in rows]
    if state.cache.recurrent:  # a state runs through all tokens, whatever a mask says: each row has its own
        return [_alone(state, row) for row in rows]
    owner = torch.tensor([n for n, row in enumerate(rows) for _ in row], device=device)
    offset = torch.tensor([i for row in rows for i in range(len(row))], device=device)
    own = (owner[:, None] == owner[None]) & (offset[:, None] >= offset[None])  # (Q, Q)
    seen = torch.ones(len(flat), past, dtype=torch.bool, device=device)
    mask: Any = torch.cat([seen, own], 1)[None, None]  # (1, 1, Q, past + Q)
    window = state.backbone.window
    if window is not None:
        near = (past + offset)[:, None] - torch.arange(past, device=device)[None] < window  # (Q, past)
        local = own & (offset[:, None] - offset[None] < window)
        mask = {"full_attention": mask, "sliding_attention": torch.cat([near, local], 1)[None, None]}
    ids, position_id = torch.tensor([flat], device=device), (state.next_position + offset)[None]
    try:
        hidden = state.backbone.read(ids, position_id, mask, cache=state.cache)
        logits = state.backbone.logits(hidden[0])  # (Q, V)
    finally:  # memory may run out half-way through the layers
        state.cache.cut(past)
    return list(logits.split([len(row) for row in rows]))


def _alone(state: DecodingState, row: Sequence[int]) -> Tensor:
    """(len(row), V): what follows each token of one continuation, the cache left as it is."""
    if not row:
        return state.logits.new_zeros(0, len(state.logits))
    device, following = state.logits.device, state.next_position
    at = torch.arange(following, following + len(row), device=device)[None]
    ids = torch.tensor([list(row)], device=device)
    return state.backbone.logits(state.backbone.read(ids, at, cache=state.cache.branch())[0])


def pick(logits: Tensor, *, temperature: float, top_p: float, rng: torch.Generator | None) -> int:
    """The next token. logits: (V,).

    Greedy at temperature 0, else nucleus sampling: the smallest set with mass >= top_p.
    """
    if temperature <= 0:
        return int(logits.argmax())
    # On the CPU, so that one seed gives one text everywhere.
    p = torch.softmax(logits.float().cpu() / temperature, -1)  # (V,)
    if top_p < 1:
        ranked, order = p.sort(descending=True)
        ranked[ranked.cumsum(-1) - ranked >= top_p] = 0
        p = torch.zeros_like(p).scatter(0, order, ranked)
    return int(torch.multinomial(p, 1, generator=rng))


# -- text as it comes ------------------------------------------------------------------------------


class TextStream:
    """Token ids in, text out: only whole characters, spaces as the tokenizer means them.

    Not the `DecodeStream` of tokenizers: it raises on stray bytes of a byte-fallback vocabulary (LLaVA-1.5's)
    and loses a broken character at the end.
    """

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
        broken = (
            after.endswith("\N{REPLACEMENT CHARACTER}") and len(self._ids) - self._read <= 4
        )  # UTF-8 needs no more
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
