"""A knowledge base: passages, a gallery, or both; found by words and by vectors at once.

    base = KnowledgeBase(model, gallery=gallery, passages=read_files(files).passages)
    hits = base.search(Sample("when was the mill built?"), 3)       # best first; hit.score in [0, 1]
    hits[0].found_by                                                # ("words", "vectors"), or one of them
    base.passage(hits[0])                                           # the picture or passage behind a hit

BM25 and vectors each give a shortlist; the two are fused by reciprocal rank (sugar/fusion.py). What is left
is ordered by the one score of evidence.py. A time in the question ("in August") filters the pictures before
they are ranked. Not covered: reading files (sugar/passages), answering (answering.py).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from sugar import place
from sugar.errors import Cancelled, InputError
from sugar.fusion import reciprocal_rank
from sugar.gallery.ingest import embed_each
from sugar.gallery.items import Filters, Item
from sugar.gallery.keywords import TextIndex
from sugar.passages import Passage
from sugar.rag.evidence import (
    Scales,
    Stemmed,
    by_words,
    closeness,
    combined,
    kind_asked,
    known_share,
    saturating,
)
from sugar.rag.prompting import quoted, quoted_sample
from sugar.rag.questions import find_time
from sugar.rag.words import Terms, stem
from sugar.search_words import asked
from sugar.sequence import PassageHit, Sample

MAX_READ = 12
SHORTLIST = 40
"""Hits that a question may ask for, and candidates of each ranking. All of the fused ones are scored: a hit
that one ranking puts first may stand low in the fused one."""

FEW = 8
"""Passages of a kind below which neutral texts and pictures stand in as strangers."""

NEUTRAL = """
    what time is it? | where is the station? | how old is the house? | who is at the door? |
    what is the name of the river? | what does the teacher like? | a quiet street in the morning |
    the train was late again | two people talk in a garden | buy bread and milk |
    how many chairs are there? | a small boat near the bridge | the meeting is on monday |
    what color is the wall? | an old clock on a table | is there a window? | who wrote the letter? |
    it rained all night | a dog sleeps in the sun | the key is under the stone | what is on the left? |
    how far is the town? | the shop opens at nine | a bowl of fruit
