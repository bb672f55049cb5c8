"""The photo model on photos that it never saw: finding, telling, answering, and what is no photo.

    found = runner.measure(benchmark(Archive("DATA"), split="test", size=1000), model)
    python -m sugar evaluate photos --data DATA --json

Photos of Flickr8k, with kinds by name (ImageNet) and SugarCrepe (COCO) where the split is "test". A habit is
what a program could say without looking, learnt from the training captions: the commonest answer to a
question, the likelier of two texts. CIDEr is given times 100, as papers do.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sugar.errors import InputError, ModelError, SettingsError
from sugar.evaluation.benchmark import Benchmark, Match, Pool, Query, Question, content
from sugar.evaluation.report import FigureRow
from sugar.evaluation.runner import Measured
from sugar.evaluation.tasks import notes
from sugar.evaluation.tasks.caption_retrieval import pools
from sugar.evaluation.tasks.drawn import Figures, Groups, blind, picture, png, said, truth
from sugar.evaluation.tasks.scores import asked_once, beside, by_group, of_blank
from sugar.everyday import facts as said_facts
from sugar.everyday.archive import Archive, clean
from sugar.everyday.facts import Corpus, Facts, existence, questions
from sugar.everyday.foils import all_foils
from sugar.everyday.scope import OUT_OF_SCOPE_TEST, REFUSAL
from sugar.everyday.words import THING_OF, article
from sugar.metrics.answers import normalise_answer, pope
from sugar.metrics.captions import bleu, cider_d
from sugar.metrics.retrieval import average_precision
from sugar.rag.answering import says_unknown
from sugar.rag.prompting import prompt
from sugar.scenes import sample_scene
from sugar.sequence import Sample, Turn
from sugar.text_files import read_json

ROWS = (
    FigureRow("photo_t2i_r1", "text -> photo R@1", 23, 30),
    FigureRow("photo_t2i_r5", "text -> photo R@5", 52, 60),
    FigureRow("photo_t2i_r10", "text -> photo R@10", 65, 72),
    FigureRow("photo_i2t_r1", "photo -> text R@1", 28, 40),
    FigureRow("photo_i2t_r5", "photo -> text R@5", 56, 68),
    FigureRow("photo_i2t_r10", "photo -> text R@10", 67, 78),
    FigureRow("photo_word_map", "one word -> photos, mAP over the 60 commonest nouns", 50, 80),
    FigureRow("photo_bleu4", "captions, BLEU-4", 20, 24),
    FigureRow("photo_cider", "captions, CIDEr", 52, 62),
    FigureRow("photo_chair_captions", "captions that name something absent (CHAIR)", 33, 22, at_most=True),
    FigureRow("photo_chair_captions_people", "the same of people, each against the photo's other captions"),
    FigureRow("photo_pope", "is there ...?, adversarial", 75, 85),
    FigureRow("photo_pope_even", "the same, each thing there as often as not", 81, 88),
    FigureRow("photo_pope_talked", "the same after its own caption of the photo", 78, 86),
    FigureRow("photo_vqa", "who, how many, color, doing, where: mean", 56, 65),
    FigureRow("photo_kinds_r5", "kinds by name, R@5 of 500", 77, 85),
    FigureRow("photo_foil", "caption against foil", 70, 85),
    FigureRow("photo_sugarcrepe", "SugarCrepe on 159 COCO photos", 68, 75),
    FigureRow("note_read", "notes read: the words asked for, in at most 15 words", 80, 92),
    FigureRow("note_refused", "notes that do not say, said so", 85, 95),
    FigureRow("photo_refused", "out of scope, refused", 85, 97),
    FigureRow("photo_refused_wrongly", "in scope, refused", 8, 3, at_most=True),
    FigureRow("photo_unsure", "photos against foreign pictures, AUROC"),
)
BLANK = png(Image.new("RGB", (224, 224), (128, 128, 128)))
"""The picture that says nothing."""
ONES = 0.25
"""Share of the questions with the answer "one" that is asked; they would drown the other numbers."""
COMMONEST = 80
KINDS = ("who", "how many", "what color", "what doing", "where")
FOILS = ("noun", "color", "number", "action")
ABSENT = ("random", "popular", "adversarial", "even")
CREPE = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")


# -- what is asked about, and what can be said without looking ----------------------------------------------


class Asked:
    """The first `size` photos of a split, and the habits of the training split."""

    def __init__(self, archive: Archive, *, split: str = "test", size: int = 1000, seed: int = 0) -> None:
        self.archive, self.seed = archive, seed
        self.names = archive.split(split)[:size]
        self.captions = [archive.captions(name)[:5] for name in self.names]
        self.facts = [Facts([clean(c) for c in captions]) for captions in self.captions]

    @cached_property
    def photos(self) -> list[bytes]:
        return list(self.archive.files("flickr8k", self.names))

    @cached_property
    def _training(self) -> tuple[list[Facts], list[str], Corpus]:
        captions = [[clean(c) for c in self.archive.captions(n)] for n in self.archive.split("train")]
        facts = [Facts(c) for c in captions]
        return facts, [c for own in captions for c in own], Corpus(facts)

    @property
    def corpus(self) -> Corpus:
        """Counts over the training split."""
        return self._training[2]

    @cached_property
    def habits(self) -> Habits:
        return Habits(*self._training)

    def rng(self, part: str) -> np.random.Generator:
        """A generator that no other part shares."""
        return np.random.default_rng([self.seed, *part.encode()])


class Habits:
    """Language-only answers, learnt from the training captions."""

    def __init__(self, photos: Sequence[Facts], captions: Sequence[str], corpus: Corpus) -> None:
        rng = np.random.default_rng(0)
        self._answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._words: Counter[str] = Counter()
        for facts in photos:
            for q in [*open_questions(facts, rng), *existence(facts, corpus, rng, "adversarial")]:
                for key in (q.text, _ending(q.text, q.kind), q.kind):
                    self._answers[key][q.answer] += 1
        for caption in captions:
            words = ["", *caption.split(), ""]
            self._words.update(words)
            self._pairs.update(zip(words, words[1:], strict=False))

    def answer(self, question: str, kind: str) -> str:
        """The commonest answer to the question, or to its last two words, or to its kind."""
        for key in (question, _ending(question, kind)):
            if sum(self._answers[key].values()) >= 5:
                return self._answers[key].most_common(1)[0][0]
        return self._answers[kind].most_common(1)[0][0]

    def likelihood(self, caption: str) -> float:
        """The mean log probability of a caption's words under word pairs, smoothed by single words."""
        words = ["", *clean(caption).split(), ""]
        total, known = sum(self._words.values()), len(self._words)
        scores = []
        for a, b in zip(words, words[1:], strict=False):
            single = (self._words[b] + 1) / (total + known)
            scores.append(math.log((self._pairs[a, b] + 5 * single) / (self._words[a] + 5)))
        return sum(scores) / len(scores)

    def prefers_first(self, pair: Match) -> bool:
        right, wrong = map(self.likelihood, pair.captions)
        return right > wrong


