"""When a picture was taken, as a camera, a table or a file's name writes it.

    read("2024:02:21 10:14:22.27-05:30")            # Taken(datetime(2024, 2, 21, 10, 14, 22))
    in_name("IMG-20240501-WA0001.jpg")              # Taken(datetime(2024, 5, 1), from_name=True)
    str(in_name("IMG-20240501-WA0001.jpg"))         # "2024-05-01T00:00:00?", which `read` reads again

The clock at the place counts: an offset is passed over, as are parts of a second. Not covered: forms that
name two days (04/05/2024; with dots the day comes first), years of two digits, seconds since 1970.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import NamedTuple


class Taken(NamedTuple):
    """The time of taking. from_name: only the file's name says so, which may be the day of a copy.

    Its text is ISO 8601, with the "?" of ISO 8601-2 after what only a name says.
    """

    time: datetime
    from_name: bool = False

    def __str__(self) -> str:
        return self.time.isoformat() + "?" * self.from_name


_CLOCK = (
    r"(?:[T ] *(?P<hour>\d{1,2})[-:.]? ?(?P<minute>\d{1,2})(?:[-:.]? ?(?P<second>\d{1,2}))?(?!\d)"
    r"(?:[.,]\d*)?\s*(?P<half>[AaPp][Mm])?)?"
)
_TIME = re.compile(
    r"(?P<year>\d{4})(?P<mark>[-:/. ]) ?(?P<month>\d{1,2})(?P=mark) ?(?P<day>\d{1,2})(?!\d)" + _CLOCK
)
_DOTTED = re.compile(r"(?P<day>\d{1,2})\. ?(?P<month>\d{1,2})\. ?(?P<year>\d{4})(?!\d)" + _CLOCK)
_COMPACT = re.compile(
    # a word of its own, so no part of a number or of a hash: "IMG20240501", "2024-05-01"
    r"(?<![^\W_])[^\W\d_]*(?P<year>(?:19|20)\d\d)(?P<mark>[-_.]?)(?P<month>\d\d)(?P=mark)(?P<day>\d\d)"
    # perhaps the time, to the thousandth: "101112", "_101112345", "-10-11-12", " at 10.11.12 PM"
    r"(?:(?:[Tt]|[-_., ]{0,3}|[-_. ,]+[^\W\d_]{1,3}[-_. ])"
    r"(?P<hour>\d{1,2})(?P<colon>[-_.: ]?)(?P<minute>\d\d)(?P=colon)(?P<second>\d\d)"
    r"(?:[-_.]?\d{3})?(?:\s?(?P<half>[AaPp][Mm])|Z)?(?![^\W_]))?(?![^\W_])"
)


def read(text: object) -> Taken | None:
    """The time that the start of a text says, or None. A time of day that cannot be read is midnight.

    >>> str(read("2024-05-04T16:41:42Z")), str(read("2024:05:04")), read("0000:00:00 00:00:00")
    ('2024-05-04T16:41:42', '2024-05-04T00:00:00', None)
    """
    told = text.decode("latin-1") if isinstance(text, bytes) else str(text)
    told = told.partition("\0")[0].strip()
    if len(told) == 19 and told[10] == "T":  # as `Taken` writes it: by far the most
        with suppress(ValueError):
            return Taken(datetime.fromisoformat(told))
    found = _TIME.match(told) or _DOTTED.match(told) or _COMPACT.match(told)
    time = _time(found) if found else None
    return Taken(time, told.endswith("?")) if time else None


def in_name(name: str) -> Taken | None:
    """The day that the name of a file says, with the time where it follows; None for a day to come.

    >>> str(in_name("trip/PXL_20240501_101112345.jpg")), in_name("IMG_20249999.jpg"), in_name("IMG_4711.jpg")
    ('2024-05-01T10:11:12?', None, None)
    """
    bare = name.replace("\\", "/").rpartition("/")[2]
    for found in _COMPACT.finditer(bare):
        mark = found["mark"]
        if mark and bare[: found.start()].endswith(mark) and bare[: found.start() - 1][-1:].isdigit():
            continue  # 01-05-2024-10-11: the numbers before the year are the day
        time = _time(found)
        if time is not None and time.date() <= date.today() + timedelta(days=1):  # ahead in some time zone
            return Taken(time, from_name=True)
    return None


def _time(found: re.Match[str]) -> datetime | None:
    try:
        day = datetime(int(found["year"]), int(found["month"]), int(found["day"]))
    except ValueError:
        return None
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    if found["half"] and 1 <= hour <= 12:
        hour = hour % 12 + 12 * (found["half"].lower() == "pm")
    if (hour, minute, second) == (24, 0, 0):
        return day + timedelta(days=1)  # ISO 8601's end of a day
    # some phones count the hours of a day from 1 to 24; a second 60 is a leap second
    hour, second = hour % 24 if hour == 24 else hour, min(second, 59) if second == 60 else second
    if hour > 23 or minute > 59 or second > 59:
        return day
    return day.replace(hour=hour, minute=minute, second=second)
