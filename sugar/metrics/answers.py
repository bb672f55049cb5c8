"""Metrics of generated answers: VQA accuracy, POPE, MME, ANLS, multiple choice, each by the authors' program.

vqa_score("Two.", ["2"] * 10)                      # 1.0: cleaned, then leave-one-out over ten answers
pope(["Yes.", "no"], ["yes", "no"]).accuracy       # 1.0
mme([("yes", "yes"), ("no", "no")]).accuracy_plus  # 1.0: both questions about a picture are right
anls("sugar", ["suger"])                           # 0.8
letter_of("B. a cat", 4)                           # 1
scienceqa_letter("The answer is C.", 5)            # 2
demon_choice("a small cat", ["a dog", "a cat"])    # 1
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sugar.metrics.captions import rouge_l
from sugar.metrics.retrieval import same_length

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {w: str(n) for n, w in enumerate(_WORDS)}
_ARTICLES = ("a", "an", "the")


# --- exact answers of one reference ------------------------------------------------------------------


def normalise_answer(text: str) -> str:
    """An answer in lower case, without punctuation and articles, with number words as digits.

    >>> normalise_answer("Yes."), normalise_answer("A  red star!"), normalise_answer("three")
    ('yes', 'red star', '3')
    """
    words = re.findall(r"\w+(?:[.,]\d+)*", text.casefold().replace("'", ""))
    return " ".join(_NUMBERS.get(w, w) for w in words if w not in _ARTICLES)


def vqa_accuracy(predictions: Sequence[str], answers: Sequence[str]) -> float:
    """Share of exact answers after `normalise_answer`, one reference each. nan without questions."""
    same_length(predictions, answers, "Predictions and answers")
    pairs = zip(predictions, answers, strict=True)
    hits = [normalise_answer(p) == normalise_answer(a) for p, a in pairs]
    return float(np.mean(hits)) if hits else float("nan")


# --- VQA accuracy (Antol et al. 2015), as VQAv2, TextVQA and VizWiz use it --------------------------------

_PUNCTUATION = (*';/[]"{}()=+\\_-><@`', *",?!")
_PERIOD = re.compile(r"(?!<=\d)(\.)(?!\d)")  # the authors' expression, its misspelt look-behind included
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIODS_REMOVED = 32  # the authors pass re.UNICODE (32) where `re.sub` takes the number of replacements


def _words(text: str) -> list[str]:
    return text.split()


_ONE_APOSTROPHE = _words(
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd "
    "how'll how's I'm I've isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've "
    "o'clock oughtn't shan't should've shouldn't somebody'll somebody's someone'd someone'll someone's "
    "something'd something'll that's there'd there're there's they'd they'll they're they've 'twas wasn't "
    "we've weren't what'll what're what's what've when's where'd where's where've who'd who'll who's "
    "who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've"
)
_MORE_APOSTROPHES = _words(
    "couldn't've hadn't've he'd've I'd've it'd've mightn't've 'ow's'at she'd've shouldn't've "
    "somebody'd've someone'd've something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll "
    "y'all'd've you'd've"
)


def _contractions() -> dict[str, str]:
    """Spellings with an apostrophe left out -> the full form, as the authors' table lists them."""
    table = {form.replace("'", ""): form for form in _ONE_APOSTROPHE}
    for form in _MORE_APOSTROPHES:
        for i, letter in enumerate(form):
            if letter == "'":
                table[form[:i] + form[i + 1 :]] = form
    table["somebody'd"] = "somebodyd"  # the one entry that the authors have the other way round
    return table


_CONTRACTIONS = _contractions()


def _without_punctuation(text: str) -> str:
    out = text
    number = _COMMA_IN_NUMBER.search(text) is not None
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        out = out.replace(mark, "" if beside_space or number else " ")
    return _PERIOD.sub("", out, count=_PERIODS_REMOVED)


