"""DEMON: interleaved instructions, 29 tasks in 7 categories; TF-IDF choice, or ROUGE-L."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sugar.evaluation.benchmark import Benchmark, Part, Question, Source, document
from sugar.evaluation.tasks.scores import said
from sugar.metrics.answers import demon_choice, demon_rouge_l

CATEGORIES = {
    "multi-modal dialogue": ("ALFRED_dialogue", "MMCoQA"),
    "visual relation inference": ("Spot-the-Diff", "Birds-to-Words", "CLEVR-Change", "IEdit"),
    "visual storytelling": ("AESOP", "PororoSV", "FlintstonesSV", "VIST", "DiDeMoSV"),
    "multi-modal cloze": ("COMICS_Dialogue", "COMICS_Panel", "RecipeQA_TextCloze", "RecipeQA_VisualCloze"),
    "knowledge grounded QA": ("WebQA", "TQA", "MMQA", "ManyModalQA"),
    "text-rich images QA": ("SlideVQA", "OCR-VQA", "DocVQA"),
    "multi-image reasoning": ("nuScenes", "ALFRED", "NLVR2", "MIT-States", "VizWiz-Place", "FashionQA"),
}
CATEGORY = {task: category for category, tasks in CATEGORIES.items() for task in tasks}
HOLDER = re.compile(r"\{image#(\d+)\}|<ImageHere>")


def interleaved(text: str, pictures: Sequence[Path]) -> tuple[Part, ...]:
    """The text with its place holders replaced by the pictures, in order; pictures without one come first."""
    parts: list[Part] = []
    at = used = 0
    for found in HOLDER.finditer(text):
        if before := text[at : found.start()].strip():
            parts.append(before)
        parts.append(pictures[int(found.group(1)) - 1 if found.group(1) else used])
        used, at = used + 1, found.end()
    rest = text[at:].strip()
    return (*(pictures if not used else ()), *parts, *([rest] if rest else []))


def read(folder: Path) -> Sequence[Question]:
    out = []
    for file in sorted(folder.glob("*/core/core.json")):
        task = file.parent.parent.name
        core = document(file)
        instructions = core["metadata"]["task_instruction"]
        for row in core["data"]:
            instance = row["task_instance"]
            options = tuple(instance.get("choice_list") or ())
            listed = f"\nChoice list: {list(options)}. Your answer is:" if options else ""
            text = f"{instructions[int(row['task_instruction_id'])]}\n{instance['context']}{listed}"
            pictures = [file.parent / "images" / name for name in instance["images_path"]]
            key = f"{task}/{row['sample_id']}"
            out.append(
                Question(key, interleaved(text, pictures), (row["response"],), task, options, tokens=64)
            )
    return out


def score(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """Mean over the tasks of each category, and over the categories, as the authors report."""
    by_task: dict[str, list[float]] = {}
    for text, item in zip(said(predictions), items, strict=True):
        if item.options:
            value = float(item.options[demon_choice(text, item.options)] == item.answers[0])
        else:
            value = demon_rouge_l(text, item.answers[0])
        by_task.setdefault(item.group, []).append(value)
    by_category: dict[str, list[float]] = {}
    for task, values in by_task.items():
        by_category.setdefault(CATEGORY.get(task, task), []).append(100 * float(np.mean(values)))
    means = {name: float(np.mean(values)) for name, values in by_category.items()}
    return {"mean": float(np.mean(list(means.values()))), **means}


BENCHMARKS = (
    Benchmark(
        "demon",
        "DEMON core",
        "Interleaved instructions over several pictures, 7 categories; TF-IDF choice or ROUGE-L.",
        read,
        score,
        Source({".": "github.com/DCDmllm/Cheetah (DEMON-core: TASK/core/core.json)"}, "MIT", "18,180 items"),
    ),
)
