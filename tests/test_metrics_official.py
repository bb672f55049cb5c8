"""The metrics against the authors' own programs, or against values that those programs print, worked out by
hand.

Also the deviations of popular harnesses that we do not share: ties as wins, "Yes." as wrong, yes-ratio from
labels.
"""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from sugar.metrics.answers import (
    anls,
    clean_vqa_answer,
    demon_choice,
    letter_of,
    mme,
    pope,
    pope_answer,
    scienceqa_letter,
    vqa_score,
)
from sugar.metrics.captions import bleu, cider_d, coco_rouge_l, tokenise
from sugar.metrics.retrieval import sugarcrepe_plus

CAPTIONS = [
    "two dogs are running through the snow",
    "a man is sitting on a bench",
    "a child in a red shirt, is swimming in a pool.",
    "snow",
]
REFERENCES = [
    ["Two dogs run through deep snow.", "A black dog and a white dog play in the snow.", "dogs in snow"],
    ["A man sits on a wooden bench near the water.", "An old man isn't standing.", "a man on a bench"],
    ["A boy in a red shirt swims.", "A child swims in the pool.", "The child's in a blue pool."],
    ["A snow-covered mountain with 2 climbers.", "Two climbers on a mountain.", "snow on a mountain"],
]


@pytest.mark.parametrize("room", ["retrieval", "answers", "captions"])
def test_examples_in_docstrings(room: str) -> None:
    result = doctest.testmod(importlib.import_module(f"sugar.metrics.{room}"))
    assert result.attempted > 0 and result.failed == 0


# --- captions, against pycocoevalcap --------------------------------------------------------------------


def cooked(texts: list[list[str]]) -> dict[int, list[str]]:
    return {i: [" ".join(tokenise(t)) for t in given] for i, given in enumerate(texts)}


def test_bleu_cider_and_rouge_are_pycocoevalcap_s() -> None:
    references, captions = cooked(REFERENCES), cooked([[c] for c in CAPTIONS])
    assert bleu(CAPTIONS, REFERENCES) == pytest.approx(
        Bleu(4).compute_score(references, captions, 0)[0], abs=1e-9
    )
    assert cider_d(CAPTIONS, REFERENCES) == pytest.approx(
        Cider().compute_score(references, captions)[0], abs=1e-9
    )
    theirs = Rouge().compute_score(references, captions)[0]
    assert coco_rouge_l(CAPTIONS, REFERENCES) == pytest.approx(theirs, abs=1e-9)


words = st.lists(
    st.sampled_from(["a", "the", "dog", "runs", "on", "snow", "red", "two"]), min_size=1, max_size=9
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=5))
def test_captions_agree_with_pycocoevalcap_on_any_words(
    items: list[tuple[list[str], list[list[str]]]],
) -> None:
    said = [" ".join(caption) for caption, _ in items]
    given = [[" ".join(r) for r in references] for _, references in items]
    references, captions = dict(enumerate(given)), {i: [s] for i, s in enumerate(said)}
    assert bleu(said, given) == pytest.approx(Bleu(4).compute_score(references, captions, 0)[0], abs=1e-9)
    assert cider_d(said, given) == pytest.approx(Cider().compute_score(references, captions)[0], abs=1e-9)
    assert coco_rouge_l(said, given) == pytest.approx(
        Rouge().compute_score(references, captions)[0], abs=1e-9
    )


def test_the_tokeniser_drops_punctuation_and_splits_clitics() -> None:
    assert tokenise('She said: "it\'s 3.5 m -- really!"') == ["she", "said", "it", "'s", "3.5", "m", "really"]
    assert tokenise("can't") == ["ca", "n't"]


# --- VQA accuracy ----------------------------------------------------------------------------------------


