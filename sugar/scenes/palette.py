"""Colours, sizes and the shades of one colour.

Not covered: shapes (kinds.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sugar.errors import InputError

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
