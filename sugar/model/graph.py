"""One decoding step with fixed shapes over a conversation's own buffers, captured as a CUDA graph.

Not covered: when to use it (decode.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from sugar.model.backbone import Backbone
from sugar.model.cache import GrowingLayer, KeptCache

__all__ = ["Graph"]


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