def _ending(question: str, kind: str) -> str:
    return f"{kind}/{' '.join(question.rstrip('?').split()[-2:])}"


def open_questions(facts: Facts, rng: np.random.Generator) -> list[said_facts.Question]:
    """The open questions about a photo, with few of the answer "one"."""
    return [q for q in questions(facts, rng) if q.answer != "one" or rng.random() < ONES]


def _question(key: str, photo: bytes, q: said_facts.Question, group: str, tokens: int) -> Question:
    return Question(key, (photo, q.text), (q.answer,), group, (q.kind,), tokens)


# -- telling ------------------------------------------------------------------------------------------------


def caption_items(asked: Asked) -> Iterator[Any]:
    for name, photo, own in zip(asked.names, asked.photos, asked.captions, strict=True):
        yield Question(f"caption/{name}", (photo,), tuple(map(clean, own)), "caption", tokens=48)
    yield Question("caption blank", (BLANK,), group="caption blank", tokens=48)


def caption_score(asked: Asked, groups: Groups) -> Figures:
    """BLEU-4, CIDEr and invented things of greedy captions. Words alone: what is said of a blank picture.

    People: each person's caption against the others of the photo, so against one caption fewer than a model.
    """
    rows = groups["caption"]
    facts = dict(zip(asked.names, asked.facts, strict=True))
    shown = [facts[q.key.removeprefix("caption/")] for q, _ in rows]
    references = [q.answers for q, _ in rows]
    unseen = said(groups["caption blank"]) * len(rows)
    out: Figures = {}
    for name, metric in (("bleu4", lambda texts: bleu(texts, references)[3]), ("cider", _cider(references))):
        out |= beside(f"photo_{name}", metric(said(rows)), language=metric(unseen))
    seen, blank = (invented(texts, shown, asked.corpus) for texts in (said(rows), unseen))
    for name, share, other in zip(("captions", "things"), seen, blank, strict=True):
        out |= beside(f"photo_chair_{name}", share, language=other)
    told = [(own[n], Facts(own[:n] + own[n + 1 :])) for own in references for n in range(len(own))]
    people = invented([text for text, _ in told], [facts for _, facts in told], asked.corpus)
    for name, share in zip(("captions", "things"), people, strict=True):
        out |= beside(f"photo_chair_{name}_people", share)
    return out


