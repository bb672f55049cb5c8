"""Ask, end to end: questions with and without an answer through `sugar.rag.ask`, judged; and its thresholds.

    found = runner.measure(benchmark(seed=0, size=1000), model)
    python -m sugar evaluate ask --model sugar-tiny --size 1000
    curve_of(found).thresholds          # of a benchmark of the split "tuning" with the cut-off 0

right: the answer holds the words that were asked for. wrong: another answer. abstained: "I do not know".
cited right: every citation points to what holds the answer. For a question without an answer in the base,
abstaining is right. Beside it stand four simple ways to answer, which never abstain.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sugar.errors import SettingsError
from sugar.evaluation.benchmark import Benchmark
from sugar.evaluation.comparison import FEW, share_interval
from sugar.evaluation.report import markdown_table
from sugar.evaluation.runner import Measured
from sugar.evaluation.tasks.ask_bases import Base, Case, Split, bases
from sugar.evaluation.tasks.scores import by_group
from sugar.images import thumbnail
from sugar.passages import Passage
from sugar.search_words import tokens
from sugar.sequence import Sample

Rows = Sequence[tuple[Case, dict[str, Any]]]
BASELINES = ("bm25", "vectors", "look-up", "first")
VERDICTS = ("right", "wrong", "abstained")
STRICT, BALANCED = 0.01, 0.05
"""Shares of questions without an answer that may be answered."""


def benchmark(
    seed: int = 0, size: int = 1000, *, split: Split = "test", cut_off: float | None = None
) -> Benchmark:
    """size: number of cards. Raises SettingsError below 10."""
    if size < 10:
        raise SettingsError(f"size is {size}; give at least 10 cards. Use 100 for a look, 1000 for a report.")

    def predict(model: Any, _: Path, cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
        waiting = {case.key for case in cases}
        with tempfile.TemporaryDirectory() as folder:
            for number, base in enumerate(bases(split, seed, size)):
                if own := [case for case in base.cases if case.key in waiting]:
                    yield from answered(model, base, own, Path(folder) / str(number), cut_off)

    def read(_: Path) -> list[Case]:
        return [case for base in bases(split, seed, size) for case in base.cases]

    title, about = f"Ask, {split}, seed {seed}, size {size}", "Questions to cards, notes and galleries."
    return Benchmark("ask", title, about, read, score, predict=predict)


def answered(
    model: Any, base: Base, cases: Sequence[Case], folder: Path, cut_off: float | None
) -> Iterator[dict[str, Any]]:
    """What `rag.ask` answers to each question, and what the four simple ways answer."""
    from sugar.gallery import Gallery
    from sugar.rag import KnowledgeBase, ask

    gallery = None
    if base.pictures:
        gallery = Gallery.create(folder, model)
        files = [(name, thumbnail(image, 512, quality=95)) for name, image, _ in base.pictures]
        gallery.add(files, captions={name: caption for name, _, caption in base.pictures})
    try:
        knowledge = KnowledgeBase(model, passages=base.passages, gallery=gallery)
        generate = partial(model.generate, max_new_tokens=24)
        for case, simple in zip(cases, simple_answers(knowledge, base, cases), strict=True):
            *_, reply = ask(model, knowledge, Sample(case.question), cut_off=cut_off, generate=generate)
            yield {
                "key": case.key,
                "text": reply.text if reply.known else "",
                "cited": [reply.hits[n - 1].name for n in reply.cited],
                "score": float(reply.nearest.score) if reply.nearest is not None else 0.0,
                **simple,
            }
    finally:
        if gallery is not None:
            gallery.close()


def simple_answers(base: Any, asked: Base, cases: Sequence[Case]) -> Iterator[dict[str, str]]:
    """The best sentence of the passage by BM25 alone, by vectors alone, by a string look-up, and of the first
    passage.
    """
    from sugar.rag import best_sentence

    told = list(base.passages)
    if base.gallery is not None:
        told = [Passage(i.name, i.caption, item=i.id) for i in base.gallery.items()]
    row_of = {passage.item: n for n, passage in enumerate(told)}
    vectors = base.model.embed([Sample(c.question) for c in cases]).pooled
    words = [Counter(f"{p.name} {p.text} {p.answer}".lower().split()) for p in told]
    exact = {p.text.lower(): i for i, p in enumerate(told)}
    for case, vector in zip(cases, vectors, strict=True):
        if base.gallery is not None:
            by_words = [row_of.get(found[0]) for found in base.gallery.by_words(case.question, 1)]
            by_vector = row_of.get(int(base.gallery.nearest(vector[None], 1)[1][0][0]))
        else:
            by_words = list(base.found_by_words(case.question, 1))
            by_vector = int(np.argmax(base.keys @ vector + base.texts @ vector))
        picks = {
            "bm25": by_words[0] if by_words else None,
            "vectors": by_vector,
            "look-up": exact.get(case.question.lower(), _most_shared(case.question, words)),
            "first": 0,
        }
        terms = base.terms(case.question)
        yield {
            name: "" if pick is None else best_sentence(terms, case.question, told[pick])
            for name, pick in picks.items()
        }


def _most_shared(question: str, words: Sequence[Counter[str]]) -> int | None:
    asked = question.lower().split()
    shared = [sum(w in there for w in asked) for there in words]
    return int(np.argmax(shared)) if max(shared, default=0) else None


def verdict(case: Case, answer: str) -> str:
    """right, wrong or abstained; answer: "" for none."""
    if not case.answer:
        return "wrong" if answer else "right"
    if not answer:
        return "abstained"
    return "right" if f" {' '.join(tokens(case.answer))} " in f" {' '.join(tokens(answer))} " else "wrong"


def score(cases: Sequence[Case], predictions: Sequence[Any]) -> dict[str, float]:
    """Percent by group as "GROUP: right", and over the groups that have a bar. Citations are counted."""
    groups = by_group(cases, predictions)

    def share(rows: Rows, wanted: str) -> float:
        return 100 * sum(verdict(c, p["text"]) == wanted for c, p in rows) / max(1, len(rows))

    def cited(rows: Rows) -> tuple[int, int]:
        right = [all(name in c.sources for name in p["cited"]) for c, p in rows if p["cited"]]
        return sum(right), len(right) - sum(right)

    def together(*ends: str) -> Rows:
        return [row for group, rows in groups.items() if group.endswith(ends) for row in rows]

    absent = [r for g, rows in groups.items() if "absent" in g and not g.endswith("fact") for r in rows]
    right, wrong = cited([row for group, rows in groups.items() if "absent" not in group for row in rows])
    out = {
        "reworded_right": share(together("reworded"), "right"),
        "reworded_wrong": share(together("reworded"), "wrong"),
        "otherwise_right": share(together("punctuation", "word order"), "right"),
        "absent_abstained": share(absent, "right"),
        "citations_right": 100 * right / max(1, right + wrong),
    }
    for group, rows in groups.items():
        simple = {n: 100 * np.mean([verdict(c, p[n]) == "right" for c, p in rows]) for n in BASELINES}
        counted = dict(zip(("cited_right", "cited_wrong"), cited(rows), strict=True))
        shares = {v: share(rows, v) for v in VERDICTS}
        own: dict[str, Any] = {"questions": len(rows), **shares, **counted, **simple}
        out |= {f"{group}: {name}": float(value) for name, value in own.items()}
    return out


# -- the table ----------------------------------------------------------------------------------------------

COLUMNS = (
    *("%", "questions", "right", "wrong", "abstained", "cited right : wrong"),
    *("BM25: right", "vectors: right", "look-up: right", "first passage: right"),
)
BARS = (
    ("reworded, right", "reworded_right", ">= 70"),
    ("reworded, wrong", "reworded_wrong", "<= 10"),
    ("absent, abstained", "absent_abstained", ">= 90"),
    ("citations right", "citations_right", ">= 95"),
)


def nested(figures: dict[str, float]) -> dict[str, Any]:
    """The figures, with an object for each group."""
    out: dict[str, Any] = {}
    for key, value in figures.items():
        group, colon, name = key.partition(": ")
        counted = name in ("questions", "cited_right", "cited_wrong")
        into, last = (out.setdefault(group, {}), name) if colon else (out, key)
        into[last] = int(value) if counted else round(value, 1)
    return out


def rows(figures: dict[str, float]) -> list[list[Any]]:
    """A row of `COLUMNS` for each group, then one for each figure with a bar; "right" with its interval where
    the questions are few."""
    found, out = nested(figures), []
    for group, own in found.items():
        if isinstance(own, dict):
            counts = [own[k] for k in ("questions", *VERDICTS)]
            counts[1] = _told(counts[1], counts[0])
            cited = f"{own['cited_right']} : {own['cited_wrong']}"
            out.append([group, *counts, cited, *(own[b] for b in BASELINES)])
    groups = {group: own for group, own in found.items() if isinstance(own, dict)}
    absent = [g for g in groups if "absent" in g]
    asked = {
        "reworded": sum(own["questions"] for g, own in groups.items() if g.endswith("reworded")),
        "absent": sum(groups[g]["questions"] for g in absent if not g.endswith("fact")),
        "citations": sum(
            own["cited_right"] + own["cited_wrong"] for g, own in groups.items() if g not in absent
        ),
    }
    for title, key, bar in BARS:
        share = _told(found[key], asked[key.partition("_")[0]])
        out.append([f"**{title}: {share}** (bar {bar})", *[None] * (len(COLUMNS) - 1)])
    return out


def _told(percent: float, count: int) -> Any:
    """A share, with its interval where it is of few."""
    if not 0 < count < FEW:
        return percent
    low, high = (100 * bound for bound in share_interval(percent / 100, count))
    return f"{percent} ({low:.0f} to {high:.0f})"


def table(title: str, figures: dict[str, float]) -> str:
    """Markdown for people: the groups beside the simple ways, then the four figures that have a bar."""
    lines = [
        f"{title} A baseline never abstains where it finds something.",
        "The figures with a bar: reworded is those rows alone; absent is things, not facts.",
        "",
    ]
    told = [["" if value is None else str(value) for value in row] for row in rows(figures)]
    return "\n".join([*lines, markdown_table(COLUMNS, told)])


# -- thresholds of a checkpoint, from the tuning split ------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """For every cut-off (C,): share of answerable questions answered, right among those answered, absent
    answered.
    """

    cut_offs: np.ndarray
    answered: np.ndarray
    right: np.ndarray
    absent: np.ndarray

    @property
    def thresholds(self) -> dict[str, float]:
        """strict and balanced: the lowest cut-off that answers at most that share of the absent questions."""
        found = {}
        for name, share in (("strict", STRICT), ("balanced", BALANCED)):
            fits = np.flatnonzero(self.absent <= share)
            found[name] = round(float(self.cut_offs[fits[0] if len(fits) else -1]), 3)
        return {**found, "always": 0.0}

    def plot(self, path: Path) -> None:
        """Answered against right, with the thresholds marked."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(6, 4), dpi=120)
        axes.plot(100 * self.answered, 100 * self.right, label="right among answered")
        axes.plot(100 * self.answered, 100 * self.absent, label="absent things answered")
        for name, value in self.thresholds.items():
            at = min(int(np.searchsorted(self.cut_offs, value)), len(self.answered) - 1)
            axes.axvline(100 * self.answered[at], color="gray", lw=0.6)
            axes.text(100 * self.answered[at], 50, name, rotation=90, fontsize=7)
        axes.set_xlabel("answerable questions answered, %")
        axes.set_ylabel("%")
        axes.legend()
        figure.tight_layout()
        figure.savefig(path)
        pyplot.close(figure)


def curve_of(found: Measured) -> Curve:
    """The curve of what was asked with the cut-off 0: each question's score and verdict give every cut-off.
    Absent facts are not counted as absent things.
    """
    asked = list(zip(found.items, found.predictions, strict=True))
    there = [(c, p) for c, p in asked if c.answer]
    gone = [p["score"] for c, p in asked if "absent" in c.group and "fact" not in c.group]
    cut_offs = np.round(np.arange(0, 1.0, 0.005), 3)
    score, absent = np.array([p["score"] for _, p in there]), np.array(gone)
    right = np.array([verdict(c, p["text"]) == "right" for c, p in there])
    answered = np.array([(score >= c).mean() for c in cut_offs])
    correct = np.array([right[score >= c].mean() if (score >= c).any() else 1.0 for c in cut_offs])
    return Curve(cut_offs, answered, correct, np.array([(absent >= c).mean() for c in cut_offs]))


def write_thresholds(folder: Path, curve: Curve) -> None:
    """Put the thresholds into the profile of the checkpoint's sugar.json."""
    path = folder / "sugar.json"
    settings = json.loads(path.read_text("utf-8"))
    settings.setdefault("profile", {}).setdefault("abstain", {}).update(curve.thresholds)
    path.write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n", "utf-8")
