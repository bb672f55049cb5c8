"""What a question refers to: the times that it names, and the question before it.

    when = find_time("what did we do in August?", today=date(2025, 11, 2))
    when.filters.month, when.rest                # 8, "what did we do ?"
    standalone("how old is it?", "what is the name of the red star?")       # "how old is the red star?"

By rules on words, so they work with any model. Times as `said_dates` reads them, months and days of any year
("in August", "on 14 August") and dates in numbers. Not covered: clock times.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date

from sugar.gallery.items import Filters
from sugar.rag.words import DETERMINERS, STOP, content, ends_in_verb
from sugar.said_dates import MONTHS, MOST_WORDS, first_said
from sugar.search_words import fold

_BEFORE = ("in", "on", "during", "from", "since", "of", "for")
"""Words after which a month or a year alone is a time: "may I ask?" names none."""
_LEADING = ("in", "on", "during", "from", "the")


@dataclass(frozen=True)
class When:
    """A time. filters: the pictures taken then. phrase: the words that name it. rest: the other words."""

    filters: Filters
    phrase: str
    rest: str


def find_time(question: str, today: date | None = None) -> When | None:
    """The first time that the question names, or None.

    >>> find_time("the dog in August 2025").filters.after
    datetime.date(2025, 8, 1)
    """
    words, today = question.split(), today or date.today()
    bare = [w.strip("?!.,;:()\"'").lower() for w in words]
    for at in range(len(words)):
        found: Filters | None
        if said := first_said(bare[at : at + MOST_WORDS], today):
            found, length = Filters(*said[1]), said[0]
        else:
            parts = (bare[at : at + 2], bare[at : at + 1])
            reads = ((_read(part, bare[at - 1 : at]), len(part)) for part in parts)
            found, length = next((r for r in reads if r[0] is not None), (None, 0))
        if found is not None:
            start, stop = at, at + length
            while start and bare[start - 1] in _LEADING:
                start -= 1
            end = words[stop - 1][-1:]
            rest = [*words[:start], *([end] if end in "?!" else []), *words[stop:]]
            return When(found, " ".join(words[start:stop]).rstrip("?!.,;:"), " ".join(rest))
    return None


def _read(words: list[str], before: list[str]) -> Filters | None:
    """A month or a day of any year, a year, or a date in numbers; None for anything else."""
    try:
        match [_part(word) for word in words]:
            case [("month", month), ("day", day)] | [("day", day), ("month", month)]:
                return Filters(month=month, day=day)
            case [("month", month)] if before and before[0] in _BEFORE:
                return Filters(month=month)
            case [("year", year)] if before and before[0] in _BEFORE:
                return Filters(date(year, 1, 1), date(year, 12, 31))
        if len(words) == 1 and re.fullmatch(r"[0-9]{4}-[0-9]{1,2}", words[0]):
            return _of_month(*map(int, words[0].split("-")))
        if len(words) == 1 and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", words[0]):
            return Filters(exact := date.fromisoformat(words[0]), exact)
    except ValueError:  # no day of the calendar
        return None
    return None


def _part(word: str) -> tuple[str, int]:
    """What a word of a time is, with its number: a month, a year, a day, or "" for something else."""
    if month := MONTHS.get(word):
        return "month", month
    digits = word[:-2] if word.endswith(("st", "nd", "rd", "th")) else word
    number = int(digits) if re.fullmatch(r"[0-9]{1,4}", digits) else 0
    kind = "day" if 1 <= number <= 31 else "year" if 1900 <= number <= 2100 and digits == word else ""
    return kind, number


def _of_month(year: int, month: int) -> Filters:
    return Filters(date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1]))


# -- follow-up questions

_OPENINGS = ("and what about", "and how about", "what about", "how about", "and", "or", "but")
_PRONOUNS = frozenset(str.split("it they them he him she her this that there its their his these those one"))
_POSSESSIVE = frozenset({"its", "their", "his", "her"})
_PREPOSITIONS = frozenset(str.split("in on at of for from with during near under over behind by to"))
_QUESTION = frozenset(
    str.split("who whom whose which what when where why how is are was were do does did can")
)


def standalone(question: str, before: str) -> str:
    """The question with what it refers to, taken from the question before it ("" for none)."""
    words = question.split()
    bare = [_bare(w) for w in words]
    if not before.strip() or not words:
        return question
    for opening in map(str.split, _OPENINGS):
        if bare[: len(opening)] == opening and len(words) > len(opening):
            rest, own = words[len(opening) :], bare[len(opening) :]
            if own[0] in _QUESTION and len(opening) == 1:
                return _with_topic(rest, own, before)
            return _continued(rest, own, before)
    return _with_topic(words, bare, before)


def topic(question: str) -> str:
    """What a question is about: its last phrase after an article, or its capitalised words, or its content
    words.

    >>> topic("what is the name of the red star?")
    'the red star'
    """
    words = question.split()
    bare = [_bare(w) for w in words]
    for start in range(len(words) - 1, -1, -1):
        if bare[start] in DETERMINERS - _PRONOUNS or (bare[start] in _POSSESSIVE and start + 1 < len(words)):
            end = start + 1
            while end < len(words) and bare[end] not in STOP and words[end - 1][-1:] not in ",;":
                end += 1
            if end == len(words) and end > start + 2 and ends_in_verb(bare):
                end -= 1
            phrase = " ".join(words[start:end]).rstrip("?!.,;:")
            if end > start + 1 and phrase:
                return phrase
    named = [w.strip("?!.,;:") for w in words[1:] if w[:1].isupper()]
    if named:
        return " ".join(named)
    return " ".join(w.strip("?!.,;:") for w, b in zip(words, bare, strict=True) if b not in STOP)


def _with_topic(words: list[str], bare: list[str], before: str) -> str:
    """The question with its first pronoun replaced by the topic of the question before."""
    about = topic(before)
    text = " ".join(words)
    if not about:
        return text
    for place, word in enumerate(bare):
        following = bare[place + 1] if place + 1 < len(bare) else ""
        if word not in _PRONOUNS:
            continue
        if word in ("this", "that", "these", "those", "one") and following and following not in STOP:
            continue  # "that house" names what it is about
        if word in _POSSESSIVE and following and following not in STOP:
            put = f"{about}'s"
        elif word == "there":
            if place == 0 or bare[place - 1] in ("is", "are", "was", "were"):
                continue  # "is there a dog?"
            put = f"at {about}"
        else:
            put = about
        end = words[place][len(words[place].rstrip("?!.,;:")) :]
        return " ".join([*words[:place], put + end, *words[place + 1 :]])
    return text if content(text) else f"{before.rstrip('?!. ')}, {text}"


def _continued(rest: list[str], own: list[str], before: str) -> str:
    """ "and in winter?": the question before, its phrase with that preposition replaced; or its topic
    replaced."""
    words = before.split()
    bare = [_bare(w) for w in words]
    new = " ".join(rest).rstrip("?!. ")
    if own[0] in _PREPOSITIONS:
        for start in range(len(words) - 1, -1, -1):
            if bare[start] == own[0] and start:
                end = start + 1
                while end < len(words) and bare[end] not in _PREPOSITIONS | _QUESTION:
                    end += 1
                return " ".join([*words[:start], new, *words[end:]]).rstrip("?!. ") + "?"
        return f"{before.rstrip('?!. ')} {new}?"
    about = topic(before)
    if about and about in before:
        if own[-1] in ("one", "ones") and len(about.split()) > 1:
            new = " ".join([*new.split()[:-1], about.split()[-1]])
        head, _, tail = before.rpartition(about)
        return f"{head}{new}{tail}"
    return f"{before.rstrip('?!. ')} {new}?"


def _bare(word: str) -> str:
    return fold(word.strip("?!.,;:()\"'"))