def _cider(references: Sequence[Sequence[str]]) -> Callable[[Sequence[str]], float]:
    return lambda texts: cider_d(texts, references)


def invented(texts: Sequence[str], shown: Sequence[Facts], corpus: Corpus) -> tuple[float, float]:
    """Share of captions with an invented thing, and of things named that are invented (CHAIR, Rohrbach 2018).

    Only the 80 commonest things count. A thing is invented when no caption of the photo names it or a
    related one.
    """
    common = {thing for thing, _ in corpus.count.most_common(COMMONEST)}
    wrong = captions_wrong = named = 0
    for caption, facts in zip(texts, shown, strict=True):
        words = re.findall(r"[a-z\-]+", caption.lower())
        things = {THING_OF[w] for w in words if THING_OF.get(w) in common}
        false = sum(facts.absent(thing) for thing in things)
        named += len(things)
        wrong += false
        captions_wrong += bool(false)
    return captions_wrong / max(1, len(texts)), wrong / max(1, named)


# -- finding ------------------------------------------------------------------------------------------------


def retrieval_items(asked: Asked) -> Iterator[Any]:
    """Captions find photos and photos find captions; any caption of a photo is right."""
    rows = zip(asked.names, asked.photos, asked.captions, strict=True)
    yield from pools({name: (photo, own) for name, photo, own in rows})


def retrieval_score(asked: Asked, groups: Groups) -> Figures:
    return {
        key: value
        for k in (1, 5, 10)
        for way in ("t2i", "i2t")
        for key, value in _recall(f"photo_{way}", groups[way], k, len(asked.names)).items()
    }


def _recall(name: str, rows: Sequence[tuple[Any, Any]], k: int, of: int) -> Figures:
    return beside(f"{name}_r{k}", float(np.mean([p["rank"] < k for _, p in rows])), k / of)


def kind_items(asked: Asked) -> Iterator[Any]:
    """Each class name finds the one photo of its class among all photos of the collection."""
    names, classes = asked.archive.names("imagenet500"), asked.archive.classes()
    photos = zip(names, asked.archive.files("imagenet500", names), strict=True)
    yield Pool(
        tuple(Query(f"kind/{n}", (classes[int(n[:4])],), frozenset({n}), group="kinds") for n in names),
        {name: ((photo,),) for name, photo in photos},
    )


