"""Token ids in, text out, as it comes.

stream = TextStream(processor)
stream.push(token), stream.flush()
"""

from __future__ import annotations

from sugar.model.processor import Processor

__all__ = ["TextStream"]


class TextStream:
    """Token ids in, text out: only whole characters, spaces as the tokenizer means them."""

    def __init__(self, processor: Processor) -> None:
        self._decode = processor.decode
        self._ids: list[int] = []
        self._done = self._read = 0
        self._started = False

    def push(self, token: int) -> str:
        """The text that this token completes; empty inside a character of several tokens."""
        self._ids.append(token)
        before = self._decode(self._ids[self._done : self._read])
        after = self._decode(self._ids[self._done :])
        broken = (
            after.endswith("\N{REPLACEMENT CHARACTER}") and len(self._ids) - self._read <= 4
        )  # UTF-8 needs no more
        if len(after) <= len(before) or broken:
            return ""
        self._done, self._read = self._read, len(self._ids)
        return self._first(after[len(before) :])

    def flush(self) -> str:
        """What is left at the end, broken characters included."""
        before = self._decode(self._ids[self._done : self._read])
        rest = self._decode(self._ids[self._done :])[len(before) :]
        self._done = self._read = len(self._ids)
        return self._first(rest)

    def _first(self, text: str) -> str:
        """Prompts end without a space and answers begin with one: drop it, once."""
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        return text
