"""Metrics against values worked out by hand: ties, punctuation, empty answers, several right answers."""

from __future__ import annotations

import numpy as np
import pytest

from sugar.errors import InputError
from sugar.metrics.answers import pope, vqa_accuracy
from sugar.metrics.captions import caption_f1, rouge_l
from sugar.metrics.retrieval import pairwise_accuracy, ranks, recall_at_k, winoground


def test_recall_counts_by_hand() -> None:
    similarity = np.array([[0.9, 0.1, 0.3], [0.8, 0.2, 0.4], [0.1, 0.2, 0.3]])
    target = np.array([0, 2, 0])
    assert ranks(similarity, target).tolist() == [0, 1, 2]
    assert [recall_at_k(similarity, target, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_ties_are_misses() -> None:
    flat = np.zeros((4, 10))
    assert recall_at_k(flat, np.arange(4)) == 0.0
    assert pairwise_accuracy(np.zeros(3), np.zeros(3)) == 0.0
    w = winoground(np.zeros((3, 2, 2)))
    assert (w.text, w.image, w.group) == (0.0, 0.0, 0.0)


def test_several_right_candidates_do_not_compete() -> None:
    similarity = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7]])
    assert ranks(similarity, np.array([[True, True, False], [False, True, True]])).tolist() == [0, 1]


def test_nan_never_wins() -> None:
    assert ranks(np.array([[np.nan, 0.5], [0.5, np.nan]]), np.array([0, 0])).tolist() == [1, 1]


def test_winoground_axes_are_caption_then_picture() -> None:
    one = np.array(
        [[[1.0, 0.0], [0.9, 0.5]]]
    )  # each picture prefers its caption; caption 1 prefers picture 0
    assert (winoground(one).text, winoground(one).image) == (1.0, 0.0)
    turned = winoground(one.transpose(0, 2, 1))
    assert (turned.text, turned.image) == (0.0, 1.0)


@pytest.mark.parametrize(
    "right, answers",
    [
        (1.0, "Yes.=yes| yes\n=Yes|A red star=red star|3=three|top left.=Top left|1.5=1.5"),
        (0.0, "yes it is=yes|=yes|red=red star|star red=red star|1.5=15"),
    ],
)
def test_answers_that_mean_the_same_and_that_do_not(right: float, answers: str) -> None:
    for pair in answers.split("|"):
        said, answer = pair.split("=")
        assert vqa_accuracy([said], [answer]) == right, pair


def test_pope_by_hand() -> None:
    p = pope(["yes", "yes", "no", "no", "yes"], ["yes", "no", "no", "yes", "yes"])
    assert (p.accuracy, p.precision, p.recall, p.f1, p.yes_ratio) == pytest.approx(
        (0.6, 2 / 3, 2 / 3, 2 / 3, 0.6)
    )
    neither = pope(
        ["", "maybe"], ["yes", "no"]
    )  # the authors' program takes an answer without a no for a yes
    assert (neither.accuracy, neither.recall, neither.yes_ratio) == (0.5, 1.0, 1.0)
    always = pope(["Yes, there is a star."] * 4, ["yes", "no"] * 2)
    assert (always.accuracy, always.recall, always.yes_ratio) == (0.5, 1.0, 1.0)


def test_caption_f1_counts_repeats() -> None:
    assert caption_f1([["star", "star", "cat"]], [["star", "cat"]]) == pytest.approx(0.8)
    assert caption_f1([[]], [["star"]]) == 0.0
    assert caption_f1([["star"], ["cat"]], [["star"], ["cat"]]) == 1.0


def test_rouge_l_by_hand() -> None:
    assert rouge_l("police killed the gunman", "police kill the gunman") == pytest.approx(0.75)
    assert rouge_l("the gunman kill police", "police kill the gunman") == pytest.approx(0.5)
    assert rouge_l("", "star") == 0.0
    assert rouge_l("Red star.", "red star") == 1.0


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError):
        recall_at_k(np.zeros((2, 3)), np.zeros(3, int))
    with pytest.raises(InputError):
        ranks(np.zeros((1, 2)), np.zeros((1, 2), bool))
    with pytest.raises(InputError):
        winoground(np.zeros((3, 4)))
    with pytest.raises(InputError):
        vqa_accuracy(["a"], [])
