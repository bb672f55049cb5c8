"""`python -m sugar assets`: rebuild what is derived from the checkpoints that ship (`make assets`).

    assets/examples/        drawn pictures for the examples of the tabs
    gallery_index/sample/   the vectors of the sample gallery's photos, for both models that ship
    assets/golden.json      answers and similarities of the checkpoint, which a test holds it to
    assets/sugar-tiny/      quality.json (what `evaluate drawn` measured), and the examples in sugar.json

The checkpoints are frozen. The photos of the sample gallery lie in it alone, and the two in assets/examples
are photos too (assets/gallery/SOURCES.md): nothing here makes or removes them.
Drawn pictures come from fixed seeds of the test split: none was trained on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from sugar.model.checkpoint import read_settings, write_settings
from sugar.scenes.draw import picture
from sugar.scenes.words import (
    Edit,
    Story,
    WinogroundPair,
    sample_edit,
    sample_story,
    sample_winoground,
)
from sugar.scenes.world import Scene, sample_scene, split_rng

ASSETS = Path(__file__).resolve().parents[2] / "assets"
EXAMPLES_SEED = 902
QUALITY_SEED = 11  # seed 0 was looked at while the recipe was being found
SIDE = 384
PARTS = ["pictures", "index", "golden", "quality"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=str(ASSETS / "sugar-tiny"))
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    parser.add_argument("--size", type=int, default=1000, help="test scenes for quality.json")


def run(args: argparse.Namespace) -> int:
    wanted = [args.only] if args.only else PARTS
    if "pictures" in wanted:
        draw_examples(ASSETS / "examples")
        write_examples(ASSETS / "sugar-tiny", ASSETS / "examples" / "words.json")
    if set(wanted) & {"index", "golden", "quality"}:
        from sugar.core import Sugar

        model = Sugar.from_pretrained(args.model)
        if "index" in wanted:
            from sugar.gallery import Gallery

            for reader in (model, Sugar.from_pretrained(ASSETS / "sugar-photo")):
                with Gallery.open(ASSETS.parent / "gallery_index" / "sample", reader) as gallery:
                    if gallery.pending():  # else its files stay as they are, byte for byte
                        gallery.embed_pending()
                        gallery.settle()
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


def save(scene: Scene, path: Path) -> None:
    """A JPEG of the scene, with the empty EXIF of those that ship."""
    picture(scene, SIDE).save(path, quality=88, exif=Image.Exif(), optimize=True)


def example_scenes() -> tuple[np.random.Generator, Edit, Story]:
    """The generator for other examples, an edit and a story."""
    rng = split_rng("test", EXAMPLES_SEED)
    edit = sample_edit(sample_scene(rng, objects=2), rng, "color")
    return rng, edit, sample_story(rng)


def draw_examples(folder: Path) -> None:
    """Scenes to ask about, swapped pairs, an edit before and after, a story; photos there stay."""
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

    examples = {
        "chat": [
            {"files": files("scene-0.jpg"), "text": "what is in the picture?"},
            {"files": files("scene-4.jpg"), "text": "is it day or night?"},
            {"files": files("before.jpg", "after.jpg"), "text": profile["difference"]},
            {"files": files("scene-1.jpg"), "text": profile["describe"]},
        ],
        "compare": [
            *(
                {"files": files(f"pair-{n}-0.jpg", f"pair-{n}-1.jpg"), "captions": pair}
                for n, pair in enumerate(words["pairs"])
            ),
            {"files": files("before.jpg", "after.jpg"), "captions": []},
        ],
    }
    write_settings(checkpoint, **{**settings, "profile": {**profile, "examples": examples}})
