"""`python -m sugar assets`: rebuild everything that is derived from the shipped checkpoint (`make assets`).

    assets/gallery/         306 drawn pictures with the time taken: 41 stories of five pictures in a row, and single scenes
    assets/cards/           knowledge cards: pictures of things and a csv of what only the card knows, for "Ask your gallery"
    assets/examples/        pictures for the examples of the tabs
    gallery_index/sample/   the sample gallery's index
    assets/golden.json      answers and similarities of the checkpoint, which a test holds it to
    assets/sugar-tiny/      quality.json (what `evaluate drawn` measured) and README.md, the model card

Pictures come from fixed seeds of the test split, so none was ever trained on. Not covered: training (`python -m sugar train`).
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

from sugar.scenes.draw import picture
from sugar.scenes.stories import (
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
from sugar.scenes.world import COLORS, HELD_OUT_PAIRS, KINDS, Scene, Thing, sample_scene, split_rng

ASSETS = Path(__file__).resolve().parents[2] / "assets"
GALLERY_SEED, CARDS_SEED, EXAMPLES_SEED = 900, 901, 902
QUALITY_SEED = 11  # seed 0 was looked at while the recipe was being found
SIDE = 384
STORIES, SINGLES, CARDS = 40, 100, 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=str(ASSETS / "sugar-tiny"))
    parser.add_argument("--only", choices=["pictures", "index", "golden", "quality", "card"], help="one part instead of all")
    parser.add_argument("--size", type=int, default=1000, help="test scenes for quality.json")


def run(args: argparse.Namespace) -> int:
    wanted = [args.only] if args.only else ["pictures", "index", "golden", "quality", "card"]
    if "pictures" in wanted:
        draw_gallery(ASSETS / "gallery")
        draw_cards(ASSETS / "cards")
        draw_examples(ASSETS / "examples")
    if set(wanted) & {"index", "golden", "quality"}:
        from sugar.core import Sugar

        model = Sugar.from_pretrained(args.model)
        if "index" in wanted:
            from sugar.gallery import build_sample

            build_sample(ASSETS / "gallery", ASSETS.parent / "gallery_index" / "sample", model).close()
        if "golden" in wanted:
            from sugar.evaluation.golden import golden

            (ASSETS / "golden.json").write_text(json.dumps(golden(model), indent=1) + "\n", encoding="utf-8")
        if "quality" in wanted:
            from sugar.evaluation.drawn import measure

            report = measure(model, seed=QUALITY_SEED, size=args.size).flat()
            (Path(args.model) / "quality.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if "card" in wanted:
        from sugar.evaluation.drawn import ROWS
        from sugar.training.card import write_card

        write_card(Path(args.model), {row.key: row.title for row in ROWS})
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
    _, edit, story = example_scenes()  # what the examples of the Search tab look for
    for k, scene in enumerate([*story.scenes, edit.after]):
        save(scene, folder / f"drawn-{number + 1 + k:03d}.jpg", clock + dt.timedelta(days=1 + (k == 5), minutes=k))


def draw_cards(folder: Path) -> None:
    """Cards about things that all differ in kind or colour; `asked-*.jpg` show some of them again, elsewhere."""
    folder, rng = _fresh(folder), split_rng("test", CARDS_SEED)
    pairs = [(k, c) for k in KINDS for c in COLORS if (k, c) not in HELD_OUT_PAIRS]
    chosen = [pairs[i] for i in rng.permutation(len(pairs))[:CARDS]]
    with open(folder / "cards.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "question", "answer"])
        for n, (kind, color) in enumerate(chosen):
            card = card_for(Thing(kind, color, "big", "plain", 1, 1), rng)
            if n < 20:  # half of the cards are about names
                card = Card(card.scene, f"what is the name of the {color} {kind}?", invented_name(rng))
            save(card.scene, folder / f"card-{n:02d}.jpg")
            writer.writerow([f"card-{n:02d}.jpg", card.question, card.answer])
            if n < 4:
                save(meet_again(card, rng), folder / f"asked-{n:02d}.jpg")


def example_scenes() -> tuple[np.random.Generator, Edit, Story]:
    """The generator for other examples, and an edit and a story that stand in the sample gallery too."""
    rng = split_rng("test", EXAMPLES_SEED)
    edit = sample_edit(sample_scene(rng, things=2), rng, "color")
    return rng, edit, sample_story(rng)


def draw_examples(folder: Path) -> None:
    """Pictures for the tabs: scenes to ask about, swapped pairs, an edit before and after, a story."""
    folder = _fresh(folder)
    rng, edit, story = example_scenes()
    words: dict[str, object] = {}
    for n in range(6):
        save(sample_scene(rng, things=2 + n % 3), folder / f"scene-{n}.jpg")
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
