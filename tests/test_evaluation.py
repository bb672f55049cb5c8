"""The drawn world: batched answers equal the calls one by one, an oracle gets full marks, baselines do not
peek, the report says all it must.

The model is the embedded one's shape with a few dozen channels and random weights. Not covered: the shipped
checkpoint (test_checkpoint.py).
"""

from __future__ import annotations

import doctest
import json
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from PIL import Image
from test_scenes import answer_of, expected_difference

from sugar.__main__ import main
from sugar.commands.figures import benchmarks as benchmarks_page
from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.evaluation import ablation, golden, runner
from sugar.evaluation.comparison import interval, intervals
from sugar.evaluation.report import FigureRow, figures_table
from sugar.evaluation.tasks import drawn
from sugar.evaluation.tasks.scores import beside
from sugar.scenes import Scene, draw, is_held_out, plain_caption, sample_scene, split_rng
from sugar.scenes.questions import Question
from sugar.scenes.words import DESCRIBE, DIFFERENCE_QUESTION, OPERATIONS
from sugar.sequence import Sample
from sugar.training.adapter_card import deviations
from sugar.training.data.drawn import DrawnWorld
from sugar.training.recipes import OWN, PAPER, RECIPES


@pytest.fixture(scope="module")
def model() -> Sugar:
    llava, head, processor = checkpoints.small()
    with torch.no_grad():
        for p in llava.parameters():
            if p.dim() > 1:
                p.mul_(3.0)
    return Sugar.wrap(llava.eval(), processor, head.eval(), name="small")


def some_samples(n: int) -> list[Sample]:
    rng = split_rng("test", 0)
    pictures = [Image.fromarray(draw(sample_scene(rng))) for _ in range(3)]
    texts = ["what color is the star?", "where is this?", "is the red star left of the blue cat?"]
    made = [Sample([pictures[i % 3], texts[i % 3]]) for i in range(n)]
    return [*made, Sample("who are you?"), Sample([pictures[0], pictures[1], DIFFERENCE_QUESTION])]


