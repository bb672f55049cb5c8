"""How an answer is generated, and how much of it there is so far.

    sampling = sampling_from(temperature, top_p, length, seed, most=1024)  # checked; InputError out of range
    for answer in workspace.generate(visitor, turns, sampling):
        answer.text, answer.ended

Not covered: the tokens themselves (sugar/core.py), streaming them (workspace.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sugar.errors import InputError
from sugar.sequence import Sampling

__all__ = ["Generated", "sampling_from"]


def sampling_from(temperature: Any, top_p: Any, length: Any, seed: Any, most: int) -> Sampling:
    """Values from a page or a program, checked. Raises InputError out of range."""
    try:
        t, p, n = float(temperature), float(top_p), int(length)
        s = None if seed in (None, "") or float(seed) < 0 else int(seed)
    except (TypeError, ValueError, OverflowError):
        raise InputError("Temperature, top-p, length and seed are numbers.") from None
    if not (0 <= t <= 2 and 0 < p <= 1 and 1 <= n <= most and (s is None or s < 2**63)):
        raise InputError(
            f"Use a temperature of 0 to 2, top-p above 0 up to 1, and a length of 1 to {most} tokens."
        )
    return Sampling(t, p, n, s)


@dataclass(frozen=True)
class Generated:
    """An answer so far.

    Attributes:
        text: all that has been generated.
        tokens: how many pieces of text came.
        first: seconds until the first one.
        seconds: seconds until now.
        unsure: a picture of the question looks like nothing that the model learnt from.
        ended: "" while it goes on; then "done", "stopped", "time" or "length" (that limit was reached).
    """

    text: str = ""
    tokens: int = 0
    first: float = 0.0
    seconds: float = 0.0
    ended: str = ""
    unsure: bool = False

    @property
    def tokens_per_second(self) -> float:
        """The rate after the first token; 0 when it cannot be told."""
        after = self.seconds - self.first
        return (self.tokens - 1) / after if self.tokens > 1 and after > 0 else 0.0
