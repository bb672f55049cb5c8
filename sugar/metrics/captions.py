"""Metrics of captions: BLEU, ROUGE-L and CIDEr-D by pycocoevalcap's definitions, and the F1 of what is named.

    bleu(captions, references)[3]            # BLEU-4 of the corpus
    cider_d(captions, references)            # mean CIDEr-D, 10 is full marks for one reference

Captions are tokenised by `tokenise`, which gives what the Penn Treebank tokeniser gives on plain captions,
without Java.
SPICE needs a scene-graph parser and METEOR its synonym tables; neither is here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from sugar.metrics.retrieval import same_length

_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)*|n't\b|'(?:s|re|ve|ll|d|m)\b"
    r"|[^\W_]+(?=n't\b)|[^\W_]+(?:-[^\W_]+)*|[&%$#]"
)
_ORDER = 4
_SIGMA = 6.0  # CIDEr-D's penalty of a length that differs
_TfIdf = tuple[list[dict[tuple[str, ...], float]], list[float], int]
"""TF-IDF weights of n-grams by order, their norms, and the number of word pairs."""

_BETA = 1.2  # the COCO program's weight of recall in ROUGE-L


def tokenise(caption: str) -> list[str]:
    """Lower-case words without punctuation; "isn't" is two words, a hyphenated word is one.

    >>> tokenise("A man's hat isn't blue, it's well-worn.")
    ['a', 'man', "'s", 'hat', 'is', "n't", 'blue', 'it', "'s", 'well-worn']
    """
    return _TOKEN.findall(caption.lower())


def _ngrams(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for n in range(1, _ORDER + 1) for i in range(len(words) - n + 1))


def bleu(captions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, ...]:
    """BLEU-1 to BLEU-4 of the corpus, the reference length closest to the caption's.

    >>> [round(b, 3) for b in bleu(["a dog runs in the snow"], [["a dog runs in the snow", "a dog"]])]
    [1.0, 1.0, 1.0, 1.0]
    """
    same_length(captions, references, "Captions and references")
    right, guessed = np.zeros(_ORDER), np.zeros(_ORDER)
    length = reference_length = 0
    for caption, given in zip(captions, references, strict=True):
        words = tokenise(caption)
        others = [tokenise(r) for r in given]
        most: Counter[tuple[str, ...]] = Counter()
        for other in others:
            most |= _ngrams(other)
        for ngram, count in _ngrams(words).items():
            right[len(ngram) - 1] += min(count, most[ngram])
        guessed += [max(0, len(words) - n + 1) for n in range(1, _ORDER + 1)]
        length += len(words)
        lengths = [len(o) for o in others]
        reference_length += min((abs(n - len(words)), n) for n in lengths)[1]
    scores = []
    product = 1.0
    ratio = (length + 1e-15) / (reference_length + 1e-9)
    for n in range(_ORDER):
        product *= (right[n] + 1e-15) / (guessed[n] + 1e-9)
        brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
        scores.append(float(product ** (1 / (n + 1)) * brevity))
    return tuple(scores)


class CiderD:
    """CIDEr-D against given references; document frequencies are those of the references.

    reward = CiderD([["a dog runs", "a brown dog"], ["a red car"]])
    reward.score(0, "a dog")      # of a caption for the first

    Args:
        references: for each picture, its captions.
    Source: Vedantam et al. 2015, equation 5 with the length penalty and clipping of CIDEr-D.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        counted = [[_ngrams(tokenise(r)) for r in given] for given in references]
        self._frequency: Counter[tuple[str, ...]] = Counter()
        for given in counted:
            self._frequency.update({ngram for one in given for ngram in one})
        self._documents = math.log(max(1, len(references)))
        self._references = [[self._vector(counts) for counts in given] for given in counted]

    def _vector(self, counts: Counter[tuple[str, ...]]) -> _TfIdf:
        weights: list[dict[tuple[str, ...], float]] = [{} for _ in range(_ORDER)]
        for ngram, count in counts.items():
            rarity = self._documents - math.log(max(1, self._frequency[ngram]))
            weights[len(ngram) - 1][ngram] = count * rarity
        norms = [math.sqrt(sum(w * w for w in part.values())) for part in weights]
        return weights, norms, sum(c for ngram, c in counts.items() if len(ngram) == 2)

    def score(self, number: int, caption: str) -> float:
        """CIDEr-D of a caption for picture `number`, 0 to 10."""
        own, own_norms, own_length = self._vector(_ngrams(tokenise(caption)))
        total = 0.0
        for other, norms, length in self._references[number]:
            penalty = math.exp(-((own_length - length) ** 2) / (2 * _SIGMA**2))
            for n in range(_ORDER):
                value = sum(min(w, other[n].get(g, 0.0)) * other[n].get(g, 0.0) for g, w in own[n].items())
                if own_norms[n] and norms[n]:
                    value /= own_norms[n] * norms[n]
                total += value * penalty / _ORDER
        return 10 * total / len(self._references[number])


def cider_d(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean CIDEr-D, document frequencies from these references.

    Raises InputError when there are not as many captions as lists of references.
    """
    same_length(captions, references, "Captions and references")
    scorer = CiderD(references)
    scores = [scorer.score(number, caption) for number, caption in enumerate(captions)]
    return float(np.mean(scores)) if scores else float("nan")


def coco_rouge_l(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean ROUGE-L of the COCO program: best precision and best recall over the references, beta 1.2."""
    same_length(captions, references, "Captions and references")
    scores = []
    for caption, given in zip(captions, references, strict=True):
        words = tokenise(caption)
        common = [(_common(words, other), len(other)) for other in map(tokenise, given)]
        precision = max((c / len(words) for c, _ in common), default=0.0) if words else 0.0
        recall = max((c / n for c, n in common if n), default=0.0)
        both = recall + _BETA**2 * precision
        scores.append((1 + _BETA**2) * precision * recall / both if precision and recall else 0.0)
    return float(np.mean(scores)) if scores else float("nan")


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L, F1 of the longest common subsequence of words (Lin 2004, beta 1). 0 when either has no words.

    >>> round(rouge_l("a red star", "the red star"), 3)
    0.667
    """
    a, b = re.findall(r"\w+", prediction.casefold()), re.findall(r"\w+", reference.casefold())
    common = _common(a, b)
    return 2 * common / (len(a) + len(b)) if common else 0.0


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for j, other in enumerate(b):
            diagonal, row[j + 1] = row[j + 1], diagonal + 1 if word == other else max(row[j + 1], row[j])
    return row[-1]


def caption_f1(predicted: Iterable[Iterable[Hashable]], reference: Iterable[Iterable[Hashable]]) -> float:
    """F1 over all captions together of what they name, counted with repeats. 0 when nothing is right.

    >>> caption_f1([["red star", "red star"]], [["red star", "blue cat"]])  # 1 of 2 named, 1 of 2 there
    0.5
    """
    named = [Counter(p) for p in predicted]
    there = [Counter(r) for r in reference]
    same_length(named, there, "Captions and references")
    hits = sum((n & t).total() for n, t in zip(named, there, strict=True))
    both = sum(n.total() for n in named) + sum(t.total() for t in there)
    return 2 * hits / both if hits else 0.0
