"""A folder as sugar/everyday/archive.py reads it: drawn scenes in place of photos."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from sugar.scenes import sample_scene, short_caption
from sugar.scenes.draw import draw


def drawn_archive(folder: Path) -> Path:
    """Thirty drawn scenes in place of photos, with captions in words that the lists know."""
    rng = np.random.default_rng(0)
    names = [f"{n:04}.jpg" for n in range(30)]
    lines = []
    for collection in ("flickr8k", "coco_plain", "imagenet500"):
        with zipfile.ZipFile(folder / f"{collection}.zip", "w") as file:
            for name in names[: 30 if collection == "flickr8k" else 6]:
                scene = sample_scene(rng)
                stream = io.BytesIO()
                Image.fromarray(draw(scene)).resize((64, 64)).save(stream, "JPEG")
                file.writestr(name, stream.getvalue())
                if collection == "flickr8k":
                    color, animal = rng.choice(["red", "brown", "white"]), rng.choice(["dog", "cat", "horse"])
                    lines += [f"{name}\tA {color} {animal} runs in the snow ."] * 2
                    lines += [
                        f"{name}\tThe {color} {animal} is running .",
                        f"{name}\t{short_caption(scene, rng).words} .",
                    ]
    (folder / "flickr8k.tsv").write_text("\n".join(lines), "utf-8")
    for split, part in (("train", names[:18]), ("dev", names[18:]), ("test", names[18:])):
        (folder / f"flickr8k_{split}.txt").write_text("\n".join(part), "utf-8")
    (folder / "sentences.txt").write_text("\n".join(f"A dog sees {n} cats ." for n in range(40)), "utf-8")
    (folder / "imagenet_classes.txt").write_text("\n".join(f"kind {n}" for n in range(1000)), "utf-8")
    return folder
