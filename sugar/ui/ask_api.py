"""The endpoint /ask: a question answered from a gallery, from notes, or both; streams as the page does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from sugar.services.ask import AskResult
from sugar.ui.ask_handlers import AskHandlers, request_of
from sugar.ui.ask_view import source_data

__all__ = ["register"]


def register(handlers: AskHandlers) -> None:
    """Add the endpoint to the page that is being built."""
    app = handlers.app

    def ask(
        request: gr.Request,
        question: str,
        picture: Any = None,
        gallery: str = "",
        notes: list[Any] | None = None,
        read: int = 1,
        strictness: str = "balanced",
        follow_up: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Answer a question from a gallery, from notes (files), or both; answer and sources as they grow.

        "by" is model, quote or nobody. "sources" are numbered as the answer cites them.
        """
        if notes is not None:
            handlers.take_notes(request, notes)
        asked = request_of(
            app.settings, question, picture, gallery, read, strictness, follow_up=bool(follow_up)
        )
        for result in handlers.service.ask(app.visitor(request), asked):
            yield _data(result)

    gr.api(app.guarded(ask), api_name="ask", **app.on_notes)


def _data(result: AskResult) -> dict[str, Any]:
    reply = result.reply
    return {
        "answer": reply.text,
        "by": reply.by,
        "known": reply.known,
        "question": result.query,
        "sources": [source_data(hit, n, reply) for n, hit in enumerate(reply.hits, 1)],
    }
