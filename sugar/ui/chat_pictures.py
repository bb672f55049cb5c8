"""The pictures of a conversation on the page: set one aside, open one, ask about a region of it.

Not covered: the conversation (chat_handlers.py), what is drawn (chat_drawing.py), marking a region
(static/region.js).
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.services.chat import crop
from sugar.services.conversation import Attachment, Conversation
from sugar.ui.chat_drawing import opened_picture, picture_strip
from sugar.ui.components import event_field
from sugar.ui.context import AppContext
from sugar.ui.conversation import as_message_value
from sugar.ui.text import chat as words

__all__ = ["PictureHandlers"]


class PictureHandlers:
    """What happens on the events of the strip of pictures and of the opened picture."""

    def __init__(self, app: AppContext) -> None:
        self.app = app

    def pick(self, talk: Conversation, event: gr.EventData) -> tuple[Any, Conversation, Any]:
        """A click in the strip: the switch of a picture, or the picture itself."""
        kind, shown = _picked(talk, event)
        if kind == "read":
            talk = talk.toggled(shown.key)
            return gr.HTML(picture_strip(talk)), talk, gr.skip()
        opened = opened_picture(talk.pictures.index(shown) + 1, shown)
        return gr.skip(), talk, gr.HTML(opened, visible=True)

    def region(self, talk: Conversation, request: gr.Request, event: gr.EventData) -> tuple[Any, Any]:
        """A click under the opened picture: close it, or put the marked region into the message box."""
        if event_field(event, "pick") == "close:":
            return gr.HTML("", visible=False), None
        _, shown = _picked(talk, event)
        try:
            left, top, right, bottom = (float(v) for v in event_field(event, "box").split(","))
        except ValueError:
            raise InputError(words.NO_REGION) from None
        part = crop(shown.image, (left, top, right, bottom))
        return gr.HTML("", visible=False), as_message_value([part], self.app.visitor(request))


def _picked(talk: Conversation, event: gr.EventData) -> tuple[str, Attachment]:
    kind, _, key = event_field(event, "pick").partition(":")
    shown = next((p for p in talk.pictures if p.key == key), None)
    if shown is None:
        raise InputError(words.PICTURE_GONE)
    return kind, shown
