"""What a convolutional tower says of a picture before any words: is it like a photo, and which cell fits a
text?

    familiarity(model.model, model.processor, [picture])             # (1,) scores, see `Profile.unsure`
    heat(model.model, model.processor, picture, query_embedding)     # (7, 7) cosines

Both need a tower that keeps cells (`EfficientNetLite`). Towers of the hub give None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from sugar.model.processor import Processor

BATCH = 32


def has_cells(model: Any) -> bool:
    """Can the tower of this Transformers model be asked for the cells of a picture?"""
    return hasattr(getattr(getattr(model, "model", None), "vision_tower", None), "cells")


def _pixels(model: Any, processor: Processor, pictures: Sequence[Image.Image]) -> torch.Tensor:
    prepared = [processor.prepare_image(picture, "-").pixels["pixel_values"] for picture in pictures]
    return torch.cat(prepared).to(model.device, model.dtype)


@torch.inference_mode()
def familiarity(model: Any, processor: Processor, pictures: Sequence[Image.Image]) -> np.ndarray | None:
    """One score a picture, higher for what looks like the photos of training.

    Args:
        model: a LLaVA of Transformers. processor: its processor. pictures: PIL pictures, in RGB.
    Returns:
        (N,) float32, or None for a tower that has no such score.
    """
    if not has_cells(model):
        return None
    parts = [
        model.model.vision_tower.familiarity(_pixels(model, processor, pictures[start : start + BATCH]))
        for start in range(0, len(pictures), BATCH)
    ]
    return torch.cat(parts).float().cpu().numpy() if parts else np.zeros(0, np.float32)


@torch.inference_mode()
def heat(model: Any, processor: Processor, picture: Image.Image, query: np.ndarray) -> np.ndarray | None:
    """How well each cell of a picture fits a query.

    A cell is read by the tower's aligned network, which was trained into the space of the embeddings.

    Args:
        model: a LLaVA of Transformers. processor: its processor. picture: in RGB. query: (D,) the embedding
        of a text.
    Returns:
        (rows, columns) cosines, or None for a tower without cells.
    """
    if not has_cells(model):
        return None
    tower = model.model.vision_tower
    cells = tower.cells(_pixels(model, processor, [picture]))[0]  # (features, rows, columns)
    start, size = tower.config.features, tower.config.aligned_size
    aligned = tower.read(cells.flatten(1).mT)[:, start : start + size].float()  # (cells, D)
    cosines = F.normalize(aligned, dim=-1) @ torch.from_numpy(query).to(aligned)
    return cosines.view(cells.shape[1:]).cpu().numpy()
