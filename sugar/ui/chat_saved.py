"""The list of conversations in the tab Chat: open, rename, delete, export, import. Only on one's own machine.

    saved = SavedList(handlers); saved.layout(); ...; saved.wire(box)

Not covered: the files (sugar/services/conversation_file.py), the conversation on show (chat_handlers.py).
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.images import ImageLimits
from sugar.services.conversation import Conversation, from_bytes, to_bytes
from sugar.ui.chat_drawing import damaged_list, saved_list
from sugar.ui.chat_handlers import ChatHandlers, Shown
from sugar.ui.components import clickable, event_field
from sugar.ui.conversation import to_messages
from sugar.ui.incoming import read_upload, text
from sugar.ui.message import MessageBox
from sugar.ui.text import chat as words

__all__ = ["SavedList"]

DOWNLOAD = """() => {
  const file = document.querySelector("#saved");
  (file.querySelector("a, button") ?? file).click();
}"""


class SavedList:
    """See the module docstring."""

    def __init__(self, handlers: ChatHandlers) -> None:
        self.handlers, self.app, self.chat = handlers, handlers.app, handlers.chat

    def layout(self) -> None:
        """The components. On a shared host nothing is kept, so only Export and Import are there."""
        kept = self.chat.saved is not None
        with gr.Accordion(words.SAVED, open=False, elem_id="conversations"):
            self.wanted = gr.State("")
            self.list = clickable(words.SAVED_LIST, elem_id="saved-list", visible=kept)
            self.damaged = clickable(words.DAMAGED_LIST, elem_id="saved-damaged", visible=kept)
            with gr.Row(visible=kept):
                self.title = gr.Textbox(label=words.TITLE_LABEL, max_lines=1, elem_id="talk-title", scale=3)
                self.rename = gr.Button(words.RENAME, size="sm", min_width=90)
                self.delete = gr.Button(words.DELETE, size="sm", min_width=90, elem_id="talk-delete")
            with gr.Row():
                self.export = gr.Button(words.EXPORT, size="sm", min_width=90)
                self.bring = gr.UploadButton(
                    words.IMPORT, file_types=[".jsonl"], size="sm", min_width=90, elem_id="reopen"
                )
                self.file = gr.DownloadButton(words.EXPORTED, visible="hidden", elem_id="saved")

    def wire(self, box: MessageBox) -> None:
        """The events, on the conversation that `box` keeps."""
        app, kept = self.app, box.kept

        def run(handler: Any) -> Any:
            return app.guarded(handler, uses_model=False)

        chosen = self.list.click(run(self.choose), None, self.wanted, **app.quiet)
        chosen.success(None, None, None, js="() => document.querySelector('#saved-again').click()")
        box.changes("saved", None, run(self.open), self.wanted)
        box.changes("open", self.bring.upload, run(self.import_it), self.bring)
        box.changes("delete", self.delete.click, run(self.remove), kept)
        self.rename.click(run(self.call_it), [kept, self.title], [kept, self.list], **app.quiet)
        self.damaged.click(run(self.discard), None, self.damaged, **app.quiet)
        wrote = self.export.click(run(self.export_it), kept, self.file, **app.quiet)
        wrote.success(None, None, None, js=DOWNLOAD)
        shown = [self.list, self.title, self.damaged]
        box.then(run(self.shown), kept, shown)
        app.on_load(self.shown, [kept], shown)

    def shown(self, talk: Conversation) -> tuple[str, str, str]:
        """The list, the title of the conversation on show, and the list of those that cannot be read."""
        if (saved := self.chat.saved) is None:
            return saved_list([], ""), talk.name, ""
        return saved_list(saved.list(), talk.key), talk.name, damaged_list(saved.damaged())

    def discard(self, event: gr.EventData) -> str:
        """Delete one that cannot be read."""
        if (saved := self.chat.saved) is None:
            raise InputError(words.NOT_KEPT)
        saved.delete(event_field(event, "pick").partition(":")[2])
        return damaged_list(saved.damaged())

    def choose(self, event: gr.EventData) -> str:
        """The key of the conversation that was clicked."""
        return event_field(event, "pick").partition(":")[2]

    def open(self, key: str, request: gr.Request) -> Any:
        """Show it. One that turns out to be damaged goes to the list of those, which says so."""
        if (saved := self.chat.saved) is None:
            raise InputError(words.NOT_KEPT)
        try:
            return self._show(saved.load(key), request)
        except InputError:
            if key not in {entry.key for entry in saved.damaged()}:
                raise
            return gr.skip(), gr.skip()

    def import_it(self, file: Any, request: gr.Request) -> Shown:
        settings = self.app.settings
        limits = ImageLimits(max_bytes=settings.max_upload_mb * 1_000_000)
        return self._show(from_bytes(read_upload(file, settings), limits), request)

    def export_it(self, talk: Conversation, request: gr.Request) -> str:
        if not talk.messages:
            raise InputError(words.EMPTY)
        return self.app.visitor(request).keep(to_bytes(talk), ".jsonl", name="conversation")

    def call_it(self, talk: Conversation, title: Any) -> tuple[Conversation, str]:
        talk = self.chat.rename(talk, text(title, self.app.settings, what=words.TITLE_LABEL))
        return talk, self.shown(talk)[0]

    def remove(self, talk: Conversation, request: gr.Request) -> Shown:
        if not talk.messages:
            raise InputError(words.EMPTY)
        return self._show(self.chat.delete(talk), request)

    def _show(self, talk: Conversation, request: gr.Request) -> Shown:
        return to_messages(talk, self.app.visitor(request)), talk