def kind_score(asked: Asked, groups: Groups) -> Figures:
    rows = groups["kinds"]
    return {k: v for n in (1, 5, 10) for k, v in _recall("photo_kinds", rows, n, len(rows)).items()}


COMMON_NOUNS = 60


@dataclass(frozen=True, eq=False)
class Noun:
    """One word that searches all photos. right: of each photo whether two of its captions name the thing."""

    key: str
    word: str
    photos: Sequence[bytes]
    right: tuple[bool, ...]
    group: str = "noun"


def noun_items(asked: Asked) -> Iterator[Any]:
    """The commonest nouns of the training captions that a photo here shows."""
    agreed = [set(facts.agreed()) for facts in asked.facts]
    there = [noun for noun, _ in asked.corpus.count.most_common() if any(noun in own for own in agreed)]
    for noun in there[:COMMON_NOUNS]:
        yield Noun(f"noun/{noun}", noun, asked.photos, tuple(noun in own for own in agreed))


def predict_nouns(model: Any, nouns: Sequence[Noun]) -> Iterator[dict[str, Any]]:
    photos = np.concatenate(
        [
            model.embed([content((photo,)) for photo in nouns[0].photos[n : n + COUNT]]).pooled
            for n in range(0, len(nouns[0].photos), COUNT)
        ]
    )
    words = model.embed([content((noun.word,)) for noun in nouns]).pooled
    for noun, scores in zip(nouns, words @ photos.T, strict=True):
        yield {"key": noun.key, "precision": average_precision(scores, np.array(noun.right))}


def noun_score(_: Asked, groups: Groups) -> Figures:
    """Chance: the share of the photos that show the thing."""
    rows = groups.get("noun", [])
    if not rows:
        return {}
    chance = float(np.mean([np.mean(noun.right) for noun, _ in rows]))
    return beside("photo_word_map", float(np.mean([p["precision"] for _, p in rows])), chance)


def foil_items(asked: Asked) -> Iterator[Any]:
    """The caption against the same caption with one word exchanged.

    A coin says whether the foil is a likelier text than the caption, so that fluency gives nothing away.
    """
    rng = asked.rng("foils")
    for name, photo, own, facts in zip(asked.names, asked.photos, asked.captions, asked.facts, strict=True):
        right = clean(own[int(rng.integers(len(own)))])
        bar = asked.habits.likelihood(right)
        likelier = rng.random() < 0.5
        found = [f for f in all_foils(right, facts) if (asked.habits.likelihood(f.caption) > bar) == likelier]
        if found:
            wrong = found[int(rng.integers(len(found)))]
            yield Match(f"foil/{name}", (photo,), (right, wrong.caption), f"foil {wrong.kind}")


def foil_score(asked: Asked, groups: Groups) -> Figures:
    return _won(asked, "photo_foil", {kind: groups.get(f"foil {kind}", []) for kind in FOILS})


def _won(asked: Asked, name: str, kinds: dict[str, list[tuple[Any, Any]]]) -> Figures:
    """Is the right caption nearer, of all and by kind? Words alone: is it the likelier text?"""
    out: Figures = {}
    together = [row for own in kinds.values() for row in own]
    for key, rows in [(name, together), *((f"{name}_{kind}", own) for kind, own in kinds.items())]:
        if rows:
            won = [p["scores"][0][0] > p["scores"][1][0] for _, p in rows]
            likelier = [asked.habits.prefers_first(pair) for pair, _ in rows]
            out |= beside(key, float(np.mean(won)), 0.5, float(np.mean(likelier)))
    return out


