"""Times that a question names: "in August", "August 2025", "2025-08", "on 14 August", "yesterday", "last
year".

    when = find_time("what did we do in August?", today=date(2025, 11, 2))
    when.months, when.rest                       # (8,), "what did we do ?"

Exact forms only; a month without a year means that month of any year.
Not covered: seasons, holidays, clock times.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

__all__ = ["When", "find_time"]

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
