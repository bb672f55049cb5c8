"""The message box of a conversation: typed text is never lost, and an answer ends before the next one begins.

    box = MessageBox(settings, view, kept, saved)              # kept: the gr.State of a Conversation
    box.sends(send, inputs, readable)                          # yields (messages, conversation, saved)
    box.runs(view.retry, retry, inputs)                        # another way to an answer; the same, and BUSY
    box.stops(stop)                                            # ends the visitor's answer
    box.changes("undo", view.undo, undo, inputs)               # waits until no answer is being written
    box.takes_back("edit", edit_button.click, edit, inputs)    # also gives a message for the box
    box.adds(button.click, crop, inputs)                       # gives a message, which comes into the box
    box.then(refresh, inputs, outputs)                         # after each of these

static/message.js holds what the page must know at once; README.md in this folder says how they work together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from sugar.images import SUFFIXES
from sugar.settings import Settings
from sugar.ui.context import AppContext
from sugar.ui.conversation import ChatView
from sugar.ui.text import chat as words

BUSY = gr.update(submit_btn=False, stop_btn=True)
"""How the box looks while an answer is written."""


QUIET = AppContext.quiet
MODEL: dict[str, Any] = {
    **AppContext.on_model,
    "show_progress": "minimal",
    "api_visibility": "private",
}


class MessageBox:
    """See the module docstring. `field` is the component; `sent` holds the message that is on its way."""

    def __init__(self, settings: Settings, view: ChatView, kept: gr.State, saved: gr.HTML) -> None:
        self.view, self.kept, self.saved = view, kept, saved
        self.field = gr.MultimodalTextbox(
            label=words.MESSAGE,
            show_label=False,
            placeholder=words.PLACEHOLDER,
            file_count="multiple",
            file_types=["image", *SUFFIXES],
            max_plain_text_length=settings.max_text,
            elem_id="message",
            submit_btn=True,
            stop_btn=False,
        )
        self.sent = gr.MultimodalTextbox(label="message", visible=False)
        self._runs: list[Any] = []
        self._done: list[Any] = []

    def sends(self, answer: Callable[..., Any], inputs: Sequence[Any], readable: Callable[..., Any]) -> None:
        """On Enter or the send button: `answer(message, *inputs)`.

        readable: of a message that was refused, what comes back into the box.
        """
        leave = gr.on(
            [self.field.submit, _hidden("send-again").click],
            None,
            [self.field, self.view],
            [self.sent, self.field],
            js="(message, talk) => messageBox.send(message, talk)",
            **QUIET,
        )
        shown = [self.view, self.kept, self.saved]
        run = leave.success(answer, [self.sent, *inputs], shown, show_progress_on=self.view, **MODEL)
        self._ends(run, "send", readable)

    def runs(self, trigger: Callable[..., Any], answer: Callable[..., Any], inputs: Sequence[Any]) -> None:
        """On another event: `answer(*inputs)`, which yields the same and looks of the box (BUSY)."""
        name = str(trigger.event_name)  # type: ignore[attr-defined]
        begin = f"(...values) => {{ messageBox.begin('{name}'); return values; }}"
        shown = [self.view, self.kept, self.saved, self.field]
        run = trigger(answer, inputs, shown, js=begin, show_progress_on=self.view, **MODEL)
        self._ends(run, name)

    def _ends(self, run: Any, name: str, readable: Callable[..., Any] | None = None) -> None:
        self._runs.append(run)
        refused = run.failure
        if readable is not None:
            refused = run.failure(readable, self.sent, self.sent, **QUIET).then
        for when, failed in ((run.success, "false"), (refused, "true")):
            end = f"(sent, talk, now) => messageBox.end('{name}', {failed}, sent, talk, now)"
            ended = when(None, [self.sent, self.view, self.field], self.field, js=end, **QUIET)
            over = ended.success(None, None, None, js=f"() => messageBox.over('{name}')", **QUIET)
            self._done.append(over)

    def stops(self, stop: Callable[..., Any]) -> None:
        """On the stop button: `stop()`; out of the queue when nothing has begun. Call it after all runs."""
        pressed = [self.field.stop, _hidden("stop-now").click]
        js = "(talk) => messageBox.stop(talk)"
        called = gr.on(pressed, None, self.view, None, js=js, **QUIET).success(stop, None, None, **QUIET)
        for when in (called.success, called.failure):
            when(None, None, None, js="() => messageBox.stopped()", **QUIET)
        _hidden("unsend").click(None, None, None, cancels=self._runs, **QUIET)

    def changes(
        self, name: str, trigger: Callable[..., Any] | None, change: Callable[..., Any], inputs: Any
    ) -> None:
        """On an event: stop the answer under way, then `change(*inputs)` gives the conversation.

        Without a trigger it happens when a script presses the hidden button NAME-again.
        """
        self._done.append(self._free(name, trigger).success(change, inputs, [self.view, self.kept], **QUIET))

    def takes_back(
        self, name: str, trigger: Callable[..., Any], change: Callable[..., Any], inputs: Any
    ) -> None:
        """On an event, as `changes`: `change(*inputs)` gives the conversation and a message for the box."""
        outputs = [self.view, self.kept, self.sent]
        self._done.append(self._back(self._free(name, trigger).success(change, inputs, outputs, **QUIET)))

    def adds(self, trigger: Callable[..., Any], give: Callable[..., Any], inputs: Any, also: Any) -> None:
        """On an event: `give(*inputs)` gives a value for `also`, and a message, which comes into the box."""
        self._back(trigger(give, inputs, [also, self.sent], **QUIET))

    def answers_programs(self, answer: Callable[..., Any], inputs: Sequence[Any]) -> None:
        """The endpoint /chat: `answer(message, history, *inputs)` yields the history with the answer."""
        inputs = [self.sent, self.view, *inputs]
        _hidden("program").click(answer, inputs, self.view, api_name="chat", **AppContext.on_model)

    def _back(self, event: Any) -> Any:
        js = "(sent, now) => messageBox.look(messageBox.runs.size > 0, messageBox.back(sent, now))"
        return event.success(None, [self.sent, self.field], self.field, js=js, **QUIET)

    def clears(self, trigger: Callable[..., Any], new: Callable[..., Any], inputs: Any) -> None:
        """On an event: empty the box at once, so that what is typed from then on stays; then as `changes`."""
        trigger(None, None, None, js="() => messageBox.clear()", **QUIET)
        self.changes("clear", trigger, new, inputs)

    def then(self, refresh: Callable[..., Any], inputs: Any, outputs: Any) -> None:
        """After every run and change: `refresh(*inputs)`. Call it last."""
        for event in self._done:
            event.success(refresh, inputs, outputs, **QUIET)

    def _free(self, name: str, trigger: Callable[..., Any] | None) -> Any:
        button = f"{name}-again"
        js = f"(talk) => messageBox.first('#{button}', talk)"
        triggers = [*([trigger] if trigger else []), _hidden(button).click]
        return gr.on(triggers, None, self.view, None, js=js, **QUIET)


def _hidden(name: str) -> gr.Button:
    """A button that only static/message.js presses."""
    return gr.Button(name, visible="hidden", elem_id=name)
