"""MME: two yes/no questions a picture, in 10 subtasks of perception and 4 of cognition; accuracy + accuracy
plus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Question, Source, text_lines
from sugar.evaluation.tasks.scores import SHORT, said
from sugar.metrics.answers import mme

SUBTASKS = {
    "perception": (
        "existence",
        "count",
        "position",
        "color",
        "posters",
        "celebrity",
        "scene",
        "landmark",
        "artwork",
        "OCR",
    ),
    "cognition": ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"),
}
ENDINGS = (".jpg", ".png", ".jpeg")


def reader(part: str) -> Callable[[Path], Sequence[Question]]:
    def read(folder: Path) -> Sequence[Question]:
        out = []
        for task in SUBTASKS[part]:
            root = folder / task
            texts = root / "questions_answers_YN" if (root / "questions_answers_YN").is_dir() else root
            pictures = root / "images" if (root / "images").is_dir() else root
            for file in sorted(texts.glob("*.txt")):
                image = next(p for e in ENDINGS if (p := pictures / f"{file.stem}{e}").is_file())
                for n, line in enumerate(text_lines(file)):
                    question, _, answer = line.rpartition("\t")
                    key = f"{task}/{file.stem}"
                    bare = question.removesuffix(" Please answer yes or no.")
                    out.append(
                        Question(
                            f"{key}/{n}",
                            (image, bare),
                            (answer,),
                            task,
                            tokens=8,
                            unit=key,
                            instruction=f"Please answer yes or no.\n{SHORT}",
                        )
                    )
        return out

    return read


def score(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """Points: up to 200 a subtask; their sum is the figure that papers give."""
    pairs = list(zip(said(predictions), items, strict=True))
    points = {
        task: mme([(text, item.answers[0]) for text, item in pairs if item.group == task]).score
        for task in dict.fromkeys(item.group for item in items)
    }
    return {"points": sum(points.values()), **points}


def benchmark(part: str, size: str, papers: dict[str, dict[str, float]]) -> Benchmark:
    return Benchmark(
        f"mme_{part}",
        f"MME, {part}",
        "Two yes/no questions a picture; points = accuracy + share of pictures with both right.",
        reader(part),
        score,
        Source(
            {
                task: "github.com/BradyFU/Awesome-Multimodal-Large-Language-Models (MME)"
                for task in SUBTASKS[part]
            },
            "research use, on request",
            size,
        ),
        papers,
    )


BENCHMARKS = (
    benchmark("perception", "2,114 questions", {"VILA-7B": {"points": 1533.0}, "Sugar": {"points": 1550.8}}),
    benchmark("cognition", "260 questions", {"VILA-7B": {"points": 296.1}, "Sugar": {"points": 300.0}}),
)
