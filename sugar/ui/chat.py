"""The Chat tab: pictures and texts in any order, over many turns. The worked example of how a tab is written.

Not covered: what a message is (conversation.py), how it leaves the box and comes back (message.py), how an answer is drawn (context.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.ui.components import Conversation, intro
from sugar.ui.context import AppContext
from sugar.ui.conversation import as_message_value, checked, from_json, last_parts, to_json, to_turns, user_message
from sugar.ui.examples import EXAMPLES, example_picture
from sugar.ui.incoming import parts, read_upload
from sugar.ui.message import BUSY, MessageBox
from sugar.ui.said import Said, Sampling

TAB = ("chat", "Chat")

ASKED = (
    (["scene-0.jpg"], "what is in the picture?"),
    (["scene-4.jpg"], "is it day or night?"),
    (["before.jpg", "after.jpg"], "what differs between these two?"),
    (["scene-1.jpg"], "describe the picture."),
)
"""Pictures of assets/examples and what is asked about them: they work at one click."""


def build(app: AppContext) -> None:
    settings = app.settings
    intro("Ask about pictures. Put several pictures and texts in any order; `[1]` in the text says where the first picture stands.")
    talk = Conversation(
        label="Conversation", height=460, buttons=["copy"], render_markdown=False, feedback_options=None,
        examples=[{"text": words, "files": [str(EXAMPLES / f) for f in files]} for files, words in ASKED], elem_id="talk",
        layout="bubble",
    )  # fmt: skip
    box = MessageBox(settings, talk)
    with gr.Row():
        change = gr.Button("Edit last question", size="sm", min_width=110)
        clear = gr.Button("Clear", size="sm", min_width=110)
        save = gr.Button("Save", size="sm", min_width=110)
        reopen = gr.UploadButton("Open", file_types=[".json"], size="sm", min_width=110, elem_id="reopen")
        to_search = gr.Button("Search with this", size="sm", min_width=110)
        to_compare = gr.Button("Compare these", size="sm", min_width=110)
        saved = gr.DownloadButton("Saved conversation", visible="hidden", elem_id="saved")
    with gr.Accordion("How it answers", open=False), gr.Row():
        temperature = gr.Slider(0, 2, 0, step=0.05, label="Temperature", info="0 always takes the likeliest word")
        top_p = gr.Slider(0.05, 1, 1, step=0.05, label="Top-p", info="keeps the likeliest words up to this share")
        length = gr.Slider(1, settings.max_tokens, min(128, settings.max_tokens), step=1, label="Longest answer", info="in tokens")
        seed = gr.Number(-1, precision=0, label="Seed", info="the same seed draws the same answer; -1 draws anew")
    how: list[Any] = [temperature, top_p, length, seed]

    def answer(messages: list[Any], request: gr.Request, t: Any, p: Any, n: Any, s: Any) -> Iterator[list[Any]]:
        """Stream the answer to a conversation that ends with the person's turn."""
        sampling = Sampling.of(t, p, n, s, settings.max_tokens)
        for said in app.stream(request, to_turns(messages, settings), sampling):
            yield [*messages, said_message(said)] if said.tokens or said.ended else messages

    def with_box(answers: Iterator[list[Any]]) -> Iterator[tuple[list[Any], Any]]:
        for messages in answers:
            yield messages, BUSY

    def chat(message: Any, history: Any, temperature: float, top_p: float, length: int, seed: int, request: gr.Request) -> Iterator[Any]:
        before = checked(history, settings)
        asked = user_message(parts(message, settings), app.visitor(request))
        yield from answer([*before, asked], request, temperature, top_p, length, seed)

    def retry(history: Any, t: float, p: float, n: int, s: int, request: gr.Request, event: gr.RetryData) -> Iterator[Any]:
        messages = checked(history, settings)
        yield from with_box(answer(messages[: last_asked(messages, event.index) + 1], request, t, p, n, s))

    def undo(history: Any) -> list[Any]:
        messages = checked(history, settings)
        return messages[: last_asked(messages, None)]

    def edit(history: Any, request: gr.Request) -> tuple[list[Any], Any]:
        """Take the last question back into the message box, pictures and all."""
        messages = checked(history, settings)
        at = last_asked(messages, None)
        return messages[:at], as_message_value(last_parts([messages[at]], settings), app.visitor(request))

    def example(t: float, p: float, n: int, s: int, request: gr.Request, event: gr.SelectData) -> Iterator[Any]:
        index = event.index if isinstance(event.index, int) and 0 <= event.index < len(ASKED) else 0
        files, words = ASKED[index]
        asked = parts({"text": words}, settings)
        pictures = [example_picture(f) for f in files]
        yield from with_box(answer([user_message([*pictures, *asked], app.visitor(request))], request, t, p, n, s))

    def write(history: Any, request: gr.Request) -> str:
        messages = checked(history, settings)
        if not messages:
            raise InputError("The conversation is empty. Ask something first.")
        return app.visitor(request).keep(to_json(messages, settings).encode(), ".json", name="conversation")

    def read(file: Any, request: gr.Request) -> list[Any]:
        return from_json(read_upload(file, settings), app.visitor(request), settings)

    def stop(request: gr.Request) -> None:
        app.visitor(request).stop()

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    model: dict[str, Any] = {**app.on_model, "show_progress": "minimal"}
    box.sends(app.guarded(chat), [talk, *how], api_name="chat", **model)
    box.runs(talk.retry, app.guarded(retry), [talk, *how], **model)
    box.runs(talk.example_select, app.guarded(example), how, **model)
    box.stops(app.guarded(stop, uses_model=False))
    box.changes("undo", talk.undo, app.guarded(undo, uses_model=False), talk, talk)
    box.takes_back("edit", change.click, app.guarded(edit, uses_model=False), talk)
    box.changes("open", reopen.upload, app.guarded(read, uses_model=False), reopen, talk)
    box.clears(clear.click)
    save.click(app.guarded(write, uses_model=False), talk, saved, **quiet).success(
        None, None, None, js="() => { const a = document.querySelector('#saved'); (a.querySelector('a, button') ?? a).click(); }"
    )
    app.hand_over(to_search, "search", lambda request, history: last_parts(history, settings), [talk])
    app.hand_over(to_compare, "compare", lambda request, history: last_parts(history, settings), [talk])
    app.receive("chat", lambda handed, visitor: as_message_value(handed, visitor), [box.field])


def said_message(said: Said) -> dict[str, Any]:
    """An answer so far, and under it the line about its speed."""
    return {"role": "assistant", "content": [{"type": "text", "text": said.text or " "}, {"type": "text", "text": said.line()}]}


def last_asked(messages: list[Any], index: Any) -> int:
    """The person's message at or before an index that the page sent. Raises InputError when there is none."""
    at = index[0] if isinstance(index, (list, tuple)) and index else index
    at = at if isinstance(at, int) and 0 <= at < len(messages) else len(messages) - 1
    while at >= 0 and messages[at]["role"] != "user":
        at -= 1
    if at < 0:
        raise InputError("There is no question to go back to.")
    return at