"""
"""Everyday texts that nobody asked about, with bars between: what a question is compared with in a base of
a few passages."""

AT_ONCE = 64
"""Passages that are embedded before somebody else may have the model."""


def _embedded(model: Any, samples: Sequence[Sample], stop: threading.Event | None) -> list[Any]:
    """The vectors of each sample, None where the model cannot embed it. Raises Cancelled."""
    vectors: list[Any] = []
    for low in range(0, len(samples), AT_ONCE):
        if stop is not None and stop.is_set():
            raise Cancelled("The reading of the notes was stopped.")
        vectors += embed_each(model, samples[low : low + AT_ONCE])[0]
    return vectors


class KnowledgeBase:
    """What can be asked about. Holds nothing on disk.

    Passages that the model cannot embed are still found by their words.
    """

    def __init__(
        self,
        model: Any,
        *,
        passages: Sequence[Passage] = (),
        gallery: Any = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Raises InputError when there is nothing at all to read, Cancelled when `stop` was set meanwhile."""
        self.model, self.gallery = model, gallery
        self.scales = Scales(**model.profile.evidence)
        vectors = _embedded(model, [quoted_sample(p.key) for p in passages], stop)
        kept = [i for i, p in enumerate(passages) if vectors[i] is not None or p.text]
        self.passages = [passages[i] for i in kept]
        blank = np.zeros(model.dimension, np.float32)
        rows = [blank if (v := vectors[i]) is None else v[0][-1] for i in kept]
        self.keys = np.stack(rows) if rows else np.zeros((0, model.dimension), np.float32)  # (N, D)
        self.kinds = np.array([_parts(p) for p in self.passages])
        self.texts = self._text_vectors()
        self._words = TextIndex((p.name, f"{p.text} {p.answer}") for p in self.passages)
        self._stemmed = [Stemmed.of(p) for p in self.passages]
        self._counts = Counter(root for p in self._stemmed for root in {*p.title, *p.text})
        self._strangers: dict[str, np.ndarray] = {}
        if not len(self):
            raise InputError(
                "There is nothing to read yet. Add pictures, notes, or a csv of questions and answers."
            )

    def __len__(self) -> int:
        return len(self.passages) + (len(self.gallery) if self.gallery is not None else 0)

    def search(self, question: Sample, k: int = 3) -> list[PassageHit]:
        """The k passages and pictures with the highest score, best first."""
        if not 1 <= k <= MAX_READ:
            raise InputError(f"{k} passages to read: choose 1 to {MAX_READ}.")
        words = question.text
        asked = [question, Sample(words)] if question.images and words else [question]
        vectors = self.model.embed(asked).pooled  # (1 or 2, D)
        known = known_share(self.model, words) if words.strip() else 1.0
        query = _Query(words, vectors[0], vectors[-1], known)
        found = self._in_passages(query)
        if self.gallery is not None and len(self.gallery):
            with self.gallery.lock:
                found += self._in_gallery(query, k)
        found.sort(key=lambda pair: (-pair[0].score, -pair[1]))
        return [replace(hit, rank=rank) for rank, (hit, _) in enumerate(found[:k])]

    # -- passages

    def _in_passages(self, query: _Query) -> list[tuple[PassageHit, float]]:
        if not self.passages:
            return []
        near = closeness(self.keys @ query.whole, self.texts @ query.of_words)  # (N,)
        by_word = self.found_by_words(query.text, SHORTLIST)
        by_vector = np.argsort(-near, kind="stable")[:SHORTLIST].tolist()
        asked, kind = self.terms(query.text), kind_asked(query.text)
        deviations = self._deviations(near, query)
        out = []
        for fused in reciprocal_rank({"words": by_word, "vectors": by_vector}):
            p, above = self.passages[fused.item], float(deviations[fused.item])
            if self.kinds[fused.item] == "picture":
                vector = self.scales.of_picture(float(self.keys[fused.item] @ query.whole), above)
            else:
                vector = saturating(above, self.scales.half_text)
            words = by_words(asked, kind, self._stemmed[fused.item])
            has_words = bool(p.text or p.answer) or words > 0
            hit = PassageHit(
                name=p.name,
                score=combined(words, vector, has_words, query.known, self.scales),
                rank=0,
                kind=p.kind,
                text=p.text,
                answer=p.answer,
                passage=fused.item,
                found_by=fused.found_by,
                words=words,
                vector=vector,
            )
            out.append((hit, fused.score))
        return out

    def found_by_words(self, text: str, k: int) -> list[int]:
        """Numbers of the passages that BM25 ranks first."""
        return [row for row, _ in self._words.search(text, k)]

    def _deviations(self, near: np.ndarray, query: _Query) -> np.ndarray:
        """(N,) how much closer each passage is than strangers of its kind, in standard deviations."""
        out = np.zeros(len(near))
        for kind in set(self.kinds.tolist()):
            own = self.kinds == kind
            others = near[own]
            total, square, count = others.sum(), (others**2).sum(), len(others)
            if count <= FEW:
                keys = self._neutral(kind)
                strangers = closeness(keys @ query.whole, keys @ query.of_words)
                total, square = total + strangers.sum(), square + (strangers**2).sum()
                count += len(strangers)
            mean = (total - others) / (count - 1)  # each against all the others
            spread = np.sqrt(np.maximum((square - others**2) / (count - 1) - mean**2, 1e-6))
            out[own] = (others - mean) / spread
        return out

    def _neutral(self, kind: str) -> np.ndarray:
        """(n, D) vectors of texts or pictures that nobody asked about."""
        if kind not in self._strangers:
            texts = [" ".join(text.split()) for text in NEUTRAL.split("|")]
            names = ("gray", "white", "black", "teal", "brown", "navy")
            shades = [Image.new("RGB", (96, 96), name) for name in names]
            if kind == "text":
                samples = list(map(Sample, texts))
            elif kind == "picture":
                samples = list(map(Sample, shades))
            else:
                samples = [Sample([shades[i % len(shades)], t]) for i, t in enumerate(texts)]
            self._strangers[kind] = self.model.embed(samples).pooled
        return self._strangers[kind]

    def terms(self, question: str) -> Terms:
        """The content words of a question, weighed by how rare they are among the passages."""
        return Terms.of(question, self._counts.__getitem__, len(self.passages))

    def _text_vectors(self) -> np.ndarray:
        """(N, D) vectors of the texts alone; the row of `keys` where a passage has no picture or no text."""
        out = self.keys.copy()
        both = [i for i, kind in enumerate(self.kinds) if kind == "both" and quoted(self.passages[i].text)]
        if both:
            texts = [Sample(quoted(self.passages[i].text)) for i in both]
            out[both] = self.model.embed(texts).pooled
        return out

    # -- the gallery

    def _in_gallery(self, query: _Query, k: int) -> list[tuple[PassageHit, float]]:
        """Pictures of the gallery; those of the time and the place that the question names, where it does."""
        text, filters = query.text, Filters()
        if (when := find_time(text)) is not None:
            text, filters = when.rest, when.filters
        if (named := place.find(text)) is not None:
            text, filters = named[1], replace(filters, near=named[0])
        phrase = when.phrase if when is not None else ""
        asked, kind = self._terms_in_gallery(text), kind_asked(text)
        if filters != Filters():
            passing = self.gallery.items(filters=filters, limit=k)
            if not asked:  # nothing but the time or the place
                by = ("date",) if when is not None else ("place",)
                hits = [self._picture_hit(item, query, 1.0, 0.0, by, phrase) for item in passing]
                return [(hit, 1.0 / (1 + n)) for n, hit in enumerate(hits)]
            if not passing:
                return []
        by_word = [item for item, _ in self.gallery.by_words(text, SHORTLIST, filters)]
        found = self.gallery.nearest(query.whole[None], SHORTLIST, filters)[1][0]
        fused = reciprocal_rank({"words": by_word, "vectors": [int(i) for i in found if i >= 0]})
        items = {item.id: item for item in self.gallery.items(ids=[f.item for f in fused])}
        vectors = self._picture_parts([item.id for item in items.values() if item.has_vectors], query)
        out = []
        for one in fused:
            if (item := items.get(one.item)) is not None:
                words = by_words(asked, kind, Stemmed.of(Passage(item.name, item.said, item=item.id)))
                vector = vectors.get(item.id, 0.0)
                hit = self._picture_hit(item, query, words, vector, one.found_by, phrase)
                out.append((hit, one.score))
        return out

    def _picture_parts(self, ids: Sequence[int], query: _Query) -> dict[int, float]:
        """The vector's part of each picture's score."""
        if not ids:
            return {}
        rows = self.gallery.pooled(ids) @ query.whole  # (n,)
        others = self.gallery.spread() @ query.whole
        if len(others) <= FEW:
            others = np.concatenate([others, self._neutral("picture") @ query.whole])
        mean, spread = float(others.mean()), max(float(others.std()), 1e-3)
        part = self.scales.of_picture
        return {
            item: part(float(row), float((row - mean) / spread)) for item, row in zip(ids, rows, strict=True)
        }

    def _terms_in_gallery(self, text: str) -> Terms:
        """The content words of a text, weighed by how rare they are among names, captions and dates."""
        counts = {stem(word): self.gallery.count_word(word) for word in set(asked(text))}
        return Terms.of(text, lambda root: counts.get(root, 0), len(self.gallery))

    def _picture_hit(
        self, item: Item, query: _Query, words: float, vector: float, by: tuple[str, ...], when: str
    ) -> PassageHit:
        has_words = bool(item.said) or words > 0
        score = combined(words, vector, has_words, query.known, self.scales)
        return PassageHit(
            name=item.name,
            score=max(score, vector * query.known),
            rank=0,
            kind="picture",
            text=item.said,
            item=item.id,
            found_by=by,
            words=words,
            vector=vector,
            day_from_name=item.day_from_name,
            when=when,
            caption_by=item.caption_by,
            where=f"near {item.location[0]:.3f},{item.location[1]:.3f}" if item.location else "",
        )

    def passage(self, hit: PassageHit) -> Passage:
        """What a hit stands for, with its picture. Raises GalleryError when the picture was deleted
        meanwhile."""
        if hit.passage is not None:
            return self.passages[hit.passage]
        return Passage(hit.name, hit.text, image=self.gallery.picture(hit.item), item=hit.item)


@dataclass(frozen=True, eq=False)
class _Query:
    """The words of a question, its vectors, of all and of the words alone, and its `known_share`."""

    text: str
    whole: np.ndarray
    of_words: np.ndarray
    known: float


def _parts(passage: Passage) -> str:
    return "text" if passage.image is None else "both" if passage.text else "picture"
