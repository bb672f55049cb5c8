"""Pixels of the drawn world: a scene graph in, a picture out.

    pixels = draw(scene)  # (96, 96, 3) uint8: what the model sees; a fraction of a millisecond once warm
    image = picture(scene, size=384)   # the same composition, drawn anew at that size, for people

Equal scenes give equal pixels; `scene.seed` picks one of four decorations of the background and nothing else.
Not covered: which scenes exist (world.py) and what is said of them (words.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sugar.errors import InputError
from sugar.scenes.world import GRID, KINDS, PATTERNS, PLACES, TIMES, WEATHERS, Scene

RGB = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

MODEL_SIZE = 96
PALETTE: dict[str, RGB] = {
    "red": (216, 38, 38),
    "orange": (246, 134, 28),
    "yellow": (252, 216, 46),
    "green": (44, 158, 66),
    "blue": (38, 88, 214),
    "purple": (132, 56, 182),
    "pink": (252, 140, 190),
    "brown": (124, 76, 42),
    "black": (26, 26, 30),
    "white": (251, 251, 249),
}
# Side of a stamp in pixels of a 96 pixel picture. A container that holds something grows; what it holds
# shrinks.
STAMP_SIDES = {"small": 20, "big": 30, "holding": 38, "held": 17}
VARIANTS = 4  # decorations per background

_LIGHT_COLORS = ("orange", "yellow", "pink", "white")  # outlined darkly; the others lightly


def check(what: str, value: object, known: Iterable[object]) -> None:
    if value not in (choices := list(known)):
        raise InputError(f"cannot draw the {what} {value!r}; choose one of {', '.join(map(str, choices))}")


def mix(a: Sequence[float], b: Sequence[float], t: float) -> RGB:
    r, g, b_ = (round(x + (y - x) * t) for x, y in zip(a, b, strict=True))
    return r, g, b_


@dataclass(frozen=True)
class Inks:
    """The shades of one colour: its own, a darker and a lighter accent, the pattern's and the outline's."""

    main: RGB
    dark: RGB
    light: RGB
    pattern: RGB
    outline: RGB
    inner: RGB

    @classmethod
    def of(cls, color: str) -> Inks:
        main, white, black = PALETTE[color], (255, 255, 255), (0, 0, 0)
        if color == "black":
            return cls(main, (92, 92, 100), (150, 150, 158), (150, 150, 158), (244, 244, 246), (66, 66, 72))
        if color == "white":
            return cls(main, (150, 154, 166), (206, 210, 220), (160, 164, 176), (58, 62, 76), (224, 226, 232))
        outline = mix(main, black, 0.68) if color in _LIGHT_COLORS else (250, 250, 248)
        pattern = mix(main, black, 0.34) if color in ("yellow", "pink") else mix(main, white, 0.58)
        return cls(
            main, mix(main, black, 0.5), mix(main, white, 0.55), pattern, outline, mix(main, white, 0.28)
        )


# --- the shape of every kind of object ----------------------------------------------------------------------


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
        draw, fill = self._on(ink)
        draw.polygon(self._at(points), fill=fill)

    def oval(self, box: Box, ink: str = "body") -> None:
        """A filled ellipse in a box (x0, y0, x1, y1)."""
        draw, fill = self._on(ink)
        draw.ellipse(self._at([box[:2], box[2:]]), fill=fill)

    def disc(self, x: float, y: float, r: float, ink: str = "body") -> None:
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


def _star(p: Pen) -> None:
    turns = [(i * math.pi / 5, (0.54, 0.24)[i % 2]) for i in range(10)]
    p.poly(*[(0.5 + r * math.sin(a), 0.55 - r * math.cos(a)) for a, r in turns])


def _heart(p: Pen) -> None:
    turns = [2 * math.pi * i / 80 for i in range(80)]
    xs = [math.sin(t) ** 3 for t in turns]
    ys = [13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) for t in turns]
    for scale, ink in ((1.0, "body"), (0.76, "inner")):
        p.poly(*[(0.5 + scale * x / 2, 0.45 - scale * y / 32) for x, y in zip(xs, ys, strict=True)], ink=ink)


def _circle(p: Pen) -> None:
    p.disc(0.5, 0.5, 0.47)
    p.disc(0.5, 0.5, 0.36, ink="inner")


def _box(p: Pen) -> None:
    p.rect((0.07, 0.2, 0.93, 0.97), 0.03)
    p.rect((0.01, 0.06, 0.99, 0.29), 0.04)
    p.rect((0.07, 0.28, 0.93, 0.33), ink="dark")
    p.rect((0.15, 0.38, 0.85, 0.9), 0.03, ink="inner")


def _triangle(p: Pen) -> None:
    p.poly((0.5, 0.05), (1.0, 0.93), (0.0, 0.93))


def _moon(p: Pen) -> None:
    p.disc(0.46, 0.5, 0.48)
    p.disc(0.7, 0.42, 0.38, ink="cut")


def _house(p: Pen) -> None:
    p.rect((0.7, 0.08, 0.84, 0.4))
    p.poly((0.5, 0.0), (1.02, 0.48), (-0.02, 0.48))
    p.rect((0.12, 0.44, 0.88, 0.98))
    p.rect((0.42, 0.66, 0.6, 0.98), ink="dark")
    p.rect((0.2, 0.56, 0.34, 0.7), ink="light")
    p.rect((0.68, 0.56, 0.81, 0.7), ink="light")


def _tree(p: Pen) -> None:
    p.rect((0.42, 0.8, 0.58, 1.0))
    p.rect((0.42, 0.87, 0.58, 1.0), ink="dark")
    for top, bottom, half in ((0.0, 0.4, 0.27), (0.2, 0.65, 0.37), (0.42, 0.87, 0.46)):
        p.poly((0.5, top), (0.5 + half, bottom), (0.5 - half, bottom))


def _car(p: Pen) -> None:
    p.poly((0.18, 0.52), (0.29, 0.2), (0.69, 0.2), (0.84, 0.52))
    p.rect((0.0, 0.45, 1.0, 0.77), 0.1)
    p.poly((0.29, 0.45), (0.345, 0.29), (0.45, 0.29), (0.45, 0.45), ink="light")
    p.poly((0.54, 0.45), (0.54, 0.29), (0.64, 0.29), (0.72, 0.45), ink="light")
    for x in (0.24, 0.76):
        p.disc(x, 0.76, 0.16)
        p.disc(x, 0.76, 0.11, ink="dark")


def _boat(p: Pen) -> None:
    p.poly((0.0, 0.68), (1.0, 0.68), (0.83, 0.97), (0.17, 0.97))
    p.line((0.48, 0.05), (0.48, 0.7), w=0.05)
    p.poly((0.53, 0.02), (0.53, 0.6), (0.94, 0.6))
    p.poly((0.44, 0.14), (0.44, 0.6), (0.1, 0.6))
    p.rect((0.04, 0.7, 0.96, 0.75), ink="dark")


def _fish(p: Pen) -> None:
    p.oval((0.0, 0.22, 0.76, 0.8))
    p.poly((0.62, 0.51), (1.0, 0.2), (0.92, 0.51), (1.0, 0.82))
    p.poly((0.3, 0.28), (0.42, 0.08), (0.6, 0.3))
    p.disc(0.18, 0.45, 0.065, ink="light")
    p.disc(0.18, 0.45, 0.04, ink="dark")
    p.line(*arc(0.2, 0.51, 0.16, 0.22, -55, 55), w=0.035, ink="dark")


def _cat(p: Pen) -> None:
    p.line((0.7, 0.92), (0.9, 0.9), (0.95, 0.8), (0.95, 0.62), w=0.1)
    p.poly((0.26, 0.5), (0.64, 0.5), (0.72, 0.98), (0.18, 0.98))
    p.oval((0.12, 0.14, 0.78, 0.62))
    p.poly((0.14, 0.4), (0.1, 0.0), (0.42, 0.18))
    p.poly((0.76, 0.4), (0.8, 0.0), (0.48, 0.18))
    for x in (0.31, 0.59):
        p.disc(x, 0.36, 0.055, ink="dark")
    p.poly((0.4, 0.45), (0.5, 0.45), (0.45, 0.51), ink="dark")


def _flower(p: Pen) -> None:
    p.line((0.5, 0.5), (0.5, 0.96), w=0.08)
    for side in (-1, 1):
        p.poly(*[(0.5 + side * x, y) for x, y in ((0.0, 0.94), (0.12, 0.78), (0.34, 0.7), (0.26, 0.88))])
    for i in range(6):
        a = 2 * math.pi * i / 6
        p.disc(0.5 + 0.245 * math.sin(a), 0.36 - 0.245 * math.cos(a), 0.135)
    p.disc(0.5, 0.36, 0.22)
    p.disc(0.5, 0.36, 0.11, ink="dark")


def _umbrella(p: Pen) -> None:
    p.slice((0.0, 0.07, 1.0, 1.03), 180, 360)
    for x in (1 / 6, 1 / 2, 5 / 6):
        p.oval((x - 0.145, 0.47, x + 0.145, 0.65), ink="cut")
    p.line((0.5, 0.03), (0.5, 0.12), w=0.06)
    p.line((0.5, 0.4), (0.5, 0.86), *arc(0.4, 0.86, 0.1, 0.1, 0, 170), w=0.075)
    p.line((0.5, 0.09), *arc(0.5, 0.55, 0.17, 0.46, -90, -180), w=0.025, ink="dark")
    p.line((0.5, 0.09), *arc(0.5, 0.55, 0.17, 0.46, -90, 0), w=0.025, ink="dark")


def _bird(p: Pen) -> None:
    p.poly((0.62, 0.6), (1.0, 0.3), (0.98, 0.6), (0.8, 0.74))
    p.oval((0.14, 0.36, 0.84, 0.86))
    p.disc(0.3, 0.32, 0.22)
    p.poly((0.12, 0.24), (-0.04, 0.36), (0.14, 0.42))
    p.line((0.42, 0.84), (0.4, 0.97), w=0.05)
    p.line((0.58, 0.84), (0.58, 0.97), w=0.05)
    p.disc(0.26, 0.28, 0.05, ink="dark")
    p.poly((0.1, 0.255), (-0.04, 0.36), (0.12, 0.41), ink="dark")
    p.poly(*arc(0.58, 0.54, 0.2, 0.2, 0, 180), ink="dark")


def _cup(p: Pen) -> None:
    p.oval((0.52, 0.26, 1.0, 0.76))
    p.oval((0.64, 0.38, 0.88, 0.64), ink="cut")
    p.rect((0.02, 0.12, 0.74, 0.95), 0.12)
    p.oval((0.02, 0.05, 0.74, 0.27))
    p.oval((0.08, 0.09, 0.68, 0.22), ink="dark")


def _mushroom(p: Pen) -> None:
    p.slice((0.0, 0.02, 1.0, 1.1), 180, 360)
    p.oval((0.0, 0.44, 1.0, 0.68))
    p.rect((0.34, 0.5, 0.66, 0.98), 0.1)
    p.rect((0.36, 0.68, 0.64, 0.96), 0.08, ink="light")


def _key(p: Pen) -> None:
    p.disc(0.26, 0.3, 0.28)
    p.disc(0.26, 0.3, 0.12, ink="cut")
    p.line((0.42, 0.46), (0.9, 0.94), w=0.15)
    p.line((0.66, 0.7), (0.82, 0.54), w=0.13)
    p.line((0.82, 0.86), (0.96, 0.72), w=0.13)


def _hat(p: Pen) -> None:
    p.oval((0.0, 0.68, 1.0, 0.94))
    p.poly((0.18, 0.1), (0.82, 0.1), (0.76, 0.8), (0.24, 0.8))
    p.oval((0.18, 0.04, 0.82, 0.17))
    p.poly((0.225, 0.56), (0.775, 0.56), (0.765, 0.7), (0.235, 0.7), ink="dark")


def _apple(p: Pen) -> None:
    p.oval((0.04, 0.24, 0.6, 0.92))
    p.oval((0.4, 0.24, 0.96, 0.92))
    p.oval((0.2, 0.5, 0.8, 0.98))
    p.poly((0.42, 0.2), (0.58, 0.2), (0.5, 0.34), ink="cut")
    p.line((0.5, 0.32), (0.5, 0.16), (0.45, 0.06), w=0.06)
    p.line((0.5, 0.3), (0.5, 0.16), (0.45, 0.06), w=0.05, ink="dark")
    leaf = [*arc(0.66, 0.02, 0.17, 0.18, 170, 80), *arc(0.66, 0.2, 0.17, 0.18, -10, -100)]
    p.poly(*leaf)
    p.poly(*leaf, ink="dark")


def _balloon(p: Pen) -> None:
    p.oval((0.17, 0.0, 0.83, 0.72))
    p.poly((0.5, 0.68), (0.6, 0.8), (0.4, 0.8))
    p.line((0.5, 0.78), (0.45, 0.86), (0.55, 0.93), (0.5, 1.0), w=0.045)
    p.line(*arc(0.5, 0.34, 0.22, 0.24, 190, 255), w=0.06, ink="light")


def _kite(p: Pen) -> None:
    p.poly((0.6, 0.0), (0.98, 0.32), (0.5, 0.82), (0.14, 0.22))
    p.line((0.6, 0.04), (0.5, 0.78), w=0.035, ink="dark")
    p.line((0.18, 0.23), (0.94, 0.32), w=0.035, ink="dark")
    p.line((0.5, 0.8), (0.36, 0.86), (0.26, 0.8), (0.1, 0.92), w=0.05)
    for x, y in ((0.32, 0.84), (0.1, 0.92)):
        p.poly((x - 0.1, y - 0.08), (x + 0.1, y + 0.08), (x + 0.1, y - 0.08), (x - 0.1, y + 0.08))


def _table(p: Pen) -> None:
    p.rect((0.0, 0.24, 1.0, 0.46), 0.04)
    p.rect((0.1, 0.4, 0.9, 0.56))
    p.rect((0.1, 0.4, 0.26, 0.97))
    p.rect((0.74, 0.4, 0.9, 0.97))
    p.rect((0.1, 0.46, 0.9, 0.5), ink="dark")


def _bell(p: Pen) -> None:
    p.disc(0.5, 0.09, 0.09)
    p.disc(0.5, 0.88, 0.12)
    p.disc(0.5, 0.9, 0.09, ink="dark")
    left = [(0.5, 0.08), (0.34, 0.11), (0.24, 0.24), (0.19, 0.5), (0.12, 0.68), (0.0, 0.78), (0.0, 0.85)]
    p.poly(*left, *[(1 - x, y) for x, y in reversed(left)])
    p.rect((0.12, 0.67, 0.88, 0.72), ink="dark")


DRAWERS: dict[str, Callable[[Pen], None]] = {kind: globals()[f"_{kind}"] for kind in KINDS}
HOLDS_AT = {"box": (0.0, 0.12), "heart": (0.0, -0.07)}
"""Where a container's middle is, in sides from the stamp's centre."""

# --- one object, with transparency, once for each look and size ---------------------------------------------


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


# --- places, by day and in clear weather --------------------------------------------------------------------


class Canvas:
    """A supersampled RGB picture in unit coordinates, on which the backgrounds are painted."""

    def __init__(self, side: int) -> None:
        self.side, self.image = side, Image.new("RGB", (side, side))
        self.draw = ImageDraw.Draw(self.image)
        self.heaven: np.ndarray = np.zeros((side, side, 3), np.uint8)  # the sky, to tell what of it shows
        self.lights: list[Box] = []  # windows, of which some are lit at night

    def sky(self, top: RGB, bottom: RGB) -> None:
        """A vertical gradient over the whole picture."""
        t = np.linspace(0, 1, self.side)[:, None, None]
        rows = np.asarray(top) * (1 - t) + np.asarray(bottom) * t
        self.heaven = np.broadcast_to(np.round(rows).astype(np.uint8), (self.side, self.side, 3)).copy()
        self.image.paste(Image.fromarray(self.heaven))

    def _at(self, *points: Point) -> list[Point]:
        return [(x * self.side, y * self.side) for x, y in points]

    def poly(self, fill: RGB, *points: Point) -> None:
        self.draw.polygon(self._at(*points), fill=fill)

    def rect(self, fill: RGB, x0: float, y0: float, x1: float, y1: float) -> None:
        side = self.side
        self.draw.rectangle([x0 * side, y0 * side, x1 * side - 1, y1 * side - 1], fill=fill)

    def oval(self, fill: RGB, x: float, y: float, rx: float, ry: float) -> None:
        self.draw.ellipse(self._at((x - rx, y - ry), (x + rx, y + ry)), fill=fill)

    def line(self, fill: RGB, w: float, *points: Point) -> None:
        self.draw.line(self._at(*points), fill=fill, width=max(1, round(w * self.side)), joint="curve")

    def wave(self, fill: RGB, y: float, height: float, length: float, phase: float) -> None:
        """Everything below a sine curve."""
        xs = [i / 48 for i in range(49)]
        curve = [(x, y + height * math.sin(2 * math.pi * (x / length + phase))) for x in xs]
        self.poly(fill, *curve, (1.0, 1.01), (0.0, 1.01))


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
        edge, half_cap = cap - 0.03, slope * (cap - top - 0.03)
        c.poly((240, 242, 246), (x, top), (x + half_cap, edge), *snow, (x - half_cap, edge))
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
    place: globals()[f"_{place}"] for place in PLACES
}


# --- a place at a time of day in some weather ---------------------------------------------------------------


def paint_weather(c: Canvas, time: str, weather: str, rng: np.random.Generator) -> None:
    """Tint the picture for night and weather, then paint tiny stars, clouds, rain or snow over it."""
    night = time == "night"
    pixels: np.ndarray = np.asarray(c.image, np.float32)
    open_sky = np.all(pixels == c.heaven, axis=2)
    grey = pixels.mean(axis=2, keepdims=True)
    if weather != "clear":
        pixels = pixels * 0.6 + grey * 0.4
        pixels = pixels * {"cloudy": 0.95, "rainy": 0.86, "snowy": 0.94}[weather]
    if weather == "snowy":  # snow lies on the ground
        depth = np.clip((np.linspace(0, 1, c.side) - 0.45) / 0.3, 0, 1)[:, None, None] * 0.5
        pixels = pixels * (1 - depth) + np.array((226, 230, 238)) * depth
    if night:
        contrast = 1.55 * (pixels * 0.8 + grey * 0.2 - 190) + 185
        pixels = contrast * np.array((0.36, 0.4, 0.51)) + np.array((2, 5, 18))
    c.image.paste(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    for light in c.lights if night else ():
        if rng.random() < 0.35:
            c.rect((174, 154, 112), *light)
    if night and weather == "clear":
        for x, y in rng.uniform((0, 0), (1, 0.4), (26, 2)):
            if open_sky[int(y * c.side), int(x * c.side)]:
                c.oval((196, 202, 222), x, y, 0.0055, 0.0055)
    if weather == "cloudy":
        low, high = ((74, 80, 100), (92, 98, 118)) if night else ((176, 182, 192), (200, 205, 212))
        for shade, y in ((low, 0.05), (high, 0.0)):
            for x, r in zip(np.arange(-0.02, 1.1, 0.15), rng.uniform(0.1, 0.14, 8), strict=True):
                c.oval(shade, x + 1.4 * y, y, r, 0.75 * r)
    if weather == "rainy":
        ink = (120, 136, 168) if night else (226, 234, 244)
        for x, y in rng.uniform((0, -0.05), (1.1, 1), (80, 2)):
            c.line(ink, 0.009, (x, y), (x - 0.03, y + 0.085))
    if weather == "snowy":
        for x, y in rng.uniform(0, 1, (70, 2)):
            r = rng.uniform(0.008, 0.014)
            c.oval((196, 204, 222) if night else (252, 252, 254), x, y, r, r)


def paint_background(place: str, time: str, weather: str, variant: int, size: int) -> np.ndarray:
    """A place at a time in some weather: (size, size, 3) float32 in 0..255."""
    check("place", place, PLACES)
    check("time", time, TIMES)
    check("weather", weather, WEATHERS)
    if not 32 <= size <= 2048:
        raise InputError(f"cannot draw a picture of {size} pixels; choose a size from 32 to 2048")
    factor = 4 if size <= 128 else 2
    rng = np.random.default_rng([PLACES.index(place), variant])
    c = Canvas(size * factor)
    PLACE_PAINTERS[place](c, rng)
    if place != "room":
        paint_weather(c, time, weather, rng)
    else:
        outside = Canvas(c.side)
        PLACE_PAINTERS["meadow"](outside, rng)
        paint_weather(outside, time, weather, rng)
        x0, y0, x1, y1 = WINDOW
        corner = round(x0 * c.side), round(y0 * c.side)
        span = round((x1 - x0) * c.side), round((y1 - y0) * c.side)
        if time == "night":  # a dim, warm room
            dim = np.asarray(c.image) * np.array((0.5, 0.46, 0.48))
            c.image.paste(Image.fromarray(dim.astype(np.uint8)))
        frame: RGB = tuple(np.asarray(c.image)[corner[1] - 2, corner[0] - 2].tolist())
        c.image.paste(outside.image.resize(span), corner)
        c.rect(frame, (x0 + x1) / 2 - 0.01, y0, (x0 + x1) / 2 + 0.01, y1)
        c.rect(frame, x0, (y0 + y1) / 2 - 0.01, x1, (y0 + y1) / 2 + 0.01)
    pixels = np.asarray(c.image.reduce(factor), np.float32)
    pixels.setflags(write=False)
    return pixels


background_for_model = lru_cache(maxsize=512)(paint_background)  # 110 to 200 KB each, 256 a size
background_for_people = lru_cache(maxsize=32)(paint_background)

# --- a scene ------------------------------------------------------------------------------------------------


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
