"""Token sequences with known positions: prepared pictures, one sequence, a padded batch, and pooling over
slices.

    batch = collate(layouts, pad_id=0, image_token_id=32000)
    d = pool_slices(hidden, batch.slices)            # (number of slices, hidden): method.md A1

Not covered: making layouts from samples (processor.py), running a model over them (backbone.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sugar.errors import InputError
from sugar.model.families import ROPE_3D, TYPE_IDS
from sugar.model.owner import owner

__all__ = ["Batch", "Layout", "PreparedImage", "Span", "collate", "image_key", "merge_pixels", "pool_slices"]

Span = tuple[np.ndarray, bool]
"""A slice in a sequence: the positions of its tokens, and whether it is a picture."""


def image_key(image: Image.Image) -> str:
    """A content hash of a picture, of its own for each owner: the key of what is kept of it."""
    digest = hashlib.blake2b(f"{image.mode}{image.size}".encode(), digest_size=16, key=owner().encode()[:64])
    digest.update(image.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """A picture ready for the vision tower.

    key: content hash. text: the placeholder text that stands for it in a prompt. tokens: how many image
    tokens it has.
    grid: (t, h, w) patches for the families with 3-D positions, else None. pixels: inputs of the vision
    tower, each with a leading dimension of pictures or crops; empty when the features are known already.
    source: the picture itself, in case the features are dropped before they are used.
    """

    key: str
    text: str
    tokens: int
    grid: Tensor | None = None
    pixels: dict[str, Tensor] = field(default_factory=dict)
    source: Image.Image | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """One sequence of T tokens.

    ids: T token ids. images: its pictures in order. slices: the span of each slice. answers: (start, stop) of
    the tokens that a training row learns, each including the token that ends the answer; empty for a prompt.
    """

    ids: list[int]
    images: list[PreparedImage]
    slices: list[Span]
    answers: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def picture_positions(self) -> list[np.ndarray]:
        """Per picture the positions of its tokens."""
        return [positions for positions, is_image in self.slices if is_image]


@dataclass(frozen=True, eq=False)
class Batch:
    """Layouts padded to one length.

    input_ids, attention_mask, image_mask: (B, T) long, long, bool. slices: per row the spans, padding counted
    in.
    images: all pictures, row by row. offsets: per row the padding on its left.
    """

    input_ids: Tensor
    attention_mask: Tensor
    image_mask: Tensor
    slices: list[list[Span]]
    images: list[PreparedImage]
    offsets: list[int]
    family: str = "llava"

    @property
    def padded(self) -> bool:
        return not bool(self.attention_mask.all())

    def inputs(self, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """Keyword arguments for a forward of a plain Transformers model, pixels included."""
        tensors = {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            **merge_pixels(self.images),
        }
        if self.family in TYPE_IDS:
            tensors[TYPE_IDS[self.family]] = self.image_mask.long()
        if self.family not in ROPE_3D:  # those work out their own
            tensors["position_ids"] = (self.attention_mask.cumsum(1) - 1).clamp(min=0)
        return {name: tensor.to(device) for name, tensor in tensors.items()}


def collate(
    layouts: Sequence[Layout], *, pad_id: int, image_token_id: int, family: str = "llava", side: str = "right"
) -> Batch:
    """Pad layouts to one batch: to the right for embeddings and training, to the left to continue several
    rows at once.
    """
    if side not in ("left", "right"):
        raise InputError(f"Padding goes to the left or the right, not {side!r}.")
    width = max(len(layout) for layout in layouts)
    ids = torch.full((len(layouts), width), pad_id)
    mask = torch.zeros((len(layouts), width), dtype=torch.long)
    slices, offsets = [], []
    for row, layout in enumerate(layouts):
        offset = width - len(layout) if side == "left" else 0
        ids[row, offset : offset + len(layout)] = torch.tensor(layout.ids)
        mask[row, offset : offset + len(layout)] = 1
        slices.append([(positions + offset, is_image) for positions, is_image in layout.slices])
        offsets.append(offset)
    image_mask = (ids == image_token_id) & mask.bool()
    images = [image for layout in layouts for image in layout.images]
    return Batch(ids, mask, image_mask, slices, images, offsets, family)


def merge_pixels(images: Sequence[PreparedImage]) -> dict[str, Tensor]:
    """The vision tower's inputs of several pictures as one batch.

    A varying number of crops is padded with zeros.
    """
    merged: dict[str, Tensor] = {}
    for name in images[0].pixels if images else ():
        tensors = [image.pixels[name] for image in images]
        if tensors[0].dim() >= 4 and len({t.shape[1:] for t in tensors}) > 1:  # (1, crops, ...)
            crops = max(t.shape[1] for t in tensors)
            tensors = [
                torch.cat([t, t.new_zeros(t.shape[0], crops - t.shape[1], *t.shape[2:])], 1) for t in tensors
            ]
        merged[name] = torch.cat(tensors)
    return merged


def pool_slices(hidden: Tensor, slices: Sequence[Sequence[Span]]) -> Tensor:
    """Hidden states of slices: the mean over a picture's tokens, the last token of a text (method.md A1).

    Differentiable.

    Args:
        hidden: (B, T, D), any float type.
        slices: per row the spans of its slices.
    Returns:
        (all slices, D), row by row, in hidden's type; the mean is taken in float32.
    """
    rows, columns, owners, weights = [], [], [], []
    count = 0
    for row, spans in enumerate(slices):
        for positions, is_image in spans:
            used = positions if is_image else positions[-1:]
            rows.append(np.full(len(used), row))
            columns.append(used)
            owners.append(np.full(len(used), count))
            weights.append(np.full(len(used), 1 / len(used), dtype=np.float32))
            count += 1
    if not count:
        return hidden.new_zeros(0, hidden.shape[-1])
    device = hidden.device
    index = [torch.as_tensor(np.concatenate(a), device=device) for a in (rows, columns, owners, weights)]
    picked = hidden[index[0], index[1]].float() * index[3][:, None]  # (used tokens, D)
    return torch.zeros(count, hidden.shape[-1], device=device).index_add(0, index[2], picked).to(hidden.dtype)
