"""Keys and values of conversations: buffers that grow, can be cut, and are kept for the next turn.

    store = PrefixStore()
    # what a new prompt shares with an old one
    cache = store.take(adapter, layout, image_token_id) or KeptCache()
    store.put(adapter, signature, cache)

Not covered: decoding over a cache (decode.py), a captured step (graph.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from sugar.model.layout import Layout

__all__ = ["GrowingLayer", "KeptCache", "PrefixStore", "signature"]


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
    """Keys and values of one conversation.

    room: tokens to make room for. graph: the `Graph` captured over these buffers, if any.
    """

    graph: Any = None

    def __init__(self, room: int = 0) -> None:
        sized = type("GrowingLayer", (GrowingLayer,), {"room": -(-room // 256) * 256})
        super().__init__(layer_class_to_replicate=sized)

    def cut(self, length: int) -> None:
        """Back to the first `length` tokens, in every layer."""
        for layer in self.layers:
            assert isinstance(layer, GrowingLayer)
            layer.crop(layer.get_seq_length() - length)


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
        cache: not taken.
        """
        tokens = signature(layout, image_token_id)
        best, shared = -1, 1
        for n, (other_tag, other, _) in enumerate(self._kept):
            if other_tag != tag:
                continue
            width = min(len(tokens) - 1, len(other))
            differs = np.flatnonzero(tokens[:width] != other[:width])
            length = int(differs[0]) if len(differs) else width
            for where in layout.picture_positions:
                if where[0] < length <= where[-1]:
                    length = int(where[0])
            if length > shared and 2 * length >= len(other):
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
