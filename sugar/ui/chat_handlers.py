"""What happens on the events of the tab Chat: check what came, call the service, give values for the page.

Every handler takes the visitor's conversation and gives a new one; the page keeps it in a gr.State. Not
covered: the layout and the wiring (chat.py), what is drawn (chat_drawing.py), the service
(sugar/services/chat.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.sequence import Sampling
from sugar.services.chat import ChatService
from sugar.services.conversation import Conversation
from sugar.services.examples import ChatExample, chat_examples
from sugar.ui.chat_drawing import picture_strip
from sugar.ui.components import escape
from sugar.ui.context import AppContext
from sugar.ui.conversation import as_message_value, from_history, to_messages
from sugar.ui.incoming import number, parts, text
from sugar.ui.message import BUSY
from sugar.ui.text import chat as words

__all__ = ["ChatHandlers", "sampling_from"]

Shown = tuple[list[Any], Conversation]
"""Messages for the chatbot, and the conversation they show."""


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


class ChatHandlers:
    """See the module docstring. `t, p, n, s` are temperature, top-p, the longest answer and the seed."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.chat = ChatService(app.workspace)

    def _show(self, talk: Conversation, request: gr.Request) -> Shown:
        return to_messages(talk, self.app.visitor(request)), talk

    def _how(self, t: Any, p: Any, n: Any, s: Any) -> Sampling:
        return sampling_from(t, p, n, s, self.settings.max_tokens)

    def api(
        self,
        message: Any,
        history: Any,
        temperature: float,
        top_p: float,
        length: int,
        seed: int,
        request: gr.Request,
    ) -> Iterator[list[Any]]:
        """Answer a message of pictures and texts; `history` is what an earlier call gave."""
        visitor, before = self.app.visitor(request), from_history(history, self.settings)
        asked, how = parts(message, self.settings), self._how(temperature, top_p, length, seed)
        for talk in self.chat.ask(visitor, before, asked, how, save=False):
            yield to_messages(talk, visitor)

    def send(
        self,
        message: Any,
        talk: Conversation,
        system: Any,
        t: Any,
        p: Any,
        n: Any,
        s: Any,
        request: gr.Request,
    ) -> Iterator[Shown]:
        talk = replace(talk, system=text(system, self.settings, what=words.SYSTEM, required=False))
        asked = parts(message, self.settings)
        for answered in self.chat.ask(self.app.visitor(request), talk, asked, self._how(t, p, n, s)):
            yield self._show(answered, request)
        _say(answered)

    def retry(
        self, talk: Conversation, t: Any, p: Any, n: Any, s: Any, request: gr.Request, event: gr.RetryData
    ) -> Iterator[Any]:
        at = _position(talk, event.index)
        for answered in self.chat.retry(self.app.visitor(request), talk, at, self._how(t, p, n, s)):
            yield *self._show(answered, request), BUSY
        _say(answered)

    def example(
        self, talk: Conversation, t: Any, p: Any, n: Any, s: Any, request: gr.Request, event: gr.SelectData
    ) -> Iterator[Any]:
        known = self.examples()
        chosen = known[int(number(event.index, 0, len(known) - 1, words.EXAMPLE))]
        asked: list[Any] = [*chosen.pictures(), chosen.text]
        for answered in self.chat.ask(self.app.visitor(request), talk, asked, self._how(t, p, n, s)):
            yield *self._show(answered, request), BUSY
        _say(answered)

    def examples(self) -> list[ChatExample]:
        """What the loaded model answers well, by its own profile."""
        model = self.app.models.peek()
        return chat_examples(model.profile) if model is not None else []

    def undo(self, talk: Conversation, request: gr.Request) -> Shown:
        return self._show(self.chat.undo(talk), request)

    def edit(self, talk: Conversation, request: gr.Request) -> tuple[list[Any], Conversation, Any]:
        talk, taken = self.chat.edit(talk)
        return *self._show(talk, request), as_message_value(taken, self.app.visitor(request))

    def new(self, talk: Conversation) -> Shown:
        return [], Conversation(system=talk.system)

    def earlier(self, talk: Conversation, request: gr.Request) -> Shown:
        return self._version(talk, -1, request)

    def later(self, talk: Conversation, request: gr.Request) -> Shown:
        return self._version(talk, 1, request)

    def _version(self, talk: Conversation, step: int, request: gr.Request) -> Shown:
        fork = talk.fork()
        return self._show(talk if fork is None else talk.version(fork, step), request)

    def beside(self, talk: Conversation) -> tuple[Any, ...]:
        """All that is drawn beside the conversation."""
        fork = talk.fork()
        line = ""
        if fork is not None:
            known = talk.versions(fork)
            line = words.VERSION.format(n=known.index(fork) + 1, count=len(known))
        strip = gr.HTML(picture_strip(talk), visible=bool(talk.pictures))
        return strip, gr.Row(visible=fork is not None), line, gr.HTML("", visible=False)

    def stop(self, request: gr.Request) -> None:
        self.app.visitor(request).stop()


def _say(talk: Conversation) -> None:
    """Tell the person that the answer on the page is not in its file. It stays until it is closed."""
    if talk.unsaved:
        gr.Warning(words.UNSAVED.format(why=escape(talk.unsaved)), duration=None)


def _position(talk: Conversation, index: Any) -> int | None:
    """The message at a position in the chatbot; None when the page does not tell it."""
    at = index[0] if isinstance(index, (list, tuple)) and index else index
    return talk.branch[at] if isinstance(at, int) and 0 <= at < len(talk.branch) else None
