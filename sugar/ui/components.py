"""Components of our own: pictures that sugar/images.py decodes, conversations, HTML that can be clicked.

    picture = PictureInput(label="Picture")                        # where gr.Image would decode by itself
    talk = ChatView(label="Conversation")                          # gr.Chatbot of texts and pictures
    strip = clickable("Pictures"); strip.click(f)                  # f(event: gr.EventData): event.pick

Not covered: checks of what they hand over (incoming.py), HTML (drawing.py), the grid of a gallery (grid.py).
"""

from __future__ import annotations

import html
from abc import ABCMeta
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta, updateable

from sugar.ui.drawing import escape
from sugar.ui.markdown import as_written, harmless

__all__ = ["ChatView", "GalleryChoice", "PictureInput", "clickable", "intro", "told"]

ON_LOAD = """
element.addEventListener('click', (event) => {
  const cell = event.target.closest('[data-pick]');
  if (cell) trigger('click', {pick: cell.dataset.pick, box: cell.dataset.box});
});
"""


def intro(words: str) -> Any:
    """The line at the head of a tab that says what it is for."""
    return gr.Markdown(words, elem_classes="sugar-intro")


def clickable(label: str, **settings: Any) -> gr.HTML:
    """HTML whose elements with `data-pick` can be clicked; `.click` gives a gr.EventData with `pick`."""
    return gr.HTML(value="", label=label, js_on_load=ON_LOAD, **settings)


def told(event: gr.EventData, name: str) -> str:
    """What a click on `clickable` tells: its `pick` or `box`. Empty when it tells nothing, or was made up."""
    data = getattr(event, "_data", None)
    return str(data.get(name) or "") if isinstance(data, dict) else ""


class _Quiet(ComponentMeta):
    """Gradio's metaclass writes a .pyi file for every component class; ours add no events and need none."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> Any:
        return ABCMeta.__new__(cls, name, bases, attrs)


class PictureInput(gr.Image, metaclass=_Quiet):
    """gr.Image for a person's pictures: hands over the upload's path; sugar/images.py decodes it."""

    is_template = True

    @updateable
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *args, **{"type": "filepath", "image_mode": None, "sources": ["upload", "clipboard"], **kwargs}
        )

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the page is told is read off a signature: the one of gr.Image, not the one above."""
        return super().get_config(cls or gr.Image)

    def preprocess(self, payload: Any) -> Any:
        return None if payload is None else payload.path


class GalleryChoice(gr.Dropdown, metaclass=_Quiet):
    """gr.Dropdown of gallery names that works after Gradio has forgotten the session.

    Gradio compares a choice with the list that it remembers for the session, and refuses all of them once the
    session is forgotten. Here the name goes on to where galleries are opened, which checks it.
    """

    is_template = True

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        return super().get_config(cls or gr.Dropdown)

    def preprocess(self, payload: Any) -> str | None:
        return payload if isinstance(payload, str) and payload else None


class ChatView(gr.Chatbot, metaclass=_Quiet):
    """gr.Chatbot of texts and pictures.

    A person's text is shown as it is. A model's text is Markdown without HTML and without pictures, so that
    nothing is fetched from elsewhere. What would be markup travels as entities, in a model's text as signs
    that are pulled apart. A component inside a message, which the server would build as told, is refused.
    """

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return [
            {
                **m,
                "content": [
                    {**c, "text": as_written(html.unescape(c["text"]))} if c["type"] == "text" else c
                    for c in m["content"]
                ],
            }
            for m in super().preprocess(payload)
        ]

    def postprocess(self, value: Any) -> Any:
        data = super().postprocess(value)
        for message in data.root:
            for n, item in enumerate(message.content):
                if item.type == "text":
                    is_answer = message.role != "user" and n == 0
                    item.text = harmless(item.text) if is_answer else escape(item.text)
        return data

    def _preprocess_content(self, chat_message: Any) -> Any:
        if chat_message.type not in ("text", "file"):
            raise gr.Error("A message holds texts and pictures, nothing else.", print_exception=False)
        return super()._preprocess_content(chat_message)
