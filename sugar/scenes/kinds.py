"""The shape of every kind of object: a small function each that draws with a `Pen`."""

from __future__ import annotations

import math
from collections.abc import Callable

from sugar.scenes.palette import Point
from sugar.scenes.pen import Pen, arc


def _star(p: Pen) -> None:
    radii = [(0.54, 0.24)[i % 2] for i in range(10)]
    p.poly(
        *[
            (0.5 + r * math.sin(i * math.pi / 5), 0.55 - r * math.cos(i * math.pi / 5))
            for i, r in enumerate(radii)
        ]
    )


def _heart_points(scale: float) -> list[Point]:
    turns = [2 * math.pi * i / 80 for i in range(80)]
    wave = [13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) for t in turns]
    return [
        (0.5 + scale * math.sin(t) ** 3 / 2, 0.45 - scale * y / 32) for t, y in zip(turns, wave, strict=True)
    ]


def _heart(p: Pen) -> None:
    p.poly(*_heart_points(1.0))
    p.poly(*_heart_points(0.76), ink="inner")


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


DRAWERS: dict[str, Callable[[Pen], None]] = {
    "star": _star,
    "heart": _heart,
    "circle": _circle,
    "box": _box,
    "triangle": _triangle,
    "moon": _moon,
    "house": _house,
    "tree": _tree,
    "car": _car,
    "boat": _boat,
    "fish": _fish,
    "cat": _cat,
    "flower": _flower,
    "umbrella": _umbrella,
    "bird": _bird,
    "cup": _cup,
    "mushroom": _mushroom,
    "key": _key,
    "hat": _hat,
    "apple": _apple,
    "balloon": _balloon,
    "kite": _kite,
    "table": _table,
    "bell": _bell,
}
HOLDS_AT = {
    "box": (0.0, 0.12),
    "heart": (0.0, -0.07),
}  # where a container's middle is, in sides from the stamp's centre
