"""VQAv2, TextVQA and VizWiz: short answers against those of ten people, by VQA accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sugar.evaluation.benchmark import Benchmark, Question, Source, document
from sugar.evaluation.tasks.scores import SHORT, vqa

UNANSWERABLE = "When the provided information is insufficient, respond with 'Unanswerable'."


def read_vqav2(folder: Path) -> Sequence[Question]:
    asked = document(folder / "v2_OpenEnded_mscoco_val2014_questions.json")["questions"]
    given = document(folder / "v2_mscoco_val2014_annotations.json")["annotations"]
    answers = {a["question_id"]: (tuple(x["answer"] for x in a["answers"]), a["answer_type"]) for a in given}
    return [
        Question(
            str(q["question_id"]),
            (folder / "val2014" / f"COCO_val2014_{q['image_id']:012d}.jpg", q["question"]),
            answers[q["question_id"]][0],
            answers[q["question_id"]][1],
            instruction=SHORT,
        )
        for q in asked
    ]


def read_textvqa(folder: Path) -> Sequence[Question]:
    rows = document(folder / "TextVQA_0.5.1_val.json")["data"]
    return [
        Question(
            str(r["question_id"]),
            (folder / "train_images" / f"{r['image_id']}.jpg", r["question"]),
            tuple(r["answers"]),
            instruction=SHORT,
        )
        for r in rows
    ]


def read_vizwiz(folder: Path) -> Sequence[Question]:
    rows = document(folder / "val.json")
    return [
        Question(
            r["image"],
            (folder / "val" / r["image"], r["question"]),
            tuple(a["answer"] for a in r["answers"]),
            instruction=f"{UNANSWERABLE}\n{SHORT}",
        )
        for r in rows
    ]


VQA_SITE = "visualqa.org/download.html"
BENCHMARKS = (
    Benchmark(
        "vqav2",
        "VQAv2, validation",
        "Open questions about COCO pictures; VQA accuracy over ten answers.",
        read_vqav2,
        vqa,
        Source(
            {
                "v2_OpenEnded_mscoco_val2014_questions.json": VQA_SITE,
                "v2_mscoco_val2014_annotations.json": VQA_SITE,
                "val2014": "cocodataset.org (val2014.zip)",
            },
            "CC BY 4.0 (annotations)",
            "214,354 questions, 6.6 GB",
        ),
        {"VILA-7B": {"accuracy": 79.9}, "Sugar": {"accuracy": 76.0}},
    ),
    Benchmark(
        "textvqa",
        "TextVQA, validation",
        "Questions about the text in a picture; VQA accuracy over ten answers.",
        read_textvqa,
        vqa,
        Source(
            {"TextVQA_0.5.1_val.json": "textvqa.org/dataset", "train_images": "textvqa.org/dataset"},
            "CC BY 4.0",
            "5,000 questions, 6.6 GB",
        ),
        {"VILA-7B": {"accuracy": 64.4}, "Sugar": {"accuracy": 57.5}},
    ),
    Benchmark(
        "vizwiz",
        "VizWiz-VQA, validation",
        "Questions that blind people asked about their photos; VQA accuracy over ten answers.",
        read_vizwiz,
        vqa,
        Source({"val.json": "vizwiz.org", "val": "vizwiz.org"}, "CC BY 4.0", "4,319 questions, 2 GB"),
        {"VILA-7B": {"accuracy": 57.8}, "Sugar": {"accuracy": 60.4}},
    ),
)
