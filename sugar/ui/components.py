"""Components of our own: pictures that sugar/images.py decodes, conversations that are never markup, the line at the head of a tab.

    picture = PictureInput(label="Picture")                        # where gr.Image would decode by itself
    talk = Conversation(label="Conversation")                      # gr.Chatbot of texts and pictures, texts as they are
    intro("Find pictures with any order of words and pictures.")

Not covered: checking what they hand over (incoming.py), HTML (drawing.py), pictures that can be clicked (grid.py).
"""

from __future__ import annotations

import html
from abc import ABCMeta
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta, updateable

__all__ = ["Conversation", "PictureInput", "intro"]


def intro(words: str) -> Any:
    """The line at the head of a tab that says what it is for."""
    return gr.Markdown(words, elem_classes="sugar-intro")


class _Quiet(ComponentMeta):
    """Gradio's metaclass writes a .pyi file beside the source of every component class; a class that adds no events needs none."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> Any:
        return ABCMeta.__new__(cls, name, bases, attrs)


class PictureInput(gr.Image, metaclass=_Quiet):
    """gr.Image for pictures from a person: hands over the upload's path and leaves the decoding to sugar/images.py."""

    is_template = True

    @updateable
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"type": "filepath", "image_mode": None, "sources": ["upload", "clipboard"], **kwargs})

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the page is told is read off a signature: the one of gr.Image, not the one above."""
        return super().get_config(cls or gr.Image)

    def preprocess(self, payload: Any) -> Any:
        return None if payload is None else payload.path


class Conversation(gr.Chatbot, metaclass=_Quiet):
    """gr.Chatbot of texts and pictures. Texts are shown as they are: "<" and "&" travel to the page as entities, so that no markup of a
    person or a model is ever drawn there. A component inside a message, which the server would build as told, is refused."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return [
            {**m, "content": [{**c, "text": html.unescape(c["text"])} if c["type"] == "text" else c for c in m["content"]]}
            for m in super().preprocess(payload)
        ]

    def postprocess(self, value: Any) -> Any:
        data = super().postprocess(value)
        for message in data.root:
            for item in message.content:
                if item.type == "text":
                    item.text = item.text.replace("&", "&amp;").replace("<", "&lt;")
        return data

    def _preprocess_content(self, chat_message: Any) -> Any:
        if chat_message.type not in ("text", "file"):
            raise gr.Error("A message holds texts and pictures, nothing else.", print_exception=False)
        return super()._preprocess_content(chat_message)
