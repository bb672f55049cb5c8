"""A place at a time of day in some weather, as pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from sugar.errors import InputError
from sugar.scenes.palette import RGB, check
from sugar.scenes.places import PLACE_PAINTERS, WINDOW, Canvas
from sugar.scenes.world import PLACES, TIMES, WEATHERS


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
        for shade, y in (
            (((74, 80, 100), 0.05), ((92, 98, 118), 0.0))
            if night
            else (((176, 182, 192), 0.05), ((200, 205, 212), 0.0))
        ):
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
        corner, span = (
            (round(x0 * c.side), round(y0 * c.side)),
            (round((x1 - x0) * c.side), round((y1 - y0) * c.side)),
        )
        if time == "night":  # a dim, warm room
            c.image.paste(
                Image.fromarray((np.asarray(c.image) * np.array((0.5, 0.46, 0.48))).astype(np.uint8))
            )
        frame: RGB = tuple(np.asarray(c.image)[corner[1] - 2, corner[0] - 2].tolist())
        c.image.paste(outside.image.resize(span), corner)
        c.rect(frame, (x0 + x1) / 2 - 0.01, y0, (x0 + x1) / 2 + 0.01, y1)
        c.rect(frame, x0, (y0 + y1) / 2 - 0.01, x1, (y0 + y1) / 2 + 0.01)
    pixels = np.asarray(c.image.reduce(factor), np.float32)
    pixels.setflags(write=False)
    return pixels


background_for_model = lru_cache(maxsize=512)(paint_background)  # 110 to 200 KB each, 256 a size
background_for_people = lru_cache(maxsize=32)(paint_background)
