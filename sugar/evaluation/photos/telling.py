"""Telling: captions against people's own, and how often a caption names a thing that is not there."""

from __future__ import annotations

import re

from sugar.core import Sugar
from sugar.evaluation.figures import Figure
from sugar.evaluation.loops import generate
from sugar.evaluation.photos.asked import BLANK, Asked
from sugar.metrics import bleu, cider_d
from sugar.sequence import Sample
from sugar.training.photos.archive import clean
from sugar.training.photos.words import THING_OF

__all__ = ["captions", "invented"]

COMMONEST = 80


def captions(model: Sugar, asked: Asked) -> tuple[dict[str, Figure], list[str]]:
    """BLEU-4, CIDEr and invented things of greedy captions; what the model says of a blank picture is the
    blind baseline. Returns the figures, and the captions in the order of the photos.
    """
    said = generate(model, [Sample([photo, model.profile.describe]) for photo in asked.photos])
    blind = generate(model, [Sample([BLANK, model.profile.describe])]) * len(said)
    references = [[clean(c) for c in own] for own in asked.captions]
    figures = {
        "photo_bleu4": Figure(bleu(said, references)[3], None, bleu(blind, references)[3]),
        "photo_cider": Figure(cider_d(said, references), None, cider_d(blind, references)),
    }
    sentences, things = invented(said, asked)
    blind_sentences, blind_things = invented(blind, asked)
    figures["photo_chair_captions"] = Figure(sentences, None, blind_sentences)
    figures["photo_chair_things"] = Figure(things, None, blind_things)
    return figures, said


def invented(said: list[str], asked: Asked) -> tuple[float, float]:
    """Share of captions with an invented thing, and of things named that are invented (CHAIR, Rohrbach 2018).

    Only the 80 commonest things count. A thing is invented when no caption of the photo names it or a
    related one.
    """
    common = {thing for thing, _ in asked.corpus.count.most_common(COMMONEST)}
    wrong = captions_wrong = named = 0
    for caption, facts in zip(said, asked.facts, strict=True):
        things = {THING_OF[w] for w in re.findall(r"[a-z\-]+", caption) if THING_OF.get(w) in common}
        false = sum(facts.absent(thing) for thing in things)
        named += len(things)
        wrong += false
        captions_wrong += bool(false)
    return captions_wrong / max(1, len(said)), wrong / max(1, named)