def crepe_items(asked: Asked, folder: Path) -> Iterator[Any]:
    """SugarCrepe's own items on the COCO photos of the archive; none where its files are not in `folder`."""
    names = asked.archive.names("coco_val_159")
    photos = dict(zip(names, asked.archive.files("coco_val_159", names), strict=True))
    for kind in CREPE:
        path = folder / f"sugar-crepe-{kind}.json"
        if path.is_file():
            try:
                for n, i in enumerate(read_json(path.read_bytes()).values()):
                    if i["filename"] in photos:
                        captions = (i["caption"], i["negative_caption"])
                        yield Match(f"crepe {kind}/{n}", (photos[i["filename"]],), captions, f"crepe {kind}")
            except (ValueError, KeyError, AttributeError) as error:
                raise InputError(f"{path} is not a file of SugarCrepe ({error!r}).") from error


def crepe_score(asked: Asked, groups: Groups) -> Figures:
    return _won(asked, "photo_sugarcrepe", {kind: groups.get(f"crepe {kind}", []) for kind in CREPE})


# -- answering ----------------------------------------------------------------------------------------------


def existence_items(asked: Asked) -> Iterator[Any]:
    """Is there a dog? As many "yes" as "no" answers, for each way to choose the absent thing.

    "even": adversarial questions, drawn so that each thing is there in half of those about it, so that its
    name says nothing.
    """
    for kind in ABSENT:
        rng = asked.rng(f"exists {kind}")
        if kind == "even":
            pairs = _even(asked, rng)
        else:
            pairs = [
                (photo, q)
                for photo, facts in zip(asked.photos, asked.facts, strict=True)
                for q in existence(facts, asked.corpus, rng, kind)
            ]
        group = f"exists {kind}"
        own = [_question(f"{group}/{n}", photo, q, group, 4) for n, (photo, q) in enumerate(pairs)]
        yield from [*own, *of_blank(own, BLANK)]


def _even(asked: Asked, rng: np.random.Generator) -> list[tuple[bytes, said_facts.Question]]:
    there, absent = defaultdict(list), defaultdict(list)
    for photo, facts in zip(asked.photos, asked.facts, strict=True):
        for thing in facts.agreed():
            there[thing].append(photo)
        for thing in asked.corpus.likely_absent(facts):
            absent[thing].append(photo)
    pairs = []
    for thing in sorted(there):
        n = min(len(there[thing]), len(absent[thing]), 40)
        for answer, photos in (("yes", there[thing]), ("no", absent[thing])):
            asking = said_facts.Question(f"is there {article(thing)}?", answer, "exists")
            pairs += [(photos[i], asking) for i in rng.choice(len(photos), n, replace=False)]
    return pairs


def existence_score(asked: Asked, groups: Groups) -> Figures:
    """`photo_pope` is the adversarial one."""
    out: Figures = {}
    for kind in ABSENT:
        rows = groups[f"exists {kind}"]
        wanted, right = [q for q, _ in rows], truth(rows)
        found = pope(said(rows), right)
        habit = pope([asked.habits.answer(q.parts[-1], q.options[0]) for q in wanted], right).accuracy
        unseen = pope(blind(groups, wanted), right).accuracy
        name = "photo_pope" if kind == "adversarial" else f"photo_pope_{kind}"
        out |= beside(name, found.accuracy, 0.5, max(habit, unseen))
        out |= beside(f"{name}_yes_ratio", found.yes_ratio)
    return out


@dataclass(frozen=True)
class Talked:
    """A question about a photo that the model has captioned before, in the same conversation."""

    key: str
    photo: bytes
    question: str
    answer: str
    group: str = "exists talked"


def talked_items(asked: Asked) -> Iterator[Any]:
    """The "even" questions again."""
    for n, (photo, q) in enumerate(_even(asked, asked.rng("exists even"))):
        yield Talked(f"exists talked/{n}", photo, q.text, q.answer)