def clean_vqa_answer(text: str) -> str:
    """The official cleaning: punctuation, lower case, number words, articles, contractions.

    >>> clean_vqa_answer("The two dogs."), clean_vqa_answer("dont"), clean_vqa_answer("1,000")
    ('2 dogs', "don't", '1000')
    """
    text = _without_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    words = [_NUMBERS.get(w, "0" if w == "none" else w) for w in text.lower().split()]
    return " ".join(_CONTRACTIONS.get(w, w) for w in words if w not in _ARTICLES)


def vqa_score(prediction: str, answers: Sequence[str]) -> float:
    """VQA accuracy of one prediction: min(matches / 3, 1), averaged over leaving one person's answer out.

    Cleaning applies when the people disagree; unanimous answers are compared as they are, like the authors'
    program.

    >>> round(vqa_score("cat", ["cat", "cat", "dog", "dog", "dog", "dog", "dog", "dog", "dog", "dog"]), 3)
    0.6
    """
    said = prediction.replace("\n", " ").replace("\t", " ").strip()
    given = [a.replace("\n", " ").replace("\t", " ").strip() for a in answers]
    if len(set(given)) > 1:
        given = [clean_vqa_answer(a) for a in given]
        said = clean_vqa_answer(said)
    elif given and said != given[0]:
        said = clean_vqa_answer(said)
    matches = [said == answer for answer in given]
    total = sum(matches)
    return float(np.mean([min(1.0, (total - own) / 3) for own in matches])) if matches else float("nan")


