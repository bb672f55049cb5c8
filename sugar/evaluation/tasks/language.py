"""Has a model kept the language of its base? Perplexity of English that no photo shows, and its own answers.

    ours, base = measure(benchmark(), model), measure(benchmark(), base_model)
    kept(ours, base)         # {"language_perplexity": .., "language_kept": .., "language_rouge": ..}
    python -m sugar evaluate language --model runs/mine --base assembled

The text is the prose of Python's own documentation (`pydoc_data`), the second half of a paragraph given the
first. Not covered: other languages, facts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sugar.errors import SettingsError
from sugar.evaluation.benchmark import Benchmark, Question
from sugar.evaluation.runner import Measured
from sugar.metrics.captions import rouge_l
from sugar.sequence import Sample

TOKENS = 48
PROSE = re.compile(r"[^*\"`:<>=\[\]{}_\\|]+")
"""A paragraph without markup."""

THINGS = """a spoon|a ladder|a violin|a cactus|cheese|a lighthouse|a passport|rice|a bakery|a nurse
the equator|chess|a thermometer|wool|a tractor|an onion|a library|fog|a penguin|soap|a magnet
an airport|the heart|a bee|salt|a diary|a volcano|an island|a clock|a poem|a pilot|a kitchen
glass|a desk|jealousy|the alphabet|a wedding|a dentist|silk|a raincoat"""
JOBS = (
    "What is {} used for, or good for?",
    "Write one sentence about {}.",
    "Name two facts about {}.",
    "Ask me a question about {}.",
    "Say something kind about {}.",
)


@dataclass(frozen=True)
class Paragraph:
    """English prose in two halves."""

    key: str
    begun: str
    rest: str
    group: str = "prose"


def prompts() -> list[str]:
    """200 things that people say, none of which `sugar/training/material.py` trains on."""
    things = [thing for line in THINGS.split("\n") for thing in line.split("|")]
    return [job.format(thing) for thing in things for job in JOBS]


def paragraphs() -> list[Paragraph]:
    """Prose of 40 to 90 words."""
    from pydoc_data.topics import topics

    found = [" ".join(p.split()) for _, text in sorted(topics.items()) for p in text.split("\n\n")]
    chosen = [p for p in dict.fromkeys(found) if 40 <= len(p.split()) <= 90 and PROSE.fullmatch(p)]
    halves = [(p.split()[: len(p.split()) // 2], p.split()[len(p.split()) // 2 :]) for p in chosen]
    return [Paragraph(f"prose/{n}", " ".join(a), " ".join(b)) for n, (a, b) in enumerate(halves)]


def items(_: Path) -> list[Any]:
    asked = [Question(f"said/{n}", (text,), group="said", tokens=TOKENS) for n, text in enumerate(prompts())]
    return [*asked, *paragraphs()]


def predict(model: Any, _: Path, chosen: Sequence[Paragraph]) -> Iterator[dict[str, Any]]:
    for paragraph in chosen:
        score = float(model.score(Sample(paragraph.begun), [paragraph.rest])[0])
        yield {"key": paragraph.key, "score": score, "tokens": len(model.processor.encode(paragraph.rest))}


def score(read: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
    """The perplexity a token."""
    prose = [p for item, p in zip(read, predictions, strict=True) if isinstance(item, Paragraph)]
    return {
        "language_perplexity": math.exp(-sum(p["score"] for p in prose) / sum(p["tokens"] for p in prose))
    }


def kept(ours: Measured, base: Measured) -> dict[str, float]:
    """Our perplexity over the base's, and ROUGE-L of our answers to the base's, in percent.

    Raises SettingsError when the two cut text into different tokens, so that perplexities do not compare.
    """
    counts = [[p.get("tokens") for p in found.predictions] for found in (ours, base)]
    if counts[0] != counts[1]:
        raise SettingsError(
            "The two models have different tokenizers. Name the base that this one came from."
        )
    name = "language_perplexity"
    said = [[p["text"] for p in found.predictions if "text" in p] for found in (ours, base)]
    return {
        name: ours.figures[name],
        f"{name}_of_base": base.figures[name],
        "language_kept": ours.figures[name] / base.figures[name],
        "language_rouge": 100 * float(np.mean([rouge_l(a, b) for a, b in zip(*said, strict=True)])),
    }


def benchmark() -> Benchmark:
    about = "Perplexity of prose, and answers to 200 prompts beside the base's."
    return Benchmark("language", "Language kept", about, items, score, predict=predict)
