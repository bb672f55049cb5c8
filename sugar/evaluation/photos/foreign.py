"""Pictures from outside: does the tower tell photos from noise, rendered text, windows, flat and drawn
pictures?

figures, threshold = foreign(model, asked)     # AUROC per kind; the score that 99 % of the photos reach
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sugar.core import Sugar
from sugar.errors import ModelError
from sugar.evaluation.figures import Figure
from sugar.evaluation.photos.asked import Asked
from sugar.model.cells import familiarity
from sugar.scenes import sample_scene
from sugar.scenes.draw import draw

__all__ = ["FOREIGN", "area", "foreign"]

SIDE = 224
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "nobody", "reads"]
COUNT = 100
KEPT = 0.01
"""Share of photos that the threshold may call foreign."""


def noise(rng: np.random.Generator) -> Image.Image:
    """Independent random pixels."""
    return Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def smooth(rng: np.random.Generator) -> Image.Image:
    """Random colours that flow into each other."""
    return Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((SIDE, SIDE))


def flat(rng: np.random.Generator) -> Image.Image:
    """One colour."""
    return Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in rng.integers(0, 256, 3)))


def text(rng: np.random.Generator) -> Image.Image:
    """A page of words, dark on light or light on dark."""
    paper, ink = ("white", "black") if rng.random() < 0.7 else ("#191920", "#dcdcdc")
    page = Image.new("RGB", (SIDE, SIDE), paper)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=int(rng.integers(9, 16)))
    for y in range(6, SIDE - 12, int(rng.integers(12, 22))):
        pen.text((6, y), " ".join(rng.choice(WORDS, 8)), fill=ink, font=font)
    return page


def window(rng: np.random.Generator) -> Image.Image:
    """A program's window: a bar, and boxes with words."""
    page = Image.new("RGB", (SIDE, SIDE), "#f0f0f5")
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, SIDE, 16), fill="#3c5aa0")
    for _ in range(int(rng.integers(4, 9))):
        x, y = (int(v) for v in rng.integers((0, 18), (150, 190)))
        size = (x, y, x + int(rng.integers(30, 90)), y + int(rng.integers(10, 40)))
        pen.rectangle(size, fill=tuple(int(v) for v in rng.integers(150, 255, 3)), outline="#5a5a5a")
        pen.text((x + 2, y + 1), " ".join(rng.choice(WORDS, 3)), fill="black", font=ImageFont.load_default(9))
    return page


def scene(rng: np.random.Generator) -> Image.Image:
    """A scene of the drawn world."""
    return Image.fromarray(draw(sample_scene(rng)))


FOREIGN: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    f.__name__: f for f in (noise, smooth, flat, text, window, scene)
}


def area(higher: Sequence[float] | np.ndarray, lower: Sequence[float] | np.ndarray) -> float:
    """Area under the ROC curve: the share of pairs in which the first score is higher; ties count half.

    >>> area([0.9, 0.4], [0.4, 0.1])
    0.875
    """
    a, b = np.asarray(higher)[:, None], np.asarray(lower)[None, :]
    return float((a > b).mean() + 0.5 * (a == b).mean())


def foreign(model: Sugar, asked: Asked) -> tuple[dict[str, Figure], float]:
    """AUROC of photos against each kind of foreign picture, their mean, and a threshold for the profile."""
    rng = asked.rng("foreign")
    photos = _scores(model, asked.photos)
    figures = {}
    for name, make in FOREIGN.items():
        scores = _scores(model, [make(rng) for _ in range(COUNT)])
        figures[f"photo_unsure_{name}"] = Figure(area(photos, scores), 0.5)
    mean = float(np.mean([f.value for f in figures.values()]))
    threshold = float(np.quantile(photos, KEPT))
    figures["photo_unsure"] = Figure(mean, 0.5)
    if model.profile.unsure is not None:
        share = float((photos < model.profile.unsure).mean())
        figures["photo_unsure_wrongly"] = Figure(share)
    return figures, threshold


def _scores(model: Sugar, pictures: Sequence[Image.Image]) -> np.ndarray:
    scores = familiarity(model.model, model.processor, pictures)
    if scores is None:
        raise ModelError(f"{model.name} has no tower that scores pictures. Measure sugar-photo.")
    return scores