def predict_talked(model: Any, asked: Sequence[Talked]) -> Iterator[dict[str, Any]]:
    def answers(turns: Sequence[Any], tokens: int) -> list[str]:
        return model.generator.answers(turns, max_new_tokens=tokens, adapter=model.adapter)

    request = model.profile.describe
    photos = list({item.photo: None for item in asked})
    told = dict(zip(photos, answers([content((p, request)) for p in photos], 48), strict=True))
    for start in range(0, len(asked), COUNT):
        chunk = asked[start : start + COUNT]
        talks = [
            [
                Turn("user", content((item.photo, request))),
                Turn("assistant", Sample(told[item.photo] or "A photo.")),
                Turn("user", Sample(item.question)),
            ]
            for item in chunk
        ]
        for item, text in zip(chunk, answers(talks, 4), strict=True):
            yield {"key": item.key, "text": text}


def talked_score(_: Asked, groups: Groups) -> Figures:
    """Each thing is there in half of the questions about it: saying yes to all is worth 50."""
    rows = groups["exists talked"]
    right = [item.answer for item, _ in rows]
    return beside("photo_pope_talked", pope(said(rows), right).accuracy, 0.5)


def open_items(asked: Asked) -> Iterator[Any]:
    """Who, how many, what color, what doing, where: what at least two captions say."""
    rng = asked.rng("questions")
    own = [
        _question(f"open/{name}/{n}", photo, q, f"open {q.kind}", 12)
        for name, photo, facts in zip(asked.names, asked.photos, asked.facts, strict=True)
        for n, q in enumerate(open_questions(facts, rng))
    ]
    yield from [*own, *of_blank(own, BLANK)]


def open_score(asked: Asked, groups: Groups) -> Figures:
    """Exact answers by kind, and their mean."""
    out: Figures = {}
    shares, refused = [], []
    for kind, rows in ((kind, groups.get(f"open {kind}", [])) for kind in KINDS):
        if rows:
            wanted, right = [q for q, _ in rows], truth(rows)
            habit = [asked.habits.answer(q.parts[-1], kind) for q in wanted]
            share, *alone = (
                float(
                    np.mean(
                        [
                            normalise_answer(a) == normalise_answer(b)
                            for a, b in zip(texts, right, strict=True)
                        ]
                    )
                )
                for texts in (said(rows), habit, blind(groups, wanted))
            )
            shares.append((share, max(alone)))
            refused += [text.strip() == REFUSAL for text in said(rows)]
            out |= beside(f"photo_{kind.replace(' ', '_')}", share, language=max(alone))
    value, language = map(float, np.mean(shares, axis=0)) if shares else (0.0, 0.0)
    out |= beside("photo_vqa", value, language=language)
    return out | beside("photo_refused_wrongly", float(np.mean(refused)) if refused else 0.0)


def refusal_items(asked: Asked) -> Iterator[Any]:
    """Unseen out-of-scope requests, half of them beside a photo."""
    for n, text in enumerate(OUT_OF_SCOPE_TEST):
        yield Question(f"refused/{n}", (text,), group="refused", tokens=24)
    for n, (photo, text) in enumerate(zip(asked.photos, OUT_OF_SCOPE_TEST, strict=False)):
        yield Question(f"refused photo/{n}", (photo, text), group="refused", tokens=24)


def refusal_score(_: Asked, groups: Groups) -> Figures:
    return beside("photo_refused", float(np.mean([t.strip() == REFUSAL for t in said(groups["refused"])])))


# -- notes --------------------------------------------------------------------------------------------------


def note_items(_: Asked) -> Iterator[Any]:
    """Questions to notes, which `with_notes` turns into what the model reads."""
    for item in notes.questions():
        group = "note read" if item.wanted else "note refused"
        parts = (*item.paragraphs, item.question)
        yield Question(f"note/{item.key}", parts, (item.wanted,), group, tokens=notes.TOKENS)


def with_notes(model: Any, _: Path, asked: Sequence[Question]) -> list[Question]:
    """The questions, those to notes in the words of the checkpoint's own prompt."""

    def read(q: Question) -> Question:
        if not q.group.startswith("note "):
            return q
        *paragraphs, question = map(str, q.parts)
        return replace(q, parts=(prompt(model, notes.passages(paragraphs), Sample(question)).text,))

    return [read(q) for q in asked]


