"""The backgrounds by day and in clear weather: a canvas in unit coordinates, and one painter for each
place.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from sugar.scenes.palette import RGB, Box, Point, mix


class Canvas:
    """A supersampled RGB picture in unit coordinates, on which the backgrounds are painted."""

    def __init__(self, side: int) -> None:
        self.side, self.image = side, Image.new("RGB", (side, side))
        self.draw = ImageDraw.Draw(self.image)
        self.heaven: np.ndarray = np.zeros(
            (side, side, 3), np.uint8
        )  # the bare sky, to tell what still shows of it
        self.lights: list[Box] = []  # windows, of which some are lit at night

    def sky(self, top: RGB, bottom: RGB) -> None:
        """A vertical gradient over the whole picture."""
        t = np.linspace(0, 1, self.side)[:, None, None]
        rows = np.asarray(top) * (1 - t) + np.asarray(bottom) * t
        self.heaven = np.broadcast_to(np.round(rows).astype(np.uint8), (self.side, self.side, 3)).copy()
        self.image.paste(Image.fromarray(self.heaven))

    def poly(self, fill: RGB, *points: Point) -> None:
        self.draw.polygon([(x * self.side, y * self.side) for x, y in points], fill=fill)

    def rect(self, fill: RGB, x0: float, y0: float, x1: float, y1: float) -> None:
        self.draw.rectangle(
            [x0 * self.side, y0 * self.side, x1 * self.side - 1, y1 * self.side - 1], fill=fill
        )

    def oval(self, fill: RGB, x: float, y: float, rx: float, ry: float) -> None:
        self.draw.ellipse(
            [(x - rx) * self.side, (y - ry) * self.side, (x + rx) * self.side, (y + ry) * self.side],
            fill=fill,
        )

    def line(self, fill: RGB, w: float, *points: Point) -> None:
        self.draw.line(
            [(x * self.side, y * self.side) for x, y in points],
            fill=fill,
            width=max(1, round(w * self.side)),
            joint="curve",
        )

    def wave(self, fill: RGB, y: float, height: float, length: float, phase: float) -> None:
        """Everything below a sine curve."""
        xs = [i / 48 for i in range(49)]
        self.poly(
            fill,
            *[(x, y + height * math.sin(2 * math.pi * (x / length + phase))) for x in xs],
            (1.0, 1.01),
            (0.0, 1.01),
        )


def _beach(c: Canvas, rng: np.random.Generator) -> None:
    c.sky((196, 222, 234), (222, 234, 234))
    c.rect((138, 182, 200), 0, 0.3, 1, 0.75)
    for y in (0.36, 0.43, 0.5):
        for x in rng.uniform(0, 1, 4):
            c.line((168, 204, 216), 0.012, (x - 0.07, y), (x + 0.07, y))
    phase = rng.uniform()
    c.wave((238, 242, 238), 0.58, 0.025, 0.9, phase)
    c.wave((226, 210, 172), 0.61, 0.025, 0.9, phase)
    for x, y in rng.uniform((0, 0.68), (1, 1), (26, 2)):
        c.oval((206, 188, 150), x, y, 0.008, 0.006)


def _forest(c: Canvas, rng: np.random.Generator) -> None:
    c.sky((196, 214, 188), (178, 200, 168))
    for x in np.arange(0.04, 1.0, 0.17) + rng.uniform(-0.03, 0.03, 6):
        c.rect((170, 178, 150), x, 0, x + 0.035, 0.8)
    c.rect((148, 172, 136), 0, 0.78, 1, 1)
    for x in np.arange(-0.02, 1.1, 0.265) + rng.uniform(-0.03, 0.03, 5):
        c.rect((150, 136, 116), x, 0, x + 0.075, 0.9)
        c.line((136, 122, 104), 0.01, (x + 0.05, 0.15), (x + 0.05, 0.8))
    for x, r in zip(np.arange(0, 1.1, 0.125), rng.uniform(0.08, 0.12, 9), strict=True):
        c.oval((140, 168, 128), x, 0.0, 0.1, r)
    c.wave((134, 160, 122), 0.9, 0.015, 0.3, rng.uniform())


def _city(c: Canvas, rng: np.random.Generator) -> None:
    c.sky((208, 218, 230), (230, 226, 222))
    for shade, low, width in (((190, 198, 212), 0.14, 0.13), ((162, 170, 188), 0.34, 0.17)):
        for x in np.arange(-0.03, 1, width):
            top = low + rng.uniform(0, 0.26)
            c.rect(shade, x, top, x + width * 0.88, 0.84)
            for wy in np.arange(top + 0.04, 0.78, 0.075):
                for wx in (0.2, 0.52):
                    window = (x + width * wx, wy, x + width * (wx + 0.18), wy + 0.03)
                    c.rect(mix(shade, (250, 240, 205), 0.42), *window)
                    c.lights.append(window)
    c.rect((182, 180, 178), 0, 0.84, 1, 0.87)
    c.rect((148, 148, 154), 0, 0.87, 1, 1)
    for x in np.arange(rng.uniform(-0.1, 0), 1, 0.2):
        c.rect((208, 208, 204), x, 0.93, x + 0.1, 0.945)


def _desert(c: Canvas, rng: np.random.Generator) -> None:
    c.sky((238, 222, 200), (244, 228, 200))
    for x, w, top in ((rng.uniform(0.02, 0.2), 0.24, 0.24), (rng.uniform(0.6, 0.75), 0.3, 0.3)):
        c.poly((212, 176, 150), (x, 0.62), (x + 0.04, top), (x + w - 0.04, top), (x + w, 0.62))
        c.rect((200, 164, 140), x + 0.035, top + 0.07, x + w - 0.035, top + 0.1)
    phase = rng.uniform()
    c.wave((230, 200, 158), 0.52, 0.04, 1.1, phase)
    c.wave((220, 186, 142), 0.68, 0.05, 0.9, phase + 0.3)
    c.wave((210, 174, 130), 0.86, 0.04, 1.2, phase + 0.7)


def _meadow(c: Canvas, rng: np.random.Generator) -> None:
    c.sky((200, 224, 238), (230, 238, 236))
    phase = rng.uniform()
    c.wave((192, 214, 168), 0.36, 0.05, 0.9, phase)
    c.wave((178, 206, 150), 0.52, 0.05, 1.2, phase + 0.4)
    c.wave((164, 196, 136), 0.74, 0.03, 1.0, phase + 0.1)
    for x, y in rng.uniform((0, 0.5), (1, 0.98), (34, 2)):
        c.line((140, 176, 114), 0.008, (x - 0.012, y - 0.03), (x, y), (x + 0.012, y - 0.03))
    for x, y in rng.uniform((0, 0.45), (1, 1), (22, 2)):
        c.oval((238, 232, 206), x, y, 0.008, 0.008)


def _lake(c: Canvas, rng: np.random.Generator) -> None:
    c.sky((204, 220, 230), (224, 232, 230))
    phase = rng.uniform()
    c.wave((172, 192, 176), 0.2, 0.05, 0.7, phase)
    c.wave((154, 180, 154), 0.27, 0.025, 0.5, phase + 0.3)
    c.rect((174, 194, 150), 0, 0.3, 1, 1)
    c.oval((196, 184, 152), 0.5, 0.6, 0.56, 0.295)
    c.oval((146, 184, 202), 0.5, 0.6, 0.54, 0.275)
    for x, y in rng.uniform((0.15, 0.42), (0.85, 0.8), (12, 2)):
        c.line((176, 206, 218), 0.01, (x - 0.05, y), (x + 0.05, y))
    for x in [*rng.uniform(0.0, 0.16, 5), *rng.uniform(0.84, 1.0, 5)]:
        c.line((124, 146, 104), 0.012, (x, 1.0), (x + rng.uniform(-0.02, 0.02), rng.uniform(0.78, 0.86)))


def _mountain(c: Canvas, rng: np.random.Generator) -> None:
    c.sky((204, 216, 232), (232, 232, 234))
    shift = rng.uniform(-0.06, 0.06)
    peaks = (
        (0.2, 0.2, 0.42, (184, 190, 204)),
        (0.84, 0.16, 0.44, (180, 186, 202)),
        (0.52, 0.06, 0.5, (158, 166, 186)),
    )
    for x, top, half, shade in peaks:
        x, base = x + shift, 0.88
        slope = half / (base - top)
        c.poly(shade, (x, top), (x + half, base), (x - half, base))
        c.poly(mix(shade, (0, 0, 0), 0.08), (x, top), (x + half, base), (x + 0.06, base))
        cap, teeth = top + 0.17, (0.6, 0.25, -0.1, -0.45)
        snow = [(x + slope * (cap - top) * t, cap + (0.0, 0.05)[i % 2] - 0.03) for i, t in enumerate(teeth)]
        c.poly(
            (240, 242, 246),
            (x, top),
            (x + slope * (cap - top - 0.03), cap - 0.03),
            *snow,
            (x - slope * (cap - top - 0.03), cap - 0.03),
        )
    c.wave((150, 164, 146), 0.78, 0.03, 0.8, rng.uniform())
    c.wave((136, 150, 134), 0.89, 0.02, 0.6, rng.uniform())


WINDOW = (0.56, 0.07, 0.92, 0.42)  # the room's: the only part of it that shows time and weather


def _room(c: Canvas, rng: np.random.Generator) -> None:
    c.sky((232, 220, 206), (228, 214, 198))
    for x in np.arange(rng.uniform(0, 0.1), 1, 0.1):
        c.rect((224, 210, 194), x, 0, x + 0.03, 0.66)
    c.rect((190, 158, 128), 0, 0.7, 1, 1)
    for i, y in enumerate((0.78, 0.87)):
        c.line((174, 142, 114), 0.01, (0, y), (1, y))
        for x in np.arange(0.1 + 0.15 * i, 1, 0.3):
            c.line((174, 142, 114), 0.01, (x, y), (x, y + 0.1))
    c.rect((244, 238, 228), 0, 0.66, 1, 0.7)
    c.oval((198, 176, 168), 0.42 + rng.uniform(-0.1, 0.1), 0.88, 0.34, 0.07)
    x0, y0, x1, y1 = WINDOW
    c.rect((246, 242, 234), x0 - 0.03, y0 - 0.03, x1 + 0.03, y1 + 0.03)


PLACE_PAINTERS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "desert": _desert,
    "meadow": _meadow,
    "lake": _lake,
    "mountain": _mountain,
    "room": _room,
}
