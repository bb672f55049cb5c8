"""The drawn world's pixels: shape, determinism, one composition at every size, and that what is named can be
seen.
"""

from dataclasses import replace

import numpy as np
import pytest

from sugar.errors import InputError
from sugar.scenes.draw import PALETTE, VARIANTS, Inks, draw, picture, placed_stamps, stamp_of
from sugar.scenes.world import (
    COLORS,
    KINDS,
    PATTERNS,
    PLACES,
    TIMES,
    WEATHERS,
    Scene,
    SceneObject,
    sample_scene,
    split_rng,
)

EMPTY = Scene((), "meadow", "day", "clear")


def lone(kind="circle", color="red", size="big", pattern="plain", **more):
    return Scene((SceneObject(kind, color, size, pattern, 1, 1, **more),), "meadow", "day", "clear")


def distance(a, b):
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def footprint(scene):
    """Pixels that differ from the same background without objects."""
    return np.any(draw(scene) != draw(replace(scene, objects=())), axis=2)


def test_random_scenes_have_the_right_shape_and_are_deterministic():
    rng = split_rng("tuning", 3)
    for _ in range(40):
        scene = sample_scene(rng)
        pixels = draw(scene)
        assert pixels.shape == (96, 96, 3) and pixels.dtype == np.uint8
        again = draw(scene)
        assert np.array_equal(pixels, again) and not np.shares_memory(pixels, again)


def test_a_picture_is_the_same_composition_larger():
    rng = split_rng("tuning", 4)
    for _ in range(4):
        scene = sample_scene(rng)
        image = picture(scene)
        assert image.size == (384, 384) and image.mode == "RGB"
        assert distance(np.asarray(image.reduce(4)), draw(scene)) < 6.0


def test_every_kind_has_its_own_silhouette():
    prints = [footprint(lone(kind, size="small")) for kind in KINDS]
    for i, a in enumerate(prints):
        assert a.sum() > 80
        for b in prints[:i]:
            assert (a ^ b).sum() / (a | b).sum() > 0.1


@pytest.mark.parametrize("color", COLORS)
def test_the_named_color_dominates_every_plain_thing(color):
    outline = np.array(Inks.of(color).outline)
    for kind in KINDS:
        stamp = stamp_of(kind, color, "plain", "big", 128)
        pixels = stamp[stamp[..., 3] == 1][:, :3]
        body = pixels[np.abs(pixels - outline).sum(axis=1) > 12]
        own = np.abs(body - PALETTE[color]).sum(axis=1) < 60
        assert own.mean() > 0.58, kind
        small = draw(lone(kind, color, "small")).astype(int)
        assert (np.abs(small - PALETTE[color]).sum(axis=2) < 90).sum() > 60, kind


def test_patterns_and_sizes_differ_for_every_kind():
    for kind in KINDS:
        plain, striped, dotted = (draw(lone(kind, pattern=p)) for p in PATTERNS)
        assert min(distance(plain, striped), distance(plain, dotted), distance(striped, dotted)) > 0.3, kind
        assert footprint(lone(kind)).sum() > 1.7 * footprint(lone(kind, size="small")).sum()


def test_every_place_time_and_weather_differs_and_the_seed_only_decorates():
    outdoors = [Scene((), p, t, w) for p in PLACES if p != "room" for t in TIMES for w in WEATHERS]
    scenes = [*outdoors, *(Scene((), "room", t, "clear") for t in TIMES)]
    pixels = [draw(s) for s in scenes]
    assert min(distance(a, b) for i, a in enumerate(pixels) for b in pixels[:i]) > 2.0
    assert distance(draw(EMPTY), draw(replace(EMPTY, seed=1))) > 0.5
    assert np.array_equal(draw(EMPTY), draw(replace(EMPTY, seed=VARIANTS)))


def test_what_is_inside_is_seen_within_its_container():
    for kind in ("box", "circle", "heart"):
        outer = SceneObject(kind, "blue", "big", "plain", 0, 0)
        scene = Scene(
            (outer, SceneObject("star", "yellow", "small", "plain", 0, 0, inside=0)), "meadow", "day", "clear"
        )
        changed = np.any(draw(scene) != draw(replace(scene, objects=(outer,))), axis=2)
        yellow = np.abs(draw(scene).astype(int) - PALETTE["yellow"]).sum(axis=2) < 40
        assert yellow.sum() > 30 and changed[yellow].all()
        assert (
            33
            <= max(np.ptp(np.nonzero(footprint(scene))[0]), np.ptp(np.nonzero(footprint(scene))[1])) + 1
            <= 39
        )


def test_what_is_on_a_base_touches_its_top():
    for base in ("table", "box", "car"):
        scene = Scene(
            (
                SceneObject(base, "blue", "big", "plain", 2, 1),
                SceneObject("star", "red", "small", "plain", 1, 1, on=0),
            ),
            "meadow",
            "day",
            "clear",
        )
        (stand, _, stand_top), (stamp, _, top) = placed_stamps(scene, 96)
        feet = top + np.nonzero(stamp[..., 3].max(axis=1) > 0.5)[0].max()
        surface = stand_top + np.nonzero(stand[:, stand.shape[1] // 2, 3] > 0.5)[0].min()
        assert -1 <= feet - surface <= 1


def test_things_stay_within_the_picture():
    for row, col, d in ((0, 0, -0.4), (2, 2, 0.4)):
        scene = Scene(
            (SceneObject("circle", "red", "big", "plain", row, col, d, d),), "meadow", "day", "clear"
        )
        assert footprint(scene).sum() > 600


@pytest.mark.parametrize(
    "scene",
    [
        lone("unicorn"),
        lone(color="beige"),
        lone(size="huge"),
        lone(pattern="tartan"),
        replace(EMPTY, place="moon"),
        replace(EMPTY, time="noon"),
        replace(EMPTY, weather="hail"),
    ],
)
def test_what_the_world_does_not_have_is_refused_with_the_choices(scene):
    with pytest.raises(InputError, match="choose one of"):
        draw(scene)


def test_a_picture_too_small_to_see_is_refused():
    with pytest.raises(InputError, match="32 to 2048"):
        draw(EMPTY, 8)