# --- batches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [None, 40])
def test_batched_answers_are_the_model_s_own(
    model: Sugar, tokens: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tokens is not None:
        monkeypatch.setattr(model.batching, "tokens", tokens)
    samples = some_samples(7)
    assert model.generator.answers(samples, max_new_tokens=5, adapter=None) == [
        "".join(model.generate(s, max_new_tokens=5)) for s in samples
    ]


def test_batched_odds_are_the_model_s_own(model: Sugar) -> None:
    samples = some_samples(5)
    wanted = np.concatenate([model.log_odds([sample]) for sample in samples])
    assert np.allclose(model.log_odds(samples), wanted, atol=1e-4)


# --- an oracle gets full marks ------------------------------------------------------------------------------


class Oracle:
    """A model that answers from the scene graph: `picture` remembers which pixels show which scene.

    It embeds a sample by its last text alone, so that all pictures look the same to it.
    """

    adapter, dimension = None, 16

    def __init__(self) -> None:
        self.scenes: dict[bytes, Scene] = {}
        self.generator = self

    def picture(self, scene: Scene) -> bytes:
        image = Image.fromarray(draw(scene))
        self.scenes[image.tobytes()] = scene
        return drawn.png(image)

    def say(self, sample: Sample) -> str:
        text = sample[-1].text
        shown = [self.scenes.get(i.tobytes()) for i in sample.images]
        if None in shown:
            return "nothing"
        if len(sample) == 5:
            return sample[2].text
        if text == DIFFERENCE_QUESTION:
            for operation in OPERATIONS:
                try:
                    return expected_difference(operation, shown[0], shown[1])  # type: ignore[arg-type]
                except (AssertionError, ValueError):
                    continue
        if text in DESCRIBE:
            return plain_caption(shown[0])  # type: ignore[arg-type]
        if re.match(r"what is the name|what does|how old", text):
            return "i do not know"
        return answer_of(shown[0], text)  # type: ignore[arg-type]

    def answers(self, samples: Sequence[Sample], **how: object) -> list[str]:
        return [self.say(s).capitalize() + "." for s in samples]

    def log_odds(self, asked: Sequence[Sample]) -> np.ndarray:
        return np.array([1.0 if self.say(q) == "yes" else -1.0 for q in asked])

    def embed(self, samples: Sequence[Sample]) -> SimpleNamespace:
        texts = [s[-1].text if not s[-1].is_image else "" for s in samples]
        rows = [np.random.default_rng(zlib.crc32(t.encode())).standard_normal(16) for t in texts]
        return SimpleNamespace(pooled=np.array([r / np.linalg.norm(r) for r in rows], np.float32))


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Oracle:
    made = Oracle()
    monkeypatch.setattr(drawn, "picture", made.picture)

    def first(pools: Sequence[Any], store: object) -> Iterator[dict[str, Any]]:
        for pool in pools:
            yield from ({"key": q.key, "rank": 0, "pool": len(pool.candidates)} for q in pool.queries)

    monkeypatch.setattr(runner, "_ranks", first)
    return made


PERFECT = {
    "vqa": ["vqa", "relation", *(f"vqa {k}" for k in drawn.CHOICES)],
    "existence": ["pope_random", "pope_popular", "pope_adversarial", "pope_adversarial_f1"],
    "captions": ["caption_f1", "caption_rouge_l"],
    "change": ["difference", "composed_r1", "composed_targets_r1", "composed_siblings_r1"],
    "cards": ["card_answer", "card_answer_given", "card_found_r1"],
    "composition": ["composition_held_out", "composition_seen", "composition_held_out_relations"],
    "swapped": ["winoground_group", "winoground_group_answer"],
}
NOTHING = {
    "cards": ["card_answer_without"],
    "composition": ["composition_gap", "composition_gap_relations"],
    "swapped": ["winoground_group_embedding"],  # every picture looks the same: ties, and ties lose
}


@pytest.mark.parametrize("part", PERFECT)
def test_an_oracle_gets_full_marks(oracle: Oracle, part: str) -> None:
    figures = drawn.measure(oracle, 3, 40, [part])
    assert {k: figures[k] for k in PERFECT[part]} == {k: 100.0 for k in PERFECT[part]}
    assert all(figures[k] == 0.0 for k in NOTHING.get(part, ()))
    for key in PERFECT[part]:
        if not key.startswith("composed"):
            assert figures.get(f"{key}_language", 0) < 90, key  # words alone do not do


def test_winoground_reports_the_way_that_was_named_in_advance(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "SCORER", "embedding")
    assert drawn.measure(oracle, 3, 30, ["swapped"])["winoground_group"] == 0.0  # not the better one


# --- baselines and scenes -----------------------------------------------------------------------------------


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(drawn).failed == 0


def test_a_habit_by_hand() -> None:
    asked = [
        Question("color", "what color is the star?", "red"),
        Question("color", "what color is the cat?", "red"),
        Question("color", "what color is the cat?", "blue"),
        Question("choose", "is there a red star or a blue cat?", "blue cat"),
        Question("choose", "is there an orange key or a pink hat?", "pink hat"),
        Question("choose", "is there a red key or a pink hat?", "red key"),
    ]
    habit = drawn.Habit(asked)
    assert habit.answer("what color is the house?", "color") == "red"
    assert habit.answer("is there a green boat or an orange fish?", "choose") == "orange fish"
    assert habit.answer("never heard?", "color") == "red" and habit.answer("never heard?", "other") == "yes"


def test_the_strongest_baseline_counts() -> None:
    assert beside("x", 0.9, 0.1, 0.3, 0.2)["x_baseline"] == 30 and beside("x", 0.9) == {"x": 90}


def test_parts_draw_from_streams_of_their_own() -> None:
    scenes = {
        sample_scene(drawn.stream(seed, name)) for seed in range(20) for name in ("vqa", "pope", "story")
    }
    assert len(scenes) == 60
    assert not scenes & {
        sample_scene(split_rng(split, s)) for split in ("train", "tuning") for s in range(60)
    }  # type: ignore[arg-type]
    assert sample_scene(drawn.stream(4, "vqa")) == sample_scene(drawn.stream(4, "vqa"))


def test_twins_differ_in_the_held_out_thing_only() -> None:
    rng = split_rng("test", 1)
    for make in (drawn.held_out_pair, drawn.held_out_relation):
        for _ in range(15):
            held, seen, _ = make(rng)
            assert is_held_out(held) and not is_held_out(seen)
            changed = [i for i, (a, b) in enumerate(zip(held.objects, seen.objects, strict=True)) if a != b]
            assert len(changed) == 1 and replace(held, objects=seen.objects) == seen


# --- the report ---------------------------------------------------------------------------------------------

TABLE = """t2i_r1 i2t_r1 vqa pope_adversarial relation caption_f1 winoground_text
winoground_image winoground_group winoground_group_embedding story_r1 composed_r1 difference
card_answer card_answer_without composition_gap"""
REQUIRED = TABLE.split()


def test_the_command_prints_the_table_and_one_json_line(
    model: Sugar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(Sugar, "from_pretrained", lambda path, device: model)
    assert main(["evaluate", "drawn", "--seed", "1", "--size", "10", "--json", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out.strip()
    found = json.loads(text.splitlines()[-1])
    assert {*REQUIRED, *(f"{k}_baseline" for k in REQUIRED)} <= set(found)
    assert all(math.isfinite(v) for v in found.values() if isinstance(v, float))
    assert all(-100 <= found[k] <= 100 for k in REQUIRED) and found["missed"]
    assert "MISSED" in text and all(f"vqa {k}" in text for k in drawn.CHOICES)
    assert json.loads((tmp_path / "report.json").read_text()) == found
    assert (
        Image.open(tmp_path / "confusion.png").size[0] > 500
        and "text -> image R@1" in (tmp_path / "table.md").read_text()
    )
    again = drawn.measure(model, seed=1, size=10)
    assert {k: round(v, 2) for k, v in again.items()}.items() <= found.items()  # one seed, one result


def test_too_small_a_size_is_refused() -> None:
    with pytest.raises(SettingsError, match="fewer than 10"):
        drawn.benchmark(size=3)


def test_two_runs_of_the_drawn_world_compare(model: Sugar, tmp_path: Path) -> None:
    """It is a benchmark like any other: predictions on disk, scored again, compared item by item."""
    found = runner.measure(drawn.benchmark(1, 10, ["swapped"]), model)
    runner.write_predictions(tmp_path / "p.jsonl", found.predictions)
    benchmark = drawn.benchmark(1, 10, ["swapped"])
    assert runner.rescore(benchmark, data=tmp_path, predictions=tmp_path / "p.jsonl") == found.figures


def test_one_run_of_few_items_has_intervals(model: Sugar, tmp_path: Path) -> None:
    benchmark = drawn.benchmark(1, 10, ["swapped"])
    found = runner.measure(benchmark, model)
    runner.write_predictions(tmp_path / "p.jsonl", found.predictions)
    bounds = intervals(benchmark, tmp_path, tmp_path / "p.jsonl", samples=50)
    key = "winoground_text_embedding"
    assert bounds[key][0] <= found.figures[key] <= bounds[key][1]
    assert "95 % interval" in figures_table(benchmark, found.figures, bounds)


def test_a_page_has_no_figure_of_few_items_without_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    row: dict[str, Any] = {"benchmark": "gqa", "model": "m", "figures": {"accuracy": 33.0}}
    row |= dict.fromkeys(("precision", "device", "date", "commit"), "")
    bounds = {"intervals": {"accuracy": (20.0, 50.0)}}
    more: dict[str, Any]
    for more, cell in (
        ({"items": 18}, "|  |"),
        ({"items": 18, **bounds}, "| 33 (20 to 50) |"),
        ({"items": 400}, "| 33 |"),
    ):
        text = json.dumps({"rows": [row | more]})
        kept = SimpleNamespace(is_file=lambda: True, read_text=lambda _, text=text: text)
        monkeypatch.setattr("sugar.commands.figures.BENCHMARKS", kept)
        assert f"| gqa | accuracy {cell}" in benchmarks_page()


def test_rows_are_the_issue_s_table() -> None:
    assert [r.key for r in drawn.ROWS] == REQUIRED
    row = next(r for r in drawn.ROWS if r.key == "vqa")
    assert row.met(90, 90) and not row.met(89.9, 90)
    above = FigureRow("x", "x", 12, 25, above=True)
    assert above.bars({"x_baseline": 30.126}) == (42.13, 55.13)
    assert above.missed({"x": 42, "x_baseline": 30.126}) and not above.missed({"x": 43, "x_baseline": 30})
    gap = next(r for r in drawn.ROWS if r.key == "composition_gap")
    assert gap.met(10, 10) and not gap.met(10.1, 10)


def test_confusion_counts_what_was_said() -> None:
    counts = drawn.confusion(["red", "red", "blue"], ["red", "blue", "mauve"], ("red", "blue"))
    assert counts.tolist() == [[1, 1, 0], [0, 0, 1]]


def test_golden_answers_repeat_and_notice_a_change(model: Sugar) -> None:
    first = golden.of_scenes(model)
    assert golden.differences(golden.of_scenes(model), json.loads(json.dumps(first))) == []
    key = next(iter(first["answers"]))
    other = {**first, "answers": {**first["answers"], key: "something else"}, "scores": [0.0, 0.0]}
    assert len(golden.differences(first, other)) >= 2
    moved = {**first, "embeddings": [[v + 0.1 for v in row] for row in first["embeddings"]]}
    assert len(golden.differences(first, moved)) == len(first["embeddings"])


# --- the ablation -------------------------------------------------------------------------------------------


def test_every_variant_changes_one_thing_of_the_paper_s_method() -> None:
    assert {len(deviations(replace(PAPER, **v.changes))) for v in ablation.SWEEP.values()} <= {0, 1, 2, 3}
    for name, variant in ablation.VARIANTS.items():
        if variant.recipe == "sugar":
            config = replace(PAPER, **variant.changes)
            assert len(deviations(config)) == (0 if name == "full" else 1), name


def test_an_ablation_measures_by_hand() -> None:
    """Rows of every kind: a captioned scene, a swapped pair, an edit, a story told twice."""
    measured = ablation.Measurement(DrawnWorld("tuning")[n] for n in (0, 1, 3, 5))
    vectors = np.eye(len(measured.samples), dtype=np.float32)  # the last is the story's telling, shuffled
    vectors[1] = vectors[0]  # the caption of the scene
    vectors[5], vectors[6] = vectors[4], vectors[3]  # captions of the swapped pair, the wrong way round
    vectors[7] = vectors[8]  # the edit
    vectors[10] = vectors[11]  # the story and its picture
    assert measured.hits(vectors) == {
        "text_to_picture": [0, 0, 1],
        "picture_to_text": [0, 0, 1],
        "story_to_picture": [1],
        "query_to_picture": [1],
        "swapped_image": [0],
        "swapped": [0],
        "album_to_album": [1],
        "in_order": [0],  # a tie is missed
    }
    vectors[[5, 6]] = vectors[[3, 4]]
    vectors[12] = vectors[10]
    again = measured.hits(vectors)
    assert again["swapped"] == again["swapped_image"] == again["in_order"] == [1]
    vectors[-1] = vectors[10]
    assert measured.hits(vectors)["in_order"] == [0]


def test_as_many_rows_are_kept_aside_as_are_measured() -> None:
    mixture, examples = ablation.kept_aside(["drawn"], 0, 210)
    assert len(examples) == 210 and not {row for _, row in mixture.validation} & set(mixture.kept[0].tolist())


def test_a_story_is_shuffled_by_chapters() -> None:
    rng = np.random.default_rng(0)
    picture, other = Image.new("RGB", (8, 8)), Image.new("RGB", (9, 9))
    story = Sample(["before", picture, "one", "two", other, "three"])
    assert [s.content for s in ablation.shuffled(story, rng)] == [
        "before",
        other,
        "three",
        picture,
        "one",
        "two",
    ]
    assert [s.text for s in ablation.shuffled(Sample(["a", "b"]), rng)] == ["b", "a"]
    assert len(ablation.shuffled(Sample("alone"), rng)) == 1


def test_what_free_vectors_learn_of_a_label() -> None:
    """The amplitude of the old label is gone, and the mean cannot tell an order."""
    found = ablation.label_table(["drawn"], "scenes", 48)
    rows = {row[0]: dict(zip(found["columns"], row, strict=True)) for row in found["rows"]}
    lead = {name: float(row["lead of the referent"]) for name, row in rows.items()}
    assert lead["self-0.7"] < 0.01 < 0.05 < lead["gak-1"] < lead["mean"]
    assert set(ablation.COLUMNS.values()) < set(found["columns"])


def test_an_interval_by_hand() -> None:
    assert interval([np.ones(5)]) == (1.0, 1.0)
    low, high = interval([np.array([0, 1] * 50)])
    assert (low, high) == (pytest.approx(0.4, abs=0.03), pytest.approx(0.6, abs=0.03))
    apart = interval([np.zeros(50), np.ones(50)])  # seeds that disagree: items alone would say .5 to .5
    assert apart == (0.0, 1.0)


def test_an_ablation_trains_each_variant_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = ["evaluate", "ablation", "--steps", "1", "--seeds", "1", "--size", "12", "--out", str(tmp_path)]
    asked += ["--only", "no-gak", "no-average", "soft-prompt", "hand-prompt"]
    monkeypatch.setitem(RECIPES, "sugar", replace(RECIPES["sugar"], configs={"own": replace(OWN, batch=2)}))
    assert main(asked) == 0
    facts = json.loads((tmp_path / "ablation.json").read_text("utf-8"))
    assert [row[0] for row in facts["rows"]] == [ablation.VARIANTS[n].title for n in asked[-4:]]
    assert all(re.fullmatch(r"[*.()0-9 a-z]+( \[[.0-9]+\])?", c) for row in facts["rows"] for c in row[1:-1])
    assert "[76.7]" in (tmp_path / "ablation.md").read_text("utf-8")
    monkeypatch.setattr(ablation, "train", lambda *args, **named: pytest.fail("trained again"))
    assert main(asked) == 0
    assert main([*asked[:-4], "no-tea"]) == 2 and "no-tea" in capsys.readouterr().err
    capsys.readouterr()
    asked[asked.index("--seeds") : asked.index("--seeds") + 2] = ["--seed", "0"]
    assert main(asked) == 0, "one seed of several, into the same table"
