"""One model, many askers: questions go first, background work gives way between its batches.

    turns = Turns()
    model = TakesTurns(sugar, turns)         # everybody is given this one
    with in_background(): gallery.add(...)   # each batch waits until no question runs or waits

A question holds the model for one call, an answer for one token at a time. Background work waits for
an answer's last token. Not covered: starting background work (jobs.py), what a call computes (sugar/core.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["FORWARD", "TakesTurns", "Turns", "in_background"]

FORWARD = ("score", "log_odds", "probability_of_yes", "agreement", "picture_heat", "unsure_of")
"""The calls of `Sugar` that run the model, besides `embed` and `generate`."""

PATIENCE = 5.0
"""Seconds after its last token when an answer that nobody reads any more stops holding background work up."""

_here = threading.local()


@contextmanager
def in_background() -> Iterator[None]:
    """Calls of the model in this thread give way to everybody else's."""
    before = getattr(_here, "background", False)
    _here.background = True
    try:
        yield
    finally:
        _here.background = before


class Turns:
    """Whose turn it is. A turn is not re-entrant: nothing that holds one may ask for another."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._held = False
        self._questions: list[object] = []
        self._answers: dict[object, float] = {}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the model. Questions come in the order of asking; background work waits for all of them."""
        background = getattr(_here, "background", False)
        ticket = object()
        with self._changed:
            if not background:
                self._questions.append(ticket)
            try:
                while not self._free_for(ticket, background):
                    self._changed.wait(0.5 if background else None)
                self._held = True
            finally:
                if not background:
                    self._questions.remove(ticket)
        try:
            yield
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    @contextmanager
    def answer(self) -> Iterator[Callable[[], None]]:
        """An answer is being generated. Yields what to call after each token.

        One that is generated in the background holds nobody up, itself least of all.
        """
        if getattr(_here, "background", False):
            yield lambda: None
            return
        ticket = object()

        def token() -> None:
            with self._changed:
                self._answers[ticket] = self._clock()

        token()
        try:
            yield token
        finally:
            with self._changed:
                del self._answers[ticket]
                self._changed.notify_all()

    def _free_for(self, ticket: object, background: bool) -> bool:
        if self._held:
            return False
        if not background:
            return self._questions[0] is ticket
        recent = self._clock() - PATIENCE
        return not self._questions and all(last < recent for last in self._answers.values())

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return len(self._questions)


class TakesTurns:
    """A model whose `embed`, `generate` and scoring calls take turns. Everything else is the model's own."""

    def __init__(self, model: Any, turns: Turns) -> None:
        self.__dict__.update(_model=model, _turns=turns)

    def embed(self, samples: Sequence[Any], **kwargs: Any) -> Any:
        with self._turns.turn():
            return self._model.embed(samples, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        pieces = iter(self._model.generate(*args, **kwargs))
        with self._turns.answer() as token:
            try:
                while True:
                    with self._turns.turn():
                        piece = next(pieces, None)
                    if piece is None:
                        return
                    token()
                    yield piece
            finally:
                if hasattr(pieces, "close"):
                    pieces.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        if name not in FORWARD:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._turns.turn():
                return found(*args, **kwargs)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._model, name, value)
