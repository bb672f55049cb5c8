"""COCO, NoCaps and Flickr8k captions: one caption a picture; BLEU-4, CIDEr-D and ROUGE-L."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sugar.evaluation.benchmark import Benchmark, Question, Source, document, text_lines
from sugar.evaluation.tasks.scores import captions
from sugar.text_files import word

INSTRUCTION = "Provide a one-sentence caption for the provided image."


def read_coco(folder: Path) -> Sequence[Question]:
    data = document(folder / "captions_val2017.json")
    return _of(data, folder, lambda image: folder / "val2017" / image["file_name"])


def read_nocaps(folder: Path) -> Sequence[Question]:
    data = document(folder / "nocaps_val_4500_captions.json")
    return _of(data, folder, lambda image: folder / "images" / image["file_name"])


def _of(data, folder, picture_of) -> list[Question]:  # type: ignore[no-untyped-def]
    said: dict[int, list[str]] = {}
    for a in data["annotations"]:
        if word(a["caption"]):
            said.setdefault(a["image_id"], []).append(a["caption"])
    return [
        Question(str(i["id"]), (picture_of(i),), tuple(said[i["id"]]), i.get("domain", ""), tokens=32)
        for i in data["images"]
        if i["id"] in said
    ]


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
        read_coco,
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
        read_nocaps,
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
