"""Every benchmark of the catalogue from files in its published form to its score, and the runner's promises.

The files are made here, three items each; the models are random: the shape of the embedded one, LLaVA and
Qwen3-VL, each saved to a folder.
Not covered: the metrics themselves (test_metrics_official.py).
"""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
from checkpoints import build
from PIL import Image

from sugar.__main__ import main
from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.evaluation import benchmark as catalogue
from sugar.evaluation import comparison, runner
from sugar.evaluation.benchmark import Match, Question
from sugar.evaluation.tasks import demon, notes, sugarcrepe, vist

ROOT = Path(__file__).resolve().parents[1]
COLORS = ["red", "green", "blue", "white", "black", "orange"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Sugar:
    llava, head, processor = checkpoints.small()
    folder = tmp_path_factory.mktemp("model") / "random-tiny"
    Sugar.wrap(llava.eval(), processor, head.eval(), name="random-tiny").save_pretrained(folder)
    return Sugar.from_pretrained(folder)


@pytest.fixture(scope="module", params=["llava", "qwen3_vl"])
def hub_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sugar:
    return Sugar.from_pretrained(build(request.param, tmp_path_factory.mktemp("hub")))


def picture(path: Path, color: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), color).save(path)
    return path


def pictures(folder: Path, *names: object) -> None:
    """One picture of each name, in colours that differ."""
    for name, color in zip(names, COLORS, strict=False):
        picture(folder / str(name), color)


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


