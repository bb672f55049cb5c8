"""The trained parts over the frozen tower: projector, decoder and head, in the layout of LLaVA.

    net = Network(material, words, DecoderSizes())
    features = net.project(net.read_tower(x))      # (N, 17, F) cached features -> (N, 17, width)
    hidden = net(packed, features)                 # (B, T, width)

The tower's three readings are brought to like scales before the projector; `export.py` folds the scales into
it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sugar.model.adapters import EmbeddingHead
from sugar.model.efficientnet import EfficientNetLite
from sugar.model.photo import DecoderSizes, build_decoder
from sugar.training.photos.dual import Dual
from sugar.training.photos.packed import Packed

__all__ = ["FusedCrossEntropy", "Network"]

ALIGNED_SCALE, KINDS_SCALE = 16.0, 20.0
LAST_NORM = 0.125
"""Undoes the norm of the words, 8, for the tied LM head."""


class Network(nn.Module):
    """Projector, decoder and head. The tower is kept beside it, frozen and unregistered."""

    def __init__(self, tower: EfficientNetLite, dual: Dual, words: Tensor, config: DecoderSizes) -> None:
        super().__init__()
        self.decoder = build_decoder(config, len(words))
        self.decoder.embed_tokens.weight.data.copy_(words)
        nn.init.constant_(self.decoder.norm.weight, LAST_NORM)
        size, width = tower.config.hidden_size, config.width
        self.first, self.second = nn.Linear(size, width), nn.Linear(width, width)
        nn.init.normal_(self.first.weight, std=0.7 / size**0.5)
        nn.init.normal_(self.second.weight, std=1 / width**0.5)
        nn.init.zeros_(self.first.bias)
        nn.init.zeros_(self.second.bias)
        self.head = EmbeddingHead(width, config.head_hidden, tower.config.aligned_size)
        self._tower = [tower]
        c = tower.config
        shift = torch.cat([dual.mean, torch.zeros(c.aligned_size + c.class_size)])
        scales = [1 / dual.spread, torch.full((c.aligned_size,), ALIGNED_SCALE)]
        self.register_buffer("shift", shift)
        self.register_buffer("scale", torch.cat([*scales, torch.full((c.class_size,), KINDS_SCALE)]))

    shift: Tensor
    scale: Tensor

    @property
    def words(self) -> Tensor:
        """(vocabulary, width): word embeddings and LM head."""
        return self.decoder.embed_tokens.weight

    @torch.no_grad()
    def read_tower(self, x: Tensor) -> Tensor:
        """Cached features (N, tokens, F) as the tower's tokens (N, tokens, hidden)."""
        return self._tower[0].read(x.float())

    def project(self, tokens: Tensor) -> Tensor:
        """(N, tokens, hidden) to (N, tokens, width)."""
        return self.second(F.gelu(self.first((tokens - self.shift) * self.scale)))

    def forward(self, packed: Packed, features: Tensor | None, image: int) -> Tensor:
        """Hidden states (B, T, width). features: (N, tokens, width) of the step's pictures, or None without
        any.
        """
        embeds = self.decoder.embed_tokens(packed.ids)
        if features is not None and packed.pictures:
            places = (packed.ids == image)[..., None]
            embeds = embeds.masked_scatter(places, features[packed.pictures].flatten(0, 1))
        return self.decoder(
            inputs_embeds=embeds, attention_mask=packed.mask, position_ids=packed.positions
        ).last_hidden_state


class FusedCrossEntropy(torch.autograd.Function):
    """sum_i w_i CE(h_i E^T, y_i), a few rows at a time, so that logits never leave the processor's cache.

    Source: the gradient is computed in the forward pass, as in Liger-Kernel's fused linear cross-entropy.
    """

    ROWS = 192

    @staticmethod
    def forward(ctx, hidden, embeddings, wanted, weights):  # type: ignore[no-untyped-def]
        """hidden: (N, W). embeddings: (V, W). wanted: (N,) long. weights: (N,). Returns a scalar."""
        d_hidden, d_embeddings = torch.empty_like(hidden), torch.zeros_like(embeddings)
        loss = hidden.new_zeros(())
        for start in range(0, len(hidden), FusedCrossEntropy.ROWS):
            part = slice(start, start + FusedCrossEntropy.ROWS)
            x, y, w = hidden[part], wanted[part], weights[part]
            logits = x @ embeddings.T
            logits -= logits.max(1, keepdim=True)[0]
            each = torch.arange(len(x))
            right = logits[each, y].clone()
            logits.exp_()
            total = logits.sum(1)
            loss = loss + ((total.log() - right) * w).sum()
            logits *= (w / total)[:, None]
            logits[each, y] -= w
            d_hidden[part] = logits @ embeddings
            d_embeddings.addmm_(logits.T, x)
        ctx.save_for_backward(d_hidden, d_embeddings)
        return loss

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        """The stored gradients, scaled."""
        d_hidden, d_embeddings = ctx.saved_tensors
        return d_hidden * gradient, d_embeddings * gradient, None, None
