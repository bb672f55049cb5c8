"""Towns by name: found, told apart, and said of a picture's place."""

from __future__ import annotations

import pytest

from sugar.place_names import find, name_of
from sugar.services.query import parse


@pytest.mark.parametrize(
    ("text", "latitude", "longitude"),
    [
        ("Vienna", 48.2, 16.4),
        ("vienna, Austria", 48.2, 16.4),
        ("Paris", 48.9, 2.3),
        ("paris, texas", 33.7, -95.6),
        ("zurich", 47.4, 8.6),
        ("New York City", 40.7, -74.0),
    ],
)
def test_the_town_that_is_meant(text: str, latitude: float, longitude: float) -> None:
    found = find(text)
    assert found is not None and found[:2] == pytest.approx((latitude, longitude), abs=0.1)
    assert 5 <= found[2] <= 25
    assert parse(f'dogs near:"{text}"').conditions.near == found


def test_no_town_is_no_place() -> None:
    assert find("Nowhereville") is find("Vienna, Mars") is find("") is None


def test_a_place_is_named_by_its_town_and_the_sea_by_none() -> None:
    assert name_of(48.21, 16.34) == "Vienna, Austria"
    assert name_of(40.68, -73.94) == "New York City, United States"  # not one of its quarters
    assert name_of(-36.85, 174.76) == "Auckland, New Zealand"
    assert name_of(0, -30) == ""
    assert name_of(90, 0) == name_of(-90, 179.99) == ""
