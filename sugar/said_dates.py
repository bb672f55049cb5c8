"""Days as people say them: "last summer", "christmas 2023", "may 2019", "3 weeks ago".

    first_said(["last", "summer", "at", "sea"], today)      # (2, (date(2025, 6, 1), date(2025, 8, 31)))

English only. Seasons are the northern ones, whole months. A feast without a year is the last one that has
begun. Not covered: days written in numbers, and months of any year, which the search box and Ask read.
"""

from __future__ import annotations

import re
from calendar import month_name, monthrange
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from dateutil.easter import easter
from dateutil.relativedelta import relativedelta

Span = tuple[date, date]
MOST_WORDS, _LONGEST = 5, 40

MONTHS = {name.lower(): n for n, name in enumerate(month_name) if name}
MONTHS |= {name[:3]: n for name, n in MONTHS.items()} | {"sept": 9}
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""The first of the three months; a winter is named by the year in which it begins."""


def _days(month: int, day: int, count: int = 1) -> Callable[[int], Span]:
    return lambda year: (date(year, month, day), date(year, month, day) + timedelta(days=count - 1))


def _easter(year: int) -> Span:
    sunday = easter(year)
    return sunday - timedelta(days=2), sunday + timedelta(days=1)


def _thanksgiving(year: int) -> Span:
    first = date(year, 11, 1)
    thursday = first + timedelta(days=(3 - first.weekday()) % 7 + 21)
    return thursday, thursday + timedelta(days=3)


_FEASTS: dict[str, Callable[[int], Span]] = {
    "christmas": _days(12, 24, 3),
    "xmas": _days(12, 24, 3),
    "christmas eve": _days(12, 24),
    "new year": _days(1, 1),
    "new year's": _days(1, 1),
    "new year's eve": _days(12, 31),
    "halloween": _days(10, 31),
    "valentine's day": _days(2, 14),
    "easter": _easter,
    "thanksgiving": _thanksgiving,
}
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_FORMS = tuple(
    re.compile(rf"(?:(?:in|on|from|during) )?(?:{form})")
    for form in (
        r"(?P<plain>today|yesterday)",
        r"(?P<which>last|this) (?P<unit>week|weekend|month|year)",
        r"(?P<count>\d{1,3}|a|one|two|three|four|five|six) (?P<ago>day|week|month|year)s? ago",
        r"(?P<which>last|this) (?P<name>[a-z' ]+)",
        r"(?P<name>[a-z' ]+?),? (?:of )?(?P<year>\d{4})",
        rf"(?P<month>[a-z]+) {_DAY},? (?P<year>\d{{4}})",
        rf"{_DAY}\.? (?:of )?(?P<month>[a-z]+),? (?P<year>\d{{4}})",
    )
)
_COUNTS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}


def first_said(words: Sequence[str], today: date) -> tuple[int, Span] | None:
    """How many of the first words say a day or days, and the first and last of them; None where none do."""
    for count in range(min(len(words), MOST_WORDS), 0, -1):
        said = " ".join(words[:count]).lower().replace("\u2019", "'")
        for form in _FORMS if len(said) <= _LONGEST else ():
            if (found := form.fullmatch(said)) and (span := _span(found.groupdict(), today)) is not None:
                return count, span
    return None


def _span(found: dict[str, str | None], today: date) -> Span | None:
    year = int(str(found["year"])) if found.get("year") else None
    if year is not None and not 1826 <= year <= today.year:
        return None
    if found.get("plain"):
        day = today - timedelta(days=found["plain"] == "yesterday")
        return day, day
    if unit := found.get("unit"):
        return _calendar(unit, today, back=int(found["which"] == "last"))
    if unit := found.get("ago"):
        back = _COUNTS.get(str(found["count"])) or int(str(found["count"]))
        return _calendar(unit, today, back)
    if found.get("day"):
        month, number = MONTHS.get(str(found["month"])), int(str(found["day"]))
        if month is None or year is None or not 1 <= number <= monthrange(year, month)[1]:
            return None
        return date(year, month, number), date(year, month, number)
    return _named(str(found["name"]), year, today, back=int(found.get("which") == "last"))


def _named(name: str, year: int | None, today: date, back: int) -> Span | None:
    """A month, a season or a feast: of a year, or the last one that has begun; with `back`, that is over."""
    in_year: Callable[[int], Span] | None = _FEASTS.get(name)
    for months, starts in ((1, MONTHS), (3, _SEASONS)):
        if name in starts:
            in_year = _months(starts[name], months)
    if in_year is None:
        return None
    if year is not None:
        return in_year(year)
    spans = [in_year(today.year - n) for n in range(3)]
    return next(s for s in spans if (s[1] < today if back else s[0] <= today))


def _months(month: int, count: int) -> Callable[[int], Span]:
    def span(year: int) -> Span:
        first = date(year, month, 1)
        return first, first + relativedelta(months=count, days=-1)

    return span


def _calendar(unit: str, today: date, back: int) -> Span:
    """The day, week (from Monday), weekend, month or year that lies `back` of them before today's."""
    if unit == "day":
        return today - timedelta(days=back), today - timedelta(days=back)
    if unit in ("week", "weekend"):
        monday = today - timedelta(days=today.weekday(), weeks=back)
        return monday + timedelta(days=5 * (unit == "weekend")), monday + timedelta(days=6)
    if unit == "month":
        first = today.replace(day=1) - relativedelta(months=back)
        return first, first + relativedelta(months=1, days=-1)
    return date(today.year - back, 1, 1), date(today.year - back, 12, 31)
