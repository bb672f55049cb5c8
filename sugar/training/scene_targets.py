"""The drawn world's own targets: pixels, what stands in each cell, the words for it, and classifiers that
read it.

    pixels_of(scenes, image_processor, 96); scene_labels(scenes); scene_words(scenes, tokens)

Not covered: the losses of a step (objective.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sugar.scenes.captions import CELLS
from sugar.scenes.draw import draw
from sugar.scenes.world import COLORS, GRID, KINDS, PATTERNS, PLACES, SIZES, TIMES, WEATHERS, Scene
from sugar.training.rows import Tokens

OBJECT_CLASSES = (
    len(KINDS) + 1,
    len(COLORS) + 1,
    len(PATTERNS) + 1,
    len(SIZES) + 1,
)  # the last of each: nothing there
SETTING_CLASSES = (len(PLACES), len(TIMES), len(WEATHERS))


def pixels_of(scenes: Sequence[Scene], image_processor: Any, side: int) -> Tensor:
    """(N, 3, side, side): the scenes as the checkpoint's own image processor prepares them. Half of them, by
    their seed, are drawn a third larger and come down through the processor, as the pictures that people
    bring do."""
    pictures = [Image.fromarray(draw(s, side * 4 // 3 if s.seed & 4 else side)) for s in scenes]
    return image_processor(pictures, return_tensors="pt")["pixel_values"]


def scene_labels(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    """What stands in each cell, (N, 9, 8): kind, colour, pattern, size of the object and of one inside
    it; and the setting, (N, 3)."""
    empty = [c - 1 for c in OBJECT_CLASSES]
    objects = np.tile(np.array(empty * 2), (len(scenes), GRID * GRID, 1))
    setting = np.array(
        [(PLACES.index(s.place), TIMES.index(s.time), WEATHERS.index(s.weather)) for s in scenes]
    ).reshape(-1, 3)
    for n, scene in enumerate(scenes):
        for t in scene.objects:
            at = 4 if t.inside is not None else 0
            objects[n, t.row * GRID + t.col, at : at + 4] = (
                KINDS.index(t.kind),
                COLORS.index(t.color),
                PATTERNS.index(t.pattern),
                SIZES.index(t.size),
            )
    return torch.from_numpy(objects), torch.from_numpy(setting)


def scene_words(scenes: Sequence[Scene], tokens: Tokens) -> tuple[Tensor, Tensor]:
    """The words that name what a cell shows, for the `token_word_alignment` term: (W, 3) of (picture,
    cell, token id) and the weight of each, (W,)."""
    rows, weights = [], []
    for n, scene in enumerate(scenes):
        for t in scene.objects:
            words = [
                (t.kind, 0.3),
                (t.color, 0.3),
                (t.pattern, 0.1),
                (t.size, 0.1),
                (CELLS[t.row][t.col], 0.2),
            ]
            for text, weight in words:
                ids = tokens.encode(text)
                rows += [(n, t.row * GRID + t.col, i) for i in ids]
                weights += [weight / len(ids)] * len(ids)
    return torch.tensor(rows), torch.tensor(weights)


class DenseHead(nn.Module):
    """Throw-away classifiers of the `dense` term: what stands in a token's cell, and the setting from
    the mean token."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.objects = nn.Linear(hidden, 2 * sum(OBJECT_CLASSES))
        self.setting = nn.Linear(hidden, sum(SETTING_CLASSES))

    def forward(self, tokens: Tensor, objects: Tensor, setting: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """tokens (N, P, D) of a square grid; labels of `scene_labels`.

        Returns the mean loss and (right, asked) per attribute.
        """
        side = int(tokens.shape[1] ** 0.5)
        axis = torch.arange(side, device=tokens.device) * GRID // side
        cell = (axis[:, None] * GRID + axis).reshape(-1)  # (P,) the cell each token lies in
        h = self.norm(tokens)
        loss, right = h.new_zeros(()), {}
        pieces = self.objects(h).split(OBJECT_CLASSES * 2, dim=-1)
        for j, (logits, classes) in enumerate(zip(pieces, OBJECT_CLASSES * 2, strict=True)):
            wanted = objects[:, cell, j]  # (N, P)
            weight = torch.ones(classes, device=h.device)
            weight[-1] = 0.15
            loss = loss + F.cross_entropy(logits.reshape(-1, classes), wanted.reshape(-1), weight=weight) * (
                3.0 if j % 4 == 0 else 1.0
            )
            there = wanted != classes - 1
            name = ("kind", "color", "pattern", "size")[j % 4] + (" inside" if j >= 4 else "")
            right[f"see {name}"] = torch.stack([(logits.argmax(-1) == wanted)[there].sum(), there.sum()])
        for j, logits in enumerate(self.setting(h.mean(1)).split(SETTING_CLASSES, dim=-1)):
            loss = loss + 0.5 * F.cross_entropy(logits, setting[:, j])
        return loss / 12, right
