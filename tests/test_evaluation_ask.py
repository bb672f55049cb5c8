"""Ask measured: fair judging, the same bases from one seed, thresholds from the curve."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from toy import ToyModel

from sugar.errors import SettingsError
from sugar.evaluation import runner
from sugar.evaluation.tasks import ask
from sugar.evaluation.tasks.ask_bases import TEST, TUNING, Case, bases


class Reader(ToyModel):
    """Says nothing of use, so that pairs are quoted."""

    profile = replace(ToyModel.profile, abstain={"strict": 0.8, "balanced": 0.62, "always": 0.0})

    def generate(self, conversation, **settings):
        yield "i do not know"


@pytest.mark.parametrize(
    ("answer", "said", "expected"),
    [
        ("ba mi", "“ba mi” [1]", "right"),
        ("ba mi", "it is called Ba Mi.", "right"),
        ("ba mi", "ba", "wrong"),
        ("11", "111 metres", "wrong"),
        ("11", "", "abstained"),
        ("", "something", "wrong"),
        ("", "", "right"),
    ],
)
def test_answers_are_judged(answer, said, expected):
    assert ask.verdict(Case("g", "q?", answer), said) == expected


def test_one_seed_gives_the_same_questions_and_splits_share_no_words():
    first, again, other = (list(bases("test", seed, 12)) for seed in (3, 3, 4))
    told = [[c.question for c in base.cases] for base in first]
    assert told == [[c.question for c in base.cases] for base in again]
    assert told != [[c.question for c in base.cases] for base in other]
    tuning, test = TUNING, TEST
    assert not {*tuning.kinds, *tuning.syllables, *tuning.last} & {*test.kinds, *test.syllables, *test.last}
    assert not {f.asked for f in tuning.facts} & {f.asked for f in test.facts}
    assert not {r for f in tuning.facts for r in f.reworded} & {r for f in test.facts for r in f.reworded}


def test_every_answer_is_in_its_source_and_absent_things_are_absent():
    for base in bases("test", 0, 20):
        told = {p.name: f"{p.text} {p.answer}".lower() for p in base.passages}
        told |= {name: caption.lower() for name, _, caption in base.pictures}
        for case in base.cases:
            assert all(case.answer in told[source] for source in case.sources), case
            assert bool(case.answer) == bool(case.sources)


def test_the_whole_measurement_runs_through_ask():
    benchmark = ask.benchmark(seed=1, size=10)
    found = runner.measure(benchmark, Reader())
    figures = found.figures
    assert figures["citations_right"] > 90 and figures["reworded_right"] > 50
    assert "look-up" in ask.table("toy", figures)
    told = [row[2] for row in ask.rows(figures)[: -len(ask.BARS)]]
    assert told and all(re.fullmatch(r"[\d.]+ \(\d+ to \d+\)", str(cell)) for cell in told), "few questions"
    groups = {"card, exact wording", "captioned gallery", "long notes, reworded", "text base, absent thing"}
    assert groups <= set(ask.nested(figures)) and json.dumps(ask.nested(figures))
    with pytest.raises(SettingsError):
        ask.benchmark(size=1)
    some = [case for case in found.items if case.key.startswith("2/")]
    again = list(benchmark.predict(Reader(), None, some[1:3]))
    kept = {p["key"]: p for p in found.predictions}
    assert [p["text"] for p in again] == [kept[c.key]["text"] for c in some[1:3]], (
        "a part answers as the whole"
    )


def test_thresholds_come_from_the_curve(tmp_path):
    cases, predictions = [], []
    for group, answer, text, score in [
        *(("card", "x", "x", 0.5 + i / 200) for i in range(100)),
        *(("card, absent thing", "", "x", i / 200) for i in range(100)),
        ("card, absent fact", "", "x", 0.99),
    ]:
        cases.append(Case(group, "q?", answer))
        predictions.append({"text": text, "score": score})
    curve = ask.curve_of(runner.Measured(cases, predictions, {}))
    assert (
        curve.thresholds["balanced"] < curve.thresholds["strict"] <= 0.5 and curve.thresholds["always"] == 0
    )
    assert np.all(np.diff(curve.answered) <= 0)
    curve.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000
    (tmp_path / "sugar.json").write_text('{"format": 1, "profile": {"describe": "describe."}}')
    ask.write_thresholds(tmp_path, curve)
    kept = json.loads((tmp_path / "sugar.json").read_text())
    assert kept["profile"] == {"describe": "describe.", "abstain": curve.thresholds} and kept["format"] == 1
