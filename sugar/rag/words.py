"""The words of a question and of a text: which carry content, how much they weigh, and whether a text
covers them.

    asked = Terms.of("What is the red star called?")                # red, star, name
    asked.coverage(stems("A red star named Rex."))                  # 1.0

Words are those of `sugar.search_words`, stemmed (Porter, as the word index does). Three kinds of words weigh
differently: topic words (inside "the ...", capitalised, numbers), words of the predicate, and words that only
frame a question (name, kind, tell). Not covered: meaning beyond the small table of synonyms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import snowballstemmer

from sugar.search_words import STOP, asked, tokens, written

DETERMINERS = frozenset(str.split("a an the this that these those my your his her its our their"))
FRAME = """
    tell know say give show find mean kind sort type thing name title call term word one ones note
    notes text picture pictures photo photos image images card question answer information detail
    anything something someone anyone look see get way much many
"""
"""Stems of these weigh little: they frame a question and seldom say what it is about."""

SYNONYMS = """
    name call named called title titled entitled known | old age aged years |
    like likes fond enjoy love prefer favourite favorite |
    build built construct constructed erect erected | begin began begun start started commence |
    end ended finish finished stop | buy bought purchase purchased | cost costs price priced |
    live lives dwell reside resides home | big large | small little tiny | tall height high |
    long length | wide width breadth | deep depth | heavy weigh weighs weight |
    make made produce produced manufacture manufactured | write wrote written author authored |
    paint painted painter | find found discover discovered | born birth birthday birthplace |
    die died death dead | child children kid kids | doctor physician | car automobile |
    photo photograph picture image | colour color coloured colored |
    job work works profession occupation | teach taught teacher teaches | eat ate eaten food |
    begin open opened opening | close closed shut | lead led leader head |
    own owns owned owner belong belongs | fix fixed repair repaired mend mended |
    trip journey travel travelled traveled | location located place situated | cure remedy |
    speak spoke talk talked | happen happened occur occurred
"""
"""Words that stand for each other in questions and notes, a group between bars."""

IRREGULAR = """
    bear bore borne | beat beaten | bend bent | bite bit bitten | bleed bled | blow blew blown |
    break broke broken | bring brought | burn burnt | catch caught | choose chose chosen | come came |
    cut cutting | deal dealt | dig dug | draw drew drawn | dream dreamt | drink drank drunk |
    drive drove driven | fall fell fallen | feed fed | feel felt | fight fought | flee fled |
    fly flew flown | forget forgot forgotten | freeze froze frozen | get got gotten | give gave given |
    go went gone | grow grew grown | hang hung | hear heard | hide hid hidden | hold held | keep kept |
    lay laid | learn learnt | leave left | lend lent | lose lost | mean meant | meet met | pay paid |
    ride rode ridden | run ran | say said | sell sold | send sent | shake shook shaken | shine shone |
    shoot shot | sing sang sung | sink sank sunk | sit sat | sleep slept | spend spent | stand stood |
    steal stole stolen | stick stuck | strike struck | swear swore sworn | swim swam swum |
    take took taken | think thought | throw threw thrown | understand understood | wake woke woken |
    wear wore worn | win won | wind wound
"""
"""Forms of verbs that stemming leaves apart."""

DO = frozenset({"do", "does", "did"})
BE = frozenset({"is", "are", "was", "were", "has", "have", "had"})

FRAME_WEIGHT, PREDICATE_WEIGHT = 0.25, 0.5
"""Weights of words that frame a question, and of those besides its topic."""

_stemmer = snowballstemmer.stemmer("porter")


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The stem of a folded word; a synonym's is that of the first word of its group."""
    return _first_of_group().get(found := _stemmer.stemWord(word), found)


def _groups(table: str) -> list[list[str]]:
    return [group.split() for group in table.split("|")]


@lru_cache(maxsize=1)
def _first_of_group() -> dict[str, str]:
    """Stem -> stem of the first word of its group."""
    out: dict[str, str] = {}
    for group in _groups(f"{SYNONYMS}|{IRREGULAR}"):
        first, *others = map(_stemmer.stemWord, group)
        for other in others:
            out.setdefault(other, out.get(first, first))
    return out


@lru_cache(maxsize=1)
def _past() -> set[str]:
    """Irregular past forms, such as built or taken."""
    past = {"built", "made", "written", "bought"}  # they are among the synonyms
    return past.union(word for group in _groups(IRREGULAR) for word in group[1:])


@lru_cache(maxsize=1)
def _frame() -> frozenset[str]:
    return frozenset(map(stem, FRAME.split()))


def stems(text: str) -> list[str]:
    """Stems of all words of a text, in order, function words included."""
    return [stem(word) for word in tokens(text)]


def content(text: str) -> set[str]:
    """Stems of the content words of a text."""
    return {stem(word) for word in tokens(text) if word not in STOP}


