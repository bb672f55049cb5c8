"""COCO, NoCaps and Flickr8k captions: one caption a picture; BLEU-4, CIDEr-D and ROUGE-L."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Question, Source, document, text_lines
from sugar.evaluation.tasks.scores import captions
from sugar.text_files import word


def annotated(file: Path) -> tuple[dict[int, dict[str, Any]], dict[int, list[str]]]:
    """COCO's form: the pictures and their captions, each by the picture's number in the file's order."""
    data = document(file)
    said: dict[int, list[str]] = {}
    for a in data["annotations"]:
        if word(a["caption"]):
            said.setdefault(a["image_id"], []).append(a["caption"])
    return {image["id"]: image for image in data["images"]}, said


def reader(file: str, place: str) -> Callable[[Path], Sequence[Question]]:
    def read(folder: Path) -> Sequence[Question]:
        images, said = annotated(folder / file)
        return [
            Question(
                str(n), (folder / place / i["file_name"],), tuple(said[n]), i.get("domain", ""), tokens=32
            )
            for n, i in images.items()
            if n in said
        ]

    return read


def flickr8k(folder: Path) -> dict[str, list[str]]:
    """Picture -> its five captions, of the official test split (Flickr_8k.testImages.txt)."""
    names = text_lines(folder / "Flickr_8k.testImages.txt")
    said: dict[str, list[str]] = {name.strip(): [] for name in names}
    for line in text_lines(folder / "Flickr8k.token.txt"):
        name, _, caption = line.partition("\t")
        name = name.split("#", 1)[0]
        if name in said:
            said[name].append(caption.strip())
    return said


def read_flickr8k(folder: Path) -> Sequence[Question]:
    return [
        Question(name, (folder / "Flicker8k_Dataset" / name,), tuple(said), tokens=32)
        for name, said in flickr8k(folder).items()
    ]


FLICKR8K = {
    "Flickr8k.token.txt": "github.com/jbrownlee/Datasets (Flickr8k_text.zip)",
    "Flickr_8k.testImages.txt": "github.com/jbrownlee/Datasets (Flickr8k_text.zip)",
    "Flicker8k_Dataset": "github.com/jbrownlee/Datasets (Flickr8k_Dataset.zip)",
}
BENCHMARKS = (
    Benchmark(
        "coco_captions",
        "COCO captions, val2017",
        "One caption a picture against five references.",
        reader("captions_val2017.json", "val2017"),
        captions,
        Source(
            {
                "captions_val2017.json": "cocodataset.org (annotations_trainval2017.zip)",
                "val2017": "cocodataset.org",
            },
            "CC BY 4.0 (annotations)",
            "5,000 pictures, 1 GB",
        ),
    ),
    Benchmark(
        "nocaps_captions",
        "NoCaps, validation",
        "Captions of things that COCO does not name, ten references.",
        reader("nocaps_val_4500_captions.json", "images"),
        captions,
        Source(
            {"nocaps_val_4500_captions.json": "nocaps.org/download", "images": "nocaps.org/download"},
            "CC BY 2.0",
            "4,500 pictures, 1.5 GB",
        ),
    ),
    Benchmark(
        "flickr8k_captions",
        "Flickr8k captions, test",
        "One caption a picture against five references.",
        read_flickr8k,
        captions,
        Source(FLICKR8K, "research use", "1,000 pictures, 1.1 GB"),
        {"Hard-Attention (Xu et al. 2015)": {"bleu4": 21.3}},
    ),
)
