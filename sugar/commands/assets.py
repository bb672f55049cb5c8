"""`python -m sugar assets`: rebuild what is derived from the checkpoint of drawn scenes (`make assets`).

    assets/gallery/         306 drawn pictures with the time taken: 41 stories of five, and single scenes
    assets/cards/           knowledge cards: pictures, and a csv of what only the card knows
    assets/examples/        pictures for the examples of the tabs
    gallery_index/sample/   the sample gallery's index, for both models that ship
    assets/golden.json      answers and similarities of the checkpoint, which a test holds it to
    assets/sugar-tiny/      quality.json (what `evaluate drawn` measured), and the examples in sugar.json

The checkpoint itself is frozen. Pictures come from fixed seeds of the test split: none was trained on.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from sugar.model.checkpoint import read_settings, write_settings
from sugar.scenes.draw import picture
from sugar.scenes.words import (
    Card,
    Edit,
    Story,
    WinogroundPair,
    card_for,
    invented_name,
    meet_again,
    sample_edit,
    sample_story,
    sample_winoground,
)
from sugar.scenes.world import COLORS, HELD_OUT_PAIRS, KINDS, Scene, SceneObject, sample_scene, split_rng

ASSETS = Path(__file__).resolve().parents[2] / "assets"
GALLERY_SEED, CARDS_SEED, EXAMPLES_SEED = 900, 901, 902
QUALITY_SEED = 11  # seed 0 was looked at while the recipe was being found
SIDE = 384
STORIES, SINGLES, CARDS = 40, 100, 40
PARTS = ["pictures", "index", "golden", "quality"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=str(ASSETS / "sugar-tiny"))
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    parser.add_argument("--size", type=int, default=1000, help="test scenes for quality.json")


def run(args: argparse.Namespace) -> int:
    wanted = [args.only] if args.only else PARTS
    if "pictures" in wanted:
        draw_gallery(ASSETS / "gallery")
        draw_cards(ASSETS / "cards")
        draw_examples(ASSETS / "examples")
        write_examples(ASSETS / "sugar-tiny", ASSETS / "examples" / "words.json")
    if set(wanted) & {"index", "golden", "quality"}:
        from sugar.core import Sugar

        model = Sugar.from_pretrained(args.model)
        if "index" in wanted:
            from sugar.gallery import Gallery, build_sample

            sample = ASSETS.parent / "gallery_index" / "sample"
            build_sample(ASSETS / "gallery", sample, model).close()
            with Gallery.open(sample, Sugar.from_pretrained(ASSETS / "sugar-photo")) as gallery:
                gallery.embed_pending()
        if "golden" in wanted:
            from sugar.evaluation.golden import of_scenes

            (ASSETS / "golden.json").write_text(json.dumps(of_scenes(model), indent=1) + "\n", "utf-8")
        if "quality" in wanted:
            from sugar.evaluation.report import missed, rounded
            from sugar.evaluation.tasks import drawn

            figures = drawn.measure(model, QUALITY_SEED, args.size)
            about = {"model": model.name, "seed": QUALITY_SEED, "size": args.size}
            about |= {"winoground_by": drawn.SCORER, "missed": missed(drawn.ROWS, figures)}
            text = json.dumps({**about, **rounded(figures)}, indent=1) + "\n"
            (Path(args.model) / "quality.json").write_text(text, "utf-8")
    print("done: " + ", ".join(wanted))
    return 0


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def save(scene: Scene, path: Path, taken: dt.datetime | None = None) -> None:
    """A JPEG of the scene, with the time taken where there is one."""
    exif = Image.Exif()
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")  # DateTimeOriginal
    picture(scene, SIDE).save(path, quality=88, exif=exif, optimize=True)


def draw_gallery(folder: Path) -> None:
    """Stories are taken a minute apart on a day of their own, with single scenes on days between them."""
    folder, rng = _fresh(folder), split_rng("test", GALLERY_SEED)
    clock = dt.datetime(2025, 1, 1, 9, 0)
    events = rng.permutation(np.array([1] * STORIES + [0] * SINGLES))
    number = 0
    for is_story in events:
        clock += dt.timedelta(days=int(rng.integers(1, 4)), minutes=int(rng.integers(600)))
        scenes = sample_story(rng).scenes if is_story else (sample_scene(rng),)
        for k, scene in enumerate(scenes):
            number += 1
            save(scene, folder / f"drawn-{number:03d}.jpg", clock + dt.timedelta(minutes=k))
        clock = clock.replace(hour=9, minute=0)
    _, edit, story = example_scenes()  # what the examples of the tab Photos look for
    for k, scene in enumerate([*story.scenes, edit.after]):
        save(
            scene,
            folder / f"drawn-{number + 1 + k:03d}.jpg",
            clock + dt.timedelta(days=1 + (k == 5), minutes=k),
        )


def draw_cards(folder: Path) -> None:
    """Cards about objects that differ in kind or colour; `asked-*.jpg` show some of them again."""
    folder, rng = _fresh(folder), split_rng("test", CARDS_SEED)
    pairs = [(k, c) for k in KINDS for c in COLORS if (k, c) not in HELD_OUT_PAIRS]
    chosen = [pairs[i] for i in rng.permutation(len(pairs))[:CARDS]]
    with open(folder / "cards.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "question", "answer"])
        for n, (kind, color) in enumerate(chosen):
            card = card_for(SceneObject(kind, color, "big", "plain", 1, 1), rng)
            if n < 20:  # half of the cards are about names
                card = Card(card.scene, f"what is the name of the {color} {kind}?", invented_name(rng))
            save(card.scene, folder / f"card-{n:02d}.jpg")
            writer.writerow([f"card-{n:02d}.jpg", card.question, card.answer])
            if n < 4:
                save(meet_again(card, rng), folder / f"asked-{n:02d}.jpg")


def example_scenes() -> tuple[np.random.Generator, Edit, Story]:
    """The generator for other examples, and an edit and a story that stand in the sample gallery too."""
    rng = split_rng("test", EXAMPLES_SEED)
    edit = sample_edit(sample_scene(rng, objects=2), rng, "color")
    return rng, edit, sample_story(rng)


def draw_examples(folder: Path) -> None:
    """Pictures for the tabs: scenes to ask about, swapped pairs, an edit before and after, a story."""
    folder = _fresh(folder)
    rng, edit, story = example_scenes()
    words: dict[str, object] = {}
    for n in range(6):
        save(sample_scene(rng, objects=2 + n % 3), folder / f"scene-{n}.jpg")
    pairs: list[WinogroundPair] = []
    while len(pairs) < 2:
        pair = sample_winoground(rng)
        if len(pairs) == 0 or pair.kind != pairs[0].kind:
            for i, scene in enumerate(pair.scenes):
                save(scene, folder / f"pair-{len(pairs)}-{i}.jpg")
            pairs.append(pair)
    words["pairs"] = [[t.words for t in pair.captions] for pair in pairs]
    save(edit.before, folder / "before.jpg")
    save(edit.after, folder / "after.jpg")
    words["edit"] = {"instruction": edit.instruction, "difference": edit.difference}
    for k, scene in enumerate(story.scenes):
        save(scene, folder / f"story-{k}.jpg")
    words["story"] = [t.words for t in story.sentences]
    (folder / "words.json").write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")


def write_examples(checkpoint: Path, words_file: Path) -> None:
    """Write the examples of each tab into the checkpoint's profile; files are named relative to `assets/`."""
    words = json.loads(words_file.read_text("utf-8"))
    settings = read_settings(checkpoint)
    profile = settings["profile"]

    def files(*names: str) -> list[str]:
        return [f"examples/{name}" for name in names]

    edit = {"file": "examples/before.jpg"}, {"text": words["edit"]["instruction"]}
    story = [{"text": sentence} for sentence in words["story"]]
    unknown = next(f"{c} {k}" for c in COLORS for k in KINDS if (k, c) not in HELD_OUT_PAIRS | carded())
    asked = card_questions()[:3]
    examples = {
        "chat": [
            {"files": files("scene-0.jpg"), "text": "what is in the picture?"},
            {"files": files("scene-4.jpg"), "text": "is it day or night?"},
            {"files": files("before.jpg", "after.jpg"), "text": profile["difference"]},
            {"files": files("scene-1.jpg"), "text": profile["describe"]},
        ],
        "search": [
            {"mode": "Pictures", "rows": [{"text": "a red star at night"}]},
            {"mode": "Pictures", "rows": list(edit)},
            {"mode": "Story", "rows": story[:4]},
            {"mode": "Every position", "rows": story[:3]},
        ],
        "compare": [
            *(
                {"files": files(f"pair-{n}-0.jpg", f"pair-{n}-1.jpg"), "captions": pair}
                for n, pair in enumerate(words["pairs"])
            ),
            {"files": files("before.jpg", "after.jpg"), "captions": []},
        ],
        "ask": [
            {"text": asked[0], "file": "cards/asked-00.jpg"},
            {"text": asked[1], "file": "cards/asked-01.jpg"},
            {"text": asked[2]},
            {"text": f"what is the name of the {unknown}?"},
        ],
    }
    write_settings(checkpoint, **{**settings, "profile": {**profile, "examples": examples}})


def card_questions() -> list[str]:
    """The questions of the cards, in the order of cards.csv."""
    with open(ASSETS / "cards" / "cards.csv", newline="", encoding="utf-8") as file:
        return [row["question"] for row in csv.DictReader(file)]


def carded() -> set[tuple[str, str]]:
    """(kind, colour) pairs that some card asks about."""
    told = " ".join(card_questions())
    return {(k, c) for c in COLORS for k in KINDS if f"{c} {k}" in told}
