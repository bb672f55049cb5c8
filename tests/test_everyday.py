"""Everyday photos: facts, questions and foils out of captions, and the training data made of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from everyday_archive import drawn_archive

from sugar.evaluation.tasks import notes
from sugar.everyday.archive import Archive
from sugar.everyday.facts import Corpus, Facts, existence, questions
from sugar.everyday.foils import all_foils
from sugar.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig
from sugar.training import material
from sugar.training.data import open_one

CAPTION = "two brown dogs are running in the snow"
CAPTIONS = [
    "Two brown dogs are running in the snow .",
    "Two brown dogs run through the snow .",
    "A brown dog and another one play in the snow .",
    "Dogs on a white field .",
]


def test_only_what_two_captions_say_is_asked() -> None:
    facts = Facts(CAPTIONS)
    asked = {q.text: q.answer for q in questions(facts, np.random.default_rng(0))}
    assert asked["how many dogs are there?"] == "two"
    assert asked["what color is the dog?"] == "brown"
    assert asked["what is the dog doing?"] == "running"
    assert "in the snow" in asked.values()
    assert "in a field" not in asked.values()


def test_a_thing_is_absent_only_when_nothing_related_is_named() -> None:
    facts = Facts(["A player kicks a ball .", "A boy plays soccer on grass ."])
    assert facts.absent("horse")
    assert not facts.absent("man")  # a player may be one
    assert not facts.absent("football")  # the ball may be one
    assert not facts.absent("field")  # grass may be one


def test_existence_is_balanced_and_even_negatives_follow_how_often_things_are_there() -> None:
    photos = [Facts(["A dog runs .", "A dog plays ."])] * 9 + [Facts(["A cat sits .", "A cat sleeps ."])] * 5
    corpus = Corpus(photos)
    rng = np.random.default_rng(0)
    pair = existence(photos[0], corpus, rng, "random")
    assert [q.answer for q in pair] == ["yes", "no"]
    assert "dog" in pair[0].text and "cat" in pair[1].text
    drawn = Counter(corpus.absent_thing(photos[0], rng, "even") for _ in range(20))
    assert set(drawn) == {"cat"}


def test_a_foil_differs_in_one_word_that_no_caption_names() -> None:
    facts = Facts(CAPTIONS)
    found = all_foils(CAPTION, facts)
    assert {f.kind for f in found} == {"noun", "color", "number", "action"}
    for one in found:
        words = zip(one.caption.split(), CAPTION.split(), strict=True)
        assert sum(a != b for a, b in words) == 1
        assert "playing" not in one.caption and "white" not in one.caption.split()
    assert all_foils("what is this", facts) == []


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> material.Maker:
    return material.Maker(Archive(drawn_archive(tmp_path_factory.mktemp("everyday"))))


def test_material_is_read_as_any_data_and_is_the_same_again(
    maker: material.Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file opens in its format, every row can be read, and a second writing gives the same bytes."""
    monkeypatch.setattr(material.Maker, "words", lambda self: ["dog", "cat"])  # MiniLM's package is not here
    monkeypatch.setattr(material, "NOTES", 40)
    monkeypatch.setattr(material, "PAIRS", 10)
    monkeypatch.setattr(material, "SURE", {"plain": 0.0, "photos": 0.0})
    maker.write(tmp_path / "a")
    material.Maker(maker.archive).write(tmp_path / "b")
    for path in (p for p in (tmp_path / "a").rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    photos, made = tmp_path / "a" / "photos", tmp_path / "a"
    tower = EfficientNetLite(EfficientNetLiteConfig(image_size=64, aligned_hidden=4, aligned_size=4))
    material.write_rows(made / "kinds.json", material.kinds(maker.archive, tower.requires_grad_(False)))
    for spec in (
        f"folder={photos}",
        f"llava={photos / 'questions.json'}",
        f"llava={photos / 'pairs.json'}",
        f"llava={made / 'notes.json'}",
        f"llava={made / 'kinds.json'}",
        f"texts={made / 'words.txt'}",
        f"texts={made / 'sentences.txt'}",
    ):
        data, _ = open_one(spec)
        assert len(data) and all(data[n].samples or data[n].conversations for n in range(min(len(data), 30)))


def test_a_question_is_answered_by_what_captions_say(maker: material.Maker) -> None:
    rows = list(maker.questions())
    assert {len(row["conversations"]) for row in rows} <= {2, 4, 6, 8, 10}
    colours = Counter()
    for row in rows:
        facts = maker.facts[row["image"][0]]
        said = [turn["value"].removeprefix("<image>\n") for turn in row["conversations"]]
        assert len(set(said[::2])) == len(said[::2]), "no question twice"
        for question, answer in zip(said[::2], said[1::2], strict=True):
            if question.startswith("What color is the "):
                thing = question.removeprefix("What color is the ").rstrip("?")
                assert facts.colors[thing][answer.lower()] >= 2
                colours[answer] += 1
    assert colours


def test_a_note_holds_its_answer_or_the_row_says_that_it_does_not(maker: material.Maker) -> None:
    told = absent = 0
    for row in maker.notes():
        asked, answer = (turn["value"] for turn in row["conversations"])
        body = asked.removeprefix(material.READ).partition("\nQuestion:")[0].lower()
        if answer == material.ABSENT:
            absent += 1
        else:
            told += 1
            words = [
                w
                for w in answer.lower().rstrip(".").split()
                if w not in ("it", "belongs", "to", "you", "because")
            ]
            assert all(word in body for word in words), (answer, body)
    assert 0.15 < absent / (told + absent) < 0.4


def test_notes_of_the_benchmark_are_none_of_training(maker: material.Maker) -> None:
    learnt = {sentence for sentence, _ in material.sentences()}
    assert learnt.isdisjoint(line.partition("|")[0] for line in notes.FACTS.strip().split("\n"))


def test_answers_end_with_a_sentence_and_do_not_go_in_circles() -> None:
    class Model:
        class processor:
            encode = staticmethod(str.split)

    cut = "This is the first sentence of it. " + "and " * material.TOKENS
    assert material.whole_sentences(Model, cut) == "This is the first sentence of it."
    assert material.whole_sentences(Model, " Short one ") == "Short one"
    assert material.circles("the dog ran home and " * 4) and not material.circles("the dog ran home")


def test_single_words_come_out_of_wordnet(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_text(
        "  1 This software is free\n00001 05 n 02 dog 0 domestic_dog 0 001 @ 0 | it barks\n"
        "00002 04 n 01 act 0 000 | no thing\n00003 05 n 01 axolotl 0 000 | unknown\n",
        "utf-8",
    )
    (tmp_path / "data.verb").write_text("00004 38 v 02 run 0 move 0 000 | fast\n", "utf-8")
    assert material.wordnet_words({"dog", "domestic", "run", "act"}, tmp_path) == [
        "dog",
        "domestic dog",
        "run",
    ]
