"""MMVP: pairs of pictures that CLIP takes for one; both questions of a pair must be right.

MMVP-VLM: pairs to match, by embedding, or by saying which of two pictures a statement fits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Match, Question, Source, table
from sugar.evaluation.tasks.scores import LETTER, percent, said
from sugar.metrics.answers import letter_of, normalise_answer

OPTION = re.compile(r"\(([ab])\)\s*([^(]*)")


def read(folder: Path) -> Sequence[Question]:
    out = []
    for n, row in enumerate(table(folder / "Questions.csv")):
        options = tuple(text.strip() for _, text in OPTION.findall(row["options"]))
        out.append(
            Question(
                row["index"],
                (folder / "MMVP Images" / f"{row['index']}.jpg", f"{row['question']} {row['options']}"),
                (row["correct answer"].strip("()"),),
                options=options,
                instruction="Answer with the option's letter in brackets.",
                unit=f"pair {n // 2}",
            )
        )
    return out


def score(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """pair: both questions of a pair right (the authors' figure). An answer in words counts as its option."""
    right = _right(items, predictions)
    pairs = [all(right[i : i + 2]) for i in range(0, len(right) - 1, 2)]
    return {"pair": percent(pairs), "question": percent(right)}


def _right(items: Sequence[Question], predictions: Sequence[Any], letters: str = "ab") -> list[bool]:
    """Whether each answer names its option, by the letter or in words."""
    right = []
    for text, item in zip(said(predictions), items, strict=True):
        words = [normalise_answer(option) for option in item.options]
        named = words.index(normalise_answer(text)) if normalise_answer(text) in words else None
        letter = letter_of(text, len(item.options), letters) if named is None else named
        right.append(letter is not None and letters[letter] == item.answers[0])
    return right


def read_vlm(folder: Path) -> Sequence[Match]:
    listed = table(folder / "Questions.csv")
    out = []
    for first, second in zip(listed[::2], listed[1::2], strict=True):
        pictures = tuple(
            folder / "MLLM_VLM Images" / r["type"] / f"{r['question id']}.jpg" for r in (first, second)
        )
        statements = (first["statement"], second["statement"])
        out.append(Match(first["question id"], pictures, statements, first["type"]))
    return out


def score_vlm(items: Sequence[Match], predictions: Sequence[Any]) -> dict[str, float]:
    """Each picture prefers its own statement, strictly, for both pictures of a pair."""
    right: dict[str, list[bool]] = {}
    for item, p in zip(items, predictions, strict=True):
        s = p["scores"]  # [caption][picture]
        right.setdefault(item.group, []).append(s[0][0] > s[1][0] and s[1][1] > s[0][1])
    return _by_pattern(right)


def read_two(folder: Path) -> Sequence[Question]:
    """Two questions a pair: both pictures, one statement, and which picture it fits."""
    return [
        Question(
            f"{item.key}/{letter}",
            (*item.pictures, f'Which picture fits "{statement}"?\nA. the first\nB. the second'),
            (letter,),
            item.group,
            ("the first", "the second"),
            instruction=LETTER,
            unit=item.key,
        )
        for item in read_vlm(folder)
        for letter, statement in zip("AB", item.captions, strict=True)
    ]


def score_two(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """Both statements of a pair right, by pattern: one letter for all gets nothing."""
    pairs: dict[str, list[bool]] = {}
    for item, hit in zip(items, _right(items, predictions, "AB"), strict=True):
        pairs.setdefault(item.unit, []).append(hit)
    patterns = {item.unit: item.group for item in items}
    right: dict[str, list[bool]] = {}
    for unit, hits in pairs.items():
        right.setdefault(patterns[unit], []).append(all(hits))
    return _by_pattern(right)


def _by_pattern(right: dict[str, list[bool]]) -> dict[str, float]:
    """Percent of each visual pattern, and their mean."""
    return {
        "mean": percent([percent(v) / 100 for v in right.values()]),
        **{k: percent(v) for k, v in right.items()},
    }


SITE = "huggingface.co/datasets/MMVP/MMVP"
VLM = Source(
    {"Questions.csv": f"{SITE}_VLM", "MLLM_VLM Images": f"{SITE}_VLM"}, "MIT", "135 pairs", "MMVP/MMVP_VLM"
)
BENCHMARKS = (
    Benchmark(
        "mmvp",
        "MMVP",
        "300 questions in 150 pairs of look-alike pictures; both of a pair must be right.",
        read,
        score,
        Source({"Questions.csv": SITE, "MMVP Images": SITE}, "MIT", "300 questions", "MMVP/MMVP"),
        chance={"pair": 25.0, "question": 50.0},
    ),
    Benchmark(
        "mmvp_vlm",
        "MMVP-VLM",
        "135 pairs of pictures and statements in nine visual patterns.",
        read_vlm,
        score_vlm,
        VLM,
        chance={"mean": 25.0},
    ),
    Benchmark(
        "mmvp_vlm_two",
        "MMVP-VLM, answered over two pictures",
        "Both pictures and one statement at once, A or B. Both statements of a pair must be right.",
        read_two,
        score_two,
        VLM,
        chance={"mean": 25.0},
    ),
)
