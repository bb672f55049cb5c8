"""One step: rows about some photos, texts, albums, differences and chats, with the teachers' vectors of what
is embedded.

    step = draw_step(material, tokens, np.random.default_rng([seed, number]), StepConfig())
    step.rows, step.pictures            # what to feed; pictures[i] is (collection, number in it)
    step.slices["photo", 3].vector      # what the embedding of picture 3 is drawn to

A step is a function of its generator, so training resumes anywhere by number. Not covered: tensors
(`objective.py`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from sugar.everyday.facts import existence, questions
from sugar.everyday.foils import likely_foil
from sugar.everyday.scope import DESCRIBE, OUT_OF_SCOPE, REFUSAL
from sugar.everyday.words import article
from sugar.training.photos.material import Material, Photos
from sugar.training.photos.packed import PackedRow, Tokens
from sugar.training.photos.step import Known, PhotoStep, StepConfig, push

__all__ = ["DIFFERENCE", "MATCH", "draw_step"]

MATCH = "does this show {caption}?"
DIFFERENCE = "what differs?"
KIND = ("what kind of thing is this?", "what is the main thing?")
ABSENCE = ("adversarial", "even", "even", "random")
ONES = 0.25
CAPTION_WEIGHT = 1.3
TEXT_ROW = 120


def draw_step(material: Material, tokens: Tokens, rng: np.random.Generator, config: StepConfig) -> PhotoStep:
    """Draw one step."""
    builder = _Builder(material, tokens, rng, config)
    builder.photos()
    builder.plain()
    for _ in range(config.made):
        builder.made()
    builder.texts()
    for _ in range(config.albums):
        builder.album()
    for _ in range(config.differences):
        builder.difference()
    for _ in range(config.refusals):
        builder.row().say(builder.one_of(OUT_OF_SCOPE)).answer(REFUSAL)
    for _ in range(config.chats):
        builder.chat()
    return builder.step


class _Builder:
    def __init__(self, m: Material, tokens: Tokens, rng: np.random.Generator, config: StepConfig) -> None:
        self.m, self.tokens, self.rng, self.config = m, tokens, rng, config
        self.step = PhotoStep()
        self.shown: dict[int, int] = {}  # photo -> picture of the step
        self.waiting: list[tuple[str, int, float]] = []  # texts to pack: words, number, weight

    # -- small draws ---------------------------------------------------------------------------------------

    def one_of(self, items: Sequence[str]) -> str:
        return items[int(self.rng.integers(len(items)))]

    def row(self) -> PackedRow:
        self.step.rows.append(PackedRow(self.tokens))
        return self.step.rows[-1]

    def collection(self, name: str) -> Photos:
        return {"photos": self.m.photos, "mirrored": self.m.mirrored, "plain": self.m.plain}[name]

    def picture(self, photo: int) -> int:
        """The photo's picture in this step, mirrored or not."""
        if photo not in self.shown:
            name = "mirrored" if self.rng.random() < 0.5 else "photos"
            self.shown[photo] = self.add_picture(name, photo)
        return self.shown[photo]

    def add_picture(self, collection: str, number: int) -> int:
        self.step.pictures.append((collection, number))
        return len(self.step.pictures) - 1

    def known(self, picture: int) -> Known:
        name, number = self.step.pictures[picture]
        photos = self.collection(name)
        return Known(photos.own[number], photos.vectors[number], True)

    def caption(self, photo: int) -> int:
        own = self.m.owned[photo]
        return own[int(self.rng.integers(len(own)))]

    def add_text(self, words: str, known: Known | None, weight: float = 0.0) -> int:
        number = len(self.waiting)
        self.waiting.append((words, number, weight))
        if known is not None:
            self.step.slices["text", number] = known
        return number

    def known_caption(self, number: int) -> Known:
        return Known(self.m.captions.own[number], self.m.captions.vectors[number], False)

    # -- rows ----------------------------------------------------------------------------------------------

    def photos(self) -> None:
        """Captioned photos: embedded, described, asked about; two captions of each embedded, one of them
        with a foil.
        """
        m, rng, c = self.m, self.rng, self.config
        chosen = rng.choice(len(m.photos.names), min(c.photos, len(m.photos.names)), replace=False)
        for photo in map(int, chosen):
            picture = self.picture(photo)
            row = self.row().picture(picture, ("photo", picture))
            self.step.slices["photo", picture] = self.known(picture)
            if m.photos.confidence[photo] > c.sure_kind:
                self.name_kind(row, int(m.photos.classes[photo]))
            for number in rng.permutation(m.owned[photo])[: c.captions]:
                row.block()
                if rng.random() < 0.6:
                    row.say(self.one_of(DESCRIBE))
                row.answer(m.captions.words[number], weight=CAPTION_WEIGHT)
            self.ask(row, photo)
        for photo in map(int, chosen):
            self.embed_captions(photo)

    def name_kind(self, row: PackedRow, kind: int, *, described: bool = False) -> None:
        """What kind of thing it is; now and then the kind stands for a caption too."""
        name = self.m.classes[kind]
        if self.rng.random() < 0.6:
            row.block().say(self.one_of(KIND)).answer(name)
        if described and self.rng.random() < 0.5:
            row.block()
            if self.rng.random() < 0.6:
                row.say(self.one_of(DESCRIBE))
            row.answer("a photo of " + ("an " if name[0].lower() in "aeiou" else "a ") + name)

    def ask(self, row: PackedRow, photo: int) -> None:
        m, rng, c = self.m, self.rng, self.config
        facts = m.facts[photo]
        asked = [q[:2] for q in existence(facts, m.corpus, rng, self.one_of(ABSENCE))]
        open_ones = [q[:2] for q in questions(facts, rng) if q.answer != "one" or rng.random() < ONES]
        asked += [open_ones[i] for i in rng.permutation(len(open_ones))[: c.questions]]
        if rng.random() < c.matched:
            right = m.captions.words[self.caption(photo)]
            wrong = likely_foil(right, facts, m.corpus, rng) if rng.random() < 0.6 else None
            other = wrong.caption if wrong else m.captions.words[self.caption(self.neighbour(photo))]
            asked += [(MATCH.format(caption=right), "yes"), (MATCH.format(caption=other), "no")]
        if rng.random() < c.refused:
            asked.append((self.one_of(OUT_OF_SCOPE), REFUSAL))
        for question, answer in asked:
            row.block().say(question).answer(answer)

    def neighbour(self, photo: int) -> int:
        near = self.m.near[photo]
        return int(near[int(self.rng.integers(len(near)))])

    def embed_captions(self, photo: int) -> None:
        m, rng = self.m, self.rng
        for n, number in enumerate(rng.permutation(m.owned[photo])[:2]):
            words = m.captions.words[number]
            ending = " ." if rng.random() < 0.3 else ""
            text = self.add_text(words + ending, self.known_caption(number))
            self.step.pairs.append((text, self.shown[photo]))
            wrong = likely_foil(words, m.facts[photo], m.corpus, rng) if n == 0 else None
            if wrong is not None:
                self.step.foils.append((self.add_text(wrong.caption, None), text, self.shown[photo]))

    def plain(self) -> None:
        """Photos without captions: embedded, and named where the classifier is sure."""
        drawn = self.rng.integers(0, len(self.m.plain.names), self.config.plain)
        for n, number in enumerate(map(int, drawn)):
            picture = self.add_picture("plain", number)
            row = self.row().picture(picture, ("photo", picture))
            self.step.slices["photo", picture] = self.known(picture)
            if n < self.config.named and self.m.plain.confidence[number] > self.config.sure_plain:
                self.name_kind(row, int(self.m.plain.classes[number]), described=True)

    def made(self) -> None:
        """A photo whose features are pushed towards a row of the classifier: a picture of any of the 1,000
        kinds.
        """
        m, rng = self.m, self.rng
        wanted = int(rng.integers(len(m.classes)))
        photo = np.array(m.plain.features[int(rng.integers(len(m.plain.names)))], np.float32)
        kinds = np.full(len(photo), wanted)
        features = push(m, torch.from_numpy(photo), kinds, rng, alike=True).numpy()
        picture = self.add_picture("made", len(self.step.made))
        self.step.made.append((features, wanted))
        pooled = torch.from_numpy(features[0])
        own = F.normalize((pooled - m.dual.mean) / m.dual.spread, dim=0)
        self.step.slices["photo", picture] = Known(own, m.dual.photos(pooled), True)
        self.name_kind(self.row().picture(picture, ("photo", picture)), wanted, described=True)

    def texts(self) -> None:
        """Sentences, words and the class names of sure photos, packed with the captions that wait."""
        m, rng, c = self.m, self.rng, self.config
        for i in rng.integers(0, len(m.sentences.words), c.sentences):
            known = Known(m.sentences.own[i], m.sentences.vectors[i], False)
            self.add_text(m.sentences.words[i], known, 0.3 * (rng.random() < 0.3))
        for _ in range(c.words):
            source = m.class_texts if rng.random() < 0.5 or not m.words.words else m.words
            i = int(rng.integers(len(source.words)))
            self.add_text(source.words[i], Known(source.own[i], source.vectors[i], False))
        for name, number in self.step.pictures:
            if name == "made":
                sure, kind = True, self.step.made[number][1]
            else:
                photos = self.collection(name)
                sure, kind = bool(photos.confidence[number] > c.sure_word), int(photos.classes[number])
            if sure:
                i = kind + len(m.classes) * (rng.random() < 0.4)
                known = Known(m.class_texts.own[i], m.class_texts.vectors[i], False)
                self.add_text(m.class_texts.words[i], known)
        row: PackedRow | None = None
        for words, number, weight in sorted(self.waiting, key=lambda w: len(w[0])):
            if row is None or len(row) + len(self.tokens.encode(words)) > TEXT_ROW:
                row = self.row()
            row.block().text(words, ("text", number), weight=weight)

    def album(self) -> None:
        """A photo and its caption, often with a near photo: picture, caption, picture. The order varies."""
        m, rng = self.m, self.rng
        first = self.any_photo()
        photos = [first, self.neighbour(first)] if rng.random() < 0.5 else [first]
        row = self.row()
        keys: list[Hashable] = []
        for n, photo in enumerate(photos):
            number = self.caption(photo)
            parts = ["picture", "caption"] if rng.random() < 0.7 else ["caption", "picture"]
            if n and rng.random() < 0.4:
                parts = ["picture"]
            for part in parts:
                key = ("album", len(self.step.albums), len(keys))
                if part == "picture":
                    picture = self.picture(photo)
                    row.picture(picture, key)
                    self.step.slices[key] = self.known(picture)
                else:
                    row.text(m.captions.words[number], key, weight=0.3, longest=30)
                    self.step.slices[key] = self.known_caption(number)
                keys.append(key)
        self.step.albums.append(keys)

    def any_photo(self) -> int:
        shown = list(self.shown)
        return shown[int(self.rng.integers(len(shown)))]

    def difference(self) -> None:
        """Two photos: what one has and the other lacks."""
        first = self.any_photo()
        second = self.neighbour(first) if self.rng.random() < 0.7 else self.any_photo()
        facts, others = self.m.facts[first], self.m.facts[second]
        own = [thing for thing in facts.agreed() if others.absent(thing)]
        theirs = [thing for thing in others.agreed() if facts.absent(thing)]
        if first != second and own and theirs:
            said = (
                f"only the first has {article(self.one_of(own))}, "
                f"only the second has {article(self.one_of(theirs))}"
            )
            row = self.row().picture(self.picture(first)).picture(self.picture(second))
            row.say(DIFFERENCE).answer(said)

    def chat(self) -> None:
        """A caption, then questions that see what was said before."""
        photo = self.any_photo()
        row = self.row().picture(self.picture(photo)).say(self.one_of(DESCRIBE))
        row.answer(self.m.captions.words[self.m.owned[photo][0]]).close()
        facts = self.m.facts[photo]
        asked = questions(facts, self.rng) + existence(facts, self.m.corpus, self.rng, "popular")
        for q in asked[-3:]:
            row.say(q.text).answer(q.answer).close()
