"""One object as pixels with transparency, drawn once for each look and size.

Not covered: where it stands in a picture (draw.py).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from sugar.scenes.kinds import DRAWERS
from sugar.scenes.palette import MODEL_SIZE, PALETTE, STAMP_SIDES, Inks, check
from sugar.scenes.pen import Pen
from sugar.scenes.world import PATTERNS


def _pattern_mask(pattern: str, side: int, pixels: float) -> Image.Image:
    """White where the pattern shows. `pixels`: the stamp's side at model size.

    Small stamps get coarser patterns.
    """
    y, x = np.mgrid[0:side, 0:side] / side
    if pattern == "striped":
        period, share = 0.288 if pixels >= 24 else 0.42, 0.42
        on = ((x + y - 1.0) / math.sqrt(2) / period + share / 2) % 1.0 < share
    else:
        period, radius = (0.25, 0.075) if pixels >= 24 else (0.3, 0.1)
        row = np.round((y - 0.5) / period)
        dx = (x - 0.5) / period - 0.5 * (row % 2)
        on = np.hypot((dx - np.round(dx)) * period, y - 0.5 - row * period) < radius
    return Image.fromarray(on.astype(np.uint8) * 255)


def _render_stamp(kind: str, color: str, pattern: str, role: str, size: int) -> np.ndarray:
    """One object as premultiplied float32 RGBA (side, side, 4): colour in 0..255, alpha in 0..1."""
    check("kind", kind, DRAWERS)
    check("color", color, PALETTE)
    check("pattern", pattern, PATTERNS)
    check("size", role, STAMP_SIDES)
    side = max(4, round(STAMP_SIDES[role] * size / MODEL_SIZE))
    factor = 8 if side < 48 else 4
    big = side * factor
    edge = max(0.034 * big, 0.8 * factor * min(1.0, side / 16))
    inks, pen = Inks.of(color), Pen(big, edge * 1.5)
    DRAWERS[kind](pen)
    body = pen.masks["body"]
    # A blur cut at one standard deviation grows a shape by the blur's radius and rounds its corners.
    shape = body.filter(ImageFilter.GaussianBlur(edge)).point(lambda v: 255 if v > 41 else 0)
    shape.paste(255, mask=body)
    image = Image.new("RGB", (big, big), inks.outline)
    image.paste(inks.main, mask=body)
    layers = [("inner", inks.inner)] if role == "holding" else []
    if pattern != "plain":
        mask = _pattern_mask(pattern, big, STAMP_SIDES[role])
        image.paste(inks.pattern, mask=Image.fromarray(np.minimum(np.asarray(mask), np.asarray(body))))
    for name, ink in [*layers, ("light", inks.light), ("dark", inks.dark)]:
        image.paste(ink, mask=pen.masks[name])
    alpha = np.asarray(shape, np.float32)[..., None] / 255
    pixels = np.concatenate([np.asarray(image, np.float32) * alpha, alpha], axis=2)
    small = pixels.reshape(side, factor, side, factor, 4).mean(axis=(1, 3), dtype=np.float32)
    small.setflags(write=False)
    return small


_stamp_for_model = lru_cache(maxsize=8192)(_render_stamp)  # about 10 KB each
_stamp_for_people = lru_cache(maxsize=192)(_render_stamp)  # about 200 KB each at 384 pixels


def stamp_of(kind: str, color: str, pattern: str, role: str, size: int) -> np.ndarray:
    return (_stamp_for_model if size <= 128 else _stamp_for_people)(kind, color, pattern, role, size)
