"""FVQA and WebQA: answers that need facts from outside the picture, by ROUGE-L.

FVQA is asked without sources and WebQA with its gold ones. The paper retrieves (by the mean of the similarity
to a picture and to a text), so its figures with sources are of another task and do not stand beside these.
`webqa_positions` puts the one gold picture at each place among wrong ones: what stands in the middle is read
least (Sugar, figure 1a).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sugar.evaluation.benchmark import Benchmark, Part, Question, Source, document
from sugar.evaluation.tasks.scores import SHORT, by_group, percent, said
from sugar.metrics.captions import rouge_l


def read_fvqa(folder: Path) -> Sequence[Question]:
    rows = document(folder / "all_qs_dict_release.json")
    return [
        Question(key, (folder / "images" / r["img_file"], r["question"]), (r["answer"],), instruction=SHORT)
        for key, r in rows.items()
    ]


def read_webqa(folder: Path) -> Sequence[Question]:
    """The validation questions with their gold sources: pictures by number, or text facts."""
    rows = document(folder / "WebQA_train_val.json")
    out = []
    for key, r in rows.items():
        if r["split"] != "val":
            continue
        parts: list[Part] = []
        for fact in r.get("img_posFacts", ()):
            parts += [folder / "images" / f"{fact['image_id']}.jpg", fact["caption"]]
        parts += [fact["fact"] for fact in r.get("txt_posFacts", ())]
        question = r["Q"].strip('"')
        answer = r["A"][0].strip('"')
        out.append(Question(key, (*parts, question), (answer,), r.get("Qcate", ""), tokens=48))
    return out


PLACES = 5
"""Pictures of a sequence in which the gold one is moved."""


def read_positions(folder: Path) -> Sequence[Question]:
    """Each validation question with one gold picture and enough wrong ones, asked once for each place."""
    out = []
    for key, r in document(folder / "WebQA_train_val.json").items():
        right, wrong = r.get("img_posFacts", ()), r.get("img_negFacts", ())[: PLACES - 1]
        if r["split"] != "val" or len(right) != 1 or len(wrong) < PLACES - 1:
            continue
        for place in range(PLACES):
            told: list[Part] = []
            for fact in [*wrong[:place], *right, *wrong[place:]]:
                told += [folder / "images" / f"{fact['image_id']}.jpg", fact["caption"]]
            parts, answer = (*told, r["Q"].strip('"')), r["A"][0].strip('"')
            group = f"place_{place + 1}"
            out.append(Question(f"{key}/{place + 1}", parts, (answer,), group, tokens=48, unit=key))
    return out


def score_positions(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    """ROUGE-L by the place of the gold picture, and their mean."""
    by_place = {
        name: percent([rouge_l(p["text"], q.answers[0]) for q, p in rows])
        for name, rows in by_group(items, predictions).items()
    }
    return {"mean": percent(list(by_place.values())) / 100, **by_place}


def score(items: Sequence[Question], predictions: Sequence[Any]) -> dict[str, float]:
    pairs = zip(said(predictions), items, strict=True)
    return {"rouge_l": percent([rouge_l(text, item.answers[0]) for text, item in pairs])}


WEBQA = Source(
    {"WebQA_train_val.json": "webqna.github.io", "images": "webqna.github.io"},
    "CC BY-SA (Wikimedia)",
    "4,966 questions, 51 GB",
)
FVQA_SITE = "github.com/wangpengnorman/FVQA"
BENCHMARKS = (
    Benchmark(
        "fvqa",
        "FVQA",
        "Questions that need a fact from a knowledge base; ROUGE-L.",
        read_fvqa,
        score,
        Source(
            {"all_qs_dict_release.json": FVQA_SITE, "images": FVQA_SITE}, "research use", "5,826 questions"
        ),
        {"Sugar, without sources": {"rouge_l": 6.5}},
    ),
    Benchmark(
        "webqa",
        "WebQA, validation with gold sources",
        "Questions over several pictures and texts of the web; ROUGE-L.",
        read_webqa,
        score,
        WEBQA,
    ),
    Benchmark(
        "webqa_positions",
        "WebQA, the gold picture at each of five places",
        "One gold picture among four wrong ones, at the first to the last place; ROUGE-L by place.",
        read_positions,
        score_positions,
        WEBQA,
    ),
)
