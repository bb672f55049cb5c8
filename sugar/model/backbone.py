"""The one forward pass of every model family, which embedding, decoding, scoring and training call.

    backbone = Backbone(model, processor)
    layouts = [processor.embedding_layout(sample, backbone.prepare(sample.images))]
    done = backbone.forward(layouts)                     # no gradients, under the lock
    done.hidden, done.slices                             # (B, T, D); pool_slices(done.hidden, done.slices)
    backbone.logits(done.hidden[:, -1])                  # the LM head, only where it is wanted
    hidden = backbone.read(ids, positions, mask, features)  # training: plain tensors, gradients as set

README.md in this folder explains padding and masks.
Not covered: what follows the hidden states (the head, sampling, losses).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sugar.errors import InputError
from sugar.model import vision
from sugar.model.families import ROPE_3D
from sugar.model.layout import Layout, PreparedImage, Span
from sugar.model.lora import LoraStack
from sugar.model.processor import Processor
from sugar.model.vision import VisionCache, VisionFeatures, as_encoder_outputs

__all__ = ["Backbone", "Forward"]


@dataclass(frozen=True, eq=False)
class Forward:
    """What a forward pass returns.

    hidden: (B, T, D), the last layer's states; with a kept prefix, of the new tokens only. slices: per row
    the spans, in padded positions. offsets: per row the padding on its left. next_positions: (B,), the
    position of the token after each row. mask: (B, T) where rows were padded on the left, else None.
    """

    hidden: Tensor
    slices: list[list[Span]]
    offsets: list[int]
    next_positions: Tensor
    mask: Tensor | None


class Backbone:
    """A Transformers model with its vision features and adapters, behind one lock.

    model: `...ForConditionalGeneration` of a served family. processor: makes and pads layouts; `read` needs
    none.
    name: for messages.
    """

    def __init__(self, model: Any, processor: Processor | None = None, *, name: str = "This model") -> None:
        self.model = model
        self.processor: Any = processor
        self.name = name
        self.family: str = model.config.model_type
        self.text_config = model.config.get_text_config()
        self.vision = VisionCache()
        self.lora = LoraStack(model, self.vision.clear)
        self.lock = threading.RLock()

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def hidden_size(self) -> int:
        return int(self.text_config.hidden_size)

    @property
    def window(self) -> int | None:
        """Width of the local layers' sliding window, for the families that mix local and global layers."""
        return getattr(self.text_config, "sliding_window", None) if self.family == "gemma3" else None

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[None]:
        """Hold the model with one adapter active, or none, and without gradients.

        Passes inside belong together.
        """
        with self.lock, torch.inference_mode():
            self.lora.use(adapter)
            yield

    # -- pictures --------------------------------------------------------------------------------

    def prepare(self, images: Sequence[Image.Image]) -> list[PreparedImage]:
        """Placeholders of pictures, with pixels where the features are not known yet."""
        with self.lock:
            return [self.vision.prepare(self.processor, image) for image in images]

    def features(self, images: Sequence[PreparedImage], *, grad: bool = False) -> list[VisionFeatures]:
        """Per picture its features in the language model's width.

        grad: afresh, under the caller's gradient mode.
        """
        if not images:
            return []
        if grad:
            return vision.encode(self.model, images, self.family)
        with self.lock, torch.inference_mode():
            return self.vision.encode(self.model, self.processor, images)

    # -- the forward pass ------------------------------------------------------------------------

    def forward(self, layouts: Sequence[Layout], cache: Any = None, grad: bool = False) -> Forward:
        """Hidden states of layouts, in one batch.

        Args:
            layouts: B sequences, padded on the right, or on the left where a cache is given.
            cache: keys and values to fill, of all rows; or, for one row, those of its first tokens, which are
                not read again.
            grad: keep gradients and compute the vision features afresh.
        """
        batch = self.processor.collate(layouts, "right" if cache is None else "left")
        start = int(cache.get_seq_length()) if cache is not None else 0
        assert not start or len(layouts) == 1, "a kept prefix belongs to one row"
        with nullcontext() if grad else self._still():
            ids, image_mask = batch.input_ids.to(self.device), batch.image_mask.to(self.device)
            mask = batch.attention_mask.to(self.device) if batch.padded else None
            grids = [image.grid for image in batch.images if image.grid is not None]
            positions, following = self.positions(ids, image_mask, grids, mask)
            images = batch.images
            if start:
                where = layouts[0].picture_positions
                images = [image for image, at in zip(images, where, strict=True) if at[0] >= start]
            hidden = self.read(
                ids[:, start:],
                positions[..., start:],
                mask
                if cache is not None
                else None,  # right padding under causal attention touches nothing before it
                self.features(images, grad=grad),
                cache=cache,
                image_mask=image_mask,
            )
        return Forward(hidden, batch.slices, batch.offsets, following, mask if cache is not None else None)

    def read(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Any = None,
        features: Sequence[VisionFeatures | Tensor] = (),
        *,
        cache: Any = None,
        image_mask: Tensor | None = None,
    ) -> Tensor:
        """The last layer's hidden states of token ids, (B, T, D), under the caller's gradient mode and
        adapter.

        Args:
            ids: (B, T) long, with an image token for every row of `features`.
            positions: (B, T) long, or (3, B, T) for the families with 3-D positions.
            mask: None (causal), (B, past + T) long, or (B, 1, T, past + T) bool, True where attention may
                look.
            features: per picture, row by row.
            cache: keys and values of what came before; they grow.
            image_mask: (B, past + T) bool, which tokens are pictures.
        """
        if self.family in ROPE_3D and positions.dim() == 2:
            positions = positions.expand(3, -1, -1)
        extra: dict[str, Any] = as_encoder_outputs(features, self.family)
        if self.family == "gemma3" and image_mask is not None and bool(image_mask.any()):
            extra["token_type_ids"] = image_mask.long()
        return self.model.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            **extra,
        ).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., V) of (..., D) hidden states."""
        return self.model.get_output_embeddings()(hidden)

    def positions(
        self, ids: Tensor, image_mask: Tensor, grids: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Position ids (B, T), or (3, B, T) for the families with 3-D positions, and the next position per
        row (B,).
        """
        rows, width = ids.shape
        if self.family in ROPE_3D:
            grid = torch.cat(list(grids)).to(ids.device) if grids else None
            position_ids, delta = self.model.model.get_rope_index(
                ids, mm_token_type_ids=image_mask.long(), image_grid_thw=grid, attention_mask=mask
            )
            length = mask.sum(1) if mask is not None else torch.full((rows,), width, device=ids.device)
            return position_ids, length + delta.reshape(-1)
        if mask is None:
            position_ids = torch.arange(width, device=ids.device).expand(rows, -1)
            return position_ids, torch.full((rows,), width, device=ids.device)
        return (mask.cumsum(1) - 1).clamp(min=0), mask.sum(1)

    # -- bounds ----------------------------------------------------------------------------------

    def fitting(self, layout: Layout, more: int = 0) -> Layout:
        """The layout itself. Raises InputError when it, and `more` tokens after it, exceed what the model
        reads.
        """
        limit = getattr(self.text_config, "max_position_embeddings", None)
        if limit and len(layout) + more > limit:
            raise InputError(
                f"This is {len(layout) + more} tokens with {len(layout.images)} pictures; "
                f"{self.name} reads {limit}. Use less."
            )
        return layout

    @contextmanager
    def _still(self) -> Iterator[None]:
        with self.lock, torch.inference_mode():
            yield
