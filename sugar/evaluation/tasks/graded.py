"""MM-Vet and LLaVA-Bench: free answers, written in the form that the authors' graders read.

No grader is called.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Question, Source, document, json_lines
from sugar.evaluation.tasks.scores import percent, said


def read_mmvet(folder: Path) -> Sequence[Question]:
    rows = document(folder / "mm-vet.json")
    return [
        Question(key, (folder / "images" / r["imagename"], r["question"]), (r["answer"],), tokens=256)
        for key, r in rows.items()
    ]


def export_mmvet(items: Sequence[Question], predictions: Sequence[Any], folder: Path) -> Path:
    """{"v1_0": "answer", ...}, as MM-Vet's evaluator takes it."""
    path = folder / "mm-vet-answers.json"
    answers = {item.key: text for item, text in zip(items, said(predictions), strict=True)}
    path.write_text(json.dumps(answers, indent=1, ensure_ascii=False), "utf-8")
    return path


def reader(name: str, folders: tuple[str, ...]) -> Callable[[Path], Sequence[Question]]:
    def read(folder: Path) -> Sequence[Question]:
        out = []
        for r in json_lines(folder / name):
            tried = [folder / sub / r["image"] for sub in folders]
            image = next((p for p in tried if p.is_file()), tried[0])
            out.append(Question(str(r["question_id"]), (image, r["text"]), (), r["category"], tokens=256))
        return out

    return read


def export_llava(items: Sequence[Question], predictions: Sequence[Any], folder: Path) -> Path:
    """One JSON line an answer, as LLaVA's eval_gpt_review_bench.py takes it."""
    path = folder / "answers.jsonl"
    rows = [
        {
            "question_id": int(i.key),
            "prompt": i.parts[-1],
            "answer_id": i.key,
            "model_id": "sugar",
            "text": text,
        }
        for i, text in zip(items, said(predictions), strict=True)
    ]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


def answered(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """Only what can be said without a grader: the share of answers that are not empty."""
    return {"answered": percent([bool(text.strip()) for text in said(predictions)])}


LLAVA_SITE = "github.com/haotian-liu/LLaVA (playground/data/eval)"
BENCHMARKS = (
    Benchmark(
        "mmvet",
        "MM-Vet",
        "Free answers that need several abilities; graded by the authors' program.",
        read_mmvet,
        answered,
        Source(
            {"mm-vet.json": "github.com/yuweihao/MM-Vet", "images": "github.com/yuweihao/MM-Vet"},
            "CC BY-NC 4.0",
            "218 questions, 0.1 GB",
        ),
        {"VILA-7B": {"score": 34.9}, "Sugar": {"score": 31.3}},
        export=export_mmvet,
    ),
    Benchmark(
        "llava_bench_wild",
        "LLaVA-Bench (in the wild)",
        "Conversation, detail and reasoning about 24 pictures; graded by the authors' program.",
        reader("questions.jsonl", ("images",)),
        answered,
        Source({"questions.jsonl": LLAVA_SITE, "images": LLAVA_SITE}, "Apache 2.0", "60 questions"),
        {"VILA-7B": {"score": 70.0}, "Sugar": {"score": 75.6}},
        export=export_llava,
    ),
    Benchmark(
        "llava_bench_coco",
        "LLaVA-Bench (COCO)",
        "Conversation, detail and reasoning about 30 COCO pictures.",
        reader("llava_bench_coco_questions.jsonl", ("val2014", "val2017", ".")),
        answered,
        Source({"llava_bench_coco_questions.jsonl": LLAVA_SITE}, "Apache 2.0", "90 questions"),
        export=export_llava,
    ),
)
