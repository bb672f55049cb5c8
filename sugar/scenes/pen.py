"""A pen that draws silhouettes in a unit square."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from sugar.scenes.palette import Box, Point


class Pen:
    """Draws in a unit square (x right, y down) onto four masks: body, dark and light accents, inner (of a
    container).
    """

    def __init__(self, side: int, margin: float) -> None:
        self.side, self.margin, self.scale = side, margin, side - 2 * margin
        self.masks = {name: Image.new("L", (side, side)) for name in ("body", "dark", "light", "inner")}
        self._draws = {name: ImageDraw.Draw(mask) for name, mask in self.masks.items()}

    def _at(self, points: Sequence[Point]) -> list[Point]:
        return [(self.margin + x * self.scale, self.margin + y * self.scale) for x, y in points]

    def _on(self, ink: str) -> tuple[ImageDraw.ImageDraw, int]:
        return (self._draws["body"], 0) if ink == "cut" else (self._draws[ink], 255)

    def poly(self, *points: Point, ink: str = "body") -> None:
        """A filled polygon."""
        draw, fill = self._on(ink)
        draw.polygon(self._at(points), fill=fill)

    def oval(self, box: Box, ink: str = "body") -> None:
        """A filled ellipse in a box (x0, y0, x1, y1)."""
        draw, fill = self._on(ink)
        draw.ellipse(self._at([box[:2], box[2:]]), fill=fill)

    def disc(self, x: float, y: float, r: float, ink: str = "body") -> None:
        """A filled circle."""
        self.oval((x - r, y - r, x + r, y + r), ink)

    def rect(self, box: Box, r: float = 0.0, ink: str = "body") -> None:
        """A filled rectangle with corners of radius r."""
        draw, fill = self._on(ink)
        draw.rounded_rectangle(self._at([box[:2], box[2:]]), r * self.scale, fill=fill)

    def slice(self, box: Box, start: float, end: float, ink: str = "body") -> None:
        """A sector of an ellipse, degrees clockwise from the right."""
        draw, fill = self._on(ink)
        draw.pieslice(self._at([box[:2], box[2:]]), start, end, fill=fill)

    def line(self, *points: Point, w: float, ink: str = "body") -> None:
        """A polyline of width w with round ends."""
        draw, fill = self._on(ink)
        draw.line(self._at(points), fill=fill, width=max(1, round(w * self.scale)), joint="curve")
        for x, y in points:
            self.disc(x, y, w / 2, ink)


def arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, n: int = 24) -> list[Point]:
    angles = [math.radians(start + (end - start) * i / n) for i in range(n + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]
