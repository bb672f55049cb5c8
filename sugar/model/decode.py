"""Prefill, one decoding step at a time, several continuations at once, and sampling.

    state = prefill(backbone, layout, cache)              # costs only what the cache has not seen
    token = pick(state.logits, temperature=0, ...)
    state.step(token)                                     # one token further
    continuations(state, rows)                            # logits of several continuations of one prefix

A loop of our own instead of `model.generate` and a thread: errors need no forwarding, a stop takes effect at
the next token, and the cache can be kept, cut and reused. Greedy output equals `generate`'s. Not covered:
beam search, penalties, assisted decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sugar.model.backbone import Backbone
from sugar.model.cache import KeptCache, signature
from sugar.model.graph import Graph
from sugar.model.layout import Layout

__all__ = ["DecodingState", "continuations", "pick", "prefill"]


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
        cache = KeptCache(len(layout) + room)
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