# --- POPE ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pope:
    """POPE's figures, yes being the positive class.

    precision, recall and f1 are 0 where they are undefined.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    yes_ratio: float


def pope_answer(text: str) -> str:
    """ "yes" or "no", as the authors read an answer: the first sentence; any "no" or "not" in it is a no.

    >>> pope_answer("Yes."), pope_answer("There is not. Yes"), pope_answer("I see one")
    ('yes', 'no', 'yes')
    """
    words = text.split(".", 1)[0].replace(",", "").lower().split()
    return "no" if {"no", "not"} & set(words) else "yes"


def pope(predictions: Sequence[str], answers: Sequence[str]) -> Pope:
    """POPE (Li et al. 2023). The ratio of yes is taken from the predictions.

    >>> pope(["Yes.", "yes", "no", "well"], ["yes", "no", "no", "no"])
    Pope(accuracy=0.5, precision=0.3333333333333333, recall=1.0, f1=0.5, yes_ratio=0.75)
    """
    same_length(predictions, answers, "Predictions and answers")
    yes = np.array([pope_answer(p) == "yes" for p in predictions], bool)
    wanted = np.array([pope_answer(a) == "yes" for a in answers], bool)
    hits = float((yes & wanted).sum())
    precision = hits / yes.sum() if yes.any() else 0.0
    recall = hits / wanted.sum() if wanted.any() else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return Pope(float((yes == wanted).mean()), float(precision), float(recall), float(f1), float(yes.mean()))


# --- MME -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mme:
    """Share of right answers, share of pictures with both right, and their sum as points of 200."""

    accuracy: float
    accuracy_plus: float
    score: float


def mme_answer(text: str) -> str:
    """ "yes", "no" or "other": the whole answer, else its first four letters (Fu et al. 2023).

    >>> mme_answer("Yes"), mme_answer("no, it is"), mme_answer("maybe no")
    ('yes', 'no', 'other')
    """
    said = text.strip().lower()
    if said in ("yes", "no"):
        return said
    start = said[:4]
    return "yes" if "yes" in start else "no" if "no" in start else "other"


def mme(pairs: Sequence[tuple[str, str]]) -> Mme:
    """MME's figures of one subtask from (prediction, answer), two consecutive pairs a picture.

    >>> mme([("yes", "yes"), ("no", "no"), ("yes", "yes"), ("yes", "no")])
    Mme(accuracy=0.75, accuracy_plus=0.5, score=125.0)
    """
    right = np.array([mme_answer(p) == a.strip().lower() for p, a in pairs], bool)
    both: np.ndarray = np.all(right[: len(right) // 2 * 2].reshape(-1, 2), axis=1)
    accuracy = float(right.mean()) if len(right) else float("nan")
    plus = float(both.mean()) if len(both) else float("nan")
    return Mme(accuracy, plus, 100 * (accuracy + plus))


# --- ANLS ------------------------------------------------------------------------------------------------


def anls(prediction: str, answers: Sequence[str], threshold: float = 0.5) -> float:
    """Average normalised Levenshtein similarity of one question: the best answer, 0 below the threshold.

    >>> anls("sugar", ["suger"]), anls("salt", ["suger"])
    (0.8, 0.0)
    """
    said = " ".join(prediction.strip().lower().split())
    best = 0.0
    for answer in answers:
        wanted = " ".join(answer.strip().lower().split())
        longest = max(len(said), len(wanted))
        best = max(best, 1 - _edits(said, wanted) / longest if longest else 0.0)
    return best if best >= threshold else 0.0


def _edits(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


# --- multiple choice: by letter (ScienceQA, MMBench, MMVP), or by the nearest option (DEMON) ---------------

_LETTERS = "ABCDEFGH"
_ANSWER_IS = re.compile(r"The answer is ([A-Z])\.")
_MARKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_WORD = re.compile(r"\b\w\w+\b")
_LONGEST = 512
_DEMON_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


def scienceqa_letter(text: str, options: int) -> int | None:
    """LLaVA's rule for ScienceQA: the letter alone, "B. ...", or the one "The answer is B."; None otherwise.

    >>> scienceqa_letter("B", 3), scienceqa_letter("B. a cat", 3), scienceqa_letter("it is B", 3)
    (1, 1, None)
    """
    said = text.strip()
    if said in _LETTERS[:options] and len(said) == 1:
        return _LETTERS.index(said)
    if len(said) >= 3 and said[0] in _LETTERS[:options] and said[1:3] == ". ":
        return _LETTERS.index(said[0])
    found = _ANSWER_IS.findall(said)
    if len(found) == 1 and found[0] in _LETTERS[:options]:
        return _LETTERS.index(found[0])
    return None


def letter_of(text: str, options: int, letters: str = _LETTERS) -> int | None:
    """MMBench's rule without a judge (Liu et al. 2023): the one option letter that stands alone; None
    otherwise.

    "A" in an answer of more than three words may be the article and decides nothing.

    >>> letter_of("(B)", 2), letter_of("A or B", 4), letter_of("A cat sits here", 4)
    (1, None, None)
    """
    words = text.translate(_MARKS).split()
    found = [letter for letter in letters[:options] if letter in words]
    if len(found) != 1 or (found == ["A"] and len(words) > 3):
        return None
    return letters.index(found[0])


def demon_choice(prediction: str, options: Sequence[str]) -> int:
    """DEMON's rule (Li et al. 2023): the option whose TF-IDF vector is nearest to the prediction's; the first
    of equals.

    TF-IDF as scikit-learn's TfidfVectorizer computes it: words of two letters or more, smooth idf, unit
    length.

    >>> demon_choice("a small cat", ["big dog", "small bird", "small cat"])
    2
    """
    texts = [Counter(_WORD.findall(t.lower())) for t in (prediction, *options)]
    frequency = Counter(w for t in texts for w in t)
    idf = {w: math.log((1 + len(texts)) / (1 + n)) + 1 for w, n in frequency.items()}
    said, *others = [{w: c * idf[w] for w, c in t.items()} for t in texts]

    def cosine(a: dict[str, float], b: dict[str, float]) -> float:
        norm = math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
        return sum(v * b.get(w, 0.0) for w, v in a.items()) / norm if norm else 0.0

    scores = [cosine(said, other) for other in others]
    return scores.index(max(scores))


def demon_rouge_l(prediction: str, reference: str) -> float:
    """DEMON's open answers: ROUGE-L F1 after its cleaning, the first 512 characters of the prediction.

    >>> demon_rouge_l("A cat.", "a cat")
    1.0
    """
    return rouge_l(_clean(prediction)[:_LONGEST], _clean(reference))


def _clean(text: str) -> str:
    out = text.replace("\n", " ").replace("\t", " ").strip()
    for mark in _DEMON_PUNCTUATION:
        out = out.replace(mark, " ")
    return out.strip("'\").( ").lower()