def lines(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")


def table(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


# --- files in the published forms ------------------------------------------------------------------------


def vqav2(at: Path) -> None:
    asked = [{"image_id": n, "question": "what color is it?", "question_id": n} for n in range(3)]
    said = [[{"answer": COLORS[n], "answer_id": i + 1} for i in range(10)] for n in range(3)]
    given = [{"question_id": n, "answer_type": "other", "answers": said[n]} for n in range(3)]
    dump(at / "v2_OpenEnded_mscoco_val2014_questions.json", {"questions": asked})
    dump(at / "v2_mscoco_val2014_annotations.json", {"annotations": given})
    pictures(at / "val2014", *(f"COCO_val2014_{n:012d}.jpg" for n in range(3)))


def textvqa(at: Path) -> None:
    rows = [
        {"question_id": n, "image_id": f"t{n}", "question": "what is written?", "answers": ["stop"] * 10}
        for n in range(3)
    ]
    dump(at / "TextVQA_0.5.1_val.json", {"data": rows})
    pictures(at / "train_images", "t0.jpg", "t1.jpg", "t2.jpg")


def vizwiz(at: Path, *splits: str) -> None:
    for split in splits or ("val",):
        rows = [
            {"image": f"{split}_{n}.jpg", "question": "what is this?", "answers": [{"answer": "can"}] * 10}
            for n in range(3)
        ]
        dump(at / f"{split}.json", rows)
        pictures(at / split, *(f"{split}_{n}.jpg" for n in range(3)))


def gqa(at: Path) -> None:
    rows = {str(n): {"imageId": f"g{n}", "question": "is it red?", "answer": "yes"} for n in range(3)}
    dump(at / "testdev_balanced_questions.json", rows)
    pictures(at / "images", "g0.jpg", "g1.jpg", "g2.jpg")


def scienceqa(at: Path, *splits: str) -> None:
    problems: dict[str, Any] = {}
    chosen: dict[str, list[str]] = {}
    for split in splits or ("test",):
        chosen[split] = [f"{split}{n}" for n in range(3)]
        for pid in chosen[split]:
            problems[pid] = {
                "question": "what is it?",
                "choices": ["a cat", "a dog"],
                "answer": 1,
                "hint": "look",
                "image": "image.png",
                "subject": "natural science",
            }
            picture(at / split / pid / "image.png")
    dump(at / "problems.json", problems)
    dump(at / "pid_splits.json", chosen)


def pope(split: str) -> Callable[[Path], None]:
    def make(at: Path) -> None:
        rows = [
            {
                "question_id": n,
                "image": f"COCO_val2014_{n // 2:012d}.jpg",
                "text": "Is there a cat in the image?",
                "label": ["yes", "no"][n % 2],
            }
            for n in range(4)
        ]
        lines(at / f"coco_pope_{split}.json", rows)
        picture(at / "val2014" / f"COCO_val2014_{0:012d}.jpg")
        picture(at / "val2017" / f"{1:012d}.jpg", "blue")

    return make


def mme(part: str) -> Callable[[Path], None]:
    def make(at: Path) -> None:
        from sugar.evaluation.tasks.mme import SUBTASKS

        for n, task in enumerate(SUBTASKS[part]):
            place = at / task
            if n % 2:
                picture(place / "images" / "p.png")
                place = place / "questions_answers_YN"
                place.mkdir()
            else:
                picture(place / "p.jpg")
            text = "Is it red? Please answer yes or no.\tYes\nIs it blue? Please answer yes or no.\tNo\n"
            (place / "p.txt").write_text(text, "utf-8")

    return make


def mmbench(at: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(data, "PNG")
    row = {
        "index": "7",
        "question": "what color?",
        "hint": "",
        "A": "red",
        "B": "blue",
        "C": "green",
        "D": "",
        "answer": "B",
        "category": "attribute",
        "image": base64.b64encode(data.getvalue()).decode(),
    }
    at.mkdir(parents=True, exist_ok=True)
    table(at / "mmbench_dev_20230712.tsv", [row, {**row, "index": "8", "hint": "look"}], "\t")


def mmvet(at: Path) -> None:
    dump(at / "mm-vet.json", {"v1_0": {"imagename": "v.png", "question": "what?", "answer": "a cat"}})
    picture(at / "images" / "v.png")


def llava_bench(file: str, place: str) -> Callable[[Path], None]:
    def make(at: Path) -> None:
        lines(at / file, [{"question_id": 0, "image": "1.jpg", "text": "what?", "category": "conv"}])
        picture(at / place / "1.jpg")

    return make


def demon_core(at: Path) -> None:
    for task, options in (("NLVR2", ["true", "false"]), ("Spot-the-Diff", [])):
        core = {
            "metadata": {"task_instruction": ["Compare the pictures."]},
            "data": [
                {
                    "sample_id": 0,
                    "task_instruction_id": 0,
                    "response": "true",
                    "task_instance": {
                        "context": "Left: {image#1} right: {image#2} are they alike?",
                        "images_path": ["a.jpg", "b.jpg"],
                        "choice_list": options,
                    },
                }
            ],
        }
        dump(at / task / "core" / "core.json", core)
        pictures(at / task / "core" / "images", "a.jpg", "b.jpg")


def coco_form(file: str, place: str) -> Callable[[Path], None]:
    def make(at: Path) -> None:
        images = [{"id": n, "file_name": f"{n}.jpg", "domain": "in-domain"} for n in range(4)]
        said = [
            {"image_id": n, "id": 9, "caption": f"a {COLORS[n]} thing {i}"}
            for n in range(4)
            for i in range(6)
        ]
        dump(at / file, {"images": images, "annotations": said})
        pictures(at / place, "0.jpg", "1.jpg", "2.jpg", "3.jpg")

    return make


def flickr8k(at: Path) -> None:
    at.mkdir(parents=True, exist_ok=True)
    (at / "Flickr_8k.testImages.txt").write_text("a.jpg\nb.jpg\n", "utf-8")
    rows = [f"{name}.jpg#{n}\ta dog {n} ." for name in "abc" for n in range(5)]
    (at / "Flickr8k.token.txt").write_text("\n".join(rows), "utf-8")
    pictures(at / "Flicker8k_Dataset", "a.jpg", "b.jpg", "c.jpg")


def karpathy(file: str, place: str) -> Callable[[Path], None]:
    def make(at: Path) -> None:
        images = [
            {
                "filename": f"{n}.jpg",
                "split": "test" if n else "train",
                "sentences": [{"raw": f"a {COLORS[n]} thing {i}"} for i in range(6)],
                **({"filepath": place} if "coco" in file else {}),
            }
            for n in range(4)
        ]
        dump(at / file, {"images": images})
        pictures(at / place, "0.jpg", "1.jpg", "2.jpg", "3.jpg")

    return make


def fvqa(at: Path) -> None:
    dump(at / "all_qs_dict_release.json", {"0": {"img_file": "f.jpg", "question": "which?", "answer": "cat"}})
    picture(at / "images" / "f.jpg")


def webqa(at: Path) -> None:
    row = {
        "split": "val",
        "Q": '"what color is the barn?"',
        "A": ['"The barn is red."'],
        "Qcate": "color",
        "img_posFacts": [{"image_id": 3, "caption": "the barn"}],
        "img_negFacts": [{"image_id": n, "caption": f"no barn {n}"} for n in (4, 5, 6, 7, 8)],
        "txt_posFacts": [{"fact": "barns are red"}],
    }
    few = {**row, "img_negFacts": []}
    dump(at / "WebQA_train_val.json", {"q": row, "few": few, "other": {**row, "split": "train"}})
    pictures(at / "images", *(f"{n}.jpg" for n in range(3, 8)))


def mmvp(at: Path) -> None:
    row = {
        "Index": "1",
        "Question": "Is the door open?",
        "Options": "(a) Open (b) Closed",
        "Correct Answer": "(a)",
    }
    table(at / "Questions.csv", [row, {**row, "Index": "2", "Correct Answer": "(b)"}])
    pictures(at / "MMVP Images", "1.jpg", "2.jpg")


def mmvp_vlm(at: Path) -> None:
    rows = [{"Question ID": str(n), "Type": "Color", "Statement": f"a {COLORS[n]} thing"} for n in (1, 2)]
    table(at / "Questions.csv", rows)
    pictures(at / "MLLM_VLM Images" / "Color", "1.jpg", "2.jpg")


def crepe(prefix: str) -> Callable[[Path], None]:
    def make(at: Path) -> None:
        rows = [
            {
                "filename": f"{n}.jpg",
                "caption": "a red star",
                "caption2": "a star that is red",
                "negative_caption": "a blue star",
            }
            for n in range(3)
        ]
        dump(at / f"{prefix}swap_att.json", rows if prefix else {str(n): r for n, r in enumerate(rows)})
        pictures(at / "val2017", "0.jpg", "1.jpg", "2.jpg")

    return make


def winoground(at: Path) -> None:
    row = {"id": 0, "image_0": "a", "image_1": "b", "caption_0": "red on blue", "caption_1": "blue on red"}
    lines(at / "examples.jsonl", [row])
    pictures(at / "images", "a.png", "b.png")


def stories(at: Path) -> None:
    rows = [
        [
            {
                "story_id": f"s{s}",
                "photo_flickr_id": f"{s}{n}",
                "worker_arranged_photo_order": str(n),
                "text": f"story {s} part {n}",
            }
        ]
        for s in range(2)
        for n in (4, 0, 1, 2, 3)
    ]
    dump(at / vist.FILE, {"annotations": rows})
    for s in range(2):
        for n in range(5):
            picture(at / "val" / f"{s}{n}.jpg", (40 * n, 100 * s, 10))  # type: ignore[arg-type]


def imagenet(at: Path) -> None:
    dump(at / "en_classnames.json", {"imagenet1k": ["tench", "goldfish", "shark"]})
    dump(at / "en_templates.json", {"imagenet1k": ["a photo of a {c}.", "a {c}."]})
    for n, place in enumerate(("n01", "n02", "n03")):
        picture(at / "val" / place / "x.JPEG", COLORS[n])


FILES: dict[str, Callable[[Path], None]] = {
    "coco_captions": coco_form("captions_val2017.json", "val2017"),
    "coco_retrieval": karpathy("dataset_coco.json", "val2014"),
    "coco_val2017_retrieval": coco_form("captions_val2017.json", "val2017"),
    "demon": demon_core,
    "flickr30k_retrieval": karpathy("dataset_flickr30k.json", "flickr30k-images"),
    "flickr8k_captions": flickr8k,
    "flickr8k_retrieval": flickr8k,
    "fvqa": fvqa,
    "gqa": gqa,
    "imagenet": imagenet,
    "llava_bench_coco": llava_bench("llava_bench_coco_questions.jsonl", "val2014"),
    "llava_bench_wild": llava_bench("questions.jsonl", "images"),
    "mmbench": mmbench,
    "mme_cognition": mme("cognition"),
    "mme_perception": mme("perception"),
    "mmvet": mmvet,
    "mmvp": mmvp,
    "mmvp_vlm": mmvp_vlm,
    "mmvp_vlm_two": mmvp_vlm,
    "nocaps_captions": coco_form("nocaps_val_4500_captions.json", "images"),
    "nocaps_retrieval": coco_form("nocaps_val_4500_captions.json", "images"),
    "pope_adversarial": pope("adversarial"),
    "pope_popular": pope("popular"),
    "pope_random": pope("random"),
    "scienceqa": scienceqa,
    "scienceqa_rag": lambda at: scienceqa(at, "train", "test"),
    "sugarcrepe": crepe(""),
    "sugarcrepe_pp": crepe("pp-"),
    "textvqa": textvqa,
    "vist_5c": stories,
    "vist_5c_dagger": stories,
    "vist_5c4i": stories,
    "vist_5c4i_dagger": stories,
    "vist_positions": stories,
    "vizwiz": vizwiz,
    "vizwiz_rag": lambda at: vizwiz(at, "train", "val"),
    "vqav2": vqav2,
    "webqa": webqa,
    "webqa_positions": webqa,
    "winoground": winoground,
}


def test_every_benchmark_has_files_here() -> None:
    assert list(catalogue.benchmarks()) == sorted(FILES)


# --- what a model gets, full marks and no marks ----------------------------------------------------------


def oracle(item: Any) -> list[dict[str, Any]]:
    """The predictions of someone who knows the answers."""
    if isinstance(item, Question):
        options = dict(enumerate(item.options))
        answer = item.answers[0] if item.answers else "something"
        if item.options and answer.isdigit():
            answer = "ABCDEFGH"[int(answer)]
        return [{"key": item.key, "text": f"({answer})" if answer in ("a", "b") and options else answer}]
    if isinstance(item, Match):
        n, m = len(item.captions), len(item.pictures)
        scores = [[1.0 if (i == j if m > 1 else i < n - 1) else 0.0 for j in range(m)] for i in range(n)]
        right = [[1.0 if (i < n - 1) == (j < n - 1) else 0.0 for j in range(n)] for i in range(n)]
        return [{"key": item.key, "scores": scores, "texts": right}]
    return [{"key": q.key, "rank": 0, "ties": 0, "pool": len(item.candidates)} for q in item.queries]


FULL = {"mme_perception": 2000.0, "mme_cognition": 800.0}
WITHOUT_FULL_MARKS = {"coco_captions", "nocaps_captions", "flickr8k_captions"}  # CIDEr may pass 100


@pytest.mark.parametrize("name", FILES)
def test_a_benchmark_runs_from_its_files_to_its_score(name: str, model: Sugar, tmp_path: Path) -> None:
    data = tmp_path / "data"
    FILES[name](data)
    benchmark = catalogue.find(name)
    result = runner.run(benchmark, model, data=data, out=tmp_path / "out", quiet=True)
    assert result.figures and all(np.isfinite(v) for v in result.figures.values())
    assert runner.rescore(benchmark, data=data, predictions=result.predictions) == result.figures
    assert set(benchmark.chance) <= set(result.figures)
    assert json.loads((tmp_path / "out" / "results.jsonl").read_text("utf-8"))["benchmark"] == name
    items = benchmark.read(data)
    best = benchmark.score(items, [p for item in items for p in oracle(item)])
    if name not in WITHOUT_FULL_MARKS:
        assert next(iter(best.values())) == pytest.approx(FULL.get(name, 100.0))


@pytest.mark.parametrize(
    "name", ["coco_captions", "imagenet", "scienceqa_rag", "sugarcrepe", "vist_5c4i", "webqa"]
)
def test_each_kind_of_item_runs_on_models_of_the_hub(name: str, hub_model: Sugar, tmp_path: Path) -> None:
    FILES[name](tmp_path / "data")
    benchmark = catalogue.find(name)
    result = runner.run(benchmark, hub_model, data=tmp_path / "data", out=tmp_path / "out", quiet=True)
    assert result.figures and all(np.isfinite(v) for v in result.figures.values())


def test_a_constant_scorer_gets_nothing_on_sugarcrepe(tmp_path: Path) -> None:
    FILES["sugarcrepe"](tmp_path)
    items = catalogue.find("sugarcrepe").read(tmp_path)
    same = [{"key": i.key, "scores": [[0.5], [0.5]], "texts": [[1, 1], [1, 1]]} for i in items]
    assert sugarcrepe.score(items, same)["mean"] == 0.0


# --- details of the protocols ----------------------------------------------------------------------------


def test_vist_asks_what_the_paper_asks(tmp_path: Path) -> None:
    stories(tmp_path)
    (pool,) = catalogue.find("vist_5c4i_dagger").read(tmp_path)
    query = pool.queries[0]
    assert [isinstance(p, Path) for p in query.parts] == [False, True] * 4 + [False]
    assert query.right == {"04.jpg"} and query.without == {"00.jpg", "01.jpg", "02.jpg", "03.jpg"}
    (pool,) = catalogue.find("vist_5c").read(tmp_path)
    assert [p for p in pool.queries[0].parts] == [f"story 0 part {n}" for n in range(5)]


def test_the_gold_picture_of_webqa_stands_at_each_place(tmp_path: Path) -> None:
    webqa(tmp_path)
    items = catalogue.find("webqa_positions").read(tmp_path)
    shown = [[p.stem for p in i.parts if isinstance(p, Path)] for i in items]
    assert [row.index("3") for row in shown] == list(range(5)) and {len(row) for row in shown} == {5}
    assert [i.parts[2 * n + 1] for n, i in enumerate(items)] == ["the barn"] * 5
    told = [{"key": i.key, "text": i.answers[0] if n == 2 else "no"} for n, i in enumerate(items)]
    assert catalogue.find("webqa_positions").score(items, told)["place_3"] == 100


def test_one_letter_for_all_gets_nothing_of_two_pictures(tmp_path: Path) -> None:
    mmvp_vlm(tmp_path)
    benchmark = catalogue.find("mmvp_vlm_two")
    items = benchmark.read(tmp_path)
    assert [i.answers for i in items] == [("A",), ("B",)] and items[0].parts[:2] == items[1].parts[:2]
    for text in ("A", "the second"):
        assert benchmark.score(items, [{"text": text}] * 2)["mean"] == 0
    assert benchmark.score(items, [{"text": "A"}, {"text": "the second"}])["Color"] == 100


def test_demon_puts_pictures_where_the_text_names_them() -> None:
    a, b = Path("a"), Path("b")
    assert demon.interleaved("left {image#2} right {image#1} ?", [a, b]) == ("left", b, "right", a, "?")
    assert demon.interleaved("no holder", [a, b]) == (a, b, "no holder")


def test_first_five_captions_and_the_pool_is_stated(tmp_path: Path, model: Sugar) -> None:
    FILES["coco_retrieval"](tmp_path / "data")
    pools = catalogue.find("coco_retrieval").read(tmp_path / "data")
    assert [len(p.queries) for p in pools] == [15, 3] and len(pools[1].candidates) == 15
    figures = runner.run(
        catalogue.find("coco_retrieval"), model, data=tmp_path / "data", out=tmp_path, quiet=True
    ).figures
    assert (figures["t2i_pool"], figures["i2t_pool"]) == (3, 15)


# --- the runner --------------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_without_repeating(
    model: Sugar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FILES["pope_random"](tmp_path / "data")
    benchmark = catalogue.find("pope_random")
    whole = runner.run(benchmark, model, data=tmp_path / "data", out=tmp_path / "a", quiet=True)
    folder = tmp_path / "b" / whole.predictions.parent.name
    folder.mkdir(parents=True)
    text = whole.predictions.read_text("utf-8")
    cut = text.index("\n") + 1
    (folder / "predictions.jsonl").write_text(
        text[: cut + 9], "utf-8"
    )  # one whole line and a piece of the next
    asked: list[int] = []
    original = model.generator.answers

    def counted(samples: Any, **how: Any) -> list[str]:
        asked.append(len(samples))
        return original(samples, **how)

    monkeypatch.setattr(model.generator, "answers", counted)
    again = runner.run(benchmark, model, data=tmp_path / "data", out=tmp_path / "b", quiet=True)
    assert sum(asked) == 3
    assert again.figures == whole.figures


def test_predictions_of_another_model_are_not_mixed(model: Sugar, tmp_path: Path) -> None:
    FILES["gqa"](tmp_path / "data")
    benchmark = catalogue.find("gqa")
    runner.run(benchmark, model, data=tmp_path / "data", out=tmp_path, quiet=True)
    with pytest.raises(SettingsError, match="another run"):
        runner.run(benchmark, model, data=tmp_path / "data", out=tmp_path, limit=1, quiet=True)


def test_vectors_are_kept_and_a_cut_record_is_dropped(model: Sugar, tmp_path: Path) -> None:
    store = runner.VectorStore(model, tmp_path)
    path = picture(tmp_path / "x.png")
    first = store.embed([("a red star",), (path,)])
    with store.path.open("ab") as file:
        file.write(b"piece of a record")
    again = runner.VectorStore(model, tmp_path)
    assert len(again) == 2
    model_embed = model.embed
    try:
        model.embed = None  # type: ignore[assignment,method-assign]
        assert np.array_equal(again.embed([("a red star",), (path,)]), first)
    finally:
        model.embed = model_embed  # type: ignore[method-assign]


def test_missing_pictures_are_named_or_left_out_when_asked(model: Sugar, tmp_path: Path) -> None:
    for name, lost, left in (
        ("sugarcrepe", "val2017/1.jpg", 2),
        ("coco_captions", "val2017/1.jpg", 3),
        ("coco_val2017_retrieval", "val2017/1.jpg", 3 * 5 + 3),
    ):
        data = tmp_path / name
        FILES[name](data)
        (data / lost).unlink()
        benchmark = catalogue.find(name)
        with pytest.raises(SettingsError, match="--available"):
            runner.run(benchmark, model, data=data, out=tmp_path / "out", quiet=True)
        result = runner.run(benchmark, model, data=data, out=tmp_path / "out", available=True, quiet=True)
        assert result.row["items"] == left and result.row["available"]


def test_missing_files_are_named_with_their_source(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="winoground"):
        catalogue.find("winoground").source.check(tmp_path)
    with pytest.raises(SettingsError, match="no files on the hub"):
        catalogue.download(catalogue.find("gqa"), tmp_path)


def test_comparison_finds_a_real_difference_and_leaves_noise_open(tmp_path: Path) -> None:
    FILES["gqa"](tmp_path)
    rows = {str(n): {"imageId": "g0", "question": "is it?", "answer": "yes"} for n in range(60)}
    dump(tmp_path / "testdev_balanced_questions.json", rows)
    benchmark = catalogue.find("gqa")
    good = [{"key": str(n), "text": "yes"} for n in range(60)]
    bad = [{"key": str(n), "text": "yes" if n % 2 else "no"} for n in range(60)]
    runner.write_predictions(tmp_path / "good.jsonl", good)
    runner.write_predictions(tmp_path / "bad.jsonl", bad)
    found = comparison.compare(
        benchmark, tmp_path, tmp_path / "bad.jsonl", tmp_path / "good.jsonl", samples=200
    )
    assert found["accuracy"].difference == 50.0 and found["accuracy"].decided
    same = comparison.compare(benchmark, tmp_path, tmp_path / "bad.jsonl", tmp_path / "bad.jsonl", samples=50)
    assert not same["accuracy"].decided


def test_the_command_runs_lists_and_scores_again(
    model: Sugar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FILES["sugarcrepe"](tmp_path / "data")
    common = ["evaluate", "sugarcrepe", "--data", str(tmp_path / "data"), "--json"]
    assert main([*common, "--model", str(model.folder), "--out", str(tmp_path / "out")]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    predictions = next((tmp_path / "out").glob("sugarcrepe-*/predictions.jsonl"))
    assert main([*common, "--predictions", str(predictions)]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert first["figures"] == pytest.approx(again["figures"], abs=1e-3)
    assert main(["evaluate", "list", "--data", str(tmp_path / "data")]) == 0
    assert "[missing]" in capsys.readouterr().out


@pytest.fixture
def four_questions(tmp_path: Path) -> Path:
    """POPE's questions of one picture, one of them with a line separator in it."""
    at = tmp_path / "four"
    picture(at / "val2014" / "COCO_val2014_000000000001.jpg")
    text = "Is there\u2028a dog?"
    rows = [
        {
            "question_id": n,
            "image": "COCO_val2014_000000000001.jpg",
            "text": text,
            "label": "yes" if n % 2 == 0 else "no",
        }
        for n in range(4)
    ]
    told = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows)
    (at / "coco_pope_random.json").write_text("\ufeff" + told, "utf-8", newline="")
    return at


def again(data: Path, predictions: Path) -> dict[str, float]:
    return runner.rescore(catalogue.find("pope_random"), data=data, predictions=predictions)


DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_predictions_end_their_lines_at_a_newline_only(
    encoding: str, four_questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also as PowerShell's > writes them, in UTF-16 with a mark."""
    text = (DATA / "predictions_line_separator.jsonl").read_text("utf-8").replace("\n", "\r\n")
    (tmp_path / "p.jsonl").write_bytes(text.encode(encoding))
    assert again(four_questions, tmp_path / "p.jsonl")["accuracy"] == 100 and capsys.readouterr().err == ""


def test_what_is_wrong_with_predictions_is_said(
    four_questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ['{"key": 0, "text": "yes"}', '{"key": "1"', '{"key": "1", "text": null}', "[1]"]
    rows += ['{"key": "2", "text": "yes"}', '{"key": "3", "text": "yes"}', '{"key": "3", "text": "no"}']
    (tmp_path / "p.jsonl").write_text("\n".join(rows), "utf-8")
    assert again(four_questions, tmp_path / "p.jsonl")["accuracy"] == 75
    told = capsys.readouterr().err
    assert "2 of its lines cannot be read, line 2 first" in told
    assert "1 keys occur twice, '3' first" in told and "1 predictions have no text" in told
    (tmp_path / "p.jsonl").write_text("\n".join(rows[1:]), "utf-8")
    with pytest.raises(SettingsError, match="no prediction for 1 of 4 items, '0' first"):
        again(four_questions, tmp_path / "p.jsonl")


def test_a_benchmark_s_file_that_is_cut_is_no_benchmark(four_questions: Path) -> None:
    with (four_questions / "coco_pope_random.json").open("a", encoding="utf-8") as file:
        file.write('{"question_id": 4, "ima')
    with pytest.raises(SettingsError, match=r"coco_pope_random.json, row 5: .* Download it again"):
        catalogue.find("pope_random").read(four_questions)


def test_two_processes_share_the_items(model: Sugar, tmp_path: Path) -> None:
    data = tmp_path / "data"
    FILES["sugarcrepe"](data)
    alone = runner.run(
        catalogue.find("sugarcrepe"), model, data=data, out=tmp_path / "one", quiet=True
    ).predictions
    options = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1"]  # on a CPU too
    options += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "sugar", "evaluate", "sugarcrepe"]
    options += ["--data", str(data), "--model", str(model.folder), "--out", str(tmp_path / "two")]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    merged = next((tmp_path / "two").glob("sugarcrepe-*/predictions.jsonl"))
    shares = [runner.read_predictions(path) for path in sorted(merged.parent.glob("predictions-*of2.jsonl"))]
    expected = runner.read_predictions(alone)
    assert [len(share) for share in shares] == [len(expected[n::2]) for n in (0, 1)]
    for one, two in zip(expected, runner.read_predictions(merged), strict=True):
        assert one["key"] == two["key"] and np.allclose(one["scores"], two["scores"], atol=1e-5)


def test_notes_hold_the_answers_that_are_asked_for_and_no_others() -> None:
    items = notes.questions(count=60)
    told = [(" ".join(item.paragraphs), item) for item in items]
    assert sum(bool(item.wanted) for item in items) == 60 and len(items) == 120
    assert all(item.wanted.lower() in text.lower() for text, item in told)
    answered = [item for item in items if item.wanted]
    assert all(notes.is_read(item.wanted, item.wanted) for item in answered)
    assert not any(notes.is_read(text, item.wanted) for text, item in told if len(text.split()) > 15)
    found = [notes.is_read(notes.looked_up(*i.paragraphs, i.question), i.wanted) for i in answered]
    assert 0.5 < np.mean(found) < 1  # a strong baseline, which never abstains
