"""Multiple choice from generated text: by letter (ScienceQA, MMBench, MMVP), or by the nearest option
(DEMON).

letter_of("B. a cat", 4)                            # 1
scienceqa_letter("The answer is C.", 5)             # 2
demon_choice("a small cat", ["a dog", "a cat"])     # 1
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from sugar.metrics.captions import rouge_l

__all__ = ["demon_choice", "demon_rouge_l", "letter_of", "scienceqa_letter"]

_LETTERS = "ABCDEFGH"
_ANSWER_IS = re.compile(r"The answer is ([A-Z])\.")
_MARKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_WORD = re.compile(r"\b\w\w+\b")
_LONGEST = 512
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


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
    for mark in _PUNCTUATION:
        out = out.replace(mark, " ")
    return out.strip("'\").( ").lower()