def note_score(_: Asked, groups: Groups) -> Figures:
    """Beside both stands the look-up: the sentence that shares most with the question; it never abstains."""
    told, untold = groups["note read"], groups["note refused"]
    read = [notes.is_read(p["text"], q.answers[0]) for q, p in told]
    found = [notes.is_read(notes.looked_up(*map(str, q.parts)), q.answers[0]) for q, _ in told]
    refused = [says_unknown(text) for text in said(untold)]
    return beside("note_read", float(np.mean(read)), language=float(np.mean(found))) | beside(
        "note_refused", float(np.mean(refused)), language=0.0
    )


# -- pictures from outside: noise, rendered text, windows, flat and drawn pictures --------------------------

SIDE = 224
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "nobody", "reads"]
COUNT = 100
KEPT = 0.01
"""Share of photos that the threshold may call foreign."""


def noise(rng: np.random.Generator) -> Image.Image:
    """Independent random pixels."""
    return Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def smooth(rng: np.random.Generator) -> Image.Image:
    """Random colours that flow into each other."""
    return Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((SIDE, SIDE))


def flat(rng: np.random.Generator) -> Image.Image:
    """One colour."""
    return Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in rng.integers(0, 256, 3)))


def text(rng: np.random.Generator) -> Image.Image:
    """A page of words, dark on light or light on dark."""
    paper, ink = ("white", "black") if rng.random() < 0.7 else ("#191920", "#dcdcdc")
    page = Image.new("RGB", (SIDE, SIDE), paper)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=int(rng.integers(9, 16)))
    for y in range(6, SIDE - 12, int(rng.integers(12, 22))):
        pen.text((6, y), " ".join(rng.choice(WORDS, 8)), fill=ink, font=font)
    return page


def window(rng: np.random.Generator) -> Image.Image:
    """A program's window: a bar, and boxes with words."""
    page = Image.new("RGB", (SIDE, SIDE), "#f0f0f5")
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, SIDE, 16), fill="#3c5aa0")
    for _ in range(int(rng.integers(4, 9))):
        x, y = (int(v) for v in rng.integers((0, 18), (150, 190)))
        size = (x, y, x + int(rng.integers(30, 90)), y + int(rng.integers(10, 40)))
        pen.rectangle(size, fill=tuple(int(v) for v in rng.integers(150, 255, 3)), outline="#5a5a5a")
        pen.text((x + 2, y + 1), " ".join(rng.choice(WORDS, 3)), fill="black", font=ImageFont.load_default(9))
    return page


def scene(rng: np.random.Generator) -> Image.Image:
    """A scene of the drawn world."""
    return content((picture(sample_scene(rng)),)).images[0]


FOREIGN: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    f.__name__: f for f in (noise, smooth, flat, text, window, scene)
}


@dataclass(frozen=True)
class Look:
    """A picture that the tower finds more or less like a photo."""

    key: str
    picture: bytes
    group: str


def foreign_items(asked: Asked) -> Iterator[Any]:
    rng = asked.rng("foreign")
    for name, photo in zip(asked.names, asked.photos, strict=True):
        yield Look(f"look/{name}", photo, "look photo")
    for name, make in FOREIGN.items():
        for n in range(COUNT):
            yield Look(f"look {name}/{n}", png(make(rng)), f"look {name}")


