"""The body of a request, and how a request is refused before Gradio sees it.

receive = bounded(receive, 2_000_000)          # raises Refused when more comes
receive = counted(receive, take)               # take(n): n more bytes came
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Message, Receive

__all__ = ["Refused", "bounded", "counted"]


class Refused(Exception):
    """A request that goes no further: status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


def bounded(receive: Receive, most: int) -> Receive:
    """Stop reading a body that is too large, whatever its header said."""
    seen = 0

    def take(size: int) -> None:
        nonlocal seen
        seen += size
        if seen > most:
            raise Refused(413, f"A request may have {most // 1_000_000} MB. Upload large files first.")

    return counted(receive, take)


def counted(receive: Receive, take: Callable[[int], None]) -> Receive:
    """Tell `take` of every block of a body before anybody reads it."""

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            take(len(message.get("body", b"")))
        return message

    return receiving
