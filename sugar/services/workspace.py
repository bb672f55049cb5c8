"""What every service is given (settings, model slot, galleries), and what it keeps for one visitor.

    class SearchService:
        def __init__(self, workspace: Workspace) -> None: ...
        def search(self, visitor: Visitor, request: SearchRequest) -> SearchResult:
            gallery = self.workspace.gallery(visitor, request.gallery)
            state = visitor.state.of(SearchState)      # a dataclass of this module, made when first used

Not covered: who a visitor is, and which galleries a visitor may open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sugar.sequence import Sample, Sampling, Turn
from sugar.services.model_slot import ModelSlot
from sugar.services.visitors import Page
from sugar.settings import Settings

PACE = 0.2
"""Seconds between two updates of an answer. With 0.05 a slow phone had no time left to react to a click."""


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


class GalleryAccess(Protocol):
    """What services ask of `Galleries`, which uses this file. root: the folder of those that persist."""

    @property
    def root(self) -> Path: ...

    def names(self, visitor: Any) -> list[str]: ...

    def open(self, visitor: Any, name: str, model: Any) -> Any: ...

    def holding(self, visitor: Any, items: Iterable[str]) -> set[str]: ...


class Workspace:
    """See the module docstring. There is one per running app or command."""

    def __init__(self, settings: Settings, models: ModelSlot, galleries: GalleryAccess) -> None:
        self.settings, self.models, self.galleries = settings, models, galleries

    def model(self) -> Any:
        """The loaded model. Waits while it loads. Raises ModelError when it cannot be loaded."""
        return self.models.get()

    def gallery(self, visitor: Page, name: str) -> Any:
        """An open gallery that this visitor may see. Raises GalleryError, FingerprintError."""
        return self.galleries.open(visitor, name, self.model())

    def generate(
        self, visitor: Page, conversation: Sample | Sequence[Turn], sampling: Sampling
    ) -> Iterator[Generated]:
        """Generate an answer, and yield the text so far at most every `PACE` seconds.

        The first value is empty and comes at once. The answer ends early when the visitor stops it or leaves,
        also while the model is still loading, and when `answer_seconds` have passed. The model is then free.

        Args:
            visitor: the page that asks; it has at most one answer under way.
            conversation: a sample, or turns that end with the person's.
            sampling: how tokens are drawn.
        """
        with visitor.answering() as stop:
            yield Generated()
            model = self.models.get(stop=stop)
            if model is None:
                yield Generated(ended="stopped")
                return
            limit = threading.Timer(self.settings.answer_seconds, stop.set)
            limit.daemon = True
            limit.start()
            try:
                yield from self._pieces(model, conversation, sampling, stop)
            finally:
                limit.cancel()

    def _pieces(
        self, model: Any, conversation: Sample | Sequence[Turn], sampling: Sampling, stop: threading.Event
    ) -> Iterator[Generated]:
        start, shown_at = time.monotonic(), 0.0
        text, tokens, first = "", 0, 0.0
        unsure = _unsure(model, conversation)
        pieces = model.generate(
            conversation,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop=stop,
        )
        for piece in pieces:
            text, tokens, now = text + piece, tokens + 1, time.monotonic() - start
            first = first or now
            if now - shown_at > PACE:
                shown_at = now
                yield Generated(text, tokens, first, now, unsure=unsure)
        seconds = time.monotonic() - start
        ended = "done" if tokens < sampling.max_new_tokens else "length"
        if stop.is_set():
            ended = "time" if seconds >= self.settings.answer_seconds else "stopped"
        yield Generated(text, tokens, first, seconds, ended, unsure)


def _unsure(model: Any, conversation: Sample | Sequence[Turn]) -> bool:
    """Is a picture of the last question unlike all that the model learnt from? False where nobody can
    tell.
    """
    if model.profile.unsure is None:
        return False
    last = conversation if isinstance(conversation, Sample) else conversation[-1].sample
    return any(model.unsure_of(image) for image in last.images)