def predict_own(model: Any, _: Path, items: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """What the runner does not know itself, one kind a call."""
    own: dict[type, Any] = {Noun: predict_nouns, Talked: predict_talked, Look: predict_familiarity}
    yield from own[type(items[0])](model, items)


def predict_familiarity(model: Any, looks: Sequence[Look]) -> Iterator[dict[str, Any]]:
    from sugar.model.cells import familiarity

    for start in range(0, len(looks), COUNT):
        chunk = looks[start : start + COUNT]
        shown = [content((look.picture,)).images[0] for look in chunk]
        scores = familiarity(model.model, model.processor, shown)
        if scores is None:
            raise ModelError(f"{model.name} has no tower that scores pictures. Measure sugar-photo.")
        for look, score in zip(chunk, scores, strict=True):
            unsure = None if model.profile.unsure is None else bool(score < model.profile.unsure)
            yield {"key": look.key, "familiarity": float(score), "unsure": unsure}


def area(higher: Sequence[float] | np.ndarray, lower: Sequence[float] | np.ndarray) -> float:
    """Area under the ROC curve: the share of pairs in which the first score is higher; ties count half.

    >>> area([0.9, 0.4], [0.4, 0.1])
    0.875
    """
    a, b = np.asarray(higher)[:, None], np.asarray(lower)[None, :]
    return float((a > b).mean() + 0.5 * (a == b).mean())


def foreign_score(_: Asked, groups: Groups) -> Figures:
    """AUROC of photos against each kind of foreign picture, and their mean."""
    scores = {name: [p["familiarity"] for _, p in groups[f"look {name}"]] for name in ("photo", *FOREIGN)}
    areas = {name: area(scores["photo"], scores[name]) for name in FOREIGN}
    out = {k: v for name in FOREIGN for k, v in beside(f"photo_unsure_{name}", areas[name], 0.5).items()}
    out |= beside("photo_unsure", float(np.mean(list(areas.values()))), 0.5)
    unsure = [p["unsure"] for _, p in groups["look photo"]]
    return out if None in unsure else out | beside("photo_unsure_wrongly", float(np.mean(unsure)))


def threshold(found: Measured) -> float:
    """The familiarity that all but `KEPT` of the photos reach: a fit for the profile's `unsure`."""
    photos = by_group(found.items, found.predictions)["look photo"]
    return float(np.quantile([p["familiarity"] for _, p in photos], KEPT))


def captions(found: Measured) -> dict[str, str]:
    """What the model said of each photo, by name."""
    rows = by_group(found.items, found.predictions)["caption"]
    return {q.key.removeprefix("caption/"): p["text"] for q, p in rows}


# -- the benchmark ------------------------------------------------------------------------------------------

Items = Callable[[Asked], Iterator[Any]]
Score = Callable[[Asked, Groups], Figures]


def benchmark(
    archive: Archive,
    *,
    split: str = "test",
    size: int = 1000,
    seed: int = 0,
    crepe: Path | None = None,
) -> Benchmark:
    """Split "dev" leaves out the collections that are for the finished model only.

    Args:
        crepe: a folder with `sugar-crepe-*.json`, or None to leave SugarCrepe out.
    Raises:
        SettingsError: a size below 10, or another split than dev and test.
    """
    if size < 10 or split not in ("dev", "test"):
        raise SettingsError(f"size {size} and split {split!r}; use at least 10 photos of dev or test.")
    asked = Asked(archive, split=split, size=size, seed=seed)
    parts: list[tuple[Items, Score]] = [
        (caption_items, caption_score),
        (retrieval_items, retrieval_score),
        (noun_items, noun_score),
        (foil_items, foil_score),
        (existence_items, existence_score),
        (talked_items, talked_score),
        (open_items, open_score),
        (note_items, note_score),
        (refusal_items, refusal_score),
        (foreign_items, foreign_score),
    ]
    if split == "test":
        parts.append((kind_items, kind_score))
        if crepe is not None:
            parts.append((lambda asked: crepe_items(asked, crepe), crepe_score))

    def read(_: Path) -> list[Any]:
        return asked_once(i for make, _ in parts for i in make(asked))

    def score(items: Sequence[Any], predictions: Sequence[Any]) -> Figures:
        groups = by_group(items, predictions)
        return {k: v for _, own in parts for k, v in own(asked, groups).items()}

    title = f"{len(asked.names)} photos of Flickr8k {split}, seed {seed}"
    about = "Photos that the model never saw: finding, telling, answering, refusing."
    return Benchmark("photos", title, about, read, score, augment=with_notes, predict=predict_own)
