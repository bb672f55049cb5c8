"""What a question refers to: the times that it names, and the question before it.

    when = find_time("what did we do in August?", today=date(2025, 11, 2))
    when.months, when.rest                       # (8,), "what did we do ?"
    standalone("how old is it?", "what is the name of the red star?")       # "how old is the red star?"

By rules on words, so they work with any model. Times in exact forms only: "in August", "August 2025",
"2025-08", "on 14 August", "yesterday", "last year". Not covered: seasons, holidays, clock times.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

from sugar.rag.words import DETERMINERS, STOP, content, ends_in_verb
from sugar.search_words import fold

__all__ = ["When", "find_time", "standalone"]

_MONTHS = {name.lower(): n for n, name in enumerate(calendar.month_name) if n}
_MONTHS |= {name.lower(): n for n, name in enumerate(calendar.month_abbr) if n and name != "May"}
_BEFORE = ("in", "on", "during", "from", "since", "of", "for", "last", "this")


@dataclass(frozen=True)
class When:
    """A time. after, before: first and last day, inclusive. months: of any year, where no year is named.

    day: of the month, with `months`. phrase: the words that named it. rest: the question without them.
    """

    after: date | None
    before: date | None
    months: tuple[int, ...]
    day: int | None
    phrase: str
    rest: str

    def where(self) -> tuple[str, list[object]]:
        """An SQL condition on the column `taken` of items `i` (ISO times), and its values."""
        terms = ["i.taken IS NOT NULL"]
        values: list[object] = []
        if self.after is not None and self.before is not None:
            terms.append("substr(i.taken, 1, 10) BETWEEN ? AND ?")
            values += [self.after.isoformat(), self.before.isoformat()]
        for month in self.months:
            terms.append("substr(i.taken, 6, 2) = ?")
            values.append(f"{month:02d}")
        if self.day is not None:
            terms.append("substr(i.taken, 9, 2) = ?")
            values.append(f"{self.day:02d}")
        return " AND ".join(terms), values


def find_time(question: str, today: date | None = None) -> When | None:
    """The first time that the question names, or None.

    >>> find_time("the dog in August 2025").after
    datetime.date(2025, 8, 1)
    """
    words = question.split()
    bare = [w.strip("?!.,;:()\"'").lower() for w in words]
    for at in range(len(words)):
        for length in (3, 2, 1):
            part = bare[at : at + length]
            if len(part) == length and (found := _read(part, today or date.today(), bare[at - 1 : at])):
                start = at
                while start and bare[start - 1] in ("in", "on", "during", "from", "the"):
                    start -= 1
                phrase = " ".join(words[start : at + length]).rstrip("?!.,;:")
                end = words[at + length - 1][-1:]
                rest = [*words[:start], *([end] if end in "?!" else []), *words[at + length :]]
                return When(*found, phrase, " ".join(rest))
    return None


_Found = tuple[date | None, date | None, tuple[int, ...], int | None]


def _read(words: list[str], today: date, before: list[str]) -> _Found | None:
    """What these one to three words name, or None."""
    if len(words) == 1:
        return _one(words[0], today, before)
    months = [_MONTHS.get(w) for w in words]
    numbers = [_number(w) for w in words]
    if len(words) == 2:
        if words[0] in ("last", "this"):
            return _relative(words[0], words[1], today)
        for month, number in ((months[0], numbers[1]), (months[1], numbers[0])):
            if month and number and 1900 <= number <= 2100:
                return _range(date(number, month, 1), _last(number, month))
            if month and number and 1 <= number <= 31:
                return None, None, (month,), number
        return None
    year = numbers[2]
    for month, day in ((months[0], numbers[1]), (months[1], numbers[0])):
        if month and day and year and 1900 <= year <= 2100 and 1 <= day <= _last(year, month).day:
            exact = date(year, month, day)
            return _range(exact, exact)
    return None


def _one(word: str, today: date, before: list[str]) -> _Found | None:
    if word in ("today", "yesterday"):
        day = today - timedelta(days=word == "yesterday")
        return _range(day, day)
    parts = word.split("-")
    if len(parts) > 1 and all(p.isascii() and p.isdigit() for p in parts) and len(parts[0]) == 4:
        try:
            if len(parts) == 3:
                return _range(date.fromisoformat(word), date.fromisoformat(word))
            first = date(int(parts[0]), int(parts[1]), 1)
            return _range(first, _last(first.year, first.month)) if len(parts) == 2 else None
        except ValueError:
            return None
    preposition = bool(before) and before[0] in _BEFORE
    if (month := _MONTHS.get(word)) and preposition:
        return None, None, (month,), None
    year = int(word) if len(word) == 4 and word.isascii() and word.isdigit() else 0
    if preposition and 1900 <= year <= 2100:
        return _range(date(year, 1, 1), date(year, 12, 31))
    return None


def _relative(word: str, unit: str, today: date) -> _Found | None:
    back = word == "last"
    if unit == "year":
        return _range(date(today.year - back, 1, 1), date(today.year - back, 12, 31))
    if unit == "month":
        first = today.replace(day=1)
        first = (first - timedelta(days=1)).replace(day=1) if back else first
        return _range(first, _last(first.year, first.month))
    if unit == "week":
        monday = today - timedelta(days=today.weekday() + 7 * back)
        return _range(monday, monday + timedelta(days=6))
    if month := _MONTHS.get(unit):
        year = today.year - (month > today.month or (back and month == today.month))
        return _range(date(year, month, 1), _last(year, month))
    return None


def _number(word: str) -> int | None:
    digits = word[:-2] if word.endswith(("st", "nd", "rd", "th")) else word
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 4 else None


def _last(year: int, month: int) -> date:
    return date(year, month, calendar.monthrange(year, month)[1])


def _range(first: date, last: date) -> _Found:
    return first, last, (), None


# -- follow-up questions

_OPENINGS = (
    ("and", "what", "about"),
    ("and", "how", "about"),
    ("what", "about"),
    ("how", "about"),
    ("and",),
    ("or",),
    ("but",),
)
_PRONOUNS = frozenset(
    {
        "it",
        "they",
        "them",
        "he",
        "him",
        "she",
        "her",
        "this",
        "that",
        "there",
        "its",
        "their",
        "his",
        "these",
        "those",
        "one",
    }
)
_POSSESSIVE = frozenset({"its", "their", "his", "her"})
_PREPOSITIONS = frozenset(
    {"in", "on", "at", "of", "for", "from", "with", "during", "near", "under", "over", "behind", "by", "to"}
)
_QUESTION = frozenset(
    {
        "who",
        "whom",
        "whose",
        "which",
        "what",
        "when",
        "where",
        "why",
        "how",
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "can",
    }
)


def standalone(question: str, before: str) -> str:
    """The question with what it refers to, taken from the question before it ("" for none)."""
    words = question.split()
    bare = [_bare(w) for w in words]
    if not before.strip() or not words:
        return question
    for opening in _OPENINGS:
        if tuple(bare[: len(opening)]) == opening and len(words) > len(opening):
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