@dataclass(frozen=True)
class QuestionTerm:
    """One content word of a question.

    weight: how much it counts. place: its number among the question's words. topic: what the question is
    about, not what it asks of it. seen: it occurs somewhere in what is searched.
    """

    stem: str
    weight: float
    place: int
    topic: bool
    seen: bool


@dataclass(frozen=True)
class Terms:
    """The content words of a question. words: all its words, folded."""

    terms: tuple[QuestionTerm, ...]
    words: frozenset[str] = frozenset()

    @classmethod
    def of(cls, question: str, count: Callable[[str], int] | None = None, size: int = 1) -> Terms:
        """The content words; seldom ones weigh more.

        Args:
            count: in how many of the `size` passages a stem occurs; without it all words weigh alike.
        """
        words = _marked(question)
        about = any(kind == "topic" for _, kind in words if kind)
        found: dict[str, QuestionTerm] = {}
        for place, (word, kind) in enumerate(words):
            if not kind:
                continue
            root = stem(word)
            frame = root in _frame()
            topic = not frame and (kind == "topic" or not about)
            times = count(root) if count is not None else 1
            share = FRAME_WEIGHT if frame else 1.0 if topic else PREDICATE_WEIGHT
            rarity = math.log(1 + max(size, 2) / max(times, 1)) if times or not frame else 1.0
            weight = share * rarity
            if root not in found or found[root].weight < weight:
                found[root] = QuestionTerm(root, weight, place, topic, times > 0)
        ordered = tuple(sorted(found.values(), key=lambda t: t.place))
        return cls(ordered, frozenset(word for word, _ in words))

    def __bool__(self) -> bool:
        return bool(self.terms)

    @property
    def stems(self) -> set[str]:
        return {t.stem for t in self.terms}

    def coverage(self, there: Collection[str], *, strict: bool = False) -> float:
        """The share, by weight, of the question's content words that are among `there` (stems).

        A word besides the topic that is said nowhere counts half, as it may be another way to say it;
        strict: in full.
        """
        weights = [(t.stem, t.weight * (1.0 if strict or t.seen or t.topic else 0.5)) for t in self.terms]
        total = sum(weight for _, weight in weights)
        return sum(weight for root, weight in weights if root in there) / total if total else 0.0

    def asks_else(self, there: Collection[str]) -> float:
        """The share of what is asked (words besides the topic) that is said elsewhere but not among
        `there`."""
        asked = [t for t in self.terms if not t.topic]
        return sum(t.seen and t.stem not in there for t in asked) / len(asked) if asked else 0.0

    def lacks(self, there: Collection[str]) -> float:
        """The share of the topic's words that are said elsewhere but not among `there`: "the tavern of
        Korvel" where only the mill of Korvel is told of."""
        topic = [t for t in self.terms if t.topic]
        return sum(t.seen and t.stem not in there for t in topic) / len(topic) if topic else 0.0

    def apart(self, text: Iterable[str]) -> float:
        """Of the pairs of topic words that are neighbours in the question and both in the text (stems, in
        order), the share that is never close together there: "red star" in "a red circle and a blue
        star"."""
        where: dict[str, list[int]] = {}
        for place, root in enumerate(text):
            where.setdefault(root, []).append(place)
        pairs = [
            (a.stem, b.stem)
            for a, b in zip(self.terms, self.terms[1:], strict=False)
            if a.topic and b.topic and b.place == a.place + 1 and a.stem in where and b.stem in where
        ]
        far = sum(all(abs(i - j) > 2 for i in where[a] for j in where[b]) for a, b in pairs)
        return far / len(pairs) if pairs else 0.0


def _marked(question: str) -> list[tuple[str, str]]:
    """(folded word, kind) of every word: "topic", "predicate", or "" for function words."""
    out: list[tuple[str, str]] = []
    inside = False
    for part in question.split():
        for number, word in enumerate(written(part)):
            named = word[:1].isupper() and bool(out)
            numeral = any(c.isdigit() for c in word)
            for folded in asked(word):
                if folded in STOP:
                    inside = folded in DETERMINERS
                    out.append((folded, ""))
                else:
                    out.append((folded, "topic" if inside or named or numeral else "predicate"))
            if number == 0 and part[-1:] in ",;:.":
                inside = False
    return _with_verbs(out)


def _with_verbs(words: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The words with verbs at the end of a topic marked as predicate: "where did the roses come from"."""
    out, start = list(words), 0
    for place, (_, kind) in enumerate([*words, ("", "")]):
        if kind == "topic":
            continue
        before = [word for word, _ in words[:place]]
        if place - start > 1 and ends_in_verb(before):
            out[place - 1] = (words[place - 1][0], "predicate")
            if DO & set(before):
                break
        start = place + 1
    return out


def ends_in_verb(words: Sequence[str]) -> bool:
    """Is the last word of a question (folded words) its verb: "what does the dog like", "when was the mill
    built"?"""
    if DO & set(words[:-1]):
        return True
    return bool(BE & set(words[:-1])) and (words[-1].endswith("ed") or words[-1] in _past())
