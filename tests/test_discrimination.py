"""sugar/discrimination.py: the three matrices, strict verdicts in words, what is refused."""

import threading

import numpy as np
import pytest
from PIL import Image
from toy import ToyModel

from sugar.discrimination import ask_difference, compare, verdict
from sugar.errors import InputError

RED, BLUE = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))


class Judge(ToyModel):
    """Says yes with log-odds 2 where the question names the picture's colour, else -2.

    `asked` keeps the questions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def log_odds(self, questions):
        self.asked += [q.text for q in questions]
        return np.array([2.0 if self.fits(q) else -2.0 for q in questions])

    def fits(self, question):
        red, _, blue = question.images[0].getpixel((0, 0))
        return ("red" if red > blue else "blue") in question.text


def test_three_matrices_with_pictures_as_rows():
    model = Judge()
    fit = compare(model, [RED, BLUE], ["a red star.", "blue  dog", "night"])
    assert fit.similarity.shape == fit.yes.shape == fit.both.shape == (2, 3)
    assert fit.similarity[0, 0] > fit.similarity[1, 0] and fit.similarity[1, 1] > fit.similarity[0, 1]
    assert fit.yes == pytest.approx(
        np.array([[0.8808, 0.1192, 0.1192], [0.1192, 0.8808, 0.1192]]), abs=1e-3
    )  # 1 / (1 + e^-2)
    assert fit.both.mean() == pytest.approx(0, abs=1e-6)
    assert model.asked[:3] == [
        "does this show a red star?",
        "does this show blue dog?",
        "does this show night?",
    ]


def test_the_matrix_is_chosen_by_name():
    fit = compare(Judge(), [RED], ["red"], ask=False)
    assert fit.by("similarity") is fit.similarity
    for way in ("yes", "both", "__class__"):
        with pytest.raises(InputError, match="similarity"):
            fit.by(way)


def test_a_matrix_of_one_value_has_no_spread():
    assert compare(ToyModel(), [RED, RED], ["red", "red"]).both == pytest.approx(np.zeros((2, 2)))


def test_stopping_leaves_the_similarity():
    stop, seen = threading.Event(), []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        stop.set()

    fit = compare(Judge(), [RED, BLUE], ["red", "blue"], progress=progress, stop=stop)
    assert seen == [(0, 4)] and fit.yes is None and fit.similarity.shape == (2, 2)


@pytest.mark.parametrize(("pictures", "captions"), [(0, 1), (7, 1), (1, 0), (1, 7)])
def test_too_few_and_too_many(pictures, captions):
    with pytest.raises(InputError, match="1 to 6"):
        compare(ToyModel(), [RED] * pictures, ["red"] * captions)


@pytest.mark.parametrize("caption", ["", " . ", "word " * 81])
def test_captions_that_cannot_be_asked(caption):
    with pytest.raises(InputError):
        compare(ToyModel(), [RED], [caption])


@pytest.mark.parametrize(
    ("matrix", "text", "image", "group"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], 1, 1, 1),
        ([[0.9, 0.1], [0.9, 0.95]], 1, 0, 0),  # caption 1 is tied between the pictures
        ([[0.5, 0.5], [0.1, 0.9]], 0, 1, 0),  # picture 1 is tied between the captions
        ([[0.5, 0.5], [0.5, 0.5]], 0, 0, 0),
        ([[0.1, 0.9], [0.8, 0.2]], 0, 0, 0),
    ],
)
def test_the_verdict_is_strict(matrix, text, image, group):
    v = verdict(np.array(matrix))
    assert (v.text, v.image, v.group) == (text, image, group)


def test_the_verdict_needs_two_by_two():
    with pytest.raises(InputError, match="2 x 3"):
        verdict(np.zeros((2, 3)))


def test_the_difference_is_asked_as_it_was_trained():
    asked = ask_difference(ToyModel(), RED, BLUE)
    assert asked.text == ToyModel.profile.difference and asked.images == [RED, BLUE]
