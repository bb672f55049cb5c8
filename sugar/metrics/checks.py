"""Checks that every metric makes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sugar.errors import InputError


def same_length(left: Sequence | np.ndarray, right: Sequence | np.ndarray, what: str) -> None:
    if len(left) != len(right):
        raise InputError(f"{what}: {len(left)} against {len(right)}. Give as many of one as of the other.")
