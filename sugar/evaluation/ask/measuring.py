"""Every question through `rag.ask`, judged; beside it four simple ways to answer the same questions.

right: the answer holds the words that were asked for. wrong: another answer. abstained: "I do not know".
cited right: every citation points to what holds the answer. For a question without an answer in the base,
abstaining is right.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sugar.errors import SettingsError
from sugar.evaluation.ask.cards import card_bases, gallery_bases
from sugar.evaluation.ask.case import Base, Case
from sugar.evaluation.ask.places import note_bases, text_base
from sugar.passages import Passage
from sugar.rag import KnowledgeBase, ask, best_sentence
from sugar.scenes import split_rng
from sugar.search_words import tokens
from sugar.sequence import Sample

__all__ = ["COLUMNS", "JudgedQuestion", "AskReport", "bases", "judge", "measure", "opened", "rows", "table"]

SENTENCES = 10_000
BASELINES = ("bm25", "vectors", "look-up", "first")
BARS = {"right": 70.0, "wrong": 10.0, "absent": 90.0, "cited": 95.0}
"""Percent: of reworded questions right at least and wrong at most; of absent things abstained; of citations
right."""


@dataclass(frozen=True)
class JudgedQuestion:
    """One judged question. verdict: right, wrong or abstained. cited: None without a citation."""

    case: Case
    verdict: str
    cited: bool | None
    by: str
    score: float


@dataclass
class AskReport:
    """All judged questions, and how often each baseline was right, by group."""

    model: str
    seed: int
    size: int
    asked: list[JudgedQuestion] = field(default_factory=list)
    baselines: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def groups(self) -> list[str]:
        return list(dict.fromkeys(a.case.group for a in self.asked))

    def share(self, verdict: str, *groups: str) -> float:
        """Percent of the questions of these groups that have this verdict."""
        own = [a for a in self.asked if a.case.group in groups]
        return 100 * sum(a.verdict == verdict for a in own) / max(1, len(own))

    def citations(self, *groups: str) -> tuple[int, int]:
        """(right, wrong) citations of these groups."""
        own = [a.cited for a in self.asked if a.case.group in groups and a.cited is not None]
        return sum(own), len(own) - sum(own)

    def flat(self) -> dict[str, Any]:
        """One object: percent by group, the baselines, and the four figures that have a bar."""
        out: dict[str, Any] = {"model": self.model, "seed": self.seed, "size": self.size}
        reworded = [g for g in self.groups() if g.endswith("reworded")]
        others = [g for g in self.groups() if g.endswith(("punctuation", "word order"))]
        absent = [g for g in self.groups() if "absent" in g and not g.endswith("fact")]
        right, wrong = self.citations(*(g for g in self.groups() if "absent" not in g))
        out |= {
            "reworded_right": round(self.share("right", *reworded), 1),
            "reworded_wrong": round(self.share("wrong", *reworded), 1),
            "otherwise_right": round(self.share("right", *others), 1),
            "absent_abstained": round(self.share("right", *absent), 1),
            "citations_right": round(100 * right / max(1, right + wrong), 1),
        }
        for group in self.groups():
            total = sum(a.case.group == group for a in self.asked)
            cited = self.citations(group)
            out[group] = {
                "questions": total,
                **{v: round(self.share(v, group), 1) for v in ("right", "wrong", "abstained")},
                "cited_right": cited[0],
                "cited_wrong": cited[1],
                **{name: round(100 * self.baselines[name][group] / total, 1) for name in BASELINES},
            }
        return out


def bases(split: str, seed: int, size: int) -> Iterator[Base]:
    """All knowledge bases of a split. size: cards; the other bases follow from it."""
    rng = split_rng(split, 7_000_000 + seed)  # type: ignore[arg-type]
    yield from card_bases(split, size, rng)  # type: ignore[arg-type]
    yield from gallery_bases(split, max(20, size // 4), rng)  # type: ignore[arg-type]
    yield from note_bases(split, max(4, size // 10), rng)
    yield text_base(split, size, min(SENTENCES, 10 * size), rng)


def opened(base: Base, model: Any, folder: Path) -> KnowledgeBase:
    return KnowledgeBase(model, passages=base.passages, gallery=base.gallery(folder, model))


def measure(
    model: Any,
    seed: int = 0,
    size: int = 1000,
    *,
    split: str = "test",
    cut_off: float | None = None,
    progress: Callable[[str], Any] | None = None,
) -> AskReport:
    """Ask every question. size: number of cards. Raises SettingsError below 10."""
    if size < 10:
        raise SettingsError(f"size is {size}; give at least 10 cards. Use 100 for a look, 1000 for a report.")
    began = time.perf_counter()
    report = AskReport(model.name, seed, size)
    with tempfile.TemporaryDirectory() as folder:
        for number, base in enumerate(bases(split, seed, size)):
            knowledge = opened(base, model, Path(folder) / str(number))
            for case in base.cases:
                report.asked.append(judge(model, knowledge, case, cut_off))
            _add_baselines(report, knowledge, base)
            if knowledge.gallery is not None:
                knowledge.gallery.close()
            if progress is not None:
                progress(
                    f"base {number + 1}: {len(report.asked)} questions, {time.perf_counter() - began:.0f} s"
                )
    report.seconds = time.perf_counter() - began
    return report


def judge(model: Any, base: KnowledgeBase, case: Case, cut_off: float | None = None) -> JudgedQuestion:
    """One question through `rag.ask`."""
    generate = partial(model.generate, max_new_tokens=24)
    *_, reply = ask(model, base, Sample(case.question), cut_off=cut_off, generate=generate)
    score = reply.nearest.score if reply.nearest is not None else 0.0
    cited = None
    if reply.cited:
        cited = all(reply.hits[n - 1].name in case.sources for n in reply.cited)
    return JudgedQuestion(case, verdict(case, reply.text if reply.known else ""), cited, reply.by, score)


def verdict(case: Case, answer: str) -> str:
    """right, wrong or abstained; answer: "" for none."""
    if not case.answer:
        return "wrong" if answer else "right"
    if not answer:
        return "abstained"
    return "right" if f" {' '.join(tokens(case.answer))} " in f" {' '.join(tokens(answer))} " else "wrong"


def _add_baselines(report: AskReport, base: KnowledgeBase, asked: Base) -> None:
    """Count right answers of BM25 alone, vectors alone, a string look-up, and always the first passage."""
    told = list(base.passages)
    if base.gallery is not None:
        told = [Passage(i.name, i.caption, item=i.id) for i in base.gallery.items()]
    questions = [Sample(c.question) for c in asked.cases]
    vectors = base.model.embed(questions).pooled
    words = [Counter(f"{p.name} {p.text} {p.answer}".lower().split()) for p in told]
    exact = {p.text.lower(): i for i, p in enumerate(told)}
    for case, vector in zip(asked.cases, vectors, strict=True):
        picks = {
            "bm25": _by_bm25(base, case.question, told),
            "vectors": _by_vector(base, vector, told),
            "look-up": exact.get(case.question.lower(), _most_shared(case.question, words)),
            "first": 0,
        }
        for name, pick in picks.items():
            answer = (
                "" if pick is None else best_sentence(base.terms(case.question), case.question, told[pick])
            )
            counts = report.baselines.setdefault(name, Counter())
            counts[case.group] += verdict(case, answer) == "right"


def _by_bm25(base: KnowledgeBase, question: str, told: Sequence[Passage]) -> int | None:
    if base.gallery is not None:
        found = base.gallery.by_words(question, 1)
        return next((i for i, p in enumerate(told) if found and p.item == found[0][0]), None)
    rows = base.found_by_words(question, 1)
    return rows[0] if rows else None


def _by_vector(base: KnowledgeBase, vector: np.ndarray, told: Sequence[Passage]) -> int | None:
    if base.gallery is not None:
        found = int(base.gallery.nearest(vector[None], 1)[1][0][0])
        return next((i for i, p in enumerate(told) if p.item == found), None)
    return int(np.argmax(base.keys @ vector + base.texts @ vector))


def _most_shared(question: str, words: Sequence[Counter[str]]) -> int | None:
    asked = question.lower().split()
    shared = [sum(w in there for w in asked) for there in words]
    return int(np.argmax(shared)) if max(shared, default=0) else None


COLUMNS = (
    *("%", "questions", "right", "wrong", "abstained", "cited right : wrong"),
    *("BM25: right", "vectors: right", "look-up: right", "first passage: right"),
)
_BARRED = (
    ("reworded, right", "reworded_right", BARS["right"], ">="),
    ("reworded, wrong", "reworded_wrong", BARS["wrong"], "<="),
    ("absent, abstained", "absent_abstained", BARS["absent"], ">="),
    ("citations right", "citations_right", BARS["cited"], ">="),
)


def rows(report: AskReport) -> list[list[Any]]:
    """A row of `COLUMNS` for each group, then one for each figure with a bar."""
    flat, out = report.flat(), []
    for group in report.groups():
        own = flat[group]
        counts = [own[k] for k in ("questions", "right", "wrong", "abstained")]
        cited = f"{own['cited_right']} : {own['cited_wrong']}"
        out.append([group, *counts, cited, *(own[b] for b in BASELINES)])
    for title, key, bar, sign in _BARRED:
        out.append([f"**{title}: {flat[key]}** (bar {sign} {bar:.0f})", *[None] * (len(COLUMNS) - 1)])
    return out


def table(report: AskReport) -> str:
    """Markdown for people: the groups beside the baselines, then the four figures that have a bar."""
    lines = [
        f"{report.model}, seed {report.seed}, {report.size} cards, {len(report.asked)} questions, "
        f"{report.seconds:.0f} s. A baseline never abstains where it finds something.",
        "The figures with a bar: reworded is those rows alone; absent is things, not facts.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    lines += [f"| {' | '.join('' if v is None else str(v) for v in row)} |" for row in rows(report)]
    return "\n".join(lines)
