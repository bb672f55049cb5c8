"""The body of a request, and how a request is refused before Gradio sees it.

receive = bounded(receive, 2_000_000)          # raises Refused when more comes
"""

from __future__ import annotations

from starlette.types import Message, Receive

__all__ = ["Refused", "bounded"]


class Refused(Exception):
    """A request that goes no further: status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


def bounded(receive: Receive, most: int) -> Receive:
    """Stop reading a body that is too large, whatever its header said."""
    seen = 0

    async def receiving() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > most:
                raise Refused(413, f"A request may have {most // 1_000_000} MB. Upload large files first.")
        return message

    return receiving
