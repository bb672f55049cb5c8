"""A conversation on the page: the chatbot, and its messages of texts and files.

    view = ChatView(label="Conversation")                # gr.Chatbot of texts and pictures
    talk = from_history(history, settings)               # a program's history -> Conversation, checked
    messages = to_messages(talk, visitor)                # Conversation -> messages for the page
    value = as_message_value(parts, visitor)             # parts for the message box

A message is {"role", "content": [{"type": "text", "text"} | {"type": "file", "file": {"path"}}, ...]}. The
first text of an answer is the answer. A second one says in its first line how it ended, in its second how it
was generated, which the page puts behind an (i); neither is read back to the model.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError
from sugar.images import gallery_items
from sugar.sequence import Sample
from sugar.services.conversation import Attachment, Conversation, Message
from sugar.services.visitors import Page
from sugar.settings import Settings
from sugar.text_files import clean_text
from sugar.ui.components import (
    Quiet,
    as_written,
    ended_line,
    escape,
    figures_line,
    harmless,
    with_details,
)
from sugar.ui.faults import asked_by_the_page
from sugar.ui.incoming import picture, text
from sugar.ui.text import chat as words

MAX_MESSAGES = 200
MAX_PARTS = 100
"""Texts and pictures of one message of a program's history."""


class ChatView(gr.Chatbot, metaclass=Quiet):
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
        data, on_page = super().postprocess(value), asked_by_the_page()
        for message in data.root:
            for n, item in enumerate(message.content):
                if item.type == "text" and message.role == "user":
                    item.text = escape(item.text)
                elif item.type == "text" and n == 0:
                    item.text = harmless(item.text)
                elif item.type == "text":
                    line, _, figures = item.text.partition("\n")
                    item.text = with_details(line, figures) if on_page else escape(item.text)
        return data

    def _preprocess_content(self, chat_message: Any) -> Any:
        if chat_message.type not in ("text", "file"):
            raise gr.Error("A message holds texts and pictures, nothing else.", print_exception=False)
        return super()._preprocess_content(chat_message)


@dataclass
class ShownPictures:
    """Where the visitor's pictures lie as files that the page may load: key -> path."""

    paths: dict[str, str] = field(default_factory=dict)


def keep_picture(part: Attachment | Image.Image, visitor: Page) -> str:
    """A file of the visitor's that shows the picture; the same picture is written once."""
    made = Attachment.of(part) if isinstance(part, Image.Image) else part
    paths = visitor.state.of(ShownPictures).paths
    if made.key not in paths or not Path(paths[made.key]).is_file():
        paths[made.key] = visitor.keep(made.data, made.suffix, items=gallery_items(made.image))
    return paths[made.key]


def to_messages(talk: Conversation, visitor: Page) -> list[dict[str, Any]]:
    """What the chatbot shows: the branch on show, with a line under each answer."""
    numbers = {p.key: n for n, p in enumerate(talk.pictures, 1)}
    return [{"role": message.role, "content": _content(message, numbers, visitor)} for message in talk.shown]


def _content(message: Message, numbers: dict[str, int], visitor: Page) -> list[dict[str, Any]]:
    content = [
        {"type": "text", "text": clean_text(part) or " "}
        if isinstance(part, str)
        else _file(keep_picture(part, visitor), words.PICTURE.format(n=numbers[part.key]))
        for part in message.parts
    ]
    if (answer := message.answer) is not None:
        used = ", ".join(str(numbers[key]) for key in message.read if key in numbers)
        figures = [figures_line(answer), words.PICTURES_USED.format(numbers=used) if used else ""]
        line = f"{ended_line(answer)}\n{' · '.join(filter(None, figures))}"
        content.append({"type": "text", "text": line})
    return content


def _file(path: str, alt: str) -> dict[str, Any]:
    mime = "image/png" if path.endswith(".png") else "image/jpeg"
    return {"type": "file", "file": {"path": path, "mime_type": mime}, "alt_text": alt}


def from_history(history: Any, settings: Settings) -> Conversation:
    """A program's history as a conversation. Raises ImageError: a picture cannot be opened.

    Raises InputError: not a list of messages, too long, or with anything but texts and pictures.
    """
    if not isinstance(history, list | None) or len(history or ()) > MAX_MESSAGES:
        raise InputError(f"A conversation is a list of at most {MAX_MESSAGES} messages. Begin a new one.")
    talk = Conversation()
    opened = _opened(history or (), settings)
    for message in history or ():
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise InputError('A message has a role, "user" or "assistant", and a content.')
        content = message.get("content")
        items = content if isinstance(content, list) else [content]
        if not items:
            raise InputError("A message is empty.")
        parts = [part for item in items if (part := _part(item, settings, opened))]
        if message["role"] == "assistant":
            talk = talk.said(next((p for p in parts if isinstance(p, str)), ""))
        elif parts:
            talk = talk.asked(parts)
    return talk


def _opened(history: Sequence[Any], settings: Settings) -> dict[str, Attachment]:
    """The pictures that a history names, by path: counted before any is decoded, and each decoded once."""
    paths: dict[str, None] = {}
    for message in history:
        content = message.get("content") if isinstance(message, dict) else None
        items = content if isinstance(content, list) else [content]
        if len(items) > MAX_PARTS:
            raise InputError(f"A message has {len(items)} parts; {MAX_PARTS} is the limit. Send fewer.")
        paths |= dict.fromkeys(path for item in items if (path := _path(item)))
        if len(paths) > settings.max_pictures:
            raise InputError(
                f"The conversation names more than {settings.max_pictures} pictures. Begin a new one."
            )
    return {path: Attachment.of(picture(path, settings)) for path in paths}


def _path(item: Any) -> str:
    """The path of a part that is a file; "" for any other."""
    if not isinstance(item, dict) or isinstance(item.get("text"), str):
        return ""
    file = item.get("file", item)
    return file["path"] if isinstance(file, dict) and isinstance(file.get("path"), str) else ""


def _part(item: Any, settings: Settings, opened: dict[str, Attachment]) -> str | Attachment:
    if isinstance(item, str):
        return text(item, settings, required=False)
    if isinstance(item, dict) and isinstance(item.get("text"), str):
        return text(item["text"], settings, required=False)
    if path := _path(item):
        return opened[path]
    raise InputError("A message holds texts and pictures, nothing else.")


def as_message_value(parts: Sample | Sequence[str | Image.Image], visitor: Page) -> dict[str, Any]:
    """Parts as the value of the message box: pictures as files, "[1]" where one stands between words."""
    if isinstance(parts, Sample):
        parts = [s.content for s in parts]
    files: list[str] = []
    said: list[str] = []
    for part in parts:
        if isinstance(part, str):
            said.append(clean_text(part))
        else:
            files.append(keep_picture(part, visitor))
            if said:
                said.append(f"[{len(files)}]")
    if any(re.fullmatch(r"\[\d+\]", w) for w in said):  # one is named: name them all, to keep the order
        said = [f"[{n}]" for n in range(1, len(files) + 1) if f"[{n}]" not in said] + said
    return {"text": " ".join(said), "files": files}