def test_vqa_accuracy_leaves_one_person_out() -> None:
    ten = ["cat"] * 3 + ["dog"] * 7
    # three of ten say cat: leaving one of them out, 2/3; leaving another out, 3/3 -> (3 * 2/3 + 7) / 10
    assert vqa_score("cat", ten) == pytest.approx(0.9)
    assert vqa_score("dog", ten) == 1.0
    assert vqa_score("cat", ["cat"] + ["dog"] * 9) == pytest.approx(0.3)
    assert vqa_score("bird", ten) == 0.0


def test_vqa_cleaning() -> None:
    cases = {
        "A man, a plan": "man plan",
        "Yes.": "yes",
        "none": "0",
        "ten": "10",
        "couldnt've": "couldn't've",
        "somebody'd": "somebodyd",
        "red/blue": "red blue",
        "red / blue": "red blue",
        "1,000": "1000",
        "2.5": "2.5",
        "t-shirt": "t shirt",
        "what's up?": "what's up",
    }
    assert {k: clean_vqa_answer(k) for k in cases} == cases


def test_unanimous_answers_are_not_cleaned() -> None:
    assert vqa_score("the cat", ["the cat"] * 10) == 1.0


# --- POPE and MME ----------------------------------------------------------------------------------------


def test_pope_reads_the_first_sentence() -> None:
    assert [pope_answer(t) for t in ("Yes.", "yes, it is", "No", "There is not", "Yes. There is no dog")] == [
        "yes",
        "yes",
        "no",
        "no",
        "yes",
    ]


def test_pope_has_no_division_by_zero_and_counts_yes_of_predictions() -> None:
    never = pope(["no"] * 4, ["yes", "yes", "no", "no"])
    assert (never.precision, never.recall, never.f1, never.yes_ratio) == (0.0, 0.0, 0.0, 0.0)
    assert (
        pope(["yes"] * 4, ["yes", "no", "no", "no"]).yes_ratio == 1.0
    )  # a harness that reads labels says 0.25


def test_mme_wants_both_questions_of_a_picture() -> None:
    result = mme([("Yes", "Yes"), ("Yes", "No"), ("no, never", "No"), ("Yes it is", "Yes")])
    assert (result.accuracy, result.accuracy_plus, result.score) == (0.75, 0.5, 125.0)


def test_anls_is_zero_below_one_half() -> None:
    assert anls("abcd", ["abxy"]) == 0.5
    assert anls("abcd", ["axyz"]) == 0.0


# --- choices ---------------------------------------------------------------------------------------------


def test_scienceqa_rule() -> None:
    said = [
        "A",
        "B. because",
        "The answer is C.",
        "The answer is C",
        "F",
        "It is B",
        "The answer is A. The answer is B.",
    ]
    assert [scienceqa_letter(s, 3) for s in said] == [0, 1, 2, None, None, None, None]


def test_letters_that_stand_alone() -> None:
    assert [letter_of(s, 4) for s in ("B", "(C)", "**D**", "A dog on the sofa", "none", "A, B")] == [
        1,
        2,
        3,
        None,
        None,
        None,
    ]
    assert letter_of("(a)", 2, "ab") == 0


def sklearn_choice(prediction: str, options: list[str]) -> int:
    vectors = TfidfVectorizer().fit_transform([prediction, *options])
    return int(np.argmax(cosine_similarity(vectors[0], vectors[1:])[0]))


def test_demon_choice_is_scikit_learn_s() -> None:
    options = ["the dog is on the grass", "a cat sleeps on the sofa", "two people are at the beach"]
    for said in (
        "there is a cat on it",
        "people at a beach",
        "grass",
        "a dog and a cat and people",
        "nothing",
    ):
        assert demon_choice(said, options) == sklearn_choice(said, options)


# --- comparisons -----------------------------------------------------------------------------------------


def test_a_constant_scorer_gets_nothing() -> None:
    same = np.full((5, 3), 0.5)
    assert sugarcrepe_plus(same, same).itt == sugarcrepe_plus(same, same).tot == 0.0
