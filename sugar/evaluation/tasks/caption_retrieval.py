"""COCO 5K, Flickr30K, Flickr8k and NoCaps: captions find pictures and pictures find captions; first five
captions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sugar.evaluation.benchmark import Benchmark, Part, Pool, Query, Source, document
from sugar.evaluation.tasks.captions import FLICKR8K, annotated, flickr8k
from sugar.evaluation.tasks.scores import recall

CAPTIONS = 5


def pools(captioned: Mapping[str, tuple[Part, Sequence[str]]]) -> list[Pool]:
    """Both directions: every caption searches the pictures, every picture searches all captions.

    captioned: name -> picture and captions.
    """
    chosen = {name: said[:CAPTIONS] for name, (_, said) in captioned.items()}
    texts = {(name, f"{name}#{n}"): text for name, said in chosen.items() for n, text in enumerate(said)}
    to_image = [
        Query(f"t2i/{key}", (text,), frozenset({name}), group="t2i") for (name, key), text in texts.items()
    ]
    to_text = [
        Query(
            f"i2t/{name}", (picture,), frozenset(f"{name}#{n}" for n in range(len(chosen[name]))), group="i2t"
        )
        for name, (picture, _) in captioned.items()
    ]
    return [
        Pool(tuple(to_image), {name: ((picture,),) for name, (picture, _) in captioned.items()}),
        Pool(tuple(to_text), {key: ((text,),) for (_, key), text in texts.items()}),
    ]


def karpathy(name: str, split: str = "test") -> Callable[[Path], Sequence[Pool]]:
    """Karpathy's split file (dataset_coco.json, dataset_flickr30k.json)."""

    def read(folder: Path) -> Sequence[Pool]:
        rows = document(folder / name)["images"]
        return pools(
            {
                r["filename"]: (
                    folder / r.get("filepath", "flickr30k-images") / r["filename"],
                    [s["raw"] for s in r["sentences"]],
                )
                for r in rows
                if r["split"] == split
            }
        )

    return read


def read_flickr8k(folder: Path) -> Sequence[Pool]:
    return pools(
        {name: (folder / "Flicker8k_Dataset" / name, said) for name, said in flickr8k(folder).items()}
    )


def coco_form(file: str, place: str) -> Callable[[Path], Sequence[Pool]]:
    def read(folder: Path) -> Sequence[Pool]:
        images, captions = annotated(folder / file)
        named = {images[n]["file_name"]: said for n, said in captions.items() if n in images}
        return pools({name: (folder / place / name, said) for name, said in named.items()})

    return read


def paper(t2i: Sequence[float], i2t: Sequence[float] = ()) -> dict[str, float]:
    keys = ("r1", "r5", "r10")
    return {f"{d}_{k}": v for d, row in (("t2i", t2i), ("i2t", i2t)) for k, v in zip(keys, row, strict=False)}


SPLITS = "cs.stanford.edu/people/karpathy/deepimagesent (caption_datasets.zip)"
BENCHMARKS = (
    Benchmark(
        "coco_retrieval",
        "COCO 5K, Karpathy test",
        "Captions find pictures and pictures find captions, among 5,000 pictures.",
        karpathy("dataset_coco.json"),
        recall,
        Source(
            {"dataset_coco.json": SPLITS, "val2014": "cocodataset.org"}, "CC BY 4.0", "5,000 pictures, 6.6 GB"
        ),
        {
            "Sugar": paper((22.0, 49.1, 63.1), (25.6, 53.6, 66.7)),
            "VladVA": paper((59.0,), (72.9,)),
            "CLIP ViT-L": paper((37.0,), (58.1,)),
        },
    ),
    Benchmark(
        "coco_val2017_retrieval",
        "COCO val2017, the pictures that are there",
        "The same among the pictures of val2017 in the folder; not comparable with COCO 5K.",
        coco_form("captions_val2017.json", "val2017"),
        recall,
        Source(
            {"captions_val2017.json": "cocodataset.org", "val2017": "cocodataset.org"}, "CC BY 4.0", "1 GB"
        ),
    ),
    Benchmark(
        "flickr30k_retrieval",
        "Flickr30K 1K, Karpathy test",
        "Captions find pictures and pictures find captions, among 1,000 pictures.",
        karpathy("dataset_flickr30k.json"),
        recall,
        Source(
            {"dataset_flickr30k.json": SPLITS, "flickr30k-images": "shannon.cs.illinois.edu/DenotationGraph"},
            "research use",
            "1,000 pictures, 4 GB",
        ),
        {
            "VladVA": paper((85.0,), (94.3,)),
            "CLIP ViT-L": paper((67.3,), (87.2,)),
            "E5-V 8B": paper((79.5,), (88.2,)),
        },
    ),
    Benchmark(
        "flickr8k_retrieval",
        "Flickr8k 1K, official test",
        "Captions find pictures and pictures find captions, among 1,000 pictures.",
        read_flickr8k,
        recall,
        Source(FLICKR8K, "research use", "1,000 pictures, 1.1 GB"),
        {"2WayNet (Eisenschtat & Wolf 2017)": paper((29.3,), (43.4,))},
    ),
    Benchmark(
        "nocaps_retrieval",
        "NoCaps, validation",
        "Captions find pictures and pictures find captions; the first five captions of ten.",
        coco_form("nocaps_val_4500_captions.json", "images"),
        recall,
        Source(
            {"nocaps_val_4500_captions.json": "nocaps.org/download", "images": "nocaps.org/download"},
            "CC BY 2.0",
            "4,500 pictures, 1.5 GB",
        ),
        {"VladVA": paper((72.3,), (85.7,)), "CLIP ViT-L": paper((48.6,))},
    ),
)
