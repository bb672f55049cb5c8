"""VIST: a story finds its last picture.

5c, 5c+4i, both without the story's own pictures (dagger), and every position. The sentences are
VIST's `text`, with names as "[male]", which earlier work reads too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sugar.evaluation.benchmark import Benchmark, Part, Pool, Query, Source, document
from sugar.evaluation.tasks.scores import recall

STEPS = 5
FILE = "val.story-in-sequence.json"
Story = list[tuple[Path, str]]


def stories(folder: Path) -> dict[str, Story]:
    """Story number -> its five (picture, sentence), in order.

    A picture is a .jpg, or a .png where that is there.
    """
    rows = document(folder / FILE)["annotations"]
    found: dict[str, list[tuple[int, Path, str]]] = {}
    for (r,) in rows:
        stem = folder / "val" / r["photo_flickr_id"]
        picture = stem.with_suffix(".png") if stem.with_suffix(".png").is_file() else stem.with_suffix(".jpg")
        step = (int(r["worker_arranged_photo_order"]), picture, r["text"])
        found.setdefault(r["story_id"], []).append(step)
    ordered = {key: [(p, t) for _, p, t in sorted(steps)] for key, steps in found.items()}
    return {key: steps for key, steps in ordered.items() if len(steps) == STEPS}


def before(story: Story, step: int, pictures: bool) -> tuple[Part, ...]:
    """caption 1, picture 1, ... caption `step`: all that stands before the picture that is searched."""
    parts: list[Part] = []
    for n in range(step):
        parts.append(story[n][1])
        if pictures and n < step - 1:
            parts.append(story[n][0])
    return tuple(parts)


def reader(pictures: bool, dagger: bool, steps: Sequence[int] = (STEPS,)) -> Callable[[Path], Sequence[Pool]]:
    def read(folder: Path) -> Sequence[Pool]:
        told = stories(folder)
        candidates = {p.name: ((p,),) for story in told.values() for p, _ in story}
        queries = [
            Query(
                f"{key}/{step}",
                before(story, step, pictures),
                frozenset({story[step - 1][0].name}),
                frozenset(p.name for p, _ in story[: step - 1]) if dagger else frozenset(),
                "" if len(steps) == 1 else f"position_{step}",
            )
            for step in steps
            for key, story in told.items()
        ]
        return [Pool(tuple(queries), candidates)]

    return read


SOURCE = Source(
    {FILE: "visionandlanguage.net/VIST/dataset.html", "val": "visionandlanguage.net/VIST/dataset.html"},
    "research use",
    "4,990 stories, 24,950 pictures, 40 GB",
)
BENCHMARKS = (
    Benchmark(
        "vist_5c",
        "VIST, five captions",
        "Five sentences find the story's last picture.",
        reader(False, False),
        recall,
        SOURCE,
        {"Sugar": {"r1": 10.1, "r5": 26.3, "r10": 36.2}},
    ),
    Benchmark(
        "vist_5c_dagger",
        "VIST, five captions, own pictures left out",
        "As vist_5c, the story's four earlier pictures not among the candidates.",
        reader(False, True),
        recall,
        SOURCE,
        {"Sugar": {"r1": 11.0, "r5": 27.3, "r10": 37.0}},
    ),
    Benchmark(
        "vist_5c4i",
        "VIST, five captions and four pictures",
        "The whole story so far finds its last picture.",
        reader(True, False),
        recall,
        SOURCE,
    ),
    Benchmark(
        "vist_5c4i_dagger",
        "VIST, five captions and four pictures, own pictures left out",
        "As vist_5c4i, the story's four earlier pictures not among the candidates.",
        reader(True, True),
        recall,
        SOURCE,
        {"Sugar": {"r1": 21.9, "r5": 46.7, "r10": 59.2}},
    ),
    Benchmark(
        "vist_positions",
        "VIST, a hit for every position",
        "After each sentence of an interleaved story, the picture that comes next.",
        reader(True, True, range(1, STEPS + 1)),
        recall,
        SOURCE,
    ),
)
