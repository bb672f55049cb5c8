"""An answer on its way: how it is to be drawn, and what has been said so far.

    sampling = Sampling.of(temperature, top_p, length, seed, most=1024)      # checked; InputError out of range
    for said in app.stream(request, turns, sampling): said.text, said.line()

Not covered: the words themselves (sugar/core.py), streaming them (context.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sugar.errors import InputError

__all__ = ["Said", "Sampling"]


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. Raises InputError out of range; every handler can be called raw, so this is the check."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 128
    seed: int | None = None

    @classmethod
    def of(cls, temperature: Any, top_p: Any, length: Any, seed: Any, most: int) -> Sampling:
        try:
            t, p, n = float(temperature), float(top_p), int(length)
            s = None if seed in (None, "") or float(seed) < 0 else int(seed)
        except (TypeError, ValueError, OverflowError):
            raise InputError("Temperature, top-p, length and seed are numbers.") from None
        if not (0 <= t <= 2 and 0 < p <= 1 and 1 <= n <= most and (s is None or s < 2**63)):
            raise InputError(f"Use a temperature of 0 to 2, top-p above 0 up to 1, and a length of 1 to {most} tokens.")
        return cls(t, p, n, s)


@dataclass(frozen=True)
class Said:
    """An answer so far. tokens: pieces of text that came; first: seconds to the first; ended: "", "done", "stopped", "time" or "length"."""

    text: str
    tokens: int
    first: float
    seconds: float
    ended: str = ""

    def line(self) -> str:
        """What stands under an answer: time to first token, tokens, tokens per second."""
        if not self.tokens:
            return "no text came" if self.ended else "reading ..."
        after = self.seconds - self.first
        rate = f" · {(self.tokens - 1) / after:.0f} tokens/s" if self.tokens > 1 and after > 0 else ""
        why = {"stopped": " · stopped", "time": " · ended at the time limit", "length": " · ended at the chosen length"}.get(self.ended, "")
        counted = f"{self.tokens} token" if self.tokens == 1 else f"{self.tokens} tokens"
        return f"first token {self.first * 1000:.0f} ms · {counted}{rate}{why}"
