"""Places in degrees, as a person writes them: "48.21,16.37", or "48.21, 16.37, 5 km".

    read("48.21,16.37")                    # (48.21, 16.37, 2.0): latitude, longitude, kilometres around
    find("what is near 48.2, 16.4?")       # ((48.2, 16.4, 2.0), "what is?")
    pair(48.2, 16.4), pair(48.2, None)     # (48.2, 16.4), None: what every place of a picture passes

Not covered: names of places (place_names.py).
"""

from __future__ import annotations

Place = tuple[float, float, float]
"""(latitude, longitude) in degrees, and kilometres."""

AROUND = 2.0
"""Kilometres around a place where none are said."""


def pair(latitude: object, longitude: object) -> tuple[float, float] | None:
    """Both degrees of a place on Earth, or None: half a pair, not finite, out of range, or (0, 0), which
    devices without a fix write and where there is only sea.

    >>> pair(48.21, 16.37), pair(999, 999), pair(float("nan"), 16.37), pair(0, 0), pair("48", 16)
    ((48.21, 16.37), None, None, None, None)
    """
    for value, most in ((latitude, 90), (longitude, 180)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= most:
            return None
    if latitude == longitude == 0:
        return None
    return float(latitude), float(longitude)  # type: ignore[arg-type]


def read(text: str) -> Place | None:
    """The place that the whole text names, or None.

    >>> read("48.21,16.37"), read("48.21, 16.37, 5 km"), read("95,0"), read("IMG_20")
    ((48.21, 16.37, 2.0), (48.21, 16.37, 5.0), None, None)
    """
    parts = [part.strip() for part in text[:60].split(",")]
    if len(parts) not in (2, 3):
        return None
    if len(parts) == 3:
        parts[2] = parts[2].removesuffix("km").strip()
    numbers = [n for n in map(_number, parts) if n is not None]
    if len(numbers) < len(parts):
        return None
    latitude, longitude, around = [*numbers, AROUND][:3]
    if pair(latitude, longitude) is None or not 0 < around <= 20_000:
        return None
    return latitude, longitude, around


def find(question: str) -> tuple[Place, str] | None:
    """The place behind the word "near" or "at", and the question without both; None when it names none."""
    words = question.split()
    for at, word in enumerate(words):
        if word.casefold() not in ("near", "at", "around"):
            continue
        for end in range(min(len(words), at + 5), at + 1, -1):
            told = " ".join(words[at + 1 : end]).rstrip("?!.")
            place = read(told)
            if place is not None:
                mark = words[end - 1][-1] if words[end - 1][-1] in "?!." else ""
                return place, " ".join([*words[:at], *words[end:]]) + mark
    return None


def _number(text: str) -> float | None:
    """A plain decimal number, or None."""
    bare = text.removeprefix("-").removeprefix("+")
    plain = bare.replace(".", "", 1)
    return float(text) if plain.isascii() and plain.isdigit() and len(bare) <= 12 else None
