"""Pixels of the drawn world: a scene graph in, a picture out.

    pixels = draw(scene)  # (96, 96, 3) uint8: what the model sees; a fraction of a millisecond once warm
    image = picture(scene, size=384)   # the same composition, drawn anew at that size, for people

Equal scenes give equal pixels; `scene.seed` picks one of four decorations of the background and nothing else.
Not covered: which scenes exist (world.py) and what is said of them (captions.py).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from sugar.scenes.backgrounds import background_for_model, background_for_people
from sugar.scenes.kinds import HOLDS_AT
from sugar.scenes.palette import MODEL_SIZE, VARIANTS
from sugar.scenes.stamps import stamp_of
from sugar.scenes.world import GRID, Scene


def placed_stamps(scene: Scene, size: int) -> list[tuple[np.ndarray, int, int]]:
    """Stamps with their top left corners (x, y), in the order they are painted: what is held comes last."""
    objects, cell = scene.objects, size / GRID
    holding = {t.inside for t in objects if t.inside is not None}
    placed: dict[int, tuple[np.ndarray, int, int]] = {}

    def place(i: int) -> tuple[np.ndarray, int, int]:
        if i in placed:
            return placed[i]
        t = objects[i]
        role = "held" if t.inside is not None else "holding" if i in holding else t.size
        stamp = stamp_of(t.kind, t.color, t.pattern, role, size)
        side = stamp.shape[0]
        if t.inside is not None:
            outer, left, top = place(t.inside)
            span, (ox, oy) = outer.shape[0], HOLDS_AT.get(objects[t.inside].kind, (0.0, 0.0))
            x, y = left + span * (0.5 + ox) - side / 2, top + span * (0.5 + oy) - side / 2
        else:
            x, y = (t.col + 0.5 + t.dx) * cell - side / 2, (t.row + 0.5 + t.dy) * cell - side / 2
        if t.on is not None:
            base, left, top = place(t.on)
            x = left + base.shape[0] / 2 - side / 2
            surface = int(np.argmax(base[:, base.shape[0] // 2, 3] > 0.5))
            foot = side - int(np.argmax(stamp[::-1, :, 3].max(axis=1) > 0.5))
            y = top + surface - foot + size / MODEL_SIZE
        placed[i] = stamp, min(max(round(x), 0), size - side), min(max(round(y), 0), size - side)
        return placed[i]

    order = sorted(range(len(objects)), key=lambda i: (objects[i].inside is not None, i not in holding, i))
    return [place(i) for i in order]


def draw(scene: Scene, size: int = MODEL_SIZE) -> np.ndarray:
    """The scene as a fresh uint8 array (size, size, 3), RGB.

    Raises InputError for a kind, colour, pattern, size, place, time or weather that the world does not have,
    and for a picture of fewer than 32 or more than 2048 pixels a side.
    """
    background = background_for_model if size <= 128 else background_for_people
    canvas = background(scene.place, scene.time, scene.weather, scene.seed % VARIANTS, size).copy()
    for stamp, x, y in placed_stamps(scene, size):
        side = stamp.shape[0]
        patch = canvas[y : y + side, x : x + side]
        patch *= 1.0 - stamp[..., 3:]
        patch += stamp[..., :3]
    return (canvas + 0.5).astype(np.uint8)


def picture(scene: Scene, size: int = 384) -> Image.Image:
    """The scene as an RGB image of size x size pixels, for people: drawn at that size, not enlarged."""
    return Image.fromarray(draw(scene, size))
