"""Parameter checks that every alignment shares; each message says what was seen and what is allowed."""

from __future__ import annotations

import math
from typing import Any

from sugar.errors import AlignmentError


def positive(name: str, value: float) -> float:
    """The value as a float; AlignmentError unless it is a finite number above 0."""
    number = real(name, value)
    if not (math.isfinite(number) and number > 0):
        raise AlignmentError(f"{name} is {value}; it must be a finite number above 0.")
    return number


def real(name: str, value: Any) -> float:
    """The value as a float; AlignmentError when it is not one number."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise AlignmentError(f"{name} is {value!r}; it must be a number.") from error


def whole(name: str, value: Any, least: int) -> int:
    """The value as an int; AlignmentError unless it is a whole number of at least `least`."""
    number = real(name, value)
    if number != int(number) or number < least:
        raise AlignmentError(f"{name} is {value}; it must be a whole number of at least {least}.")
    return int(number)
